"""Transitions -> how many of them any ten degrees of the picture saw in the last second.

A second is any second, not a whole one: the frames shown in (t - 1, t].

A stretch of the picture breaks the rule in either of two ways, both counted:

- alone: more than a quarter of its cells had more than six transitions each;
- together: more than three times more than a quarter of its cells ended a flash (their second, fourth, ... transition)
  at once, not the same cells each time. "At once" is within a twelfth of a second: the light of one flash rarely
  falls in one frame everywhere.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive.flashes.definition import AREA, FLASHES, ROUNDING, SECOND, TRANSITIONS, Geometry, luminance
from audioreactive.flashes.transitions import RedSwings, Swings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from audioreactive.flashes.definition import Light

    Mask = NDArray[np.bool_]
    Counts = NDArray[np.int32]

TOGETHER: Final = 1 / 12
"""Seconds within which flashes in different places are one flash."""
_TIE: Final = 1e-6
"""Seconds: the frame exactly one second ago has left the second, whatever the rounding of its time."""


@dataclass(frozen=True)
class Excess:
    """Too many transitions in the second that ends with a frame."""

    since: int
    """The frame with the first transition of that second."""
    until: int
    """The frame with its last one."""
    cells: Mask
    """(rows, columns): whose transitions they were."""


@dataclass(frozen=True)
class Count:
    """What one kind of flash did in the second that ends with a frame."""

    transitions: int
    """The most that any ten degrees of the picture, or its whole, saw over more than a quarter of them."""
    excess: Excess | None
    """Where there were more than six."""


@dataclass(frozen=True)
class Moment:
    """The second that ends with a frame."""

    general: Count
    red: Count


class FlashMeter:
    """Counts flashes in frames as they come; remembers a second.

    Args:
        geometry: of the thumbnails.
        margin: by how much each threshold of a transition is lower than the standard's.
    """

    def __init__(self, geometry: Geometry, margin: float = ROUNDING) -> None:
        cells = geometry.cells[0] * geometry.cells[1]
        self._brightness, self._redness = Swings(cells, margin), RedSwings(cells, margin)
        self._general, self._red = _Tally(geometry), _Tally(geometry)

    def push(self, light: Light, times: Sequence[float]) -> list[Moment]:
        """The next thumbnails: what the seconds that end with each of them held.

        Args:
            light: (n, rows, columns, 3) linear. In how many parts they come makes no difference but in time.
            times: n seconds, from which on they are shown.
        """
        general, red = self._turns(light)
        counts = zip(self._general.counts(general, times), self._red.counts(red, times), strict=True)
        return [Moment(*pair) for pair in counts]

    def excesses(self, light: Light, times: Sequence[float]) -> list[tuple[Excess | None, Excess | None]]:
        """The same for those who only ask where there are too many, general and red; it takes less time."""
        general, red = self._turns(light)
        return list(zip(self._general.excesses(general, times), self._red.excesses(red, times), strict=True))

    def _turns(self, light: Light) -> tuple[Mask, Mask]:
        cells = light.reshape(len(light), -1, 3)
        return self._brightness.push(luminance(cells)), self._redness.push(cells)


class _Tally:
    """Transitions of the last second, by cell; flashes of the last second, by field."""

    def __init__(self, geometry: Geometry) -> None:
        self._fields = _Fields(geometry)
        self._cells = geometry.cells
        self._index = -1
        self._count = Count(0, None)
        self._counts = np.zeros(geometry.cells, np.int32)
        self._recent: deque[tuple[float, int, Mask]] = deque()
        self._begun = np.full(geometry.cells, -np.inf)
        """When a cell made the first transition of a flash that it has not ended yet."""
        self._ended: deque[tuple[float, Mask]] = deque()
        self._flashes: Counts = np.zeros(self._fields.count, np.int32)
        self._recent_flashes: deque[tuple[float, Mask]] = deque()
        self._last_flash = np.full(self._fields.count, -np.inf)

    def counts(self, turns: Mask, times: Sequence[float]) -> Iterator[Count]:
        """(n, cells) transitions -> what the second up to each of these times held."""
        count = self._count
        for news in self._advance(turns, times):
            if news:
                most = max(self._alone(), 2 * int(self._flashes.max()))
                count = Count(most, self._excess() if most > TRANSITIONS else None)
            yield count
        self._count = count

    def excesses(self, turns: Mask, times: Sequence[float]) -> Iterator[Excess | None]:
        """(n, cells) transitions -> the same where there were too many."""
        excess = self._count.excess
        for news in self._advance(turns, times):
            if news:
                excess = self._excess()
            yield excess
        self._count = Count(0, excess)

    def _advance(self, turns: Mask, times: Sequence[float]) -> Iterator[bool]:
        """Frame after frame: whether the last second holds anything else than the one before."""
        for turn, any_turn, time in zip(turns, turns.any(axis=1).tolist(), times, strict=True):
            self._index += 1
            news = self._forget(time)
            if any_turn:
                cells = turn.reshape(self._cells)
                self._recent.append((time, self._index, cells))
                self._counts += cells
                self._count_together(cells, time)
            yield news or any_turn

    def _excess(self) -> Excess | None:
        """Whether the last second holds too many."""
        cells = np.zeros(self._cells, bool)
        if self._flashes.max() > FLASHES:
            cells |= self._fields.covered(self._flashes > FLASHES) & (self._counts > 0)
        if self._counts.max() > TRANSITIONS and (crowded := self._fields.over(self._counts > TRANSITIONS)).any():
            cells |= self._fields.covered(crowded) & (self._counts > TRANSITIONS)
        return Excess(self._recent[0][1], self._recent[-1][1], cells) if cells.any() else None

    def _forget(self, time: float) -> bool:
        """Drop what is more than a second old; whether there was something."""
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
        """The most transitions that more than a quarter of a field had each."""
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
    """All places of ten degrees of the visual field in the picture, and the whole picture as the last one."""

    def __init__(self, geometry: Geometry) -> None:
        self._cells, self._field = geometry.cells, geometry.field
        self._places = (self._cells[0] - self._field[0] + 1, self._cells[1] - self._field[1] + 1)
        self.count = self._places[0] * self._places[1] + 1

    def over(self, cells: Mask) -> Mask:
        """(rows, columns) -> (count,): the fields of which more than a quarter is set."""
        limit = AREA * self._field[0] * self._field[1]
        fields = np.zeros(self.count, bool)
        total = np.count_nonzero(cells)
        if total > limit:
            fields[:-1] = (_box_sums(cells, self._field) > limit).ravel()
            fields[-1] = total > AREA * cells.size
        return fields

    def covered(self, fields: Mask) -> Mask:
        """(count,) -> (rows, columns): the cells that lie in one of the fields."""
        if fields[-1]:
            return np.ones(self._cells, bool)
        rows, columns = self._field[0] - 1, self._field[1] - 1
        places = np.pad(fields[:-1].reshape(self._places), ((rows, rows), (columns, columns)))
        return _box_sums(places, self._field) > 0


def _box_sums(cells: Mask, box: tuple[int, int]) -> Counts:
    """(rows, columns) -> the sum over a box at each place where it fits."""
    sums = np.zeros((cells.shape[0] + 1, cells.shape[1] + 1), np.int32)
    np.cumsum(np.cumsum(cells, axis=0, dtype=np.int32), axis=1, out=sums[1:, 1:])
    rows, columns = box
    inside: Counts = sums[rows:, columns:] - sums[:-rows, columns:] - sums[rows:, :-columns] + sums[:-rows, :-columns]
    return inside
