"""Dynamic time warping at several scales, in memory that grows with the length and not with its square.

The coarsest scale has at most `COARSEST` rows a side and is searched as a whole: any beginning, any end, and leaps
where one
side has something that the other lacks. Each finer scale is searched in a band around the path of the one before
(multi-scale DTW: Müller, Mattes and Kurth, "An efficient multiscale approach to audio synchronization", 2006; its
memory is bounded as in Prätzlich, Driedger and Müller, "Memory-restricted multiscale dynamic time warping", 2016).

Conventions: features (N, C) float32 whose products are similarities: 1 for equal rows. A step goes (1, 1), (1, 2) or
(2, 1): so no
path stands still, and its slope lies between a half and two. Costs are 1 - similarity - LEVEL: a path gains by every
row that fits better than chance, and needs no ends that were told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]

COARSEST: Final = 2400
"""Most rows a side of the coarsest scale: 6 million cells of 9 bytes."""
LARGE_SCALE, COARSEST_LONG = 36, 6000
"""Rows that are pooled (0.7 s of a take's features) from which on the coarsest scale may have more rows: 36 million
cells take 180 MB, and in means over more seconds an hour of music is all alike."""
BAND: Final = 24
"""Cells on both sides of the path that a finer scale searches."""
REFINEMENT: Final = 6
"""Most rows of a finer scale for one row of the scale before."""
LEAP: Final = 12.0
"""Cost of leaving rows of one side out, in rows that fit perfectly."""
_DIAGONAL, _WIDE, _HIGH, _SKIP_B, _SKIP_A, _BEGIN = range(6)
"""Ways into a cell: one row of each; two of b; two of a; a leap over rows of b; over rows of a; nowhere."""
_STEPS: Final = {_DIAGONAL: (1, 1), _WIDE: (1, 2), _HIGH: (2, 1)}


@dataclass(frozen=True, eq=False)
class Path:
    """Which rows of two tables belong together."""

    rows: NDArray[np.int64]
    """(n, 2) rows of both, increasing in both."""
    leaps: NDArray[np.int64]
    """Places in `rows` after which one side leaves rows out."""
    gain: float
    """Similarity above the level, summed along the path."""

    def pieces(self) -> list[NDArray[np.int64]]:
        """The path between the leaps, (n, 2) each."""
        return np.split(self.rows, self.leaps + 1)


def pooled(table: FloatArray, rows: int) -> FloatArray:
    """Means of so many rows each, of norm 1; the last mean may have fewer."""
    if rows <= 1:
        return _unit(table)
    edges = np.arange(0, len(table), rows)
    sums = np.add.reduceat(table, edges, axis=0)
    return _unit(np.asarray(sums, np.float32))


def _unit(table: FloatArray) -> FloatArray:
    norm = np.linalg.norm(table, axis=1, keepdims=True)
    return np.asarray(table / np.maximum(norm, 1e-9), np.float32)


def align(a: FloatArray, b: FloatArray, *, leaps: bool = True) -> Path:
    """The path between two tables (N, C) and (M, C) of the same rate."""
    scales = _scales(max(len(a), len(b)))
    first = scales[0]
    x, y = pooled(a, first), pooled(b, first)
    path = _whole(x, y, _level(x, y), leaps=leaps)
    before = first
    for scale in scales[1:]:
        x, y = pooled(a, scale), pooled(b, scale)
        ratio = before // scale
        pieces = [_banded(x, y, piece * ratio, _level(x, y), ratio) for piece in path.pieces() if len(piece) > 1]
        if not pieces:
            break
        path = _joined(pieces)
        before = scale
    if before > 1:
        path = Path(path.rows * before + before // 2, path.leaps, path.gain)
    return path


def _scales(rows: int) -> list[int]:
    """Rows that are pooled at each scale, the coarsest first, down to 1."""
    scales = [1]
    while rows / scales[-1] > (COARSEST if scales[-1] < LARGE_SCALE else COARSEST_LONG):
        scales.append(scales[-1] * REFINEMENT)
    return scales[::-1]


def _level(x: FloatArray, y: FloatArray) -> float:
    """Cost above which a pair of rows speaks against the path: between that of random pairs and of the best."""
    stream = np.random.RandomState(0)
    some = stream.randint(0, len(x), 4000), stream.randint(0, len(y), 4000)
    costs = 1 - np.einsum("nc,nc->n", x[some[0]], y[some[1]])
    return float(np.quantile(costs, 0.15))


def _whole(x: FloatArray, y: FloatArray, level: float, *, leaps: bool) -> Path:
    """The best path between two short tables."""
    rows, columns = len(x), len(y)
    way = np.full((rows, columns), _BEGIN, np.int8)
    origin = np.zeros((rows, columns), np.int32) if leaps else np.zeros((1, 1), np.int32)
    before = two_before = np.zeros(columns, np.float32)
    best_of_column = np.zeros(columns, np.float32)
    row_of_column = np.zeros(columns, np.int32)
    leap = np.float32(LEAP * level)
    index = np.arange(columns, dtype=np.int32)
    cost_before = np.zeros(columns, np.float32)
    ends = (0.0, 0, 0)
    for i in range(rows):
        cost = np.float32(1 - level) - y @ x[i]
        options = np.zeros((6, columns), np.float32)
        options[:3] = np.inf
        if i >= 1:
            options[_DIAGONAL, 1:] = before[:-1] + cost[1:]
            options[_WIDE, 2:] = before[:-2] + cost[1:-1] + cost[2:]
        if i >= 2:
            options[_HIGH, 1:] = two_before[:-1] + cost_before[1:] + cost[1:]
        options[_SKIP_B:_BEGIN] = np.inf
        if leaps and i >= 1:
            lowest = np.minimum.accumulate(before)
            where = np.maximum.accumulate(np.where(before <= lowest, index, 0))
            options[_SKIP_B, 1:] = lowest[:-1] + leap + cost[1:]
            options[_SKIP_A, 1:] = best_of_column[:-1] + leap + cost[1:]
        options[_BEGIN] = cost
        choice = options.argmin(0)
        now = np.take_along_axis(options, choice[None], 0)[0]
        way[i] = choice
        if leaps and i >= 1:
            over_b, over_a = choice == _SKIP_B, choice == _SKIP_A
            origin[i, 1:] = np.where(over_b[1:], where[:-1], np.where(over_a[1:], row_of_column[:-1], 0))
        if leaps:
            better = now < best_of_column
            best_of_column = np.where(better, now, best_of_column)
            row_of_column = np.where(better, i, row_of_column).astype(np.int32)
        at = int(now.argmin())
        if now[at] < ends[0]:
            ends = (float(now[at]), i, at)
        two_before, before, cost_before = before, now, cost
    return _traced(way, origin, ends[1], ends[2], -float(ends[0]))


def _traced(way: NDArray[np.int8], origin: NDArray[np.int32], i: int, j: int, gain: float) -> Path:
    """Follow the ways back from a cell."""
    rows, breaks = [(i, j)], []
    while way[i, j] != _BEGIN:
        kind = int(way[i, j])
        if kind == _SKIP_B:
            i, j = i - 1, int(origin[i, j])
        elif kind == _SKIP_A:
            i, j = int(origin[i, j]), j - 1
        else:
            i, j = i - _STEPS[kind][0], j - _STEPS[kind][1]
        if kind in (_SKIP_B, _SKIP_A):
            breaks.append(len(rows))
        rows.append((i, j))
    count = len(rows)
    return Path(np.array(rows[::-1], np.int64), np.array(sorted(count - 1 - b for b in breaks), np.int64), gain)


def _banded(x: FloatArray, y: FloatArray, coarse: NDArray[np.int64], level: float, ratio: int) -> Path:
    """The best path in a band around a coarser one, whose rows are given at this scale."""
    half = ratio // 2
    low, high = max(int(coarse[0, 0]), 0), min(int(coarse[-1, 0]) + ratio, len(x))
    rows = np.arange(low, high)
    centre = np.rint(np.interp(rows, coarse[:, 0] + half, coarse[:, 1] + half)).astype(np.int64)
    # Outside of the coarse path's middles the band goes on at slope 1.
    centre += np.minimum(rows - coarse[0, 0] - half, 0) + np.maximum(rows - coarse[-1, 0] - half, 0)
    reach = max(BAND, 3 * ratio)
    width = 2 * reach + 1
    count = len(rows)
    way = np.full((count, width), _BEGIN, np.int8)
    around = np.arange(-reach, reach + 1)
    infinity = np.float32(np.inf)
    before = two_before = np.full(width, infinity, np.float32)
    cost_before = np.zeros(width, np.float32)
    ends = (float(infinity), 0, 0)
    for i in range(count):
        columns = centre[i] + around
        inside = (columns >= 0) & (columns < len(y))
        cost = np.where(inside, np.float32(1 - level) - y[np.clip(columns, 0, len(y) - 1)] @ x[rows[i]], infinity)
        options = np.full((6, width), infinity, np.float32)
        if i >= 1:
            step = int(centre[i] - centre[i - 1])
            options[_DIAGONAL] = _shifted(before, step - 1) + cost
            options[_WIDE] = _shifted(before, step - 2) + _shifted(cost, -1) + cost
        if i >= 2:
            two = int(centre[i] - centre[i - 2])
            options[_HIGH] = (
                _shifted(two_before, two - 1) + _shifted(cost_before, int(centre[i] - centre[i - 1])) + cost
            )
        if i < ratio or i == 0:
            options[_BEGIN] = cost
        choice = options.argmin(0)
        now = np.take_along_axis(options, choice[None], 0)[0]
        way[i] = choice
        if i >= count - max(ratio, 1) and np.isfinite(now).any():
            at = int(now.argmin())
            if now[at] < ends[0]:
                ends = (float(now[at]), i, at)
        two_before, before, cost_before = before, now, cost
    return _traced_band(way, rows, centre, reach, ends)


def _shifted(values: FloatArray, by: int) -> FloatArray:
    """Values at place + by; infinite beyond the ends."""
    found = np.full_like(values, np.inf)
    if by >= 0:
        if by < len(values):
            found[: len(values) - by] = values[by:]
    elif -by < len(values):
        found[-by:] = values[:by]
    return found


def _traced_band(
    way: NDArray[np.int8],
    rows: NDArray[np.int64],
    centre: NDArray[np.int64],
    reach: int,
    ends: tuple[float, int, int],
) -> Path:
    i, at = ends[1], ends[2]
    found = [(int(rows[i]), int(centre[i]) + at - reach)]
    while way[i, at] != _BEGIN:
        down, right = _STEPS[int(way[i, at])]
        column = int(centre[i]) + at - reach - right
        i -= down
        at = column - int(centre[i]) + reach
        found.append((int(rows[i]), column))
    return Path(np.array(found[::-1], np.int64), np.zeros(0, np.int64), -float(ends[0]))


def _joined(pieces: list[Path]) -> Path:
    """Pieces, one after the other, with leaps between them; what overlaps at a leap is cut off."""
    rows: list[NDArray[np.int64]] = [pieces[0].rows]
    for piece in pieces[1:]:
        last = rows[-1][-1]
        kept = piece.rows[(piece.rows > last).all(1)]
        if len(kept):
            rows.append(kept)
    ends = np.cumsum([len(piece) for piece in rows])[:-1] - 1
    return Path(np.concatenate(rows), ends.astype(np.int64), sum(piece.gain for piece in pieces))
