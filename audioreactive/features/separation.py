"""Separate a sound into harmonic and percussive parts by median filtering, and into frequency bands.

The separation follows Fitzgerald (2010), with the margin of Driedger, Müller & Disch (2014).

Conventions: spectra are (frames, bins). A band is a set of weights over frequency that is applied to spectra, so it has
no delay and no ringing. At each edge the power weights add up to one, so the bands' energies add up to the mix.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from audioreactive.features.spectra import bin_frequencies, istft, power_spectrum, stft

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]

HPSS_FFT = 2048
HPSS_HOP = 512
KERNEL = 31
"""Length of the median filters, in frames (0.65 s) and in bins (370 Hz)."""
MARGIN = 8.0
"""Ratio by which one part must be stronger than the other; what belongs to neither is dropped."""

_VALUES_AT_ONCE = 1 << 14
"""Values that are filtered at a time: sixteen arrays of this length fit in the L2 cache."""


@dataclass(frozen=True)
class Parts:
    """The two halves of a separation, (N,) float32 each."""

    harmonic: FloatArray
    percussive: FloatArray


def hpss(y: FloatArray, *, margin: float = MARGIN) -> Parts:
    """Separate the harmonic and percussive parts of a sound; agrees with `librosa.effects.hpss(y, margin=margin)`."""
    spectrum = stft(y, n_fft=HPSS_FFT, hop_length=HPSS_HOP)
    magnitude = np.sqrt(power_spectrum(spectrum))
    along_time = median_along_time(magnitude)
    along_frequency = median_along_frequency(magnitude)
    harmonic = spectrum * soft_mask(along_time, along_frequency * np.float32(margin))
    percussive = np.multiply(spectrum, soft_mask(along_frequency, along_time * np.float32(margin)), out=spectrum)
    return Parts(
        istft(harmonic, hop_length=HPSS_HOP, length=len(y)), istft(percussive, hop_length=HPSS_HOP, length=len(y))
    )


def soft_mask(wanted: FloatArray, unwanted: FloatArray) -> FloatArray:
    """Compute wanted² / (wanted² + unwanted²), 0 where both are 0."""
    largest = np.maximum(wanted, unwanted)
    largest[largest < np.finfo(np.float32).tiny] = 1
    mask, rest = np.square(wanted / largest), np.square(unwanted / largest)
    rest += mask
    return np.divide(mask, rest, out=mask, where=rest > 0)


def median_along_time(spectra: FloatArray) -> FloatArray:
    """Compute the median of KERNEL frames around each frame, reflected at the ends."""
    bins = spectra.shape[1]
    padded = _reflect(spectra, axis=0)
    return _sliding_median(padded.ravel(), bins).reshape(-1, bins)


def median_along_frequency(spectra: FloatArray) -> FloatArray:
    """Compute the median of KERNEL bins around each bin, reflected at the ends."""
    frames, bins = spectra.shape
    padded = _reflect(spectra, axis=1)
    # All rows are filtered as one line; windows across two rows are discarded, which is cheaper than row by row.
    line = _sliding_median(padded.ravel(), 1)
    medians = np.zeros((frames, padded.shape[1]), np.float32)
    medians.ravel()[: len(line)] = line
    return medians[:, :bins]


def _reflect(spectra: FloatArray, *, axis: int) -> FloatArray:
    half = KERNEL // 2
    margins = [(0, 0), (0, 0)]
    margins[axis] = (half, half)
    return np.pad(spectra, margins, mode="symmetric")


def _sliding_median(line: FloatArray, stride: int) -> FloatArray:
    """Compute the median of line[i], line[i + stride], ..., line[i + 30 · stride] for each i where all exist."""
    length = len(line) - (KERNEL - 1) * stride
    medians = np.empty(length, np.float32)
    # Along time, pieces must be much longer than a row, because they overlap by 30 rows.
    at_once = max(_VALUES_AT_ONCE, 48 * stride) if stride > 1 else _VALUES_AT_ONCE
    for start in range(0, length, at_once):
        stop = min(start + at_once, length)
        medians[start:stop] = _medians_of(line[start : stop + (KERNEL - 1) * stride], stride)
    return medians


def _medians_of(line: FloatArray, stride: int) -> FloatArray:
    """Compute medians by sorting networks over whole arrays: neighbours share sorted runs of 2, 4, 8 and 16 values.

    A window of 31 is two sorted runs of 16 that share the value in the middle.
    """
    runs: list[FloatArray] = [line]
    while len(runs) < (KERNEL + 1) // 2:
        shift = len(runs) * stride
        runs = _merge([run[:-shift] for run in runs], [run[shift:] for run in runs])
    half = len(runs)
    length = len(line) - (KERNEL - 1) * stride
    left = [run[:length] for run in runs]
    right = [run[(half - 1) * stride :][:length] for run in runs]
    middle = line[(half - 1) * stride :][:length]
    # With the middle counted twice there are 32 values; the median is whichever of the two central ones remains
    # central when one copy of the middle is taken away.
    lower, upper = _kth_of_two(left, right, half), _kth_of_two(left, right, half + 1)
    return np.where(middle <= lower, upper, lower)


def _kth_of_two(left: Sequence[FloatArray], right: Sequence[FloatArray], k: int) -> FloatArray:
    """Find the k-th smallest (k from 1) of two sorted runs together: min over i + j = k of max(left_i, right_j)."""
    n = len(left)
    splits = [(i, k - i) for i in range(max(1, k - n), min(k - 1, n) + 1)]
    best = np.maximum(left[splits[0][0] - 1], right[splits[0][1] - 1])
    spare = np.empty_like(best)
    for i, j in splits[1:]:
        np.minimum(best, np.maximum(left[i - 1], right[j - 1], out=spare), out=best)
    if k <= n:  # All k from one side.
        np.minimum(best, np.minimum(left[k - 1], right[k - 1], out=spare), out=best)
    return best


def _merge(left: Sequence[FloatArray], right: Sequence[FloatArray]) -> list[FloatArray]:
    """Merge two sorted runs (Batcher's odd-even merge, 1968)."""
    runs = [*left, *right]
    for i, j in _merge_network(len(runs)):
        runs[i], runs[j] = np.minimum(runs[i], runs[j]), np.maximum(runs[i], runs[j])
    return runs


@cache
def _merge_network(n: int) -> tuple[tuple[int, int], ...]:
    """List the comparisons that merge two sorted halves of n values."""

    def merge(first: int, step: int) -> list[tuple[int, int]]:
        if 2 * step >= n:
            return [(first, first + step)]
        pairs = merge(first, 2 * step) + merge(first + step, 2 * step)
        return pairs + [(i, i + step) for i in range(first + step, n - step, 2 * step)]

    return tuple(merge(0, 1))


@dataclass(frozen=True)
class Band:
    """Frequency band between two edges in Hz; each edge is a third of an octave wide."""

    low: float
    high: float

    def weights(self, frequencies: NDArray[np.float64]) -> FloatArray:
        """Compute the band's power weight at each frequency, in [0, 1]."""
        rise = _edge(frequencies, self.low) if self.low else np.ones_like(frequencies)
        return (rise * (1 - _edge(frequencies, self.high))).astype(np.float32)


def _edge(frequencies: NDArray[np.float64], hz: float) -> NDArray[np.float64]:
    """Compute a rising edge: 0 below, 1 above, sin² in between."""
    octaves = np.log2(np.maximum(frequencies, 1e-3) / hz)
    squared: NDArray[np.float64] = np.sin(np.clip(octaves * 3 + 0.5, 0, 1) * np.pi / 2) ** 2
    return squared


BANDS = {"bass": Band(0, 200), "mid": Band(200, 2000), "high": Band(2000, 1e9)}


@cache
def band_weights(band: str, sample_rate: int, n_fft: int) -> FloatArray:
    """Return the power weights (bins,) of the named band."""
    return BANDS[band].weights(bin_frequencies(sample_rate, n_fft))
