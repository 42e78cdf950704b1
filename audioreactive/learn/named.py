"""Synthesizers by name. This module imports no heavy library."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from audioreactive._support.files import as_path
from audioreactive.errors import SynthesizerError, did_you_mean, shown
from audioreactive.patches.schema import Hippo

if TYPE_CHECKING:
    from collections.abc import Mapping

    from audioreactive.patches.schema import Synthesizer

HIPPO: Final = "hippo"
"""Name of the synthesizer that is fitted to the song, by what is seen."""
THESIS: Final = "hippo-inputs"
"""Name of the same with the loss of the thesis, which does not look at pictures."""
SEEN_COEFFICIENTS: Final = 512
"""Coefficients of an envelope that is fitted to what is seen: enough for the rise before a stroke."""
SEEN_STEPS: Final = 500
"""Steps of a fit to what is seen."""


def named_synthesizer(name: str, *, motion_seed: int = 0, weights: Mapping[str, float] | None = None) -> Synthesizer:
    """The synthesizer with this name: hippo, hippo-inputs, or the file of a trained one.

    Args:
        name: hippo, hippo-inputs, or a path.
        motion_seed: seed of the motion; each seed gives another motion for the same song.
        weights: weight of each feature, 1 if not given; for hippo only.

    Raises:
        SynthesizerError: the file is no trained synthesizer, or weights are given for a trained one.
    """
    if name == HIPPO:
        return Hippo(
            kind="hippo",
            name=HIPPO,
            aim="seen",
            motion_seed=motion_seed,
            coefficients=SEEN_COEFFICIENTS,
            steps=SEEN_STEPS,
            correction=1.0,
            weights=dict(weights or {}),
        )
    if name == THESIS:
        return Hippo(kind="hippo", name=HIPPO, aim="inputs", motion_seed=motion_seed, weights=dict(weights or {}))
    if weights:
        raise SynthesizerError("--weight is for hippo; a trained synthesizer learned its weights in training")
    from audioreactive.learn.model_file import embeddable

    path = as_path(name)
    if not os.path.lexists(path) and (close := did_you_mean(name, (HIPPO, THESIS))):
        raise SynthesizerError(f"there is no synthesizer {shown(name)}{close}")
    return embeddable(path, motion_seed)
