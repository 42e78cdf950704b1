"""Bytes of a chunk's picture as a function of its quality, from few measurements, and the choice among them.

Conventions: a quality is x264's CRF, in multiples of the format's finest step; 6 more halve the bytes, about.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from audioreactive.errors import VideoError
from audioreactive.video.formats import BEST_CRF, WORST_CRF

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

HALVING: Final = 6.0
"""Steps of the CRF that halve the bytes."""
CLOSE: Final = (0.985, 1.008)
"""Range of what was reached, relative to what was wanted, in which no further quality is tried."""
FURTHER: Final = 1.15
"""Most bytes relative to those wanted that a chunk gets when room is left."""


@dataclass
class Trial:
    """Measurements of one chunk."""

    crf: float
    """Quality as it was rendered."""
    step: float
    """Finest step of the quality."""
    rendered: int
    """Bytes as it was rendered."""
    tried: dict[float, int] = field(default_factory=dict)
    """Quality at which it was coded again -> bytes."""

    def bytes(self, crf: float | None) -> int:
        """Bytes at a quality that was tried; None: as it was rendered."""
        return self.rendered if crf is None else self.tried[crf]

    def least(self) -> float:
        """Bytes at the worst quality, measured or foretold."""
        return self.tried.get(self.worst, self.rendered * 2 ** ((self.crf - self.worst) / HALVING))

    @property
    def worst(self) -> float:
        """The worst quality."""
        return self._on_grid(WORST_CRF)

    def next(self, wanted: float) -> float | None:
        """The quality to try next in order to have the wanted bytes; None if no other is likely to be closer."""
        if self.rendered <= wanted * 1.0001 or any(self._is_close(count, wanted) for count in self.tried.values()):
            return None
        above = max((crf for crf, count in self.tried.items() if count > wanted), default=None)
        below = min((crf for crf, count in self.tried.items() if count <= wanted), default=None)
        if above is not None and below is not None:
            return self._between(above, below, wanted)
        known = above if above is not None else below
        crf, count = (self.crf, self.rendered) if known is None else (known, self.tried[known])
        step = HALVING * math.log2(count / max(wanted, 1))
        if known is not None:  # at least a step further, or the two never lie on both sides
            step = max(step, self.step) if above is not None else min(step, -self.step)
        found = self._on_grid(crf + step)
        return found if found not in self.tried else None

    def _between(self, above: float, below: float, wanted: float) -> float | None:
        """A quality between two, by the logarithm of their bytes."""
        if below - above < 1.5 * self.step:
            return None
        many, few = math.log(self.tried[above]), math.log(max(self.tried[below], 1))
        share = (many - math.log(max(wanted, 1))) / (many - few)
        found = self._on_grid(above + (below - above) * min(max(share, 0.1), 0.9))
        found = min(max(found, self._on_grid(above + self.step)), self._on_grid(below - self.step))
        return found if found not in self.tried else None

    def _is_close(self, count: int, wanted: float) -> bool:
        return CLOSE[0] * wanted <= count <= CLOSE[1] * wanted

    def _on_grid(self, crf: float) -> float:
        first, last = math.ceil(BEST_CRF / self.step), math.floor(WORST_CRF / self.step + 1e-9)
        return round(min(min(max(round(crf / self.step), first), last) * self.step, WORST_CRF), 6)


def choose(
    trials: Sequence[Trial], wanted: NDArray[np.float64], caps: NDArray[np.float64], most: float
) -> tuple[float | None, ...] | None:
    """Choose for each chunk one of the qualities that were tried; None if no choice keeps to the limits.

    It begins with those that are closest to what is wanted. Where the sum is too large, chunks go down; where there is
    room, up, by what fits best.

    Args:
        trials: measurements of each chunk.
        wanted: bytes wanted of each chunk.
        caps: most bytes of each chunk.
        most: most bytes of all.
    """
    options = [_options(trial, cap) for trial, cap in zip(trials, caps, strict=True)]
    if not all(options):
        return None
    at = [
        min(range(len(mine)), key=lambda k: abs(math.log(max(mine[k][0], 1) / max(want, 1))))
        for mine, want in zip(options, wanted, strict=True)
    ]
    left = most - sum(mine[k][0] for mine, k in zip(options, at, strict=True))
    while left < 0:
        steps = [(mine[k][0] - mine[k - 1][0], i) for i, (mine, k) in enumerate(zip(options, at, strict=True)) if k]
        if not steps:
            return None
        enough = [step for step in steps if step[0] >= -left]
        saved, i = min(enough) if enough else max(steps)
        at[i], left = at[i] - 1, left + saved
    while True:
        steps = [
            (mine[k + 1][0] - mine[k][0], i)
            for i, (mine, k) in enumerate(zip(options, at, strict=True))
            if k + 1 < len(mine) and mine[k + 1][0] <= min(FURTHER * wanted[i], mine[k][0] + left)
        ]
        if not steps:
            return tuple(mine[k][1] for mine, k in zip(options, at, strict=True))
        more, i = max(steps)
        at[i], left = at[i] + 1, left - more


def picture_bytes(path: Path) -> int:
    """Bytes of the coded pictures in a chunk: those of its `mdat` boxes (ISO/IEC 14496-12).

    Raises:
        VideoError: the file is damaged.
    """
    total = at = 0
    with path.open("rb") as file:
        length = path.stat().st_size
        while at < length:
            file.seek(at)
            head = file.read(16)
            size, header = int.from_bytes(head[:4], "big"), 8
            if size == 1:
                size, header = int.from_bytes(head[8:16], "big"), 16
            if not header <= size <= length - at:
                raise VideoError(f"{path.name} is damaged: run the same command again, and it is made anew")
            total += (size - header) * (head[4:8] == b"mdat")
            at += size
    return total


def _options(trial: Trial, cap: float) -> list[tuple[int, float | None]]:
    """(bytes, quality) of what was tried, from few bytes to many; only what another of fewer bytes does not equal."""
    found: list[tuple[int, float | None]] = [(count, crf) for crf, count in trial.tried.items() if count <= cap]
    if trial.rendered <= cap:
        found.append((trial.rendered, None))
    return sorted(found, key=lambda option: (option[0], 0 if option[1] is None else option[1]))
