"""Numbers and times as people write them, exactly: 24, 59.94, 30000/1001, 1:35."""

from __future__ import annotations

import re
from fractions import Fraction


def exact(text: str) -> Fraction:
    """Digits, with a decimal point or a fraction line if need be; never negative.

    Few digits and no exponents: `Fraction` itself takes "1e999999999", and does not come back.

    Raises:
        ValueError: it is not such a number.
    """
    if (
        re.fullmatch(r"([0-9]{1,12}(\.[0-9]{0,12})?|\.[0-9]{1,12}|[0-9]{1,12}/0*[1-9][0-9]{0,11})", text.strip())
        is None
    ):
        raise ValueError(f"{text[:40]!r} is not a number of up to 12 digits, such as 24, 59.94 or 30000/1001")
    return Fraction(text.strip())


def exact_time(text: str) -> Fraction:
    """Seconds, minutes:seconds or hours:minutes:seconds.

    Raises:
        ValueError: it is no such time.
    """
    parts = [exact(part) for part in text.split(":")]
    if len(parts) > 3:
        raise ValueError(f"{text[:40]!r} is not a time, such as 95, 95.5 or 1:35")
    return sum((part * 60**power for power, part in enumerate(reversed(parts))), Fraction(0))
