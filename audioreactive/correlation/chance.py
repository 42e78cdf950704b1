"""The corrected score: how much better does a video fit its sound than the same sound at any other time?

The thesis' measure, the orthogonal Procrustes correlation (equation 3.3), favours smooth videos: anything slow fits
anything slow (section 3.4.4). Here it is compared with its own distribution over circular shifts of the sound
against the picture. A shift keeps everything that either of them is, their smoothness, beat and loudness, and takes
away only that one follows the other; what is left above chance is reaction.

Conventions: T frames. Every feature is centred in windows of some seconds, since what drifts over a song is no
reaction, and divided by its norm, so that each counts alike; the features of each side then stand side by side,
weighted, and one rotation is sought for the whole video. Their correlation is |AᵀB|* / (|A| |B|), and time and memory
are linear in T. A lag is the number of frames by which the sound comes later than the picture that follows it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch

from audioreactive.errors import ScoreError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from fractions import Fraction

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]
    Tables = Mapping[str, FloatArray]
    Weights = Mapping[str, float]

WINDOW = 16.0
"""Seconds: the length of the thesis' snippets (section 3.4.1). What drifts over longer times is no reaction."""
FEWEST_WINDOWS = 4
"""Shorter videos have shorter windows: one of them holds the seam of a sound that is shifted round and round, where
slow motion fits worse than it would by chance, and that must not be all of them."""
FEWEST_FRAMES = 240
"""Frames below which there are not shifts enough to say what chance does."""
SHIFTS = 256
FEWEST_SHIFTS = 200
LARGEST_LAG = 2.0
"""Seconds, to both sides, in which the peak is sought."""
FORGOTTEN = 0.1
"""Of its value at lag 0: below this, a feature's autocorrelation counts as gone."""
_AT_ONCE = 16
"""Shifts whose cross-products are held together."""


@dataclass(frozen=True)
class Score:
    """One correlation against chance."""

    raw: float
    """Orthogonal Procrustes correlation, in [0, 1]."""
    mean: float
    """Its mean over the shifts: what chance gives these two."""
    deviation: float
    """Its standard deviation over the shifts."""
    z: float
    """(raw - mean) / deviation: the corrected score. 0 is chance, above 2 is a reaction."""
    p: float
    """Share of shifts, the true position among them, that fit at least as well."""


@dataclass(frozen=True)
class ScoreCard:
    """How audio-reactive a video is, and which sound moves what."""

    fps: Fraction
    frames: int
    total: Score
    """All features of Table 3.1 against all of Table 3.2."""
    cells: Mapping[tuple[str, str], Score]
    """(audio feature, video feature) -> the correlation of these two alone."""
    lag: int
    """Frames by which the sound comes later than the picture that follows it; 0 in step."""
    lags: Mapping[int, float]
    """Lag in frames -> deviations above chance, of what changes from frame to frame in all features."""
    shifts: tuple[int, ...]
    """The circular shifts in frames that stand for chance."""

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
        """Deviations above chance, at the best of the lags."""
        return self.lags[self.lag]

    @property
    def lag_p(self) -> float:
        """How often chance alone has so high a peak: the best of so many lags, were they independent and their
        correlations normally distributed (Šidák, 1967). Changes have longer tails: small values are too small.
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
    """Compare what was heard with what was seen.

    Args:
        heard: name -> (T, C), features of the sound.
        seen: name -> (T, C), features of the picture, or of what the picture is made of.
        fps: frames a second.
        more: further features of the sound for the cells, which the total leaves out.
        heard_weights: name -> weight in the total; 1 where nothing is said.
        seen_weights: likewise.

    Raises:
        ScoreError: fewer than 240 frames; or nothing changes in the sound, or in the picture.
    """
    sound, picture = dict(heard) | dict(more or {}), dict(seen)
    return _card(_compared(sound, picture, fps, len(heard), heard_weights or {}, seen_weights or {}), fps)


def score_once(
    heard: dict[str, FloatArray], seen: dict[str, FloatArray], *, fps: Fraction, more: dict[str, FloatArray]
) -> ScoreCard:
    """`score_features` of tables that nobody needs any more: they are taken out of the dictionaries one by one, so that
    the memory holds each feature once.
    """
    in_total = len(heard)
    heard |= more
    more.clear()
    return _card(_compared(heard, seen, fps, in_total, {}, {}), fps)


def _card(pair: _Pair, fps: Fraction) -> ScoreCard:
    shifts, lags = pair.chance_shifts(), range(-pair.widest, pair.widest + 1)
    true, true_cells = pair.values([0], cells=True)
    chance, chance_cells = pair.values(shifts, cells=True)
    # What is smooth fits nearly as well a little earlier or later; its changes do not (Box & Jenkins' prewhitening).
    changes = pair.of_changes()
    # At lag k the sound is k frames late: rolled back by k, it is in step.
    around, _ = changes.values([-lag for lag in lags], cells=False)
    by_chance, _ = changes.values(shifts, cells=False)
    around = (around - by_chance.mean()) / max(float(by_chance.std()), 1e-12)
    curve = dict(zip(lags, map(float, around), strict=True))
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
    """The total of `score_features` alone, in a fraction of the time.

    Raises:
        ScoreError: likewise.
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
) -> _Pair:
    """Empties both dictionaries; the first `in_total` of what was heard are in the total."""
    frames = len(next(iter(heard.values())))
    check_frames(frames, fps)
    edges = _window_edges(frames, fps)
    sound = _Side(heard, edges, heard_weights, in_total)
    # Centring one side of a product is enough: the other side's means then meet zeros.
    picture = _Side(seen, edges, seen_weights, len(seen), centred=True)
    if not sound.total_columns.any():
        raise ScoreError("nothing changes in the sound, so there is nothing to react to; check the sound file")
    if not picture.total_columns.any():
        raise ScoreError("nothing changes in the picture, so there is nothing that could react; check the video")
    return _Pair(sound, picture, widest=min(round(LARGEST_LAG * fps), frames // 4))


def check_frames(frames: int, fps: Fraction) -> None:
    """Raise ScoreError if these are too few to say what chance does."""
    if frames < FEWEST_FRAMES:
        raise ScoreError(
            f"sound and picture share {frames} frames; at least {FEWEST_FRAMES} "
            f"({float(FEWEST_FRAMES / fps):.1f} s at {fps} frames a second) are needed to tell a reaction from chance"
        )


def _against(raw: float, chance: NDArray[np.float64]) -> Score:
    mean, deviation = float(chance.mean()), float(chance.std())
    # What never changes correlates with nothing at any shift.
    z = (raw - mean) / deviation if deviation > 1e-12 else 0.0
    p = (1 + int((chance >= raw).sum())) / (1 + len(chance))
    return Score(raw, mean, deviation, z, p)


def _spread(low: int, high: int, count: int) -> list[int]:
    """Up to `count` different whole numbers from low to high, both included, equally spaced."""
    return sorted(set(np.linspace(low, high, min(count, high - low + 1)).round().astype(int).tolist()))


def _window_edges(frames: int, fps: Fraction) -> list[int]:
    """Windows of about WINDOW seconds, all alike; at least FEWEST_WINDOWS."""
    count = max(round(frames / (WINDOW * fps)), FEWEST_WINDOWS)
    return [round(frames * i / count) for i in range(count + 1)]


class _Side:
    """The features of one side, ready to be compared: (T, C) float32, one block of columns a feature.

    Takes each table out of the dictionary when its columns are made.
    """

    def __init__(
        self,
        tables: dict[str, FloatArray],
        edges: Sequence[int],
        weights: Weights,
        in_total: int,
        *,
        centred: bool = False,
    ) -> None:
        self.names = tuple(tables)
        self.edges, self.centred = edges, centred
        widths = [table.shape[1] for table in tables.values()]
        starts = np.cumsum([0, *widths])
        self.blocks = [slice(int(a), int(b)) for a, b in pairwise(starts)]
        self.block_of = torch.from_numpy(np.repeat(np.arange(len(widths)), widths))
        # Column after column in memory, which is then taken up as the tables give theirs back.
        self.columns = torch.empty(int(starts[-1]), len(next(iter(tables.values())))).T
        """Each block centred over the video, or in the windows, and of norm 1 once it is centred in them; 0 if it never
        changes."""
        for block, name in zip(self.blocks, self.names, strict=True):
            _scale(tables.pop(name), edges, self.columns[:, block], centred=centred)
        total = [float(weights.get(name, 1.0)) for name in self.names[:in_total]]
        self.weights = torch.tensor(total, dtype=torch.float64)
        self.total_width = int(starts[in_total])
        self.column_weights = torch.from_numpy(np.repeat(total, widths[:in_total]))

    @property
    def total_columns(self) -> torch.Tensor:
        """(T, C) of the features that the total takes in."""
        return self.columns[:, : self.total_width]

    def to_changes(self) -> None:
        """Turn each feature into what changes from frame to frame, in place; of norm 1 again."""
        for block in self.blocks:
            columns = self.columns[:, block]
            changes = torch.diff(columns, dim=0, prepend=columns[:1])
            if self.centred:  # each window has a zero of its own
                changes[self.edges[1:-1]] = 0
            _scale(changes.numpy(), self.edges, columns, centred=self.centred)

    def memory(self) -> int:
        """Frames after which the features have forgotten themselves: where their autocorrelation stays below a tenth
        for the first time, at most a quarter of the video.
        """
        frames = len(self.columns)
        size = 1 << (2 * frames - 1).bit_length()
        power = torch.zeros(size // 2 + 1, dtype=torch.float64)
        for column in self.total_columns.T:
            power += torch.fft.rfft(_centred(column.double(), self.edges), size).abs().square()
        correlation = torch.fft.irfft(power, size)[: frames // 4 + 1]
        below = torch.nonzero(correlation < FORGOTTEN * correlation[0])
        return int(below[0]) if len(below) else frames // 4


class _Pair:
    """The correlations of a sound and a picture, at any shift of the sound."""

    def __init__(self, sound: _Side, picture: _Side, *, widest: int) -> None:
        self.sound, self.picture, self.widest = sound, picture, widest
        self.seen = picture.columns
        self.frames = len(self.seen)
        norms = [_norm(self.seen[:, block]) for block in picture.blocks]
        self.seen_blocks = torch.tensor(norms, dtype=torch.float64)
        self.seen_total = float((self.seen_blocks[: len(picture.weights)] * picture.weights).norm())

    def of_changes(self) -> _Pair:
        """The pair of what changes from frame to frame; this one is of no use afterwards."""
        self.sound.to_changes()
        self.picture.to_changes()
        return _Pair(self.sound, self.picture, widest=self.widest)

    def chance_shifts(self) -> list[int]:
        """The shifts of the sound that stand for chance, in frames."""
        # Sound that comes late is no chance: shifts begin beyond every lag that is looked at.
        reach = max(self.sound.memory(), self.picture.memory(), self.widest + 1)
        reach = min(reach, (self.frames - FEWEST_SHIFTS) // 2)
        return _spread(reach, self.frames - reach, SHIFTS)

    def values(self, shifts: Sequence[int], *, cells: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(n,) of all features and (n, heard, seen) of the pairs, for each shift of the sound in frames."""
        totals, pairs = [], []
        energies = self._energies(torch.tensor(shifts))
        for start in range(0, len(shifts), _AT_ONCE):
            some = shifts[start : start + _AT_ONCE]
            cross = torch.stack([self._cross(shift) for shift in some]).double()
            energy = energies[start : start + _AT_ONCE]
            totals.append(self._total(cross, energy))
            if cells:
                pairs.append(self._cells(cross, energy))
        joined = torch.cat(pairs).numpy() if pairs else np.zeros((len(shifts), 0, 0))
        return torch.cat(totals).numpy(), joined

    def _cross(self, shift: int) -> torch.Tensor:
        """(A, B): AᵀB of the sound, rolled by `shift` frames, and the picture."""
        frames = self.frames
        shift %= frames
        sound = self.sound.columns
        cross: torch.Tensor = sound[: frames - shift].T @ self.seen[shift:]
        return cross + sound[frames - shift :].T @ self.seen[:shift] if shift else cross

    def _energies(self, shifts: torch.Tensor) -> torch.Tensor:
        """(n, A) squared norms of the sound's columns, rolled by each shift and centred in the picture's windows."""
        edges = torch.tensor(self.sound.edges)
        first, last = ((some - shifts[:, None]) % self.frames for some in (edges[:-1], edges[1:]))  # [n, windows]
        found = torch.empty(len(shifts), self.sound.columns.shape[1], dtype=torch.float64)
        for i, column in enumerate(self.sound.columns.T):
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
        return _nuclear(weighted) / (norm * self.seen_total)

    def _cells(self, cross: torch.Tensor, energy: torch.Tensor) -> torch.Tensor:
        """(n, heard, seen)."""
        norms = _sum_blocks(energy, self.sound.block_of, len(self.sound.blocks)).sqrt()
        squares = _sum_blocks(cross.square(), self.picture.block_of, len(self.picture.blocks))  # [n, A, seen]
        squares = _sum_blocks(squares.mT, self.sound.block_of, len(self.sound.blocks)).mT
        values = squares.sqrt()  # of a row or a column, this is the nuclear norm too
        for i, rows in enumerate(self.sound.blocks):
            for j, columns in enumerate(self.picture.blocks):
                if rows.stop - rows.start > 1 and columns.stop - columns.start > 1:
                    values[:, i, j] = _nuclear(cross[:, rows, columns])
        size = norms[:, :, None] * self.seen_blocks
        return torch.where(size > 1e-9, values / size.clamp(min=1e-9), 0.0)


def _centred(columns: torch.Tensor, edges: Sequence[int]) -> torch.Tensor:
    centred = torch.empty_like(columns)
    for start, stop in pairwise(edges):
        window = columns[start:stop]
        centred[start:stop] = window - window.mean(0)
    return centred


def _scale(table: FloatArray, edges: Sequence[int], out: torch.Tensor, *, centred: bool) -> None:
    """Fill `out`, (T, C) float32, with the table centred over the video or in windows; of norm 1 in windows.

    Column by column: a working copy in float64 of all would take more memory than the features themselves.
    """
    square = 0.0
    for i, column in enumerate(table.T):
        values = torch.from_numpy(column.astype(np.float64))[:, None]
        values -= values.mean()
        inside = _centred(values, edges)
        square += float(inside.square().sum())
        out[:, i] = (inside if centred else values)[:, 0]
    norm = math.sqrt(square)
    largest = float(np.abs(table).max(initial=0)) * math.sqrt(table.size)
    # Float32 rounds a constant to six digits or so; less than that is no change.
    if norm > 1e-6 * largest:
        out /= norm
    else:
        out.zero_()


def _norm(columns: torch.Tensor) -> float:
    """Frobenius norm, summed in float64 column by column."""
    return math.sqrt(sum(float(column.double().square().sum()) for column in columns.T))


def _sum_blocks(values: torch.Tensor, block_of: torch.Tensor, count: int) -> torch.Tensor:
    """(..., C) -> (..., count): sums over each block of columns."""
    return values.new_zeros(*values.shape[:-1], count).index_add_(-1, block_of, values)


def _nuclear(matrices: torch.Tensor) -> torch.Tensor:
    """(n, A, B) float64 -> (n,) sums of singular values, by the smaller of the two Gram matrices."""
    gram = matrices @ matrices.mT if matrices.shape[1] <= matrices.shape[2] else matrices.mT @ matrices
    norm: torch.Tensor = torch.linalg.eigvalsh(gram).clamp(min=0).sqrt().sum(-1)
    return norm
