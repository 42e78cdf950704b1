"""Progress reports of long work: the command line draws bars from them, a program may take a callback or nothing."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from audioreactive.errors import Cancelled

MEASURED_STEPS = 16
"""Steps from which the duration of all is estimated."""

Advance = Callable[[int], None]
"""Function that is called with the number of units finished since the last call."""


@runtime_checkable
class Progress(Protocol):
    """Receiver of messages and progress from all packages."""

    def say(self, message: str) -> None:
        """Show a sentence to the user: a warning, or a choice that was made automatically."""
        ...

    def track(self, stage: str, total: int, unit: str) -> AbstractContextManager[Advance]:
        """Open a stage of `total` units, such as frames; call the yielded function as they are finished."""
        ...


class Silent:
    """Progress that is shown nowhere."""

    def say(self, message: str) -> None:
        """Say nothing."""

    @contextlib.contextmanager
    def track(self, stage: str, total: int, unit: str) -> Iterator[Advance]:
        """Track nothing."""
        yield lambda count: None


@dataclass(frozen=True)
class Step:
    """Progress within one stage of the work."""

    stage: str
    """Name of the stage: listening, fitting, rendering, ..."""
    done: int
    total: int
    unit: str
    """Unit of `done` and `total`, such as frame."""


class Callback:
    """Progress that is passed to a function, which may cancel the work.

    Args:
        call: called with each `Step`; the work is cancelled if it returns False. Its exceptions propagate.
    """

    def __init__(self, call: Callable[[Step], object]) -> None:
        self._call = call

    def say(self, message: str) -> None:
        """Ignore the message: it is meant for people at a terminal."""

    @contextlib.contextmanager
    def track(self, stage: str, total: int, unit: str) -> Iterator[Advance]:
        """Call the function at the start of the stage and after each step.

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
    """Return a `Progress` unchanged, wrap a function in `Callback`, and turn None into `Silent`."""
    if told is None:
        return Silent()
    return Callback(told) if not isinstance(told, Progress) else told


def in_words(seconds: float) -> str:
    """Format a duration for people: "about 40 s", "about 3 min"."""
    if seconds < 1:
        return "less than a second"
    whole = round(seconds)
    if whole < 60:
        return f"about {whole} s"
    minutes = round(seconds / 60)
    return f"about {minutes} min" if minutes < 60 else f"about {minutes // 60} h {minutes % 60} min"


ReportShare = Callable[[str, float], None]
"""Function that is called with the name of the part that begins and the share of the whole work done, in [0, 1]."""


@contextlib.contextmanager
def track_share(progress: Progress, stage: str) -> Iterator[ReportShare]:
    """Track a stage that reports the share done instead of units; the progress shown never decreases."""
    with progress.track(stage, 100, "%") as advance:
        done = 0

        def report(part: str, share: float) -> None:
            nonlocal done
            advance(max(round(100 * share) - done, 0))
            done = max(round(100 * share), done)

        yield report


def foretelling(advance: Advance, steps: int, progress: Progress, what: str) -> Advance:
    """Wrap `advance` to say how long all steps take once the first ones are measured; `what` begins the sentence."""
    times: list[float] = []

    def step(count: int) -> None:
        advance(count)
        if len(times) <= MEASURED_STEPS:
            times.append(time.perf_counter())
            if len(times) == MEASURED_STEPS + 1:
                each = (times[-1] - times[0]) / MEASURED_STEPS
                progress.say(f"{what} takes {in_words(each * steps)}, or less")

    return step
