"""Thumbnails of frames, in which each cell has the mean light of its pixels. All rules are measured on them.

A thumbnail has at most 64 x 48 cells: seven kilobytes for a square frame, 600 megabytes for an hour of video, which may
stay in files.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive.flashes.definition import LIGHT, Geometry, to_codes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

PIXELS: Final = 5
"""Fewest pixels on each side of a cell (half a degree) after frames are shrunk."""
_MOST_VALUES: Final = 3 << 25
"""Most values of a frame that are converted to light at once: 33 million pixels (8K video), which take 400 MB."""
BLOCK: Final = 16
"""Frames in a block: enough to make Python's overhead small, and few enough that most cells hardly change."""


def watched_size(size: tuple[int, int]) -> tuple[int, int]:
    """(width, height) to which frames may be shrunk before they are measured, if possible by an integer factor.

    A pixel is then a tenth of a degree. The standard ignores finer patterns, so it does not matter that shrinking
    averages sRGB values instead of light.
    """
    rows, columns = Geometry.of(*size).cells
    factor = max(min(size[0] // columns, size[1] // rows) // PIXELS, 1)
    return max(round(size[0] / factor), 1), max(round(size[1] / factor), 1)


def measure(frames: NDArray[np.uint8], geometry: Geometry | None = None) -> NDArray[np.uint8]:
    """Thumbnails (n, rows, columns, 3) sRGB of frames (n, H, W, 3) sRGB: the mean linear light of each cell.

    Args:
        frames: frames in full size, or shrunk to `watched_size`.
        geometry: geometry of the frames in full size; None: these frames are in full size.
    """
    import cv2

    rows, columns = (geometry or Geometry.of(frames.shape[2], frames.shape[1])).cells
    thumbnails = np.empty((len(frames), rows, columns, 3), np.uint8)
    for frame, thumbnail in zip(frames, thumbnails, strict=True):
        light = cv2.resize(_light(frame, columns), (columns, rows), interpolation=cv2.INTER_AREA)
        thumbnail[:] = to_codes(np.asarray(light, np.float32))
    return thumbnails


def _light(frame: NDArray[np.uint8], columns: int) -> NDArray[np.float32]:
    """Light of a frame, (H, W, 3). For a large frame it is averaged to (H, columns, 3) in strips, to save memory.

    That does not change the mean of a cell, which is the mean over its rows.
    """
    import cv2

    if frame.size <= _MOST_VALUES:
        return np.asarray(cv2.LUT(frame, LIGHT), np.float32)
    height = max(_MOST_VALUES // frame[0].size, 1)
    strips = (cv2.LUT(frame[first : first + height], LIGHT) for first in range(0, len(frame), height))
    return np.concatenate([cv2.resize(s, (columns, len(s)), interpolation=cv2.INTER_AREA) for s in strips])


class Thumbnails:
    """A sequence of thumbnails of a video, in parts that may be arrays or memory-mapped files.

    Args:
        parts: results of `measure` for successive frames, (n_i, rows, columns, 3) uint8 each.
        size: (width, height) of the frames that were measured.
    """

    def __init__(self, parts: Sequence[NDArray[np.uint8]], size: tuple[int, int]) -> None:
        self.geometry = Geometry.of(*size)
        self._parts = tuple(parts)
        for part in self._parts:
            if part.shape[1:] != (*self.geometry.cells, 3) or part.dtype != np.uint8:
                raise ValueError(f"thumbnails of {size} are (n, {self.geometry.cells}, 3) uint8, not {part.shape}")
        self._starts = np.cumsum([0, *(len(part) for part in self._parts)]).tolist()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, frames: slice) -> NDArray[np.uint8]:
        """Thumbnails (n, rows, columns, 3) of frames start to stop - 1."""
        start, stop, _ = frames.indices(len(self))
        pieces = [
            part[max(start - first, 0) : stop - first]
            for part, (first, end) in zip(self._parts, pairwise(self._starts), strict=True)
            if start < end and first < stop
        ]
        return np.concatenate(pieces) if pieces else np.empty((0, *self.geometry.cells, 3), np.uint8)

    def blocks(self) -> Iterator[NDArray[np.uint8]]:
        """All thumbnails in blocks (n, rows, columns, 3)."""
        for start in range(0, len(self), BLOCK):
            yield self[start : start + BLOCK]
