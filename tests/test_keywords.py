"""`audioreactive.render` with the values that people write."""

from __future__ import annotations

import inspect
from dataclasses import fields
from fractions import Fraction

import pytest

import audioreactive
from audioreactive.errors import AudioReactiveError, PresetError, RenderError
from audioreactive.keywords import split_keywords
from audioreactive.patches.knobs import Knobs
from audioreactive.production import RenderSettings


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"fps": 30}, {"fps": Fraction(30)}),
        ({"fps": 29.97}, {"fps": Fraction(2997, 100)}),
        ({"fps": "30000/1001"}, {"fps": Fraction(30000, 1001)}),
        ({"fps": Fraction(24)}, {"fps": Fraction(24)}),
        ({"size": "1280x720"}, {"size": (1280, 720)}),
        ({"size": "720p"}, {"size": (1280, 720)}),
        ({"size": (640, 360)}, {"size": (640, 360)}),
        ({"size": [640, 360]}, {"size": (640, 360)}),
        ({"start": "1:20", "duration": 2.5}, {"start": Fraction(80), "duration": Fraction(5, 2)}),
        ({"duration": None, "fps": None, "size": None}, {}),
        ({"chunk": 10, "crf": 20, "draft": True}, {"chunk": Fraction(10), "crf": 20, "draft": True}),
        ({"fit": "crop", "precision": "fp32", "encoder": "x264", "beat_tracker": "librosa"},
         {"fit": "crop", "precision": "fp32", "encoder": "x264", "beat_tracker": "librosa"}),
    ],
)  # fmt: skip
def test_settings_take_what_people_write(given: dict, expected: dict) -> None:
    settings, knobs = split_keywords(given, None)
    assert settings == RenderSettings(**expected)
    assert knobs == Knobs()


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"fsp": 30}, TypeError, "no keyword 'fsp': did you mean 'fps'"),
        ({"fps": "fast"}, RenderError, "frame rate 'fast'"),
        ({"fps": 0}, RenderError, "frame rate '0'"),
        ({"size": "720"}, RenderError, "did you mean '720p'"),
        ({"size": (0, 5)}, RenderError, "the size '0x5'"),
        ({"size": (1, 2, 3)}, RenderError, "the size"),
        ({"start": "soon"}, RenderError, "start='soon' is not a time"),
        ({"fit": "croop"}, RenderError, "did you mean 'crop'"),
        ({"precision": 16}, RenderError, "precision=16 is none of"),
        ({"motion": 9}, PresetError, "motion 9 was asked for"),
        ({"motion": "much"}, RenderError, "motion='much' is not a number"),
    ],
)
def test_mistakes_are_sentences(given: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        split_keywords(given, None)


def test_settings_are_given_once() -> None:
    with pytest.raises(TypeError, match=r"takes settings= or fps by name, not both"):
        audioreactive.render("nowhere.wav", settings=RenderSettings(), fps=30)
    settings = RenderSettings(crf=30)
    assert split_keywords({"motion": 2}, settings) == (settings, Knobs(motion=2.0))


def test_names_of_settings_and_knobs_do_not_meet() -> None:
    own = set(inspect.signature(audioreactive.render).parameters)
    settings, knobs = ({field.name for field in fields(kind)} for kind in (RenderSettings, Knobs))
    assert not settings & knobs and not (settings | knobs) & own


def test_a_web_address_is_no_song() -> None:
    with pytest.raises(AudioReactiveError, match="is a web address: download it"):
        audioreactive.render("https://youtu.be/x")


def test_dir_shows_what_there_is() -> None:
    assert set(audioreactive.__all__) <= set(dir(audioreactive))
    for name in dir(audioreactive):
        getattr(audioreactive, name)


def test_render_from_python(tmp_path) -> None:
    import numpy as np
    import soundfile
    from support import save_small_model

    from audioreactive.video import probe

    save_small_model(tmp_path / "m.safetensors")
    soundfile.write(tmp_path / "s.wav", np.random.RandomState(0).randn(22_050) * 0.1, 22_050)
    made = audioreactive.render(
        tmp_path / "s.wav", tmp_path / "v.mp4", model=tmp_path / "m.safetensors", seed=3, fps=30, size="64x48",
        motion=0.5, duration="0.5",
    )  # fmt: skip
    info = probe(made.path)
    assert (info.fps, info.width, info.height, info.frames) == (30, 64, 48, 15)
    assert made.preset.latents.reach == (0.5, 0.5, 0.5)
