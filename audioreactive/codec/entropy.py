"""Grids of whole numbers to bytes and back, with a range coder.

A number is coded with a distribution that depends on the numbers near it that are known already. To know many of them
while whole arrays are coded at once, a grid is coded in turns: even points of time, then odd ones; in each the four
classes of cells of a checkerboard of pairs; in each one channel after the other. The weighted mean magnitude of what is
known (neighbours in the picture and in time, other channels, the next coarser grid) chooses one of `CONTEXTS` tables.

A table has two bytes: the probability of 0, and the scale of a geometric distribution of the magnitudes. They become
probabilities by multiplications and divisions alone, which every machine rounds in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import constriction
import numpy as np

from audioreactive.codec.grids import LARGEST_VALUE
from audioreactive.errors import CodecError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Numbers = NDArray[np.int32]

BOUNDS: Final = np.array([1, 2, 4, 7, 11, 16, 24, 36, 56, 96, 192, 512])
"""Bounds of the contexts, in sixteenths of a step."""
CONTEXTS: Final = len(BOUNDS) + 2
"""Classes of what is near; the last is for numbers near which nothing is known."""
TURNS: Final = tuple((t, y, x) for t in (0, 1) for y, x in ((0, 0), (1, 1), (0, 1), (1, 0)))
NEAR: Final = (
    *((0, y, x, 2 if 0 in (y, x) else 1) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)),
    (-1, 0, 0, 3),
    (1, 0, 0, 3),
)
"""Steps in time and picture to the neighbours, and their weights."""
OTHER_CHANNEL: Final = 1
"""Weight of each channel of the same place that is known."""
COARSER: Final = 2
"""Weight of the number of the next coarser grid."""
TABLE_BYTES: Final = 2


@dataclass
class _Turn:
    """Numbers that are coded together: a view of them, and the table of each."""

    channel: int
    where: tuple[slice, slice, slice]
    contexts: NDArray[np.intp]


def encode(grids: Sequence[Numbers]) -> bytes:
    """Code grids (t, c, r, k), whose shapes and order the decoder knows."""
    coder = constriction.stream.queue.RangeEncoder()
    head = bytearray()
    coarser: Numbers | None = None
    for grid in grids:
        largest = int(np.abs(grid).max(initial=0))
        head += largest.to_bytes(2, "little")
        if largest:
            _encode_grid(grid, coarser, largest, coder, head)
        coarser = grid
    return len(head).to_bytes(4, "little") + bytes(head) + np.asarray(coder.get_compressed(), "<u4").tobytes()


def decode(data: bytes, shapes: Sequence[tuple[int, int, int, int]]) -> list[Numbers]:
    """Read grids of these shapes.

    Raises:
        CodecError: the bytes are not what `encode` writes for these shapes.
    """
    length = int.from_bytes(data[:4], "little")
    head, rest = data[4 : 4 + length], data[4 + length :]
    if len(head) != length or len(rest) % 4:
        raise CodecError("the numbers of the grids are cut off; get the file again")
    coder = constriction.stream.queue.RangeDecoder(np.frombuffer(rest, "<u4").astype(np.uint32))
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


class _Head:
    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def number(self, size: int) -> int:
        piece = self._data[self._at : self._at + size]
        if len(piece) != size:
            raise CodecError("the tables of the grids are cut off; get the file again")
        self._at += size
        return int.from_bytes(piece, "little")


def _encode_grid(
    grid: Numbers, coarser: Numbers | None, largest: int, coder: constriction.stream.queue.RangeEncoder, head: bytearray
) -> None:
    turns = [(turn, grid[turn.where[0], turn.channel, turn.where[1], turn.where[2]]) for turn in _turns(grid, coarser)]
    kinds = min(grid.shape[1], 2)
    counted = [[np.zeros(3) for _ in range(CONTEXTS)] for _ in range(kinds)]
    for turn, values in turns:
        size, kind = np.abs(values), min(turn.channel, 1)
        for context in np.unique(turn.contexts):
            chosen = size[turn.contexts == context]
            some = int((chosen > 0).sum())
            counted[kind][context] += (len(chosen), some, int(chosen.sum()) - some)
    tables: list[list[object]] = []
    for kind in range(kinds):
        row = [_fitted(*counted[kind][context]) for context in range(CONTEXTS)]
        head += bytes(number for table in row for number in table)
        tables.append([_model(table, largest) for table in row])
    for turn, values in turns:
        for context in np.unique(turn.contexts):
            symbols = values[turn.contexts == context].astype(np.int32) + largest
            coder.encode(symbols, tables[min(turn.channel, 1)][context])


def _decode_grid(
    grid: Numbers, coarser: Numbers | None, largest: int, coder: constriction.stream.queue.RangeDecoder, head: _Head
) -> None:
    kinds = min(grid.shape[1], 2)
    tables = [
        [_model((head.number(1), head.number(1)), largest) for _ in range(CONTEXTS)] for _ in range(kinds)
    ]  # fmt: skip
    for turn in _turns(grid, coarser):
        values = grid[turn.where[0], turn.channel, turn.where[1], turn.where[2]]
        for context in np.unique(turn.contexts):
            chosen = turn.contexts == context
            try:
                symbols = coder.decode(tables[min(turn.channel, 1)][context], int(chosen.sum()))
            except (AssertionError, ValueError) as error:
                raise CodecError("the numbers of the grids are damaged; get the file again") from error
            values[chosen] = np.asarray(symbols, np.int32) - largest


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
    return constriction.stream.model.Categorical(weights, perfect=False)


def _turns(grid: Numbers, coarser: Numbers | None) -> Iterator[_Turn]:
    """Yield what is coded together, in order; a turn's contexts see the numbers of `grid` at the time of the yield."""
    times, channels, rows, columns = grid.shape
    parent = _parent(coarser, grid.shape)
    for number, (t, y, x) in enumerate(TURNS):
        if t >= times or y >= rows or x >= columns:
            continue
        where = (slice(t, None, 2), slice(y, None, 2), slice(x, None, 2))
        for channel in range(channels):
            contexts = _contexts(grid, parent, number, where, channel)
            yield _Turn(channel, where, contexts)


def _contexts(
    grid: Numbers, parent: Numbers | None, number: int, where: tuple[slice, slice, slice], channel: int
) -> NDArray[np.intp]:
    size = np.abs(grid[:, channel])
    shape = size[where].shape
    total, weight = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    before = set(TURNS[:number])
    t, y, x = TURNS[number]
    for dt, dy, dx, factor in NEAR:
        if ((t + dt) % 2, (y + dy) % 2, (x + dx) % 2) not in before:
            continue
        theirs, ours = _shifted(size.shape, where, (dt, dy, dx), shape)
        total[ours] += factor * size[theirs]
        weight[ours] += factor
    for other in range(channel):
        total += OTHER_CHANNEL * np.abs(grid[:, other][where])
        weight += OTHER_CHANNEL
    if parent is not None:
        total += COARSER * parent[where]
        weight += COARSER
    mean = 16 * total // np.maximum(weight, 1)
    return np.where(weight > 0, np.searchsorted(BOUNDS, mean, side="right"), CONTEXTS - 1)


def _shifted(
    whole: tuple[int, ...], where: tuple[slice, slice, slice], by: tuple[int, int, int], shape: tuple[int, ...]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Where the neighbours of a turn's cells lie in the grid, and which of its cells have them."""
    theirs, ours = [], []
    for side, part, step, count in zip(whole, where, by, shape, strict=True):
        first = part.start + step
        skipped = 1 if first < 0 else 0
        last = part.start + step + 2 * (count - 1)
        kept = count - skipped - (1 if last >= side else 0)
        begin = first + 2 * skipped
        theirs.append(slice(begin, begin + 2 * kept - 1 if kept > 0 else begin, 2))
        ours.append(slice(skipped, skipped + max(kept, 0)))
    return tuple(theirs), tuple(ours)


def _parent(coarser: Numbers | None, shape: tuple[int, ...]) -> Numbers | None:
    """Magnitude of the coarser grid's first channel at each place of a grid of this shape, if it has the same times."""
    if coarser is None or len(coarser) != shape[0]:
        return None
    rows = np.arange(shape[2]) * coarser.shape[2] // shape[2]
    columns = np.arange(shape[3]) * coarser.shape[3] // shape[3]
    return np.abs(coarser[:, 0][:, rows][:, :, columns])
