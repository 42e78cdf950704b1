"""Numbers as people write them."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audioreactive._support.exact import exact

DIGITS = st.integers(0, 10**12 - 1)


@given(DIGITS, st.integers(1, 10**12 - 1))
def test_a_fraction_is_itself(above: int, below: int) -> None:
    assert exact(f"{above}/{below}") == Fraction(above, below)


@given(DIGITS, st.integers(0, 10**6 - 1))
def test_a_decimal_is_exact(whole: int, millionths: int) -> None:
    assert exact(f" {whole}.{millionths:06} ") == whole + Fraction(millionths, 10**6)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "-1",
        "+1",
        "1/0",
        "1/-2",
        "1e9",
        "1e999999999",
        "1_000",
        "nan",
        "inf",
        "1" * 13,
        "0." + "1" * 13,
        "\u0661",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number"):
        exact(text)


@given(st.text(max_size=20))
def test_whatever_is_taken_is_small(text: str) -> None:
    try:
        number = exact(text)
    except ValueError:
        return
    assert 0 <= number < 10**12 and number.denominator <= 10**12
