"""A file that holds a network to a video of any size and rate, with its sound in sync."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from audioreactive.codec import packing, seed
from audioreactive.errors import CodecError, shown
from audioreactive.progress import Progress, Silent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction

    from numpy.typing import NDArray

    from audioreactive.codec.container import Archive

BATCH: Final = 4
"""Frames that are handed to the encoder at once."""
MOST_FRAMES: Final = 60 * 240
"""Most frames of a video: the longest clip at the highest rate."""


class Player(Protocol):
    """A clip that is decoded on request."""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) as packed."""
        ...

    @property
    def fps(self) -> Fraction:
        """Frames per second as packed."""
        ...

    @property
    def seconds(self) -> Fraction:
        """Length of the picture."""
        ...

    def pictures(self, size: tuple[int, int], fps: Fraction) -> Iterator[NDArray[np.uint8]]:
        """Decode the whole clip at a size and rate."""
        ...

    def sound_file(self, folder: Path) -> Path | None:
        """Write the sound into a folder; None without sound."""
        ...


def open_player(archive: Archive) -> Player:
    """Read the network in a file, of whichever kind.

    Raises:
        CodecError: it is damaged, or holds no network.
    """
    kind = archive.header.get("kind")
    if kind == packing.KIND:
        return packing.read_player(archive)
    if kind == seed.KIND:
        return seed.read_student(archive)
    raise CodecError(f"{str(archive.path)!r} holds {shown(kind)}, which this program does not know: update it")


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
    player = open_player(archive)
    width, height = size or player.size
    if size is None:
        even = output_format(output).even
        width, height = (side + side % 2 if must else side for side, must in zip((width, height), even, strict=True))
        if (width, height) != player.size:
            progress.say(f"the picture is drawn as {width}x{height}: this kind of video needs even sides")
    rate = fps or player.fps
    frames = max(round(player.seconds * rate), 1)
    if frames > MOST_FRAMES:
        raise CodecError(f"{frames} frames at {float(rate):g} a second are too many; give a lower --fps")
    with tempfile.TemporaryDirectory() as folder:
        sound = player.sound_file(Path(folder))
        settings = VideoSettings(fps=rate, size=(width, height))
        writing = VideoWriter(
            output, settings, frame_size=(width, height), sound=sound, duration=frames / rate, overwrite=overwrite
        )
        with writing as writer, progress.track("decoding", frames, "frame") as advance:
            pending = []
            for number, picture in enumerate(player.pictures((width, height), rate), 1):
                pending.append(picture)
                if len(pending) == BATCH or number == frames:
                    writer.write(np.stack(pending))
                    pending = []
                advance(1)
    return frames
