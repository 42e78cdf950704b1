"""Sizes, bit rates and deadlines, as people write them."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import pytest

import audioreactive
from audioreactive._support.amounts import bytes_in_words, parse_bytes, parse_deadline, parse_rate
from audioreactive.errors import RenderError, VideoError
from audioreactive.media.demo import DEMO_SONG

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "size"),
    [("25MB", 25_000_000), ("25 mb", 25_000_000), ("25M", 25_000_000), ("8MiB", 8 << 20), ("1.5GB", 1_500_000_000),
     ("500kB", 500_000), ("123456", 123_456)],
)  # fmt: skip
def test_sizes(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize(("text", "rate"), [("4M", 4_000_000), ("800k", 800_000), ("2.5Mbps", 2_500_000)])
def test_bit_rates(text: str, rate: int) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    ("text", "seconds"), [("10m", 600), ("1h30m", 5400), ("90s", 90), ("90", 90), ("10:00", 600), ("1.5h", 5400)]
)
def test_deadlines(text: str, seconds: int) -> None:
    assert parse_deadline(text) == Fraction(seconds)


@pytest.mark.parametrize("parse", [parse_bytes, parse_rate, parse_deadline])
@pytest.mark.parametrize("text", ["", "0", "-1", "nan", "inf", "1e9", "MB", "1..5M", "9" * 400, "\x1b[31m", "٣M"])
def test_nonsense(parse, text: str) -> None:
    with pytest.raises(RenderError, match="is not a") as told:
        parse(text)
    assert len(str(told.value)) < 200 and str(told.value).isprintable()


def test_sizes_in_words() -> None:
    words = [bytes_in_words(size) for size in (12, 1234, 25_000_000, 1_184_000, 3 * 10**9, 10**13)]
    assert words == ["12 bytes", "1.23 kB", "25 MB", "1.18 MB", "3 GB", "10000 GB"]


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.mkv", "a.mov", "a"])
@pytest.mark.parametrize("limit", [{"max_size": "2MB"}, {"max_bitrate": "1M"}])
def test_formats_without_a_choice_of_quality_are_refused(tmp_path: Path, name: str, limit: dict[str, str]) -> None:
    with pytest.raises(VideoError, match=f"cannot be kept to {next(iter(limit))}: give it to an .mp4 or a .webm"):
        audioreactive.render(DEMO_SONG, tmp_path / name, **limit)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
