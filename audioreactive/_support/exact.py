"""Parse numbers and times as people write them, without rounding: 24, 59.94, 30000/1001, 1:35."""

from __future__ import annotations

import re
from fractions import Fraction


def exact(text: str) -> Fraction:
    """Parse a non-negative number: digits, optionally with a decimal point or a fraction slash.

    The number of digits is limited and exponents are refused, because `Fraction("1e999999999")` never returns.

    Raises:
        ValueError: the text is not such a number.
    """
    if (
        re.fullmatch(r"([0-9]{1,12}(\.[0-9]{0,12})?|\.[0-9]{1,12}|[0-9]{1,12}/0*[1-9][0-9]{0,11})", text.strip())
        is None
    ):
        raise ValueError(f"{text[:40]!r} is not a number of up to 12 digits, such as 24, 59.94 or 30000/1001")
    return Fraction(text.strip())


def exact_time(text: str) -> Fraction:
    """Parse a time in seconds, minutes:seconds or hours:minutes:seconds.

    Raises:
        ValueError: the text is not such a time.
    """
    parts = [exact(part) for part in text.split(":")]
    if len(parts) > 3:
        raise ValueError(f"{text[:40]!r} is not a time, such as 95, 95.5 or 1:35")
    return sum((part * 60**power for power, part in enumerate(reversed(parts))), Fraction(0))
