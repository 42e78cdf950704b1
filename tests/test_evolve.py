"""Presets that evolve for a song: they react more than those that were drawn, and are presets like others."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr
from support import make_features, smooth_features

from audioreactive.correlation import sound_tables
from audioreactive.errors import AudioReactiveError, ScoreError
from audioreactive.generators.painter import Painter
from audioreactive.learn import response
from audioreactive.learn.foresight import Foresight
from audioreactive.patches.motion import motion
from audioreactive.patches.randomizer import random_patch, with_lead
from audioreactive.pipeline import evolve as module
from audioreactive.pipeline.choose import preview_score
from audioreactive.pipeline.evolve import evolve
from audioreactive.pipeline.recipe import Recipe
from audioreactive.progress import Silent

FEATURES = smooth_features(seconds=12)
PATCH = with_lead(random_patch(4), 4)
PAINTER = Painter(("silk",))


def test_what_evolves_reacts_more_than_what_is_drawn() -> None:
    result, again = (evolve(PATCH, FEATURES, PAINTER, count=8, seed=4) for _ in range(2))
    assert result.patch == again.patch and result.score == again.score
    assert result.patch.palette == PATCH.palette
    heard = sound_tables(FEATURES)[0]
    fresh = preview_score(motion(result.patch, FEATURES), FEATURES, heard, PAINTER)
    assert result.score in (pytest.approx(fresh), pytest.approx(fresh - module.UNSEEN))
    assert result.score > result.founders
    assert result.patch != PATCH


def test_a_slow_generator_is_foretold(monkeypatch) -> None:
    """Where pictures take long, the response is learnt, and the ranking is mostly that of the pictures."""
    monkeypatch.setattr(response, "STEPS", 500)
    motions = [
        motion(with_lead(random_patch(seed), seed).model_copy(update={"palette": PATCH.palette}), FEATURES)
        for seed in range(10)
    ]
    foresight = Foresight.learnt(motions, PAINTER.sketching(), 160, "test", Silent())
    heard = sound_tables(FEATURES)[0]
    foretold = [foresight.score(moving, heard, FEATURES.fps) for moving in motions]
    seen = [preview_score(moving, FEATURES, heard, PAINTER) for moving in motions]
    assert spearmanr(foretold, seen).statistic > 0.4
    monkeypatch.setattr(module, "QUICK", 0)
    monkeypatch.setattr(module, "PAIRS", 60)
    monkeypatch.setattr(module, "preview_score", lambda *_: pytest.fail("it was rendered"))
    assert np.isfinite(evolve(PATCH, FEATURES, PAINTER, count=9, seed=4).score)


def test_what_cannot_evolve() -> None:
    with pytest.raises(ScoreError, match="to let presets evolve, at least 240 are needed"):
        evolve(PATCH, make_features(seconds=5), PAINTER, count=8, seed=0)
    with pytest.raises(AudioReactiveError, match="--evolve changes the Randomizer's presets"):
        Recipe(seed=1, evolve=8, best_of=3)
