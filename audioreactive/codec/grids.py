"""The network that `pack` fits by default: grids of whole numbers, and a small decoder for each pixel.

A grid has values at points of time and picture, (t, c, y, x); between its points, values change linearly. There are
five kinds, each on several scales:

- `own`: a point of time for each frame;
- `still`: one point of time, for what stands still;
- `keys`: a point of time every few frames, for what differs from it then: a key picture is the sum of both, and
  between two of them, the picture is drawn from both, each displaced;
- `motion`: for each pair of keys, how far what lies at a place moves between them, and how much its path is bent;
- `light`: for each frame, by how much the keys are brighter then, or 0 where they do not help.

The base of a pixel, three numbers, is the light times what the displaced keys are there; the base and the values of
`own` are decoded to a colour by two small layers. A clip that is short, or whose frames have nothing in common, has
`own` alone. So the clip is a function of continuous (x, y, t): any size, any rate, any moment at random.

Conventions: pixel centres lie at (x + ½) / W of the picture's width, frame i at i / (T - 1) of its length; a grid's
first and last points of time are the clip's first and last frames, and its points in the picture are centres of cells.
Key k lies at the whole frame next to k / (P - 1) of the clip.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
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
"""Fewest cells of a grid along a side."""
STEPS: Final = (32, 16, 8, 4, 2, 1)
"""Steps of the grids in the picture, in pixels."""
MOTION_STEPS: Final = (32, 8)
LIGHT_STEPS: Final = (64, 16)
MOTION_UNIT: Final = 1 / 8
"""Pixels of a step of `motion`."""
LIGHT_UNIT: Final = 1 / 64
"""What a step of `light` adds to 1."""
EVERY: Final = range(4, 65)
"""Frames that may lie between two keys: with fewer, keys would be more than half as many as frames."""
PIXELS_AT_ONCE: Final = 1 << 18
"""Pixels of a picture that are drawn at once."""
BASE: Final = 3
"""Channels of the base: lightness and two differences of colour."""


@dataclass(frozen=True)
class Level:
    """Shape of a grid: (times, channels, rows, columns)."""

    times: int
    channels: int
    rows: int
    columns: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The same as a tuple."""
        return self.times, self.channels, self.rows, self.columns


@dataclass(frozen=True)
class Layout:
    """Shapes of a clip's grids.

    Args:
        frames: number of frames.
        size: (width, height) of a frame.
        every: frames between two keys, at most; 0: there is no base.
    """

    frames: int
    size: tuple[int, int]
    every: int = 0

    @cached_property
    def knots(self) -> tuple[int, ...]:
        """Frames of the keys; the first and the last are among them."""
        if not self.every or self.frames < 2:
            return ()
        spans = math.ceil((self.frames - 1) / self.every)
        return tuple((2 * k * (self.frames - 1) + spans) // (2 * spans) for k in range(spans + 1))

    @cached_property
    def parts(self) -> dict[str, tuple[Level, ...]]:
        """Kind of grids -> their shapes, coarse ones first, in the order of the file."""
        own = self._scales(self.frames)
        if not self.knots:
            return {"own": own}
        spans = len(self.knots) - 1
        return {
            "light": tuple(Level(self.frames, 1, *self.cells(step)) for step in LIGHT_STEPS),
            "still": self._scales(1),
            "keys": self._scales(spans + 1),
            "motion": tuple(Level(spans, 4, *self.cells(step)) for step in MOTION_STEPS),
            "own": own,
        }

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """All shapes in the order of the file."""
        return tuple(level for part in self.parts.values() for level in part)

    @property
    def channels(self) -> int:
        """Numbers of a pixel that are decoded."""
        return (BASE if self.knots else 0) + sum(level.channels for level in self.parts["own"])

    @property
    def units(self) -> int:
        """Channels of all grids of light and colour."""
        return sum(level.channels for name in ("still", "keys", "own") for level in self.parts.get(name, ()))

    def cells(self, step: int) -> tuple[int, int]:
        """Rows and columns of a grid with a step in pixels."""
        width, height = self.size
        rows, columns = (max(math.ceil(side / step), min(side, FEWEST_CELLS)) for side in (height, width))
        return rows, columns

    def span(self, at: float) -> tuple[int, float]:
        """Number of the key before a moment, which is counted in frames, and the share of the next one."""
        knots = self.knots
        k = min(max(sum(knot <= at for knot in knots) - 1, 0), len(knots) - 2)
        return k, (at - knots[k]) / (knots[k + 1] - knots[k])

    def _scales(self, times: int) -> tuple[Level, ...]:
        """Grids of light and colour: the finest have one channel, lightness, because eyes see colours less finely."""
        chosen: dict[Level, None] = {}
        for step in STEPS:
            chosen.setdefault(Level(times, 1 if step == 1 else 3, *self.cells(step)))
        return tuple(chosen)


class GridNetwork(nn.Module):
    """Grids and their decoder; grids hold numbers that are rounded when the clip is packed."""

    def __init__(self, layout: Layout, *, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.layout, self.hidden = layout, hidden
        self.units: torch.Tensor
        channels = layout.channels
        self.grids = nn.ParameterList(torch.zeros(level.shape) for level in layout.levels)
        self.register_buffer("units", torch.ones(layout.units))
        self.skip, self.first = nn.Linear(channels, 3), nn.Linear(channels, hidden)
        self.second, self.last = nn.Linear(hidden, hidden), nn.Linear(hidden, 3, bias=False)
        self._drawn: tuple[int, torch.Tensor] | None = None

    def decode(self, features: torch.Tensor) -> torch.Tensor:
        """Decode features (B, channels, N) to colours (B, 3, N), about 0 to 1."""
        hidden = functional.relu(_through(self.first, features))
        made = _through(self.last, functional.relu(_through(self.second, hidden)))
        return _through(self.skip, features) + made

    def unit(self, name: str) -> list[torch.Tensor]:
        """What a step of each channel (c, 1, 1) of each grid of a kind, of light and colour, does to the picture."""
        first, made = 0, []
        for kind in ("still", "keys", "own"):
            for level in self.layout.parts.get(kind, ()):
                if kind == name:
                    made.append(self.units[first : first + level.channels, None, None])
                first += level.channels
        return made

    def part(self, name: str) -> list[torch.Tensor]:
        """The grids of a kind."""
        first = 0
        for kind, levels in self.layout.parts.items():
            if kind == name:
                return list(self.grids)[first : first + len(levels)]
            first += len(levels)
        return []

    def keys(self, still: Sequence[torch.Tensor], keys: Sequence[torch.Tensor]) -> torch.Tensor:
        """Key pictures (B, 3, H, W) from slices of the grids `still` (1, c, r, k) and `keys` (B, c, r, k)."""
        four = zip(still, self.unit("still"), keys, self.unit("keys"), strict=True)
        return piled([one * unit + other * its for one, unit, other, its in four])

    def picture(self, time: float, size: tuple[int, int]) -> torch.Tensor:
        """Draw the picture (h, w, 3) uint8 of (width, height) at a moment in [0, 1].

        It is drawn in bands, and its arithmetic does not depend on their number or that of threads.
        """
        width, height = size
        band = max(PIXELS_AT_ONCE // width, 1)
        made = torch.empty(height, width, 3, dtype=torch.uint8)
        with torch.inference_mode():
            own = [between(grid, time) * unit for grid, unit in zip(self.part("own"), self.unit("own"), strict=True)]
            keys, motion, light, share = self._base(time)
            for top in range(0, height, band):
                rows = range(top, min(top + band, height))
                parts = [_lerped(part, rows, height, width) for part in own]
                if share is not None:
                    way = _lerped(motion, rows, height, width)[None]
                    found = displaced(
                        keys[:1], keys[1:], way, torch.tensor([share], dtype=torch.float32), rows, height
                    )[0]
                    parts.insert(0, _lerped(light, rows, height, width) * found)
                colours = self.decode(torch.cat(parts).flatten(1)[None])[0].view(3, len(rows), width)
                made[rows.start : rows.stop] = (colours.clamp(0, 1) * 255 + 0.5).to(torch.uint8).permute(1, 2, 0)
        return made

    def _base(self, time: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, float | None]:
        """Two keys (2, 3, H, W), slices of motion and light, and the share of the second key."""
        layout, nothing = self.layout, torch.empty(0)
        if not layout.knots:
            return nothing, nothing, nothing, None
        k, share = layout.span(min(max(time, 0.0), 1.0) * (layout.frames - 1))
        if self._drawn is None or self._drawn[0] != k:
            self._drawn = k, self.keys(self.part("still"), [grid[k : k + 2] for grid in self.part("keys")])
        motion = piled([grid[k : k + 1] for grid in self.part("motion")])[0] * MOTION_UNIT
        light = 1 + LIGHT_UNIT * piled([between(grid, time)[None] for grid in self.part("light")])[0]
        return self._drawn[1], motion, light, share


def piled(grids: Sequence[torch.Tensor]) -> torch.Tensor:
    """Add grids (B, c, r, k) up, coarse ones first, each enlarged to the next; lacking channels are 0."""
    made = grids[0]
    for grid in grids[1:]:
        made = enlarged(made, (grid.shape[2], grid.shape[3]))
        lacking = made.shape[1] - grid.shape[1]
        made = made + (functional.pad(grid, (0, 0, 0, 0, 0, lacking)) if lacking else grid)
    return made


def displaced(
    before: torch.Tensor, after: torch.Tensor, motion: torch.Tensor, shares: torch.Tensor, rows: range, height: int
) -> torch.Tensor:
    """Draw rows of pictures from the keys before and after them, displaced along the paths between both.

    What lies at a place at the share s of the way was at place - s v + s (1 - s) b in the first key, and will be at
    place + (1 - s) v + s (1 - s) b in the second; so each key is drawn as it is at its own moment.

    Args:
        before, after: the keys (B, 3, H, W).
        motion: (B, 4, rows, w): v and b, each (x, y) in the keys' pixels.
        shares: (B,) s.
        rows: rows that are drawn, of `height`.
        height: height of the whole picture; its width is that of `motion`.
    """
    width, size = motion.shape[3], (before.shape[3], before.shape[2])
    s = shares.view(-1, 1, 1, 1)
    scale = torch.tensor([2 / size[0], 2 / size[1]]).view(1, 2, 1, 1)
    way, bend = motion[:, :2] * scale, s * (1 - s) * motion[:, 2:] * scale
    x = (2 * torch.arange(width) + 1) / width - 1
    y = (2 * torch.arange(rows.start, rows.stop) + 1) / height - 1
    place = torch.stack([x.expand(len(y), -1), y[:, None].expand(-1, width)])
    return torch.lerp(_sampled(before, place - s * way + bend), _sampled(after, place + (1 - s) * way + bend), s)


def _sampled(pictures: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Pictures (B, c, H, W) at places (B, 2, h, w) from -1 to 1, linear between pixels; edges go on beyond."""
    where = places.permute(0, 2, 3, 1)
    return functional.grid_sample(pictures, where, mode="bilinear", padding_mode="border", align_corners=False)


def between(grid: torch.Tensor, time: float) -> torch.Tensor:
    """Interpolate a grid (t, c, r, k) at a moment in [0, 1] to (c, r, k)."""
    last = len(grid) - 1
    below, share = place(time, last)
    return grid[below] if share == 0 else torch.lerp(grid[below], grid[min(below + 1, last)], share)


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


def _through(layer: nn.Linear, values: torch.Tensor) -> torch.Tensor:
    """A layer of (B, inputs, N) to (B, outputs, N)."""
    weight = layer.weight.expand(len(values), -1, -1)  # matmul would copy the values
    return torch.bmm(weight, values) if layer.bias is None else torch.baddbmm(layer.bias[:, None], weight, values)


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
