"""The painter, end to end: by name, at any size, whole or in part, with workers, in sections of several families."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

import audioreactive as ar
from audioreactive.generators.painter import FAMILIES
from audioreactive.patches.presets import load_preset
from audioreactive.video import probe, read_frames

if TYPE_CHECKING:
    from pathlib import Path

FAMILY = next(iter(FAMILIES))


def frames_of(path: Path) -> np.ndarray:
    return np.stack(list(read_frames(path)))


@pytest.mark.usefixtures("quick_workers")
def test_a_song_is_painted_in_any_shape_and_the_same_in_every_way(call, song, tmp_path) -> None:
    whole, part, shared, again = (tmp_path / f"{name}.mkv" for name in ("whole", "part", "shared", "again"))
    common = (song, "--model", f"painter:{FAMILY}", "--size", "50x90", "--seed", 3, "--fps", 24, "--quiet")
    assert call("render", *common, "--duration", 1.5, "-o", whole).code == 0
    assert call("render", *common, "--start", 0.5, "--duration", 0.5, "-o", part).code == 0
    assert call("render", *common, "--duration", 1.5, "--workers", 2, "--chunk", 0.5, "-o", shared).code == 0
    assert (
        call("render", song, "--model", "painter", "--preset", whole, "--duration", 0.25, "-q", "-o", again).code == 0
    )
    info = probe(whole)
    expected = frames_of(whole)
    assert (info.width, info.height, len(expected)) == (50, 90, 36)
    assert expected.std(axis=0).mean() > 2, "it moves"
    np.testing.assert_array_equal(frames_of(part), expected[12:24])
    np.testing.assert_array_equal(frames_of(shared), expected)
    assert load_preset(str(whole)).made_with.model == f"painter:{FAMILY}"
    assert frames_of(again).shape == (6, 90, 50, 3)


def test_a_family_that_is_not_there_is_a_sentence_and_a_file_of_that_name_is_a_file(call, song, tmp_path) -> None:
    result = call("render", song, "--model", f"painter:{FAMILY}s", "-o", tmp_path / "out.mp4")
    assert result.code == 2 and f"did you mean '{FAMILY}'" in result.err and not list(tmp_path.iterdir())
    result = call("render", song, "--model", "./painter", "-o", tmp_path / "out.mp4")
    assert result.code == 2 and "there is no" in result.err


def test_a_family_of_a_preset_that_is_not_there_is_told(call, song) -> None:
    words = ("render", song, "--preset", "pulse", "--dry-run", "--set")
    told = call(*words, 'palette.family = "sylk"')
    assert told.code == 0
    assert "the painter has no family 'sylk': did you mean 'silk'? the preset's seeds choose one instead" in told.err
    assert "no family" not in call(*words, 'palette.family = "silk"').err
    assert "no family" not in call(*words, 'palette.family = "sylk"', "--model", "painter:ink").err


def test_sections_may_be_of_several_families(call, song, tmp_path) -> None:
    first, second = list(FAMILIES)[:2]
    preset = tmp_path / "two.toml"
    preset.write_text(
        f"""
        schema = 2
        [palette]
        seeds = [1, 2]
        family = "{first}"
        [latents]
        base = [0, 1]
        [noise]
        seeds = [1]
        base = [0]
        [[sections]]
        name = "calm"
        start = 0.0
        [[sections]]
        name = "loud"
        start = 0.5
        crossfade = 0.5
        [sections.patch.palette]
        seeds = [3, 4]
        family = "{second}"
        """,
        "utf-8",
    )
    out, alone = tmp_path / "out.mkv", tmp_path / "alone.mkv"
    words = ("--size", "64x36", "--duration", 1, "--fps", 24, "-q")
    assert call("render", song, "--model", "painter", "--preset", preset, *words, "-o", out).code == 0
    alone_words = ("--model", f"painter:{first}", "--preset", preset)
    assert call("render", song, *alone_words, *words, "-o", alone).code == 0
    both, one = frames_of(out).astype(int), frames_of(alone).astype(int)
    assert np.abs(both[:6] - one[:6]).mean() < 3, "the first family alone"
    assert np.abs(both[18:] - one[18:]).mean() > 5, "the second one"


def test_sheets_and_palettes_are_painted(call, song, tmp_path) -> None:
    palette = tmp_path / "palette.png"
    result = call("palette", f"painter:{FAMILY}", "--seeds", "0-5", "-o", palette, "-q")
    assert result.code == 0, result.err
    with Image.open(palette) as picture:
        assert picture.width > picture.height and np.asarray(picture).std() > 10


def test_python_paints_frames() -> None:
    generator = ar.load_generator(f"painter:{FAMILY}").resized((36, 64))
    assert generator.families == (FAMILY,)
    assert generator.synthesis(generator.mapping(ar_noise(generator.z_dim))).shape == (1, 3, 36, 64)


def ar_noise(width: int):
    import torch

    return torch.from_numpy(np.random.RandomState(1).randn(1, width)).float()
