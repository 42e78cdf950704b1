"""The lag of a sound over time, from likelihoods in short blocks: it stays, moves a little, or jumps.

Viterbi's algorithm finds the most likely path; a jump costs its own rarity and the choice among all lags, so that it
must be worth it. Along the path, a few blocks on both sides together tell the lag between the grid's, and so does a
smooth warp come out. Conventions: as in `evidence` and `estimate`.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive.sync.estimate import (
    FAR_COST,
    LEAST_SPREAD,
    Estimate,
    Segment,
    chance_of,
    fitted_line,
    peak_of,
    rival_of,
    vertex,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from audioreactive.sync.evidence import Evidence

    Border = Callable[[float, float, float], float]
    Curve = NDArray[np.float64]

JUMP: Final = 0.04
"""Change of the lag between two blocks, in seconds, that is a jump: more than a frame at 30 a second."""
JUMP_COST: Final = 10.0
"""Logarithm of the odds against a jump between two blocks, to any one lag."""
STEP_COST: Final = 3.0
"""Logarithm of the odds against a step to the next lag of the grid."""
FURTHER: Final = 300.0
"""Factor of the probability of chance for each jump after the first: unrelated strokes are fitted by several."""
MOST_LIKELY: Final = 9.9
"""Most evidence of one block, less than a jump costs: no block alone makes one, however clear it is."""
SHORTEST: Final = 0.75
"""Seconds of the shortest passage between jumps; a shorter one joins its neighbour."""
TOGETHER: Final = 2.0
"""Seconds of the blocks that tell the lag at one place together."""
MOST_BEND: Final = 0.25
"""Seconds by which the lag of a passage may change without a jump."""
NEAR: Final = 0.03
"""Seconds from the path in which they are asked."""


def tracked(evidence: Evidence, border: Border | None = None) -> Estimate:
    """The lag over time that the likelihoods of short blocks show.

    Args:
        evidence: with `likelihood` and `chance_of_paths`.
        border: finds the place of a jump, from about where it is and the lags before and after it; None: between two
            blocks.
    """
    curves = evidence.curves
    times, lags = evidence.times, evidence.lags
    block = float(times[1] - times[0]) if len(times) > 1 else 2 * float(times[0])
    walk = likely_path(curves, lags, evidence.likelihood)
    borders = _passages(lags[walk], round(SHORTEST / block))
    path = np.empty(len(times))
    own = np.full(len(times), np.nan)
    deviations = []
    for a, b in borders:
        path[a:b], own[a:b] = _along(curves[a:b], lags, lags[walk[a:b]], round(TOGETHER / block))
        deviations.append(_deviation(curves[a:b], lags, path[a:b]))
    longest = max(range(len(borders)), key=lambda i: borders[i][1] - borders[i][0])
    a, b = borders[longest]
    height = path_height(evidence.curves, lags, evidence.likelihood)
    lag = float(path[a:b].mean())
    line = fitted_line(times[a:b], own[a:b])
    # Neighbouring places share most of their blocks.
    shared = math.sqrt(TOGETHER / block)
    slope, slope_deviation = (line.slope, shared * line.slope_deviation) if line else (0.0, math.inf)
    aligned = _aligned(curves[a:b], lags, path[a:b] - lag)
    rest = own - path
    known = np.isfinite(rest)
    edges = [float(times[i] - block / 2) for i, _ in borders] + [float(times[-1] + block / 2)]
    for i, (start, _) in enumerate(borders[1:], 1):
        if border is not None:
            edges[i] = border(edges[i], float(path[start - 1]), float(path[start]))
    segments = tuple(
        Segment(edges[i], edges[i + 1], float(path[a:b].mean()), deviations[i], a, b)
        for i, (a, b) in enumerate(borders)
    )
    return Estimate(
        lag=lag,
        deviation=deviations[longest],
        slope=slope,
        slope_deviation=slope_deviation,
        jitter=float(np.sqrt(np.mean(np.square(rest[known])))) if known.any() else 0.0,
        height=height,
        chance=_chance(height, len(segments), evidence),
        rival=rival_of(aligned, lags, lag),
        segments=segments,
        times=times,
        path=path,
        blocks=own,
    )


def _chance(height: float, passages: int, evidence: Evidence) -> float:
    """Probability of so high a path by chance: of one lag, or of one jump, which chance may take as well, and odds
    against each further one.
    """
    if passages == 1:
        return chance_of(height, evidence.chance)
    odds: float = chance_of(height, evidence.chance_of_paths) * FURTHER ** (passages - 2)
    return min(odds, 1.0)


def path_height(curves: NDArray[np.floating], lags: Curve, likelihood: float) -> float:
    """Height of the most likely path through curves (B, L) in deviations, which chance is free to take as well."""
    walk = likely_path(curves, lags, likelihood)
    told = max(int(np.count_nonzero(curves.any(1))), 1)
    return float(curves[np.arange(len(walk)), walk].sum(dtype=np.float64) / told**0.5)


def likely_path(curves: NDArray[np.floating], lags: Curve, likelihood: float) -> NDArray[np.int64]:
    """The most likely path (B,) through curves (B, L) in deviations: a block stays, steps to a neighbour, or jumps."""

    def gains(block: int) -> Curve:
        return np.asarray(np.minimum(curves[block] * likelihood, MOST_LIKELY) - FAR_COST * np.abs(lags), np.float64)

    blocks, count = curves.shape
    total, back = gains(0), np.zeros((blocks, count), np.int16)
    here = np.arange(count, dtype=np.int16)
    for b in range(1, blocks):
        best, origin = total.copy(), here.copy()
        for shift in (-1, 1):
            moved = np.full(count, -np.inf)
            if shift > 0:
                moved[1:] = total[:-1] - STEP_COST
            else:
                moved[:-1] = total[1:] - STEP_COST
            better = moved > best
            best, origin = np.where(better, moved, best), np.where(better, here - shift, origin)
        leap = int(total.argmax())
        jumps = total[leap] - JUMP_COST > best
        back[b] = np.where(jumps, leap, origin)
        total = np.where(jumps, total[leap] - JUMP_COST, best) + gains(b)
    path = np.empty(blocks, np.int64)
    path[-1] = int(total.argmax())
    for b in range(blocks - 1, 0, -1):
        path[b - 1] = back[b, path[b]]
    return path


def _passages(lags: Curve, shortest: int) -> list[tuple[int, int]]:
    """Runs of blocks without a jump; what is too short to tell joins the run before it, or the first one its next."""
    cuts = (np.flatnonzero(np.abs(np.diff(lags)) > JUMP) + 1).tolist()
    edges = [0]
    for cut in cuts:
        if cut - edges[-1] >= shortest:
            edges.append(cut)
    if len(edges) > 1 and len(lags) - edges[-1] < shortest:
        edges.pop()
    return list(pairwise([*edges, len(lags)]))


def _along(curves: NDArray[np.floating], lags: Curve, path: Curve, width: int) -> tuple[Curve, Curve]:
    """(smooth path, lag at each block from the blocks around it) near a path on the grid's lags."""
    settled = np.clip(path, np.median(path) - MOST_BEND, np.median(path) + MOST_BEND)  # a passage may hold a short jump
    step = float(lags[1] - lags[0])
    near = np.arange(-round(NEAR / step), round(NEAR / step) + 1) * step
    rows = [np.interp(at + near, lags, curve, left=0, right=0) for curve, at in zip(curves, settled, strict=True)]
    kernel = np.hanning(2 * width + 1)[1:-1] if width > 1 else np.ones(1)
    around = np.stack([_short(column, kernel) for column in np.stack(rows).T], axis=1)
    own = np.full(len(path), np.nan)
    for b, row in enumerate(around):
        at = int(row.argmax())
        if 0 < at < len(row) - 1:
            own[b] = settled[b] + near[at] + vertex(*row[at - 1 : at + 2]) * step
    known = np.isfinite(own)
    if not known.any():
        return settled, own
    weight = np.where(known, np.maximum(around.max(1), 1e-3), 0)
    smooth = np.hanning(width + 3)[1:-1]
    total, mass = _short(np.where(known, own, 0) * weight, smooth), _short(weight, smooth)
    return np.where(mass > 1e-9, total / np.maximum(mass, 1e-9), float(np.nanmedian(own))), own


def _short(values: Curve, kernel: Curve) -> Curve:
    """Convolution of the same length as the values, however long the kernel is."""
    full = np.convolve(values, kernel)
    first = (len(kernel) - 1) // 2
    return full[first : first + len(values)]


def _aligned(curves: NDArray[np.floating], lags: Curve, path: Curve) -> Curve:
    """Sum (L,) of curves that are moved so that the path lies at lag 0."""
    total = np.zeros(len(lags))
    for curve, at in zip(curves, path, strict=True):
        total += np.interp(lags + at, lags, curve, left=0, right=0)
    return total


def _deviation(curves: NDArray[np.floating], lags: Curve, path: Curve) -> float:
    """Uncertainty of the lag of a passage."""
    return max(peak_of(_aligned(curves, lags, path), lags, 0.0)[1], LEAST_SPREAD)
