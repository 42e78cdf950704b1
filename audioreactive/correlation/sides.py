"""The features of one side, sound or picture, ready to be compared.

Conventions: T frames. Every feature is centred in windows of some seconds, since what drifts over a song is no
reaction, and divided by its norm, so that each counts alike; the features of a side then stand side by side.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch

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
FORGOTTEN = 0.1
"""Of its value at lag 0: below this, a feature's autocorrelation counts as gone."""


def window_edges(frames: int, fps: Fraction) -> list[int]:
    """(windows + 1,) frames at which windows begin and end, of about WINDOW seconds; at least FEWEST_WINDOWS."""
    count = max(round(frames / (WINDOW * fps)), FEWEST_WINDOWS)
    return [round(frames * i / count) for i in range(count + 1)]


class Side:
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
            scale(tables.pop(name), edges, self.columns[:, block], centred=centred)
        total = [float(weights.get(name, 1.0)) for name in self.names[:in_total]]
        self.weights = torch.tensor(total, dtype=torch.float64)
        self.total_width = int(starts[in_total])
        self.column_weights = torch.from_numpy(np.repeat(total, widths[:in_total]))

    @property
    def total_columns(self) -> torch.Tensor:
        """(T, C) of the features that the total takes in."""
        return self.columns[:, : self.total_width]

    @property
    def frames(self) -> int:
        """T."""
        return len(self.columns)

    def cross(self, other: Side, shift: int) -> torch.Tensor:
        """(A, B): AᵀB of this side, rolled by `shift` frames, and another."""
        shift %= self.frames
        stay = self.frames - shift
        product: torch.Tensor = self.columns[:stay].T @ other.columns[shift:]
        return product + self.columns[stay:].T @ other.columns[:shift] if shift else product

    def memory(self) -> int:
        """Frames after which the features have forgotten themselves: where their autocorrelation stays below a tenth
        for the first time, at most a quarter of the video.
        """
        frames = self.frames
        size = 1 << (2 * frames - 1).bit_length()
        power = torch.zeros(size // 2 + 1, dtype=torch.float64)
        for column in self.total_columns.T:
            power += torch.fft.rfft(centred_in_windows(column.double(), self.edges), size).abs().square()
        correlation = torch.fft.irfft(power, size)[: frames // 4 + 1]
        below = torch.nonzero(correlation < FORGOTTEN * correlation[0])
        return int(below[0]) if len(below) else frames // 4


def centred_in_windows(columns: torch.Tensor, edges: Sequence[int]) -> torch.Tensor:
    """(T, C) -> (T, C), each column of mean 0 between each two edges."""
    values = torch.empty_like(columns)
    for start, stop in pairwise(edges):
        window = columns[start:stop]
        values[start:stop] = window - window.mean(0)
    return values


def scale(table: FloatArray, edges: Sequence[int], out: torch.Tensor, *, centred: bool) -> None:
    """Fill `out`, (T, C) float32, with the table centred over the video or in windows; of norm 1 in windows.

    Column by column: a working copy in float64 of all would take more memory than the features themselves.
    """
    square = 0.0
    for i, column in enumerate(table.T):
        values = torch.from_numpy(column.astype(np.float64))[:, None]
        values -= values.mean()
        inside = centred_in_windows(values, edges)
        square += float(inside.square().sum())
        out[:, i] = (inside if centred else values)[:, 0]
    norm = math.sqrt(square)
    largest = float(np.abs(table).max(initial=0)) * math.sqrt(table.size)
    # Float32 rounds a constant to six digits or so; less than that is no change.
    if norm > 1e-6 * largest:
        out /= norm
    else:
        out.zero_()


def norm_of(columns: torch.Tensor) -> float:
    """Frobenius norm, summed in float64 column by column."""
    return math.sqrt(sum(float(column.double().square().sum()) for column in columns.T))
