"""The score of a motion without rendering (section 4.2.2 of the thesis)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from audioreactive.correlation import score_total
from audioreactive.errors import ScoreError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction

    from audioreactive.correlation.sides import FloatArray
    from audioreactive.patches.motion import Motion


def motion_score(motion: Motion, heard: Mapping[str, FloatArray], fps: Fraction) -> float:
    """Corrected score of a motion; 0 if the motion or the sound does not change.

    `heard` is the first result of `correlation.sound_tables`.
    """
    try:
        return score_total(dict(heard), motion.tables(), fps=fps).z
    except ScoreError:
        return 0.0
