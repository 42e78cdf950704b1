"""Clocks: the real one, and one that is simulated, with exact delays on any machine."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Time of a performance, in seconds since its start."""

    simulated: bool

    def now(self) -> float:
        """Return the time."""
        ...

    def begin(self) -> None:
        """Make this moment the start."""
        ...

    def wait_until(self, seconds: float) -> None:
        """Return at this time, or at once if it is past."""
        ...

    def worked(self) -> None:
        """Note that a picture was made."""
        ...


class RealClock:
    """The computer's clock."""

    simulated = False

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Make this moment the start."""
        self._start = time.perf_counter()

    def now(self) -> float:
        """Return the time since the clock was made."""
        return time.perf_counter() - self._start

    def wait_until(self, seconds: float) -> None:
        """Sleep."""
        if (rest := seconds - self.now()) > 0:
            time.sleep(rest)

    def worked(self) -> None:
        """Do nothing: the work took its time."""


class SimulatedClock:
    """Time that waits for nobody to hear: waiting takes none, and work as long as it took on this machine.

    Args:
        cost: seconds that each picture takes, instead of what was measured; then a performance can be repeated.
    """

    simulated = True

    def __init__(self, cost: float | None = None) -> None:
        self._cost = cost
        self.begin()

    def begin(self) -> None:
        """Make this moment the start."""
        self._time = 0.0
        self._mark = time.perf_counter()

    def now(self) -> float:
        """Return the time: what was waited for, and what was worked since."""
        return self._time + (time.perf_counter() - self._mark if self._cost is None else 0.0)

    def wait_until(self, seconds: float) -> None:
        """Go on to this time."""
        self._time = max(self.now(), seconds)
        self._mark = time.perf_counter()

    def worked(self) -> None:
        """Add what a picture costs."""
        self._time += self._cost or 0.0
