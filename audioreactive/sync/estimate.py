"""Offset, drift, jumps and jitter from evidence: one path of the lag through time.

The path of most evidence is sought block by block by dynamic programming (Viterbi): from block to block the lag stays,
moves
a little, or jumps. A jump costs as much as it takes to be believed, so that a path with jumps is found where a film was
cut and the sound was not, and a straight one everywhere else. Then the simplest description that loses no evidence is
taken: one offset, a line (drift), several segments.

The uncertainty of a peak is that of a maximum of a noisy curve: the deviation of the curve's slope by chance over its
curvature at the peak. Conventions: as in `evidence`; lags in seconds, positive where the sound comes late.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from audioreactive.sync.evidence import Evidence

    Curve = NDArray[np.float64]

JUMP: Final = 0.04
"""Change of the lag between two blocks, in seconds, that is a jump: more than a frame at 30 a second."""
JUMP_COST: Final = 10.5
"""Evidence that a jump must bring, in units of log likelihood: for each, any of 1000 lags at any of 30 blocks."""
SLOPE_COST: Final = 7.0
"""Evidence that a drift must bring: the slopes that are tried, and odds of ten to one against it."""
STEEPEST: Final = 3000e-6
"""Largest drift that is tried: 3000 ppm. PAL against film is 4.2 %, which is a wrong speed and no clock's drift."""
LEAST_SPREAD: Final = 0.0005
"""Least uncertainty of an offset in seconds: half a row of the sound's grid, over the root of some events."""
TUKEY: Final = 4.685
"""Standard deviations from which on a block counts for nothing in the line."""
MOST_POINTS: Final = 1000
"""Most blocks that a line is fitted to."""
LEAST_SCALE: Final = 2e-4
"""Least deviation of a block's lag, in seconds: a twentieth of a row."""
CLEAR_SLOPE: Final = 3.0
"""Standard deviations from 0 from which on a drift counts for the path."""
VALLEY: Final = 0.8
"""Share of a peak's height to which a curve must fall for what follows to be another peak."""
MOST_GAIN: Final = 9.0
"""Most evidence of one block, less than a jump costs: no block alone makes one, however clear it is."""
LEAST_HEIGHT: Final = 2.0
"""Height of a block's peak that is assumed at least where paths are compared: that of all blocks at one lag says little
of a video whose lag jumps."""
JUMP_CHANCES: Final = 30
"""Factor of the probability of chance for each jump: chance may jump as well."""
MOST_HEIGHT: Final = 6.0
"""Height at which the evidence of a block is cut: beyond it, blocks are equally sure."""
FAR_COST: Final = 0.1
"""Share of its height that a peak loses for each second from lag 0."""
SPREAD_PEAK: Final = 0.025
"""Time in seconds around a block's expected lag in which its own peak is sought."""


@dataclass(frozen=True)
class Segment:
    """A part of a video with one offset."""

    start: float
    """Seconds."""
    stop: float
    lag: float
    """Lag of the sound in seconds in the middle of the segment."""
    deviation: float
    """Its uncertainty: one standard deviation in seconds."""
    first: int = 0
    """Its first block."""
    end: int | None = None
    """The first block that is not in it; None: it goes to the end."""


@dataclass(frozen=True, eq=False)
class Estimate:
    """The lag of a sound against its picture over time."""

    lag: float
    """Lag in seconds: in the middle of the longest segment."""
    deviation: float
    """Uncertainty of the lag, one standard deviation in seconds."""
    slope: float
    """Growth of the lag, seconds a second; 0 if there are too few blocks to tell."""
    slope_deviation: float
    jitter: float
    """Root mean square of what is left of the lags of the blocks, in seconds, beyond their own uncertainty."""
    height: float
    """Height of the peak in deviations above chance."""
    chance: float
    """Probability that chance gives so high a peak."""
    rival: float
    """Height of the second peak, relative to the first; near 1 where two lags fit equally well."""
    segments: tuple[Segment, ...]
    times: NDArray[np.float64]
    """(B,) seconds."""
    path: NDArray[np.float64]
    """(B,) lag at each of the times, by the description that was taken."""
    blocks: NDArray[np.float64]
    """(B,) lag of each block by itself, near the path; not a number where it tells nothing."""

    def lag_at(self, seconds: Curve) -> Curve:
        """Lag at some moments, each by the blocks of its own segment."""
        part = np.searchsorted([segment.start for segment in self.segments[1:]], seconds, side="right")
        lags = np.empty(len(seconds))
        for i, segment in enumerate(self.segments):
            own = slice(segment.first, segment.end)
            lags[part == i] = np.interp(seconds[part == i], self.times[own], self.path[own])
        return lags


def estimate(evidence: Evidence) -> Estimate:
    """The lag that the evidence shows, with its drift and its jumps."""
    step = float(evidence.lags[1] - evidence.lags[0])
    # Offsets near 0 are more likely: where a beat fits as well as the next, the nearer one is meant.
    likely = 1 - FAR_COST * np.abs(evidence.lags)
    curves = _smoothed(evidence.curves.astype(np.float64), step)
    curves = np.where(curves > 0, curves * likely, curves)
    constant = int(curves.sum(0).argmax())
    borders, lines = _describe(curves, evidence, constant, step)
    times = evidence.times
    path = np.concatenate([lag + slope * (times[a:b] - times[a:b].mean()) for (a, b), (lag, slope) in
                           zip(borders, lines, strict=True)])  # fmt: skip
    blocks = np.array([_own_peak(curve, evidence.lags, at) for curve, at in zip(curves, path, strict=True)])
    segments = []
    for (a, b), (lag, slope) in zip(borders, lines, strict=True):
        sheared = _sheared(curves[a:b], times[a:b], slope, step)
        fine, spread = peak_of(sheared.sum(0), evidence.lags, lag)
        half = (times[1] - times[0]) / 2 if len(times) > 1 else times[0]  # one block begins with the video
        segments.append(Segment(float(times[a] - half), float(times[b - 1] + half), fine, spread, a, b))
        path[a:b] += fine - lag
    longest = max(range(len(segments)), key=lambda i: segments[i].stop - segments[i].start)
    a, b = borders[longest]
    along = _sheared(curves[a:b], times[a:b], lines[longest][1], step).sum(0)
    told = max(int(np.count_nonzero(evidence.curves.any(1))), 1)
    height = float(_along(evidence.curves * likely, evidence.lags, path).sum() / told**0.5)
    line = fitted_line(times[a:b], (blocks - path)[a:b])
    bend, slope_deviation = (line.slope, line.slope_deviation) if line else (0.0, math.inf)
    slope, lag, deviation = lines[longest][1], segments[longest].lag, segments[longest].deviation
    if math.isfinite(slope_deviation):
        slope += bend
        if abs(slope) > CLEAR_SLOPE * slope_deviation or lines[longest][1]:
            path[a:b] += bend * (times[a:b] - times[a:b].mean())
    residual = blocks - path
    known = np.isfinite(residual)
    # What the blocks show of each other counts as well: a recipe's beats may lie otherwise in another coding of a song.
    inside = residual[a:b][known[a:b]]
    if len(inside) > 1:
        deviation = max(deviation, 1.4826 * float(np.median(np.abs(inside))) / math.sqrt(len(inside)))
    return Estimate(
        lag=lag,
        deviation=deviation,
        slope=slope,
        slope_deviation=slope_deviation,
        jitter=float(np.sqrt(np.mean(np.square(residual[known])))) if known.any() else 0.0,
        height=height,
        chance=min(chance_of(height, evidence.chance) * JUMP_CHANCES ** (len(segments) - 1), 1.0),
        rival=rival_of(along, evidence.lags, segments[longest].lag),
        segments=tuple(segments),
        times=times,
        path=path,
        blocks=blocks,
    )


def _smoothed(curves: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """Curves (B, L), slightly smoothed along the lags."""
    width = max(round(0.008 / step), 1)
    kernel = np.hanning(2 * width + 1)[1:-1] if width > 1 else np.ones(1)
    kernel = kernel / kernel.sum()
    return np.stack([np.convolve(curve, kernel, mode="same") for curve in curves])


def _amplitude(curves: NDArray[np.float64]) -> float:
    """Height of the peak in one block, in deviations, if it is the same in all."""
    told = max(int(np.count_nonzero(curves.any(1))), 1)
    return float(np.clip(float(curves.sum(0).max()) / told, LEAST_HEIGHT, MOST_HEIGHT))


def _describe(
    curves: NDArray[np.float64], evidence: Evidence, constant: int, step: float
) -> tuple[list[tuple[int, int]], list[tuple[float, float]]]:
    """Borders of the segments, as blocks, and (lag in the middle, slope) of each."""
    times, lags = evidence.times, evidence.lags
    amplitude = _amplitude(curves)
    curves = np.minimum(amplitude * np.minimum(curves, MOST_HEIGHT), MOST_GAIN)
    gain_constant = float(curves[:, constant].sum())
    single = [(0, len(curves))]
    line, gain_line = _best_line(curves, times, lags, float(lags[constant]), step)
    walk, gain_walk = _walk(curves)
    cuts = [0, *(np.flatnonzero(np.abs(np.diff(lags[walk])) > JUMP) + 1).tolist(), len(walk)]
    jumps = len(cuts) - 2
    simple = max(gain_constant, gain_line - SLOPE_COST)
    if jumps and gain_walk > simple:
        borders = list(pairwise(cuts))
        lines = []
        for a, b in borders:
            total = curves[a:b].sum(0)
            near = np.abs(lags - np.median(lags[walk[a:b]])) <= JUMP
            at = float(lags[near][total[near].argmax()])
            lines.append((at, 0.0))
        return borders, lines
    if gain_line - SLOPE_COST > gain_constant:
        return single, [line]
    return single, [(float(lags[constant]), 0.0)]


def _best_line(
    curves: NDArray[np.float64], times: Curve, lags: Curve, start: float, step: float
) -> tuple[tuple[float, float], float]:
    """(lag in the middle, slope) of the straight line of most evidence, and its log likelihood."""
    length = float(times[-1] - times[0]) if len(times) > 1 else 0.0
    if length <= 0 or len(times) < 3:
        return (start, 0.0), -math.inf
    most = min(STEEPEST, float(lags[-1]) / length)
    # Neighbouring slopes part by a row at the ends of the video.
    unit = step / length
    slopes = np.arange(-math.ceil(most / unit), math.ceil(most / unit) + 1) * unit
    totals = [_sheared(curves, times, slope, step).sum(0) for slope in slopes]
    heights = np.array([total.max() for total in totals])
    best = int(heights.argmax())
    bend = 0.0
    if 0 < best < len(slopes) - 1:
        bend = vertex(*heights[best - 1 : best + 2])
    return (float(lags[int(totals[best].argmax())]), float(slopes[best] + bend * unit)), float(heights[best])


def _sheared(curves: NDArray[np.float64], times: Curve, slope: float, step: float) -> NDArray[np.float64]:
    """Curves shifted so that a line of this slope through the middle becomes a constant lag."""
    if slope == 0:
        return curves
    shifts = slope * (times - times.mean()) / step
    at = np.arange(curves.shape[1])
    return np.stack(
        [np.interp(at + shift, at, curve, left=0, right=0) for curve, shift in zip(curves, shifts, strict=True)]
    )


def _walk(gains: NDArray[np.float64]) -> tuple[NDArray[np.int64], float]:
    """The path (B,) of lags of most evidence that stays or jumps; and its log likelihood less what the jumps cost."""
    blocks, lags = gains.shape
    total, back = gains[0].copy(), np.zeros((blocks, lags), np.int32)
    here = np.arange(lags, dtype=np.int32)
    for b in range(1, blocks):
        best, origin = total, here
        leap = int(total.argmax())
        jumped = total[leap] - JUMP_COST
        choice = np.where(best >= jumped, origin, leap).astype(np.int32)
        total = np.maximum(best, jumped) + gains[b]
        back[b] = choice
    path = np.empty(blocks, np.int64)
    path[-1] = int(total.argmax())
    for b in range(blocks - 1, 0, -1):
        path[b - 1] = back[b, path[b]]
    return path, float(total.max())


def vertex(left: float, middle: float, right: float) -> float:
    """Place of the vertex of a parabola through three values, relative to the middle one, within half a step."""
    bend = left - 2 * middle + right
    return float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5)) if bend < 0 else 0.0


def peak_of(total: Curve, lags: Curve, near: float) -> tuple[float, float]:
    """Lag of the peak of a curve next to `near`, between the grid's lags, and its uncertainty."""
    step = float(lags[1] - lags[0])
    inside = np.flatnonzero(np.abs(lags - near) <= SPREAD_PEAK)
    at = int(inside[total[inside].argmax()])
    # A parabola over the whole top (half a frame on both sides) is less noisy than one through three rows.
    wide = max(round(0.014 / step), 1)
    window = np.arange(max(at - wide, 0), min(at + wide + 1, len(total)))
    x = (window - at) * step
    a, b, _ = np.polyfit(x, total[window], 2) if len(window) > 3 else (0.0, 0.0, 0.0)
    top = float(np.clip(-b / (2 * a), -wide * step, wide * step)) if a < 0 else 0.0
    away = np.abs(lags - lags[at]) > 0.1
    slope = np.gradient(total, step)[away].std() if away.any() else 0.0
    smoothing = math.sqrt(max(wide, 1))
    spread = slope / smoothing / max(-2 * a, 1e-9) if a < 0 else float(lags[-1] - lags[0]) / math.sqrt(12)
    return float(lags[at]) + top, float(np.clip(spread, LEAST_SPREAD, lags[-1]))


def _own_peak(curve: Curve, lags: Curve, near: float) -> float:
    """Lag at which a block has its own peak near the path; not a number without one."""
    inside = np.flatnonzero(np.abs(lags - near) <= SPREAD_PEAK * 2)
    if len(inside) < 3:
        return math.nan
    at = int(inside[curve[inside].argmax()])
    if at in (inside[0], inside[-1]) or not curve[at] > 2:
        return math.nan  # what rises to the border of the search belongs to another peak
    return float(lags[at]) + vertex(*curve[at - 1 : at + 2]) * float(lags[1] - lags[0])


def _along(curves: NDArray[np.floating], lags: Curve, path: Curve) -> Curve:
    """Values (B,) of the curves at the path."""
    return np.array([np.interp(at, lags, curve) for curve, at in zip(curves, path, strict=True)])


def chance_of(height: float, peaks: NDArray[np.float64]) -> float:
    """Probability of so high a peak by chance, from a Gumbel distribution with the mean and deviation of the peaks."""
    if len(peaks) < 3:
        return 1.0
    scale = max(float(peaks.std(ddof=1)), 0.25) * math.sqrt(6) / math.pi
    location = float(peaks.mean()) - 0.5772 * scale
    return -math.expm1(-math.exp(min(-(height - location) / scale, 50)))


def rival_of(total: Curve, lags: Curve, lag: float) -> float:
    """Height of the second peak, relative to the one at `lag`: the highest beyond the places, on both sides of it, at
    which the curve has fallen clearly. A slow picture has one broad peak and no second one.
    """
    at = int(np.abs(lags - lag).argmin())
    own = float(total[at])
    if own <= 0:
        return math.inf
    low = np.flatnonzero(total[:at] < VALLEY * own)
    high = np.flatnonzero(total[at:] < VALLEY * own)
    left = total[: low[-1] + 1].max() if len(low) else 0.0
    right = total[at + high[0] :].max() if len(high) else 0.0
    return max(float(left), float(right), 0.0) / own


@dataclass(frozen=True)
class Line:
    """A line through lags over time."""

    level: float
    """Lag in the middle, in seconds."""
    level_deviation: float
    slope: float
    slope_deviation: float
    spread: float
    """Standard deviation of the lags around it, without those that count for nothing."""


def fitted_line(times: Curve, lags: Curve) -> Line | None:
    """The line through the lags (B,), some not a number, at these times; None with less than four.

    The median of the slopes of all pairs (Theil and Sen), then Tukey's weights: a lag far from the line counts for
    nothing.
    """
    known = np.flatnonzero(np.isfinite(lags))
    known = known[:: -(-len(known) // MOST_POINTS)] if len(known) else known
    if len(known) < 4 or np.ptp(times[known]) <= 0:
        return None
    x, y = times[known] - times.mean(), lags[known]
    i, j = np.triu_indices(len(x), 1)
    slope = float(np.median((y[j] - y[i]) / (x[j] - x[i])))
    level = float(np.median(y - slope * x))
    for _ in range(10):
        rest = y - level - slope * x
        scale = max(1.4826 * float(np.median(np.abs(rest))), LEAST_SCALE)
        weights = np.square(np.clip(1 - np.square(rest / (TUKEY * scale)), 0, 1))
        centre = float(np.average(x, weights=weights))
        square = float(weights @ np.square(x - centre))
        slope = float(weights @ ((x - centre) * y)) / max(square, 1e-12)
        level = float(np.average(y, weights=weights)) - slope * centre
    rest = y - level - slope * x
    count = float(weights.sum())
    noise = math.sqrt(float(weights @ np.square(rest)) / max(count - 2, 1))
    noise = max(noise, LEAST_SCALE)
    return Line(level, noise / math.sqrt(count), slope, noise / math.sqrt(max(square, 1e-12)), noise)
