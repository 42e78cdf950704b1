"""Encode a video in chunks that are joined without encoding again.

Conventions: a chunk is a file without sound that consists of whole closed groups of pictures. Its time base is that of
the finished video, and it starts at 0. All chunks of a video are encoded with the same settings, including the number
of encoder threads, so that one set of parameters in the file's header is valid for all of them.
"""

from __future__ import annotations

import math
import re
import tempfile
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from audioreactive._support.files import write_new
from audioreactive.errors import VideoError
from audioreactive.media.ffmpeg import QUIET, await_end, in_folder, spawn
from audioreactive.video import tags
from audioreactive.video.animation import animate
from audioreactive.video.encoder import REPORT, EncoderProcess, failure, frames_reported, widen
from audioreactive.video.formats import FORMATS, NVENC, OutputFormat, VideoSettings, frame_shape, raw_input
from audioreactive.video.reader import FRAME_PATTERN, SOUND_FILE
from audioreactive.video.sound import SoundTrack as SoundTrack
from audioreactive.video.writer import complete_frame_folder

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from numpy.typing import NDArray

    from audioreactive.generators import Layout

ENCODER_THREADS: Final = 4
"""Threads of each encoder, on every machine: x264's output depends on the number, and a chunk must have the same bytes
wherever it is made. To use more cores, run more encoders."""

NVENC_AT_ONCE: Final = 2
"""NVENC encoders of a process that are open at once: drivers of GeForce cards allow 3 to 8 on a whole computer, and a
second one fills the pauses of the first."""

SPARE: Final = "chunk_x264"
"""First word of the names of chunks that were encoded by `Encoding.spare`."""

_EXACT: Final = ("-fflags", "+bitexact", "-flags", "+bitexact")
_TAGS_FILE: Final = "tags.txt"
_TAGS: Final = ("-f", "ffmetadata", "-i", _TAGS_FILE)
_TAGGED: Final = ("-map_metadata", "1", "-map_chapters", "-1", *_EXACT)
_LIST_FILE: Final = "chunks.txt"
_JOINED: Final = "joined"
_DAMAGED: Final = "a chunk was damaged on the disk: run the same command again, and it is made anew"


@dataclass(frozen=True)
class Encoding:
    """Settings with which all chunks of a video are encoded."""

    kind: OutputFormat
    settings: VideoSettings
    frame_size: tuple[int, int]
    """(width, height) of the incoming frames."""

    def __post_init__(self) -> None:
        self.kind.check(self.settings)

    @property
    def suffix(self) -> str:
        """Suffix of a chunk's file name."""
        return f".{self.kind.chunk_container}"

    @property
    def spare(self) -> Encoding | None:
        """The encoding that takes over where a GPU's encoder fails in the middle of a video; None: there is none."""
        if self.kind.video_encoder != NVENC.video_encoder:
            return None
        return replace(self, kind=FORMATS[self.kind.extension])

    @property
    def most_at_once(self) -> int | None:
        """Most encoders of a process that are worth being open at once; None: as many as there are cores for."""
        return NVENC_AT_ONCE if self.spare else None

    def finished(self) -> Encoding:
        """Return the encoding for frames that are finished pictures already, in the layout that suits the format."""
        layout = self.kind.best_layout("")
        return replace(self, settings=replace(self.settings, filters="", layout=layout), frame_size=self.settings.size)

    def open(self, folder: Path, name: str) -> EncoderProcess:
        """Start an encoder that writes a chunk of this name to the folder."""
        picture = ["-map", "0:v:0", "-vf", self.kind.picture_filters(self.settings)]
        picture += [*self.kind.arguments(self.settings), "-fps_mode", "passthrough"]
        container = ["-f", self.kind.chunk_container, name]
        return EncoderProcess(
            [*QUIET, *raw_input(self.settings, self.frame_size), *picture, *_EXACT, *container],
            folder=folder,
            frame_shape=frame_shape(self.settings.layout, self.frame_size),
        )


def read_chunks(
    encoding: Encoding,
    folder: Path,
    names: Sequence[str],
    *,
    layout: Layout = "rgb24",
    size: tuple[int, int] | None = None,
    threads: int | None = None,
) -> Generator[NDArray[np.uint8], None, None]:
    """Decode the frames of chunks one after the other, as a viewer will see them.

    Args:
        encoding: settings with which they were encoded.
        folder: folder of the chunks.
        names: file names of the chunks, in order.
        layout: layout of the frames; if the file has the same, its values are returned exactly.
        size: (width, height) to which frames are shrunk by averaging, with colours exact to a level or two; None: full
            size.
        threads: threads of the decoder; None: its own choice.

    Raises:
        VideoError: a chunk cannot be decoded.
    """
    whole = encoding.settings.size
    shape = frame_shape(layout, size or whole)
    filters = []
    if size is not None:
        filters = ["-vf", f"scale={size[0]}:{size[1]}:flags=area"]
    elif layout == "rgb24":
        filters = ["-vf", "scale=flags=bicubic+accurate_rnd+full_chroma_int"]
    few = [] if threads is None else ["-threads", str(threads)]
    raw = ["-pix_fmt", layout, "-fps_mode", "passthrough", "-f", "rawvideo", "-"]
    # One ffmpeg for all chunks, because starting it takes as long as decoding fifty small frames.
    with tempfile.NamedTemporaryFile("w", suffix=".txt", dir=folder, encoding="utf-8") as playlist:
        playlist.write("\n".join(["ffconcat version 1.0", *(f"file {name}" for name in names)]) + "\n")
        playlist.flush()
        run = _Run([*QUIET, *few, "-f", "concat", *in_folder(Path(playlist.name).name), *filters, *raw], folder)
        try:
            yield from (np.frombuffer(frame, np.uint8).reshape(shape) for frame in run.pieces(math.prod(shape)))
            run.finish()
        finally:
            run.abandon()


def join(
    encoding: Encoding,
    chunks: Sequence[tuple[str, int]],
    *,
    folder: Path,
    sound: Path | None,
    title: str,
    preset: str | None,
) -> Path:
    """Join chunks and sound to the finished video; both are copied without encoding again.

    Args:
        encoding: settings with which the chunks were encoded.
        chunks: file name and number of frames of each chunk, in order.
        folder: folder of the chunks, in which the video is written too.
        sound: the finished sound track; None for a silent video.
        title: title tag of the video.
        preset: TOML to embed.

    Returns:
        Path of the video, or of a folder of frames, under a temporary name.

    Raises:
        VideoError: frames are missing, or the disk is full.
    """
    if preset is not None:
        tags.check_preset(preset)
    write_new(folder / _TAGS_FILE, tags.metadata_file(title=title, preset=preset))
    write_new(folder / _LIST_FILE, _playlist(chunks, encoding.settings.fps).encode())
    if encoding.kind.animation:
        return _animate(encoding, chunks, folder)
    kind, picture = encoding.kind, ["-map", "0:v:0", "-c", "copy"]
    source = ["-f", "concat", *in_folder(_LIST_FILE), *_TAGS]
    if kind.is_folder:
        made = folder / _JOINED
        made.mkdir(exist_ok=True)
        arguments = [*source, *picture, *_TAGGED, "-start_number", "0", "-f", "image2", f"{_JOINED}/{FRAME_PATTERN}"]
    else:
        made = folder / f"{_JOINED}{kind.extension}"
        steps = _equal_steps(folder, chunks, encoding.settings.fps) if kind.is_isobmff else []
        if _is_mixed(chunks):
            # Chunks of two encoders have parameters of their own, which this type of track keeps among the pictures.
            picture = [*picture, "-tag:v", "avc3"]
        track, heard = (["-i", sound.name], ["-map", "2:a:0"]) if sound else ([], [])
        arguments = [*source, *track, *picture, *steps, *heard, *_TAGGED, *kind.container_options, made.name]
    frames = sum(count for _, count in chunks)
    joined = frames_reported(_finish(_Run([*QUIET, "-y", *arguments, *REPORT], folder)))
    if joined != frames:
        raise VideoError(f"{joined} of {frames} frames were joined; {_DAMAGED}")
    if kind.is_folder:
        if sound is not None:
            sound.replace(made / SOUND_FILE)
        complete_frame_folder(made, encoding.settings, frames, preset)
    return made


def _is_mixed(chunks: Sequence[tuple[str, int]]) -> bool:
    """Whether chunks come from two encoders."""
    return len({name.startswith(SPARE) for name, _ in chunks}) > 1


def _animate(encoding: Encoding, chunks: Sequence[tuple[str, int]], folder: Path) -> Path:
    """Encode an animated picture from the listed lossless chunks."""
    made = folder / f"{_JOINED}{encoding.kind.extension}"
    frames = sum(count for _, count in chunks)
    source = ["-f", "concat", *in_folder(_LIST_FILE)]
    animate(encoding.kind, encoding.settings, source, frames, made, lambda words: _finish(_Run(words, folder)))
    return made


def _equal_steps(folder: Path, chunks: Sequence[tuple[str, int]], fps: Fraction) -> list[str]:
    """Build arguments that set equally spaced time stamps: one frame period between pictures, shown and decoded.

    Pictures are decoded some periods before they are shown, so that reference pictures can be decoded early. Chunks of
    one or two pictures have a shorter delay than others, so it is read from the longest chunk.
    """
    delays = []
    for spare in {name.startswith(SPARE) for name, _ in chunks}:
        longest = max((chunk for chunk in chunks if chunk[0].startswith(SPARE) == spare), key=lambda chunk: chunk[1])
        delays.append(_delay(folder, longest[0], fps))
    steps = f"(TB*{fps.numerator}/{fps.denominator})"  # frame periods per tick
    return ["-bsf:v", f"setts=pts=round(round(PTS*{steps})/{steps}):dts=round((N-{max(delays)})/{steps})"]


def _delay(folder: Path, name: str, fps: Fraction) -> int:
    """Read how many frame periods before it is shown the first picture of a chunk is decoded."""
    first = [*in_folder(name), "-map", "0:v:0", "-c", "copy", "-frames:v", "1", "-f", "framecrc", "-"]
    listing = _finish(_Run([*QUIET, *first], folder))
    found = re.search(rb"^#tb 0: (\d+)/(\d+)$.*^0, *(-?\d+), *(-?\d+),", listing, re.MULTILINE | re.DOTALL)
    if not found:
        raise VideoError(f"{name} holds no picture; {_DAMAGED}")
    tick, decoded, shown = Fraction(int(found[1]), int(found[2])), int(found[3]), int(found[4])
    return round((shown - decoded) * tick * fps)


def _finish(run: _Run) -> bytes:
    """Wait for an ffmpeg to end, and return its standard output."""
    try:
        return run.finish()
    finally:
        run.abandon()


def _playlist(chunks: Sequence[tuple[str, int]], fps: Fraction) -> str:
    """Write a list for ffmpeg's concat demuxer in which each chunk's start is exact to the microsecond.

    Each duration is the difference of two rounded times, so that rounding errors do not add up. ffmpeg then rounds the
    start to the video's time base, which makes it exact.
    """
    lines, frame = ["ffconcat version 1.0"], 0
    for name, count in chunks:
        begin, end = (round(1_000_000 * at / fps) for at in (frame, frame + count))
        lines += [f"file {name}", f"duration {end - begin}us"]
        frame += count
    return "\n".join(lines) + "\n"


class _Run:
    """A running ffmpeg whose input is files."""

    def __init__(self, arguments: Sequence[str], folder: Path) -> None:
        self._folder = folder
        self._report = b""
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `abandon`
        self._process = spawn(arguments, stderr=self._said, folder=folder)

    def pieces(self, size: int) -> Iterator[bytearray]:
        """Yield standard output in pieces of `size` bytes, as it arrives."""
        widen(self._process.stdout)
        while len(piece := _read_exactly(self._process.stdout, size)) == size:
            yield piece

    def finish(self) -> bytes:
        """Wait for the end, and return the rest of standard output."""
        process = self._process
        await_end(process)
        if process.returncode:
            self._said.seek(0)
            lines = self._said.read().decode(errors="replace").strip().splitlines()[-12:]
            raise failure("\n".join(lines), process.returncode, self._folder.parent)
        assert process.stdout is not None
        self._report += process.stdout.read()
        return self._report

    def abandon(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._said.close()


def _read_exactly(stream: Any, size: int) -> bytearray:
    """Read `size` bytes, fewer only at the end."""
    data = bytearray(size)
    view, filled = memoryview(data), 0
    while filled < size and (count := stream.readinto(view[filled:])):
        filled += count
    return data[:filled] if filled < size else data
