"""An offset as one way of measuring found it, and whether it may be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from audioreactive.sync.estimate import Estimate
    from audioreactive.sync.evidence import Evidence
    from audioreactive.sync.report import Basis

LEAST_CERTAIN: Final = 3e-3
"""Largest probability of chance with which an offset is told."""
CLOSEST_RIVAL: Final = 0.9
"""Highest second peak, relative to the first, with which an offset is told: a beat fits as well a beat later."""
READING: Final = 0.29
"""Uncertainty, in frames, of where a picture without a recipe shows an event: a frame's width over the root of 12."""


@dataclass(frozen=True, eq=False)
class Found:
    """An estimate with where it comes from."""

    estimate: Estimate
    evidence: Evidence
    basis: Basis
    reading: float
    """Systematic uncertainty in seconds."""

    @property
    def is_clear(self) -> bool:
        """Whether chance is ruled out, and every other lag as well."""
        return self.estimate.chance <= LEAST_CERTAIN and self.estimate.rival <= CLOSEST_RIVAL
