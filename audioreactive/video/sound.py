"""Encode the song as the video's sound, from the samples that are analysed, and compare the result with them.

Conventions: sample n of a recording is heard n / rate seconds after its start, so that cuts are exact to the sample.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
import threading
from dataclasses import replace
from fractions import Fraction
from typing import IO, TYPE_CHECKING, Final

import numpy as np

from audioreactive.errors import AudioError, VideoError
from audioreactive.media import ffmpeg
from audioreactive.media.audio import load
from audioreactive.media.decoding import Decoder, contents, recording_of
from audioreactive.media.ffmpeg import QUIET, SOUND_DEMUXERS, await_end, run, spawn, stranger
from audioreactive.media.heads import unfinished
from audioreactive.video.encoder import failure
from audioreactive.video.outline import Outline, difference
from audioreactive.video.reader import SOUND_FILE

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

    from audioreactive.media.decoding import Block, Recording
    from audioreactive.video.formats import OutputFormat

_CLEAN: Final = ("-map_metadata", "-1", "-map_chapters", "-1", "-fflags", "+bitexact", "-flags", "+bitexact")
_GLANCE: Final = 0.2
"""Seconds between two checks whether the sound is finished; Ctrl-C is handled in between."""
_PATIENCE: Final = 10.0
"""Most seconds to wait for the thread to end after the work was abandoned."""


class _Abandoned(BaseException):
    """Raised in the thread to end it."""


class SoundTrack:
    """The video's sound, encoded to a separate file in a thread while the pictures are made.

    The constructor starts it; `finish` or `abandon` must follow on every path.

    Args:
        kind: the output format.
        sound: a sound file.
        start: seconds into the file at which the video begins, exact to the sample.
        duration: seconds of sound; silence follows if the file ends earlier. None: to the end of the file.
        folder: folder of the new file.
        track: number of the audio track in the file; see `audio.load`.
        digest: digest of the analysed sound; if the file has changed since, there is a note.
    """

    def __init__(
        self,
        kind: OutputFormat,
        sound: Path,
        start: Fraction,
        duration: Fraction | None,
        folder: Path,
        *,
        track: int | None = None,
        digest: str | None = None,
    ) -> None:
        self.path = folder / (SOUND_FILE if kind.is_folder else f"sound{kind.extension}")
        self.notes: list[str] = []
        """Sentences for the user, complete after `finish`."""
        self._kind, self._sound, self._start, self._duration = kind, sound, start, duration
        self._track, self._digest = track, digest
        self._problem: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True, name="sound track")
        self._thread.start()

    def finish(self) -> Path:
        """Wait for the end, and return the path of the file.

        Raises:
            VideoError: the file contains no sound, or ffmpeg failed.
        """
        while self._thread.is_alive():
            self._thread.join(_GLANCE)
        if self._problem is not None:
            raise self._problem
        return self.path

    @property
    def is_finished(self) -> bool:
        """Whether the file is complete."""
        return not self._thread.is_alive() and self._problem is None

    def check(self) -> None:
        """Raise VideoError if it has already failed."""
        if not self._thread.is_alive():
            self.finish()

    def abandon(self) -> None:
        """Stop the thread and its process; harmless after a normal end."""
        self._stop.set()
        self._thread.join(_PATIENCE)

    def _work(self) -> None:
        try:
            self._make()
        except AudioError as error:
            problem = VideoError(f"the video's sound cannot be made: {error}")
            problem.__cause__ = error
            self._problem = problem
        except BaseException as error:
            self._problem = error

    def _make(self) -> None:
        heard = load(self._sound, track=self._track, going=self._go_on)
        recording = heard.recording
        assert recording is not None
        if self._digest not in (None, heard.digest):
            self.notes.append(
                f"{self._sound.name} was changed since it was analysed, and the video plays it as it is now: "
                "render it again"
            )
        del heard
        with Outline(self.path.parent, recording.rate) as played:
            if self._is_copied(recording, played):
                return
            self._code(recording, played)
            if told := self._compared(recording, played):
                self.notes.append(told)

    def _is_copied(self, recording: Recording, played: Outline) -> bool:
        """Try to copy the song's packets; returns whether this worked and plays the analysed sound."""
        if self._kind.extension != ".mp4" or self._start or not can_be_copied(recording, self._duration):
            return False
        source = [*stranger(recording.path, SOUND_DEMUXERS), "-map", f"0:{recording.track.stream}"]
        with self._ffmpeg([*source, "-c:a", "copy"], most_memory=ffmpeg.MOST_MEMORY) as process:
            await_end(process)
        with contextlib.closing(Decoder(recording, is_for_two_ears=True).blocks()) as blocks:
            for block in blocks:
                self._go_on()
                played.add(block)
        if process.returncode == 0 and self._compared(recording, played) is None:
            return True
        played.clear()
        return False

    def _code(self, recording: Recording, played: Outline) -> None:
        """Encode the samples, and add them to the outline `played`."""
        with contextlib.ExitStack() as stack:
            blocks = self._samples(recording)
            stack.callback(blocks.close)
            first = next(blocks)
            raw = ["-f", "f32le", "-ar", str(recording.rate), "-ac", str(first.shape[1]), "-i", "pipe:0"]
            said = stack.enter_context(tempfile.TemporaryFile())
            coding = [*raw, "-c:a", self._kind.sound_encoder, *self._kind.sound_options]
            process = stack.enter_context(self._ffmpeg(coding, stdin=subprocess.PIPE, stderr=said))
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError), process.stdin as pipe:  # its log has the reason
                for block in _with_first(first, blocks):
                    self._go_on()
                    played.add(block)
                    view = block.data.cast("B")
                    while len(view):
                        view = view[os.write(pipe.fileno(), view) :]
            await_end(process)
            if process.returncode:
                said.seek(0)
                lines = said.read().decode(errors="replace").strip().splitlines()[-12:]
                raise failure("\n".join(lines), process.returncode, self.path.parent.parent)

    def _samples(self, recording: Recording) -> Generator[Block, None, None]:
        """Yield the samples of the requested part, with the gain of the analysis, padded with silence."""
        left = round(self._start * recording.rate)
        wanted = recording.length - left if self._duration is None else round(self._duration * recording.rate)
        channels = 1
        with contextlib.closing(Decoder(recording, is_for_two_ears=True).blocks()) as blocks:
            for block in blocks:
                self._go_on()
                channels = block.shape[1]
                part = block[min(left, len(block)) :][: max(wanted, 0)]
                left, wanted = left - min(left, len(block)), wanted - len(part)
                if len(part):
                    yield np.ascontiguousarray(part * np.float32(recording.gain), "<f4")
                if wanted <= 0:
                    return
        while wanted > 0:
            count = min(wanted, recording.rate)
            yield np.zeros((count, channels), "<f4")
            wanted -= count

    def _compared(self, recording: Recording, played: Outline) -> str | None:
        """Decode the new file, and describe the difference if it does not play the given sound; else None."""
        track = contents(self.path).tracks[0]
        decoder = Decoder(replace(recording_of(self.path, track), rate=recording.rate))
        with Outline(self.path.parent, recording.rate) as coded, contextlib.closing(decoder.blocks()) as blocks:
            for block in blocks:
                self._go_on()
                coded.add(block)
            return difference(played, coded)

    @contextlib.contextmanager
    def _ffmpeg(
        self,
        arguments: Sequence[str],
        *,
        stdin: int = subprocess.DEVNULL,
        stderr: int | IO[bytes] = subprocess.DEVNULL,
        most_memory: int | None = None,
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Run an ffmpeg that writes the file; it is killed at the end of the body."""
        process = spawn(
            [*QUIET, "-y", *arguments, *_CLEAN, self.path.name],
            stdin=stdin,
            stderr=stderr,
            folder=self.path.parent,
            most_memory=most_memory,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise _Abandoned


def can_be_copied(recording: Recording, duration: Fraction | None) -> bool:
    """Whether the whole stream is AAC that every player plays with the right timing.

    The file must state the encoder's delay. Then ffmpeg gives the first packet a time before 0 and writes an edit list,
    which all players respect. Without a stated delay, players differ.
    """
    if recording.layout or recording.gain != 1 or recording.track.codec != "aac" or unfinished(recording.path):
        return False
    if duration is not None and duration < Fraction(recording.length, recording.rate):
        return False
    first_packet = ["-map", f"0:{recording.track.stream}", "-c", "copy", "-frames:a", "1", "-f", "framecrc", "-"]
    header = run(["-hide_banner", *stranger(recording.path, SOUND_DEMUXERS), *first_packet], both=True)
    first = re.search(r"^0, +-?\d+, +(-?\d+),", header, re.MULTILINE)
    stream = re.search(rf"#0:{recording.track.stream}\b.*: Audio: aac \(LC\) .*, \d+ Hz, (mono|stereo),", header)
    return bool(first and stream) and int(first[1] if first else 0) < 0


def _with_first(first: Block, rest: Iterator[Block]) -> Iterator[Block]:
    yield first
    yield from rest
