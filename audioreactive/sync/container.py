"""Offset of sound and picture as a container states it, exact to its clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fractions import Fraction

    from numpy.typing import NDArray

    from audioreactive.video import VideoTimes


@dataclass(frozen=True, eq=False)
class PictureClock:
    """When the pictures of a video are shown."""

    frames: NDArray[np.float64]
    """(T,) seconds since the first picture."""
    last: float
    """Seconds for which the last picture is shown."""

    @property
    def middles(self) -> NDArray[np.float64]:
        """(T,) middle of the time that each picture is shown: where a change that it brings is placed.

        A camera shows what happened while it is shown; so does this program, whose frame shows the sound at its time.
        """
        lengths = np.append(np.diff(self.frames), self.last)
        # A picture that stays for seconds (a slide) has changed at its beginning.
        middles: NDArray[np.float64] = self.frames + np.minimum(lengths, 2 * self.last) / 2
        return middles


def picture_clock(times: VideoTimes, fps: Fraction, frames: int) -> PictureClock:
    """The clock of the frames that were decoded; a damaged file may have more of them than time stamps."""
    stated = times.frames[:frames]
    usual = float(np.median(np.diff(stated))) if len(stated) > 1 else 0.0
    usual = usual if usual > 0 else float(1 / fps)
    missing = frames - len(stated)
    if missing > 0:
        last = stated[-1] if len(stated) else -usual
        stated = np.concatenate([stated, last + usual * np.arange(1, missing + 1)])
    return PictureClock(stated, usual)
