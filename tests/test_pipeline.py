"""The order of a render's stages: what costs memory or time comes after what can be wrong."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from fractions import Fraction

import pytest

from audioreactive import features
from audioreactive.commands.render import command
from audioreactive.errors import VideoError
from audioreactive.generators import Canvas, open_generator
from audioreactive.media.demo import DEMO_SONG
from audioreactive.pipeline.planning import encoder_kind, plan_render
from audioreactive.pipeline.production import RenderSettings, check_limits, make_encoding
from audioreactive.pipeline.recipe import Recipe
from audioreactive.video import nvenc
from audioreactive.video.formats import FORMATS, NVENC, SPEEDS
from stylegan_ops import StyleGANError

STAND_IN = """
import sys
from pathlib import Path
from audioreactive import features
from audioreactive.media.demo import DEMO_SONG

class Heard(Exception): ...

def analyze_file(*song, **how):
    print("numpy" in sys.modules, "torch" in sys.modules)
    raise Heard

features.analyze_file = analyze_file
from audioreactive.pipeline.planning import plan_render
from audioreactive.pipeline.production import RenderSettings
from audioreactive.pipeline.recipe import Recipe
from audioreactive.patches.presets import load_preset

for recipe in (Recipe(), Recipe(seed=1), Recipe(preset=load_preset("pulse")), Recipe(seed=1, best_of=4)):
    try:
        plan_render(DEMO_SONG, Path("out.mp4"), recipe=recipe, settings=RenderSettings(device="cpu"))
    except Heard:
        pass
"""


def test_pytorch_is_not_imported_before_the_analysis_with_the_model_that_ships() -> None:
    """Its 200 MB and the analysis' memory need not meet."""
    done = subprocess.run([sys.executable, "-c", STAND_IN], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["True False"] * 4, done.stderr


def test_a_model_that_is_none_is_told_before_the_song_is_heard(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(features, "analyze_file", lambda *song, **how: pytest.fail("the song was heard"))
    (tmp_path / "none.pkl").write_text("words")
    with pytest.raises(StyleGANError, match=r"none\.pkl"):
        plan_render(DEMO_SONG, tmp_path / "out.mp4", model=tmp_path / "none.pkl", recipe=Recipe(seed=1))
    with pytest.raises(StyleGANError, match=r"none\.pkl"):
        open_generator(tmp_path / "none.pkl")


@pytest.mark.parametrize(
    ("extension", "size", "speed"),
    [(".mp4", (1920, 1080), "veryfast"), (".mp4", (1280, 720), "medium"), (".webm", (1920, 1080), "medium")],
)
def test_large_pictures_are_encoded_with_less_search(extension: str, size: tuple[int, int], speed: str) -> None:
    encoding = make_encoding(FORMATS[extension], Canvas(size, size, size), Fraction(30), RenderSettings())
    arguments = encoding.kind.arguments(encoding.settings)
    assert encoding.settings.speed == speed
    assert any("me=dia:subme=1" in word for word in arguments) == (speed == "veryfast")


@pytest.mark.parametrize("draft", [False, True])
def test_the_speed_of_the_encoder_is_the_one_that_is_asked_for(draft: bool) -> None:
    asked = RenderSettings(encoder_speed="ultrafast", draft=draft)
    canvas = Canvas((64, 64), (64, 64), (64, 64))
    for extension, words in ((".mp4", ["-preset", "ultrafast"]), (".webm", ["-cpu-used", "8"])):
        encoding = make_encoding(FORMATS[extension], canvas, Fraction(30), asked)
        arguments = encoding.kind.arguments(encoding.settings)
        at = arguments.index(words[0])
        assert arguments[at : at + 2] == words
    for extension in (".mkv", ".gif", ".mov"):
        with pytest.raises(VideoError, match=r"no --encoder-speed ultrafast: give it to an \.mp4"):
            check_limits(FORMATS[extension], asked)
    with pytest.raises(VideoError, match="NVENC has none"):
        check_limits(FORMATS[".mp4"], replace(asked, encoder="nvenc"))


def test_who_asks_for_a_speed_of_x264_gets_x264_on_a_gpu_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvenc, "why_no_nvenc", lambda: None)
    assert encoder_kind(FORMATS[".mp4"], RenderSettings(), on_gpu=True) is NVENC
    assert encoder_kind(FORMATS[".mp4"], RenderSettings(encoder_speed="fast"), on_gpu=True) is FORMATS[".mp4"]


def test_the_command_line_knows_all_speeds() -> None:
    (option,) = (one for one in command.params if one.name == "encoder_speed")
    assert tuple(option.type.choices) == SPEEDS
