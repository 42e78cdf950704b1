"""A generator that is no network goes the whole way: chosen for, previewed, rendered, shared out, and interrupted."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile
import torch
from crews import Ears
from second_backend import Discs, DiscSource, loaded
from support import make_features

from audioreactive.chunks.folder import WorkFolder, work_folder
from audioreactive.errors import AudioReactiveError
from audioreactive.generators import plan_canvas
from audioreactive.patches.motion import motion
from audioreactive.patches.randomizer import random_patch
from audioreactive.patches.schema import Palette
from audioreactive.pipeline import choose as choose_module
from audioreactive.pipeline.planning import plan_render
from audioreactive.pipeline.preparing import prepare
from audioreactive.pipeline.production import Production, RenderSettings, produce
from audioreactive.pipeline.recipe import Recipe
from audioreactive.rendering.previews import Preview, palette_pictures, sheet_frames
from audioreactive.rendering.renderer import iter_frames
from audioreactive.video import probe, read_frames, read_preset

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FPS, SECONDS = Fraction(24), 2


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Clicks twice a second over a chord."""
    folder = tmp_path_factory.mktemp("song")
    t = np.arange(SECONDS * 22_050) / 22_050
    clicks = np.exp(-(t % 0.5) * 40) * np.random.RandomState(0).randn(len(t)) * 0.3
    soundfile.write(folder / "song.wav", clicks + np.sin(2 * np.pi * 220 * t) / 5, 22_050)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        yield folder / "song.wav"


@pytest.fixture(scope="module")
def production(song: Path) -> Production:
    settings = RenderSettings(fps=FPS, size=(100, 60), chunk=Fraction(1, 2), batch=4)
    plan = plan_render(song, song.with_suffix(".mp4"), model=loaded(), recipe=Recipe(seed=3), settings=settings)
    assert plan.canvas.frame_size == plan.canvas.size == (100, 60) and not plan.canvas.filters
    return prepare(plan)


@pytest.fixture(scope="module")
def alone(production: Production, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The video as one process makes it in one go."""
    output = tmp_path_factory.mktemp("alone") / "out.mp4"
    produce(production, output)
    return output


def test_a_song_becomes_a_video(alone: Path, production: Production) -> None:
    info = probe(alone)
    assert (info.width, info.height, info.frames) == (100, 60, SECONDS * FPS)
    frames = np.stack(list(read_frames(alone))).astype(int)
    assert np.abs(np.diff(frames, axis=0)).mean() > 0.5, "it moves"
    made = production.scene.renderer_with(production.generator)
    assert len(made) == len(frames) and production.scene.layout == "yuv420p"
    pictures = np.concatenate(list(iter_frames(production.generator, made._inputs, batch=4))).astype(int)
    assert np.abs(frames - pictures).mean() < 4, "what the generator made, but for the encoder"
    assert 'model = "discs"' in read_preset(alone)


@pytest.mark.usefixtures("quick_workers")
def test_two_workers_make_the_same_file(alone: Path, production: Production, tmp_path: Path) -> None:
    produce(production, tmp_path / "out.mp4", workers=2)
    assert (tmp_path / "out.mp4").read_bytes() == alone.read_bytes()


def test_cut_short_it_goes_on_to_the_same_file(
    alone: Path, production: Production, tmp_path: Path, monkeypatch
) -> None:
    output, accept, ears = tmp_path / "out.mp4", WorkFolder.accept, Ears()

    def interrupted(self, made) -> None:
        accept(self, made)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(WorkFolder, "accept", interrupted)
        produce(production, output)
    assert work_folder(output).is_dir() and not output.exists()
    produce(production, output, progress=ears)
    assert any("of 4 chunks are there from before" in said for said in ears.said)
    assert output.read_bytes() == alone.read_bytes()


def test_another_edition_is_another_job(production: Production, tmp_path: Path, monkeypatch) -> None:
    output, accept = tmp_path / "out.mp4", WorkFolder.accept
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(WorkFolder, "accept", lambda *given: accept(*given) or _interrupt())
        produce(production, output)
    newer = replace(production, scene=replace(production.scene, fingerprint="discs, second edition"))
    with pytest.raises(AudioReactiveError, match="not with the same generator"):
        produce(newer, output)


def _interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("sizes", [(), ((3, 5),), ((2, 2), (4, 4), (8, 8), (64, 64))])
def test_with_any_number_of_noise_maps(sizes) -> None:
    generator = DiscSource(noise_sizes=sizes).load(torch.device("cpu"), torch.float32)
    features = make_features(1)
    inputs = motion(random_patch(3), features).on(generator)
    frames = np.concatenate(list(iter_frames(generator, inputs, batch=4)))
    assert frames.shape == (features.frames, 48, 64, 3)
    assert [tuple(one.shape) for one in inputs.frames(0, 2).noise] == [(2, 1, *size) for size in sizes]


@pytest.mark.parametrize("fit", ["widen", "crop", "pad", "stretch"])
def test_every_fit(fit) -> None:
    canvas = plan_canvas(Discs(), size=(100, 60), fit=fit)
    assert canvas.size == (100, 60)
    assert canvas.frame_size == ((100, 60) if fit == "widen" else (64, 48))


def test_the_most_reactive_of_some_recipes(monkeypatch) -> None:
    scores = iter([1.0, 3.0, 2.0])
    monkeypatch.setattr(choose_module, "motion_score", lambda *given: next(scores))  # tests of motion score it
    patches, features = [random_patch(seed) for seed in range(3)], make_features(20)
    monkeypatch.setattr(choose_module, "sound_tables", lambda heard: ({"onsets": heard["onsets"]}, None))
    monkeypatch.setattr(choose_module, "MOST_PREVIEWING", 0)  # as of a generator that takes long
    choice = choose_module.choose(patches, features, loaded().generator)
    assert choice.motions == (1, 3, 2) and set(choice.previews) == {1, 2}
    assert choice.index == max(choice.previews, key=choice.previews.get)
    assert len(set(choice.previews.values())) == 2 and np.isfinite(list(choice.previews.values())).all()


def test_sheets_and_palettes_show_it() -> None:
    generator, features = loaded().generator, make_features(1)
    moving = [motion(random_patch(seed), features).on(generator) for seed in range(3)]
    previews = [Preview(str(seed), inputs) for seed, inputs in enumerate(moving)]
    sheet = np.concatenate(list(sheet_frames(generator, previews, height=24, batch=4, start=2, stop=9)))
    assert len(sheet) == 7 and sheet.shape[1] % 2 == sheet.shape[2] % 2 == 0
    assert np.abs(np.diff(sheet.astype(int), axis=0)).max() > 10
    pictures = palette_pictures(generator, Palette(seeds=(1, 2, 3)), height=24)
    assert pictures.shape == (3, 24, 32, 3)
    assert len({picture.tobytes() for picture in pictures}) == 3
