"""Spectra of a sound, on which timbre, rhythm and pitch features are based.

Conventions: time comes first, (frames, bins). Frame i is centred on sample i · hop_length, and the sound is padded with
silence at both ends; there are 1 + len(y) // hop_length frames. This is librosa 0.11's definition (`center=True`,
`pad_mode="constant"`), with axes swapped.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]

SMALLEST_POWER = 1e-10
"""Lower limit of power before a logarithm: -100 dB."""


@cache
def hann(length: int) -> FloatArray:
    """Return the periodic Hann window, (length,)."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)).astype(np.float32)


def frame_count(samples: int, hop_length: int) -> int:
    """Number of frames of a sound with so many samples."""
    return 1 + samples // hop_length


def frames_of(y: FloatArray, *, frame_length: int, hop_length: int) -> FloatArray:
    """Cut a sound into frames: a (frames, frame_length) view of a padded copy."""
    padded = np.pad(y, frame_length // 2)
    return np.lib.stride_tricks.sliding_window_view(padded, frame_length)[::hop_length][
        : frame_count(len(y), hop_length)
    ]


def stft(y: FloatArray, *, n_fft: int, hop_length: int) -> NDArray[np.complex64]:
    """Compute the short-time Fourier transform with a Hann window, (frames, 1 + n_fft / 2)."""
    import scipy.fft  # only songs that are analysed need it

    frames = frames_of(y, frame_length=n_fft, hop_length=hop_length)
    spectrum: NDArray[np.complex64] = scipy.fft.rfft(frames * hann(n_fft), axis=1, overwrite_x=True)
    return spectrum


def istft(spectrum: NDArray[np.complex64], *, hop_length: int, length: int) -> FloatArray:
    """Find the sound (length,) whose `stft` is closest in the least-squares sense (Griffin & Lim 1984, eq. 6).

    hop_length must divide n_fft.
    """
    import scipy.fft

    n_fft = 2 * (spectrum.shape[1] - 1)
    window = hann(n_fft)
    pieces = scipy.fft.irfft(spectrum, n=n_fft, axis=1)
    pieces *= window
    sound = _overlap_add(pieces, hop_length)
    weight = _overlap_add(np.broadcast_to(window * window, pieces.shape), hop_length)
    np.divide(sound, weight, out=sound, where=weight > np.finfo(np.float32).tiny)
    kept = sound[n_fft // 2 : n_fft // 2 + length]
    return np.pad(kept, (0, length - len(kept)))


def _overlap_add(pieces: FloatArray, hop_length: int) -> FloatArray:
    """Add overlapping pieces (frames, n_fft), each one hop later than the previous one, to one signal."""
    frames, n_fft = pieces.shape
    overlap = n_fft // hop_length
    line = np.zeros((frames + overlap - 1, hop_length), np.float32)
    for k in range(overlap):
        line[k : k + frames] += pieces[:, k * hop_length : (k + 1) * hop_length]
    return line.ravel()


def power_spectrum(spectrum: NDArray[np.complex64]) -> FloatArray:
    """Compute |X|² without a square root."""
    power: FloatArray = np.square(spectrum.real)
    power += np.square(spectrum.imag)
    return power


@cache
def bin_frequencies(sample_rate: int, n_fft: int) -> NDArray[np.float64]:
    """Return the centre frequency of each bin in Hz, (1 + n_fft / 2,)."""
    return np.arange(1 + n_fft // 2, dtype=np.float64) * (sample_rate / n_fft)


def _hz_to_mel(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert Hz to Slaney's mel scale: linear below 1 kHz, logarithmic above (Auditory Toolbox, 1998)."""
    return np.where(hz < 1000, hz * 3 / 200, 15 + np.log(np.maximum(hz, 1) / 1000) * 27 / np.log(6.4))


def _mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    hz: NDArray[np.float64] = np.where(mel < 15, mel * 200 / 3, 1000 * np.exp(np.log(6.4) / 27 * (mel - 15)))
    return hz


def mel_edges(sample_rate: int, n_mels: int) -> NDArray[np.float64]:
    """Return the edges of mel bands in Hz, (n_mels + 2,): band i rises from edge i to i + 1 and falls to i + 2."""
    top = _hz_to_mel(np.array([sample_rate / 2]))[0]
    return _mel_to_hz(np.arange(n_mels + 2, dtype=np.float64) * float(top / (n_mels + 1)))


@cache
def mel_filters(sample_rate: int, n_fft: int, n_mels: int) -> FloatArray:
    """Return triangular mel filters (n_mels, bins) of equal area, from 0 Hz to half the sample rate."""
    edges = mel_edges(sample_rate, n_mels)
    ramps = edges[:, None] - bin_frequencies(sample_rate, n_fft)
    widths = np.diff(edges)[:, None]
    rising, falling = -ramps[:-2] / widths[:-1], ramps[2:] / widths[1:]
    triangles = np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))[:, None]
    return triangles.astype(np.float32)


def power_to_db(power: FloatArray, *, top_db: float | None = 80.0) -> FloatArray:
    """Convert power to decibels relative to 1, cut off `top_db` below the highest value of the whole array."""
    decibels: FloatArray = 10 * np.log10(np.maximum(power, SMALLEST_POWER))
    if top_db is not None and decibels.size:
        np.maximum(decibels, decibels.max() - top_db, out=decibels)
    return decibels
