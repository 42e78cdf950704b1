"""A small model's scene, its film, and the frames that one process makes of it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from crews import FRAMES, LENGTH, make_counting, tone
from support import make_features, save_small_model

from audioreactive.chunks import workers
from audioreactive.chunks.film import Film
from audioreactive.chunks.making import LocalExecutor
from audioreactive.chunks.plan import plan_chunks
from audioreactive.chunks.scene import Scene
from audioreactive.generators import ModelFile
from audioreactive.patches.motion import motion
from audioreactive.patches.randomizer import random_patch
from audioreactive.video import VideoSettings, output_format, read_frames
from audioreactive.video.chunks import ENCODER_THREADS, Encoding


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine, workers take their time to leave, too; those who do not leave are no subject here."""
    monkeypatch.setattr(workers, "_EXIT_SECONDS", 120.0)


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    save_small_model(path)
    source = ModelFile.at(path)
    generator, moving = source.load(torch.device("cpu"), torch.float32), motion(random_patch(5), make_features(4))
    return Scene(
        source=source,
        img_size=(32, 48),
        device="cpu",
        dtype=torch.float32,
        fingerprint=generator.fingerprint,
        motion=moving,
        palette=moving.vectors(generator).numpy(),
        batch=4,
        layout="rgb24",
    )


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Film:
    folder = tmp_path_factory.mktemp("film")
    settings = VideoSettings(fps=Fraction(24), size=(48, 32), threads=ENCODER_THREADS)
    return Film(
        output=folder / "alone.mkv",
        encoding=Encoding(output_format(folder / "alone.mkv"), settings, (48, 32)),
        chunks=plan_chunks(0, FRAMES, LENGTH),
        job={},
        song=tone(folder / "song.wav", 4),
        start=Fraction(0),
        duration=Fraction(FRAMES, 24),
        preset="",
    )


@pytest.fixture(scope="session")
def expected(scene: Scene, film: Film) -> np.ndarray:
    """The frames that one process makes."""
    make_counting(film, LocalExecutor(scene.renderer, film.encoding))
    frames = np.stack(list(read_frames(film.output)))
    assert frames.std(axis=0).mean() > 2
    return frames
