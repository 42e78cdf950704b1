"""Algorithm 1 of the thesis: a spectral gate, whose thresholds come from the difference of the two sounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

if TYPE_CHECKING:
    from numpy.typing import NDArray

FRAME: Final = 2048
HOP: Final = 512
DEVIATIONS: Final = 1.5
"""k, the deviations above the noise's mean from which a bin is sound."""
SMOOTH: Final = (1.0, 1.0)
"""Deviations of the Gaussian filter of the mask, in bins of frequency and frames of time."""
FLOOR: Final = -120.0
"""Level in dB of silence."""


def spectral_gate(
    sound: NDArray[np.float32], noise: NDArray[np.float32], *, rate: int, deviations: float = DEVIATIONS
) -> NDArray[np.float32]:
    """Mute what is no louder than the noise.

    Args:
        sound: (N,) samples.
        noise: (M,) samples of noise.
        rate: samples per second, for the units of time alone.
        deviations: k of the threshold mean + k · deviation, in dB, for each bin of frequency.
    """
    if len(sound) < FRAME:
        return sound
    transform = ShortTimeFFT(hann(FRAME, sym=False), HOP, rate)
    noisy = _decibels(transform.stft(_long_enough(noise)))
    threshold = noisy.mean(axis=1) + deviations * noisy.std(axis=1)
    spectrum = transform.stft(sound.astype(np.float64))
    mask = (_decibels(spectrum) > threshold[:, None]).astype(np.float64)
    gated = transform.istft(spectrum * gaussian_filter(mask, SMOOTH), k1=len(sound))
    return np.asarray(gated, np.float32)


def _long_enough(noise: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.pad(noise.astype(np.float64), (0, max(FRAME - len(noise), 0)))


def _decibels(spectrum: NDArray[np.complex128]) -> NDArray[np.float64]:
    levels: NDArray[np.float64] = np.maximum(20 * np.log10(np.maximum(np.abs(spectrum), 1e-12)), FLOOR)
    return levels
