"""Causal forms of a patch's envelopes and curves, one moment after another.

Conventions: a value is (C,) in [0, 1]; `dt` is the time in seconds since the moment before.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive.patches.tables import SHORTEST_RELEASE, feature_weights, spline_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from audioreactive.patches.fields import Envelope

    FloatArray = NDArray[np.float32]

SMOOTH_DELAY: Final = 0.8
"""Delay of a smoothed envelope in units of its `smooth`: that of one half of the Gaussian, the other being unknown."""
LONGEST_RISE: Final = 0.04
"""Seconds of a rise, if `attack` is longer: offline it begins before the stroke, here it can only begin with it."""


class Low:
    """Low-pass of two equal poles, the one-sided form of a Gaussian with a standard deviation of `sigma` seconds."""

    def __init__(self, sigma: float) -> None:
        self.sigma = sigma
        self._poles: tuple[FloatArray, FloatArray] | None = None

    def step(self, value: FloatArray, dt: float) -> FloatArray:
        """Filter the next value."""
        time = SMOOTH_DELAY * self.sigma / 2
        if time <= 0:
            return value
        if self._poles is None:
            self._poles = (value.copy(), value.copy())
        share = np.float32(1 - math.exp(-dt / time))
        first = self._poles[0] + share * (value - self._poles[0])
        second = self._poles[1] + share * (first - self._poles[1])
        self._poles = (first, second)
        return second


class Shaper:
    """An envelope of a patch: contrast, release, attack and smoothing."""

    def __init__(self, envelope: Envelope) -> None:
        self._envelope = envelope
        self._low = Low(envelope.smooth)
        self._released: FloatArray | None = None
        self._risen: FloatArray | None = None

    def follow(self, envelope: Envelope) -> None:
        """Go on with other settings; of another feature, from rest."""
        if envelope.feature != self._envelope.feature:
            self._released = self._risen = None
            self._low = Low(envelope.smooth)
        self._low.sigma = envelope.smooth
        self._envelope = envelope

    def step(self, value: FloatArray, dt: float) -> FloatArray:
        """Shape the next value of the feature."""
        envelope = self._envelope
        if envelope.contrast != 1:
            value = np.power(value, np.float32(envelope.contrast))
        if envelope.release > SHORTEST_RELEASE:
            if self._released is not None:
                value = np.maximum(value, self._released * np.float32(math.exp(-dt / envelope.release)))
            self._released = value
        if envelope.attack > 0:
            rise = np.float32(dt / min(envelope.attack, LONGEST_RISE))
            if self._risen is not None:
                value = np.minimum(value, self._risen + rise)
            self._risen = value
        return np.clip(self._low.step(value, dt), 0, 1)


@cache
def _spline(knots: int) -> FloatArray:
    """Table (1024, knots) of the weights of a closed spline over one turn."""
    return spline_weights(np.arange(1024, dtype=np.float64) * (knots / 1024), knots, closed=True)


def on_circle(turns: float, knots: int) -> FloatArray:
    """Weights (1, knots) of a closed spline through all knots, after so many turns."""
    if knots == 1:
        return np.ones((1, 1), np.float32)
    table = _spline(knots)
    place = (turns % 1.0) * len(table)
    before = int(place) % len(table)
    share = np.float32(place - int(place))
    between: FloatArray = table[before] + share * (table[(before + 1) % len(table)] - table[before])
    return between[None]


def averaged(value: FloatArray) -> FloatArray:
    """Weights (1, C') of a feature-weighted average."""
    return feature_weights(value[None])


def scattered(weights: FloatArray, positions: Sequence[int], size: int) -> FloatArray:
    """Weights over the whole palette (size,) from those over chosen vectors (1, C)."""
    row = np.zeros(size, np.float32)
    for channel, weight in enumerate(weights[0]):
        row[positions[channel % len(positions)] % size] += weight
    return row
