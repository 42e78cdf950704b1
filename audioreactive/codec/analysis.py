"""A clip's pyramid, with which a fit begins: how much light and colour there is on each grid's scale.

Coarse grids are computed first, and each finer one from what is left, as in a Laplacian pyramid (Burt and Adelson
1983), first over the slow grids and then over those with a point for each frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from audioreactive.codec.grids import LARGEST_VALUE, between, enlarged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from audioreactive.codec.grids import Level

TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))
"""From lightness and two colour differences to red, green and blue (ITU-R BT.601)."""


@dataclass(frozen=True)
class Pyramid:
    """Parts of a clip by scale, one for each grid, in units of the full scale."""

    parts: list[torch.Tensor]
    """For each level (t, c, r, k)."""
    steps: list[float]
    """Step of each level's numbers in units of the finest one's: a coarse one changes many pixels, so it is smaller by
    the square root of their number."""

    def weights(self, finest: float) -> torch.Tensor:
        """Weights (3, channels) that add steps up to colours."""
        pieces = [
            torch.tensor(TO_RGB)[:, : part.shape[1]] * step * finest
            for part, step in zip(self.parts, self.steps, strict=True)
        ]
        return torch.cat(pieces, 1)

    def numbers(self, finest: float) -> list[torch.Tensor]:
        """Parts in units of their steps, within the bounds of a grid's numbers."""
        return [
            (part / (step * finest)).clamp(-LARGEST_VALUE, LARGEST_VALUE)
            for part, step in zip(self.parts, self.steps, strict=True)
        ]


def analyse(frames: NDArray[np.uint8], levels: Sequence[Level]) -> Pyramid:
    """Compute a clip's pyramid."""
    count, height, width, _ = frames.shape
    from_rgb = torch.tensor(TO_RGB).inverse()
    left = torch.empty(count, 3, height, width)
    for i in range(count):
        left[i] = torch.einsum("kc,hwc->khw", from_rgb, torch.from_numpy(frames[i]).float() / 255)
    left[:, 0] -= 0.5
    parts, steps = [], []
    for level in levels:
        found = _slices(left, level)
        for i in range(count):
            seen = enlarged(between(found, [i / max(count - 1, 1)]), (height, width))[0]
            left[i, : level.channels] -= seen
        cells = height * width / (level.rows * level.columns) * count / level.times
        parts.append(found)
        steps.append(cells**-0.5)
    return Pyramid(parts, steps)


def _slices(left: torch.Tensor, level: Level) -> torch.Tensor:
    """Averages (t, c, r, k) of what is left around each point of a grid."""
    count = len(left)
    small = functional.interpolate(left[:, : level.channels], (level.rows, level.columns), mode="area")
    if level.times == count:
        return small
    at = np.linspace(0, count - 1, level.times)
    near = torch.from_numpy(np.maximum(1 - np.abs(at[:, None] - np.arange(count)) / (at[1] - at[0]), 0)).float()
    # The least squares of lines between the points.
    gram = near @ near.T + 1e-3 * torch.eye(level.times)
    solved: torch.Tensor = torch.linalg.solve(gram, near @ small.flatten(1))
    return solved.view(level.times, *small.shape[1:])
