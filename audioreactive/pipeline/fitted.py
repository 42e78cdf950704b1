"""A motion that is fitted to pictures, beside the drawn recipe with the same palette: the better of the two is used.

A fit optimises what a model of the pictures foretells, from one starting point. So both are looked at in small pictures
afterwards, and a fitted motion is kept only where it reacts more than what is drawn, and flashes no more than allowed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from audioreactive.correlation import score_total, sound_tables, watch
from audioreactive.errors import PresetError, ScoreError
from audioreactive.flashes import FLASHES
from audioreactive.learn.synthesize import synthesize
from audioreactive.patches.knobs import Knobs
from audioreactive.patches.motion import motion
from audioreactive.patches.schema import Hippo
from audioreactive.pipeline.choose import PREVIEW_FRAMES, QUICK, chosen_seed, most_flashes_of
from audioreactive.rendering.previews import pictures_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from audioreactive.features import Features
    from audioreactive.generators import Generator
    from audioreactive.patches.motion import Motion
    from audioreactive.patches.preset import Preset
    from audioreactive.patches.schema import Patch
    from audioreactive.pipeline.recipe import Recipe
    from audioreactive.progress import Progress

COMPARED = 1440
"""Frames in which both are compared, a minute at 24 a second; where pictures take long, as few as can be scored."""


@dataclass(frozen=True)
class Look:
    """Score and flashes of a motion, measured in small pictures."""

    score: float
    """Corrected score of the middle of the song."""
    flashes: float
    """Most flashes in a second; 0 where pictures take too long to watch them."""

    def beats(self, other: Look) -> bool:
        """Whether it reacts at least as much, and keeps the rule for flashes, or flashes less."""
        safe = self.flashes <= max(FLASHES, other.flashes)
        return safe and (self.score >= other.score or other.flashes > max(FLASHES, self.flashes))


def drawn_like(recipe: Recipe) -> Recipe:
    """The recipe that draws a patch with the palette of a fitted one."""
    return replace(recipe, synthesizer=None, leads=True)


def fitting_seed(recipe: Recipe, features: Features, generator: Generator) -> int:
    """Choose the seed of a fitted motion: that of the drawn recipe that suits the song, because pictures that answer
    one motion well answer others.
    """
    return chosen_seed(replace(drawn_like(recipe), overrides=(), knobs=Knobs()), features, generator)


def better(recipe: Recipe, features: Features, generator: Generator, progress: Progress) -> tuple[Preset, str | None]:
    """Fit a motion, and return its preset, or the drawn one that reacts more, and a sentence about it.

    Where features are weighted, the user wants another motion than the one that reacts most, and nothing is compared;
    nor in a song too short to be scored.

    Args:
        recipe: the recipe with a synthesizer that is fitted to pictures, and with a seed.
        features: features of the song.
        generator: the generator.
        progress: receives the progress.
    """
    fitted = recipe.make()
    assert isinstance(recipe.synthesizer, Hippo)
    drawn = _drawn(recipe, features)
    if recipe.synthesizer.weights or drawn is None or features.frames < PREVIEW_FRAMES:
        return fitted, None

    def made(patch: Patch, features: Features) -> dict[str, NDArray[np.float32]]:
        return synthesize(patch, features, generator, progress)

    looks = [look_at(motion(one.patch, features, made), features, generator) for one in (fitted, drawn)]
    if looks[0].beats(looks[1]):
        return fitted, None
    reason = (
        f"reacts more here ({looks[1].score:+.1f} deviations above chance, {looks[0].score:+.1f})"
        if looks[0].score < looks[1].score
        else f"flashes less here ({looks[1].flashes:g} and {looks[0].flashes:g} times a second)"
    )
    sentence = f"the drawn preset of the same pictures {reason} than the motion that was fitted, so it is used"
    progress.say(sentence)
    return drawn, sentence


def _drawn(recipe: Recipe, features: Features) -> Preset | None:
    """The drawn preset, or None if the recipe's changes do not fit it, or it hears what was not analysed."""
    try:
        drawn = drawn_like(recipe).make()
    except PresetError:
        return None
    return drawn if set(drawn.feature_names()) <= set(features) else None


def look_at(moving: Motion, features: Features, generator: Generator) -> Look:
    """Score the middle of a song in small pictures, and watch a motion for flashes.

    No frame is left out: motion that answers every frame would be taken for less than it is.
    """
    sketch = generator.sketching()
    quick = sketch.cost.multiplications <= QUICK
    length = min(COMPARED if quick else PREVIEW_FRAMES, features.frames)
    shown = np.arange(length) + (features.frames - length) // 2
    heard = {name: table[shown] for name, table in sound_tables(features)[0].items()}
    try:
        score = score_total(heard, watch(pictures_at(moving, sketch, shown), expected=length), fps=features.fps).z
    except ScoreError:
        score = 0.0
    return Look(score, most_flashes_of(moving, features, generator) if quick else 0.0)
