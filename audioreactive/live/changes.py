"""Causal hits, drops and build-ups; see `features.moments` for what they are offline.

Conventions: levels and gains are (n, bands), as loudness (power to the 0.3), one row a step.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive.features import moments, rhythm, separation, spectra
from audioreactive.features.grid import FINE_RATE
from audioreactive.media.audio import ANALYSIS_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]
    Doubles = NDArray[np.float64]

BEFORE: Final = 4.0
"""Seconds before a moment with which it is compared."""
AFTER: Final = 0.3
"""Seconds after it in which a louder passage shows: the delay of a drop."""
LEAST_DROP: Final = 0.25
"""Rise of loudness, as a share of the usual one, from which it is a drop; of so few seconds, more than offline."""
APART: Final = 4.0
"""Fewest seconds between two drops."""
SLOW: Final = 2.0
"""Seconds in which the level of a passage is followed to 1/e."""
LONG: Final = 60.0
"""Seconds in which the usual level is followed to 1/e."""
BUILD: Final = 6.0
"""Seconds over which a rise is a build-up."""
FULL_BUILD: Final = 0.35
"""Rise, as a share of the usual loudness, at which a build-up is 1."""


class Moments:
    """Hits, drops and build-ups of one part of a sound.

    Args:
        part: the mix, a separated part or a frequency band.
    """

    def __init__(self, part: str) -> None:
        self._bands = [part] if part in separation.BANDS else [*separation.BANDS]
        self.reset()

    def reset(self) -> None:
        """Forget what is usual."""
        bands = len(self._bands)
        self._before = np.zeros((1, rhythm.ONSET_MELS), np.float32)
        self._peak, self._strongest, self._ceiling = (np.zeros(bands) for _ in range(3))
        self._usual = np.zeros(bands)
        self._past = np.zeros(round((BEFORE + AFTER) * FINE_RATE))
        self._since = 0
        self._slow = self._mean = self._spread = 0.0
        self._steps = 0
        self._rise = self._base = 0.0

    def follow(self, power: FloatArray, rms: FloatArray) -> dict[str, FloatArray]:
        """Return hits, drop_moment, drop_level, drop_weight and build of the next steps, (n,) each, in [0, 1].

        Args:
            power: (n, bins) spectra of the part, or of the mix for a band.
            rms: (n,) RMS of the part.
        """
        mels = power @ spectra.mel_filters(ANALYSIS_RATE, rhythm.ONSET_FFT, rhythm.ONSET_MELS).T
        loud = np.power(np.maximum(mels, spectra.SMALLEST_POWER), np.float32(moments.LOUDNESS)).astype(np.float32)
        gain = rhythm.flux(np.concatenate((self._before, loud)))
        if self._steps == 0:
            gain[:1] = 0
        self._before = loud[-1:].copy()
        groups = _groups(tuple(self._bands))
        levels, gains = loud @ groups, gain @ groups
        made = np.array([self._step(*row) for row in zip(levels, gains, rms, strict=True)], np.float32)
        names = ("hits", "drop_moment", "drop_level", "drop_weight", "build")
        return dict(zip(names, made.T, strict=True))

    def _step(self, level: Doubles, gain: Doubles, rms: float) -> tuple[float, float, float, float, float]:
        hits = self._hits(level, gain)
        self._usual = np.maximum(self._usual * (1 - 1 / (LONG * FINE_RATE)), level)
        usual = max(float(self._usual.max()), 1e-6)
        weights = np.array([2.0, 1.0, 1.0])[: len(level)] if len(level) > 1 else np.ones(1)
        relative = level / np.maximum(self._usual, 0.1 * usual)
        loudness = float(weights @ relative / weights.sum())
        drop = self._drop(loudness)
        level_now, weight = self._passage(float(rms), drop > 0)
        return hits, drop, level_now, weight, self._build(relative, hits, drop > 0)

    def _hits(self, level: Doubles, gain: Doubles) -> float:
        self._strongest = np.maximum(self._strongest * (1 - 0.2 / (LONG * FINE_RATE)), gain)
        self._peak = np.maximum(self._peak * np.exp(-1 / (moments.PEAK_MEMORY * FINE_RATE)), gain)
        self._ceiling = np.maximum(self._ceiling * np.exp(-1 / (moments.LEVEL_MEMORY * FINE_RATE)), level)
        full = np.maximum(np.maximum(self._peak, moments.SOFTEST * self._strongest), moments.FROM_LEVEL * self._ceiling)
        share = np.divide(gain, full, out=np.zeros_like(full), where=full > 1e-6)
        return float(np.maximum(share - moments.LEAST_HIT, 0).max() / (1 - moments.LEAST_HIT))

    def _drop(self, loudness: float) -> float:
        """Size of a drop that shows now, AFTER seconds after it; 0 where there is none."""
        self._past[:-1] = self._past[1:]
        self._past[-1] = loudness
        self._steps += 1
        self._since += 1
        after = round(AFTER * FINE_RATE)
        if self._steps < len(self._past) or self._since < APART * FINE_RATE:
            return 0.0
        rise = float(self._past[-after:].mean() - self._past[:-after].mean())
        if rise < LEAST_DROP:
            return 0.0
        self._since = 0
        return min(rise / moments.FULL_CHANGE, 1.0)

    def _passage(self, rms: float, dropped: bool) -> tuple[float, float]:
        """Level of the passage, at once after a drop, and without."""
        pace = 1 / (SLOW * FINE_RATE)
        self._slow += max(pace, 1 / self._steps) * (rms - self._slow)
        pace = max(1 / (LONG * FINE_RATE), 1 / self._steps)
        self._mean += pace * (rms - self._mean)
        self._spread += pace * (abs(self._slow - self._mean) - self._spread)
        if self._mean <= 1e-6:
            return 0.0, 0.0
        spread = max(1.25 * self._spread, 0.1 * self._mean)
        weight = 0.5 + 0.5 * float(np.tanh(1.5 * (self._slow - self._mean) / spread))
        if dropped:
            self._slow = max(self._slow, rms)
        level = 0.5 + 0.5 * float(np.tanh(1.5 * (self._slow - self._mean) / spread))
        return level, weight

    def _build(self, relative: Doubles, hits: float, dropped: bool) -> float:
        """Progress of a rise above the bass that has not dropped yet."""
        bands = relative[1:] if len(relative) > 1 else relative
        rising = float(bands.mean()) + 2 * min(hits, 1.0) * 0.1
        self._rise += (rising - self._rise) / (0.5 * FINE_RATE)
        self._base += (self._rise - self._base) / (BUILD * FINE_RATE)
        if dropped:
            self._base = self._rise
        return float(np.clip((self._rise - self._base) / FULL_BUILD, 0, 1))


@cache
def _groups(bands: tuple[str, ...]) -> FloatArray:
    """Matrix (mels, bands) that averages the mel bands within each frequency band."""
    centres = spectra.mel_edges(ANALYSIS_RATE, rhythm.ONSET_MELS)[1:-1]
    columns = []
    for name in bands:
        inside = (centres >= separation.BANDS[name].low) & (centres < separation.BANDS[name].high)
        columns.append(inside / max(inside.sum(), 1))
    return np.stack(columns, axis=1).astype(np.float32)
