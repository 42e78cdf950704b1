"""A video's picture, read once and kept small: its clock, its changes, the colours of its cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive.errors import SyncError
from audioreactive.progress import Progress, Silent
from audioreactive.sync.container import PictureClock, picture_clock
from audioreactive.sync.foretell import cells
from audioreactive.sync.seen import SIDE, STILL, ChangeMeter
from audioreactive.video import frame_times, probe, read_frames
from audioreactive.video.reader import SOUND_FILE

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from audioreactive.video import VideoInfo, VideoTimes

FEWEST_FRAMES: Final = 24
"""Fewest frames that can be compared."""


@dataclass(frozen=True, eq=False)
class Watched:
    """A video's picture as far as its sync needs it."""

    path: Path
    info: VideoInfo
    times: VideoTimes
    clock: PictureClock
    changes: NDArray[np.float32]
    """(T, 17) measurements; see `seen.ChangeMeter`."""
    cells: NDArray[np.uint8]
    """(T, C) mean colour of each cell, for recipes."""

    @property
    def is_still(self) -> bool:
        """Whether nothing moves in the picture."""
        return bool(np.sort(self.changes[1:, 3])[-3:].mean() < STILL) if len(self.changes) > 3 else True


def watch(video: Path, progress: Progress | None = None) -> Watched:
    """Read a video's picture, small.

    Raises:
        VideoError: the video does not exist, cannot be read, or has too few frames.
    """
    progress = progress or Silent()
    info, times = probe(video), frame_times(video)
    if info.frames < FEWEST_FRAMES:
        raise SyncError(f"{video.name} has {info.frames} frames; the sync of at least {FEWEST_FRAMES} can be measured")
    meter = ChangeMeter()
    table = bytearray()
    with progress.track("watching", info.frames, "frame") as advance:
        for frame in read_frames(video, largest_side=SIDE):
            meter.add(frame)
            table += np.rint(cells(frame) * 255).astype(np.uint8).tobytes()
            advance(1)
    changes = meter.finish()
    if len(changes) < FEWEST_FRAMES:
        raise SyncError(f"only {len(changes)} frames of {video.name} can be decoded; {FEWEST_FRAMES} are needed")
    clock = picture_clock(times, info.fps, len(changes))
    return Watched(video, info, times, clock, changes, np.frombuffer(table, np.uint8).reshape(len(changes), -1))


def own_sound(watched: Watched) -> Path | None:
    """File with the video's own sound; None if it has none."""
    if watched.info.audio_codec is None:
        return None
    return watched.path / SOUND_FILE if watched.path.is_dir() else watched.path
