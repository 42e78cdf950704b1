"""The features of a song on the frames of a video, and the range of frames to render."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

from audioreactive._support.exact import exact
from audioreactive.errors import RenderError, shown
from audioreactive.features.names import USUAL_FEATURES
from audioreactive.pipeline.production import RenderSettings
from audioreactive.progress import Progress, Silent, track_share

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from audioreactive.features import Features

DEFAULT_FPS = Fraction(24)
"""Frame rate of a video of a model's pictures if none is given."""
PAINTER_FPS = Fraction(30)
"""Frame rate of a video of the painter's pictures if none is given."""


def listen(
    song: Path,
    *,
    fps: Fraction,
    stems: Mapping[str, Path] | None = None,
    settings: RenderSettings = RenderSettings(),
    progress: Progress | None = None,
    names: tuple[str, ...] = (),
) -> Features:
    """Features of the song, from the cache if possible.

    All default features are always computed, so that one analysis serves all presets; `names` are added to them.
    """
    from audioreactive.features import analyze_file
    from audioreactive.features.tempo import tempo_limits
    from audioreactive.media.audio import check_file

    progress, stems = progress or Silent(), stems or {}
    tempo_limits(settings.tempo, settings.tempo_range)  # reports a wrong tempo before the progress bar starts
    for file in (song, *stems.values()):
        check_file(file)  # before the progress bar starts
    with track_share(progress, "listening") as report:
        return analyze_file(
            song,
            fps=fps,
            names=tuple(dict.fromkeys((*USUAL_FEATURES, *names))),
            stems=stems,
            track=settings.track,
            beat_tracker=settings.beat_tracker,
            tempo=settings.tempo,
            tempo_range=settings.tempo_range,
            progress=report,
            warn=progress.say,
        )


def frame_range(features: Features, start: Fraction, duration: Fraction | None) -> tuple[int, int]:
    """(first frame, one past the last) of the requested part of the song.

    Raises:
        RenderError: the part is outside the song, or empty.
    """
    length = features.duration
    if not 0 <= start < length:
        raise RenderError(f"the start at {float(start):g} s is not inside the song, which lasts {float(length):.2f} s")
    if duration is not None:
        check_duration(duration)
    first = features.frame_at(start)
    stop = features.frames
    if duration is not None:
        stop = min(stop, first + max(math.ceil(duration * features.fps), 1))
    return first, stop


def check_duration(duration: Fraction) -> None:
    """Raise RenderError unless the duration is positive."""
    if duration <= 0:
        raise RenderError(f"the duration of {float(duration):g} s is not positive")


def parse_frame_rate(text: str) -> Fraction:
    """Frame rate from text such as "30" or "30000/1001"; at most 240."""
    try:
        fps = exact(text)
    except ValueError:
        fps = Fraction(0)
    if not 1 <= fps <= 240 or fps.denominator > 1_000_000:
        raise RenderError(f"the frame rate {shown(text)} is not between 1 and 240, such as 24, 59.94 or 30000/1001")
    return fps
