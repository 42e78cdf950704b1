"""Videos of this program: their recipe foretells what they show, and moves along to another take."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest
from film_files import ffmpeg, write_sound
from sounds import noise
from support import save_small_model

import audioreactive
from audioreactive.errors import SyncError
from audioreactive.learn.synthesize import synthesize
from audioreactive.media.audio import ANALYSIS_RATE, Audio
from audioreactive.patches.preset import preset_of
from audioreactive.patches.presets import load_preset
from audioreactive.patches.sections import Section
from audioreactive.pipeline.planning import plan_render
from audioreactive.pipeline.production import RenderSettings
from audioreactive.pipeline.recipe import Recipe
from audioreactive.progress import Silent
from audioreactive.sync import by_recipe, measure
from audioreactive.sync.foretell import between, passages_of, recipe_of
from stylegan_ops.errors import StyleGANError

if TYPE_CHECKING:
    from pathlib import Path

    from audioreactive.sync.foretell import RecipeForetold
    from audioreactive.sync.watching import Watched


def strokes(seconds: float, stretch: float = 1.0, lead: float = 0.0) -> np.ndarray:
    """Drums at uneven times over chords, played slower and later."""
    stream = np.random.RandomState(5)
    sound = np.zeros(round((seconds * stretch + lead) * ANALYSIS_RATE), np.float32)
    for time in np.cumsum(stream.uniform(0.3, 0.7, 60)):
        first = round((time * stretch + lead) * ANALYSIS_RATE)
        t = np.arange(round(0.6 * ANALYSIS_RATE)) / ANALYSIS_RATE
        hz = 110 * 2 ** (stream.randint(0, 24) / 12)
        chord = sum(np.sin(2 * np.pi * hz * ratio * h * t) / h for ratio in (1, 1.26, 1.5) for h in (1, 2, 3))
        burst = 0.06 * chord * np.exp(-5 * t) + 0.3 * stream.standard_normal(len(t)) * np.exp(-60 * t)
        sound[first : first + len(t)] += burst[: max(len(sound) - first, 0)].astype(np.float32)
    return sound + noise(len(sound) / ANALYSIS_RATE, 1e-3)[: len(sound)]


@pytest.fixture(scope="module")
def render(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("render")
    song = write_sound(folder / "song.wav", strokes(5))
    audioreactive.render(song, folder / "song.mp4", preset="pulse", size=(64, 36), fps=20)
    return folder / "song.mp4"


def test_the_recipe_tells_the_offset_to_milliseconds(render: Path, tmp_path: Path) -> None:
    recipe = recipe_of(render, synthesize=synthesize)
    assert recipe is not None and recipe.shows_pictures
    late = tmp_path / "late.mp4"
    ffmpeg("-i", render, "-itsoffset", 0.137, "-i", render, "-map", "0:v", "-map", "1:a", "-c", "copy", late)
    report = measure(late, recipe=recipe)
    assert report.basis == "recipe" and report.verdict == "out of sync"
    assert report.offset == pytest.approx(-0.137, abs=0.005)


def test_the_model_file_that_made_a_video_foretells_its_pictures(tmp_path: Path) -> None:
    """Whatever the file is called: `painter` is a name of a generator, and here one of a file."""
    song, mine, other = write_sound(tmp_path / "song.wav", strokes(8)), tmp_path / "painter", tmp_path / "other.pt"
    save_small_model(mine)
    save_small_model(other, img_resolution=16)
    video, late = tmp_path / "song.mp4", tmp_path / "late.mp4"
    audioreactive.render(song, video, preset="pulse", model=mine, size=(64, 64), fps=20)
    ffmpeg("-i", video, "-itsoffset", 0.137, "-i", video, "-map", "0:v", "-map", "1:a", "-c", "copy", late)
    told: list[str] = []
    assert (without := recipe_of(late, say=told.append)) is not None and not without.shows_pictures
    assert "the pictures were made by painter; give its file with --model FILE" in told[0]
    recipe = recipe_of(late, mine)
    assert recipe is not None and recipe.shows_pictures
    report = measure(late, recipe=recipe)
    assert report.basis == "recipe" and report.offset == pytest.approx(-0.137, abs=0.005)
    with pytest.raises(SyncError, match=r"other\.pt' is not the model that made late\.mp4, which is 'painter'"):
        recipe_of(late, other)
    with pytest.raises(StyleGANError):
        recipe_of(late, song)
    plain = tmp_path / "plain.mp4"
    ffmpeg("-i", late, "-map_metadata", -1, "-c", "copy", plain)
    with pytest.raises(SyncError, match=r"plain\.mp4 carries no preset that painter could make pictures of"):
        recipe_of(plain, mine)


def test_a_model_file_is_refused_for_a_video_of_the_painter(render: Path, tmp_path: Path) -> None:
    save_small_model(tmp_path / "a.pt")
    with pytest.raises(SyncError, match=r"song\.mp4 was made by painter and not by a model file: omit --model"):
        recipe_of(render, tmp_path / "a.pt")


def test_other_text_in_a_video_is_no_recipe(render: Path, tmp_path: Path) -> None:
    told: list[str] = []
    path = tmp_path / "odd.mp4"
    ffmpeg("-i", render, "-c", "copy", "-metadata", "comment=# audioreactive preset\nschema = [", path)
    assert recipe_of(path, say=told.append) is None and "not used" in told[0]
    ffmpeg("-i", render, "-c", "copy", "-metadata", "comment=made in a hurry", path)
    assert recipe_of(path) is None


def test_a_picture_between_two_is_placed_between_them() -> None:
    """Also where it is sharp: a correlation at whole frames would be drawn to the nearest one."""
    rng = np.random.default_rng(0)
    motion = np.cumsum(rng.standard_normal((200, 20)) ** 3, axis=0).astype(np.float32)
    for share in (0.0, 0.2, 0.5, 0.8):
        shown = (1 - share) * motion[:-1] + share * motion[1:]
        place = between(3 * shown + 1, motion[:-1], motion[1:], 0.016, sharp=False)
        assert place == pytest.approx(0.016 * (share - 0.5), abs=1e-6)
    other = rng.standard_normal((199, 20)).astype(np.float32)
    assert np.isnan(between(other, motion[:-1], motion[1:], 0.016, sharp=True))


def test_passages_of_a_long_video_are_spread_and_few() -> None:
    fps = Fraction(30)
    short, long = passages_of(600, fps), passages_of(200_000, fps)
    assert [part.start for part in short] == [0, 150, 300, 450] and short[-1].stop == 600
    assert sum(map(len, long)) <= 1900 and long[0].start == 0 and long[-1].stop == 200_000


def test_sections_and_bars_follow_another_take(tmp_path: Path) -> None:
    song, live = tmp_path / "song.wav", tmp_path / "live.wav"
    write_sound(song, strokes(16)), write_sound(live, strokes(16, 1.15, 1.0))
    patch = load_preset("pulse").patch
    preset = preset_of(patch).model_copy(update={"sections": (Section(start=8.0, label="A"),)})
    settings = RenderSettings(fps=Fraction(24), size=(64, 36))
    recipe = Recipe(preset=preset)
    alone = plan_render(live, tmp_path / "a.mp4", recipe=recipe, settings=settings)
    follows = plan_render(live, tmp_path / "a.mp4", recipe=recipe, settings=replace(settings, follow=song))
    reference = plan_render(song, tmp_path / "a.mp4", recipe=recipe, settings=settings).features
    assert alone.preset.sections[0].start == 8.0
    (section,) = follows.preset.sections
    assert section.start == pytest.approx(8.0 * 1.15 + 1.0, abs=0.05)
    wanted = reference.beats[2:-2] * 1.15 + 1.0
    nearest = np.abs(follows.features.beats[:, None] - wanted).min(0)
    assert nearest.max() < 0.05
    with pytest.raises(audioreactive.errors.RenderError, match=r"cannot follow hiss\.wav"):
        hiss = write_sound(tmp_path / "hiss.wav", noise(16, 0.1))
        plan_render(live, tmp_path / "a.mp4", recipe=recipe, settings=replace(settings, follow=hiss))


@pytest.mark.parametrize("heard_again", [True, False])
def test_of_lags_that_fit_alike_the_one_whose_pictures_are_there_is_told(
    heard_again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loops run by bars, and a sound that begins later may have its bars elsewhere; in step, it is heard as it was, or
    once it was coded again, with another rhythm: then no lag is told.
    """
    rng, fps, late = np.random.default_rng(3), Fraction(20), 0.1
    strokes_moved = np.cumsum(rng.standard_normal((600, 40)) ** 3, axis=0)
    loop, other = (3 * np.tile(np.cumsum(rng.standard_normal((40, 40)), axis=0), (15, 1)) for _ in range(2))

    class Bars:
        step, shows_pictures = 1, True

        def __call__(self, sound: Audio, passages: list[range]) -> list[np.ndarray]:
            begin = np.flatnonzero(sound.samples)[0] / ANALYSIS_RATE - 1.0  # of the song when the video was made: 1 s
            elsewhere = 0.0 if abs(begin) < 0.01 else 0.7
            now = loop if heard_again or abs(begin - late) < 0.01 else other
            at = [np.clip(np.arange(part.start, part.stop) + 100, 0, 599) for part in passages]
            return [
                (moved(strokes_moved, rows - 20 * begin) + moved(now, rows - 20 * (begin + elsewhere))).astype("f4")
                for rows in at
            ]

    def moved(table: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return np.stack([np.interp(rows, np.arange(600), column) for column in table.T], axis=1)

    monkeypatch.setattr(by_recipe, "_features", lambda sound, *_: sound)
    samples = np.zeros(25 * ANALYSIS_RATE, np.float32)
    samples[round((1 + late) * ANALYSIS_RATE) :] = 0.5
    cells = moved(strokes_moved, np.arange(100, 500)) + moved(loop, np.arange(100, 500))
    times = SimpleNamespace(is_even=lambda fps: True)
    clock = SimpleNamespace(last=0.05, frames=np.arange(400) / 20)
    low, high = cells.min(), cells.max()
    watched = SimpleNamespace(
        info=SimpleNamespace(fps=fps), times=times, clock=clock, cells=np.rint((cells - low) / (high - low) * 255)
    )
    notes: list[str] = []
    found = by_recipe.by_recipe(
        cast("Watched", watched),
        Audio(samples, ANALYSIS_RATE, "x", ""),
        0.0,
        cast("RecipeForetold", Bars()),
        Silent(),
        notes,
    )
    if not heard_again:
        assert found is None and "hears another rhythm" in notes[0]
        return
    assert not notes and found is not None and found.is_clear
    assert found.estimate.lag == pytest.approx(late, abs=0.01)
