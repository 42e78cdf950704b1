"""The recipe of a song for which nothing was asked: chosen among a few that follow from the song."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

import numpy as np
import pytest
import torch
from second_backend import Discs
from support import make_features

from audioreactive.correlation import sound_tables
from audioreactive.flashes.detect import most_flashes
from audioreactive.generators.painter import Painter
from audioreactive.generators.protocol import Cost
from audioreactive.learn.scoring import motion_score
from audioreactive.patches.motion import motion
from audioreactive.pipeline import choose
from audioreactive.pipeline.recipe import Recipe, song_seed
from audioreactive.rendering.previews import pictures_at

if TYPE_CHECKING:
    from collections.abc import Sequence

LED = Recipe(leads=True)


PAINTER = Painter(("silk",), img_size=(32, 32))
MOVING, STILL, GLARING = (10.0, 0.05), (0.5, 0.0), (30.0, 0.4)


@pytest.mark.parametrize(
    ("pictures", "flashes", "chosen"),
    [
        ((MOVING, MOVING, MOVING, MOVING, MOVING), (3.0,), 0),
        ((STILL, GLARING, MOVING, MOVING, MOVING), (1.0,), 2),
        ((GLARING, (20.0, 0.2), GLARING, GLARING, GLARING), (), 1),  # none is calm: the calmest
        ((MOVING, STILL, MOVING, MOVING, MOVING), (6.0, 3.5, 2.0), 3),
        ((MOVING, MOVING, MOVING, MOVING, MOVING), (6.0, 3.5, 5.0, 4.0), 1),  # of four that flash, the least
    ],
)
def test_the_picture_that_reacts_most_is_chosen_if_it_moves_and_does_not_flash(
    monkeypatch, pictures, flashes, chosen
) -> None:
    features = make_features(seconds=24)
    monkeypatch.setattr(choose, "CANDIDATES", 5)
    monkeypatch.setattr(choose, "LONG_PREVIEW", (choose.PREVIEW_FRAMES, 3))
    looked_at, watched = iter(pictures), iter(flashes)
    monkeypatch.setattr(choose, "most_flashes_of", lambda *_: next(watched))
    monkeypatch.setattr(choose, "change_at_strokes", lambda *_: next(looked_at))
    first = song_seed(features.digest)
    seeds = [first + k for k in range(5)]
    motions = [motion(replace(LED, seed=seed).make().patch, features).latents.tobytes() for seed in seeds]
    assert len(set(motions)) == 5, "there is a choice"
    scores = dict(zip(motions, (2.0, 5.0, -1.0, 7.0, 3.0), strict=True))
    monkeypatch.setattr(choose, "preview_score", lambda moving, *_: scores[moving.latents.tobytes()])
    assert choose.chosen_seed(LED, features, PAINTER) == seeds[(3, 1, 4, 0, 2)[chosen]]


def test_previews_tell_candidates_apart(monkeypatch) -> None:
    features = make_features(seconds=24)
    monkeypatch.setattr(choose, "LONG_PREVIEW", (choose.PREVIEW_FRAMES, 3))
    heard, first = sound_tables(features)[0], song_seed(features.digest)
    motions = [motion(replace(LED, seed=first + k).make().patch, features) for k in range(2)]
    scores = [choose.preview_score(moving, features, heard, PAINTER) for moving in motions]
    assert scores[0] != scores[1]
    assert scores[0] == choose.preview_score(motions[0], features, heard, PAINTER), "the same every time"


@dataclass(frozen=True)
class Slow(Painter):
    """A generator that takes seconds for a picture of any size."""

    @property
    def cost(self) -> Cost:
        """Cost of a network of 512² pixels."""
        return Cost(bytes=1, multiplications=3 * 10**10)


def test_pictures_of_a_slow_generator_are_not_waited_for(monkeypatch) -> None:
    features = make_features(seconds=24)
    monkeypatch.setattr(choose, "CANDIDATES", 3)
    for name in ("change_at_strokes", "preview_score"):
        monkeypatch.setattr(choose, name, lambda *_: pytest.fail("it was looked at"))
    heard, first = sound_tables(features)[0], song_seed(features.digest)
    motions = [motion(replace(LED, seed=first + k).make().patch, features) for k in range(3)]
    scores = [motion_score(moving, heard, features.fps) for moving in motions]
    chosen = choose.chosen_seed(LED, features, Slow(("silk",), img_size=(32, 32)))
    assert chosen == first + int(np.argmax(scores))


def test_a_blink_of_sound_has_the_first_seed() -> None:
    features = make_features(seconds=1)
    assert choose.chosen_seed(LED, features, PAINTER) == song_seed(features.digest)


def test_a_picture_that_follows_strokes_changes_there_and_a_constant_one_does_not() -> None:
    features = make_features(seconds=24)
    moving = motion(LED.make(3).patch, features)
    change, flashing = choose.change_at_strokes(moving, features, PAINTER)
    assert change > 1 and 0 <= flashing < 1
    still = replace(
        moving,
        latents=moving.latents[:1].repeat(len(moving), 0),
        noise=replace(moving.noise, gain=0 * moving.noise.gain),
    )
    assert choose.change_at_strokes(still, features, PAINTER) == (0, 0)


def test_the_strongest_strokes_are_found() -> None:
    features = make_features(seconds=24)
    frames = choose.stroke_frames(features)
    strokes = features["hits"][:, 0] if "hits" in features else features["onsets"][:, 0]
    assert 0 < len(frames) <= choose.STROKES and list(frames) == sorted(set(frames))
    peaks = [t for t in range(1, len(strokes) - 1) if strokes[t - 1] <= strokes[t] > strokes[t + 1]]
    assert min(strokes[frames]) >= sorted(strokes[peaks])[-len(frames)]


@dataclass(frozen=True)
class Lines(Discs):
    """Thin white lines on black, a fifth of the picture, lit at 4 Hz; its sketches have no room for them."""

    img_size: tuple[int, int] = (360, 640)
    painted: list[int] = field(default_factory=list)

    def synthesis(self, ws: torch.Tensor, noise: Sequence[torch.Tensor] | None = None) -> torch.Tensor:
        rows, columns = self.img_size
        lines = torch.arange(rows) % 5 == 0 if rows >= 180 else torch.full((rows,), 0.2)
        frames = len(self.painted) + torch.arange(len(ws))
        self.painted.extend(frames.tolist())
        lit = (frames // 3 % 2)[:, None, None, None] * lines[:, None].float()
        return (2 * lit - 1).expand(-1, 3, -1, columns)

    def sketching(self) -> Self:
        return replace(self, img_size=(36, 64), painted=[])


def test_the_light_of_thin_lines_is_watched_for_flashes() -> None:
    """On a black ground they are what flashes; pictures that are shrunk show a dark grey."""
    features = make_features(seconds=4)
    moving = motion(replace(LED, seed=1).make().patch, features)
    assert choose.most_flashes_of(moving, features, Lines()) >= 4
    dim = list(pictures_at(moving, Lines().sketching(), np.arange(90)))
    assert most_flashes(dim, 24) == 0, "they would have passed"
