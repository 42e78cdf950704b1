"""The recipe of a song for which nothing was asked: chosen among a few that follow from the song."""

from __future__ import annotations

from dataclasses import replace

from support import make_features

from audioreactive.correlation import sound_tables
from audioreactive.learn.scoring import motion_score
from audioreactive.patches.motion import motion
from audioreactive.pipeline import choose
from audioreactive.pipeline.recipe import Recipe, song_seed

LED = Recipe(leads=True)


def test_the_seed_whose_motion_reacts_most_is_chosen(monkeypatch) -> None:
    features = make_features(seconds=24)
    monkeypatch.setattr(choose, "CANDIDATES", 4)
    heard = sound_tables(features)[0]
    first = song_seed(features.digest)
    seeds = [first + k for k in range(4)]
    scores = [motion_score(motion(replace(LED, seed=s).make().patch, features), heard, features.fps) for s in seeds]
    assert choose.chosen_seed(LED, features) == seeds[scores.index(max(scores))]
    assert max(scores) > sorted(scores)[1], "there is a choice"


def test_a_blink_of_sound_has_the_first_seed() -> None:
    features = make_features(seconds=1)
    assert choose.chosen_seed(LED, features) == song_seed(features.digest)
