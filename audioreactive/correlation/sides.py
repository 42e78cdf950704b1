"""Features of one side, the sound or the picture, prepared for comparison.

Conventions: T frames. Every feature is centred in windows of some seconds, because a slow drift over a song is no
reaction, and divided by its norm, so that all have the same weight. The features of a side are joined column by column.
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
"""Length of a window in seconds, that of the thesis' snippets (section 3.4.1). Slower drift is no reaction."""
FEWEST_WINDOWS = 4
"""Smallest number of windows; short videos have shorter windows. A circular shift of the sound has a seam, and in its
window slow motion fits worse than by chance. With several windows that affects only one of them."""
FORGOTTEN = 0.1
"""Autocorrelation, relative to its value at lag 0, below which a feature counts as independent of its past."""


def window_edges(frames: int, fps: Fraction) -> list[int]:
    """Frames at which windows begin and end, as a list of windows + 1; each has about WINDOW seconds."""
    count = max(round(frames / (WINDOW * fps)), FEWEST_WINDOWS)
    return [round(frames * i / count) for i in range(count + 1)]


class Side:
    """The features of one side, prepared for comparison: (T, C) float32 each."""

    def __init__(
        self,
        tables: dict[str, FloatArray],
        edges: Sequence[int],
        weights: Weights,
        in_total: int,
        *,
        centred: bool = False,
        in_place: bool = False,
    ) -> None:
        """Take the tables out of the dictionary and centre them over the video or in windows.

        A feature has norm 1 when it is centred in windows, or 0 if it is constant.

        Args:
            tables: name -> (T, C); the first `in_total` of them are in the total.
            edges: frames at which windows begin and end.
            weights: name -> weight in the total; 1 if not given.
            centred: whether features are centred in the windows.
            in_place: change the tables themselves instead of copies, which saves memory.
        """
        self.names = tuple(tables)
        self.edges, self.centred = edges, centred
        widths = [table.shape[1] for table in tables.values()]
        starts = np.cumsum([0, *widths])
        self.blocks = [slice(int(a), int(b)) for a, b in pairwise(starts)]
        self.block_of = torch.from_numpy(np.repeat(np.arange(len(widths)), widths))
        self.frames = len(tables[self.names[0]])
        # Features are views of one matrix, because one large product is faster than many small ones.
        if in_place:
            self.parts = [torch.from_numpy(tables[name]) for name in self.names]
            self.features = self.parts
        else:
            self.parts = [torch.empty(self.frames, int(starts[-1]))]
            self.features = [self.parts[0][:, block] for block in self.blocks]
        for name, feature in zip(self.names, self.features, strict=True):
            scale(tables.pop(name), edges, feature, centred=centred)
        total = [float(weights.get(name, 1.0)) for name in self.names[:in_total]]
        self.weights = torch.tensor(total, dtype=torch.float64)
        self.total_width = int(starts[in_total])
        self.column_weights = torch.from_numpy(np.repeat(total, widths[:in_total]))

    @property
    def in_total(self) -> list[torch.Tensor]:
        """The features (T, C) that belong to the total."""
        return self.features[: len(self.weights)]

    def cross(self, other: Side, shift: int) -> torch.Tensor:
        """Product AᵀB, shape (A, B), of this side rolled by `shift` frames and another side."""
        shift %= self.frames
        return torch.cat([torch.cat([_cross(a, b, shift) for b in other.parts], 1) for a in self.parts])

    def memory(self) -> int:
        """Number of frames after which the features are independent of their past: the first lag at which their
        autocorrelation is below FORGOTTEN, at most a quarter of the video.
        """
        frames = self.frames
        size = 1 << (2 * frames - 1).bit_length()
        power = torch.zeros(size // 2 + 1, dtype=torch.float64)
        for column in (column for feature in self.in_total for column in feature.T):
            power += torch.fft.rfft(centred_in_windows(column.double(), self.edges), size).abs().square()
        correlation = torch.fft.irfft(power, size)[: frames // 4 + 1]
        below = torch.nonzero(correlation < FORGOTTEN * correlation[0])
        return int(below[0]) if len(below) else frames // 4


def centred_in_windows(columns: torch.Tensor, edges: Sequence[int]) -> torch.Tensor:
    """Columns (T, C) with mean 0 in every window."""
    values = torch.empty_like(columns)
    for start, stop in pairwise(edges):
        window = columns[start:stop]
        values[start:stop] = window - window.mean(0)
    return values


def scale(table: FloatArray, edges: Sequence[int], out: torch.Tensor, *, centred: bool) -> None:
    """Fill `out`, (T, C) float32, with the table, centred over the video or in windows and scaled to norm 1 in windows.

    `out` may be the table itself. The work goes column by column, because a float64 copy of the whole table would take
    more memory than the features.
    """
    square = 0.0
    largest = max(abs(float(table.max(initial=0))), abs(float(table.min(initial=0)))) * math.sqrt(table.size)
    for i, column in enumerate(table.T):
        values = torch.from_numpy(column.astype(np.float64))[:, None]
        values -= values.mean()
        inside = centred_in_windows(values, edges)
        square += float(inside.square().sum())
        out[:, i] = (inside if centred else values)[:, 0]
    norm = math.sqrt(square)
    # Float32 holds about six digits, so smaller changes are rounding errors.
    if norm > 1e-6 * largest:
        out /= norm
    else:
        out.zero_()


def norm_of(columns: torch.Tensor) -> float:
    """Frobenius norm, summed in float64 column by column."""
    return math.sqrt(sum(float(column.double().square().sum()) for column in columns.T))


def _cross(a: torch.Tensor, b: torch.Tensor, shift: int) -> torch.Tensor:
    stay = len(a) - shift
    product: torch.Tensor = a[:stay].T @ b[shift:]
    return product + a[stay:].T @ b[:shift] if shift else product
