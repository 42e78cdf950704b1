"""Remove the DC offset of a sound, which may be constant, drift, or jump: it cannot be heard, but would be analysed.

The mean of a moment of music is not exactly zero, so a mean alone does not prove an offset. A sound is cut into spans
of a period of the lowest tones, each of which votes with its mean, and quieter spans count more. The spread of the
votes gives a standard error; an offset that does not exceed it is ignored, so that music without one is not changed by
a single bit.

Three passes remove what is left by those before: jumps (a cable that is plugged in, an edit), offsets that are constant
or drift over seconds, and what swings up to some two times a second.

Conventions: blocks are (n, C) float32 of any length; the result does not depend on how a sound is cut into blocks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Samples = NDArray[np.float32]
    Numbers = NDArray[np.float64]

SILENT: Final = 2.0**-15
"""Amplitude of one step of 16-bit sound (full scale is 1); anything below is rounding or dither."""
SPAN_SECONDS: Final = 1 / 43
"""Length in seconds of the spans whose means estimate the offset: about a period of the lowest tones."""
SPANS: Final = 16
"""Number of spans in a chunk, which lasts 0.37 s. Three neighbouring chunks estimate an offset."""
USUAL_DRIFT: Final = 0.1
"""Expected speed at which an offset drifts, in full scales per second."""
USUAL_SWING: Final = 2.0
"""Expected speed of an offset that swings twice a second, in full scales per second."""
MOST_IN_CHUNK: Final = 1 << 22
"""Most samples in a chunk, over all channels: 16 MB."""
DOUBT: Final = 3.0
"""Number of standard errors below which an estimated offset counts as chance."""
SWING_DOUBT: Final = 4.0
JUMP_DOUBT: Final = 6.0
"""Numbers of standard errors for estimates from fewer votes, of which there are many."""
SLOW_SHARE: Final = 0.05
"""Share of a sound's power that the mean over a span may still contain if its tones are low."""
JUMP_SHARE: Final = 0.2
"""Share of the power of the loudest span around it that a jump must have: low tones that set in may do as much."""
SIDES: Final = (16, 8, 4)
"""Numbers of spans on each side of a jump that estimate its height: the next one may come soon."""
MOST_JUMPS: Final = 8
"""Most jumps that are removed in a chunk."""
EDGE_SECONDS: Final = 1 / 8000
"""Longest time in seconds that a jump takes; lossy coding makes it no slower. What takes longer is a drift."""
TONE: Final = 200.0
"""Frequency in Hz beyond which a sound's samples say something new of its level."""
SWING: Final = np.hanning(9)[1:-1] / 4
"""Weights of the spans around one (0.16 s) whose votes tell what swings."""


class OffsetFilter:
    """Removes the offset of each channel, block by block; the output lags the input by some three seconds."""

    def __init__(self, sample_rate: int, channels: int) -> None:
        self._span = max(min(round(sample_rate * SPAN_SECONDS), MOST_IN_CHUNK // (SPANS * channels)), 16)
        self._waiting = np.zeros((0, channels), np.float32)
        self._passes = (_Jumps(sample_rate, channels), _Drift(), _Swing(), _Swing())

    def add(self, block: Samples) -> Samples:
        """Take a block (n, C) and return the samples (m, C) that are complete so far."""
        self._waiting = np.concatenate((self._waiting, block))
        size, chunks = self._span * SPANS, []
        while len(self._waiting) >= size:
            chunks.append(_Chunk(self._waiting[:size], self._span))
            self._waiting = self._waiting[size:]
        self._waiting = self._waiting.copy()
        for each in self._passes:
            chunks = [done for chunk in chunks for done in each.add(chunk)]
        return self._joined(chunks)

    def finish(self) -> Samples:
        """Return the remaining samples (m, C)."""
        chunks = [_Chunk(self._waiting, self._span)] if len(self._waiting) else []
        self._waiting = self._waiting[:0]
        for each in self._passes:
            chunks = [*(done for chunk in chunks for done in each.add(chunk)), *each.finish()]
        return self._joined(chunks)

    def _joined(self, chunks: list[_Chunk]) -> Samples:
        return np.concatenate([chunk.samples for chunk in chunks]) if chunks else self._waiting[:0]


class _Chunk:
    """Samples (n, C), and the estimates of their offset by each span: mean and weight, (spans, C)."""

    def __init__(self, samples: Samples, span: int) -> None:
        self.samples = samples
        self.span = span
        whole = len(samples) // span * span
        spans = samples[:whole].reshape(-1, span, samples.shape[1]) if whole else samples[None]
        self.means: Numbers = spans.mean(axis=1, dtype=np.float64)
        power = np.square(spans - self.means[:, None].astype(np.float32)).mean(axis=1, dtype=np.float64)
        self.weights: Numbers = 1 / (power + SILENT**2 / 12)

    def lowered(self, offset: Numbers, first: int = 0) -> _Chunk:
        """Subtract an offset, (C,) or (n, C), from a sample on."""
        samples = self.samples.copy()
        samples[first:] = samples[first:] - offset
        return _Chunk(samples, self.span)


def _votes(chunks: Sequence[_Chunk]) -> tuple[Numbers, Numbers]:
    """Return the means and the weights (spans, C) of neighbouring chunks."""
    return np.concatenate([chunk.means for chunk in chunks]), np.concatenate([chunk.weights for chunk in chunks])


class _Pass(ABC):
    """Cleans chunk after chunk, of which the neighbours are known."""

    def __init__(self) -> None:
        self._before: list[_Chunk] = []
        """The last returned chunk as it was before, if there is one."""
        self._chunks: list[_Chunk] = []
        """The next chunk to return, and up to two after it."""

    def add(self, chunk: _Chunk) -> list[_Chunk]:
        self._chunks.append(chunk)
        return [self._next()] if len(self._chunks) == 3 else []

    def finish(self) -> list[_Chunk]:
        return [self._next() for _ in range(len(self._chunks))]

    def _next(self) -> _Chunk:
        cleaned = self._cleaned()
        self._before = [self._chunks.pop(0)]
        return cleaned

    @abstractmethod
    def _cleaned(self) -> _Chunk:
        """Clean the first of the chunks; one without an offset stays the same object."""


class _Drift(_Pass):
    """Removes an offset that is constant or drifts over seconds; between the middles of chunks it is a line."""

    _last: Numbers | None = None
    """Offset (C,) at the middle of the last chunk."""

    def _cleaned(self) -> _Chunk:
        here = len(self._before)
        known = [*self._before, *self._chunks]
        offset = _offset_of(known[: here + 2], here)
        after = _offset_of(known[here : here + 3], 1) if len(self._chunks) > 1 else None
        last = self._last
        if last is None:  # the beginning, or the end below, goes on as it does on the other side
            last = offset if after is None else 2 * offset - after
        if after is None:
            after = 2 * offset - last
        self._last = offset
        chunk = self._chunks[0]
        if not (last.any() or offset.any() or after.any()):
            return chunk
        place = (np.arange(len(chunk.samples)) + 0.5)[:, None] / (chunk.span * SPANS) - 0.5
        return chunk.lowered(offset + np.where(place < 0, (offset - last), (after - offset)) * place)


class _Swing(_Pass):
    """Removes an offset that swings up to twice a second; between the middles of spans it is a line."""

    def _cleaned(self) -> _Chunk:
        offset = _smoothed(*_votes([*self._before, *self._chunks[:2]]))
        chunk, first = self._chunks[0], sum(len(c.means) for c in self._before)
        if not offset[max(first - 1, 0) : first + len(chunk.means) + 1].any():
            return chunk
        middles = (np.arange(len(offset)) - first + 0.5) * chunk.span
        places = np.arange(len(chunk.samples)) + 0.5
        return chunk.lowered(np.stack([np.interp(places, middles, each) for each in offset.T], axis=1))


class _Jumps(_Pass):
    """Removes jumps of the offset: all that follows one is lowered by its height.

    A jump is where the lines that fit the votes before and behind a span differ by more than chance. Chunks that wait
    are lowered by all jumps that were found.
    """

    def __init__(self, sample_rate: int, channels: int) -> None:
        super().__init__()
        self._rate = sample_rate
        self._level = np.zeros(channels)
        """Sum of the jumps so far."""

    def add(self, chunk: _Chunk) -> list[_Chunk]:
        return super().add(chunk.lowered(self._level) if self._level.any() else chunk)

    def _cleaned(self) -> _Chunk:
        for _ in range(MOST_JUMPS):
            if (jump := self._found()) is None:
                break
            height = np.zeros_like(self._level)
            height[jump.channel] = jump.height
            self._level = self._level + height
            first, *later = self._chunks
            self._chunks = [first.lowered(height, jump.sample), *(each.lowered(height) for each in later)]
        return self._chunks[0]

    def _found(self) -> _Jump | None:
        """Find the clearest jump in the first chunk."""
        means, weights = _votes([*self._before, *self._chunks[:2]])
        first = sum(len(c.means) for c in self._before)
        best: _Jump | None = None
        slow = SLOW_SHARE * (1 / weights[:-2] + 1 / weights[2:])
        steep = np.flatnonzero((np.square(means[2:] - means[:-2]) > slow).any(axis=1)) + 1  # few spans of a song
        for span in steep[(steep >= first) & (steep < first + len(self._chunks[0].means))].tolist():
            around = weights[max(span - SIDES[0], 0) : span + 1 + SIDES[0]]
            least = (JUMP_SHARE / around.min(axis=0)) ** 0.5
            for side in SIDES:
                left, right = slice(max(span - side, 0), span), slice(span + 1, span + 1 + side)
                jump = _jump(means[left][::-1], weights[left][::-1], means[right], weights[right], least)
                if jump.clearness > max(JUMP_DOUBT, best.clearness if best else 0):
                    power = float(1 / weights[span - 1, jump.channel] + 1 / weights[span + 1, jump.channel]) / 2
                    if (sample := self._sample_of(jump, span - first, power)) is not None:
                        best = jump._replace(sample=sample)
        return best

    def _sample_of(self, jump: _Jump, span: int, power: float) -> int | None:
        """Find the sample at which a jump takes place, near a span of the chunk; None if the offset only drifts there.

        Two logarithms of likelihoods are added: of the levels before and behind, and of one large step among others.
        """
        chunk = self._chunks[0]
        begin = max(span - 1, 0) * chunk.span
        part = chunk.samples[begin : (span + 2) * chunk.span, jump.channel].astype(np.float64)
        reach = max(round(self._rate * EDGE_SECONDS), 1)
        steps = part[reach:] - part[:-reach]
        others = _mean_around(np.square(steps), 4 * reach, leaving_out=reach)
        step = jump.height * (steps - jump.height / 2) / (others + SILENT**2)
        level = np.cumsum(jump.height * (jump.before + jump.height / 2 - part)) * TONE / (self._rate * power)
        place = int(np.argmax(level[: len(step)] + step))
        if steps[place] / jump.height < 0.5:
            return None
        edge = part[place + 1 : place + reach + 1]
        return begin + place + 1 + int(np.argmax((edge - (part[place] + edge[-1]) / 2) * jump.height > 0))


class _Jump(NamedTuple):
    """A jump of the offset of one channel, in a span of the chunk."""

    clearness: float
    """Height in standard errors."""
    channel: int = 0
    height: float = 0.0
    before: float = 0.0
    """Offset before it."""
    sample: int = 0
    """First sample of the chunk behind it."""


def _mean_around(values: Numbers, reach: int, *, leaving_out: int) -> Numbers:
    """Compute the mean of the values (n,) within `reach` of each, without those within `leaving_out`."""
    kernel = np.ones(2 * reach + 1)
    kernel[reach - leaving_out : reach + leaving_out + 1] = 0
    total = np.convolve(values, kernel)[reach : reach + len(values)]
    mean: Numbers = total / np.convolve(np.ones_like(values), kernel)[reach : reach + len(values)]
    return mean


def _jump(before: Numbers, its_weights: Numbers, behind: Numbers, their_weights: Numbers, least: Numbers) -> _Jump:
    """Estimate a jump by the votes (n, C) before and behind a span, each in the order of their distance from it.

    Jumps below the `least` height (C,) do not count.
    """
    sides = []
    for means, weights in ((before, its_weights), (behind, their_weights)):
        if len(means) < SIDES[-1]:
            return _Jump(0.0)
        seconds: Numbers = np.asarray((np.arange(len(means)) + 0.75) * SPAN_SECONDS, np.float64)
        sides.append(_line_at_zero(means, weights, seconds))
    height = sides[1].value - sides[0].value
    clearness = np.abs(height) / np.sqrt(sides[0].variance + sides[1].variance)
    clearness = np.where(np.abs(height) < least, 0, clearness)
    channel = int(clearness.argmax())
    return _Jump(float(clearness[channel]), channel, float(height[channel]), float(sides[0].value[channel]))


class _Estimate(NamedTuple):
    value: Numbers
    variance: Numbers


def _line_at_zero(means: Numbers, weights: Numbers, seconds: Numbers) -> _Estimate:
    """Fit a straight line to votes (n, C) at times (n,), and estimate its value (C,) at 0."""
    times = seconds[:, None]
    s0, s1 = weights.sum(axis=0), (weights * times).sum(axis=0)
    s2 = (weights * times**2).sum(axis=0) + SLOW_SHARE / USUAL_DRIFT**2
    influence = weights * (s2 - s1 * times) / (s0 * s2 - s1**2)
    value = (influence * means).sum(axis=0)
    slope = (weights * times * (means - value)).sum(axis=0) / s2
    scatter = np.square(means - value - slope * times) + SLOW_SHARE / weights
    return _Estimate(value, (influence**2 * scatter).sum(axis=0))


def _beyond_chance(estimate: _Estimate, doubt: float = DOUBT) -> Numbers:
    """Shrink an estimate towards 0 as far as it may be chance (positive-part James-Stein estimator, 1961)."""
    share = 1 - doubt**2 * estimate.variance / np.maximum(estimate.value**2, 1e-300)
    drawn: Numbers = estimate.value * np.maximum(share, 0)
    return drawn


def _offset_of(chunks: Sequence[_Chunk], here: int) -> Numbers:
    """Estimate the offset (C,) at the middle of one of several neighbouring chunks."""
    places = [np.arange(len(chunk.means)) + SPANS * (index - here) for index, chunk in enumerate(chunks)]
    means, weights = _votes(chunks)
    seconds: Numbers = np.asarray((np.concatenate(places) + 0.5 - SPANS / 2) * SPAN_SECONDS, np.float64)
    return _beyond_chance(_line_at_zero(means, weights, seconds))


def _smoothed(means: Numbers, weights: Numbers) -> Numbers:
    """Estimate the offset (n, C) at each span by a line that fits the votes around it."""
    reach = len(SWING) // 2
    times = np.arange(-reach, reach + 1) * SPAN_SECONDS
    votes, trust = (
        np.lib.stride_tricks.sliding_window_view(np.pad(each, ((reach, reach), (0, 0))), len(SWING), axis=0)
        for each in (means, weights)
    )  # [n, C, window]
    weights = trust * SWING
    s0, s1 = weights.sum(axis=2), (weights * times).sum(axis=2)
    s2 = (weights * times**2).sum(axis=2) + SLOW_SHARE / USUAL_SWING**2
    influence = weights * (s2[..., None] - s1[..., None] * times) / (s0 * s2 - s1**2)[..., None]
    value = (influence * votes).sum(axis=2)
    slope = (weights * times * (votes - value[..., None])).sum(axis=2) / s2
    scatter = np.square(votes - value[..., None] - slope[..., None] * times)
    scatter += SLOW_SHARE * np.divide(1, trust, out=np.zeros_like(trust), where=trust > 0)
    return _beyond_chance(_Estimate(value, (influence**2 * scatter).sum(axis=2)), SWING_DOUBT)
