"""Read a finished video or folder of frames: its properties, its frames, its embedded preset."""

import contextlib
import json
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from audioreactive._support.memory import give_back
from audioreactive.errors import VideoError, shown
from audioreactive.media.audio import LONGEST_HOURS
from audioreactive.media.decoding import heard_track
from audioreactive.media.ffmpeg import QUIET, VIDEO_DEMUXERS, Reading, reading, run, stranger
from audioreactive.video import tags

FRAME_PATTERN: Final = "frame_%06d.png"
PRESET_FILE: Final = "preset.toml"
SOUND_FILE: Final = "sound.wav"
INFO_FILE: Final = "video.json"
"""Names of the files in a folder of frames."""

_READ: Final = "mp4, mov, mkv, webm, gif, webp and folders of frames of this program are read"
_LONGEST_METADATA: Final = 4 << 20
_LONGEST_INFO: Final = 1 << 16
_LARGEST_SIDE: Final = 16384
_FASTEST: Final = 1000
"""Most frames per second of a folder of frames; like `_LARGEST_SIDE`, the limit for writing."""


@dataclass(frozen=True)
class VideoInfo:
    """Properties of a video."""

    width: int
    height: int
    fps: Fraction
    """Exact frames per second, without the rounding of a container's time stamps."""
    frames: int
    video_codec: str
    """ffmpeg's name of the codec, such as `h264`."""
    audio_codec: str | None
    sample_rate: int | None
    """Samples per second of the sound; None without sound."""

    @property
    def duration(self) -> Fraction:
        """Length of the picture in seconds."""
        return self.frames / self.fps


def probe(path: Path) -> VideoInfo:
    """Read the properties of a video file or a folder of frames; counts all frames without decoding them.

    Raises:
        VideoError: the file is missing, or contains no picture.
    """
    _check_there(path)
    if path.is_dir():
        return _probe_folder(path)
    source = [*QUIET, *stranger(path, VIDEO_DEMUXERS)]
    # A decoded frame's time base is exactly 1 / fps; the packets have the container's.
    first = _listing(path, [*source, "-map", "0:v:0", "-frames:v", "1", "-f", "framecrc", "-"])
    packets = _listing(path, [*source, *_packets("a:0?")])
    heads = dict(re.findall(r"^#(\w+ \d): (.*)$", packets, re.MULTILINE))
    try:
        width, height = map(int, heads["dimensions 0"].split("x"))
        fps = 1 / Fraction(dict(re.findall(r"^#(tb \d): (.*)$", first, re.MULTILINE))["tb 0"])
    except (KeyError, ValueError, ZeroDivisionError):
        raise VideoError(f"{path} holds no picture that can be read") from None
    _check_size(path, width, height)
    frames = sum(1 for _ in re.finditer(r"^0,", packets, re.MULTILINE))
    del packets
    give_back()  # the list of half an hour's packets took 14 MB
    return VideoInfo(
        width=width,
        height=height,
        fps=fps,
        frames=frames,
        video_codec=heads["codec_id 0"],
        audio_codec=heads.get("codec_id 1"),
        sample_rate=int(heads["sample_rate 1"]) if "sample_rate 1" in heads else None,
    )


@dataclass(frozen=True)
class VideoTimes:
    """Time stamps of a video's pictures, and the start of its sound."""

    frames: NDArray[np.float64]
    """(n,) seconds from the first picture to each picture, in order."""
    sound_start: float
    """Seconds from the first picture to the first sound of the track that is heard; 0 without sound."""

    def is_even(self, fps: Fraction) -> bool:
        """Whether each picture i is shown within half a frame of i / fps."""
        expected = np.arange(len(self.frames)) / float(fps)
        return bool(np.all(np.abs(self.frames - expected) < 0.5 / fps))


def frame_times(path: Path) -> VideoTimes:
    """Read the time stamps of a video file or a folder of frames, without decoding.

    Raises:
        VideoError: the file is missing, or contains no picture.
    """
    _check_there(path)
    if path.is_dir():
        info = _probe_folder(path)
        return VideoTimes(np.arange(info.frames) / float(info.fps), 0.0)
    source = [*QUIET, *stranger(path, VIDEO_DEMUXERS)]
    heard = heard_track(path)
    packets = _listing(path, [*source, *_packets("a:0?" if heard is None else str(heard.stream))])
    bases = {stream: float(Fraction(base)) for stream, base in re.findall(r"^#tb (\d): (.*)$", packets, re.MULTILINE)}
    # Store plain numbers: a list of all matches would take about 200 bytes per packet.
    stamps = {"0": array("q"), "1": array("q")}
    for found in re.finditer(r"^([01]), *-?\d+, *(-?\d+),", packets, re.MULTILINE):
        stamps[found[1]].append(int(found[2]))
    if not stamps["0"]:
        raise VideoError(f"{path} holds no picture that can be read")
    frames = np.sort(np.array(stamps["0"])) * bases["0"]
    if not frames[-1] - frames[0] <= LONGEST_HOURS * 3600:
        raise VideoError(f"{path} claims to last longer than {LONGEST_HOURS} hours: cut it into parts")
    # Decoders drop the encoder's delay, which is before 0.
    sound_start = max(min(stamps["1"]) * bases["1"], 0.0) - frames[0] if stamps["1"] else 0.0
    return VideoTimes(frames - frames[0], sound_start)


def read_preset(path: Path) -> str | None:
    """Read the embedded TOML of a video or a folder of frames; None if there is none.

    Raises:
        VideoError: the file is missing, or is not a video.
    """
    _check_there(path)
    if path.is_dir():
        return _read_preset_file(path / PRESET_FILE)
    arguments = [*QUIET, *stranger(path, VIDEO_DEMUXERS), "-f", "ffmetadata", "-"]
    with _output_of(arguments, path) as output:
        metadata = bytearray()
        while chunk := output.read(1 << 16):
            metadata += chunk
            if len(metadata) > _LONGEST_METADATA:
                raise VideoError(
                    f"{path} carries more than {_LONGEST_METADATA} bytes of metadata, more than this program writes"
                )
    return tags.preset_in(bytes(metadata))


def read_frames(path: Path, *, largest_side: int | None = None) -> Iterator[NDArray[np.uint8]]:
    """Decode a video or a folder of frames, one (H, W, 3) uint8 RGB frame after the other.

    With `largest_side`, pictures with a longer side are shrunk to it by ffmpeg, each pixel the mean of an area.

    Raises:
        VideoError: the file is missing, or cannot be decoded.
    """
    info = probe(path)
    source = ["-f", "image2", "-start_number", "0", "-i", FRAME_PATTERN]
    if not path.is_dir():
        source = stranger(path, VIDEO_DEMUXERS)
    width, height, how = info.width, info.height, "bicubic"
    if largest_side is not None and (shrink := largest_side / max(width, height)) < 1:
        width, height, how = max(round(width * shrink), 1), max(round(height * shrink), 1), "area"
    accurate = f"scale={width}:{height}:flags={how}+accurate_rnd+full_chroma_int,format=rgb24"
    raw = ["-map", "0:v:0", "-fps_mode", "passthrough", "-vf", accurate, "-f", "rawvideo", "-"]
    size = width * height * 3
    with _output_of([*QUIET, *source, *raw], path) as output:
        while output.read_into(frame := bytearray(size)) == size:
            yield np.frombuffer(frame, np.uint8).reshape(height, width, 3)


def _packets(sound: str) -> list[str]:
    """Arguments that list the packets of the picture and of a sound."""
    return ["-map", "0:v:0", "-map", f"0:{sound}", "-c", "copy", "-f", "framecrc", "-"]


def is_frame_folder(path: Path) -> bool:
    """Whether a folder contains only files that this program writes to a folder of frames."""
    ours = {PRESET_FILE, SOUND_FILE, INFO_FILE}
    return all(item.name in ours or re.fullmatch(r"frame_\d{6,}\.png", item.name) for item in path.iterdir())


def _check_there(path: Path) -> None:
    try:
        if not path.exists():
            raise VideoError(f"there is no {path}; check the name")
        if not path.is_file() and not path.is_dir():
            raise VideoError(f"{path} is a device or a pipe, not a video")
    except OSError as error:
        raise VideoError(f"{path} cannot be read: {error.strerror}") from None


def _check_size(path: Path, width: int, height: int) -> None:
    """Refuse sizes that this program cannot have written, before memory is allocated for them."""
    if not (0 < width <= _LARGEST_SIDE and 0 < height <= _LARGEST_SIDE):
        sides = f"{shown(width)} by {shown(height)}"
        raise VideoError(f"{path} claims pictures of {sides} pixels; sides go from 1 to {_LARGEST_SIDE}")


def _probe_folder(path: Path) -> VideoInfo:
    try:
        _check_there(path / INFO_FILE)
        with (path / INFO_FILE).open("rb") as file:
            stated: dict[str, Any] = json.loads(file.read(_LONGEST_INFO))
        width, height = (int(side) for side in stated["size"])
        fps = _rate(str(stated["fps"]))
        frames = int(stated["frames"])
    except (OSError, ValueError, LookupError, TypeError, ArithmeticError, RecursionError, VideoError):
        raise VideoError(f"{path} is no folder of frames of this program: its {INFO_FILE} cannot be read") from None
    _check_size(path, width, height)
    if not 0 < fps <= _FASTEST:
        raise VideoError(f"{path} claims {float(fps):g} frames a second; up to {_FASTEST} can be used")
    there = sum(re.fullmatch(r"frame_\d{6,}\.png", item.name) is not None and item.is_file() for item in path.iterdir())
    if not 0 < frames <= there:
        raise VideoError(f"{path} should hold {shown(frames)} frames, and there are {there}")
    sound = SOUND_FILE if (path / SOUND_FILE).exists() else None
    return VideoInfo(width, height, fps, frames, "png", "pcm_s24le" if sound else None, None)


def _rate(text: str) -> Fraction:
    """Parse frames per second with few digits, because `Fraction("1e1000000000")` never returns."""
    found = re.fullmatch(r"([0-9]{1,9})(?:/([0-9]{1,9}))?", text)
    if found is None:
        raise ValueError(text)
    return Fraction(int(found[1]), int(found[2] or 1))


def _read_preset_file(path: Path) -> str | None:
    try:
        if path.exists() and not path.is_file():
            raise VideoError(f"{path} is not a file")
        with path.open("rb") as file:
            data = file.read(tags.LONGEST_PRESET + 1)
        if len(data) > tags.LONGEST_PRESET:
            raise VideoError(f"{path} is longer than {tags.LONGEST_PRESET} bytes, the most that a preset has")
        return data.decode()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise VideoError(f"{path} cannot be read: {error}") from error


def _listing(path: Path, arguments: list[str]) -> str:
    """Run ffmpeg on a video, and return the text that it prints."""
    try:
        return run(arguments)
    except VideoError as error:
        cause = str(error).removeprefix("ffmpeg cannot do this: ")
        raise VideoError(f"{path} cannot be read as a video: {cause}; {_READ}") from None


@contextlib.contextmanager
def _output_of(arguments: list[str], path: Path) -> Iterator[Reading]:
    """Run ffmpeg on a video; its output is read in the body, and its failure is raised after it."""
    with reading(arguments, folder=path if path.is_dir() else None) as output:
        yield output
        if problem := output.failure():
            raise VideoError(f"{path} cannot be read as a video: {problem}")
