"""How long work tells the person who waits for it where it is; the command line draws bars, a program may not care."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

Advance = Callable[[int], None]
"""Says how many more units are done."""


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
