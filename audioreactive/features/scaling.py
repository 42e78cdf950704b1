"""From measured values to [0, 1], so that every feature can drive anything.

How each is scaled, over the whole song:

mfcc, spectral_contrast    each channel from its 1st to its 99th percentile
spectral_flatness          its logarithm, likewise; silence is 0
chroma                     as it is: every frame has length one
tonnetz                    0.5 is the centre; the 99th percentile of each channel's distance from it reaches 0 or 1
rms                        over its 99.5th percentile; 0 is silence
drop_weight, pulse         as they are
onsets                     over the height that a peak exceeds once in two seconds, or a tenth of the highest

Percentiles, not extremes: one loud click does not flatten all the rest. What lies outside is clipped. A feature that
never changes, such as any of digital silence, is 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from audioreactive.features.grid import grid_rate

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]


STRONG_PEAK_EVERY = 2.0
"""Seconds: strokes that come about once a bar reach 1, whatever one that breaks a silence measures."""
LEAST_USUAL = 0.1
"""Of the highest peak: where strokes are rarer, noise between them stays small."""


def scaled(feature: str, values: FloatArray) -> FloatArray:
    """(n, C) float32 in [0, 1] of the named feature's measured values."""
    clipped: FloatArray = np.clip(_SCALES.get(feature, _as_it_is)(values), 0, 1).astype(np.float32)
    return clipped


def _as_it_is(values: FloatArray) -> FloatArray:
    return values


def _between_percentiles(values: FloatArray) -> FloatArray:
    low, high = np.percentile(values, (1, 99), axis=0)
    return _ratio(values - low, high - low)


def _flatness(values: FloatArray) -> FloatArray:
    audible = values[:, 0] > 0
    scale = np.zeros_like(values)
    if audible.any():
        scale[audible] = _between_percentiles(np.log10(values[audible]))
    return scale


def _around_centre(values: FloatArray) -> FloatArray:
    reach = np.percentile(np.abs(values), 99, axis=0)
    return np.where(reach > 0, 0.5 + 0.5 * _ratio(values, reach), 0)


def _loudness(values: FloatArray) -> FloatArray:
    return _ratio(values, np.percentile(values, 99.5, axis=0))


def _peaks(values: FloatArray) -> FloatArray:
    envelope = values[:, 0]
    neighbours = np.pad(envelope, 1)
    peaks = np.sort(envelope[(envelope > neighbours[:-2]) & (envelope >= neighbours[2:])])[::-1]
    if not len(peaks):
        return np.zeros_like(values)
    usual = peaks[min(round(len(envelope) / (grid_rate("onsets") * STRONG_PEAK_EVERY)), len(peaks) - 1)]
    relative: FloatArray = values / max(usual, LEAST_USUAL * peaks[0])
    return relative


def _ratio(values: NDArray[np.floating], scale: NDArray[np.floating]) -> FloatArray:
    """The quotient, 0 where the scale is 0."""
    scale = np.broadcast_to(scale, values.shape)
    quotient: FloatArray = np.zeros(values.shape, np.float32)
    np.divide(values, scale, out=quotient, where=scale > 1e-9, casting="same_kind")
    return quotient


_SCALES: dict[str, Callable[[FloatArray], FloatArray]] = {
    "mfcc": _between_percentiles,
    "spectral_contrast": _between_percentiles,
    "spectral_flatness": _flatness,
    "tonnetz": _around_centre,
    "rms": _loudness,
    "onsets": _peaks,
}
