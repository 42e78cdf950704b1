"""The corrected score: how much better a video fits its sound than the same sound shifted in time.

The thesis' measure, the orthogonal Procrustes correlation (equation 3.3), favours smooth videos, because slow motion
fits any slow sound (section 3.4.4). Here it is compared with its distribution over circular shifts of the sound. A
shift keeps the smoothness, beat and loudness of both sides, and removes only the reaction of one to the other. So a
value above chance measures the reaction.

Conventions: T frames. The features of each side are joined as in `sides`, weighted, and one rotation is used for the
whole video. Their correlation is |AᵀB|* / (|A| |B|), and time and memory are linear in T.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from audioreactive.correlation.lag import lag_curve
from audioreactive.correlation.sides import Side, norm_of, window_edges
from audioreactive.errors import ScoreError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from fractions import Fraction

    from numpy.typing import NDArray

    from audioreactive.correlation.sides import FloatArray, Tables, Weights

FEWEST_FRAMES = 240
"""Fewest frames of a video that can be scored; fewer allow too few shifts to measure chance."""
SHIFTS = 256
"""Number of shifts that represent chance."""
FEWEST_SHIFTS = 200
"""Fewest shifts, in short videos."""
LARGEST_LAG = 2.0
"""Largest lag in seconds, in both directions, at which the peak is searched."""
_AT_ONCE = 16
"""Shifts whose cross-products are in memory at a time."""


@dataclass(frozen=True)
class Score:
    """A correlation, compared with chance."""

    raw: float
    """Orthogonal Procrustes correlation, in [0, 1]."""
    mean: float
    """Mean of the correlation over the shifts, the value of chance."""
    deviation: float
    """Standard deviation of the correlation over the shifts."""
    z: float
    """(raw - mean) / deviation: the corrected score. 0 is chance, above 2 is a reaction."""
    p: float
    """Share of shifts, including the true position, that fit at least as well."""


@dataclass(frozen=True)
class ScoreCard:
    """How audio-reactive a video is in total, and for each pair of an audio and a video feature."""

    fps: Fraction
    frames: int
    total: Score
    """All features of Table 3.1 against all of Table 3.2."""
    cells: Mapping[tuple[str, str], Score]
    """(audio feature, video feature) -> score of this pair."""
    lag: int
    """Lag in frames by which the sound comes later than the picture; 0 if they are in step."""
    lags: Mapping[int, float]
    """Lag in frames -> standard deviations above chance of the agreement between changes; see module `lag`."""
    shifts: tuple[int, ...]
    """Circular shifts in frames that represent chance."""

    @property
    def heard(self) -> tuple[str, ...]:
        """The audio features, in order."""
        return tuple(dict.fromkeys(name for name, _ in self.cells))

    @property
    def seen(self) -> tuple[str, ...]:
        """The video features, in order."""
        return tuple(dict.fromkeys(name for _, name in self.cells))

    @property
    def peak(self) -> float:
        """Standard deviations above chance at the best lag."""
        return self.lags[self.lag]

    @property
    def lag_p(self) -> float:
        """Probability that chance alone gives so high a peak, for independent, normally distributed lags (Šidák, 1967).

        For slow pictures few shifts are independent, so that small values are too small.
        """
        one = math.erfc(self.peak / math.sqrt(2)) / 2
        return -math.expm1(len(self.lags) * math.log1p(-min(one, 1 - 1e-12)))


def score_features(
    heard: Tables,
    seen: Tables,
    *,
    fps: Fraction,
    more: Tables | None = None,
    heard_weights: Weights | None = None,
    seen_weights: Weights | None = None,
) -> ScoreCard:
    """Compare features of a sound with features of a picture.

    Args:
        heard: name -> (T, C), features of the sound.
        seen: name -> (T, C), features of the picture, or of the motion that makes it.
        fps: frames a second.
        more: further features of the sound for the cells and the lag, which are not part of the total.
        heard_weights: name -> weight in the total; 1 if not given.
        seen_weights: name -> weight in the total; 1 if not given.

    Raises:
        ScoreError: fewer than 240 frames; or nothing changes in the sound, or in the picture.
        ValueError: the tables are not all (T, C), of the same T and of finite values; or a name stands in two places.
    """
    if twice := sorted(set(heard) & set(more or {})):
        raise ValueError(f"{', '.join(twice)} stands in both heard and more; leave it out of one of them")
    sound, picture = dict(heard) | dict(more or {}), dict(seen)
    return _card(_compared(sound, picture, fps, len(heard), heard_weights or {}, seen_weights or {}), fps)


def score_once(
    heard: dict[str, FloatArray], seen: dict[str, FloatArray], *, fps: Fraction, more: dict[str, FloatArray]
) -> ScoreCard:
    """`score_features` for tables that are not needed afterwards: the dictionaries are emptied and the tables of the
    picture are overwritten, which saves memory.
    """
    in_total = len(heard)
    heard |= more
    more.clear()
    return _card(_compared(heard, seen, fps, in_total, {}, {}, in_place=True), fps)


def _card(pair: _Pair, fps: Fraction) -> ScoreCard:
    shifts, lags = pair.chance_shifts(), range(-pair.widest, pair.widest + 1)
    true, true_cells = pair.values([0], cells=True)
    chance, chance_cells = pair.values(shifts, cells=True)
    above = lag_curve(pair.sound, pair.picture, fps=fps, lags=lags, shifts=shifts)
    curve = dict(zip(lags, above, strict=True))
    names = [(a, b) for a in pair.sound.names for b in pair.picture.names]
    cells = zip(names, true_cells[0].ravel(), chance_cells.reshape(len(shifts), -1).T, strict=True)
    return ScoreCard(
        fps=fps,
        frames=pair.frames,
        total=_against(float(true[0]), chance),
        cells={name: _against(float(raw), values) for name, raw, values in cells},
        lag=max(curve, key=lambda lag: (curve[lag], -abs(lag))),
        lags=curve,
        shifts=tuple(shifts),
    )


def score_total(
    heard: Tables,
    seen: Tables,
    *,
    fps: Fraction,
    heard_weights: Weights | None = None,
    seen_weights: Weights | None = None,
) -> Score:
    """The total of `score_features`, in a fraction of the time.

    Raises:
        ScoreError: see `score_features`.
        ValueError: see `score_features`.
    """
    pair = _compared(dict(heard), dict(seen), fps, len(heard), heard_weights or {}, seen_weights or {})
    true, _ = pair.values([0], cells=False)
    chance, _ = pair.values(pair.chance_shifts(), cells=False)
    return _against(float(true[0]), chance)


def _compared(
    heard: dict[str, FloatArray],
    seen: dict[str, FloatArray],
    fps: Fraction,
    in_total: int,
    heard_weights: Weights,
    seen_weights: Weights,
    *,
    in_place: bool = False,
) -> _Pair:
    """Prepare both sides and empty the dictionaries; the first `in_total` features of the sound are in the total."""
    frames = _frames_of([*heard.items(), *seen.items()])
    check_frames(frames, fps)
    edges = window_edges(frames, fps)
    sound = Side(heard, edges, heard_weights, in_total)
    # Centring one factor of a product is enough: the means of the other one then cancel.
    picture = Side(seen, edges, seen_weights, len(seen), centred=True, in_place=in_place)
    if not any(feature.any() for feature in sound.in_total):
        raise ScoreError("nothing changes in the sound, so there is nothing to react to; check the sound file")
    if not any(feature.any() for feature in picture.in_total):
        raise ScoreError("nothing changes in the picture, so there is nothing that could react; check the video")
    return _Pair(sound, picture, widest=min(round(LARGEST_LAG * fps), frames // 4))


def _frames_of(tables: Sequence[tuple[str, FloatArray]]) -> int:
    """T, the number of frames of all tables; raise ValueError if they differ."""
    first, frames = tables[0][0], len(tables[0][1])
    for name, table in tables:
        if table.ndim != 2 or len(table) != frames:
            raise ValueError(f"{name} is of shape {table.shape}; all tables are (T, C), and {first} has T = {frames}")
        # A sum is finite only if all values are, and it needs no temporary table, as isfinite would.
        if not np.isfinite(table.sum(dtype=np.float64)):
            raise ValueError(f"{name} holds values that are not finite; a feature without a value is 0")
    return frames


def check_frames(frames: int, fps: Fraction) -> None:
    """Raise ScoreError if there are too few frames to measure chance."""
    if frames < FEWEST_FRAMES:
        raise ScoreError(
            f"sound and picture share {frames} frames; at least {FEWEST_FRAMES} "
            f"({float(FEWEST_FRAMES / fps):.1f} s at {fps} frames a second) are needed to tell a reaction from chance"
        )


def _against(raw: float, chance: NDArray[np.float64]) -> Score:
    mean, deviation = float(chance.mean()), float(chance.std())
    # A constant table correlates with nothing at any shift.
    z = (raw - mean) / deviation if deviation > 1e-12 else 0.0
    p = (1 + int((chance >= raw).sum())) / (1 + len(chance))
    return Score(raw, mean, deviation, z, p)


def _spread(low: int, high: int, count: int) -> list[int]:
    """Up to `count` different integers from low to high inclusive, equally spaced."""
    return sorted(set(np.linspace(low, high, min(count, high - low + 1)).round().astype(int).tolist()))


class _Pair:
    """Correlations of a sound and a picture at any shift of the sound."""

    def __init__(self, sound: Side, picture: Side, *, widest: int) -> None:
        self.sound, self.picture, self.widest = sound, picture, widest
        self.frames = picture.frames
        norms = [norm_of(feature) for feature in picture.features]
        self.seen_blocks = torch.tensor(norms, dtype=torch.float64)
        self.seen_total = float((self.seen_blocks[: len(picture.weights)] * picture.weights).norm())

    def chance_shifts(self) -> list[int]:
        """Shifts of the sound in frames that represent chance."""
        # A late sound is no chance fit, so shifts begin beyond the largest lag.
        reach = max(self.sound.memory(), self.picture.memory(), self.widest + 1)
        reach = min(reach, (self.frames - FEWEST_SHIFTS) // 2)
        return _spread(reach, self.frames - reach, SHIFTS)

    def values(self, shifts: Sequence[int], *, cells: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Correlations (n,) of all features and (n, heard, seen) of the pairs at each shift in frames."""
        totals, pairs = [], []
        energies = self._energies(torch.tensor(shifts))
        for start in range(0, len(shifts), _AT_ONCE):
            some = shifts[start : start + _AT_ONCE]
            cross = torch.stack([self.sound.cross(self.picture, shift) for shift in some]).double()
            energy = energies[start : start + _AT_ONCE]
            totals.append(self._total(cross, energy))
            if cells:
                pairs.append(self._cells(cross, energy))
        joined = torch.cat(pairs).numpy() if pairs else np.zeros((len(shifts), 0, 0))
        return torch.cat(totals).numpy(), joined

    def _energies(self, shifts: torch.Tensor) -> torch.Tensor:
        """Squared norms (n, A) of the sound's columns, rolled by each shift and centred in the picture's windows."""
        edges = torch.tensor(self.sound.edges)
        first, last = ((some - shifts[:, None]) % self.frames for some in (edges[:-1], edges[1:]))  # [n, windows]
        found = torch.empty(len(shifts), len(self.sound.block_of), dtype=torch.float64)
        for i, column in enumerate(column for feature in self.sound.features for column in feature.T):
            values = column.double()
            until = torch.nn.functional.pad(values.cumsum(0), (1, 0))
            sums = until[last] - until[first] + torch.where(last <= first, until[-1], 0.0)
            found[:, i] = values.square().sum() - (sums.square() / edges.diff()).sum(1)
        return found.clamp_(min=0)

    def _total(self, cross: torch.Tensor, energy: torch.Tensor) -> torch.Tensor:
        sound, picture = self.sound, self.picture
        weighted = cross[:, : sound.total_width, : picture.total_width]
        weighted = weighted * sound.column_weights[:, None] * picture.column_weights
        norm = (energy[:, : sound.total_width] * sound.column_weights.square()).sum(1).sqrt()
        size = norm * self.seen_total
        return torch.where(size > 1e-9, _nuclear(weighted) / size.clamp(min=1e-9), 0.0)

    def _cells(self, cross: torch.Tensor, energy: torch.Tensor) -> torch.Tensor:
        """Correlations (n, heard, seen) of the pairs."""
        norms = _sum_blocks(energy, self.sound.block_of, len(self.sound.blocks)).sqrt()
        squares = _sum_blocks(cross.square(), self.picture.block_of, len(self.picture.blocks))  # [n, A, seen]
        squares = _sum_blocks(squares.mT, self.sound.block_of, len(self.sound.blocks)).mT
        values = squares.sqrt()  # for a single row or column this is the nuclear norm
        for i, rows in enumerate(self.sound.blocks):
            for j, columns in enumerate(self.picture.blocks):
                if rows.stop - rows.start > 1 and columns.stop - columns.start > 1:
                    values[:, i, j] = _nuclear(cross[:, rows, columns])
        size = norms[:, :, None] * self.seen_blocks
        return torch.where(size > 1e-9, values / size.clamp(min=1e-9), 0.0)


def _sum_blocks(values: torch.Tensor, block_of: torch.Tensor, count: int) -> torch.Tensor:
    """Sums over each block of columns, (..., C) -> (..., count)."""
    return values.new_zeros(*values.shape[:-1], count).index_add_(-1, block_of, values)


def _nuclear(matrices: torch.Tensor) -> torch.Tensor:
    """Nuclear norms (n,) of matrices (n, A, B) float64, from the smaller of the two Gram matrices."""
    gram = matrices @ matrices.mT if matrices.shape[1] <= matrices.shape[2] else matrices.mT @ matrices
    norm: torch.Tensor = torch.linalg.eigvalsh(gram).clamp(min=0).sqrt().sum(-1)
    return norm
