"""Grids of whole numbers to bytes and back, with a range coder.

A number is coded with a distribution that depends on the numbers near it that are known already. To know many of them
while many numbers are coded at once, a grid is coded in waves: even points of time, then odd ones; one channel after
the other; and cells along slanted lines, x + 2 y, so that those above, to the left and to the upper right are known.
The weighted mean magnitude of what is known (these neighbours, those in time, other channels, the next coarser grid)
chooses one of `CONTEXTS` tables.

A table has two bytes: the probability of 0, and the scale of a geometric distribution of the magnitudes. They become
probabilities by multiplications and divisions alone, which every machine rounds in the same way. zlib packs all tables
together.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from audioreactive.codec.grids import LARGEST_VALUE
from audioreactive.errors import CodecError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Numbers = NDArray[np.int32]

BOUNDS: Final = np.array([1, 2, 4, 7, 11, 16, 24, 36, 56, 96, 192, 512])
"""Bounds of the contexts, in sixteenths of a step."""
CONTEXTS: Final = len(BOUNDS) + 1
LARGEST_HEAD: Final = 2 + 2 * 2 * CONTEXTS + 1
"""More bytes than a grid's largest number and its tables take."""
SLANT: Final = 2
"""Steps to the right by which a wave is ahead of itself in the next row."""
BESIDE: Final = ((0, -1, 3), (-1, 0, 3), (-1, -1, 1), (-1, 1, 2), (0, -2, 1), (-2, 0, 1))
"""Steps (down, right) to the neighbours that are known, and their weights."""
IN_TIME: Final = ((0, 0, 4), (0, 1, 1), (1, 0, 1), (0, -1, 1), (-1, 0, 1))
"""The same for both neighbours in time of odd points."""
OTHER_CHANNEL: Final = 2
"""Weight of each channel of the same place that is known."""
COARSER: Final = 3
"""Weight of the number of the next coarser grid."""
MARGIN: Final = 2
"""Rows and columns of zeros around a grid, where its neighbours would be."""


@dataclass(frozen=True)
class _Wave:
    """Numbers that are coded together."""

    channel: int
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    contexts: NDArray[np.intp]
    """(t, n) table of each."""
    times: slice


LACKING: Final = "networks need one more package: pip install 'audioreactive[codec]'"


def range_coder() -> Any:
    """Import the range coder's package, which other parts of the program do not need.

    Raises:
        CodecError: it is not installed.
    """
    try:
        import constriction
    except ImportError as error:
        raise CodecError(LACKING) from error
    return constriction.stream


def encode(grids: Sequence[Numbers]) -> bytes:
    """Code grids (t, c, r, k), whose shapes and order the decoder knows."""
    coder = range_coder().queue.RangeEncoder()
    head = bytearray()
    coarser: Numbers | None = None
    for grid in grids:
        largest = int(np.abs(grid).max(initial=0))
        head += largest.to_bytes(2, "little")
        if largest:
            _encode_grid(grid, coarser, largest, coder, head)
        coarser = grid
    tables = zlib.compress(head, 9)
    return len(tables).to_bytes(4, "little") + tables + np.asarray(coder.get_compressed(), "<u4").tobytes()


def decode(data: bytes, shapes: Sequence[tuple[int, int, int, int]]) -> list[Numbers]:
    """Read grids of these shapes.

    Raises:
        CodecError: the bytes are not what `encode` writes for these shapes.
    """
    length = int.from_bytes(data[:4], "little")
    tables, rest = data[4 : 4 + length], data[4 + length :]
    if len(tables) != length or len(rest) % 4:
        raise CodecError("the numbers of the grids are cut off; get the file again")
    head = _unpacked(tables, len(shapes) * LARGEST_HEAD)
    coder = range_coder().queue.RangeDecoder(np.frombuffer(rest, "<u4").astype(np.uint32))
    reader = _Head(head)
    grids: list[Numbers] = []
    for shape in shapes:
        grid = np.zeros(shape, np.int32)
        largest = reader.number(2)
        if largest > LARGEST_VALUE:
            raise CodecError(f"the numbers of a grid go to {largest}, and may go to {LARGEST_VALUE}")
        if largest:
            _decode_grid(grid, grids[-1] if grids else None, largest, coder, reader)
        grids.append(grid)
    return grids


def _unpacked(data: bytes, most: int) -> bytes:
    """What zlib packed, up to `most` bytes."""
    unpacking = zlib.decompressobj()
    try:
        made = unpacking.decompress(data, most)
    except zlib.error as error:
        raise CodecError("the tables of the grids are damaged; get the file again") from error
    if not unpacking.eof or unpacking.unused_data:
        raise CodecError("the tables of the grids are too long or cut off; get the file again")
    return made


class _Head:
    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def number(self, size: int) -> int:
        piece = self._data[self._at : self._at + size]
        if len(piece) != size:
            raise CodecError("the tables of the grids are cut off; get the file again")
        self._at += size
        return int.from_bytes(piece, "little")


def _encode_grid(grid: Numbers, coarser: Numbers | None, largest: int, coder: Any, head: bytearray) -> None:
    parts = [
        (wave, grid[wave.times, wave.channel][:, wave.rows, wave.columns])
        for wave in _waves(np.abs(_framed(grid)), coarser, grid.shape)
    ]
    kinds = min(grid.shape[1], 2)
    counted = np.zeros((kinds, CONTEXTS, 3))
    for wave, values in parts:
        size, kind = np.abs(values).ravel(), min(wave.channel, 1)
        places = wave.contexts.ravel()
        for column, weights in enumerate((None, size > 0, size)):
            counted[kind, :, column] += np.bincount(places, weights, CONTEXTS)
    counted[:, :, 2] -= counted[:, :, 1]
    tables: list[list[object]] = []
    for kind in range(kinds):
        row = [_fitted(*counted[kind, context]) for context in range(CONTEXTS)]
        head += bytes(number for table in row for number in table)
        tables.append([_model(table, largest) for table in row])
    for wave, values in parts:
        for context in np.unique(wave.contexts):
            symbols = values[wave.contexts == context].astype(np.int32) + largest
            coder.encode(symbols, tables[min(wave.channel, 1)][context])


def _decode_grid(grid: Numbers, coarser: Numbers | None, largest: int, coder: Any, head: _Head) -> None:
    kinds = min(grid.shape[1], 2)
    tables = [[_model((head.number(1), head.number(1)), largest) for _ in range(CONTEXTS)] for _ in range(kinds)]
    size = np.abs(_framed(grid))
    for wave in _waves(size, coarser, grid.shape):
        values = np.zeros(wave.contexts.shape, np.int32)
        for context in np.unique(wave.contexts):
            chosen = wave.contexts == context
            try:
                symbols = coder.decode(tables[min(wave.channel, 1)][context], int(chosen.sum()))
            except (AssertionError, ValueError) as error:
                raise CodecError("the numbers of the grids are damaged; get the file again") from error
            values[chosen] = np.asarray(symbols, np.int32) - largest
        _put(grid, size, wave, values)


def _put(grid: Numbers, size: Numbers, wave: _Wave, values: Numbers) -> None:
    """Write a wave's numbers into the grid, and their magnitudes into what later waves see."""
    grid[wave.times, wave.channel][:, wave.rows, wave.columns] = values
    size[wave.times, wave.channel][:, wave.rows + MARGIN, wave.columns + MARGIN] = np.abs(values)


def _fitted(count: float, some: float, beyond: float) -> tuple[int, int]:
    """The two bytes of a table for so many numbers, so many other than 0, and the sum of their magnitudes beyond 1."""
    zero = min(max(round(256 * (count - some + 0.4) / (count + 0.8) - 0.5), 0), 255)
    mean = beyond / some if some else 0.0
    return zero, min(max(round((max(mean - 0.02, 0) * 128) ** 0.5), 0), 255)


def _model(table: tuple[int, int], largest: int) -> object:
    """The distribution of numbers from -largest to largest."""
    zero = (table[0] + 0.5) / 256
    scale = 0.02 + table[1] * table[1] / 128
    falls = np.full(largest, scale / (1 + scale))
    falls[0] = (1 - zero) / 2
    side = np.maximum(np.multiply.accumulate(falls), 1e-7)
    weights = np.concatenate([side[::-1], [zero], side])
    return range_coder().model.Categorical(weights, perfect=False)


def _framed(grid: Numbers) -> Numbers:
    return np.pad(grid, ((0, 0), (0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)))


def _waves(size: Numbers, coarser: Numbers | None, shape: tuple[int, ...]) -> Iterator[_Wave]:
    """Yield what is coded together, in order.

    Args:
        size: magnitudes of the grid within a margin; those of later waves are not looked at.
        coarser: the next coarser grid.
        shape: (t, c, r, k) of the grid.
    """
    times, channels, rows, columns = shape
    parent = _parent(coarser, shape)
    lines = [_line(wave, rows, columns) for wave in range(columns + SLANT * (rows - 1))]
    for first in range(min(times, 2)):
        part = slice(first, None, 2)
        for channel in range(channels):
            for down, right in lines:
                total, weight = _beside(size[part, channel], down, right)
                if first:
                    total, weight = _in_time(size[:, channel], total, weight, down, right)
                for other in range(channel):
                    total = total + OTHER_CHANNEL * size[part, other][:, down + MARGIN, right + MARGIN]
                    weight = weight + OTHER_CHANNEL
                if parent is not None:
                    total = total + COARSER * parent[part][:, down, right]
                    weight = weight + COARSER
                contexts = np.searchsorted(BOUNDS, 16 * total // weight, side="right")
                yield _Wave(channel, down, right, contexts, part)


def _line(wave: int, rows: int, columns: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the cells with x + 2 y = `wave`."""
    down = np.arange(max(-(-(wave - columns + 1) // SLANT), 0), min(wave // SLANT, rows - 1) + 1)
    return down, wave - SLANT * down


def _beside(size: Numbers, down: NDArray[np.intp], right: NDArray[np.intp]) -> tuple[Numbers, int]:
    total = np.zeros((len(size), len(down)), np.int32)
    for dy, dx, factor in BESIDE:
        total += factor * size[:, down + (MARGIN + dy), right + (MARGIN + dx)]
    return total, sum(factor for _, _, factor in BESIDE)


def _in_time(
    size: Numbers, total: Numbers, weight: int, down: NDArray[np.intp], right: NDArray[np.intp]
) -> tuple[Numbers, int]:
    """Add the neighbours in time of odd points, which have one before and mostly one behind them."""
    count = len(total)
    before, behind = size[0 : 2 * count : 2], size[2 : 2 * count + 1 : 2]
    if len(behind) < count:
        behind = np.concatenate([behind, before[len(behind) :]])
    for dy, dx, factor in IN_TIME:
        place = down + (MARGIN + dy), right + (MARGIN + dx)
        total = total + factor * (before[:, *place] + behind[:, *place])
    return total, weight + 2 * sum(factor for _, _, factor in IN_TIME)


def _parent(coarser: Numbers | None, shape: tuple[int, ...]) -> Numbers | None:
    """Magnitude of the coarser grid's first channel at each place of a grid of this shape, if it has the same times."""
    if coarser is None or len(coarser) != shape[0]:
        return None
    rows = np.arange(shape[2]) * coarser.shape[2] // shape[2]
    columns = np.arange(shape[3]) * coarser.shape[3] // shape[3]
    return np.abs(coarser[:, 0][:, rows][:, :, columns])
