"""Keep a render to a deadline as far as coding faster can, and say in time where it cannot.

The pace of the first chunk decides: if the rest would be late at that pace, the following chunks are coded faster,
which loses a little of the compression. Pictures stay what they are, and a render never fails because it is late.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from audioreactive.progress import in_words

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    from audioreactive.chunks.film import Executor
    from audioreactive.chunks.plan import Chunk, MadeChunk
    from audioreactive.progress import Advance, Progress

RESERVE: Final = 0.05
"""Share of the time left that is kept for what follows the pictures: sound, joining."""


@dataclass(frozen=True)
class Punctual:
    """Executor that watches the pace of another; see `film.Executor`."""

    usual: Executor
    hurried: Executor | None
    """The same with a faster encoder; None if there is none."""
    ends: float
    """The deadline, on the clock."""
    progress: Progress
    clock: Callable[[], float] = time.monotonic

    def make(self, chunks: Sequence[Chunk], folder: Path, advance: Advance) -> Generator[MadeChunk, None, None]:
        """Make these chunks: the first as usual, the others as the time that is left allows."""
        pace = _Pace(self.clock, advance)
        first, rest = list(chunks[:1]), list(chunks[1:])
        if self.hurried is None:
            yield from self._watched(chunks, folder, pace)
            return
        yield from self.usual.make(first, folder, pace.advance)
        late = self._late(pace, rest)
        if late <= 0 or not rest:
            yield from self.usual.make(rest, folder, advance)
            return
        self.progress.say(
            f"at this pace the video is finished {in_words(late)} after the deadline: from its second piece on it is "
            "encoded faster, and fine detail is coded a little worse"
        )
        pace = _Pace(self.clock, advance)
        yield from self.hurried.make(rest[:1], folder, pace.advance)
        if (late := self._late(pace, rest[1:])) > 0:
            self._say_late(late)
        yield from self.hurried.make(rest[1:], folder, advance)

    def _watched(self, chunks: Sequence[Chunk], folder: Path, pace: _Pace) -> Generator[MadeChunk, None, None]:
        """Make the chunks as usual, and say after the first one if they will be late."""
        left, told = sum(map(len, chunks)), False
        for made in self.usual.make(chunks, folder, pace.advance):
            if not told and (late := self._late_for(pace, left - pace.done)) > 0:
                self._say_late(late)
            told = True
            yield made

    def _late(self, pace: _Pace, rest: Sequence[Chunk]) -> float:
        return self._late_for(pace, sum(map(len, rest)))

    def _late_for(self, pace: _Pace, frames: int) -> float:
        """Seconds past the deadline at which so many frames will be finished; negative before it."""
        left = self.ends - self.clock()
        return frames * pace.seconds - left * (1 - RESERVE if left > 0 else 1) if frames else 0.0

    def _say_late(self, late: float) -> None:
        self.progress.say(
            f"the video will be finished {in_words(late)} after the deadline, because its pictures take so long: it "
            "goes on; --draft, a smaller --size or fewer --fps would be in time"
        )


class _Pace:
    """Seconds that a frame takes, without what happens before the first ones are there."""

    def __init__(self, clock: Callable[[], float], advance: Advance) -> None:
        self._clock, self._advance = clock, advance
        self._begun = clock()
        self._first: tuple[float, int] | None = None
        self._last = self._begun
        self.done = 0

    def advance(self, count: int) -> None:
        """Count frames that were made."""
        self._last = self._clock()
        self.done += count
        self._first = self._first or (self._last, count)
        self._advance(count)

    @property
    def seconds(self) -> float:
        """Seconds a frame."""
        if self._first is None:
            return 0.0
        at, count = self._first
        if self.done > count:
            return (self._last - at) / (self.done - count)
        return (self._last - self._begun) / max(self.done, 1)
