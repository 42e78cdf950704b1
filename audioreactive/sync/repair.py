"""A video with its offset and its drift taken out.

An offset alone is a matter of time stamps: the packets of picture and sound are copied as they are, and the sound's
begin
earlier or later. In mp4 and mov what comes before the picture is hidden by an edit list, which players honour. Drift
is a
matter of speed: the sound is resampled, or the picture's time stamps are stretched. Another sound is decoded, moved to
the sample, and coded in the way that this program codes for that kind of file.

Conventions: the offset of the sound is `start + slope · t` at second t of playback, positive where it is early. What is
played at t belongs at t + start + slope · t.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive._support.files import as_path, check_name, make_aside
from audioreactive.errors import SyncError, VideoError
from audioreactive.media.audio import load
from audioreactive.media.decoding import Decoder, heard_track
from audioreactive.media.ffmpeg import MOST_MEMORY, QUIET, VIDEO_DEMUXERS, await_end, plain_cause, run, spawn, stranger
from audioreactive.progress import Progress, Silent
from audioreactive.video import frame_times, output_format

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from audioreactive.media.decoding import Recording
    from audioreactive.sync.report import SyncReport
    from audioreactive.video import OutputFormat

    Block = NDArray[np.float32]

KINDS: Final = (".mp4", ".mov", ".mkv", ".webm")
"""Endings of videos that are repaired."""
CLEAR_DRIFT: Final = 3.0
"""Standard deviations from 0 from which on a drift is taken out."""
LEAST_DRIFT: Final = 0.002
"""Seconds over the whole video that a drift must make to be taken out; the sound is changed for it."""
MOST_DRIFT: Final = 0.01
"""Largest drift, seconds a second, that is taken out: more is no clock's."""
_MOST_LOG: Final = 1 << 16


@dataclass(frozen=True)
class Correction:
    """Movement of the sound that repairs a video: a line through time."""

    start: float
    """Seconds by which the sound is moved at second 0; positive: later."""
    slope: float
    """Growth of that; 0 if nothing is resampled."""


@dataclass(frozen=True)
class Repaired:
    """A video that was written."""

    path: Path
    correction: Correction
    sentence: str


def check_repair(video: Path, output: Path, *, overwrite: bool, inputs: Iterable[Path | None] = ()) -> None:
    """Check, before any work, that the repaired video can be written.

    Raises:
        OutputError: the name has another ending than the video's, is an input, or is taken.
        SyncError: videos of this kind are not repaired.
    """
    ending = video.suffix.lower()
    if ending not in KINDS or video.is_dir():
        raise SyncError(f"{str(video)!r} is not repaired: videos that end in {', '.join(KINDS)} are")
    check_name(output, (ending,), overwrite=overwrite, inputs=(video, *inputs))


def correction_of(report: SyncReport, seconds: float) -> Correction:
    """What takes the offset of a report out, over so many seconds of video.

    Raises:
        SyncError: no offset is known, or it jumps.
    """
    if report.offset is None or not len(report.offsets):
        raise SyncError(f"nothing can be repaired: {report.reason}")
    if len(report.passages) > 1:
        where = ", ".join(f"{part.start:.1f} s" for part in report.passages[1:])
        raise SyncError(f"the offset jumps at {where}: cut the video there, and repair the parts one by one")
    slope, start = 0.0, float(report.offset)
    drift, deviation = report.drift or 0.0, report.drift_deviation
    clear = deviation is not None and abs(drift) > CLEAR_DRIFT * deviation and abs(drift) * seconds > LEAST_DRIFT
    if clear:
        if abs(drift) > MOST_DRIFT:
            raise SyncError(f"a drift of {drift:.2%} is a wrong speed, not a clock's: export the sound again")
        slope = drift
        start = float(np.mean(report.offsets - slope * report.times))
    return Correction(start, slope)


def repair(
    video: Path | str,
    audio: Path | str | None,
    output: Path | str,
    report: SyncReport,
    *,
    retime_picture: bool = False,
    progress: Progress | None = None,
) -> Repaired:
    """Write a video with its offset and drift taken out; the packets of its picture stay as they are.

    Args:
        video: the video that was measured.
        audio: the sound that it should have; None: its own.
        output: the new file, of the same kind.
        report: what `measure` said of both.
        retime_picture: against drift, stretch the picture's time stamps and leave the sound as it is.
        progress: receives remarks.

    Raises:
        SyncError: nothing is known that could be repaired.
        VideoError: ffmpeg failed.
        OutputError: the file cannot be written.
    """
    video, output, progress = as_path(video), as_path(output), progress or Silent()
    times = frame_times(video)
    correction = correction_of(report, float(times.frames[-1]))
    start, slope = correction.start, correction.slope
    with make_aside(output) as partial:
        if audio is None and (not slope or retime_picture):
            # Second t of the picture is shown at (t - start) / (1 + slope): the sound stays as it is.
            _restamp(video, partial, later=start / (1 + slope), stretch=1 / (1 + slope))
            how = "no sample and no pixel was changed"
        else:
            played = 0.0 if audio is not None else times.sound_start
            sound = load(as_path(audio)) if audio is not None else load(video)
            assert sound.recording is not None
            stretch = 1 / (1 + slope) if retime_picture else 1.0
            speed = 0.0 if retime_picture else slope
            moved = start * stretch + played * (1 + speed)
            _replace(video, partial, sound.recording, output_format(output), moved=moved, speed=speed, stretch=stretch)
            how = "the picture's packets are as they were" if not retime_picture else "the picture was re-timed"
    done = f"the sound is moved by {start * 1e3:+.1f} ms"
    if slope:
        done += f", and a drift of {slope * 1e6:+.1f} ppm is taken out"
    return Repaired(output, correction, f"{output}: {done}; {how}")


def _output(kind: str) -> list[str]:
    """Arguments of the copy: nothing is lost before the start, and tags stay."""
    options = [
        "-map_metadata",
        "0",
        "-avoid_negative_ts",
        "disabled" if kind in (".mp4", ".mov") else "make_non_negative",
    ]
    return [*options, "-movflags", "+faststart"] if kind in (".mp4", ".mov") else options


def _restamp(video: Path, partial: Path, *, later: float, stretch: float) -> None:
    """Copy the packets, with the sound `later` seconds later and the picture's times multiplied by `stretch`.

    Of several sounds, the one that was measured is copied.
    """
    heard = heard_track(video)
    stream = "a:0" if heard is None else str(heard.stream)
    again = stranger(video, VIDEO_DEMUXERS)
    scale = ["-itsscale", f"{stretch:.12f}"] if stretch != 1 else []
    _run(
        [
            *QUIET, "-y", *scale, *again, "-itsoffset", f"{later:.6f}", *again,
            "-map", "0:v:0", "-map", f"1:{stream}", "-c", "copy", *_output(video.suffix.lower()),
            f"file:{partial.absolute()}",
        ],
    )  # fmt: skip


def _run(arguments: list[str]) -> None:
    try:
        run(arguments)
    except VideoError as error:
        raise VideoError(f"the repaired video cannot be written: {error}") from None


def _replace(
    video: Path,
    partial: Path,
    recording: Recording,
    kind: OutputFormat,
    *,
    moved: float,
    speed: float,
    stretch: float,
) -> None:
    """Copy the picture and code a sound beside it that begins `moved` seconds after it, slower by `speed`."""
    channels = 1 if recording.track.layout == "mono" else 2
    scale = ["-itsscale", f"{stretch:.12f}"] if stretch != 1 else []
    arguments = [
        *QUIET, "-y", *scale, *stranger(video, VIDEO_DEMUXERS),
        "-f", "f32le", "-ar", str(recording.rate), "-ac", str(channels), "-i", "pipe:0",
        "-map", "0:v:0", "-map", "1:a:0", "-c:v", "copy", "-c:a", kind.sound_encoder, *kind.sound_options,
        *_output(kind.extension), f"file:{partial.absolute()}",
    ]  # fmt: skip
    with tempfile.TemporaryFile() as said, contextlib.ExitStack() as stack:
        process = stack.enter_context(spawn(arguments, stdin=subprocess.PIPE, stderr=said, most_memory=MOST_MEMORY))
        stack.callback(process.kill)
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError), process.stdin as pipe:  # its log has the reason
            for block in _placed(_resampled(recording, channels, speed), round(moved * recording.rate), channels):
                view = np.ascontiguousarray(block, "<f4").data.cast("B")
                while len(view):
                    view = view[os.write(pipe.fileno(), view) :]
        await_end(process)
        if process.returncode:
            said.seek(0)
            log = said.read(_MOST_LOG).decode(errors="replace")
            raise VideoError(f"the repaired video cannot be written: {plain_cause(log, 'ffmpeg failed')}")


def _resampled(recording: Recording, channels: int, speed: float) -> Generator[Block, None, None]:
    """Samples (n, channels) of a recording, stretched by 1 + speed."""
    import soxr

    stream = None
    if speed:
        stream = soxr.ResampleStream(
            recording.rate, recording.rate * (1 + speed), channels, dtype="float32", quality="VHQ"
        )
    with contextlib.closing(Decoder(recording, is_for_two_ears=True).blocks()) as blocks:
        for block in blocks:
            even = np.ascontiguousarray(_of_channels(block, channels) * np.float32(recording.gain))
            yield even if stream is None else stream.resample_chunk(even).reshape(-1, channels)
    if stream is not None:
        yield stream.resample_chunk(np.zeros((0, channels), np.float32), last=True).reshape(-1, channels)


def _of_channels(block: Block, channels: int) -> Block:
    if block.shape[1] == channels:
        return block
    return block[:, :channels] if block.shape[1] > channels else np.repeat(block[:, :1], channels, axis=1)


def _placed(blocks: Iterable[Block], first: int, channels: int) -> Generator[Block, None, None]:
    """The samples, begun with `first` samples of silence, or without so many of their first ones if it is negative."""
    while first > 0:
        count = min(first, 1 << 16)
        yield np.zeros((count, channels), np.float32)
        first -= count
    for block in blocks:
        skipped = min(-first, len(block))
        first += skipped
        if skipped < len(block):
            yield block[skipped:]
