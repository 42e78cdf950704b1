"""Mix the channels of a sound to one channel for the analysis, so that nothing cancels.

The mean of the channels is not what a listener hears, because opposite phases cancel. Instead, the channels are mixed
by energy in short-time spectra: the power of each bin is the mean of the channels' power. What is equal in all channels
stays exactly the same; what differs from the mean is added with a phase shift of 90°, so that it cannot cancel.

A DC offset is removed first (`offsets`). Without an offset, nothing is changed.

Conventions: blocks are (n, C) float32 of any length; the result does not depend on how a sound is cut into blocks.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive.media.offsets import SILENT, OffsetFilter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]
    Spectra = NDArray[np.complex64]

WINDOW_SECONDS: Final = 0.042
FRAMES_AT_ONCE: Final = (4, 64)
"""Fewest and most spectra that are mixed at once; the number depends only on the rate and the number of channels."""
_BATCH: Final = 1 << 19
_TINY: Final = np.float32(1e-30)


class Mixer:
    """Mixes a sound block by block; the output of `add` lags the input by some blocks."""

    def __init__(self, sample_rate: int, channels: int) -> None:
        self._offset = OffsetFilter(sample_rate, channels)
        self._energy = _EnergyMix(sample_rate, channels) if channels > 1 else None

    def add(self, block: Samples) -> Samples:
        """Take a block (n, C) and return the mono samples (m,) that are complete so far."""
        return self._mix(self._offset.add(block))

    def finish(self) -> Samples:
        """Return the remaining mono samples (m,)."""
        rest = self._mix(self._offset.finish())
        return rest if self._energy is None else np.concatenate((rest, self._energy.finish()))

    @property
    def gain(self) -> float:
        """Factor for the whole mix, known at its end: it makes up for channels that were always silent."""
        return 1.0 if self._energy is None else self._energy.gain

    @property
    def sounding(self) -> NDArray[np.bool_] | None:
        """Which of the channels (C,) sounded so far; None for a single one."""
        return None if self._energy is None else self._energy.sounding

    def _mix(self, block: Samples) -> Samples:
        return block[:, 0] if self._energy is None else self._energy.add(block)


def is_silent(samples: Samples) -> bool:
    """Whether a sound (N,) never exceeds the rounding of 16 bits: such noise would be analysed like music."""
    frame, piece = 1024, 1 << 20
    for start in range(0, len(samples), piece):
        part = samples[start : start + piece]
        squares = np.square(np.pad(part, (0, -len(part) % frame)).reshape(-1, frame)).mean(axis=1)
        if squares.max() >= SILENT**2:
            return False
    return True


class _EnergyMix:
    """Mixes channels by energy, in overlapping short-time spectra."""

    def __init__(self, sample_rate: int, channels: int) -> None:
        self._window: int = 1 << round(math.log2(max(sample_rate * WINDOW_SECONDS, 16)))
        self._hop = self._window // 2
        self._frames = min(max(_BATCH // (self._hop * channels), FRAMES_AT_ONCE[0]), FRAMES_AT_ONCE[1])
        self._channels = channels
        self._waiting = np.zeros((self._hop, channels), np.float32)  # silence before the sound
        self._tail = np.zeros(self._hop, np.float32)
        self.sounding = np.zeros(channels, bool)
        self._length = 0
        self._given = -self._hop

    @property
    def gain(self) -> float:
        return float(np.sqrt(self._channels / max(int(self.sounding.sum()), 1)))

    def add(self, block: Samples) -> Samples:
        self._length += len(block)
        self._waiting = np.concatenate((self._waiting, block))
        return self._mixed()

    def finish(self) -> Samples:
        """Mix the remaining samples, followed by silence."""
        missing = self._length - max(self._given, 0)
        step = self._frames * self._hop
        self._waiting = np.pad(self._waiting, ((0, step + self._hop), (0, 0)))
        return self._mixed()[:missing]

    def _mixed(self) -> Samples:
        done, step = [], self._frames * self._hop
        while len(self._waiting) >= step + self._hop:
            mono = self._batch(self._waiting[: step + self._hop])
            done.append(mono[max(-self._given, 0) :])
            self._given += step
            self._waiting = self._waiting[step:]
        self._waiting = self._waiting.copy()
        return np.concatenate(done) if done else np.zeros(0, np.float32)

    def _batch(self, sound: Samples) -> Samples:
        """Mix `frames` overlapping windows; returns the samples (frames · hop,) that later windows cannot change."""
        step = self._frames * self._hop
        mean: Samples = sound[:step].mean(axis=1, dtype=np.float64).astype(np.float32)
        if (sound[:, 1:] == sound[:, :1]).all():
            self.sounding |= np.abs(sound).max(axis=0) >= SILENT
            pieces = np.zeros((self._frames, self._window), np.float32)
        else:
            pieces = self._difference_from_mean(sound)
        more = np.zeros(step + self._hop, np.float32)
        more[: self._hop] = self._tail
        more[:step] += pieces[:, : self._hop].ravel()
        more[self._hop :] += pieces[:, self._hop :].ravel()
        self._tail = more[step:].copy()
        mean += more[:step]
        return mean

    def _difference_from_mean(self, sound: Samples) -> Samples:
        """Compute the difference (frames, window) between the energy mix and the mean of the channels."""
        import scipy.fft

        shape = np.sin(np.pi * np.arange(self._window) / self._window).astype(np.float32)  # squares add up to 1
        frames = np.lib.stride_tricks.sliding_window_view(sound, self._window, axis=0)[:: self._hop]  # [F, C, window]
        peaks = np.abs(frames).max(axis=2)
        peaks[0] = np.where(self.sounding, SILENT, peaks[0])
        sounding = np.logical_or.accumulate(peaks >= SILENT, axis=0)
        self.sounding = sounding[-1].copy()
        mixed = np.zeros((self._frames, self._hop + 1), np.complex64)
        mean, count = mixed.copy(), np.zeros((self._frames, 1), np.float32)
        for channel in range(self._channels):
            spectrum = scipy.fft.rfft(frames[:, channel] * shape, axis=1)
            mean += spectrum
            heard = sounding[:, channel, None]
            mixed = np.where(heard, with_channel(mixed, count, spectrum), mixed)
            count += heard
        mean /= np.float32(self._channels)
        mixed *= np.sqrt(count / np.float32(self._channels))
        pieces: Samples = scipy.fft.irfft(mixed - mean, n=self._window, axis=1)
        pieces *= shape
        return pieces


def with_channel(mixed: Spectra, count: NDArray[np.float32], channel: Spectra) -> Spectra:
    """Add one more channel's spectra (F, bins) to a mix of `count` (F, 1) channels.

    The power of each bin is the mean power of all channels. Its phase is that of their mean where they agree, and is
    turned by up to 90° towards their difference where they do not.
    """
    mean = (count * mixed + channel) / (count + 1)
    side = np.sqrt(count) * (mixed - channel) / (count + 1)
    power = (count * _power(mixed) + _power(channel)) / (count + 1)
    turned = 1j * side
    both = mean + turned
    energy = _power(both)
    # Two channels that are 90° apart cancel in one of the two directions, never in both.
    other = energy < power / 2
    if other.any():
        both[other] -= 2 * turned[other]
        energy[other] = _power(both[other])
    # The lowest and the highest bin are real and have no phase to turn: take the larger of mean and difference.
    for edge in (0, -1):
        larger = np.where(np.abs(mean[:, edge]) >= np.abs(side[:, edge]), mean[:, edge], side[:, edge])
        both[:, edge], energy[:, edge] = larger, _power(larger)
    both *= np.sqrt(np.divide(power, energy, out=np.ones_like(power), where=energy > _TINY))
    return np.where(side == 0, mean, both).astype(np.complex64)


def _power(spectrum: Spectra) -> NDArray[np.float32]:
    power: NDArray[np.float32] = np.square(spectrum.real) + np.square(spectrum.imag)
    return power
