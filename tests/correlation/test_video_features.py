"""Table 3.2 on pictures whose features are known."""

from __future__ import annotations

import colorsys
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from audioreactive.correlation import video_features
from audioreactive.correlation.video_features import VIDEO_FEATURES, watch


def texture(size: int = 64, seed: int = 0) -> np.ndarray:
    """(size, size, 3) uint8, smooth, and alike at opposite edges."""
    image = np.random.default_rng(seed).normal(size=(size, size, 1))
    spectrum = np.fft.fft2(image, axes=(0, 1))
    radius = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None])[..., None]
    image = np.fft.ifft2(spectrum * np.exp(-((radius / 0.06) ** 2)), axes=(0, 1)).real
    image = (image - image.min()) / np.ptp(image)
    return np.repeat(image * 255, 3, axis=2).astype(np.uint8)


def test_every_row_of_the_table():
    frames = [texture(seed=i) for i in range(20)]
    features = watch(frames)
    assert list(features) == list(VIDEO_FEATURES)
    for name, feature in VIDEO_FEATURES.items():
        assert features[name].shape == (20, feature.channels)
        assert features[name].dtype == np.float32
        assert np.isfinite(features[name]).all()
    assert sum(feature.channels for feature in VIDEO_FEATURES.values()) == 248


def test_more_frames_than_expected(monkeypatch):
    """Tables grow; and what is worked on piece by piece is the same as in one piece."""
    frames = [texture(32, seed=i // 3) for i in range(23)]
    whole = watch(frames)
    monkeypatch.setattr(video_features, "_BLOCK", 4)
    for expected in (0, 3, 22, 100):
        grown = watch(frames, expected=expected)
        for name, table in whole.items():
            np.testing.assert_array_equal(grown[name], table)


def test_onsets_are_gains():
    frames = [texture(32, seed=i // 3) for i in range(23)]
    features = watch(frames)
    spectrum = features["spectrogram"].astype(np.float64)
    gains = np.diff(np.log(spectrum + 0.1 * spectrum.mean(0) + 1e-9), axis=0).clip(0).mean(1)
    np.testing.assert_allclose(features["spectral_onsets"][1:, 0], gains, atol=1e-5)
    assert features["spectral_onsets"][0] == features["spectral_onsets"][1]


def test_histograms():
    rng = np.random.default_rng(1)
    frame = rng.integers(0, 256, (40, 30, 3), dtype=np.uint8)
    features = watch([frame, frame])
    rgb, hsv = features["rgb_histogram"][1].reshape(3, 32), features["hsv_histogram"][1].reshape(3, 32)
    for channel in range(3):
        assert rgb[channel] == pytest.approx(np.bincount(frame[..., channel].ravel() // 8, minlength=32) / 1200)
    pixels = np.array([colorsys.rgb_to_hsv(*(pixel / 255)) for pixel in frame.reshape(-1, 3)])
    for channel in range(3):
        expected = np.histogram(pixels[:, channel], 32, (0, 1))[0] / 1200
        assert np.abs(hsv[channel] - expected).sum() < 0.01  # pixels on a border may fall to either side


def test_variance_and_difference():
    black, half = np.zeros((32, 32, 3), np.uint8), np.zeros((32, 32, 3), np.uint8)
    half[:16] = 255
    features = watch([black, half, half, black])
    assert features["visual_variance"][:, 0] == pytest.approx([0, 0.25, 0.25, 0])
    assert features["absolute_difference"][:, 0] == pytest.approx([0.5, 0.5, 0, 0.5])


@pytest.mark.parametrize("cycles", [1, 6, 15, 25, 32])
def test_a_wave_lies_in_its_band(cycles):
    x = np.arange(64)
    wave = 128 + 100 * np.cos(2 * np.pi * cycles * x / 64)
    for picture in (np.repeat(wave[:, None], 64, 1), np.repeat(wave[None], 64, 0)):
        features = watch([np.repeat(picture[..., None], 3, 2).round().astype(np.uint8)] * 2)
        assert features["spectrogram"][0].argmax() == cycles - 1
        loudness = [features[name][0, 0] for name in ("low_rms", "mid_rms", "high_rms")]
        assert int(np.argmax(loudness)) == (cycles - 1) // 11
        assert features["spectral_onsets"].max() == 0


def test_the_adaptive_loudness_follows_what_varies():
    x = np.arange(64)
    frames = []
    amount = 0.5 + 0.5 * np.sin(np.arange(40) / 3)
    for a in amount:
        fine = sum(np.cos(2 * np.pi * cycles * x / 64 + cycles**2) for cycles in range(15, 23))
        picture = 128 + 60 * np.cos(2 * np.pi * 3 * x / 64)[:, None] + 10 * a * fine[None]
        frames.append(np.repeat(picture[..., None], 3, 2).round().astype(np.uint8))
    adaptive = watch(frames)["adaptive_rms"][:, 0]
    assert np.corrcoef(adaptive, amount)[0, 1] > 0.99


@pytest.mark.parametrize(("step", "direction"), [((0, 2), 0), ((2, 2), 2), ((2, 0), 4), ((0, -2), 8), ((-2, 0), 12)])
def test_the_directogram_points_where_things_move(step, direction):
    image = texture(128)
    frames = [np.roll(image, (step[0] * i, step[1] * i), (0, 1)) for i in range(5)]
    directions = watch(frames)["directogram"]
    assert (directions.argmax(1) == direction).all()
    assert directions.sum(1) == pytest.approx(np.hypot(*step) / 128, rel=0.2)


def test_flow_onsets_mark_the_start_of_a_movement():
    image = texture(128)
    frames = [np.roll(image, 2 * max(i - 20, 0), 1) for i in range(40)]
    onsets = watch(frames)["flow_onsets"][:, 0]
    assert onsets.argmax() == 21
    assert onsets[21] > 5 * np.delete(onsets, 21).max()


def test_batches_do_not_show():
    """Frames in one go, or the same frames with others after them, measure alike."""
    frames = [texture(seed=i % 5) for i in range(37)]
    long, short = watch(frames), watch(frames[:21])
    for name in VIDEO_FEATURES:
        if name not in ("adaptive_rms", "spectral_onsets"):  # these hang on the whole video
            assert long[name][:21] == pytest.approx(short[name], abs=1e-6)


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for its memory")
def test_memory_does_not_grow_with_the_length():
    """In a fresh process: what is kept of a frame is a kilobyte, not a megabyte of scattered memory."""
    program = """
import numpy as np
from audioreactive.correlation import watch

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 2**20

def frames(sizes):
    picture = np.random.RandomState(0).randint(0, 256, (256, 256, 3)).astype(np.uint8)
    for i in range(240):
        if i % 80 == 0:
            sizes.append(resident())
        yield np.roll(picture, i, axis=1)

sizes = []
watch(frames(sizes))
print(resident() - sizes[1])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 40


def test_large_pictures_are_shrunk():
    large = cv2.resize(texture(128), (768, 768), interpolation=cv2.INTER_CUBIC)
    small = cv2.resize(large, (256, 256), interpolation=cv2.INTER_AREA)
    for name, table in watch([large] * 2).items():
        assert table == pytest.approx(watch([small] * 2)[name])


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (16, 200), (2, 400)])
def test_any_size(size):
    frames = [np.random.default_rng(i).integers(0, 256, (*size, 3), dtype=np.uint8) for i in range(3)]
    for table in watch(frames).values():
        assert np.isfinite(table).all()


def test_no_frames_and_one_frame():
    assert all(len(table) == 0 for table in watch([]).values())
    assert all(len(table) == 1 and np.isfinite(table).all() for table in watch([texture()]).values())


def test_every_row_is_documented():
    text = (Path(__file__).parents[2] / "docs" / "lab" / "correlation.md").read_text("utf-8")
    for name, feature in VIDEO_FEATURES.items():
        assert f"| `{name}` | {feature.channels} | {feature.description} |" in text
