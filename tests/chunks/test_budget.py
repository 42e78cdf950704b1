"""Films keep to a size and a bit rate."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
from crews import Ears, Player, tone

from audioreactive.chunks.budget import Budget
from audioreactive.chunks.film import Film, make_film
from audioreactive.chunks.making import LocalExecutor
from audioreactive.chunks.plan import plan_chunks
from audioreactive.media.ffmpeg import run
from audioreactive.video import VideoSettings, output_format, read_frames
from audioreactive.video.chunks import ENCODER_THREADS, Encoding

if TYPE_CHECKING:
    from pathlib import Path

FPS = Fraction(24)
SIZE = (96, 64)


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tone(tmp_path_factory.mktemp("song") / "song.wav", 9)


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """Nine seconds: calm, then wild, then calm; smooth waves with some noise."""
    random = np.random.RandomState(0)
    y, x = np.mgrid[: SIZE[1], : SIZE[0]] / 16
    made = []
    for i in range(208):
        wild = 1.0 if 72 <= i < 144 else 0.2
        waves = np.stack([np.sin(x * (1 + c) + y + i * wild * (0.3 + c / 5)) for c in range(3)], -1)
        made.append(90 + 50 * waves + wild * 25 * random.randn(*waves.shape))
    return np.clip(made, 0, 255).astype(np.uint8)


def make(output: Path, song: Path, frames: np.ndarray, *, length: int = 48, **limits) -> list[str]:
    """A film of the frames, in chunks of two seconds or so; what was said."""
    kind, ears = output_format(output), Ears()
    layout = kind.best_layout("")
    settings = VideoSettings(fps=FPS, size=SIZE, layout=layout, threads=ENCODER_THREADS, speed="veryfast")
    film = Film(
        output=output,
        encoding=Encoding(kind, settings, SIZE),
        chunks=plan_chunks(0, len(frames), length),
        job={},
        song=song,
        start=Fraction(0),
        duration=len(frames) / FPS,
        preset="a = 1",
        fit=Budget(ears, **limits) if limits else None,
    )
    executor = LocalExecutor(lambda: Player(frames, layout), film.encoding)  # type: ignore[arg-type, return-value]
    make_film(film, executor, overwrite=True, fresh=False, progress=ears)
    return ears.said


@pytest.mark.parametrize("extension", [".mp4", ".webm"])
@pytest.mark.parametrize("share", [0.35, 0.6, 0.9])
def test_the_size_is_kept(tmp_path: Path, song: Path, frames: np.ndarray, extension: str, share: float) -> None:
    plain, small = tmp_path / f"plain{extension}", tmp_path / f"small{extension}"
    make(plain, song, frames)
    sound = 9 * 24_000
    most = int(sound + (plain.stat().st_size - sound) * share)
    said = make(small, song, frames, size=most)
    assert said[0].startswith(f"small{extension} has ") and "of the song" in said[0]
    assert 0.98 * most <= small.stat().st_size <= most
    shown, usual = (np.stack(list(read_frames(path))) for path in (small, plain))
    assert shown.shape == usual.shape
    assert np.abs(shown.astype(int) - usual).mean() < 30


def rates(path: Path, chunk: int) -> np.ndarray:
    """Bits a second of picture packets in each chunk of so many frames."""
    listing = run(["-v", "error", "-i", str(path), "-map", "0:v:0", "-c", "copy", "-f", "framecrc", "-"])
    packets = re.findall(r"^0, *-?\d+, *-?\d+, *-?\d+, *(\d+),", listing, re.M)
    counts = np.array(packets, int)
    starts = np.arange(0, len(counts), chunk)
    return 8 * np.add.reduceat(counts, starts) / (np.diff([*starts, len(counts)]) / float(FPS))


@pytest.mark.parametrize("extension", [".mp4", ".webm"])
def test_no_chunk_has_more_than_the_bit_rate(tmp_path: Path, song: Path, frames: np.ndarray, extension: str) -> None:
    plain, small = tmp_path / f"plain{extension}", tmp_path / f"small{extension}"
    make(plain, song, frames)
    usual = rates(plain, 48)
    sound = 8 * plain.stat().st_size / (len(frames) / FPS) - usual @ [48, 48, 48, 48, 16] / 208
    most = int(sound + 0.6 * usual.max())
    said = make(small, song, frames, rate=most)
    assert "chunks stay as they were" in said[0]
    found = rates(small, 48)
    assert (found[:4] + sound <= 1.001 * most).all() and found.max() + sound > 0.95 * most
    assert 8 * small.stat().st_size / (len(frames) / FPS) <= most
    calm = usual[:4] + sound < most
    assert calm.any()
    np.testing.assert_allclose(found[:4][calm], usual[:4][calm], rtol=0.01)
