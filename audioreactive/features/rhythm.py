"""Starts of sounds, loudness and pulse.

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
"""42 ms: an attack is placed to within a quarter of it."""
ONSET_MELS = 64


def mel_power(y: FloatArray, *, sample_rate: int, n_fft: int, hop_length: int, n_mels: int) -> FloatArray:
    """Mel spectrogram, (frames, n_mels); agrees with `librosa.feature.melspectrogram`."""
    power = power_spectrum(stft(y, n_fft=n_fft, hop_length=hop_length))
    mel: FloatArray = power @ mel_filters(sample_rate, n_fft, n_mels).T
    return mel


def onset_strength(
    y: FloatArray, *, sample_rate: int, n_fft: int = ONSET_FFT, hop_length: int, n_mels: int
) -> FloatArray:
    """Spectral flux, (frames,); agrees with `librosa.onset.onset_strength` with the same parameters."""
    power = mel_power(y, sample_rate=sample_rate, n_fft=n_fft, hop_length=hop_length, n_mels=n_mels)
    return delayed(flux(power_to_db(power)).mean(axis=1), n_fft=n_fft, hop_length=hop_length)


def flux(decibels: FloatArray) -> FloatArray:
    """What every band has gained since the frame before, (frames - 1, bands)."""
    gain: FloatArray = np.diff(decibels, axis=0)
    return np.maximum(gain, 0, out=gain)


def delayed(envelope: FloatArray, *, n_fft: int, hop_length: int) -> FloatArray:
    """A flux on the frames of its spectra, (frames - 1,) -> (frames,).

    A window feels an attack half its length before its centre reaches it; the envelope is moved back by that.
    """
    shift = 1 + n_fft // (2 * hop_length)
    return np.pad(envelope, (shift, 0))[: len(envelope) + 1]


def rms(y: FloatArray, *, frame_length: int, hop_length: int) -> FloatArray:
    """Loudness, (frames,); agrees with `librosa.feature.rms`.

    From running sums of squares, in double precision, so that the cost does not depend on the frame's length.
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
    """Predominant local pulse, (frames,) in [0, 1] (Grosche & Müller 2011); agrees with `librosa.beat.plp`.

    Around every frame, the strongest tempo of the onset envelope sends out a wave in phase with it; the positive half
    of their sum is the pulse. Values are librosa's, which weights the waves by their strength.
    """
    frames, window = len(envelope), hann(win_length)
    padded = np.pad(np.asarray(envelope, np.float32), win_length // 2)
    tempi = np.arange(1 + win_length // 2) * (60 * frame_rate / win_length)
    feasible = np.flatnonzero((tempi >= tempo_min) & (tempi <= tempo_max))
    phases = np.outer(np.arange(win_length), feasible) * (2j * np.pi / win_length)
    waves = np.exp(phases).astype(np.complex64) * window[:, None]
    pulse = np.zeros(frames + win_length, np.float32)
    block = max(1, (1 << 21) // win_length)
    for start in range(0, frames + 1, block):  # The frame after the last one reaches back into the sound.
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
    """What librosa's normalisation leaves of the tempogram's peaks.

    It divides by the maximum over frequency of *complex* numbers, which NumPy orders by their real parts: a peak in
    the left half plane is divided by next to nothing and keeps its strength, one in the right half is scaled to 1 and
    is lost beside it. Every wave turns through both halves within one beat, so the phase is right all the same.
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
    """0 in quiet passages, 1 in loud ones, (frames,): a long moving average of the RMS, softly clipped (Table 3.1).

    `seconds` is the standard deviation of the average's Gaussian. Where the loudness hardly changes over the song,
    the weight stays near a half.
    """
    from scipy.ndimage import gaussian_filter1d

    if not loudness.any():
        return np.zeros_like(loudness)
    slow = gaussian_filter1d(loudness.astype(np.float64), seconds * frame_rate, mode="nearest", truncate=3)
    mean = slow.mean()
    # Twice the deviation from loud to quiet fills the range; a song's loudness wavers by a tenth without meaning it.
    spread = max(slow.std(), 0.1 * mean)
    weight: FloatArray = (0.5 + 0.5 * np.tanh(1.5 * (slow - mean) / spread)).astype(np.float32)
    return weight
