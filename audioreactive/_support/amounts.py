"""Parse amounts as people write them: 25MB, 4M, 1h30m."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

from audioreactive._support.exact import exact, exact_time
from audioreactive.errors import RenderError, shown

_SIZE_UNITS: Final = {
    "": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30, "ti": 1 << 40,
}  # fmt: skip
_RATE_UNITS: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
_TIME_UNITS: Final = {"h": 3600, "m": 60, "s": 1}
LEAST_BYTES: Final = 1000
"""Smallest size of a video that may be asked for; the header alone is about as large."""
MOST_BYTES: Final = 10**15
LEAST_RATE: Final = 1000
"""Smallest bits a second that may be asked for."""
MOST_RATE: Final = 10**12
LONGEST: Final = 30 * 86400
"""Longest deadline in seconds."""


def parse_bytes(text: str) -> int:
    """Parse a size such as 25MB (25 million bytes), 8MiB or 500kB; raises RenderError for anything else."""
    match = re.fullmatch(r"([0-9.]+) ?([kmgt]i?|)b?(?:ytes)?", text.strip(), re.IGNORECASE)
    size = _product(match, _SIZE_UNITS)
    if size is None or not LEAST_BYTES <= size <= MOST_BYTES:
        raise RenderError(f"{shown(text)} is not a size from 1kB to 1000TB, such as 25MB, 8MiB or 500kB")
    return int(size)


def parse_rate(text: str) -> int:
    """Parse bits a second such as 4M or 800k; raises RenderError for anything else."""
    match = re.fullmatch(r"([0-9.]+) ?([kmg]|)(?:bit/s|bits/s|bps|b/s|bit)?", text.strip(), re.IGNORECASE)
    rate = _product(match, _RATE_UNITS)
    if rate is None or not LEAST_RATE <= rate <= MOST_RATE:
        raise RenderError(f"{shown(text)} is not a number of bits a second from 1k to 1000G, such as 4M or 800k")
    return int(rate)


def parse_deadline(text: str) -> Fraction:
    """Parse a length of time such as 10m, 1h30m, 90s, or 10:00; raises RenderError for anything else."""
    stripped = text.strip().lower()
    match = re.fullmatch(r"(?:([0-9.]+)h)? ?(?:([0-9.]+)m(?:in)?)? ?(?:([0-9.]+)s)?", stripped)
    try:
        if match and stripped:
            parts = zip(match.groups(), _TIME_UNITS.values(), strict=True)
            seconds = sum((exact(part) * unit for part, unit in parts if part is not None), Fraction(0))
        else:
            seconds = exact_time(stripped)
    except ValueError:
        seconds = Fraction(0)
    if not 1 <= seconds <= LONGEST:
        raise RenderError(f"{shown(text)} is not a time from 1s to 720h, such as 10m, 1h30m or 90s")
    return seconds


def bytes_in_words(size: float) -> str:
    """Format a size for people: 24.8 MB."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}" if size < 1000 * unit else f"{size / unit:.0f} {name}"
    return f"{size:.0f} bytes"


def _product(match: re.Match[str] | None, units: dict[str, int]) -> Fraction | None:
    if match is None:
        return None
    try:
        return exact(match[1]) * units[match[2].lower()]
    except ValueError:
        return None
