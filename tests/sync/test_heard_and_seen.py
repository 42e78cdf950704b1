"""Changes of sounds and pictures lie where they happen."""

from __future__ import annotations

import numpy as np
import pytest
from sounds import clicks, noise, silence

from audioreactive.sync.heard import HEARD, HEARD_RATE, heard_changes
from audioreactive.sync.seen import SEEN, measure_changes, seen_changes


def test_an_onset_lies_at_the_click() -> None:
    times = np.cumsum(np.random.RandomState(0).uniform(0.3, 0.7, 20))
    table = heard_changes(clicks(times, times[-1] + 1) + noise(times[-1] + 1, 1e-3))
    onsets = table[:, HEARD.index("onsets")]
    around = np.mean([onsets[round(t * HEARD_RATE) + np.arange(-12, 13)] for t in times], axis=0)
    around = np.maximum(around - np.median(around), 0)
    centre = around @ np.arange(-12, 13) / around.sum() / HEARD_RATE
    assert abs(centre) < 0.006  # a row and a half


def test_the_same_sound_later_has_the_same_changes_later() -> None:
    sound = clicks([1.0, 1.7, 2.9], 4)
    one, other = heard_changes(sound), heard_changes(np.concatenate([silence(0.25), sound]))
    np.testing.assert_allclose(other[64 + 20 : 64 + 900], one[20:900], rtol=0.1, atol=0.05)  # the mean is another


def test_silence_and_stillness_have_no_changes() -> None:
    assert not heard_changes(silence(2)).any()
    still = measure_changes([np.full((36, 64, 3), 90, np.uint8)] * 60)
    assert not seen_changes(still).any()


def test_a_flash_is_gain_and_then_loss() -> None:
    frames = np.full((60, 36, 64, 3), 40, np.uint8)
    frames[30] = 200
    table = seen_changes(measure_changes(frames))
    assert table[:, SEEN.index("gain")].argmax() == 30
    assert table[:, SEEN.index("loss")].argmax() == 31


def test_a_cut_does_not_silence_what_is_around_it() -> None:
    """The scale of a passage is its usual change, not its largest."""
    rng = np.random.default_rng(0)
    frames = (100 + 4 * rng.standard_normal((120, 36, 64, 3))).clip(0, 255).astype(np.uint8)
    frames[80] += 20
    cut = frames.copy()
    cut[60:] = 255 - cut[60:]
    column = SEEN.index("motion")
    before, after = (seen_changes(measure_changes(film))[80, column] for film in (frames, cut))
    assert after == pytest.approx(before, rel=0.35)
