"""Small video files for the tests of sync."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import soundfile

from audioreactive.media.audio import ANALYSIS_RATE
from audioreactive.sync.research.scenes import FPS, HEIGHT, WIDTH
from audioreactive.video import VideoSettings, VideoWriter, ffmpeg_path

if TYPE_CHECKING:
    from fractions import Fraction
    from pathlib import Path

    import numpy as np


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
