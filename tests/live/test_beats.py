"""Beats foretold: at known tempi, on the demo song, through silence and changes."""

from __future__ import annotations

import numpy as np
import pytest
from sounds import clicks, noise, silence

from audioreactive.live.beats import BeatTracker, Foretold
from audioreactive.live.hearing import STEP_RATE, Ear
from audioreactive.media.audio import ANALYSIS_RATE, load
from audioreactive.media.demo import DEMO_SONG, ground_truth


def foretold(sound: np.ndarray) -> list[Foretold]:
    return BeatTracker().follow(Ear([]).hear(sound).flux)


def beats_in(known: list[Foretold]) -> np.ndarray:
    """Moments at which the foretold phase passes a beat."""
    phases = np.array([now.phase for now in known])
    moved = (np.diff(phases) + 0.5) % 1 - 0.5
    passed = np.flatnonzero((phases[:-1] > 0.5) & (phases[1:] < 0.5) & (moved > 0)) + 1
    return (passed + 1 - phases[passed] * np.array([known[i].period for i in passed]) * STEP_RATE) / STEP_RATE


def f1(found: np.ndarray, true: np.ndarray, tolerance: float = 0.07) -> float:
    hits = sum(np.abs(found - beat).min(initial=1) <= tolerance for beat in true)
    return 2 * hits / (len(found) + len(true))


@pytest.mark.parametrize("bpm", [110, 125, 150])
def test_a_steady_beat_is_foretold_when_it_comes(bpm: float) -> None:
    true = np.arange(0.4, 20, 60 / bpm)
    known = foretold(clicks(true, 20, 0.6) + noise(20, 0.003))
    found, true = (times[times > 8] for times in (beats_in(known), true))
    assert f1(found, true) > 0.9
    assert np.median([np.abs(found - beat).min() for beat in true]) < 0.02
    assert known[-1].tempo == pytest.approx(bpm, rel=0.02)
    assert known[-1].confidence > 0.5


def test_the_demo_song_is_foretold() -> None:
    known = foretold(np.asarray(load(DEMO_SONG).samples))
    true = np.array(ground_truth().beats)
    found, true = beats_in(known), true[true > 5]
    found = found[found > 5]
    assert f1(found, true) >= 0.9
    assert np.median([np.abs(found - beat).min() for beat in true]) < 0.035


def test_the_beat_goes_on_through_a_short_break_and_is_unsure_in_a_long_one() -> None:
    true = np.arange(0.5, 12, 0.5)
    known = foretold(np.concatenate((clicks(true, 12, 0.6) + noise(12, 0.003), silence(6))))
    in_break = beats_in(known)
    in_break = in_break[(in_break > 12.1) & (in_break < 13.9)]
    assert len(in_break) in (3, 4)
    assert np.abs((in_break / 0.5 + 0.5) % 1 - 0.5).max() * 0.5 < 0.07
    assert known[12 * STEP_RATE].confidence > 0.5
    assert known[-1].confidence == 0


def test_noise_has_no_sure_beat() -> None:
    assert np.mean([now.confidence for now in foretold(noise(15, 0.2))[-5 * STEP_RATE :]]) < 0.6


def test_bars_never_go_back() -> None:
    sound = np.concatenate((clicks(np.arange(0.3, 8, 0.5), 8), noise(4), clicks(np.arange(0.1, 8, 0.4), 8)))
    bars = np.array([now.bars for now in foretold(sound)])
    assert np.diff(bars).min() >= 0
    assert bars[-1] == pytest.approx((8 / 0.5 + 4 / 0.5 + 8 / 0.4) / 4, rel=0.25)


def test_another_cut_foretells_the_same() -> None:
    sound = clicks(np.arange(0.4, 6, 0.5), 6)
    ear, tracker, pieces = Ear([]), BeatTracker(), []
    for piece in np.array_split(sound, 50):
        heard = ear.hear(piece)
        pieces += tracker.follow(heard.flux) if len(heard) else []
    whole = foretold(sound)
    assert len(pieces) == len(whole) == 6 * ANALYSIS_RATE // 256
    assert [now.phase for now in pieces] == pytest.approx([now.phase for now in whole], abs=1e-3)
