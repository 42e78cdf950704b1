"""Limits of the tempo, and features at half or double the estimated tempo. Imports no signal processing."""

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
"""Lowest and highest tempo that a user may give, in beats per minute; `pulse` searches the same range."""


@dataclass(frozen=True)
class TempoLimits:
    """Lowest and highest tempo of a song, in beats per minute."""

    low: float = 52.0
    high: float = 220.0

    @property
    def fixed(self) -> bool:
        """Whether only one tempo is allowed."""
        return self.low == self.high

    @property
    def key(self) -> str:
        """Text that identifies these limits in the name of a cache entry; empty for the default ones."""
        return "" if self == ANY_TEMPO else f" {self.low!r}-{self.high!r}"

    def contains(self, bpm: float) -> bool:
        """Whether a tempo lies within the limits."""
        return self.low <= bpm <= self.high


ANY_TEMPO = TempoLimits()


def tempo_limits(tempo: float | None, tempo_range: tuple[float, float] | None) -> TempoLimits:
    """Make limits from a tempo, a range, or neither.

    Raises:
        FeatureError: both were given, a number is outside SLOWEST to FASTEST, or the range is not ascending.
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
        raise FeatureError(
            f"the range of tempi {low:g}-{high:g} has its ends the wrong way round; give LOW-HIGH, such as 100-180"
        )
    return TempoLimits(float(low), float(high))


def parse_tempo_range(text: str) -> tuple[float, float]:
    """Parse (low, high) beats per minute from text such as "100-180".

    Raises:
        FeatureError: the text is not an allowed range of tempi.
    """
    low, _, high = text.partition("-")
    try:
        limits = tempo_limits(None, (float(low), float(high)))
    except ValueError:
        raise FeatureError(f"{shown(text)} is not a range of tempi; give LOW-HIGH, such as 100-180") from None
    return limits.low, limits.high


def at_tempo_factor(features: Features, factor: float) -> Features:
    """Return the features with beats, bars and every `pulse` at half or double the tempo.

    Sections and all other envelopes stay as they are. With a factor of 1 the features are returned unchanged.
    """
    if factor == 1 or len(features.beats) < 2:
        return features if factor == 1 else replace(features, tempo=features.tempo * factor)
    beats, downbeats = _doubled(features) if factor > 1 else _halved(features)
    wave = _wave(beats, features.times)
    reach = max(round(float(features.fps) * 60 / (features.tempo * min(factor, 1.0))), 1)
    envelopes = {
        name: _with_wave(values, wave, reach) if name.rpartition(".")[2] == "pulse" else values
        for name, values in features.envelopes.items()
    }
    for array in (beats, downbeats):
        array.flags.writeable = False
    return replace(features, tempo=features.tempo * factor, beats=beats, downbeats=downbeats, envelopes=envelopes)


def _doubled(features: Features) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Insert a beat into each gap between beats, and split each bar in two."""
    beats = features.beats
    places = np.arange(2 * len(beats) - 1) / 2
    every = np.interp(places, np.arange(len(beats)), beats)
    first = np.searchsorted(beats, features.downbeats - 1e-6)
    middle = first + 2
    kept = middle[~np.isin(middle - 1, first) & ~np.isin(middle, first) & (middle < len(beats))]
    return every, beats[np.unique(np.concatenate((first, kept)))]


def _halved(features: Features) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Keep every second beat, such that most bars keep their first, and join bars in pairs."""
    first = np.searchsorted(features.beats, features.downbeats - 1e-6)
    odd = int(np.mean(first % 2) > 0.5) if len(first) else 0
    beats = features.beats[odd::2].copy()
    downbeats = features.downbeats[first % 2 == odd][::2].copy()
    return beats, downbeats


def _wave(beats: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the positive half of a cosine (T,) that peaks on each beat, and goes on before and after all beats."""
    steps = np.arange(len(beats), dtype=np.float64)
    period = float(np.median(np.diff(beats))) if len(beats) > 1 else 0.5
    phase = np.interp(times, beats, steps)
    phase += (np.minimum(times - beats[0], 0) + np.maximum(times - beats[-1], 0)) / period
    return np.maximum(np.cos(2 * np.pi * phase), 0)


def _with_wave(pulse: FloatArray, wave: NDArray[np.float64], reach: int) -> FloatArray:
    """Give a pulse another wave but the same strength, which is its largest value within a beat."""
    from scipy.ndimage import maximum_filter1d

    strength = maximum_filter1d(pulse, 2 * reach + 1, axis=0, mode="nearest")
    beating: FloatArray = (strength * wave[:, None]).astype(np.float32)
    beating.flags.writeable = False
    return beating
