"""Strokes normalised within each frequency band, drops, and build-ups.

Conventions: levels and gains (increases) are (frames, bands) at `rate` frames per second, as loudness, which is power
to the 0.3 (Stevens). Results are (frames,) in [0, 1].
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
"""Exponent that turns power into loudness: ten decibels more are twice as loud (Stevens 1957)."""

PEAK_MEMORY = 6.0
"""Seconds after (and before) which a strong stroke's effect on the scale of its band falls to 1/e."""
SOFTEST = 0.15
"""Lower limit of the scale, as a share of the band's strongest stroke: much softer strokes are not raised to 1."""
FROM_LEVEL = 0.35
"""Share of a band's level by which it must rise in one grid step to be a full stroke; noise and vibrato rise less."""
LEVEL_MEMORY = 0.5
"""Seconds after (and before) which the level that `FROM_LEVEL` refers to falls to 1/e."""
LEAST_HIT = 0.1
"""Share of a full stroke below which an increase is ignored."""

COMPARED = 4.0
"""Seconds before and after a moment whose loudness is compared to find changes."""
LEAST_COMPARED = 1.0
"""Fewest seconds that are compared near the ends of a song."""
STEP = 2.0
"""Seconds before and after a moment that are compared to locate a change exactly."""
NEAR = 3.0
"""Seconds around the first estimate of a change in which its exact place is searched."""
LEAST_CHANGE = 0.15
"""Smallest change between two passages, as a share of the usual loudness averaged over the bands (bass counts twice).
"""
FULL_CHANGE = 0.3
"""Change of loudness from which a drop counts as 1, in the same unit as `LEAST_CHANGE`."""
APART = 4.0
"""Fewest seconds between two changes."""
STROKE_SHARE = 0.3
"""Weight of a stroke against the step in loudness (weight 1) in locating a change."""
LONGEST_BUILD = 16.0
"""Most seconds of a build-up."""
LEAST_BUILD = 0.08
"""Smallest rise before a drop that is a build-up, as a share of the usual loudness."""
USUAL = 95
"""Percentile of a band's values that counts as usual."""


def loudness_of(decibels: FloatArray) -> FloatArray:
    """Convert power in decibels to loudness; 1 at 0 dB."""
    loudness: FloatArray = np.exp(decibels * np.float32(LOUDNESS * np.log(10) / 10))
    return loudness


def held(values: NDArray[np.floating], frames: float) -> DoubleArray:
    """Take the highest value near each frame; a value `frames` away, before or after, is scaled by 1/e."""
    ramp = np.arange(len(values)) / frames
    with np.errstate(divide="ignore"):
        levels = np.log(np.asarray(values, np.float64))
    before = np.maximum.accumulate(levels + ramp) - ramp
    after = np.maximum.accumulate((levels - ramp)[::-1])[::-1] + ramp
    peaks: DoubleArray = np.exp(np.maximum(before, after))
    return peaks


def hits_of(gains: FloatArray, levels: FloatArray, *, rate: int) -> FloatArray:
    """Scale the strokes of each band by the strongest ones nearby in the same band, (frames, bands)."""
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
    """Change from one passage of a song to a louder or quieter one."""

    frame: int
    size: float
    """Change as a share of the usual loudness; positive if the song becomes louder."""

    @property
    def start(self) -> int:
        """The last frame before its stroke, which is stored at the frame after it."""
        return max(self.frame - 1, 0)


def changes_of(levels: FloatArray, gains: FloatArray, *, rate: int) -> list[Change]:
    """Find the changes between louder and quieter passages, in order."""
    level = usual(levels)
    weights = np.ones(levels.shape[1])
    if len(weights) > 1:
        weights[0] = 2  # a drop brings back the bass
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
    """Locate the step between two passages, by the largest difference over a short time.

    A build-up would shift the peak of a longer comparison. If the song becomes louder, strokes count too.
    """
    likely = step / max(step.max(), 1e-9)
    if stroke is not None:
        likely = likely + STROKE_SHARE * np.minimum(stroke, 1)
    return int(likely.argmax())


def usual(values: FloatArray) -> DoubleArray:
    """Divide values (frames, bands) by the usual value of each band; almost empty bands stay small."""
    heights = np.percentile(values, USUAL, axis=0).astype(np.float64)
    heights = np.maximum(heights, 0.1 * heights.max(initial=0))
    relative: DoubleArray = np.divide(values, heights, out=np.zeros(values.shape), where=heights > 0)
    return relative


def _difference(level: DoubleArray, seconds: float, rate: int) -> DoubleArray:
    """Compute the mean level after each frame minus the mean before it, (frames,)."""
    frames, sums = len(level), np.concatenate(([0.0], np.cumsum(level)))
    here = np.arange(frames)
    start, stop = np.maximum(here - round(seconds * rate), 0), np.minimum(here + round(seconds * rate), frames)
    difference = np.zeros(frames)
    inside = np.flatnonzero((here - start >= LEAST_COMPARED * rate) & (stop - here >= LEAST_COMPARED * rate))
    i, a, b = here[inside], start[inside], stop[inside]
    difference[inside] = (sums[b] - sums[i]) / (b - i) - (sums[i] - sums[a]) / (i - a)
    return difference


def drop_moment(changes: list[Change], frames: int) -> FloatArray:
    """Mark drops, (frames,): up to 1 at a change to a louder passage, by its size, and 0 elsewhere."""
    moments = np.zeros(frames, np.float32)
    for change in changes:
        if change.size > 0:
            moments[change.frame] = min(change.size / FULL_CHANGE, 1)
    return moments


def drop_level(loudness: FloatArray, changes: list[Change], *, rate: int, seconds: float = 2.0) -> FloatArray:
    """Compute 0 in quiet passages and 1 in loud ones, like `rhythm.drop_weight`, but with sharp steps at changes."""
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
    """Compute the progress of build-ups: rises from 0 to 1 right before a drop, and is 0 from the drop on.

    It follows the rise of the loudness above the bass and of the density of strokes.
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
