"""Running scales: what offline analysis takes from the whole song, estimated from what was heard so far.

A histogram with forgetting stands in for the percentiles of `features.scaling`, so memory and time do not grow. Songs
begin quietly more often than they end so: while little was heard, a scale that is smaller than usual keeps some room
for what is likely to come, and the room closes.

Conventions: values are (n, C), one row a step; scales change only when `settle` is called.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive.features.scaling import LEAST_USUAL, STRONG_PEAK_EVERY

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]
    Doubles = NDArray[np.float64]

BINS: Final = 1000
HALF_LIFE: Final = 90.0
"""Seconds in which the weight of what was heard falls to a half: an evening goes on, and its music changes."""
QUIETEST: Final = 10 ** (-50 / 20)
"""Lower limit of the scale of loudness: noise of a line below -50 dB is not raised to full motion."""
LEAST_ONSET: Final = 1.0
"""Lower limit of the scale of onsets in decibels of mean increase: hiss rises less."""
USUAL_LOUDNESS: Final = 10 ** (-12 / 20)
"""Scale of the loudness of the mix that recordings usually reach: the mean of 203 songs of free games."""
FAINT: Final = (10 ** (-32 / 20), 10 ** (-24 / 20))
"""Loudness below which no room is kept, and from which all is: so quiet is a device's gain, not a song's beginning."""
USUAL_ONSETS: Final = 9.0
"""Scale of the onsets of what strikes that songs usually reach, in decibels of mean increase; it knows no gain."""
PARTS_OF_LOUDNESS: Final = {"bass": 1.0, "mid": 0.7, "high": 0.25, "harmonic": 0.5, "percussive": 0.45}
"""Part -> its usual scale of loudness as a share of the mix's (median of 24 songs)."""
ROOM: Final = 2.0
"""Largest factor by which a scale is raised after ten seconds, towards the usual one."""
ROOM_SECONDS: Final = 20.0
"""Seconds after which the room has shrunk, in decibels, to 1/e."""


class RunningHistogram:
    """Weighted histograms of C channels, with forgetting.

    Args:
        channels: C.
        low: lower edge of the values.
        high: upper edge; values beyond the edges count as at them.
    """

    def __init__(self, channels: int, low: float, high: float) -> None:
        self._low, self._step = low, (high - low) / BINS
        self._counts = np.zeros((channels, BINS))
        self._columns = np.arange(channels) * BINS

    @property
    def total(self) -> float:
        """Weight of all values of a channel together."""
        return float(self._counts[0].sum())

    def add(self, values: NDArray[np.floating]) -> None:
        """Count values (n, C)."""
        bins = np.clip((np.nan_to_num(values) - self._low) / self._step, 0, BINS - 1).astype(np.int64) + self._columns
        self._counts += np.bincount(bins.ravel(), minlength=self._counts.size).reshape(self._counts.shape)

    def forget(self, factor: float) -> None:
        """Multiply all weights."""
        self._counts *= factor

    def quantile(self, share: float) -> Doubles:
        """Value (C,) below which this share of the weight lies."""
        sums = np.cumsum(self._counts, axis=1)
        return self._at(sums, share * sums[:, -1:])

    def top(self, weight: float) -> Doubles:
        """Value (C,) above which this weight lies; the lowest edge where there is less."""
        sums = np.cumsum(self._counts, axis=1)
        return self._at(sums, np.maximum(sums[:, -1:] - weight, 0))

    def highest(self) -> Doubles:
        """Highest value (C,) that has any weight left."""
        seen = self._counts > 1e-3
        last = BINS - 1 - np.argmax(seen[:, ::-1], axis=1)
        return np.where(seen.any(axis=1), self._low + (last + 1) * self._step, self._low)

    def _at(self, sums: Doubles, wanted: Doubles) -> Doubles:
        place = np.minimum((sums < wanted).sum(axis=1), BINS - 1)
        rows = np.arange(len(sums))
        before = np.where(place > 0, sums[rows, place - 1], 0)
        inside = np.maximum(sums[rows, place] - before, 1e-12)
        found: Doubles = self._low + (place + np.clip((wanted[:, 0] - before) / inside, 0, 1)) * self._step
        return found


@dataclass
class Scale:
    """Running form of one feature's scale in `features.scaling`.

    Args:
        kind: name of the feature.
        channels: number of its channels.
        rate: steps a second.
        usual: scale that songs usually reach; None: it is told when it settles, or no room is kept.
    """

    kind: str
    channels: int
    rate: float
    usual: float | None = None
    frozen: bool = False
    """Whether the scale stays as it is."""
    _seen: RunningHistogram = field(init=False, repr=False)
    _seconds: float = field(init=False, default=0.0)
    _age: float = field(init=False, default=0.0)
    _low: Doubles = field(init=False, repr=False)
    _reach: Doubles = field(init=False, repr=False)
    _before: Doubles = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._low, self._reach = np.zeros(self.channels), np.zeros(self.channels)
        self.reset()

    def reset(self) -> None:
        """Forget what was counted; the scale stays until it settles anew."""
        low, high = _RANGES.get(self.kind, (0.0, 1.0))
        self._seen = RunningHistogram(self.channels, low, high)
        self._seconds = self._age = 0.0
        self._before = np.zeros((2, self.channels))

    def scaled(self, values: FloatArray) -> FloatArray:
        """Scale values (n, C) to [0, 1], and count them for the scales to come."""
        if self.kind not in _RANGES:
            return np.clip(values, 0, 1).astype(np.float32)
        measured = _MEASURED.get(self.kind, _as_it_is)(values)
        self._count(measured)
        relative = np.divide(measured - self._low, self._reach, out=np.zeros(measured.shape), where=self._reach > 1e-9)
        if self.kind == "tonnetz":
            relative = np.where(self._reach > 1e-9, 0.5 + 0.5 * np.divide(values, np.maximum(self._reach, 1e-9)), 0)
        if self.kind == "spectral_flatness":
            relative = np.where(values > 0, relative, 0)
        return np.clip(relative, 0, 1).astype(np.float32)

    def settle(self, room: float = 1.0, usual: float | None = None) -> float:
        """Take the scale from what was counted; return the factor by which it was raised to leave room.

        Args:
            room: least factor of a loudness, that of the mix.
            usual: scale that songs usually reach, if it depends on what was heard.
        """
        if self.frozen or self.kind not in _RANGES:
            return 1.0
        usual = self.usual if usual is None else usual
        factor = 1.0
        if self.kind == "rms":
            self._reach = np.maximum(10 ** (self._seen.quantile(0.995) / 20), QUIETEST)
            factor = max(room, self._room(usual))
        elif self.kind == "onsets":
            strong = self._seen.top(max(self._seconds / STRONG_PEAK_EVERY, 1.0))
            self._reach = np.maximum(np.maximum(strong, LEAST_USUAL * self._seen.highest()), LEAST_ONSET)
            factor = self._room(usual)
        elif self.kind == "tonnetz":
            self._reach = self._seen.quantile(0.99)
        else:
            self._low = self._seen.quantile(0.01)
            self._reach = self._seen.quantile(0.99) - self._low
        self._reach *= factor
        return factor

    @property
    def reach(self) -> float:
        """Value of the first channel that is shown as 1."""
        return float(self._reach[0])

    def _room(self, usual: float | None) -> float:
        """Factor by which the scale is likely to grow yet."""
        if usual is None:
            return 1.0
        most = ROOM ** np.exp((10 - self._age) / ROOM_SECONDS)
        if self.kind == "rms" and self.usual is not None:
            low, high = np.log(FAINT)
            most **= np.clip((np.log(self.reach) - low) / (high - low), 0, 1)
        return float(np.clip(usual / max(self.reach, 1e-9), 1, most))

    def _count(self, measured: Doubles) -> None:
        if self.frozen:
            return
        factor = 0.5 ** (len(measured) / (self.rate * HALF_LIFE))
        self._seen.forget(factor)
        self._seconds = self._seconds * factor + len(measured) / self.rate
        self._age += len(measured) / self.rate
        if self.kind == "onsets":
            rows = np.concatenate((self._before, measured))
            peak = (rows[1:-1] > rows[:-2]) & (rows[1:-1] >= rows[2:])
            self._seen.add(np.where(peak, rows[1:-1], 0)[peak.any(axis=1)])
            self._before = rows[-2:]
        elif self.kind == "rms":
            self._seen.add(20 * np.log10(np.maximum(measured, 1e-6)))
        elif self.kind == "tonnetz":
            self._seen.add(np.abs(measured))
        elif self.kind == "spectral_flatness":
            self._seen.add(measured[measured[:, 0] > -11])
        else:
            self._seen.add(measured)


def _as_it_is(values: FloatArray) -> Doubles:
    return np.asarray(values, np.float64)


def _logarithm(values: FloatArray) -> Doubles:
    return np.log10(np.maximum(np.asarray(values, np.float64), 1e-12))


_RANGES: Final = {
    "mfcc": (-1200.0, 800.0),
    "spectral_contrast": (-40.0, 120.0),
    "spectral_flatness": (-10.0, 0.0),
    "tonnetz": (0.0, 1.0),
    "rms": (-110.0, 10.0),
    "onsets": (0.0, 40.0),
}
"""Feature -> edges of its histogram, in the unit that is counted; other features are scaled where they are made."""
_MEASURED: Final = {"spectral_flatness": _logarithm}
