"""Notes in a sound: constant-Q spectra, chroma, tonal centroids.

Conventions: time comes first. Chroma bins are C, C♯, ..., B. All functions agree with those of librosa 0.11 with the
same parameters: seven octaves from C1 in thirds of semitones.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import scipy.fft

from audioreactive.features.spectra import bin_frequencies, frames_of, power_spectrum, stft

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]

LOWEST_NOTE = 440 * 2 ** (-45 / 12)
"""Frequency of C1 in Hz."""
OCTAVES = 7
BINS_PER_OCTAVE = 36
CENS_STEPS = (0.05, 0.1, 0.2, 0.4)
"""Shares of a frame's energy above each of which a note counts another quarter (Müller & Ewert 2011)."""

_DROPPED_SHARE = 0.01
"""Share of the magnitude of a filter's spectrum that is dropped to make it sparse."""


def cqt_frequencies(tuning: float) -> NDArray[np.float64]:
    """Centre frequencies (252,) of the constant-Q bins in Hz; the tuning is in bins."""
    return LOWEST_NOTE * 2 ** ((tuning + np.arange(OCTAVES * BINS_PER_OCTAVE)) / BINS_PER_OCTAVE)


def cqt_magnitude(y: FloatArray, *, sample_rate: int, hop_length: int, tuning: float = 0.0) -> FloatArray:
    """Compute constant-Q magnitudes, (frames, 252), octave by octave (Schörkhuber & Klapuri 2010).

    The sample rate is halved for each octave down, so that the filters of all octaves have the same length in samples.
    hop_length must be a multiple of 64.
    """
    import soxr

    octaves = []
    lengths = _filter_lengths(sample_rate, tuning)
    rate, hop = float(sample_rate), hop_length
    for octave in reversed(range(OCTAVES)):
        filters, bins = _filter_bank(octave, rate, tuning)
        n_fft = 2 * (filters.shape[1] - 1)
        frames = frames_of(y, frame_length=n_fft, hop_length=hop)
        spectrum = scipy.fft.rfft(frames, axis=1)
        octaves.append(np.abs(spectrum[:, bins] @ filters[:, bins].T) * np.float32(np.sqrt(sample_rate / rate)))
        if octave:
            y = soxr.resample(y, 2, 1, quality="HQ") * np.float32(np.sqrt(2))
            rate, hop = rate / 2, hop // 2
    frame_count = min(len(octave) for octave in octaves)
    stacked = np.concatenate([octave[:frame_count] for octave in reversed(octaves)], axis=1)
    stacked /= np.sqrt(lengths).astype(np.float32)
    return stacked


def _bandwidths(tuning: float) -> NDArray[np.float64]:
    """Relative bandwidth (252,) of each bin: the distance to its neighbours over its frequency."""
    logarithms = np.log2(cqt_frequencies(tuning))
    steps = np.empty_like(logarithms)
    steps[1:-1] = (logarithms[2:] - logarithms[:-2]) / 2
    steps[0], steps[-1] = logarithms[1] - logarithms[0], logarithms[-1] - logarithms[-2]
    ratios = np.exp2(2 * steps)
    relative: NDArray[np.float64] = (ratios - 1) / (ratios + 1)
    return relative


def _filter_lengths(rate: float, tuning: float) -> NDArray[np.float64]:
    """Lengths (252,) of the filters in samples; not whole numbers."""
    return rate / (_bandwidths(tuning) * cqt_frequencies(tuning))


@cache
def _filter_bank(octave: int, rate: float, tuning: float) -> tuple[NDArray[np.complex64], slice]:
    """Compute the spectra (36, 1 + n_fft / 2) of an octave's filters, and the bins in which they are not zero."""
    part = slice(octave * BINS_PER_OCTAVE, (octave + 1) * BINS_PER_OCTAVE)
    frequencies, lengths = cqt_frequencies(tuning)[part], _filter_lengths(rate, tuning)[part]
    n_fft = int(2 ** np.ceil(np.log2(lengths.max())))
    filters = np.zeros((BINS_PER_OCTAVE, n_fft), np.complex64)
    for row, frequency, length in zip(filters, frequencies, lengths, strict=True):
        times = np.arange(-length // 2, length // 2)
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(len(times)) / len(times))
        wavelet = np.exp(2j * np.pi * frequency / rate * times) * window
        start = (n_fft - len(times)) // 2
        row[start : start + len(times)] = wavelet / np.abs(wavelet).sum()
    filters *= (lengths[:, None] / n_fft).astype(np.float32)
    spectra = _without_small_bins(scipy.fft.fft(filters, axis=1)[:, : 1 + n_fft // 2])
    used = np.flatnonzero(spectra.any(axis=0))
    return spectra.astype(np.complex64), slice(int(used[0]), int(used[-1]) + 1)


def _without_small_bins(spectra: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """Set the smallest bins of each row to zero, which together have less than 1 % of its magnitude."""
    magnitude = np.abs(spectra)
    ascending = np.sort(magnitude, axis=1)
    share = np.cumsum(ascending / magnitude.sum(axis=1, keepdims=True), axis=1)
    smallest = ascending[np.arange(len(spectra)), np.argmin(share < _DROPPED_SHARE, axis=1)]
    return np.where(magnitude >= smallest[:, None], spectra, 0)


def chroma_of(cqt: FloatArray) -> FloatArray:
    """Sum the bins of each of the twelve notes over all octaves, (frames, 12), not normalised."""
    # The bins a third of a semitone below and above belong to the note: C starts one bin before C1 itself.
    frames = len(cqt)
    thirds = np.roll(cqt.reshape(frames, OCTAVES, BINS_PER_OCTAVE), 1, axis=2)
    summed: FloatArray = thirds.reshape(frames, OCTAVES, 12, 3).sum(axis=(1, 3))
    return summed


def normalized(values: FloatArray, *, order: float) -> FloatArray:
    """Divide each frame by its norm of this order; silent frames stay zero."""
    length = np.linalg.norm(values, ord=order, axis=1, keepdims=True)
    unit: FloatArray = np.divide(values, length, out=np.zeros_like(values), where=length > np.finfo(np.float32).tiny)
    return unit


def cens(chroma: FloatArray, *, smoothing: int) -> FloatArray:
    """Compute chroma energy normalised statistics (CENS), (frames, 12) in [0, 1].

    The chroma is quantised, smoothed over `smoothing` frames and normalised to length one. Agrees with
    `librosa.feature.chroma_cens(win_len_smooth=smoothing)`.
    """
    from scipy.ndimage import convolve1d

    shares = normalized(chroma, order=1)
    quantised = np.sum([0.25 * (shares > step) for step in CENS_STEPS], axis=0)
    window = np.hanning(smoothing + 2)
    smooth = convolve1d(quantised, window / window.sum(), axis=0, mode="constant")
    return normalized(smooth, order=2).astype(np.float32)


def tonnetz(chroma: FloatArray) -> FloatArray:
    """Compute tonal centroids, (frames, 6) in [-1, 1] (Harte, Sandler & Gasser 2006).

    They are sine and cosine on the circles of fifths, minor and major thirds. Agrees with
    `librosa.feature.tonnetz(chroma=chroma)`.
    """
    circles = np.repeat([7 / 6, 3 / 2, 2 / 3], 2)[:, None] * np.arange(12.0)
    circles[::2] -= 0.5
    radii = np.repeat([1.0, 1.0, 0.5], 2)[:, None]
    projection = (radii * np.cos(np.pi * circles)).astype(np.float32)
    centroids: FloatArray = normalized(chroma, order=1) @ projection.T
    return centroids


def estimate_tuning(y: FloatArray, *, sample_rate: int, n_fft: int = 2048) -> float:
    """Estimate the tuning: how far the notes are above the nearest bin, in bins, from -0.5 to 0.5 in steps of 0.01.

    Agrees with `librosa.estimate_tuning(bins_per_octave=36)`.
    """
    magnitude = np.sqrt(power_spectrum(stft(y, n_fft=n_fft, hop_length=n_fft // 4)))
    frequencies = bin_frequencies(sample_rate, n_fft)
    before, here, after = magnitude[:, :-2], magnitude[:, 1:-1], magnitude[:, 2:]
    peaks = (here > before) & (here >= after) & (here > 0.1 * magnitude.max(axis=1, keepdims=True))
    peaks &= (frequencies[1:-1] >= 150) & (frequencies[1:-1] < 4000)
    rows, columns = np.nonzero(peaks)
    if not len(rows):
        return 0.0
    left, centre, right = before[peaks], here[peaks], after[peaks]
    # The parabola through a peak and its neighbours (Smith, "Spectral audio signal processing", quadratic
    # interpolation of spectral peaks): its top lies `shift` bins off, and `rise` higher.
    slope, curvature = (right - left) / 2, 2 * centre - left - right
    shift = np.divide(slope, curvature, out=np.zeros_like(slope), where=curvature > np.abs(slope))
    rise = 0.5 * slope * shift
    height = centre + rise
    pitches = (columns + 1 + shift)[height >= np.median(height)] * (sample_rate / n_fft)
    residual = np.mod(BINS_PER_OCTAVE * np.log2(pitches * (16 / 440)), 1.0)
    residual[residual >= 0.5] -= 1
    counts, edges = np.histogram(residual, np.linspace(-0.5, 0.5, 101))
    return float(edges[counts.argmax()])
