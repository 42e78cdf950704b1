"""Progress bars and remarks for a terminal."""

from __future__ import annotations

import contextlib
import functools
import sys
from typing import TYPE_CHECKING, Any

from audioreactive.errors import printable
from audioreactive.progress import Progress, Silent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from audioreactive.progress import Advance


_SHARE = "{desc} {percentage:3.0f}% |{bar:24}| {remaining} left"
"""A stage that tells its share alone: so many percent a second is nothing that a person wants to know."""
_UNITS = "{desc} {percentage:3.0f}% |{bar:24}| {n_fmt} of {total_fmt}{unit}, {rate_noinv_fmt}, {remaining} left"


class Bars:
    """One bar a stage, with rate and time left, on standard error."""

    def say(self, message: str) -> None:
        """A remark, above the bars."""
        from tqdm import tqdm

        tqdm.write(f"note: {printable(message)}", file=sys.stderr)

    @contextlib.contextmanager
    def track(self, stage: str, total: int, unit: str) -> Iterator[Advance]:
        """A bar from 0 to total."""
        with _bar_type()(
            total=total,
            desc=f"{stage:9}",
            unit=f" {unit}s",
            smoothing=0.1,
            miniters=1,
            bar_format=_SHARE if unit == "%" else _UNITS,
            file=sys.stderr,
            mininterval=0.1 if sys.stderr.isatty() else 10,  # a log gets a line now and then
        ) as bar:

            def advance(count: int) -> None:
                bar.update(count)

            yield advance


@functools.cache
def _bar_type() -> Any:
    """A bar that is drawn by whoever works, and by no thread of its own: tqdm's looks at bars while they change."""
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[misc]
        monitor_interval = 0

    return Bar


def progress_for(quiet: bool) -> Progress:
    """Bars, or silence for scripts."""
    return Silent() if quiet else Bars()
