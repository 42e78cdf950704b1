"""A clip in memory: all its frames, and its sound."""

from __future__ import annotations

import contextlib
import hashlib
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive.errors import AudioError, AudioReactiveError, CodecError, VideoError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

LONGEST_SECONDS: Final = 60
"""Longest clip that a network is fitted to: longer ones take hours, and are no loops or teasers."""
MOST_FRAMES: Final = 3600
SLOWEST: Final = Fraction(1, LONGEST_SECONDS)
FASTEST: Final = Fraction(240)
"""Bounds of the frames per second that a packed clip states."""
MOST_PIXELS: Final = 16 << 20
"""Most pixels of all frames together: 6 s of 448x256 at 24 frames a second. A fit takes 60 bytes of memory for each."""


@dataclass(frozen=True)
class Sound:
    """Decoded sound."""

    samples: NDArray[np.float32]
    """(N, channels); full scale is 1."""
    rate: int
    """Samples per second."""


@dataclass(frozen=True)
class Clip:
    """Frames and sound."""

    frames: NDArray[np.uint8]
    """(T, H, W, 3) sRGB."""
    fps: Fraction
    sound: Sound | None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.frames.shape[2], self.frames.shape[1]

    @property
    def seconds(self) -> Fraction:
        """Length of the picture."""
        return len(self.frames) / self.fps

    def digest(self) -> str:
        """Hexadecimal SHA-256 of frames, rate and samples."""
        digest = hashlib.sha256(f"{self.frames.shape} {self.fps}".encode())
        digest.update(np.ascontiguousarray(self.frames).data)
        if self.sound is not None:
            digest.update(f"{self.sound.samples.shape} {self.sound.rate}".encode())
            digest.update(np.ascontiguousarray(self.sound.samples, "<f4").data)
        return digest.hexdigest()


def read_clip(path: Path, *, largest_side: int | None = None, with_sound: bool = True) -> Clip:
    """Read a clip that is short and small enough for a network; larger pictures are shrunk to `largest_side`.

    Raises:
        CodecError: there is no picture, or too much of it.
    """
    from audioreactive.video import frame_times, probe, read_frames
    from audioreactive.video.even import even_order, reordered

    try:
        info, times = probe(path), frame_times(path)
        width, height = info.width, info.height
        if largest_side is not None and (shrink := largest_side / max(width, height)) < 1:
            width, height = max(round(width * shrink), 1), max(round(height * shrink), 1)
        fps = info.fps
        order: Sequence[int] = range(info.frames)
        if not times.is_even(fps):
            fps, order = even_order(times.frames, SLOWEST, FASTEST)
        check_clip(path.name, len(order), fps, (width, height))
        sound = None
        if with_sound and info.audio_codec:
            sound = placed(read_sound(path), times.sound_start, len(order) / fps)
        frames = np.empty((len(order), height, width, 3), np.uint8)
        count = 0
        for frame in reordered(read_frames(path, largest_side=largest_side), order):
            if count == len(frames):
                break
            frames[count] = frame
            count += 1
    except VideoError as error:
        raise CodecError(_without_picture(path, error)) from error
    if not count:
        raise CodecError(f"{str(path)!r} has no picture: give a video")
    return Clip(frames[:count], fps, sound)


def placed(sound: Sound, start: float, seconds: Fraction) -> Sound | None:
    """Return a sound as it is heard during a picture of so many seconds, which begins `start` seconds before the sound.

    It begins with the picture, and ends with it or earlier; None if nothing is heard during the picture.
    """
    first = round(start * sound.rate)
    samples = sound.samples[-first:] if first < 0 else sound.samples
    samples = samples[: max(math.ceil(seconds * sound.rate) - max(first, 0), 0)]
    if not len(samples):
        return None
    return Sound(np.pad(samples, ((max(first, 0), 0), (0, 0))), sound.rate)


def _without_picture(path: Path, error: VideoError) -> str:
    """Why a file is no clip, in one sentence."""
    from audioreactive.media.decoding import contents

    try:
        streams = [track.stream for track in contents(path).tracks]
    except (AudioReactiveError, OSError):
        streams = []
    if not streams or streams != list(range(len(streams))):  # a video's first stream is its picture
        return str(error).replace("ffmpeg cannot do this: ", "")
    return f"{str(path)!r} is a sound without a picture: give a video, such as one that 'render' makes of it"


def check_clip(name: str, frames: int, fps: Fraction, size: tuple[int, int]) -> None:
    """Raise CodecError if a clip is too long or too large for a network, or its rate is none that a file states."""
    if not SLOWEST <= fps <= FASTEST:
        raise CodecError(
            f"{name} has {float(fps):.4g} frames a second, and a packed clip has from {SLOWEST} to {FASTEST}: "
            "write it again with another rate"
        )
    seconds = float(frames / fps)
    if seconds > LONGEST_SECONDS or frames > MOST_FRAMES:
        raise CodecError(
            f"{name} lasts {seconds:.0f} s ({frames} frames), and a network is fitted to clips of up to "
            f"{LONGEST_SECONDS} s: cut a loop or a teaser out of it, or pack a video of this program with --recipe"
        )
    width, height = size
    if frames * width * height > MOST_PIXELS:
        side = int(max(size) * (MOST_PIXELS / (frames * width * height)) ** 0.5)
        raise CodecError(
            f"{name} has {frames} frames of {width}x{height}, more than a network is fitted to: give --side {side} to "
            "shrink them, or cut it"
        )


def read_sound(path: Path) -> Sound:
    """Decode a file's sound, in one or two channels.

    Raises:
        CodecError: there is none, or it cannot be decoded.
    """
    from audioreactive.media.decoding import Decoder, choose, contents, recording_of

    try:
        chosen, _ = choose(contents(path), path, None)
        recording = recording_of(path, chosen)
        with contextlib.closing(Decoder(recording, is_for_two_ears=True).blocks()) as blocks:
            pieces = list(blocks)
    except (AudioError, VideoError) as error:
        raise CodecError(f"the sound of {str(path)!r} cannot be read: {error}") from error
    if not pieces:
        raise CodecError(f"the sound of {str(path)!r} cannot be read: it has no samples")
    return Sound(np.concatenate(pieces), recording.rate)
