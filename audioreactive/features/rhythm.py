"""Onsets, loudness and pulse.

Conventions: envelopes are (frames,) or (frames, bands) on a grid of hops; frame i stands for the sound at
i · hop_length samples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.fft

from audioreactive.features.spectra import frame_count, hann, mel_filters, power_spectrum, power_to_db, stft

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]

ONSET_FFT = 1024
"""Window length in samples (42 ms); an attack is located to within a quarter of it."""
ONSET_MELS = 64


def mel_power(y: FloatArray, *, sample_rate: int, n_fft: int, hop_length: int, n_mels: int) -> FloatArray:
    """Compute the mel spectrogram, (frames, n_mels); agrees with `librosa.feature.melspectrogram`."""
    power = power_spectrum(stft(y, n_fft=n_fft, hop_length=hop_length))
    mel: FloatArray = power @ mel_filters(sample_rate, n_fft, n_mels).T
    return mel


def onset_strength(
    y: FloatArray, *, sample_rate: int, n_fft: int = ONSET_FFT, hop_length: int, n_mels: int
) -> FloatArray:
    """Compute the spectral flux, (frames,); agrees with `librosa.onset.onset_strength` with the same parameters."""
    power = mel_power(y, sample_rate=sample_rate, n_fft=n_fft, hop_length=hop_length, n_mels=n_mels)
    return delayed(flux(power_to_db(power)).mean(axis=1), n_fft=n_fft, hop_length=hop_length)


def flux(decibels: FloatArray) -> FloatArray:
    """Compute the increase of each band since the previous frame, at least 0, (frames - 1, bands)."""
    gain: FloatArray = np.diff(decibels, axis=0)
    return np.maximum(gain, 0, out=gain)


def delayed(envelope: FloatArray, *, n_fft: int, hop_length: int) -> FloatArray:
    """Align a flux (frames - 1,) with the frames of its spectra: (frames,).

    A window contains an attack half its length before its centre reaches it; the envelope is delayed by that time.
    """
    shift = 1 + n_fft // (2 * hop_length)
    return np.pad(envelope, (shift, 0))[: len(envelope) + 1]


def rms(y: FloatArray, *, frame_length: int, hop_length: int) -> FloatArray:
    """Compute the root mean square, (frames,); agrees with `librosa.feature.rms`.

    It uses cumulative sums of squares in double precision, so that the cost does not depend on the frame length.
    """
    frames = frame_count(len(y), hop_length)
    sums = np.concatenate(([0.0], np.cumsum(np.square(y, dtype=np.float64))))
    starts = np.arange(frames) * hop_length - frame_length // 2
    stops = np.minimum(starts + frame_length, len(y))
    energy = sums[stops] - sums[np.maximum(starts, 0)]
    return np.sqrt(energy / frame_length).astype(np.float32)


def plp(
    envelope: FloatArray,
    *,
    frame_rate: float,
    win_length: int,
    tempo_min: float = 30.0,
    tempo_max: float = 300.0,
) -> FloatArray:
    """Compute the predominant local pulse, (frames,) in [0, 1] (Grosche & Müller 2011); agrees with `librosa.beat.plp`.

    Around each frame, the strongest tempo of the onset envelope gives a windowed cosine in phase with it; the pulse is
    the positive half of their sum. As in librosa, the cosines are weighted by their strength.
    """
    frames, window = len(envelope), hann(win_length)
    padded = np.pad(np.asarray(envelope, np.float32), win_length // 2)
    tempi = np.arange(1 + win_length // 2) * (60 * frame_rate / win_length)
    feasible = np.flatnonzero((tempi >= tempo_min) & (tempi <= tempo_max))
    phases = np.outer(np.arange(win_length), feasible) * (2j * np.pi / win_length)
    waves = np.exp(phases).astype(np.complex64) * window[:, None]
    pulse = np.zeros(frames + win_length, np.float32)
    block = max(1, (1 << 21) // win_length)
    for start in range(0, frames + 1, block):  # The window of the frame after the last one overlaps the sound.
        stop = min(start + block, frames + 1)
        spans = np.lib.stride_tricks.sliding_window_view(padded, win_length)[start:stop]
        spectrum = scipy.fft.rfft(spans * window, axis=1, overwrite_x=True)[:, feasible]
        best = np.abs(spectrum).argmax(axis=1)
        peaks = _weighted_peaks(spectrum[np.arange(stop - start), best])
        for offset, wave in enumerate(waves):
            pulse[start + offset : stop + offset] += np.real(peaks * wave[best])
    coverage = np.convolve(np.ones(frames + 1, np.float32), window * window)
    pulse /= np.maximum(coverage, np.finfo(np.float32).tiny)
    return _peak_normalized(np.maximum(pulse[win_length // 2 :][:frames], 0))


def _weighted_peaks(peaks: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """Weight the tempogram's peaks as librosa's normalisation does.

    librosa divides by the maximum over frequency of *complex* numbers, which NumPy orders by their real parts. A peak
    in the left half plane is divided by almost 0 and keeps its strength; one in the right half plane is scaled to 1,
    which is negligible beside it. Each wave passes through both halves within a beat, so the phase is still right.
    """
    tiny = np.sqrt(np.finfo(np.float32).tiny)
    weighted: NDArray[np.complex64] = peaks * np.where(peaks.real > 0, tiny / np.maximum(np.abs(peaks), tiny), 1)
    return weighted.astype(np.complex64, copy=False)


def _peak_normalized(values: FloatArray) -> FloatArray:
    largest = values.max(initial=0)
    if not largest > np.finfo(np.float32).tiny:
        return np.zeros_like(values)
    unit: FloatArray = values / largest
    return unit


def drop_weight(loudness: FloatArray, *, frame_rate: float, seconds: float = 2.0) -> FloatArray:
    """Compute 0 in quiet passages and 1 in loud ones, (frames,): a long average of the RMS, soft-clipped (Table 3.1).

    `seconds` is the standard deviation of the Gaussian of the average. If the loudness hardly changes over the song,
    the weight stays near 0.5.
    """
    from scipy.ndimage import gaussian_filter1d

    if not loudness.any():
        return np.zeros_like(loudness)
    slow = gaussian_filter1d(loudness.astype(np.float64), seconds * frame_rate, mode="nearest", truncate=3)
    mean = slow.mean()
    # Two standard deviations fill most of the range; variations below a tenth of the mean are not amplified.
    spread = max(slow.std(), 0.1 * mean)
    weight: FloatArray = (0.5 + 0.5 * np.tanh(1.5 * (slow - mean) / spread)).astype(np.float32)
    return weight
