"""A file to a video of any size and rate, with its sound in sync."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive.codec.packing import read_player
from audioreactive.errors import CodecError
from audioreactive.progress import Progress, Silent

if TYPE_CHECKING:
    from fractions import Fraction

    from audioreactive.codec.container import Archive

BATCH: Final = 4
"""Frames that are handed to the encoder at once."""
MOST_FRAMES: Final = 60 * 240
"""Most frames of a video: the longest clip at the highest rate."""


def unpack_network(
    archive: Archive,
    output: Path,
    *,
    size: tuple[int, int] | None = None,
    fps: Fraction | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> int:
    """Decode a file that holds a network to a video; returns the number of frames.

    Raises:
        CodecError: the file is damaged.
        VideoError: the video cannot be written.
    """
    from audioreactive.video import VideoSettings, VideoWriter, output_format

    progress = progress or Silent()
    player = read_player(archive)
    width, height = size or player.size
    even = output_format(output).even
    if size is None:
        width, height = (side + side % 2 if must else side for side, must in zip((width, height), even, strict=True))
        if (width, height) != player.size:
            progress.say(f"the picture is drawn as {width}x{height}: this kind of video needs even sides")
    rate = fps or player.fps
    frames = max(round(player.seconds * rate), 1)
    if frames > MOST_FRAMES:
        raise CodecError(f"{frames} frames at {float(rate):g} a second are too many; give a lower --fps")
    with tempfile.TemporaryDirectory() as folder:
        sound: Path | None = None
        if player.sound is not None:
            sound = Path(folder) / f"{archive.path.stem}{player.suffix}"
            sound.write_bytes(player.sound)
        settings = VideoSettings(fps=rate, size=(width, height))
        with (
            VideoWriter(
                output, settings, frame_size=(width, height), sound=sound, duration=frames / rate, overwrite=overwrite
            ) as writer,
            progress.track("decoding", frames, "frame") as advance,
        ):
            pending = []
            for number, picture in enumerate(player.pictures((width, height), rate), 1):
                pending.append(picture)
                if len(pending) == BATCH or number == frames:
                    writer.write(np.stack(pending))
                    pending = []
                advance(1)
    return frames
