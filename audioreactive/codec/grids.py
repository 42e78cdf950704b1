"""The network that `pack` fits by default: grids of whole numbers, and a small decoder for each pixel.

A grid has values at points of time and picture, (t, c, y, x). Each level has its own steps in time and in the picture;
between its points, values change linearly. At a pixel, the values of all levels are scaled and decoded to a colour by
two small layers. So the clip is a function of continuous (x, y, t): any size, any rate, any moment at random.

Conventions: pixel centres lie at (x + ½) / W of the picture's width, frame i at i / (T - 1) of its length; a grid's
first and last points of time are the clip's first and last frames, and its points in the picture are centres of cells.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

HIDDEN: Final = 24
"""Width of the decoder's two hidden layers."""
LARGEST_VALUE: Final = 2047
"""Largest magnitude of a grid's whole numbers."""
FEWEST_CELLS: Final = 2
"""Fewest cells of a grid along a side, and fewest points in time if there are several frames."""


@dataclass(frozen=True)
class Level:
    """Shape of a grid: (times, channels, rows, columns)."""

    times: int
    channels: int
    rows: int
    columns: int

    @property
    def numbers(self) -> int:
        """Count of the grid's numbers."""
        return self.times * self.channels * self.rows * self.columns


STEPS: Final = (1, 2, 4, 8, 16, 32)
"""Steps of the grids in the picture, in pixels."""
PIXELS_AT_ONCE: Final = 1 << 18
"""Pixels of a picture that are drawn at once."""
SLOW: Final = 8
"""Step in time, in frames, of the grids for what stands still; the others have a point for each frame."""


def levels(frames: int, size: tuple[int, int]) -> tuple[Level, ...]:
    """Choose the grids of a clip of `frames` frames of (width, height): slow ones first, coarse ones first.

    The finest have one channel, which begins as lightness; others have three, because eyes see colours less finely.
    """
    width, height = size
    times = [frames] if frames <= SLOW else [math.ceil((frames - 1) / SLOW) + 1, frames]
    chosen: dict[Level, None] = {}
    for points in times:
        for step in reversed(STEPS):
            rows, columns = (max(math.ceil(side / step), min(side, FEWEST_CELLS)) for side in (height, width))
            chosen.setdefault(Level(points, 1 if step == 1 else 3, rows, columns))
    return tuple(chosen)


class GridNetwork(nn.Module):
    """Grids and their decoder; grids hold numbers that are rounded when the clip is packed."""

    def __init__(self, shape: Sequence[Level], *, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.levels = tuple(shape)
        self.units: torch.Tensor
        self.hidden = hidden
        channels = sum(level.channels for level in self.levels)
        self.grids = nn.ParameterList(
            torch.zeros(level.times, level.channels, level.rows, level.columns) for level in self.levels
        )
        self.register_buffer("units", torch.ones(channels))
        self.skip, self.first = nn.Conv2d(channels, 3, 1), nn.Conv2d(channels, hidden, 1)
        self.second, self.last = nn.Conv2d(hidden, hidden, 1), nn.Conv2d(hidden, 3, 1, bias=False)

    def features(self, times: Sequence[float], size: tuple[int, int], grids: Sequence[torch.Tensor]) -> torch.Tensor:
        """Interpolate slices of the grids at moments in [0, 1] to (B, channels, h, w)."""
        return torch.cat([enlarged(between(grid, times), (size[1], size[0])) for grid in grids], 1)

    def decode(self, features: torch.Tensor) -> torch.Tensor:
        """Decode features (B, channels, h, w) to colours (B, 3, h, w), about 0 to 1."""
        features = features * self.units[:, None, None]
        hidden = functional.relu(self.first(features))
        made: torch.Tensor = self.skip(features) + self.last(functional.relu(self.second(hidden)))
        return made

    def picture(self, time: float, size: tuple[int, int]) -> torch.Tensor:
        """Draw the picture (h, w, 3) uint8 of (width, height) at a moment in [0, 1].

        It is drawn in bands, and its arithmetic does not depend on their number or that of threads.
        """
        width, height = size
        band = max(PIXELS_AT_ONCE // width, 1)
        made = torch.empty(height, width, 3, dtype=torch.uint8)
        with torch.inference_mode():
            slices = [between(grid, [time])[0] for grid in self.grids]
            for top in range(0, height, band):
                rows = range(top, min(top + band, height))
                features = torch.cat([_lerped(part, rows, height, width) for part in slices])
                colours = self.decode(features[None])[0]
                made[rows.start : rows.stop] = (colours.clamp(0, 1) * 255 + 0.5).to(torch.uint8).permute(1, 2, 0)
        return made


def between(grid: torch.Tensor, times: Sequence[float]) -> torch.Tensor:
    """Interpolate a grid (t, c, r, k) at moments in [0, 1] to (B, c, r, k)."""
    last = len(grid) - 1
    made = []
    for time in times:
        below, share = place(time, last)
        made.append(grid[below] if share == 0 else torch.lerp(grid[below], grid[min(below + 1, last)], share))
    return torch.stack(made)


def place(time: float, last: int) -> tuple[int, float]:
    """Index of the point before a moment in [0, 1], and the share of the next one; points go from 0 to `last`."""
    at = min(max(time, 0.0), 1.0) * last
    below = min(int(at), last)
    share = at - below
    return below, 0.0 if share < 1e-6 else share


def enlarged(values: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Interpolate (B, c, r, k) to a size (h, w), as between the centres of cells."""
    if tuple(values.shape[2:]) == size:
        return values
    return functional.interpolate(values, size, mode="bilinear", align_corners=False)


def _lerped(values: torch.Tensor, rows: range, height: int, width: int) -> torch.Tensor:
    """Interpolate (c, r, k) to some rows of a picture of (height, width): what `enlarged` does, row by row."""
    upper, lower, share = _places(values.shape[1], height)
    chosen = slice(rows.start, rows.stop)
    down = torch.lerp(values[:, upper[chosen]], values[:, lower[chosen]], share[chosen, None])
    left, right, across = _places(values.shape[2], width)
    return torch.lerp(down[:, :, left], down[:, :, right], across)


def _places(cells: int, side: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """For each pixel of a side the two cells between whose centres it lies, and the share of the second."""
    at = ((torch.arange(side) + 0.5) * (cells / side) - 0.5).clamp(0, cells - 1)
    below = at.long().clamp(max=max(cells - 2, 0))
    return below, (below + 1).clamp(max=cells - 1), at - below
