"""Presets that evolve for a song: they react more than those that were drawn, and are presets like others."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr
from support import make_features, smooth_features

from audioreactive.correlation import sound_tables
from audioreactive.errors import AudioReactiveError, ScoreError
from audioreactive.flashes.detect import most_flashes
from audioreactive.generators.painter import Painter
from audioreactive.learn import response
from audioreactive.learn.foresight import Foresight
from audioreactive.patches.motion import motion
from audioreactive.patches.randomizer import random_patch, with_lead
from audioreactive.pipeline import choose
from audioreactive.pipeline import evolve as module
from audioreactive.pipeline.choose import preview_score
from audioreactive.pipeline.evolve import evolve
from audioreactive.pipeline.recipe import Recipe
from audioreactive.progress import Silent

FEATURES = smooth_features(seconds=12)
PATCH = with_lead(random_patch(4), 4)
PAINTER = Painter(("silk",))


def test_the_result_is_scored_by_its_pictures_on_any_number_of_threads(monkeypatch) -> None:
    monkeypatch.setattr(module, "FINALISTS", 2)
    result = evolve(PATCH, FEATURES, PAINTER, count=4, seed=5)
    monkeypatch.setattr(choose, "MOST_THREADS", 1)
    again = evolve(PATCH, FEATURES, PAINTER, count=4, seed=5)
    assert result.patch == again.patch and result.score == again.score
    assert result.patch.palette == PATCH.palette
    heard = sound_tables(FEATURES)[0]
    fresh = preview_score(motion(result.patch, FEATURES), FEATURES, heard, PAINTER)
    assert result.score in (pytest.approx(fresh), pytest.approx(fresh - module.UNSEEN))


def test_what_evolves_is_better_than_what_is_drawn_and_the_same_for_the_same_seed(monkeypatch) -> None:
    """What a preset looks like is not asked: a motion's own numbers stand for its score."""
    monkeypatch.setattr(module, "_scorer", lambda *_: lambda moving: float(moving.latents.std()))
    monkeypatch.setattr(module, "_finalists", lambda population, *_: population)
    monkeypatch.setattr(module, "_safest", lambda population, *_: population[0])
    first, again, other = (evolve(PATCH, FEATURES, PAINTER, count=48, seed=seed) for seed in (4, 4, 5))
    assert first == again and first.patch != other.patch and first.scored == 48
    drawn = [PATCH, *(module._founder(PATCH, 4, number) for number in range(1, 16))]
    best = max(float(motion(one, FEATURES).latents.std()) for one in drawn)
    assert first.score > 1.02 * best > first.founders


def test_a_slow_generator_is_foretold(monkeypatch) -> None:
    """Where pictures take long, the response is learnt, and the ranking is mostly that of the pictures.

    Motions that run backwards are among those that are ranked: they do not react.
    """
    monkeypatch.setattr(response, "STEPS", 500)
    drawn = [
        motion(with_lead(random_patch(seed), seed).model_copy(update={"palette": PATCH.palette}), FEATURES)
        for seed in range(100, 106)
    ]
    foresight = Foresight.learnt(drawn, PAINTER.sketching(), 160, "test", Silent())
    heard = sound_tables(FEATURES)[0]
    ranked = [*drawn, *(moving.at(np.arange(FEATURES.frames)[::-1].copy()) for moving in drawn)]
    foretold = [foresight.score(moving, heard, FEATURES.fps) for moving in ranked]
    seen = [preview_score(moving, FEATURES, heard, PAINTER, short=True) for moving in ranked]
    assert spearmanr(foretold, seen).statistic > 0.5
    monkeypatch.setattr(module, "QUICK", 0)
    monkeypatch.setattr(module, "PAIRS", 60)
    monkeypatch.setattr(module, "preview_score", lambda *_: pytest.fail("it was rendered"))
    assert np.isfinite(evolve(PATCH, FEATURES, PAINTER, count=9, seed=4).score)


def test_the_best_that_keeps_the_rule_for_flashes_is_taken(monkeypatch) -> None:
    population = [(float(9 - k), random_patch(k)) for k in range(4)]
    for counts, place in (([2.0], 0), ([4.0, 3.5, 3.0], 2), ([4.0, 3.5, 6.0, 5.0], 1)):
        told = iter(counts)
        monkeypatch.setattr(module, "most_flashes_of", lambda *_, told=told: next(told))
        assert module._safest(population, FEATURES, PAINTER) == population[place]
    monkeypatch.setattr(module, "QUICK", 0)
    assert module._safest(population, FEATURES, PAINTER) == population[0]


def test_flashes_of_a_film_are_counted() -> None:
    dark, bright = np.zeros((36, 64, 3), np.uint8), np.full((36, 64, 3), 255, np.uint8)
    strobe = [bright if frame // 3 % 2 else dark for frame in range(48)]
    assert most_flashes(strobe, 24) == 4 and most_flashes([dark] * 30, 24) == 0


def test_what_cannot_evolve() -> None:
    with pytest.raises(ScoreError, match="to let presets evolve, at least 240 are needed"):
        evolve(PATCH, make_features(seconds=5), PAINTER, count=8, seed=0)
    with pytest.raises(AudioReactiveError, match="--evolve changes the Randomizer's presets"):
        Recipe(seed=1, evolve=8, best_of=3)
