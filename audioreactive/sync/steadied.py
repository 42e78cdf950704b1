"""Changes in a picture that are left when the camera's own movement is taken out.

A camera in a hand moves all of the picture a little from frame to frame, and what that changes drowns a small object's
own movement. So the last frame is first moved by the few pixels that explain the next one best.

Conventions: frames as in `seen`, at most `SIDE` pixels long; values in [0, 1].
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]
    Move = tuple[int, int]

MOST: Final = 2
"""Most pixels that a camera moves between two frames, of 64 in the picture's width, and left out at each edge."""
CLEARLY: Final = 0.9
"""Share of the difference that a movement must leave at most; else the camera is taken to stand."""
CLEAR_PIXEL: Final = 0.1
"""Difference from which on pixels count alike when movements are compared: what moves by itself has no say."""
CLEAR_CHANGE: Final = 0.06
"""Change of a pixel that counts as one."""
CELLS: Final = 8
"""Pixels of a cell's side: the strongest change of any cell finds a hit in a corner of a busy picture."""
STEADIED: Final = ("gain", "loss", "colour", "motion", "local", "jerk", "light", "back", "top", "share")
"""Names of the measurements: pixels that brighten; that darken; change of colour; any change; the largest one of a
cell; second differences; change of the mean brightness; change from the last frame but one, which is small where a
movement turns back; mean of the hundredth of the pixels that change most; share of the pixels that change clearly."""
_WEIGHTS: Final = np.array([0.2126, 0.7152, 0.0722], np.float32)


class SteadyMeter:
    """Measures frames (H, W, 3) float32 one after the other; keeps the last two."""

    def __init__(self) -> None:
        self._last: FloatArray | None = None
        self._light: FloatArray | None = None
        self._before: FloatArray | None = None
        self._difference: FloatArray | None = None
        self._move: Move = (0, 0)

    def measure(self, picture: FloatArray) -> tuple[float, ...]:
        """Measurements of the next frame, in the order of `STEADIED`; zeros for the first one."""
        light: FloatArray = np.asarray(picture @ _WEIGHTS, np.float32)
        if self._last is None or self._light is None or min(light.shape) <= 2 * MOST:
            self._last, self._light = picture, light
            return (0.0,) * len(STEADIED)
        move = camera_move(self._light, light)
        change: FloatArray = _inner(picture) - _moved(self._last, move)
        bright: FloatArray = np.asarray(change @ _WEIGHTS, np.float32)
        size = np.abs(bright)
        back, jerk = float(size.mean()), 0.0
        if self._before is not None and self._difference is not None:
            both = move[0] + self._move[0], move[1] + self._move[1]
            both = max(min(both[0], MOST), -MOST), max(min(both[1], MOST), -MOST)
            back = float(np.abs(_inner(light) - _moved(self._before, both)).mean())
            jerk = float(np.abs(bright - self._difference).mean())
        most = max(size.size // 100, 1)
        row = (
            float(np.maximum(bright, 0).mean()),
            float(np.maximum(-bright, 0).mean()),
            float(np.abs(change - bright[..., None]).mean()),
            float(size.mean()),
            float(cell_means(size).max()),
            jerk,
            float(bright.mean()),
            back,
            float(np.partition(size.ravel(), -most)[-most:].mean()),
            float((size > CLEAR_CHANGE).mean()),
        )
        self._before, self._move, self._difference = self._light, move, bright
        self._last, self._light = picture, light
        return row


def camera_move(last: FloatArray, now: FloatArray) -> Move:
    """Pixels (down, right) by which all of a picture (H, W) has moved, up to `MOST`; found step by step."""
    target = _inner(now)

    def left(move: Move) -> float:
        return float(np.minimum(np.abs(target - _moved(last, move)), CLEAR_PIXEL).sum())

    best: Move = (0, 0)
    tried = {best: left(best)}
    standing = tried[best]
    while True:
        for down, right in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            move = best[0] + down, best[1] + right
            if max(abs(move[0]), abs(move[1])) <= MOST and move not in tried:
                tried[move] = left(move)
        better = min(tried, key=lambda move: tried[move])
        if better == best:
            return best if tried[best] < CLEARLY * standing else (0, 0)
        best = better


def cell_means(change: FloatArray) -> FloatArray:
    """Mean of each cell of CELLS² pixels; what is left at the edges counts with the last cell that is whole."""
    height, width = (max(side // CELLS, 1) for side in change.shape)
    rows = np.add.reduceat(change, np.arange(height) * (change.shape[0] // height), axis=0)
    sums = np.add.reduceat(rows, np.arange(width) * (change.shape[1] // width), axis=1)
    return np.asarray(sums / CELLS**2, np.float32)


def _inner(picture: FloatArray) -> FloatArray:
    return picture[MOST:-MOST, MOST:-MOST]


def _moved(picture: FloatArray, move: Move) -> FloatArray:
    """What `_inner` shows of a picture that has moved."""
    height, width = picture.shape[:2]
    return picture[MOST - move[0] : height - MOST - move[0], MOST - move[1] : width - MOST - move[1]]
