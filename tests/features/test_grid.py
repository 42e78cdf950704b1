"""Seconds become frames in one place, exactly."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audioreactive.features.grid import FINE_RATE, frame_count, hold_peaks, interpolate, step_labels

RATES = (
    Fraction(24000, 1001),
    Fraction(24),
    Fraction(25),
    Fraction(30000, 1001),
    Fraction(60),
    Fraction(120),
    Fraction(7, 2),
)


@pytest.mark.parametrize(
    "duration, fps, frames",
    [
        (Fraction(1), Fraction(24), 24),
        (Fraction(1) + Fraction(1, 24576), Fraction(24), 25),
        (Fraction(3600), Fraction(24000, 1001), 86314),
        (Fraction(1, 24576), Fraction(24), 1),
        (Fraction(1001, 30000), Fraction(30000, 1001), 1),
    ],
)
def test_frame_count(duration: Fraction, fps: Fraction, frames: int) -> None:
    assert frame_count(duration, fps) == frames


@settings(max_examples=60, deadline=None)
@given(fps=st.sampled_from(RATES), rate=st.sampled_from([24, 48, 96]), start=st.integers(0, 400_000))
def test_a_ramp_is_read_at_each_frames_exact_time(fps: Fraction, rate: int, start: int) -> None:
    # The envelope says at which point of the grid it is; so frames say where they listen.
    frames = start + 50
    last = math.ceil(frames * rate / fps) + 2
    ramp = np.arange(last, dtype=np.float64)[:, None]
    heard = interpolate(ramp, rate=rate, fps=fps, frames=frames)[start:, 0]  # type: ignore[arg-type]
    exact = [float(Fraction(i) / fps * rate) for i in range(start, frames)]
    np.testing.assert_allclose(heard, exact, rtol=1e-9, atol=1e-6)


@settings(max_examples=200, deadline=None)
@given(fps=st.sampled_from(RATES), point=st.integers(3, 345_000), late=st.sampled_from([Fraction(0), Fraction(1, 2)]))
def test_a_peak_is_shown_whole_in_the_frame_in_which_it_is_heard(fps: Fraction, point: int, late: Fraction) -> None:
    frames = math.floor((point + 3) * fps / FINE_RATE) + 2
    envelope = np.zeros((point + 4, 1), np.float32)
    envelope[point] = 1
    shown = hold_peaks(envelope, rate=FINE_RATE, fps=fps, frames=frames, late=late)[:, 0]
    frame = math.floor((point - late) * fps / FINE_RATE)
    if fps <= FINE_RATE:
        assert shown[frame] == 1
    assert abs(int(shown.argmax()) - frame) <= 1
    assert shown[: max(frame - math.ceil(fps / FINE_RATE), 0)].max(initial=0) == 0
    assert shown[frame + math.ceil(fps / FINE_RATE) + 1 :].max(initial=0) == 0


def test_held_peaks_are_the_maximum_over_the_frame() -> None:
    random = np.random.default_rng(0)
    envelope = random.random((960, 2)).astype(np.float32)
    fps = Fraction(30000, 1001)
    held = hold_peaks(envelope, rate=96, fps=fps, frames=299)
    plain = interpolate(envelope, rate=96, fps=fps, frames=299)
    for i in range(299):
        inside = [g for g in range(960) if Fraction(i) / fps <= Fraction(g, 96) < Fraction(i + 1) / fps]
        np.testing.assert_array_equal(held[i], np.maximum(plain[i], envelope[inside].max(axis=0)))


def test_frames_after_the_envelopes_end_hold_its_last_value() -> None:
    envelope = np.array([[0.0], [1.0]], np.float32)
    for sample in (interpolate, hold_peaks):
        np.testing.assert_array_equal(sample(envelope, rate=24, fps=Fraction(24), frames=4)[1:], [[1], [1], [1]])


@settings(max_examples=60, deadline=None)
@given(fps=st.sampled_from(RATES), start=st.integers(1, 345_000))
def test_a_section_starts_at_the_first_frame_on_it(fps: Fraction, start: int) -> None:
    frames = math.ceil((start + 10) * fps / FINE_RATE) + 1
    labels = step_labels(np.array([[0], [1]], np.uint8), np.array([0, start]), fps=fps, frames=frames)[:, 0]
    assert int(labels.argmax()) == math.ceil(start * fps / FINE_RATE)
