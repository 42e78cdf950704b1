"""How long work tells the person who waits for it where it is; the command line draws bars, a program may not care."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from audioreactive.errors import Cancelled

Advance = Callable[[int], None]
"""Says how many more units are done."""


@runtime_checkable
class Progress(Protocol):
    """What the rooms say to the outside."""

    def say(self, message: str) -> None:
        """A sentence that the person should read: a warning, a choice that was made for them."""
        ...

    def track(self, stage: str, total: int, unit: str) -> AbstractContextManager[Advance]:
        """A stage of known length."""
        ...


class Silent:
    """Says nothing."""

    def say(self, message: str) -> None:
        """Say nothing."""

    @contextlib.contextmanager
    def track(self, stage: str, total: int, unit: str) -> Iterator[Advance]:
        """Track nothing."""
        yield lambda count: None


@dataclass(frozen=True)
class Step:
    """How far a stage of long work is."""

    stage: str
    """What is being done: listening, fitting, rendering, ..."""
    done: int
    total: int
    unit: str
    """What is counted, such as frame."""


class Callback:
    """Tells a function, and lets it cancel.

    Args:
        call: told each `Step`; where it returns False, the work is cancelled. What it raises is raised.
    """

    def __init__(self, call: Callable[[Step], object]) -> None:
        self._call = call

    def say(self, message: str) -> None:
        """Remarks are for people at a terminal."""

    @contextlib.contextmanager
    def track(self, stage: str, total: int, unit: str) -> Iterator[Advance]:
        """Tell of the beginning, and of each step.

        Raises:
            Cancelled: the function returned False.
        """
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            if self._call(Step(stage, done, total, unit)) is False:
                raise Cancelled(f"cancelled while {stage}, at {done} of {total}")

        advance(0)
        yield advance


def as_progress(told: Progress | Callable[[Step], object] | None) -> Progress:
    """What long work takes: a Progress as it is, a function wrapped, None for silence."""
    if told is None:
        return Silent()
    return Callback(told) if not isinstance(told, Progress) else told


def in_words(seconds: float) -> str:
    """A length of time as a person says it: "about 40 s", "about 3 min"."""
    if seconds < 1:
        return "less than a second"
    whole = round(seconds)
    if whole < 60:
        return f"about {whole} s"
    minutes = round(seconds / 60)
    return f"about {minutes} min" if minutes < 60 else f"about {minutes // 60} h {minutes % 60} min"


ReportShare = Callable[[str, float], None]
"""Says which part of the work begins, and what share of the whole is done, in [0, 1]."""


@contextlib.contextmanager
def track_share(progress: Progress, stage: str) -> Iterator[ReportShare]:
    """A stage whose work tells the share that is done, rather than units; it never goes back."""
    with progress.track(stage, 100, "%") as advance:
        done = 0

        def report(part: str, share: float) -> None:
            nonlocal done
            advance(max(round(100 * share) - done, 0))
            done = max(round(100 * share), done)

        yield report
