"""Frames -> thumbnails, in which a cell has the mean light of its pixels: all that the rules are measured on.

A thumbnail has at most 64 x 48 cells: seven kilobytes for a square frame, six hundred megabytes for an hour, which may
stay in files: nothing here needs them in memory.
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
"""That a cell has at least on each side, where its frame has as many: a cell is half a degree."""
_MOST_VALUES: Final = 3 << 25
"""Of a frame that is turned into light at once: 400 MB of it, 33 million pixels, which is 8K video."""
BLOCK: Final = 16
"""Frames that are looked at in one go: enough for Python to be no burden, and few enough for most cells to be still."""


def watched_size(size: tuple[int, int]) -> tuple[int, int]:
    """(width, height) to which frames may be shrunk before they are measured, by a whole factor where there is one.

    A pixel is then a tenth of a degree, below which the standard lets fine patterns pass: what was averaged in it as
    codes, and not as light, is nothing that counts.
    """
    rows, columns = Geometry.of(*size).cells
    factor = max(min(size[0] // columns, size[1] // rows) // PIXELS, 1)
    return max(round(size[0] / factor), 1), max(round(size[1] / factor), 1)


def measure(frames: NDArray[np.uint8], geometry: Geometry | None = None) -> NDArray[np.uint8]:
    """(n, H, W, 3) sRGB -> (n, rows, columns, 3) sRGB: the mean of the linear light of each cell.

    Args:
        frames: as they are shown, or shrunk to `watched_size`.
        geometry: of frames that were not shrunk; None: of these.
    """
    import cv2

    rows, columns = (geometry or Geometry.of(frames.shape[2], frames.shape[1])).cells
    thumbnails = np.empty((len(frames), rows, columns, 3), np.uint8)
    for frame, thumbnail in zip(frames, thumbnails, strict=True):
        light = cv2.resize(_light(frame, columns), (columns, rows), interpolation=cv2.INTER_AREA)
        thumbnail[:] = to_codes(np.asarray(light, np.float32))
    return thumbnails


def _light(frame: NDArray[np.uint8], columns: int) -> NDArray[np.float32]:
    """The light of a frame, (H, W, 3); of a large one, (H, columns, 3): four bytes for each value would be gigabytes.

    The mean over a cell is that of the means of its rows.
    """
    import cv2

    if frame.size <= _MOST_VALUES:
        return np.asarray(cv2.LUT(frame, LIGHT), np.float32)
    height = max(_MOST_VALUES // frame[0].size, 1)
    strips = (cv2.LUT(frame[first : first + height], LIGHT) for first in range(0, len(frame), height))
    return np.concatenate([cv2.resize(s, (columns, len(s)), interpolation=cv2.INTER_AREA) for s in strips])


class Thumbnails:
    """The thumbnails of a video in one row, whose parts may be arrays or mapped files.

    Args:
        parts: (n_i, rows, columns, 3) uint8 each, in order: what `measure` gave for one stretch of frames and the next.
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
        """(n, rows, columns, 3) of frames start to stop - 1."""
        start, stop, _ = frames.indices(len(self))
        pieces = [
            part[max(start - first, 0) : stop - first]
            for part, (first, end) in zip(self._parts, pairwise(self._starts), strict=True)
            if start < end and first < stop
        ]
        return np.concatenate(pieces) if pieces else np.empty((0, *self.geometry.cells, 3), np.uint8)

    def blocks(self) -> Iterator[NDArray[np.uint8]]:
        """All of them, (n, rows, columns, 3) at a time."""
        for start in range(0, len(self), BLOCK):
            yield self[start : start + BLOCK]
