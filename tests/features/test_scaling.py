"""Everything ends up in [0, 1], and nothing is flattened by one loud moment."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from audioreactive.features import EVERY_FEATURE
from audioreactive.features.scaling import scaled


@settings(max_examples=150, deadline=None)
@given(
    feature=st.sampled_from(list(EVERY_FEATURE)),
    values=arrays(np.float32, st.tuples(st.integers(1, 30), st.just(3)), elements=st.floats(-1e6, 1e6, width=32)),
)
def test_all_features_of_all_values_lie_between_0_and_1(feature: str, values: np.ndarray) -> None:
    if feature in ("rms", "onsets", "spectral_flatness", "chroma"):  # Never negative.
        values = np.abs(values)
    result = scaled(feature, values[:, :1] if EVERY_FEATURE[feature].channels == 1 else values)
    assert result.dtype == np.float32
    assert np.isfinite(result).all()
    assert (result >= 0).all()
    assert (result <= 1).all()


@pytest.mark.parametrize("feature", EVERY_FEATURE)
def test_what_never_sounds_is_zero(feature: str) -> None:
    assert not scaled(feature, np.zeros((50, EVERY_FEATURE[feature].channels), np.float32)).any()


def strokes(heights: list[float]) -> np.ndarray:
    """One each half second on the fine grid."""
    envelope = np.full((48 * len(heights), 1), 0.05, np.float32)
    envelope[24::48, 0] = heights
    return envelope


def test_one_stroke_out_of_silence_does_not_flatten_the_others() -> None:
    usual = scaled("onsets", strokes([5.0] * 40))
    loud = scaled("onsets", strokes([60.0] + [5.0] * 39))
    assert usual[24::48].min() == 1
    assert loud[24::48].min() >= 0.8


def test_rare_strokes_keep_the_noise_between_them_small() -> None:
    envelope = np.abs(np.random.default_rng(0).normal(size=(96 * 60, 1))).astype(np.float32) * 0.1
    envelope[96 * 30] = 20
    result = scaled("onsets", envelope)
    assert result[96 * 30] == 1
    assert result[: 96 * 30].max() < 0.3


def test_scaling_keeps_the_order() -> None:
    values = np.random.default_rng(1).random((200, 1)).astype(np.float32)
    for feature in ("rms", "onsets", "spectral_flatness"):
        order = values[:, 0].argsort()
        assert (np.diff(scaled(feature, values)[order, 0]) >= 0).all()


def test_tonnetz_is_centred() -> None:
    values = np.random.default_rng(2).normal(size=(500, 6)).astype(np.float32) * 0.1
    values[0] = 0
    result = scaled("tonnetz", values)
    np.testing.assert_allclose(result[0], 0.5)
    np.testing.assert_allclose(scaled("tonnetz", -values), 1 - result, atol=1e-6)
