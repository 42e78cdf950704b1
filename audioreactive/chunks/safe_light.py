"""A film that keeps to three flashes a second: its chunks are watched, and dimmed where they flash too often.

What is watched is what a viewer will see: the chunks as they were coded, whoever made them. A chunk that changes is
decoded, corrected and coded again, which does not take the network; its other frames go into the encoder as the numbers
that came out of the decoder. Then it is watched once more.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np

from audioreactive.chunks.making import MOST_ENCODERS, ChunkMaker, available_cores
from audioreactive.errors import VideoError
from audioreactive.flashes import Thumbnails, measure, plan, summary, watched_size
from audioreactive.video.chunks import read_chunks
from audioreactive.video.colour import yuv420_to_rgb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from audioreactive.chunks.film import Film
    from audioreactive.chunks.making import MadeChunk
    from audioreactive.chunks.plan import Chunk
    from audioreactive.flashes import Plan
    from audioreactive.progress import Progress

T = TypeVar("T")

MOST_ROUNDS: Final = 3
"""Compression may bring back a little of what was taken: then another plan comes on top."""
KIND: Final = "safe"
"""First word of the names of chunks that were made anew."""
_THUMBNAILS: Final = "thumbnails"
_LONGEST_RUN: Final = 12
"""Chunks that one decoder reads."""
_PATIENCE: Final = 0.2
"""Seconds between two looks at the threads, so that Ctrl-C is heard on every platform."""


@dataclass(frozen=True)
class SafeLight:
    """Brings a film within the rules of `audioreactive.flashes`; see `film.Revision`."""

    progress: Progress
    compiled: bool = False
    """Whether pictures are packed by the compiled kernel, as the generator's are."""

    def __call__(self, film: Film, made: Sequence[MadeChunk], folder: Path) -> Iterator[MadeChunk]:
        """Those chunks that change, made anew.

        Raises:
            VideoError: a chunk cannot be read, or coded again.
        """
        room = _Room(film, {chunk.index: chunk.name for chunk in made}, folder, self.compiled)
        fps, cores = film.encoding.settings.fps, available_cores()
        anew: dict[int, MadeChunk] = {}
        applied: list[Plan] = []
        chunks = film.chunks
        while True:
            watch = functools.partial(room.watch, names={index: chunk.name for index, chunk in anew.items()})
            self._each("watching", watch, _runs(chunks, cores), room, at_once=cores)
            found = plan(room.thumbnails, fps)
            if not found.passages or len(applied) == MOST_ROUNDS:
                break
            applied.append(found)
            chunks = [chunk for chunk in film.chunks if found.changes(*room.place(chunk))]
            correct = functools.partial(room.correct, plans=applied)
            alone = [[chunk] for chunk in chunks]
            for one in self._each("dimming", correct, alone, room, at_once=min(cores, MOST_ENCODERS)):
                anew[one.index] = one
        self.progress.say(summary(applied, found.general_excess + found.red_excess, fps))
        yield from anew.values()

    def _each(
        self, stage: str, work: Callable[[Sequence[Chunk]], T], parts: Sequence[Sequence[Chunk]], room: _Room, *,
        at_once: int,
    ) -> list[T]:  # fmt: skip
        """The work on each part, several at once."""
        results: list[T] = []
        frames = [sum(map(len, part)) for part in parts]
        with self.progress.track(stage, sum(frames), "frame") as advance, ThreadPoolExecutor(at_once) as pool:
            running = {pool.submit(work, part): count for part, count in zip(parts, frames, strict=True)}
            try:
                while running:
                    for done in wait(running, _PATIENCE, FIRST_COMPLETED).done:
                        advance(running.pop(done))
                        results.append(done.result())
            except BaseException:
                room.given_up.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return results


def _runs(chunks: Sequence[Chunk], count: int) -> list[Sequence[Chunk]]:
    """The chunks in about so many parts of successive ones, which are not too long to say how far it is."""
    length = min(max(-(-len(chunks) // count), 1), _LONGEST_RUN)
    return [chunks[first : first + length] for first in range(0, len(chunks), length)]


class _GivenUpError(Exception):
    """Another thread has failed, or the person wants no more."""


@dataclass
class _Room:
    """What the threads share: where the chunks are, and what was seen in them."""

    film: Film
    names: dict[int, str]
    """Of the chunks as they were made, by index."""
    folder: Path
    compiled: bool
    given_up: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._encoding = self.film.encoding
        self._again = self._encoding.finished()
        self._size = self._encoding.settings.size
        self._first = self.film.chunks[0].start
        cells = Thumbnails([], self._size).geometry.cells
        # In a file: an hour has 600 MB of them.
        shape = (sum(map(len, self.film.chunks)), *cells, 3)
        self._seen = np.memmap(self.folder / _THUMBNAILS, np.uint8, "w+", shape=shape)
        self.thumbnails = Thumbnails([self._seen], self._size)

    def place(self, chunk: Chunk) -> tuple[int, int]:
        """First frame and one past the last, counted from the video's beginning."""
        return chunk.start - self._first, chunk.stop - self._first

    def watch(self, chunks: Sequence[Chunk], names: dict[int, str]) -> None:
        """Look at some chunks as they are now; `names` of those that were made anew."""
        files = [names.get(chunk.index, self.names[chunk.index]) for chunk in chunks]
        places = np.concatenate([np.arange(*self.place(chunk)) for chunk in chunks])
        seen = 0
        with contextlib.closing(
            read_chunks(self._encoding, self.folder, files, size=watched_size(self._size), threads=1)
        ) as frames:
            for frame in frames:
                self._go_on()
                if seen < len(places):
                    self._seen[places[seen]] = measure(frame[None], self.thumbnails.geometry)[0]
                seen += 1
        if seen != len(places):
            which = f"chunk {chunks[0].index}" if len(chunks) == 1 else f"{len(chunks)} chunks"
            raise VideoError(f"{seen} of {len(places)} frames of {which} can be decoded; the disk may be damaged")

    def correct(self, chunks: Sequence[Chunk], plans: Sequence[Plan]) -> MadeChunk:
        """A chunk as it was made, with all of the plans applied."""
        (chunk,) = chunks
        files, layout = [self.names[chunk.index]], self._again.settings.layout
        with contextlib.closing(read_chunks(self._encoding, self.folder, files, layout=layout, threads=1)) as frames:
            maker = ChunkMaker(
                _Replay(frames),
                self._again,
                self.folder,
                treat=functools.partial(self._corrected, plans=tuple(plans)),
                kind=KIND,
            )
            (made,) = maker.make([chunk], lambda count: None)
        return made

    def _corrected(self, first: int, frames: NDArray[np.uint8], plans: tuple[Plan, ...]) -> NDArray[np.uint8]:
        """Frames on their way to the encoder; those that no plan changes pass as they are."""
        self._go_on()
        start = first - self._first
        if not any(made.changes(start, start + len(frames)) for made in plans):
            return frames
        packed = self._again.settings.layout == "yuv420p"
        pictures = yuv420_to_rgb(frames, self._size) if packed else frames
        for made in plans:
            pictures = made.apply(pictures, start)
        return _to_yuv420(pictures, compiled=self.compiled) if packed else pictures

    def _go_on(self) -> None:
        if self.given_up.is_set():
            raise _GivenUpError


@dataclass(frozen=True)
class _Replay:
    """Frames that are there already, one by one; see `making.FrameSource`."""

    frames: Iterable[NDArray[np.uint8]]
    batch: int = 1

    def batches(self, firsts: Iterable[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        try:
            for first, frame in zip(firsts, self.frames, strict=True):
                yield first, frame[None]
        except ValueError as error:
            raise VideoError(f"a chunk has not the frames that it had: {error}") from None


def _to_yuv420(frames: NDArray[np.uint8], *, compiled: bool) -> NDArray[np.uint8]:
    """(n, H, W, 3) sRGB -> as the encoder takes it, by what packs the generator's own pictures."""
    import torch

    from stylegan_ops.ops import rgb_to_yuv420

    pictures = torch.from_numpy(frames).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
    packed: NDArray[np.uint8] = rgb_to_yuv420(pictures, compiled=compiled).numpy()
    return packed
