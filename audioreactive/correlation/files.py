"""The score of a video file and its sound."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from audioreactive._support.files import as_path
from audioreactive._support.memory import give_back
from audioreactive.correlation.chance import check_frames, score_once
from audioreactive.correlation.video_features import watch
from audioreactive.errors import ScoreError
from audioreactive.features import DEFAULT_FEATURES, FEATURES, analyze_file
from audioreactive.media.audio import check_file
from audioreactive.progress import Progress, Silent, track_share
from audioreactive.video import frame_times, probe, read_frames
from audioreactive.video.even import even_order, reordered
from audioreactive.video.reader import SOUND_FILE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from audioreactive.correlation.chance import ScoreCard
    from audioreactive.correlation.sides import FloatArray
    from audioreactive.features import Features
    from audioreactive.progress import Advance

SECTIONS, SECTION_COUNT = "chroma", 4
"""Segmentation that is a feature in the score: by chroma, into four kinds of section."""
FASTEST = Fraction(240)
"""Highest frame rate at which a song is analysed; the tables of features grow with it."""
UNNOTICED = 0.1
"""Difference in seconds between the lengths of sound and picture up to which no message is shown."""
SAME_START = 0.05
"""Offset in seconds up to which sound and picture count as starting together: containers round, and few encoders state
their delay."""


def score(video: Path | str, audio: Path | str | None = None, *, progress: Progress | None = None) -> ScoreCard:
    """Measure how audio-reactive a video is.

    Args:
        video: a file, or a folder of frames that this program wrote.
        audio: the song, which begins with the first frame; if None, the sound inside the video.
        progress: gets messages about differing lengths and uneven frame rates.

    Raises:
        VideoError: the video does not exist or cannot be read.
        AudioError: the sound cannot be used.
        ScoreError: there is no sound, there are too few frames, or sound or picture is constant.
    """
    progress = progress or Silent()
    video = as_path(video)
    info, times = probe(video), frame_times(video)
    sound, start = (
        (as_path(audio), 0.0) if audio is not None else (_own_sound(video, info.audio_codec), times.sound_start)
    )
    fps, order = info.fps, None
    if not times.is_even(fps) or fps > FASTEST:
        fps, order = even_order(times.frames, Fraction(1), FASTEST)
        kind = "more frames than can be heard in step" if times.is_even(info.fps) else "no constant frame rate"
        progress.say(f"{video.name} has {kind}; it is resampled to {float(fps):.4g} frames a second")
    length = info.frames if order is None else len(order)
    check_frames(length, fps)  # before anything takes long
    check_file(sound)  # before the progress bar starts
    with track_share(progress, "listening") as report:
        features = analyze_file(sound, fps=fps, progress=report, warn=progress.say)
    give_back()  # the analysis itself, with its own time grids
    with progress.track("watching", length, "frame") as advance:
        frames = read_frames(video) if order is None else reordered(read_frames(video), order)
        seen = watch(_counted(frames, advance), expected=length)
    late = round(start * fps) if abs(start) > SAME_START else 0
    heard, more = sound_tables(features)
    length = len(next(iter(seen.values())))
    shared = min(length - max(late, 0), features.frames - max(-late, 0))
    if shared <= 0:
        raise ScoreError(
            f"no sound plays while the {length} frames of {video.name} are shown; give it with --audio FILE"
        )
    if abs(length - late - features.frames) > UNNOTICED * fps:
        progress.say(
            f"the picture lasts {float(length / fps):.1f} s and the sound {float(features.duration):.1f} s; "
            f"the {float(shared / fps):.1f} s that they share are scored"
        )

    def cut(tables: dict[str, FloatArray], first: int) -> dict[str, FloatArray]:
        return {name: table[first : first + shared] for name, table in tables.items()}

    first = max(-late, 0)
    heard, more, seen = cut(heard, first), cut(more, first), cut(seen, max(late, 0))
    del features  # so that only the tables hold the features' memory
    return score_once(heard, seen, fps=fps, more=more)


def sound_tables(features: Features) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    """Features of Table 3.1, name -> (T, C), and features of separated sources, which are not part of the total."""
    labels = features.segmentation(SECTIONS, SECTION_COUNT)
    heard = {name: features[name] for name in FEATURES}
    heard["sections"] = np.eye(SECTION_COUNT, dtype=np.float32)[labels]
    return heard, {name: features[name] for name in DEFAULT_FEATURES if name not in FEATURES}


def _own_sound(video: Path, codec: str | None) -> Path:
    if codec is None:
        raise ScoreError(f"{video} has no sound of its own; give the song with --audio FILE")
    return video / SOUND_FILE if video.is_dir() else video


def _counted(frames: Iterable[NDArray[np.uint8]], advance: Advance) -> Iterator[NDArray[np.uint8]]:
    for frame in frames:
        yield frame
        advance(1)
