"""Causal chroma and tonal centroids: the notes of the last third of a second, in which what strikes is left out.

Offline, notes come from constant-Q spectra around a frame, smoothed over a second (CENS). Here, from one long spectrum
that ends now, and a shorter one-sided average.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
import scipy.fft

from audioreactive.features import pitch, spectra
from audioreactive.features.blocks import COARSE_HOP, FINE_HOP
from audioreactive.media.audio import ANALYSIS_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]

OCTAVES: Final = ((8192, 0, 36), (4096, 36, 84))
"""(window in samples, first semitone above C1, one past the last): low notes need long windows to be told apart."""
LONGEST: Final = max(window for window, _, _ in OCTAVES)
PROMINENCE: Final = 1.5
"""Exponent of the amplitudes of which chroma is the sum. A constant-Q filter lets its neighbours' tones through, which
rewards the strongest; peaks of a spectrum do not, and would count faint overtones like notes."""
SMOOTHING: Final = 10
"""Coarse steps (1/24 s) over which chroma is averaged."""
COARSE_STEPS: Final = COARSE_HOP // FINE_HOP


class Notes:
    """Chroma and tonal centroids of a sound, step by step."""

    def __init__(self) -> None:
        self._tail = np.zeros(LONGEST, np.float32)
        self._quantised = np.zeros((SMOOTHING - 1, 12), np.float32)
        self._held = {"chroma": np.zeros((1, 12), np.float32), "tonnetz": np.zeros((1, 6), np.float32)}

    def follow(self, sound: FloatArray, first: int) -> dict[str, FloatArray]:
        """Return `chroma` (n, 12) and `tonnetz` (n, 6) of the next n steps, raw; `first` is the number of the first."""
        line = np.concatenate((self._tail, sound))
        self._tail = line[-LONGEST:]
        count = len(sound) // FINE_HOP
        ends = [step for step in range(count) if (first + step + 1) % COARSE_STEPS == 0]
        found = {name: rows[:0] for name, rows in self._held.items()}
        if ends:
            frames = np.stack([line[(end + 1) * FINE_HOP :][:LONGEST] for end in ends])
            found = self._notes(frames)
        held = {}
        for name, before in self._held.items():
            rows = np.concatenate((before, found[name]))
            held[name] = rows[(first + np.arange(1, count + 1)) // COARSE_STEPS - first // COARSE_STEPS]
            self._held[name] = rows[-1:]
        return held

    def _notes(self, frames: FloatArray) -> dict[str, FloatArray]:
        tones = np.concatenate([_tones(frames[:, -window:], *span) for window, *span in OCTAVES], axis=1)
        chroma = (tones**PROMINENCE).reshape(len(tones), -1, 12).sum(axis=1)
        shares = pitch.normalized(chroma, order=1)
        steps = np.asarray(np.sum([0.25 * (shares > step) for step in pitch.CENS_STEPS], axis=0), np.float32)
        rows = np.concatenate((self._quantised, steps))
        self._quantised = rows[len(rows) - SMOOTHING + 1 :]
        mean = np.lib.stride_tricks.sliding_window_view(rows, SMOOTHING, axis=0).mean(axis=2)
        return {
            "chroma": pitch.normalized(mean, order=2).astype(np.float32),
            "tonnetz": pitch.tonnetz(chroma).astype(np.float32),
        }


def _tones(frames: FloatArray, low: int, high: int) -> FloatArray:
    """Amplitudes (n, high - low) of the semitones: of the peaks of each spectrum, so that strokes count less."""
    window = frames.shape[1]
    power = spectra.power_spectrum(scipy.fft.rfft(frames * spectra.hann(window), axis=1))
    peak = np.zeros(power.shape, bool)
    peak[:, 1:-1] = (power[:, 1:-1] > power[:, :-2]) & (power[:, 1:-1] >= power[:, 2:])
    near = peak.copy()
    near[:, 1:] |= peak[:, :-1]
    near[:, :-1] |= peak[:, 1:]
    return np.sqrt(np.where(near, power, 0) @ _semitones(window, low, high))


@cache
def _semitones(window: int, low: int, high: int) -> FloatArray:
    """Matrix (bins, semitones) of power weights, raised cosines that overlap by half."""
    hz = spectra.bin_frequencies(ANALYSIS_RATE, window)
    place = 12 * np.log2(np.maximum(hz, 1) / pitch.LOWEST_NOTE)
    distance = np.abs(place[:, None] - np.arange(low, high))
    return np.where(distance < 1, np.cos(np.pi / 2 * distance) ** 2, 0).astype(np.float32)
