"""Transitions of light over time, for each cell separately.

A transition is the step from a valley to the first frame that is `CHANGE` above it, or from a peak to the first frame
that is `CHANGE` below it; smaller changes between them do not count.

Frames are processed in blocks. In most blocks most cells can have no transition, because the range of their light in
the block, together with the last peak and valley, is smaller than a transition. A few operations on the whole block
find these cells; only the others are followed from frame to frame. The result is exact: all values that are subtracted
while following a cell lie within that range, and a difference of floats does not grow when its operands move closer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from audioreactive.flashes.definition import (
    CHANGE,
    CHROMA_CHANGE,
    DARK,
    RED_PRIMARY,
    SATURATED,
    chromaticity,
    is_saturated_red,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from audioreactive.flashes.definition import Light

    Mask = NDArray[np.bool_]


class Swings:
    """Transitions of luminance.

    Args:
        cells: number of cells.
        margin: amount by which a transition may be smaller than in the standard.
    """

    def __init__(self, cells: int, margin: float) -> None:
        self._step = np.float32(CHANGE - margin)
        self._low = np.full(cells, np.inf, np.float32)
        self._high = np.full(cells, -np.inf, np.float32)
        self._last = np.zeros(cells, np.int8)
        """Direction of the last transition of each cell: 1 up, -1 down, 0 none yet."""

    def push(self, levels: Light) -> Mask:
        """Luminance (n, cells) of the next frames -> whether a cell completes a transition with a frame, (n, cells)."""
        turns = np.zeros(levels.shape, bool)
        lowest, highest = levels.min(axis=0), levels.max(axis=0)
        low, high = np.minimum(self._low, lowest), np.maximum(self._high, highest)
        may_rise = (self._last != 1) & (highest - low >= self._step)
        may_fall = (self._last != -1) & (high - lowest >= self._step)
        restless = np.flatnonzero(may_rise | may_fall)
        low[restless], high[restless] = self._low[restless], self._high[restless]
        self._low, self._high = low, high
        if len(restless):
            turns[:, restless] = self._follow(levels[:, restless], restless)
        return turns

    def _follow(self, levels: Light, cells: NDArray[np.intp]) -> Mask:
        """Transitions of some cells, followed frame by frame."""
        low, high, last = self._low[cells], self._high[cells], self._last[cells]
        turns = np.empty(levels.shape, bool)
        for i, now in enumerate(levels):
            up = (last != 1) & (now - low >= self._step) & (low < DARK)
            down = (last != -1) & (high - now >= self._step) & (now < DARK) & ~up
            # After a fall only the valley matters, and after a rise only the peak; the other one restarts at the turn.
            low = np.where(down, now, np.minimum(low, now))
            high = np.where(up, now, np.maximum(high, now))
            last[up], last[down] = 1, -1
            turns[i] = up | down
        self._low[cells], self._high[cells], self._last[cells] = low, high, last
        return turns


class RedSwings:
    """Transitions to and from saturated red.

    A step is measured from the most distant state since the last transition: towards red, from the colour farthest from
    the red primary; away from red, from the saturated red nearest to it.

    Args:
        cells: number of cells.
        margin: amount by which a transition may be smaller than in the standard.
    """

    def __init__(self, cells: int, margin: float) -> None:
        self._step, self._share = np.float32(CHROMA_CHANGE - margin), SATURATED - margin
        # Colours are (2, cells), u' and v'; NaN before the first one, because no distance from NaN exceeds a limit.
        self._red = np.full((2, cells), np.nan, np.float32)
        self._red_distance = np.full(cells, np.inf, np.float32)
        self._other = np.full((2, cells), np.nan, np.float32)
        self._other_distance = np.full(cells, -np.inf, np.float32)
        self._last = np.zeros(cells, np.int8)
        """Direction of the last transition of each cell: 1 to red, -1 from red, 0 none yet."""

    def push(self, light: Light) -> Mask:
        """Light (n, cells, 3) of the next frames -> whether a cell completes a transition with a frame, (n, cells)."""
        red = is_saturated_red(light, self._share)
        colour = chromaticity(light)
        distance = _distance(colour, RED_PRIMARY[:, None, None])
        restless = self._restless(red, colour)
        self._rest(red, colour, distance, restless)
        turns = np.zeros(red.shape, bool)
        if len(restless):
            turns[:, restless] = self._follow(red[:, restless], colour[..., restless], distance[:, restless], restless)
        return turns

    def _restless(self, red: Mask, colour: Light) -> NDArray[np.intp]:
        """Cells that may have a transition: they are or were red, and their colours are far enough apart."""
        concerned = red.any(axis=0) | (np.isfinite(self._red_distance) & (self._last != -1))
        if not concerned.any():
            return np.flatnonzero(concerned)
        # fmin and fmax ignore NaN.
        least = np.fmin(np.fmin(colour.min(axis=1), self._red), self._other)
        most = np.fmax(np.fmax(colour.max(axis=1), self._red), self._other)
        return np.flatnonzero(concerned & (_distance(most, least) > self._step))

    def _rest(self, red: Mask, colour: Light, distance: Light, restless: NDArray[np.intp]) -> None:
        """Update the other cells by the farthest colour and the reddest red of the block, the first of equal ones."""
        reached = distance.max(axis=0)
        farther = reached > self._other_distance
        farther[restless] = False
        if (cells := np.flatnonzero(farther)).size:
            self._other[:, cells] = colour[:, distance[:, cells].argmax(axis=0), cells]
            self._other_distance[cells] = reached[cells]
        if red.any():
            of_red = np.where(red, distance, np.float32(np.inf))
            reached = of_red.min(axis=0)
            redder = reached < self._red_distance
            redder[restless] = False
            cells = np.flatnonzero(redder)
            self._red[:, cells] = colour[:, of_red[:, cells].argmin(axis=0), cells]
            self._red_distance[cells] = reached[cells]

    def _follow(self, reds: Mask, colours: Light, distances: Light, cells: NDArray[np.intp]) -> Mask:
        """Transitions of some cells, followed frame by frame."""
        last = self._last[cells]
        nearest, nearest_distance = self._red[:, cells], self._red_distance[cells]
        farthest, farthest_distance = self._other[:, cells], self._other_distance[cells]
        turns = np.empty(reds.shape, bool)
        for i, (red, distance) in enumerate(zip(reds, distances, strict=True)):
            colour = colours[:, i]
            to_red = (last != 1) & red & (_distance(colour, farthest) > self._step)
            from_red = (last != -1) & (_distance(colour, nearest) > self._step) & ~to_red
            redder = to_red | (red & (distance < nearest_distance))
            farther = from_red | (distance > farthest_distance)
            np.copyto(nearest, colour, where=redder)
            np.copyto(nearest_distance, distance, where=redder)
            np.copyto(farthest, colour, where=farther)
            np.copyto(farthest_distance, distance, where=farther)
            last[to_red], last[from_red] = 1, -1
            turns[i] = to_red | from_red
        self._last[cells] = last
        self._red[:, cells], self._red_distance[cells] = nearest, nearest_distance
        self._other[:, cells], self._other_distance[cells] = farthest, farthest_distance
        return turns


def _distance(a: Light, b: Light) -> Light:
    """Distance (...) of two colours, u' and v' (2, ...)."""
    across, up = a[0] - b[0], a[1] - b[1]
    squared: Light = across * across + up * up
    return np.sqrt(squared)
