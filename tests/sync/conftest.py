"""Small videos whose offset is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from film_files import ffmpeg, write_sound, write_video

from audioreactive.sync.research.scenes import Scene, make_scene

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


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
