"""A finished video or folder of frames: its shape, its frames, the preset that it carries."""

import contextlib
import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from audioreactive.errors import VideoError
from audioreactive.ffmpeg import QUIET, VIDEO_DEMUXERS, run, spawn, stranger
from audioreactive.video import tags

FRAME_PATTERN: Final = "frame_%06d.png"
PRESET_FILE: Final = "preset.toml"
SOUND_FILE: Final = "sound.wav"
INFO_FILE: Final = "video.json"
"""What a folder of frames holds, beside the frames themselves."""

_LONGEST_METADATA: Final = 4 << 20


@dataclass(frozen=True)
class VideoInfo:
    """The shape of a video."""

    width: int
    height: int
    fps: Fraction
    """Exact; None of the rounding that containers do to time stamps."""
    frames: int
    video_codec: str
    """ffmpeg's name of the codec, such as `h264`."""
    audio_codec: str | None
    sample_rate: int | None
    """Hertz."""

    @property
    def duration(self) -> Fraction:
        """Seconds of picture."""
        return self.frames / self.fps


def probe(path: Path) -> VideoInfo:
    """The shape of a video file or of a folder of frames; counts every frame, without decoding them.

    Raises:
        VideoError: it is not there, or holds no picture.
    """
    _check_there(path)
    if path.is_dir():
        return _probe_folder(path)
    source = [*QUIET, *stranger(path, VIDEO_DEMUXERS)]
    # A decoded frame's time base is 1 / fps exactly; that of the packets is the container's.
    first = run([*source, "-map", "0:v:0", "-frames:v", "1", "-f", "framecrc", "-"])
    packets = run([*source, "-map", "0:v:0", "-map", "0:a:0?", "-c", "copy", "-f", "framecrc", "-"])
    heads = dict(re.findall(r"^#(\w+ \d): (.*)$", packets, re.MULTILINE))
    try:
        width, height = map(int, heads["dimensions 0"].split("x"))
        seconds = Fraction(dict(re.findall(r"^#(tb \d): (.*)$", first, re.MULTILINE))["tb 0"])
    except (KeyError, ValueError, ZeroDivisionError):
        raise VideoError(f"{path} holds no picture that can be read") from None
    return VideoInfo(
        width=width,
        height=height,
        fps=1 / seconds,
        frames=len(re.findall(r"^0,", packets, re.MULTILINE)),
        video_codec=heads["codec_id 0"],
        audio_codec=heads.get("codec_id 1"),
        sample_rate=int(heads["sample_rate 1"]) if "sample_rate 1" in heads else None,
    )


@dataclass(frozen=True)
class VideoTimes:
    """When each picture of a video is shown, and when its sound begins."""

    frames: NDArray[np.float64]
    """(n,) seconds since the first picture, in order."""
    sound_start: float
    """Seconds from the first picture to the first sound; 0 without sound."""

    def is_even(self, fps: Fraction) -> bool:
        """Whether picture i comes at i / fps, give or take half a frame."""
        expected = np.arange(len(self.frames)) / float(fps)
        return bool(np.all(np.abs(self.frames - expected) < 0.5 / fps))


def frame_times(path: Path) -> VideoTimes:
    """The time stamps of a video file or of a folder of frames, without decoding.

    Raises:
        VideoError: it is not there, or holds no picture.
    """
    _check_there(path)
    if path.is_dir():
        info = _probe_folder(path)
        return VideoTimes(np.arange(info.frames) / float(info.fps), 0.0)
    source = [*QUIET, *stranger(path, VIDEO_DEMUXERS)]
    packets = run([*source, "-map", "0:v:0", "-map", "0:a:0?", "-c", "copy", "-f", "framecrc", "-"])
    bases = {stream: float(Fraction(base)) for stream, base in re.findall(r"^#tb (\d): (.*)$", packets, re.MULTILINE)}
    stamps: dict[str, list[int]] = {"0": [], "1": []}
    for stream, stamp in re.findall(r"^([01]), *-?\d+, *(-?\d+),", packets, re.MULTILINE):
        stamps[stream].append(int(stamp))
    if not stamps["0"]:
        raise VideoError(f"{path} holds no picture that can be read")
    frames = np.sort(np.array(stamps["0"])) * bases["0"]
    # An encoder's delay lies before 0, and is cut away by decoders.
    sound_start = max(min(stamps["1"]) * bases["1"], 0.0) - frames[0] if stamps["1"] else 0.0
    return VideoTimes(frames - frames[0], sound_start)


def read_preset(path: Path) -> str | None:
    """The TOML inside a video or a folder of frames, or None where there is none.

    Raises:
        VideoError: the file is not there, or is no video.
    """
    _check_there(path)
    if path.is_dir():
        return _read_preset_file(path / PRESET_FILE)
    arguments = [*QUIET, *stranger(path, VIDEO_DEMUXERS), "-f", "ffmetadata", "-"]
    with _output_of(arguments, path) as process:
        assert process.stdout is not None
        metadata = bytearray()
        while chunk := process.stdout.read(1 << 16):
            metadata += chunk
            if len(metadata) > _LONGEST_METADATA:
                raise VideoError(f"{path} carries more than {_LONGEST_METADATA} bytes of metadata; none of ours does")
    return tags.preset_in(bytes(metadata))


def read_frames(path: Path) -> Iterator[NDArray[np.uint8]]:
    """Decode a video or a folder of frames, one (H, W, 3) uint8 RGB frame after the other.

    Raises:
        VideoError: it is not there, or cannot be decoded.
    """
    info = probe(path)
    source = ["-f", "image2", "-start_number", "0", "-i", FRAME_PATTERN]
    if not path.is_dir():
        source = stranger(path, VIDEO_DEMUXERS)
    accurate = "scale=flags=bicubic+accurate_rnd+full_chroma_int,format=rgb24"
    raw = ["-map", "0:v:0", "-fps_mode", "passthrough", "-vf", accurate, "-f", "rawvideo", "-"]
    size = info.width * info.height * 3
    with _output_of([*QUIET, *source, *raw], path) as process:
        assert process.stdout is not None
        while len(frame := read_exactly(process.stdout, size)) == size:
            yield np.frombuffer(frame, np.uint8).reshape(info.height, info.width, 3)


def is_frame_folder(path: Path) -> bool:
    """Whether a folder holds nothing but what this program writes into a folder of frames."""
    ours = {PRESET_FILE, SOUND_FILE, INFO_FILE}
    return all(item.name in ours or re.fullmatch(r"frame_\d{6,}\.png", item.name) for item in path.iterdir())


def _check_there(path: Path) -> None:
    if not path.exists():
        raise VideoError(f"there is no {path}; check the name")


def _probe_folder(path: Path) -> VideoInfo:
    try:
        stated: dict[str, Any] = json.loads((path / INFO_FILE).read_bytes()[:65536])
        width, height = (int(side) for side in stated["size"])
        fps = Fraction(str(stated["fps"]))
        frames = int(stated["frames"])
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
        raise VideoError(f"{path} is no folder of frames of this program: its {INFO_FILE} cannot be read") from None
    sound = SOUND_FILE if (path / SOUND_FILE).exists() else None
    return VideoInfo(width, height, fps, frames, "png", "pcm_s24le" if sound else None, None)


def _read_preset_file(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            data = file.read(tags.LONGEST_PRESET + 1)
        if len(data) > tags.LONGEST_PRESET:
            raise VideoError(f"{path} is longer than {tags.LONGEST_PRESET} bytes, which no preset is")
        return data.decode()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise VideoError(f"{path} cannot be read: {error}") from error


@contextlib.contextmanager
def _output_of(arguments: list[str], path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """An ffmpeg whose standard output is read in the body; its end is awaited, its failure raised."""
    with tempfile.TemporaryFile() as complaint:
        process = spawn(arguments, stderr=complaint, folder=path if path.is_dir() else None)
        with process:
            try:
                yield process
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            complaint.seek(0)
            lines = complaint.read(65536).decode(errors="replace").strip().splitlines()
            raise VideoError(f"{path} cannot be read as a video: {' / '.join(lines[-3:])}")


def read_exactly(stream: Any, size: int) -> bytearray:
    """Up to size bytes: fewer only at the end."""
    data = bytearray(size)
    view, filled = memoryview(data), 0
    while filled < size and (count := stream.readinto(view[filled:])):
        filled += count
    return data[:filled] if filled < size else data
