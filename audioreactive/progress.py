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
