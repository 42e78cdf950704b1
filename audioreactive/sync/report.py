"""Report on the sync of a video: offset, drift, jitter, and the verdict by a tolerance.

Conventions: offsets in seconds, positive where the sound is early, as ITU-R BT.1359 and EBU R37 count them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Verdict = Literal["in sync", "out of sync", "cannot tell"]
Basis = Literal["recipe", "motion", "picture", "own sound"]
"""What the offset was measured by: the pictures that the video's recipe foretells; its motion alone; the changes of any
picture; or the video's own sound, against the sound that it should have."""


@dataclass(frozen=True)
class Tolerance:
    """Offsets that are accepted, in seconds."""

    name: str
    early: float
    """Most by which the sound may come early."""
    late: float
    """Most by which it may come late."""

    def accepts(self, offset: float) -> bool:
        """Whether an offset is within the tolerance."""
        return -self.late <= offset <= self.early

    def excess(self, offset: float) -> float:
        """By how much an offset is outside; 0 within."""
        return max(offset - self.early, -self.late - offset, 0.0)


R37: Final = Tolerance("EBU R37", 0.040, 0.060)
"""EBU Recommendation R37: the relative timing of the sound and vision components of a television signal."""
BT1359: Final = Tolerance("ITU-R BT.1359", 0.045, 0.125)
"""ITU-R BT.1359-1: offsets that viewers begin to detect."""
STANDARDS: Final = (R37, BT1359)


@dataclass(frozen=True)
class Passage:
    """A part of a video with one offset."""

    start: float
    """Seconds."""
    stop: float
    offset: float
    deviation: float


@dataclass(frozen=True, eq=False)
class SyncReport:
    """The sync of a video's sound and picture, as they are played."""

    verdict: Verdict
    tolerance: Tolerance
    reason: str
    """Sentence: what the verdict rests on, or why nothing can be told."""
    basis: Basis | None
    """None if nothing can be told."""
    offset: float | None
    """Offset of the content in seconds, as played; positive: the sound is early."""
    deviation: float | None
    """Its uncertainty, one standard deviation in seconds."""
    drift: float | None
    """Growth of the offset, seconds a second."""
    drift_deviation: float | None
    jitter: float | None
    """Root mean square of what offset, drift and jumps leave of the passages' own offsets, in seconds."""
    chance: float
    """Probability that chance alone shows as much."""
    container: float
    """Offset of the container in seconds: how much earlier its first sound is played than its first picture."""
    passages: tuple[Passage, ...] = ()
    """Parts with one offset each; several where a jump cut parts them."""
    times: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """(B,) seconds in the middle of each block that was compared."""
    offsets: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """(B,) offset at these times, from offset, drift and jumps."""
    measured: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """(B,) offset of each block by itself; not a number where it tells nothing."""
    curve: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2)))
    """(L, 2): offset in seconds, and fit in deviations above chance."""
    notes: tuple[str, ...] = ()
    """Sentences for the user."""

    def within(self, tolerance: Tolerance) -> bool | None:
        """Whether all of the video keeps a tolerance; None if that cannot be told."""
        if self.offset is None or not len(self.offsets):
            return None
        return bool(tolerance.accepts(float(self.offsets.min())) and tolerance.accepts(float(self.offsets.max())))

    def as_json(self) -> dict[str, object]:
        """All numbers, in milliseconds and parts per million."""
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "tolerance": {
                "name": self.tolerance.name, "early_ms": ms(self.tolerance.early), "late_ms": ms(self.tolerance.late),
            },
            "standards": {standard.name: self.within(standard) for standard in STANDARDS},
            "basis": self.basis,
            "offset_ms": ms(self.offset),
            "offset_sd_ms": ms(self.deviation),
            "drift_ppm": None if self.drift is None else round(self.drift * 1e6, 2),
            "drift_sd_ppm": None if self.drift_deviation is None else round(self.drift_deviation * 1e6, 2),
            "jitter_ms": ms(self.jitter),
            "chance": self.chance,
            "container_offset_ms": ms(self.container),
            "passages": [
                {
                    "start": round(p.start, 3), "stop": round(p.stop, 3),
                    "offset_ms": ms(p.offset), "offset_sd_ms": ms(p.deviation),
                }
                for p in self.passages
            ],
            "blocks": [
                {
                    "time": round(float(t), 3), "offset_ms": ms(float(o)),
                    "own_offset_ms": ms(float(m)) if np.isfinite(m) else None,
                }
                for t, o, m in zip(self.times, self.offsets, self.measured, strict=True)
            ],
            "notes": list(self.notes),
        }  # fmt: skip


def ms(seconds: float | None) -> float | None:
    """Seconds as milliseconds, to a microsecond."""
    return None if seconds is None else round(seconds * 1e3, 3)


def in_words(offset: float) -> str:
    """An offset for people: "the sound is 120 ms early"."""
    if abs(offset) < 0.0005:
        return "sound and picture are together"
    return f"the sound is {abs(offset) * 1e3:.0f} ms {'early' if offset > 0 else 'late'}"


def judge(offsets: NDArray[np.float64], deviation: float, tolerance: Tolerance) -> Verdict:
    """The verdict on the offsets over a video: out of sync where it is certain, at two standard deviations."""
    excess = max(tolerance.excess(float(offsets.min())), tolerance.excess(float(offsets.max())))
    if deviation > (tolerance.early + tolerance.late) / 2:
        return "cannot tell" if excess <= 2 * deviation else "out of sync"
    return "out of sync" if excess > min(2 * deviation, 0.5 * (tolerance.early + tolerance.late)) else "in sync"
