"""How far two clips are apart: the measures of the thesis' chapter 6, by its equations.

Pictures are (T, H, W, 3) uint8. LPIPS and ViSQOL need trained networks and are not computed here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.ndimage import uniform_filter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from audioreactive.codec.clip import Sound

SSIM_WINDOW: Final = 7
"""Side of the window of SSIM, with equal weights, as in scikit-image."""
SSIM_CONSTANTS: Final = (0.01 * 255) ** 2, (0.03 * 255) ** 2
LSD_FRAME: Final = 2048
LSD_HOP: Final = 512
LSD_FLOOR: Final = 1e-10
"""Power of a spectrum's bin below which it counts as this."""
BEST: Final = 150.0
"""PSNR in dB of equal signals, which have no finite one."""


def psnr(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio (6-7) in dB, over all pixels and channels of all frames together."""
    total = sum(
        float(np.square(one.astype(np.int32) - other.astype(np.int32)).sum(dtype=np.float64))
        for one, other in zip(first, second, strict=True)
    )
    return _decibels(255.0**2, total / first.size)


def ssim(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Structural similarity (6-11): the mean over frames and channels; windows of 7 x 7 pixels, unbiased variances."""
    return float(np.mean([_ssim(one, other) for one, other in zip(first, second, strict=True)]))


def sqnr(signal: NDArray[np.floating], rounded: NDArray[np.floating]) -> float:
    """Signal-to-quantisation-noise ratio (6-8) in dB."""
    one, other = np.asarray(signal, np.float64), np.asarray(rounded, np.float64)
    return _decibels(float(np.square(one).mean()), float(np.square(one - other).mean()))


def sound_psnr(first: Sound, second: Sound) -> float:
    """Peak signal-to-noise ratio (6-13) of sounds in dB; the peak is the first one's.

    The second is resampled to the first one's rate; what one has longer, and channels, count as silence and copies.
    """
    one, other = _alike(first, second)
    peak = float(np.abs(one).max(initial=0))
    return _decibels(peak * peak, float(np.square(one - other).mean())) if peak else BEST


def log_spectral_distance(first: Sound, second: Sound) -> float:
    """Log spectral distance (6-12) in dB, of the means of the channels: frames of 2048 samples, Hann, hop 512.

    The thesis does not say which logarithm: 20 log10 of magnitudes is taken, so that the unit is dB.
    """
    one, other = (_log_spectrum(samples.mean(axis=1)) for samples in _alike(first, second))
    return float(np.sqrt(np.square(one - other).mean(axis=1)).mean())


def _ssim(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    one, other = first.astype(np.float64), second.astype(np.float64)
    side = min(SSIM_WINDOW, *first.shape[:2])
    side -= 1 - side % 2
    window = (side, side, 1)
    unbiased = side * side / max(side * side - 1, 1)

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        smooth: NDArray[np.float64] = uniform_filter(values, window)
        return smooth

    u, v = mean(one), mean(other)
    uu, vv, uv = (unbiased * (mean(a * b) - c) for a, b, c in ((one, one, u * u), (other, other, v * v),
                                                             (one, other, u * v)))  # fmt: skip
    c1, c2 = SSIM_CONSTANTS
    values = (2 * u * v + c1) * (2 * uv + c2) / ((u * u + v * v + c1) * (uu + vv + c2))
    edge = side // 2
    return float(values[edge : values.shape[0] - edge, edge : values.shape[1] - edge].mean())


def _alike(first: Sound, second: Sound) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    import soxr

    one, other = first.samples.astype(np.float64), second.samples.astype(np.float64)
    if second.rate != first.rate:
        other = soxr.resample(other, second.rate, first.rate)
    channels = max(one.shape[1], other.shape[1])
    one, other = (np.repeat(x, channels, 1) if x.shape[1] == 1 else x for x in (one, other))
    length = max(len(one), len(other))
    one, other = (np.pad(x, ((0, length - len(x)), (0, 0))) for x in (one, other))
    return one[: len(first.samples)], other[: len(first.samples)]


def _log_spectrum(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    padded = np.pad(samples, (0, max(LSD_FRAME - len(samples), 0)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, LSD_FRAME)[::LSD_HOP]
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(LSD_FRAME + 1)[:-1], axis=1)))
    return 10 * np.log10(np.maximum(power, LSD_FLOOR))


def _decibels(signal: float, noise: float) -> float:
    if noise <= 0:
        return BEST
    return min(10 * math.log10(signal / noise), BEST) if signal > 0 else -BEST
