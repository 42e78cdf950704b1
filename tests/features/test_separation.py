"""What sustains and what strikes, and bands."""

from __future__ import annotations

import numpy as np
import pytest
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, signal
from sounds import clicks, tone

from audioreactive.features import separation, spectra
from audioreactive.media.audio import ANALYSIS_RATE


@settings(max_examples=examples(15, 40), deadline=None)
# scipy reflects wrongly where a kernel reaches beyond the reflection of the whole.
@given(
    frames=st.integers(16, 80), bins=st.integers(16, 90), seed=st.integers(0, 1000), levels=st.sampled_from([2, 5, 0])
)
def test_the_sliding_median_is_scipys(frames: int, bins: int, seed: int, levels: int) -> None:
    random = np.random.default_rng(seed)
    # Few levels make many ties.
    values = random.integers(0, levels, (frames, bins)) if levels else random.random((frames, bins))
    values = values.astype(np.float32)
    time, frequency = separation.median_along_time(values), separation.median_along_frequency(values)
    np.testing.assert_array_equal(time, ndimage.median_filter(values, size=(31, 1), mode="reflect"))
    np.testing.assert_array_equal(frequency, ndimage.median_filter(values, size=(1, 31), mode="reflect"))


def test_the_sliding_median_across_its_blocks() -> None:
    values = np.random.default_rng(0).random((700, 130), dtype=np.float32)
    time, frequency = separation.median_along_time(values), separation.median_along_frequency(values)
    np.testing.assert_array_equal(time, ndimage.median_filter(values, size=(31, 1), mode="reflect"))
    np.testing.assert_array_equal(frequency, ndimage.median_filter(values, size=(1, 31), mode="reflect"))


def test_a_tone_is_harmonic_and_a_click_is_percussive() -> None:
    sustained, struck = tone(440, 4), clicks([1, 2, 3], 4)
    parts = separation.hpss(sustained + struck)
    inner = slice(ANALYSIS_RATE // 2, -ANALYSIS_RATE // 2)

    def energy(y: np.ndarray) -> float:
        return float(np.square(y[inner]).sum())

    assert energy(parts.harmonic - sustained) < 0.02 * energy(sustained)
    assert energy(parts.percussive - struck) < 0.15 * energy(struck)


def test_istft_inverts_stft_and_agrees_with_scipy() -> None:
    y = np.random.default_rng(0).normal(size=20_000).astype(np.float32)
    spectrum = spectra.stft(y, n_fft=2048, hop_length=512)
    ours = spectra.istft(spectrum, hop_length=512, length=len(y))
    np.testing.assert_allclose(ours[:-512], y[:-512], atol=1e-5)
    mask = np.random.default_rng(1).random(spectrum.shape).astype(np.float32)
    window = spectra.hann(2048)
    masked = spectrum * mask
    _, theirs = signal.istft(masked.T / window.sum(), window=window, nperseg=2048, noverlap=1536)
    ours = spectra.istft(masked, hop_length=512, length=len(y))
    np.testing.assert_allclose(ours[:18_000], theirs[:18_000], atol=1e-4)


def test_bands_add_up_and_have_their_edges() -> None:
    hz = np.geomspace(20, 12_000, 500)
    weights = {name: band.weights(hz) for name, band in separation.BANDS.items()}
    np.testing.assert_allclose(sum(weights.values()), 1, atol=1e-6)
    for name, inside, outside in (("bass", 100, 400), ("mid", 600, 100), ("mid", 600, 5000), ("high", 5000, 1000)):
        band = separation.BANDS[name]
        assert band.weights(np.array([float(inside)])) == pytest.approx(1)
        assert band.weights(np.array([float(outside)])) == pytest.approx(0)
