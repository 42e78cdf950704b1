"""The number of transitions in the last second, in any ten degrees of the picture.

A second is any interval (t - 1, t], not only a whole second.

A part of the picture breaks the rule in either of two ways:

- alone: more than a quarter of its cells had more than six transitions each;
  - together: more than three times, more than a quarter of its cells ended a flash (their second, fourth, ...
    transition) at once, with different cells each time. "At once" is within a twelfth of a second, because the light of
    a flash rarely falls everywhere in the same frame.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive.flashes.definition import AREA, FLASHES, ROUNDING, SECOND, TRANSITIONS, Geometry, luminance, to_light
from audioreactive.flashes.measure import measure
from audioreactive.flashes.transitions import RedSwings, Swings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from audioreactive.flashes.definition import Light

    Mask = NDArray[np.bool_]
    Counts = NDArray[np.int32]

TOGETHER: Final = 1 / 12
"""Interval in seconds within which flashes in different places count as one flash."""
_TIE: Final = 1e-6
"""Tolerance in seconds for the rounding of times: a frame exactly one second ago is not part of the last second."""


@dataclass(frozen=True)
class Excess:
    """Too many transitions in the second that ends with a frame."""

    since: int
    """Frame with the first transition of that second."""
    until: int
    """Frame with the last transition of that second."""
    cells: Mask
    """Cells that made these transitions, shape (rows, columns)."""


@dataclass(frozen=True)
class Count:
    """Count of one kind of flash in the second that ends with a frame."""

    transitions: int
    """Largest number of transitions in more than a quarter of any ten degrees, or of the whole picture."""
    excess: Excess | None
    """The cells and frames, if there were more than six; else None."""


@dataclass(frozen=True)
class Moment:
    """Counts of the second that ends with a frame."""

    general: Count
    red: Count


class FlashMeter:
    """Counts flashes in a stream of thumbnails; keeps the last second in memory.

    Args:
        geometry: geometry of the thumbnails.
        margin: amount by which the thresholds of a transition are lower than in the standard.
    """

    def __init__(self, geometry: Geometry, margin: float = ROUNDING) -> None:
        cells = geometry.cells[0] * geometry.cells[1]
        self._brightness, self._redness = Swings(cells, margin), RedSwings(cells, margin)
        self._general, self._red = _Tally(geometry), _Tally(geometry)

    def push(self, light: Light, times: Sequence[float]) -> list[Moment]:
        """Add thumbnails and return the counts of the second that ends with each of them.

        Args:
            light: (n, rows, columns, 3) linear. The division into calls does not change the result.
            times: times in seconds from which the n frames are shown.
        """
        general, red = self._turns(light)
        counts = zip(self._general.counts(general, times), self._red.counts(red, times), strict=True)
        return [Moment(*pair) for pair in counts]

    def excesses(self, light: Light, times: Sequence[float]) -> list[tuple[Excess | None, Excess | None]]:
        """Add thumbnails and return only the excesses (general, red) of each; faster than `push`."""
        general, red = self._turns(light)
        return list(zip(self._general.excesses(general, times), self._red.excesses(red, times), strict=True))

    def _turns(self, light: Light) -> tuple[Mask, Mask]:
        cells = light.reshape(len(light), -1, 3)
        return self._brightness.push(luminance(cells)), self._redness.push(cells)


def most_flashes(frames: Iterable[NDArray[np.uint8]], fps: float) -> float:
    """Count the most flashes in any second of a film, general or red.

    Args:
        frames: pictures (H, W, 3) uint8 of one size.
        fps: frames per second.
    """
    most, meter = 0.0, None
    for index, frame in enumerate(frames):
        meter = meter or FlashMeter(Geometry.of(frame.shape[1], frame.shape[0]))
        for moment in meter.push(to_light(measure(frame[None])[0][None]), [index / fps]):
            most = max(most, moment.general.transitions / 2, moment.red.transitions / 2)
    return most


class _Tally:
    """Counts transitions of each cell and flashes of each field in the last second."""

    def __init__(self, geometry: Geometry) -> None:
        self._fields = _Fields(geometry)
        self._cells = geometry.cells
        self._index = -1
        self._count = Count(0, None)
        self._counts = np.zeros(geometry.cells, np.int32)
        self._recent: deque[tuple[float, int, Mask]] = deque()
        self._begun = np.full(geometry.cells, -np.inf)
        """Time of the first transition of each cell's current flash; -inf if there is none."""
        self._ended: deque[tuple[float, Mask]] = deque()
        self._flashes: Counts = np.zeros(self._fields.count, np.int32)
        self._recent_flashes: deque[tuple[float, Mask]] = deque()
        self._last_flash = np.full(self._fields.count, -np.inf)

    def counts(self, turns: Mask, times: Sequence[float]) -> Iterator[Count]:
        """Counts of the seconds up to each of these times, from transitions (n, cells)."""
        count = self._count
        for news in self._advance(turns, times):
            if news:
                most = max(self._alone(), 2 * int(self._flashes.max()))
                count = Count(most, self._excess() if most > TRANSITIONS else None)
            yield count
        self._count = count

    def excesses(self, turns: Mask, times: Sequence[float]) -> Iterator[Excess | None]:
        """Excesses of the seconds up to each of these times, from transitions (n, cells)."""
        excess = self._count.excess
        for news in self._advance(turns, times):
            if news:
                excess = self._excess()
            yield excess
        self._count = Count(0, excess)

    def _advance(self, turns: Mask, times: Sequence[float]) -> Iterator[bool]:
        """For each frame, whether the content of the last second has changed."""
        for turn, time in zip(turns, times, strict=True):
            self._index += 1
            news = self._forget(time)
            if turn.any():
                cells = turn.reshape(self._cells)
                self._recent.append((time, self._index, cells))
                self._counts += cells
                self._count_together(cells, time)
                news = True
            yield news

    def _excess(self) -> Excess | None:
        """The excess of the last second, or None."""
        cells = np.zeros(self._cells, bool)
        if self._flashes.max() > FLASHES:
            cells |= self._fields.covered(self._flashes > FLASHES) & (self._counts > 0)
        if self._counts.max() > TRANSITIONS and (crowded := self._fields.over(self._counts > TRANSITIONS)).any():
            cells |= self._fields.covered(crowded) & (self._counts > TRANSITIONS)
        return Excess(self._recent[0][1], self._recent[-1][1], cells) if cells.any() else None

    def _forget(self, time: float) -> bool:
        """Remove transitions that are more than a second old; return whether there were any."""
        second, news = time - SECOND + _TIE, False
        while self._recent and self._recent[0][0] <= second:
            self._counts -= self._recent.popleft()[2]
            news = True
        while self._recent_flashes and self._recent_flashes[0][0] <= second:
            self._flashes -= self._recent_flashes.popleft()[1]
            news = True
        while self._ended and self._ended[0][0] <= time - TOGETHER + _TIE:
            self._ended.popleft()
        return news

    def _alone(self) -> int:
        """Largest number of transitions that more than a quarter of the cells of a field had each."""
        most = 0
        while self._fields.over(self._counts > most).any():
            most += 1
        return most

    def _count_together(self, cells: Mask, time: float) -> None:
        ended = cells & (self._begun > time - SECOND + _TIE)
        self._begun = np.where(ended, -np.inf, np.where(cells, time, self._begun))
        if not ended.any():
            return
        self._ended.append((time, ended))
        area = np.logical_or.reduce([mask for _, mask in self._ended])
        flash = self._fields.over(area) & (self._last_flash <= time - TOGETHER + _TIE)
        if flash.any():
            self._recent_flashes.append((time, flash))
            self._flashes += flash
            self._last_flash[flash] = time


class _Fields:
    """All positions of a field of ten degrees in the picture; the last field is the whole picture."""

    def __init__(self, geometry: Geometry) -> None:
        self._cells, self._field = geometry.cells, geometry.field
        self._places = (self._cells[0] - self._field[0] + 1, self._cells[1] - self._field[1] + 1)
        self.count = self._places[0] * self._places[1] + 1

    def over(self, cells: Mask) -> Mask:
        """Fields of which more than a quarter of the cells are set, (rows, columns) -> (count,)."""
        limit = AREA * self._field[0] * self._field[1]
        fields = np.zeros(self.count, bool)
        total = np.count_nonzero(cells)
        if total > limit:
            fields[:-1] = (_box_sums(cells, self._field) > limit).ravel()
            fields[-1] = total > AREA * cells.size
        return fields

    def covered(self, fields: Mask) -> Mask:
        """Cells that lie in any of these fields, (count,) -> (rows, columns)."""
        if fields[-1]:
            return np.ones(self._cells, bool)
        rows, columns = self._field[0] - 1, self._field[1] - 1
        places = np.pad(fields[:-1].reshape(self._places), ((rows, rows), (columns, columns)))
        return _box_sums(places, self._field) > 0


def _box_sums(cells: Mask, box: tuple[int, int]) -> Counts:
    """Sum over a box at each position where it fits."""
    sums = np.zeros((cells.shape[0] + 1, cells.shape[1] + 1), np.int32)
    np.cumsum(np.cumsum(cells, axis=0, dtype=np.int32), axis=1, out=sums[1:, 1:])
    rows, columns = box
    inside: Counts = sums[rows:, columns:] - sums[:-rows, columns:] - sums[rows:, :-columns] + sums[:-rows, :-columns]
    return inside
