"""Scale measured values to [0, 1], so that every feature can drive anything.

Scale of each feature, over the whole song:

mfcc, spectral_contrast    each channel from its 1st to its 99th percentile
spectral_flatness          its logarithm, from the 1st to the 99th percentile; silence is 0
chroma                     unchanged: each frame has length one
tonnetz                    0.5 is the centre; the 99th percentile of each channel's distance from it reaches 0 or 1
rms                        divided by its 99.5th percentile; 0 is silence
onsets                     divided by the height that peaks exceed once in two seconds, or a tenth of the highest
others                     unchanged

Percentiles are used instead of extremes so that one loud click does not flatten the rest; values outside are clipped. A
feature that never changes, such as any feature of digital silence, is 0.
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
"""Seconds: as many peaks as there are such periods in the song reach 1, so that strokes about once a bar do, however
high a single one after silence is."""
LEAST_USUAL = 0.1
"""Lower limit of the scale, as a share of the highest peak: if strokes are rare, noise between them stays small."""


def scaled(feature: str, values: FloatArray) -> FloatArray:
    """Scale the measured values (n, C) of a feature to float32 in [0, 1]."""
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
    """Divide, with 0 where the scale is 0."""
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
