"""Training: resumed it is the same, it learns, and it says what is wrong with its music."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile
import torch
from support import make_features, make_song

from audioreactive.correlation import sound_tables
from audioreactive.errors import SynthesizerError
from audioreactive.learn import losses
from audioreactive.learn.dataset import CLIP, Song, all_clips, find_music, hear_music, split_songs, weigh
from audioreactive.learn.research.targets import curate, given_motion
from audioreactive.learn.scoring import motion_score
from audioreactive.learn.training import Plan, Training, gather, train
from audioreactive.patches.motion import motion
from audioreactive.patches.randomizer import random_patch

if TYPE_CHECKING:
    from pathlib import Path


def test_a_resumed_training_ends_in_the_same_weights(plan, material, tmp_path: Path) -> None:
    whole = train(plan, material)
    state = tmp_path / "half.training"
    half = Training(plan, material)
    for _ in range(plan.steps // 2):
        half.advance()
    half.keep(state)
    resumed = train(plan, material, state=state)
    assert resumed.step == whole.step == 3
    assert resumed.curves == whole.curves
    for (name, first), second in zip(
        whole.network.state_dict().items(), resumed.network.state_dict().values(), strict=True
    ):
        assert torch.equal(first, second), name


def test_an_interrupted_training_leaves_its_state(plan, material, tmp_path: Path, monkeypatch) -> None:
    state = tmp_path / "x.training"
    original = Training.advance

    def interrupted(self: Training) -> float:
        if self.step == 2:
            raise KeyboardInterrupt
        return original(self)

    monkeypatch.setattr(Training, "advance", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(plan, material, state=state)
    monkeypatch.undo()
    again = Training(plan, material)
    again.resume(state)
    assert again.step == 2
    assert list(tmp_path.iterdir()) == [state]


def test_a_state_of_another_training_is_refused(plan, material, tmp_path: Path) -> None:
    state = tmp_path / "x.training"
    Training(plan, material).keep(state)
    with pytest.raises(SynthesizerError, match="other settings or other music"):
        train(replace(plan, seed=5), material, state=state)
    state.write_bytes(state.read_bytes()[:-100])
    with pytest.raises(SynthesizerError, match="damaged; delete it"):
        train(plan, material, state=state)


def test_it_learns(material) -> None:
    plan = Plan(depth=1, examples=30 * 8, batch=8, learning_rate=1e-2, correction=0.0)
    losses = train(plan, material).curves.learned
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.01


class FakeMapper:
    """A model of 64 latents."""

    z_dim, c_dim = 64, 0
    device = torch.device("cpu")

    def mapping(self, z: torch.Tensor, c: None = None, truncation_psi: float = 1.0) -> torch.Tensor:
        return z[:, None].tanh() * truncation_psi


@pytest.mark.parametrize(
    "change",
    [
        {"supervised": True, "targets": 2, "best_of": 2},
        {"supervised": True, "targets": 2, "best_of": 1, "residual": False},
        {"learned_decoder": True},
        {"learned_decoder": True, "residual": False},
        {"learned_decoder": True, "supervised": True, "targets": 2, "best_of": 1},
        {"residual": False},
        {"weights": {"onsets": 10.0}},
        {"kind": "sashimi"},
    ],
    ids=str,
)
def test_every_kind_of_training_takes_a_step(change: dict) -> None:
    plan = Plan(**{"depth": 1, "examples": 4, "batch": 2, **change})
    songs = [make_song(f"song {seed}", seed=seed) for seed in range(2)]
    training = train(plan, gather(plan, songs, FakeMapper() if plan.learned_decoder else None))
    assert np.isfinite(training.curves.learned).all()
    assert training.curves.learned[0] != training.curves.learned[1]


def test_a_learned_decoder_comes_near_the_model() -> None:
    plan = Plan(depth=1, learned_decoder=True, residual=False, examples=30 * 3, batch=3, learning_rate=1e-2)
    material = gather(plan, [make_song("song")], FakeMapper())
    distances = []
    for nearness in (0.0, plan.nearness):
        training = train(replace(plan, nearness=nearness), material)
        with torch.no_grad():
            envelopes = training.network.envelopes(material.clips.inputs(np.arange(3)))
            latents = training.network.decoder(envelopes, residual=False).latents
        distances.append(float(material.content.own.distance(latents.flatten(0, 1))))
    assert distances[1] < 0.5 * distances[0]


def test_a_learned_decoder_needs_a_model() -> None:
    with pytest.raises(ValueError, match="none is given"):
        gather(Plan(learned_decoder=True), [make_song("song")], None)


def test_weighted_features_are_held_against_chance_pair_by_pair(material) -> None:
    """As hippo does it: the same measure at other times, and a quarter of the calm."""
    indices = np.arange(3)
    sequences = [torch.randn(3, CLIP, len(columns)) for columns in losses.SEQUENCES]
    targets = material.clips.targets(indices)
    heard = losses.heard_together(list(targets.values()))
    made = torch.cat([losses.normalised(part) for part in sequences], 2)
    blocks = [_slices([table.shape[2] for table in parts]) for parts in (targets.values(), sequences)]
    weights = weigh(targets, {"onsets": 10.0})

    def score(sound: torch.Tensor) -> torch.Tensor:
        return losses.pairwise(sound, made, *blocks, weights)

    plan = Plan(weights={"onsets": 10.0}, correction=0.5, calm=0.4, pace=0.0)
    found = Training(plan, material).self_supervised(sequences, material.clips, indices, np.random.RandomState(1))
    shifts = np.random.RandomState(1).randint(CLIP // 8, CLIP - CLIP // 8, 2)
    ways = torch.stack([losses.variation(part) for part in sequences])
    expected = 1 - score(heard).mean() + 0.5 * losses.chance(score, heard, shifts).mean() + 0.1 * ways.mean()
    torch.testing.assert_close(found, expected)


def _slices(widths: list[int]) -> list[slice]:
    edges = np.cumsum([0, *widths])
    return [slice(a, b) for a, b in pairwise(edges)]


def test_supervised_motion_is_the_recipes_own() -> None:
    """Three independent weights, turned into a palette of five: their motion comes out again."""
    stream = torch.Generator().manual_seed(0)
    swings = 2 * torch.pi * torch.arange(480)[:, None] / 24 * torch.tensor([0.1, 0.35, 0.6])  # slow: none is smoothed
    motion = (torch.cos(swings) * torch.tensor([3.0, 2.0, 1.0]))[None]
    palette = torch.linalg.qr(torch.randn(5, 5, generator=stream)).Q[:3]
    weights = (motion @ palette)[:, :, None].expand(-1, -1, 3, -1)
    given = given_motion(weights, residual=True)
    for i in range(3):
        pair = torch.stack([given[0, :, i], motion[0, :, i]])
        assert abs(float(torch.corrcoef(pair)[0, 1])) > 0.9
    assert float(given[..., 9:].abs().max()) == 0


def test_the_recipe_to_imitate_is_the_one_that_best_of_would_choose() -> None:
    song = make_song("a", 12, seed=3)
    heard, _ = sound_tables(song.features)
    ((first, second),) = curate([song], 2, best_of=4, seed=16)
    for target, seeds in ((first, range(16, 20)), (second, range(20, 24))):
        drawn = [motion(random_patch(seed), song.features) for seed in seeds]
        best = max(drawn, key=lambda made: motion_score(made, heard, song.features.fps))
        assert target.palettes == best.palettes
        np.testing.assert_array_equal(target.latents, best.latents)


def test_songs_are_held_out_as_a_whole() -> None:
    songs = [make_song(f"song {seed}", seed=seed) for seed in range(11)]
    learned, held = split_songs(songs)
    assert (len(learned), len(held)) == (9, 2)
    assert not {song.digest for song in learned} & {song.digest for song in held}
    assert split_songs(songs[::-1])[1][0] in held
    assert split_songs(songs[:4]) == (tuple(songs[:4]), ())


def test_clips_are_eight_seconds_and_begin_every_second() -> None:
    clips = all_clips([make_song("a", 11.5)])
    assert [int(start) for _, start in clips.places] == [0, 24, 48, 72]
    assert clips.inputs(np.array([3])).shape == (1, CLIP, 58)
    targets = clips.targets(np.array([0, 1]))
    assert targets["mfcc"].shape == (2, CLIP, 20)
    np.testing.assert_array_equal(targets["onsets"][0], clips.songs[0].features["onsets"][:CLIP])
    assert torch.equal(targets["sections"].sum(-1), torch.ones(2, CLIP))


def test_a_folder_without_music(tmp_path: Path) -> None:
    with pytest.raises(SynthesizerError, match="no folder"):
        find_music(tmp_path / "none")
    (tmp_path / "notes.txt").write_text("la")
    with pytest.raises(SynthesizerError, match="no music"):
        find_music(tmp_path)


def test_songs_that_are_too_short_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    soundfile.write(tmp_path / "short.wav", np.random.RandomState(0).randn(22_050 * 3) / 10, 22_050)
    (tmp_path / "broken.mp3").write_bytes(b"no sound at all")
    with pytest.raises(SynthesizerError, match=r"longest lasts 3\.0 s, and 8 s are needed"):
        hear_music(tmp_path)


def test_silence_teaches_nothing() -> None:
    features = make_features(10)
    silent = replace(features, envelopes={name: np.zeros_like(table) for name, table in features.items()})
    with pytest.raises(SynthesizerError, match="nothing changes in any song"):
        all_clips([Song.heard("hush", silent)])
