"""Measures against scikit-image and ffmpeg, and by hand; other codecs at equal bytes."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
from codec_clips import RATE, moving, tone

from audioreactive.codec.clip import Clip, Sound
from audioreactive.codec.compare import ENCODERS, coded, compare, table
from audioreactive.codec.metrics import log_spectral_distance, psnr, sound_psnr, sqnr, ssim
from audioreactive.codec.packing import PackSettings
from audioreactive.codec.sound import RATES, decoded, good_opus, opus
from audioreactive.media.ffmpeg import ffmpeg_path

if TYPE_CHECKING:
    from pathlib import Path


def pair() -> tuple[np.ndarray, np.ndarray]:
    first = moving(3, (64, 48))
    noise = np.random.RandomState(0).normal(0, 6, first.shape)
    return first, np.clip(first + noise, 0, 255).astype(np.uint8)


def test_as_scikit_image() -> None:
    metrics = pytest.importorskip("skimage.metrics")
    first, second = pair()
    assert psnr(first, second) == pytest.approx(metrics.peak_signal_noise_ratio(first, second), abs=1e-9)
    wanted = [metrics.structural_similarity(a, b, channel_axis=2) for a, b in zip(first, second, strict=True)]
    assert ssim(first, second) == pytest.approx(np.mean(wanted), abs=1e-9)


def filtered(name: str, first: np.ndarray, second: np.ndarray, folder: Path) -> str:
    """What a filter of ffmpeg's says of two sequences of grey pictures."""
    import subprocess

    files = []
    for number, frames in enumerate((first, second)):
        files.append(folder / f"{number}.raw")
        files[-1].write_bytes(frames[..., 0].tobytes())
    size = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{first.shape[2]}x{first.shape[1]}"]
    inputs = [word for file in files for word in (*size, "-i", str(file))]
    command = [str(ffmpeg_path()), "-hide_banner", *inputs, "-lavfi", name, "-f", "null", "-"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stderr


def test_as_ffmpeg(tmp_path: Path) -> None:
    first, second = (np.repeat(frames[..., :1], 3, 3) for frames in pair())
    found = re.search(r"PSNR y:([\d.]+)", filtered("psnr", first, second, tmp_path))
    assert found is not None and psnr(first, second) == pytest.approx(float(found[1]), abs=1e-4)
    found = re.search(r"SSIM Y:([\d.]+)", filtered("ssim", first, second, tmp_path))
    assert found is not None  # ffmpeg's windows are of 8 x 8 pixels, at every fourth
    assert ssim(first, second) == pytest.approx(float(found[1]), abs=0.03)


def test_by_hand() -> None:
    black = np.zeros((1, 8, 8, 3), np.uint8)
    assert psnr(black, black + 1) == pytest.approx(20 * math.log10(255))
    assert psnr(black, black) == 150 and ssim(black, black) == 1
    assert sqnr(np.array([3.0, 4.0]), np.array([3.0, 3.0])) == pytest.approx(10 * math.log10(25))
    one, other = Sound(np.full((100, 1), 0.5, np.float32), 8000), Sound(np.full((100, 1), 0.25, np.float32), 8000)
    assert sound_psnr(one, other) == pytest.approx(20 * math.log10(2))
    assert sound_psnr(one, Sound(np.full((100, 2), 0.5, np.float32), 8000)) == 150


def test_spectral_distance() -> None:
    draw = np.random.RandomState(0)
    samples = draw.randn(20_000, 1).astype(np.float32) * 0.1
    one = Sound(samples, RATE)
    assert log_spectral_distance(one, one) == 0
    # Half as loud is 6.02 dB in every bin; what is not 0 everywhere is more than the mean.
    assert log_spectral_distance(one, Sound(samples / 2, RATE)) == pytest.approx(20 * math.log10(2), abs=1e-4)
    far = Sound(draw.randn(20_000, 1).astype(np.float32) * 0.1, RATE)
    assert 5 < log_spectral_distance(one, far) < 12


def test_other_rates_are_resampled() -> None:
    t = np.arange(48_000) / 48_000
    high = Sound(np.sin(2 * np.pi * 200 * t)[:, None].astype(np.float32), 48_000)
    low = Sound(high.samples[::3].copy(), 16_000)
    assert sound_psnr(low, high) > 40


def test_opus_is_good_enough_or_as_good_as_there_is_room() -> None:
    sound = Sound(tone(2.0), RATE)
    data, found = good_opus(sound)
    assert found >= 35 and found == pytest.approx(sound_psnr(sound, decoded(data)), abs=1e-9)
    assert data == good_opus(sound)[0]
    noise = Sound(np.random.RandomState(0).randn(2 * RATE, 1).astype(np.float32) * 0.2, RATE)
    small, worse = good_opus(noise, most_bytes=9000)
    assert len(small) <= 9000 and worse < 35
    assert len(good_opus(noise, most_bytes=1)[0]) == len(opus(noise, RATES[0]))


def test_the_table_has_equal_bytes(tmp_path: Path) -> None:
    clip = Clip(moving(6, (64, 48)), Fraction(8), None)
    rows = compare(clip, PackSettings(effort=0.05))
    assert next(row.name for row in rows) == "grids (this)" and len(rows) == 1 + len(ENCODERS)
    for row in rows[1:]:
        assert row.bytes <= rows[0].bytes and row.psnr > 20
    assert "closer to the clip" in table(rows) or "closest to the clip" in table(rows)
    # Finer steps of the same encoder take more and are closer.
    coarse, fine = (coded(ENCODERS[0], clip, quality, tmp_path) for quality in (40, 20))
    assert coarse[0] < fine[0] and psnr(clip.frames, coarse[1]) < psnr(clip.frames, fine[1])


def test_the_command_prints_the_table(clip_file: Path, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from audioreactive.commands.pack import command

    words = [str(clip_file), "--compare", "--effort", "0.02", "-q"]
    run = CliRunner().invoke(command, words, catch_exceptions=False)
    assert run.exit_code == 0 and "H.265" in run.output and "AV1" in run.output
    assert not clip_file.with_suffix(".arc").exists()
