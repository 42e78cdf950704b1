"""How audio-reactive a motion is, before anything is rendered (section 4.2.2 of the thesis)."""

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
    """Corrected score of what the motion feeds to a generator; 0 where nothing moves.

    heard: what `correlation.sound_tables` gives.
    """
    try:
        return score_total(dict(heard), motion.tables(), fps=fps).z
    except ScoreError:
        return 0.0
