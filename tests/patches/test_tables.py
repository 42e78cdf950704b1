"""Envelopes, curves and merges against known answers and laws."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d
from support import make_features

from audioreactive.patches.fields import Envelope
from audioreactive.patches.schema import LatentLoop
from audioreactive.patches.tables import (
    approach,
    bar_position,
    base_weights,
    feature_weights,
    gather,
    held,
    hold_and_release,
    merge_amount,
    shape_envelope,
    smooth,
    spline_weights,
)


def test_release_decays_to_one_over_e_and_attacks_at_once() -> None:
    pulse = np.zeros((100, 1), np.float32)
    pulse[10] = 0.8
    released = hold_and_release(pulse, decay=12)[:, 0]
    assert np.all(released[:10] == 0)
    assert released[10] == pytest.approx(0.8, abs=1e-6)
    assert released[22] == pytest.approx(0.8 / np.e, abs=1e-6)


def test_release_is_the_loop_that_it_replaces() -> None:
    values = np.random.RandomState(3).random_sample((500, 2)).astype(np.float32) ** 8
    expected = values.copy()
    for t in range(1, len(values)):
        expected[t] = np.maximum(values[t], expected[t - 1] * np.exp(-1 / 7.0))
    np.testing.assert_allclose(hold_and_release(values, decay=7), expected, rtol=0, atol=1e-6)


def test_release_of_an_hour_neither_overflows_nor_fades_wrongly() -> None:
    values = np.zeros((86_400, 1), np.float32)
    values[[0, 86_000]] = 1
    released = hold_and_release(values, decay=1.2)
    assert np.isfinite(released).all()
    assert released[86_000, 0] == 1
    assert released[86_006, 0] == pytest.approx(np.exp(-5), rel=1e-4)


def test_an_attack_rises_in_a_straight_line_to_a_peak_that_stays_where_it_is() -> None:
    pulse = np.zeros((40, 1), np.float32)
    pulse[20:26, 0] = (0.8, 0.6, 0.4, 0.2, 0.1, 0.05)
    risen = approach(pulse, 4)[:, 0]
    np.testing.assert_allclose(risen[15:20], [0, 0, 0.2, 0.4, 0.6], atol=1e-6)
    np.testing.assert_array_equal(risen[20:], pulse[20:, 0])


@pytest.mark.parametrize("rise", [0.3, 1.0, 1.44, 3.6, 900])
def test_an_attack_is_the_loop_that_it_replaces(rise: float) -> None:
    values = np.random.RandomState(3).random_sample((200, 2)).astype(np.float32) ** 8
    frames = np.arange(200)
    ramp = np.where(frames >= frames[:, None], 1 - (frames - frames[:, None]) / rise, -1)  # [now, peak]
    expected = (values[None] * np.maximum(ramp, 0)[:, :, None]).max(axis=1)
    np.testing.assert_allclose(approach(values, rise), expected, rtol=0, atol=1e-6)


def stroke_at(second: int, fps: Fraction) -> np.ndarray:
    values = np.zeros(int(8 * fps), np.float32)
    values[int(second * fps)] = 1
    return values


def test_an_attack_is_the_same_at_every_frame_rate_and_no_earlier_than_it_says() -> None:
    envelope = Envelope(feature="hits", release=0.3, attack=0.06)
    shown = {
        fps: shape_envelope(envelope, make_features(8, fps, hits=stroke_at(3, fps)))[:, 0]
        for fps in (Fraction(24), Fraction(60), Fraction(240))
    }
    for fps, values in shown.items():
        np.testing.assert_allclose(values, shown[Fraction(240)][:: 240 // int(fps)], atol=1e-5)
        assert values.argmax() == 3 * fps
        assert values.max() == 1
        assert not values[: int((3 - 0.06) * float(fps))].any()


def test_without_attack_an_envelope_is_what_it_was() -> None:
    features = make_features(8)
    plain = shape_envelope(Envelope(feature="onsets", release=0.3), features)
    np.testing.assert_array_equal(plain, hold_and_release(features["onsets"], 0.3 * 24))
    attacked = shape_envelope(Envelope(feature="onsets", release=0.3, attack=0.05), features)
    assert (attacked >= plain).all()
    assert (attacked > plain).any()


@pytest.mark.parametrize("sigma", [1.2, 3, 40])
def test_smooth_is_a_gaussian_filter(sigma: float) -> None:
    values = np.random.RandomState(1).random_sample((400, 3)).astype(np.float32)
    expected = gaussian_filter1d(values, sigma, axis=0, mode="reflect", truncate=8)
    # The spectrum of a sampled Gaussian differs from the Gaussian's own by its value at the sampling frequency.
    np.testing.assert_allclose(
        smooth(values, sigma), expected, rtol=0, atol=2e-6 + 2 * np.exp(-((np.pi * sigma) ** 2) / 2)
    )


@given(frames=st.integers(1, 60), channels=st.integers(1, 4), sigma=st.floats(0.01, 500), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=60)
def test_smoothing_keeps_the_sum_of_weights_and_the_range(frames: int, channels: int, sigma: float, seed: int) -> None:
    weights = np.random.RandomState(seed).dirichlet(np.ones(channels), frames).astype(np.float32)
    smoothed = smooth(weights, sigma)
    assert smoothed.shape == weights.shape
    np.testing.assert_allclose(smoothed.sum(axis=1), 1, rtol=0, atol=1e-4)
    assert smoothed.min() > -0.02 and smoothed.max() < 1.02


def test_a_single_envelope_blends_between_two_vectors() -> None:
    weights = feature_weights(np.array([[0.0], [0.25], [1.0]], np.float32))
    np.testing.assert_array_equal(weights, [[1, 0], [0.75, 0.25], [0, 1]])


def test_many_channels_are_weighed_by_their_size_and_silence_by_none() -> None:
    weights = feature_weights(np.array([[1, 3, 0, 0], [0, 0, 0, 0]], np.float32))
    np.testing.assert_allclose(weights, [[0.25, 0.75, 0, 0], [0.25] * 4], rtol=0, atol=2e-4)


def test_a_closed_spline_passes_its_knots_and_comes_back() -> None:
    position = np.arange(0, 12, 0.25)
    weights = spline_weights(position, 4, closed=True)
    np.testing.assert_allclose(weights[::4][:4], np.eye(4), rtol=0, atol=1e-6)
    np.testing.assert_allclose(weights[:16], weights[16:32], rtol=0, atol=1e-6)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=0, atol=1e-6)


def test_the_base_is_the_spline_through_the_vectors_themselves() -> None:
    palette = np.random.RandomState(5).randn(6, 9)
    expected = CubicSpline(np.linspace(0, 1, 6), palette)(np.linspace(0, 1, 50))
    np.testing.assert_allclose(base_weights(50, 6) @ palette, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("knots", [1, 2, 3, 12])
@pytest.mark.parametrize("frames", [1, 2, 100])
def test_short_songs_and_few_vectors_work(knots: int, frames: int) -> None:
    weights = base_weights(frames, knots)
    assert weights.shape == (frames, knots)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=0, atol=1e-5)


def test_gather_wraps_positions_and_repeats_vectors() -> None:
    weights = np.array([[0.1, 0.2, 0.3, 0.4]], np.float32)
    np.testing.assert_allclose(gather(weights, (5, 0), 3), [[0.6, 0, 0.4]], rtol=0, atol=1e-6)


def test_bars_follow_the_beats_and_run_on_at_the_tempo() -> None:
    features = make_features(seconds=12, tempo=120)
    # A band that slows down: the beats heard, not the tempo, carry the bars; the first downbeat is the second beat.
    beats = np.array([1.0, 1.5, 2.0, 2.6, 3.3, 4.1])
    drifting = type(features)(**{**features.__dict__, "beats": beats, "downbeats": beats[1:2]})
    at = np.interp([1.5, 3.3 + 0.4, 0.5, 6.1], features.times, bar_position(drifting))
    np.testing.assert_allclose(at, [0, 3.5 / 4, -2 / 4, 8 / 4], rtol=0, atol=1e-9)


def test_a_song_without_beats_still_has_bars() -> None:
    features = make_features()
    silent = type(features)(**{**features.__dict__, "beats": np.zeros(0), "downbeats": np.zeros(0), "tempo": 0.0})
    np.testing.assert_allclose(np.diff(bar_position(silent)) * 24, 0.5, rtol=0, atol=1e-9)


def test_loops_turn_at_the_same_seconds_for_every_frame_rate() -> None:
    slow, fast = (bar_position(make_features(fps=fps)) for fps in (Fraction(12), Fraction(60)))
    np.testing.assert_allclose(slow, fast[::5], rtol=0, atol=1e-9)


def test_contrast_release_and_smoothing_apply_in_order() -> None:
    pulse = np.zeros(192)
    pulse[96] = 0.5
    features = make_features(onsets=pulse)
    shaped = shape_envelope(Envelope(feature="onsets", contrast=2, release=0.5), features)[:, 0]
    assert shaped[96] == pytest.approx(0.25, abs=1e-6)
    assert shaped[96 + 12] == pytest.approx(0.25 / np.e, abs=1e-6)
    assert shaped[95] == 0
    smoothed = shape_envelope(Envelope(feature="onsets", smooth=0.1), features)[:, 0]
    assert smoothed.argmax() == 96
    assert smoothed.sum() == pytest.approx(0.5, abs=1e-4)


def test_merges_take_the_shares_of_the_thesis() -> None:
    ramp = np.linspace(0, 1, 192)
    features = make_features(rms=ramp)
    average = LatentLoop(strategy="loop", bars=4, vectors=(0,))
    assert np.all(merge_amount(average, features) == 0.5)
    modulate = average.model_copy(update={"merge": "modulate", "modulator": Envelope(feature="rms"), "intensity": 0.5})
    np.testing.assert_allclose(merge_amount(modulate, features)[:, 0], ramp / 2, rtol=0, atol=1e-6)


def test_the_last_row_is_held() -> None:
    table = np.arange(5.0)
    np.testing.assert_array_equal(held(table, 3, 8), [3, 4, 4, 4, 4])
    np.testing.assert_array_equal(held(table, 0, 2), [0, 1])
    np.testing.assert_array_equal(held(table, 6, 8), [4, 4])
