"""Which tempi a person allows, and features that move at half or double the tempo that was heard. Light to import."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from audioreactive.errors import FeatureError, shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from audioreactive.features.types import Features, FloatArray

SLOWEST, FASTEST = 30.0, 300.0
"""Beats per minute that a person may ask for: `pulse` looks for a beat between them."""


@dataclass(frozen=True)
class TempoLimits:
    """Tempi among which the tempo of a song is chosen, in beats per minute."""

    low: float = 52.0
    high: float = 220.0

    @property
    def fixed(self) -> bool:
        """Whether there is one tempo only."""
        return self.low == self.high

    @property
    def key(self) -> str:
        """Text that tells these limits from others in the name of a cache entry; empty for the usual ones."""
        return "" if self == ANY_TEMPO else f" {self.low!r}-{self.high!r}"

    def contains(self, bpm: float) -> bool:
        """Whether a tempo lies within the limits."""
        return self.low <= bpm <= self.high


ANY_TEMPO = TempoLimits()


def tempo_limits(tempo: float | None, tempo_range: tuple[float, float] | None) -> TempoLimits:
    """Limits from what a person gave: one tempo, a range, or neither.

    Raises:
        FeatureError: both were given, or a number is outside of SLOWEST to FASTEST, or the range does not run upwards.
    """
    if tempo is not None and tempo_range is not None:
        raise FeatureError("a tempo and a range of tempi were given: give one of them")
    if tempo is None and tempo_range is None:
        return ANY_TEMPO
    low, high = tempo_range or (tempo or 0.0, tempo or 0.0)
    for bpm in (low, high):
        if not (math.isfinite(bpm) and SLOWEST <= bpm <= FASTEST):
            raise FeatureError(
                f"a tempo of {bpm:g} was asked for; give beats per minute from {SLOWEST:g} to {FASTEST:g}"
            )
    if tempo_range is not None and not low < high:
        raise FeatureError(f"the range of tempi {low:g}-{high:g} does not run upwards; give LOW-HIGH, such as 100-180")
    return TempoLimits(float(low), float(high))


def parse_tempo_range(text: str) -> tuple[float, float]:
    """(low, high) beats per minute from text such as "100-180".

    Raises:
        FeatureError: the text is no range of tempi that may be asked for.
    """
    low, _, high = text.partition("-")
    try:
        limits = tempo_limits(None, (float(low), float(high)))
    except ValueError:
        raise FeatureError(f"{shown(text)} is not a range of tempi; give LOW-HIGH, such as 100-180") from None
    return limits.low, limits.high


def at_tempo_factor(features: Features, factor: float) -> Features:
    """The features with beats and bars at half or double the tempo, and every `pulse` beating with them.

    Sections and all other envelopes stay as they are. With a factor of 1 the features are returned unchanged.
    """
    if factor == 1 or len(features.beats) < 2:
        return features if factor == 1 else replace(features, tempo=features.tempo * factor)
    beats, downbeats = _doubled(features) if factor > 1 else _halved(features)
    wave = _wave(beats, features.times)
    reach = max(round(float(features.fps) * 60 / (features.tempo * min(factor, 1.0))), 1)
    envelopes = {
        name: _beating(values, wave, reach) if name.rpartition(".")[2] == "pulse" else values
        for name, values in features.envelopes.items()
    }
    for array in (beats, downbeats):
        array.flags.writeable = False
    return replace(features, tempo=features.tempo * factor, beats=beats, downbeats=downbeats, envelopes=envelopes)


def _doubled(features: Features) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Beats and downbeats with one more beat in every gap, and two bars for one."""
    beats = features.beats
    places = np.arange(2 * len(beats) - 1) / 2
    every = np.interp(places, np.arange(len(beats)), beats)
    first = np.searchsorted(beats, features.downbeats - 1e-6)
    middle = first + 2
    kept = middle[~np.isin(middle - 1, first) & ~np.isin(middle, first) & (middle < len(beats))]
    return every, beats[np.unique(np.concatenate((first, kept)))]


def _halved(features: Features) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Every second beat, among them the first of most bars, and one bar for two."""
    first = np.searchsorted(features.beats, features.downbeats - 1e-6)
    odd = int(np.mean(first % 2) > 0.5) if len(first) else 0
    beats = features.beats[odd::2].copy()
    downbeats = features.downbeats[first % 2 == odd][::2].copy()
    return beats, downbeats


def _wave(beats: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """(T,) positive halves of a cosine with a peak on every beat, which goes on before the first and after the last."""
    steps = np.arange(len(beats), dtype=np.float64)
    period = float(np.median(np.diff(beats))) if len(beats) > 1 else 0.5
    phase = np.interp(times, beats, steps)
    phase += (np.minimum(times - beats[0], 0) + np.maximum(times - beats[-1], 0)) / period
    return np.maximum(np.cos(2 * np.pi * phase), 0)


def _beating(pulse: FloatArray, wave: NDArray[np.float64], reach: int) -> FloatArray:
    """A pulse as strong as before, with another wave: its strength is its largest value within a beat."""
    from scipy.ndimage import maximum_filter1d

    strength = maximum_filter1d(pulse, 2 * reach + 1, axis=0, mode="nearest")
    beating: FloatArray = (strength * wave[:, None]).astype(np.float32)
    beating.flags.writeable = False
    return beating
