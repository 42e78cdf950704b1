"""Small videos whose offset is known."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from audioreactive.media.audio import ANALYSIS_RATE
from audioreactive.sync.research.scenes import FPS, HEIGHT, WIDTH, Scene, make_scene
from audioreactive.video import VideoSettings, VideoWriter, ffmpeg_path

if TYPE_CHECKING:
    from collections.abc import Callable


def ffmpeg(*arguments: object) -> bytes:
    command = [str(ffmpeg_path()), "-v", "error", "-y", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL).stdout


def write_sound(path: Path, samples: np.ndarray, rate: int = ANALYSIS_RATE) -> Path:
    soundfile.write(path, samples, rate)
    return path


def write_video(path: Path, frames: np.ndarray, sound: Path | None, fps: Fraction = FPS) -> Path:
    settings = VideoSettings(fps=fps, size=(WIDTH, HEIGHT), crf=8, speed="ultrafast")
    duration = len(frames) / fps if sound else None
    with VideoWriter(
        path, settings, frame_size=(WIDTH, HEIGHT), sound=sound, duration=duration, overwrite=True
    ) as writer:
        writer.write(frames)
    return path


@pytest.fixture(scope="session")
def bounces() -> Scene:
    """A ball whose strokes are heard as they are seen."""
    return make_scene("impact", 1, 2, offset=0.0)


@pytest.fixture(scope="session")
def film(bounces: Scene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as an mp4."""
    folder = tmp_path_factory.mktemp("film")
    return write_video(folder / "film.mp4", bounces.frames, write_sound(folder / "film.wav", bounces.sound))


@pytest.fixture
def moved(film: Path, tmp_path: Path) -> Callable[[float], Path]:
    """Makes the film with its sound so many seconds later."""

    def make(seconds: float) -> Path:
        path = tmp_path / f"moved{round(seconds * 1e3)}.mp4"
        ffmpeg(
            "-i", film, "-itsoffset", seconds, "-i", film, "-map", "0:v", "-map", "1:a", "-c", "copy",
            "-avoid_negative_ts", "disabled", path,
        )  # fmt: skip
        return path

    return make
