"""Strokes that count alike in every band, and the moments at which a song opens up.

Conventions: levels and gains are (frames, bands) on a grid of `rate` frames a second, as loudness: power to the 0.3
(Stevens). Results are (frames,) in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]
    DoubleArray = NDArray[np.float64]

LOUDNESS = 0.3
"""Exponent on power: ten decibels more are twice as loud (Stevens 1957)."""

PEAK_MEMORY = 6.0
"""Seconds, before and after, in which a strong stroke makes others of its band look small, to 1/e."""
SOFTEST = 0.15
"""Of the strongest stroke of a band in the song: much softer ones are not raised to its height."""
FROM_LEVEL = 0.35
"""Of the level of a band: a gain within one step of the grid that is a full stroke. Noise and vibrato gain less."""
LEVEL_MEMORY = 0.5
"""Seconds over which that level is held."""
LEAST_HIT = 0.1
"""Of a full stroke: what gains less is no stroke."""

COMPARED = 4.0
"""Seconds before and after a moment that are compared."""
LEAST_COMPARED = 1.0
"""Seconds: the same near the ends of a song."""
STEP = 2.0
"""Seconds before and after that are compared to tell where between two passages the step lies."""
NEAR = 3.0
"""Seconds within which it is looked for."""
LEAST_CHANGE = 0.15
"""Of the usual loudness, on average over the bands, the bass counting double: a change of passage."""
FULL_CHANGE = 0.3
"""A drop as large as this, or larger, counts as 1."""
APART = 4.0
"""Seconds between changes of passage."""
STROKE_SHARE = 0.3
"""How much the strongest stroke counts there, against the step itself."""
LONGEST_BUILD = 16.0
"""Seconds."""
LEAST_BUILD = 0.08
"""Of the usual loudness: a rise before a drop that is a build-up."""
USUAL = 95
"""Percentile of a band's level that counts as usual."""


def loudness_of(decibels: FloatArray) -> FloatArray:
    """Loudness of power in decibels; 1 at 0 dB."""
    loudness: FloatArray = np.exp(decibels * np.float32(LOUDNESS * np.log(10) / 10))
    return loudness


def held(values: NDArray[np.floating], frames: float) -> DoubleArray:
    """The highest value near each frame, where one that lies so many frames off, before or after, counts 1/e."""
    ramp = np.arange(len(values)) / frames
    with np.errstate(divide="ignore"):
        levels = np.log(np.asarray(values, np.float64))
    before = np.maximum.accumulate(levels + ramp) - ramp
    after = np.maximum.accumulate((levels - ramp)[::-1])[::-1] + ramp
    peaks: DoubleArray = np.exp(np.maximum(before, after))
    return peaks


def hits_of(gains: FloatArray, levels: FloatArray, *, rate: int) -> FloatArray:
    """Strokes of each band against the strongest ones near it in the same band, (frames, bands)."""
    hits = np.zeros_like(gains)
    for band in range(gains.shape[1]):
        gain = gains[:, band]
        if not gain.any():
            continue
        full = np.maximum(held(gain, PEAK_MEMORY * rate), SOFTEST * gain.max())
        full = np.maximum(full, FROM_LEVEL * held(levels[:, band], LEVEL_MEMORY * rate))
        hits[:, band] = np.maximum(gain / full - LEAST_HIT, 0) / (1 - LEAST_HIT)
    return hits


@dataclass(frozen=True)
class Change:
    """Where one passage of a song gives way to another."""

    frame: int
    size: float
    """Of the usual loudness; above 0 where the song opens up, below where it falls back."""

    @property
    def start(self) -> int:
        """The last frame before its stroke, which is noted with the frame after it."""
        return max(self.frame - 1, 0)


def changes_of(levels: FloatArray, gains: FloatArray, *, rate: int) -> list[Change]:
    """The changes of passage, in order."""
    level = usual(levels)
    weights = np.ones(levels.shape[1])
    if len(weights) > 1:
        weights[0] = 2  # the bass is what a drop brings back
    weights /= weights.sum()
    loudness, stroke = level @ weights, usual(gains) @ weights
    stroke /= max(np.percentile(stroke, 99.9), 1e-9)
    difference, bass = _difference(loudness, COMPARED, rate), _difference(level[:, 0], COMPARED, rate)
    size = np.abs(difference)
    found: list[Change] = []
    while len(size) and size.max() >= LEAST_CHANGE:
        peak = int(size.argmax())
        apart = round(APART * rate)
        size[max(peak - apart, 0) : peak + apart + 1] = 0
        sign = float(np.sign(difference[peak]))
        near = slice(max(peak - round(NEAR * rate), 0), peak + round(NEAR * rate) + 1)
        by_bass = (sign * bass[near]).max() >= LEAST_CHANGE
        step = sign * _difference(level[:, 0] if by_bass else loudness, STEP, rate)[near]
        frame = near.start + _step_in(step, stroke[near] if sign > 0 else None)
        found.append(Change(frame, float(difference[peak])))
    return sorted(found, key=lambda change: change.frame)


def _step_in(step: DoubleArray, stroke: DoubleArray | None) -> int:
    """Where between two passages the step lies: a build-up draws the peak of a long comparison towards itself, so it
    is the largest of a short one, on a stroke where the song opens up.
    """
    likely = step / max(step.max(), 1e-9)
    if stroke is not None:
        likely = likely + STROKE_SHARE * np.minimum(stroke, 1)
    return int(likely.argmax())


def usual(values: FloatArray) -> DoubleArray:
    """Values (frames, bands) over what is usual in each band; bands with next to nothing in them stay small."""
    heights = np.percentile(values, USUAL, axis=0).astype(np.float64)
    heights = np.maximum(heights, 0.1 * heights.max(initial=0))
    relative: DoubleArray = np.divide(values, heights, out=np.zeros(values.shape), where=heights > 0)
    return relative


def _difference(level: DoubleArray, seconds: float, rate: int) -> DoubleArray:
    """(frames,) mean of the level after each frame, less its mean before."""
    frames, sums = len(level), np.concatenate(([0.0], np.cumsum(level)))
    here = np.arange(frames)
    start, stop = np.maximum(here - round(seconds * rate), 0), np.minimum(here + round(seconds * rate), frames)
    difference = np.zeros(frames)
    inside = np.flatnonzero((here - start >= LEAST_COMPARED * rate) & (stop - here >= LEAST_COMPARED * rate))
    i, a, b = here[inside], start[inside], stop[inside]
    difference[inside] = (sums[b] - sums[i]) / (b - i) - (sums[i] - sums[a]) / (i - a)
    return difference


def drop_moment(changes: list[Change], frames: int) -> FloatArray:
    """1 at the moments at which the song opens up, less where it does so by little, and 0 otherwise."""
    moments = np.zeros(frames, np.float32)
    for change in changes:
        if change.size > 0:
            moments[change.frame] = min(change.size / FULL_CHANGE, 1)
    return moments


def drop_level(loudness: FloatArray, changes: list[Change], *, rate: int, seconds: float = 2.0) -> FloatArray:
    """0 in quiet passages, 1 in loud ones, as `rhythm.drop_weight`, but at once where one gives way to the other."""
    from scipy.ndimage import gaussian_filter1d

    if not loudness.any():
        return np.zeros_like(loudness)
    edges = sorted({0, len(loudness), *(change.start for change in changes)})
    slow = np.empty(len(loudness))
    for start, stop in pairwise(edges):
        passage = loudness[start:stop].astype(np.float64)
        slow[start:stop] = gaussian_filter1d(passage, seconds * rate, mode="reflect", truncate=3)
    mean = slow.mean()
    spread = max(slow.std(), 0.1 * mean)
    level: FloatArray = (0.5 + 0.5 * np.tanh(1.5 * (slow - mean) / spread)).astype(np.float32)
    return level


def build(levels: FloatArray, hits: FloatArray, changes: list[Change], *, rate: int) -> FloatArray:
    """How far the sound has risen towards the next drop: from 0 to 1 right before it, and 0 from the drop on.

    What rises is the loudness above the bass, and how densely strokes follow each other.
    """
    from scipy.ndimage import gaussian_filter1d

    bands = slice(1, None) if levels.shape[1] > 1 else slice(None)
    rising = usual(levels)[:, bands].mean(axis=1) + 2 * hits[:, bands].max(axis=1, initial=0)
    progress = np.zeros(len(levels), np.float32)
    before = 0
    for change in changes:
        stop = change.start
        start = max(before, stop - round(LONGEST_BUILD * rate))
        before = stop
        if change.size <= 0 or stop - start < LEAST_COMPARED * rate:
            continue
        passage = gaussian_filter1d(rising[start:stop], 0.5 * rate, mode="nearest", truncate=3)
        rise = np.maximum.accumulate(np.maximum(passage - passage[: round(LEAST_COMPARED * rate)].mean(), 0))
        if rise[-1] > LEAST_BUILD:
            progress[start:stop] = rise / rise[-1]
    return progress
