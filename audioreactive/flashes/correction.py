"""The correction of a frame: dimming and paler reds, both smooth over the picture.

A correction has a value for each knot of a coarse grid. Between the knots, values are interpolated with smooth weights
that depend only on the position, are positive and sum to 1. So a bound that holds for all knots around a pixel holds
for the pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive.flashes.definition import LIGHT, luminance, to_codes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from audioreactive.flashes.definition import Light

KNOT_CELLS: Final = 8
"""Distance between knots in cells, about four degrees."""
PALEST: Final = 0.75
"""Largest share R / (R + G + B) of a corrected red, a little below that of a saturated red."""


def knots(cells: tuple[int, int]) -> tuple[int, int]:
    """(rows, columns) of knots for this number of cells."""
    return max(round(cells[0] / KNOT_CELLS), 1), max(round(cells[1] / KNOT_CELLS), 1)


@lru_cache(maxsize=16)
def weights(points: int, count: int) -> Light:
    """Weights (points, count) of each knot at the middle of each of `points` positions along a side."""
    place = np.clip((np.arange(points) + 0.5) * count / points - 0.5, 0, count - 1)
    near = np.clip(1 - np.abs(place[:, None] - np.arange(count)), 0, 1)
    # Smoothstep: w(d) + w(1 - d) = 1, level at both ends.
    table: Light = (near * near * (3 - 2 * near)).astype(np.float32)
    table.flags.writeable = False
    return table


def spread(grid: Light, height: int, width: int) -> Light:
    """Interpolate knots (rows, columns) to (height, width)."""
    down, across = weights(height, grid.shape[0]), weights(width, grid.shape[1])
    return np.asarray(down @ grid @ across.T, np.float32)


def paled(light: Light, amount: Light) -> Light:
    """Reds beyond `PALEST` mixed with grey of their own luminance, no further than they must; others are as they were.

    Args:
        light: (..., 3) linear.
        amount: (...) in [0, 1]: 1 brings every red down to `PALEST`.
    """
    level = luminance(light)
    beyond = np.maximum(light[..., 0] - np.float32(PALEST) * light.sum(-1), 0)
    # Solves R' = PALEST (R' + G' + B') for the share of grey, with c' = c + share (level - c).
    share = amount * beyond / (beyond + np.float32(3 * PALEST - 1) * level + np.float32(1e-9))
    mixed: Light = light + share[..., None] * (level[..., None] - light)
    return mixed


@dataclass(frozen=True, eq=False)
class Passage:
    """Corrections of successive frames."""

    start: int
    gain: Light
    """Factor of the light at each knot, in [0, 1], shape (n, rows, columns)."""
    pallor: Light
    """Strength of the desaturation of reds at each knot, in [0, 1], shape (n, rows, columns)."""

    @property
    def stop(self) -> int:
        """One past the last frame."""
        return self.start + len(self.gain)

    def correct_light(self, index: int, light: Light) -> Light:
        """Corrected linear light (H, W, 3) of a frame or of its cells."""
        gain, pallor = self.gain[index - self.start], self.pallor[index - self.start]
        height, width = light.shape[:2]
        if pallor.any():
            light = paled(light, spread(pallor, height, width))
        if (gain < 1).any():
            light = light * spread(gain, height, width)[..., None]
        return light

    def changes(self, index: int) -> bool:
        """Whether this frame is changed."""
        i = index - self.start
        return 0 <= i < len(self.gain) and bool(self.pallor[i].any() or (self.gain[i] < 1).any())


def correct_frame(frame: NDArray[np.uint8], index: int, passage: Passage) -> NDArray[np.uint8]:
    """Correct a frame (H, W, 3) sRGB; pixels without a change keep their exact value."""
    import cv2

    return to_codes(passage.correct_light(index, np.asarray(cv2.LUT(frame, LIGHT), np.float32)))
