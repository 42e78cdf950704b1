"""The command line as a person calls it, a small model, and small songs."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile
from platformdirs import user_cache_path
from support import save_small_model

from audioreactive.commands import group, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RATE = 22_050


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture
def call(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """`call("render", song, ...)` runs the command line in this process."""

    def invoke(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["audioreactive", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit:
            run(group, "audioreactive")
        captured = capsys.readouterr()
        return Outcome(int(exit.value.code or 0), captured.out, captured.err)

    return invoke


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory):
    """Analyses are kept for the tests' time alone; compiled kernels and lists of fonts, as always."""
    cache = tmp_path_factory.mktemp("cache")
    for name in ("stylegan_ops", "matplotlib"):
        (always := user_cache_path(name)).mkdir(parents=True, exist_ok=True)
        (cache / name).symlink_to(always)
    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_CACHE_HOME", str(cache))
    yield
    patch.undo()


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 32² that renders hundreds of frames a second."""
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    save_small_model(path)
    return path


@pytest.fixture(scope="session")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds: a chord, and a drum twice a second, in stereo."""
    t = np.arange(3 * RATE) / RATE
    drum = np.exp(-(t % 0.5) * 40) * np.random.RandomState(0).randn(len(t)) * 0.3
    chord = sum(np.sin(2 * np.pi * pitch * t) for pitch in (220, 277.2, 329.6)) / 12
    path = tmp_path_factory.mktemp("song") / "song.wav"
    soundfile.write(path, np.stack([drum + chord, drum * 0.8 + chord], axis=1), RATE)
    return path
