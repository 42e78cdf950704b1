"""A short clip with sound, as a file."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
from codec_clips import RATE, moving, tone

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def clip_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8 frames of 48x32 at 8 a second, lossless, with a tone."""
    import soundfile

    from audioreactive.video import VideoSettings, VideoWriter

    folder = tmp_path_factory.mktemp("clip")
    soundfile.write(folder / "tone.wav", tone(), RATE)
    settings = VideoSettings(fps=Fraction(8), size=(48, 32))
    with VideoWriter(folder / "clip.mkv", settings, frame_size=(48, 32), sound=folder / "tone.wav") as writer:
        writer.write(moving())
    return folder / "clip.mkv"
