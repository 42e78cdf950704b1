"""Timbre of a sound: cepstrum, contrast and flatness of its spectra.

Conventions: spectra are (frames, bins). Each function takes the argument `S` of librosa's function of the same name,
with axes swapped, and agrees with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.fft

from audioreactive.features.spectra import SMALLEST_POWER, power_to_db

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]

MFCC = 20
MELS = 128
CONTRAST_LOWEST = 200.0
"""Upper edge of the lowest band in Hz; each higher band is an octave wide."""
CONTRAST_BANDS = 7
CONTRAST_QUANTILE = 0.02


def mfcc(mel_db: FloatArray) -> FloatArray:
    """Compute mel-frequency cepstral coefficients, (frames, 20), from a mel spectrogram in decibels."""
    coefficients: FloatArray = scipy.fft.dct(mel_db, axis=1, norm="ortho")[:, :MFCC]
    return coefficients


def spectral_flatness(power: FloatArray) -> FloatArray:
    """Divide the geometric by the arithmetic mean of a power spectrum, (frames,): 0 pure tone, 1 noise or silence."""
    power = np.maximum(power, SMALLEST_POWER)
    flatness: FloatArray = np.exp(np.log(power).mean(axis=1)) / power.mean(axis=1)
    return flatness


def contrast_extremes(magnitude: FloatArray, frequencies: NDArray[np.float64]) -> tuple[FloatArray, FloatArray]:
    """Find valleys and peaks of each octave of a magnitude spectrum, (frames, 7) each (Jiang et al. 2002).

    They are the means of the weakest and of the strongest 2 % of a band's bins.
    """
    edges = np.concatenate(([0.0], CONTRAST_LOWEST * 2.0 ** np.arange(CONTRAST_BANDS)))
    valleys = np.empty((len(magnitude), CONTRAST_BANDS), np.float32)
    peaks = np.empty_like(valleys)
    for band in range(CONTRAST_BANDS):
        inside = np.flatnonzero((frequencies >= edges[band]) & (frequencies <= edges[band + 1]))
        last = band == CONTRAST_BANDS - 1
        # A band starts with the bin before its lower edge, and leaves its highest bin to the next.
        first = inside[0] - (1 if band else 0)
        stop = len(frequencies) if last else inside[-1] + 1
        few = max(round(CONTRAST_QUANTILE * (stop - first)), 1)
        bins = np.sort(magnitude[:, first : stop if last else stop - 1], axis=1)
        valleys[:, band] = bins[:, :few].mean(axis=1)
        peaks[:, band] = bins[:, -few:].mean(axis=1)
    return valleys, peaks


def spectral_contrast(valleys: FloatArray, peaks: FloatArray) -> FloatArray:
    """Compute peaks minus valleys in decibels, (frames, 7); both are cut off 80 dB below their own highest value."""
    return power_to_db(peaks) - power_to_db(valleys)
