"""Progress bars and messages for a terminal."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from typing import TYPE_CHECKING, Any

from audioreactive.errors import printable
from audioreactive.progress import Progress, Silent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from audioreactive.progress import Advance


_SHARE = "{desc} {percentage:3.0f}% |{bar:24}| {remaining} left"
"""Format of a bar for a stage that reports only its share; a rate in percent per second would not help."""
_UNITS = "{desc} {percentage:3.0f}% |{bar:24}| {n_fmt} of {total_fmt}{unit}, {rate_noinv_fmt}, {remaining} left"


class Bars:
    """One bar a stage, with rate and time left, on standard error."""

    def say(self, message: str) -> None:
        """Print a message above the bars."""
        from tqdm import tqdm

        tqdm.write(f"note: {printable(message)}", file=sys.stderr)

    @contextlib.contextmanager
    def track(self, stage: str, total: int, unit: str) -> Iterator[Advance]:
        """Show a bar from 0 to `total`."""
        with _bar_type()(
            total=total,
            desc=f"{stage:9}",
            unit=f" {unit}es" if unit.endswith("s") else f" {unit}s",
            smoothing=0.1,
            miniters=1,
            bar_format=_SHARE if unit == "%" else _UNITS,
            file=sys.stderr,
            ncols=_columns(),
            nrows=24,  # there is one bar at a time, for which every terminal has room
            mininterval=0.1 if sys.stderr.isatty() else 10,  # a log gets a line now and then
        ) as bar:

            def advance(count: int) -> None:
                bar.update(count)

            yield advance


def _columns() -> int | None:
    """A usual width where a terminal does not know its own, as in some containers; None where it does, or is none."""
    try:
        known = os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError):
        return None
    return None if known > 1 else 80


@functools.cache
def _bar_type() -> Any:
    """A tqdm class without tqdm's monitoring thread, which reads bars while they change."""
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[misc]
        monitor_interval = 0

    return Bar


def progress_for(quiet: bool) -> Progress:
    """Progress bars, or no output with --quiet."""
    return Silent() if quiet else Bars()
