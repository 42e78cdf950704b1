"""Tempo, beats and bars of signals whose tempo, beats and bars are known."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from sounds import chord, clicks, noise, silence

from audioreactive.features import Features, analyze, beats
from audioreactive.media.audio import ANALYSIS_RATE, from_samples


def heard(sound: np.ndarray) -> Features:
    return analyze(from_samples(sound, ANALYSIS_RATE), fps=Fraction(24), names=("onsets",), segmentations=())


@pytest.mark.parametrize("bpm", [80, 93.5, 117.6, 128, 140])
def test_a_click_track(bpm: float) -> None:
    times = np.arange(0.2, 29.5, 60 / bpm)
    features = heard(clicks(times, 30) + noise(30, 1e-3))
    assert features.tempo == pytest.approx(bpm, rel=0.005)
    distance = np.abs(features.beats[:, None] - times).min(axis=1)
    assert distance.max() < 0.02
    assert len(features.beats) >= len(times) - 3


def test_a_beat_at_the_very_start_is_heard() -> None:
    features = heard(clicks(np.arange(0, 10, 0.5), 10))
    assert features.beats[0] == pytest.approx(0, abs=0.011)
    assert features["onsets"][0] > 0.9


def test_downbeats_are_where_the_bass_strikes_and_the_harmony_moves() -> None:
    beat, bar = 0.5, 2.0
    chords = [[220, 277.2, 329.6], [174.6, 220, 261.6], [196, 246.9, 293.7], [146.8, 185, 220]]
    song = np.concatenate([chord(chords[i % 4], bar, 0.05) for i in range(10)])
    thump = np.exp(-np.arange(6000) / 1500) * np.sin(np.arange(6000) * 2 * np.pi * 60 / ANALYSIS_RATE) * 0.6
    for i in range(10):
        song[round(i * bar * ANALYSIS_RATE) :][:6000] += thump.astype(np.float32)
    # Lead in with one beat, so that the first of the song is not the first of a bar.
    song = np.concatenate([silence(beat), song]) + clicks(np.arange(0, 20.4, beat), 20.5, 0.3) + noise(20.5, 1e-3)
    features = heard(song)
    assert len(features.downbeats) >= 8
    phase = (features.downbeats - beat) % bar
    assert np.minimum(phase, bar - phase).max() < 0.04


def test_bars_go_on_through_a_missing_accent_and_follow_a_cut() -> None:
    accents = np.tile([3.0, 0, 1, 0], 12)
    accents[20] = 0
    assert np.flatnonzero(beats.find_downbeats(accents)).tolist() == list(range(0, 48, 4))
    shifted = np.concatenate([np.tile([3.0, 0, 1, 0], 10)[:-2], np.tile([3.0, 0, 1, 0], 10)])
    first = np.flatnonzero(beats.find_downbeats(shifted))
    assert set(first.tolist()) >= {*range(0, 36, 4), *range(38, 78, 4)}


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_beats(count: int) -> None:
    assert len(beats.find_downbeats(np.ones(count))) == count
    assert beats.tempo_of(np.arange(count) * 0.5, 77) == 77


def test_tempo_is_finer_than_the_grid() -> None:
    times = np.round(np.arange(40) * 60 / 117.6 * 96) / 96
    assert beats.tempo_of(times, 0) == pytest.approx(117.6, rel=1e-3)


def test_nothing_to_track() -> None:
    assert len(beats.track_beats(np.zeros(500, np.float32), frame_rate=96, bpm=120)) == 0
    assert len(beats.track_beats(np.ones(1, np.float32), frame_rate=96, bpm=120)) == 0
    assert len(beats.track_beats(np.random.default_rng(0).random(500), frame_rate=96, bpm=0)) == 0
