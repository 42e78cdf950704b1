"""The tempo of drum patterns: the beat, not half or double of it, and beats where kick and backbeat are."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from sounds import noise

from audioreactive.features import Features, analyze
from audioreactive.media.audio import ANALYSIS_RATE, from_samples

SECONDS, FIRST = 16.0, 0.1
PATTERNS = {
    "house": {"kick": "x...x...x...x...", "snare": "....x.......x...", "hat": "..x...x...x...x."},
    "drum and bass": {"kick": "x.........x.....", "snare": "....x.......x...", "hat": "x.x.x.x.x.x.x.x."},
    "rock": {"kick": "x.......x.......", "snare": "....x.......x...", "hat": "x.x.x.x.x.x.x.x."},
    "waltz": {"kick": "x...........", "snare": "....x...x...", "hat": "x...x...x..."},
}


def stroke(voice: str, random: np.random.Generator) -> np.ndarray:
    t = np.arange(int(0.15 * ANALYSIS_RATE)) / ANALYSIS_RATE
    hiss = random.standard_normal(len(t) + 1)
    if voice == "kick":
        return 0.7 * np.sin(2 * np.pi * (50 * t + 0.9 * (1 - np.exp(-t / 0.03)))) * np.exp(-t / 0.06)
    if voice == "snare":
        return 0.4 * (hiss[1:] * np.exp(-t / 0.04) + np.sin(2 * np.pi * 190 * t) * np.exp(-t / 0.05))
    return 0.12 * np.diff(hiss) * np.exp(-t / 0.015)


def drums(pattern: str, bpm: float, *, pad: float = 0.0) -> np.ndarray:
    random, song = np.random.default_rng(0), noise(SECONDS, 1e-3)
    t = np.arange(len(song)) / ANALYSIS_RATE
    song += (pad * sum(np.sin(2 * np.pi * hz * t) for hz in (110, 164.8, 220))).astype(np.float32)
    step = 60 / bpm / 4
    for voice, strokes in PATTERNS[pattern].items():
        for i in range(int((SECONDS - FIRST - 0.3) / step)):
            if strokes[i % len(strokes)] == "x":
                start = int((FIRST + i * step) * ANALYSIS_RATE)
                sound = stroke(voice, random)
                song[start : start + len(sound)] += sound.astype(np.float32)
    return song


def heard(song: np.ndarray, **options: object) -> Features:
    return analyze(from_samples(song, ANALYSIS_RATE), fps=Fraction(24), names=("pulse",), segmentations=(), **options)


def off(features: Features, bpm: float) -> float:
    """Seconds from the true beats, at the 90th percentile."""
    turns = (features.beats - FIRST) * bpm / 60
    return float(np.percentile(np.abs(turns - np.round(turns)), 90) * 60 / bpm)


@pytest.mark.parametrize(
    "pattern, bpm",
    [("house", 125), ("house", 140), ("drum and bass", 174), ("rock", 180), ("rock", 72), ("waltz", 150)],
)
def test_the_tempo_is_the_beat(pattern: str, bpm: float) -> None:
    features = heard(drums(pattern, bpm))
    assert features.tempo == pytest.approx(bpm, rel=0.02)
    assert off(features, bpm) < 0.04
    assert 0.3 < features.tempo_confidence <= 1


@pytest.mark.parametrize("pattern, bpm", [("rock", 170), ("rock", 180), ("house", 170)])
def test_a_fast_backbeat_under_a_chord_is_on_beats(pattern: str, bpm: float) -> None:
    """At half the tempo, the kick is on the beats and the snare between them."""
    features = heard(drums(pattern, bpm, pad=0.03))
    assert features.tempo == pytest.approx(bpm, rel=0.02)
    assert off(features, bpm) < 0.04


def test_a_given_tempo_is_kept_and_beats_are_placed_by_what_is_heard() -> None:
    features = heard(drums("house", 125), tempo=62.5)
    assert features.tempo == 62.5
    assert features.tempo_confidence == 1
    np.testing.assert_allclose(np.diff(features.beats).mean(), 60 / 62.5, rtol=0.02)
    assert off(features, 125) < 0.04


def test_the_tempo_is_looked_for_in_a_range() -> None:
    features = heard(drums("rock", 120), tempo_range=(50, 70))
    assert features.tempo == pytest.approx(60, rel=0.02)
    pulse = features["pulse"][:, 0]
    hz = np.argmax(np.abs(np.fft.rfft(pulse - pulse.mean(), 4096))) * 24 / 4096
    assert hz == pytest.approx(1, rel=0.1)


def test_silence_has_no_tempo() -> None:
    features = heard(np.zeros(ANALYSIS_RATE * 3, np.float32))
    assert (features.tempo, features.tempo_confidence, len(features.beats)) == (0, 0, 0)
