"""Work on chunks that are there already: replay their frames, several chunks at a time."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from audioreactive.errors import VideoError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from audioreactive.progress import Progress

S = TypeVar("S")
T = TypeVar("T")

_PATIENCE: Final = 0.2
"""Seconds to wait for threads at a time, so that Ctrl-C works on every platform."""


class GivenUpError(Exception):
    """The work was cancelled: another thread failed, or the user interrupted it."""


@dataclass(frozen=True)
class Replay:
    """Source of frames that already exist, one at a time; see `making.FrameSource`."""

    frames: Iterable[NDArray[np.uint8]]
    batch: int = 1

    def batches(self, firsts: Iterable[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Yield (first, the next frame) for each of `firsts`."""
        try:
            for first, frame in zip(firsts, self.frames, strict=True):
                yield first, frame[None]
        except ValueError as error:
            raise VideoError(f"a chunk has not the frames that it had: {error}") from None


def in_threads(
    progress: Progress, stage: str, work: Callable[[S], T], parts: Sequence[tuple[S, int]], *,
    at_once: int, given_up: threading.Event,
) -> list[T]:  # fmt: skip
    """Results of `work` on each part, in the order in which they are ready.

    Args:
        progress: receives the progress.
        stage: name of the work.
        work: function of a part, which should raise `GivenUpError` soon after the event is set.
        parts: (part, number of its frames).
        at_once: number of threads.
        given_up: event that is set if the work is interrupted or fails.
    """
    results: list[T] = []
    frames = sum(count for _, count in parts)
    with progress.track(stage, frames, "frame") as advance, ThreadPoolExecutor(at_once) as pool:
        running = {pool.submit(work, part): count for part, count in parts}
        try:
            while running:
                for done in wait(running, _PATIENCE, FIRST_COMPLETED).done:
                    advance(running.pop(done))
                    results.append(done.result())
        except BaseException:
            given_up.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return results
