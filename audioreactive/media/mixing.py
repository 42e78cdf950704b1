"""Mix the channels of a sound to one channel for the analysis, so that nothing cancels.

The mean of the channels is not what a listener hears, because opposite phases cancel. Instead, the channels are mixed
by energy in short-time spectra: the power of each bin is the mean of the channels' power. What is equal in all channels
stays exactly the same; what differs from the mean is added with a phase shift of 90°, so that it cannot cancel.

A constant or slowly drifting DC offset is removed first. Without an offset, nothing is changed.

Conventions: blocks are (n, C) float32 of any length; the result does not depend on how a sound is cut into blocks.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]
    Spectra = NDArray[np.complex64]

SILENT: Final = 2.0**-15
"""Amplitude of one step of 16-bit sound (full scale is 1); anything below is rounding or dither."""

SPAN_SECONDS: Final = 1 / 43
"""Length in seconds of the spans whose means estimate the offset: about a period of the lowest tones."""
SPANS: Final = 16
"""Number of spans in a chunk, which lasts 0.37 s. Three neighbouring chunks estimate an offset."""
USUAL_DRIFT: Final = 0.1
"""Expected speed at which an offset drifts, in full scales per second."""
MOST_IN_CHUNK: Final = 1 << 22
"""Most samples in a chunk, over all channels: 16 MB."""
DOUBT: Final = 3.0
"""Number of standard errors below which an estimated offset counts as chance."""
SLOW_SHARE: Final = 0.05
"""Share of a sound's power that the mean over a span may still contain if its tones are low."""

WINDOW_SECONDS: Final = 0.042
FRAMES_AT_ONCE: Final = (4, 64)
"""Fewest and most spectra that are mixed at once; the number depends only on the rate and the number of channels."""
_BATCH: Final = 1 << 19
_TINY: Final = np.float32(1e-30)


class Mixer:
    """Mixes a sound block by block; the output of `add` lags the input by some blocks."""

    def __init__(self, sample_rate: int, channels: int) -> None:
        self._offset = _OffsetFilter(sample_rate, channels)
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


class _OffsetFilter:
    """Removes the DC offset of each channel, which may drift over seconds.

    The mean of a few seconds of music is not exactly zero, so a mean alone does not prove an offset. Each span of a
    chunk votes with its mean, and quieter spans count more. The spread of the votes gives a standard error; an offset
    that does not exceed it is ignored. Between the middles of chunks, the offset is interpolated linearly.
    """

    def __init__(self, sample_rate: int, channels: int) -> None:
        self._span = max(min(round(sample_rate * SPAN_SECONDS), MOST_IN_CHUNK // (SPANS * channels)), 16)
        self._chunk = self._span * SPANS
        self._waiting = np.zeros((0, channels), np.float32)
        self._chunks: list[Samples] = []
        """The next chunk to return, and the chunks after it that have arrived."""
        self._votes: list[_Votes] = []
        """Votes of the last returned chunk, if there is one, and of those in `_chunks`."""
        self._before: NDArray[np.float64] | None = None
        """Offset (C,) at the middle of the last returned chunk."""

    def add(self, block: Samples) -> Samples:
        self._waiting = np.concatenate((self._waiting, block))
        done = []
        while len(self._waiting) >= self._chunk:
            self._take(self._waiting[: self._chunk])
            self._waiting = self._waiting[self._chunk :]
            if len(self._chunks) == 3:
                done.append(self._next())
        self._waiting = self._waiting.copy()
        return np.concatenate(done) if done else self._waiting[:0]

    def finish(self) -> Samples:
        if len(self._waiting):
            self._take(self._waiting)
            self._waiting = self._waiting[:0]
        done = []
        while self._chunks:
            done.append(self._next())
        return np.concatenate(done) if done else self._waiting

    def _take(self, chunk: Samples) -> None:
        self._chunks.append(chunk)
        self._votes.append(_Votes(chunk, self._span))

    def _next(self) -> Samples:
        chunk = self._chunks.pop(0)
        votes = self._votes
        here = len(votes) - len(self._chunks) - 1
        offset = _offset_of(votes[max(here - 1, 0) : here + 2], min(here, 1))
        after = _offset_of(votes[here : here + 3], 1) if self._chunks else offset
        before = offset if self._before is None else self._before
        self._before = offset
        del votes[: max(here, 0)]
        if not (before.any() or offset.any() or after.any()):
            return chunk
        place = (np.arange(len(chunk)) + 0.5)[:, None] / self._chunk - 0.5
        line = offset + np.where(place < 0, (offset - before), (after - offset)) * place
        return (chunk - line).astype(np.float32)


class _Votes:
    """Estimates of a chunk's offset by its spans: mean and weight of each, (spans, C)."""

    def __init__(self, chunk: Samples, span: int) -> None:
        whole = len(chunk) // span * span
        spans = chunk[:whole].reshape(-1, span, chunk.shape[1]) if whole else chunk[None]
        self.means = spans.mean(axis=1, dtype=np.float64)
        power = np.square(spans - self.means[:, None].astype(np.float32)).mean(axis=1, dtype=np.float64)
        self.weights = 1 / (power + SILENT**2 / 12)


def _offset_of(chunks: list[_Votes], here: int) -> NDArray[np.float64]:
    """Estimate the offset (C,) at the middle of one of several neighbouring chunks.

    A straight line is fitted to the votes, and its value there is shrunk towards 0 as far as it may be chance
    (positive-part James-Stein estimator, 1961).
    """
    means = np.concatenate([votes.means for votes in chunks])
    weights = np.concatenate([votes.weights for votes in chunks])
    places = np.concatenate([(np.arange(len(v.means)) + 0.5) / SPANS - 0.5 + i - here for i, v in enumerate(chunks)])
    times = places[:, None] * SPANS * SPAN_SECONDS
    s0, s1 = weights.sum(axis=0), (weights * times).sum(axis=0)
    s2 = (weights * times**2).sum(axis=0) + SLOW_SHARE / USUAL_DRIFT**2
    influence = weights * (s2 - s1 * times) / (s0 * s2 - s1**2)
    offset = (influence * means).sum(axis=0)
    slope = (weights * times * (means - offset)).sum(axis=0) / s2
    scatter = np.square(means - offset - slope * times) + SLOW_SHARE / weights
    variance = (influence**2 * scatter).sum(axis=0)
    share = 1 - DOUBT**2 * variance / np.maximum(offset**2, 1e-300)
    drawn: NDArray[np.float64] = offset * np.maximum(share, 0)
    return drawn


class _EnergyMix:
    """Mixes channels by energy, in overlapping short-time spectra."""

    def __init__(self, sample_rate: int, channels: int) -> None:
        self._window: int = 1 << round(math.log2(max(sample_rate * WINDOW_SECONDS, 16)))
        self._hop = self._window // 2
        self._frames = min(max(_BATCH // (self._hop * channels), FRAMES_AT_ONCE[0]), FRAMES_AT_ONCE[1])
        self._channels = channels
        self._waiting = np.zeros((self._hop, channels), np.float32)  # silence before the sound
        self._tail = np.zeros(self._hop, np.float32)
        self._sounding = np.zeros(channels, bool)
        self._length = 0
        self._given = -self._hop

    @property
    def gain(self) -> float:
        return float(np.sqrt(self._channels / max(int(self._sounding.sum()), 1)))

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
            self._sounding |= np.abs(sound).max(axis=0) >= SILENT
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
        peaks[0] = np.where(self._sounding, SILENT, peaks[0])
        sounding = np.logical_or.accumulate(peaks >= SILENT, axis=0)
        self._sounding = sounding[-1].copy()
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
