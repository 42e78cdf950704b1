"""A fitted motion is used only where it beats the drawn recipe with the same palette."""

from __future__ import annotations

import numpy as np
import pytest
from support import smooth_features

from audioreactive.generators.painter import Painter
from audioreactive.learn.named import named_synthesizer
from audioreactive.pipeline import fitted as module
from audioreactive.pipeline.fitted import Look, better, drawn_like
from audioreactive.pipeline.recipe import Recipe
from audioreactive.progress import Silent

FEATURES = smooth_features(seconds=24)
PAINTER = Painter(("silk",))
RECIPE = Recipe(seed=5, synthesizer=named_synthesizer("hippo"))


def resting(patch, features, *_):
    return {one.name: np.full((features.frames, 17), 0.5, np.float32) for one in patch.synthesizers}


def test_both_have_one_palette() -> None:
    assert RECIPE.make().patch.palette == drawn_like(RECIPE).make().patch.palette
    assert not drawn_like(RECIPE).make().patch.synthesizers
    thesis = Recipe(seed=5, synthesizer=named_synthesizer("hippo-inputs")).make().patch
    assert thesis.palette.seeds == RECIPE.make().patch.palette.seeds


@pytest.mark.parametrize(
    ("one", "other", "wins"),
    [
        (Look(5, 1), Look(4, 1), True),
        (Look(4, 1), Look(5, 1), False),
        (Look(9, 4), Look(5, 3), False),  # it breaks the rule
        (Look(4, 2), Look(5, 4), True),  # the other does
        (Look(6, 4), Look(5, 5), True),
        (Look(4, 4), Look(5, 4), False),
        (Look(5, 3), Look(5, 3), True),
    ],
)
def test_which_is_better(one: Look, other: Look, wins: bool) -> None:
    assert one.beats(other) is wins


def test_a_motion_that_does_not_react_gives_way_to_what_is_drawn(monkeypatch) -> None:
    monkeypatch.setattr(module, "synthesize", resting)
    monkeypatch.setattr(module, "COMPARED", 240)
    preset, sentence = better(RECIPE, FEATURES, PAINTER, Silent())
    assert preset == drawn_like(RECIPE).make() and sentence is not None and "reacts more here" in sentence
    weighted = Recipe(seed=5, synthesizer=named_synthesizer("hippo", weights={"onsets": 10}))
    assert better(weighted, FEATURES, PAINTER, Silent()) == (weighted.make(), None), "the user wants this motion"


def test_a_motion_that_reacts_more_is_kept(monkeypatch) -> None:
    monkeypatch.setattr(module, "synthesize", resting)
    for looks, kept in (([Look(9, 2), Look(5, 1)], True), ([Look(9, 5), Look(5, 1)], False)):
        told = iter(looks)
        monkeypatch.setattr(module, "look_at", lambda *_, told=told: next(told))
        preset, sentence = better(RECIPE, FEATURES, PAINTER, Silent())
        assert bool(preset.patch.synthesizers) is kept and (sentence is None) is kept
    assert sentence is not None and "flashes less here (1 and 5 times a second)" in sentence
