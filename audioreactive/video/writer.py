"""The stream of frames, beside the song, into a file that has its name only when it is whole.

Conventions: frame i is shown from i / fps seconds on, and the sound of the song at `start` seconds is heard at 0.
Everything is made in one hidden folder beside the goal, `.NAME.partial-XXXX`, in which ffmpeg runs; the finished
video is moved out of it, and whatever happens the folder is removed.
"""

import contextlib
import json
import os
import queue
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from audioreactive.errors import VideoError
from audioreactive.ffmpeg import QUIET, SOUND_DEMUXERS, spawn, stranger
from audioreactive.video import tags
from audioreactive.video.formats import VideoSettings, output_format
from audioreactive.video.reader import FRAME_PATTERN, INFO_FILE, PRESET_FILE, SOUND_FILE, is_frame_folder
from audioreactive.video.sound import sound_arguments

_TAGS_FILE: Final = "tags.txt"
_PATIENCE: Final = 0.2
"""Seconds between two looks at whether ffmpeg is still alive, while a full queue is waited for."""
_PIPE_BYTES: Final = 1 << 20
"""Linux lets a user's pipe grow to this; a whole 512² frame then goes over in one call."""


def check_output(path: Path, overwrite: bool) -> None:
    """Refuse early what could not be written after an hour of rendering.

    Raises:
        VideoError: the extension is not known, the folder is missing or not writable, or the name is taken.
    """
    kind = output_format(path)
    folder = path.absolute().parent
    if not folder.is_dir():
        raise VideoError(f"the folder {folder} for {path.name!r} does not exist; create it, or choose another")
    try:
        # Tried, not asked: permissions do not tell of read-only disks, nor the whole truth to an administrator.
        tempfile.TemporaryDirectory(prefix=".", dir=folder).cleanup()
    except OSError as error:
        raise VideoError(f"the folder {folder} is not writable ({error.strerror}); choose another with -o") from error
    if not os.path.lexists(path) or (path.is_dir() and not any(path.iterdir())):
        return
    if not overwrite:
        raise VideoError(f"{path} exists already; choose another name, or replace it with --overwrite")
    if kind.is_folder and not (path.is_dir() and is_frame_folder(path)):
        raise VideoError(f"{path} holds other things than frames of an earlier render; choose another name")


class VideoWriter:
    """Writes batches of frames to a video, while the caller makes the next ones.

    A context manager: on a clean exit the video gets its name, on any other nothing is left of it.

        with VideoWriter(Path("out.mp4"), settings, frame_size=(256, 256), sound=song) as writer:
            for batch in batches:
                writer.write(batch)

    Args:
        path: the name of the finished file (or folder); its extension says the format.
        frame_size: (width, height) of the frames that come in.
        sound: a sound file, or None for a silent video.
        start: seconds into the sound at which the video begins, kept to the sample.
        duration: seconds of sound; where the file ends earlier, silence follows. None: to the end of the file.
        preset: TOML to embed.
        overwrite: replace what has the name already.
        queue_batches: batches that wait for the encoder at most; the memory that the writer takes.

    Raises:
        VideoError: the output cannot be written (see `check_output`), or the sizes do not fit together.
    """

    def __init__(
        self,
        path: Path,
        settings: VideoSettings,
        *,
        frame_size: tuple[int, int],
        sound: Path | None,
        start: Fraction = Fraction(0),
        duration: Fraction | None = None,
        preset: str | None = None,
        overwrite: bool = False,
        queue_batches: int = 3,
    ) -> None:
        check_output(path, overwrite)
        if not settings.filters and frame_size != settings.size:
            raise VideoError(f"frames of {frame_size} cannot become a picture of {settings.size} without a filter")
        if start < 0 or (duration is not None and duration <= 0):
            raise VideoError(f"the sound cannot start at {start} s and last {duration} s")
        if preset is not None:
            tags.check_preset(preset)
        self._format = output_format(path)
        self._format.check(settings)
        self._path, self._settings, self._frame_size = path.absolute(), settings, frame_size
        self._sound, self._start, self._duration = sound, Fraction(start), duration
        self._preset, self._overwrite = preset, overwrite
        self._queue: queue.Queue[NDArray[np.uint8] | None] = queue.Queue(max(1, queue_batches))
        self._process: subprocess.Popen[bytes] | None = None
        self._threads: list[threading.Thread] = []
        self._broken = threading.Event()
        self._last_lines: deque[str] = deque(maxlen=12)
        self._folder: Path | None = None
        self.frames_written = 0
        """Frames handed over so far."""

    def __enter__(self) -> Self:
        try:
            self._start_encoder()
        except OSError as error:
            self._abandon()
            raise VideoError(self._sentence(str(error), "the output cannot be begun")) from error
        except BaseException:
            self._abandon()
            raise
        return self

    def write(self, frames: NDArray[np.uint8]) -> None:
        """Hand over a batch; waits while the queue is full.

        The array is not copied: it belongs to the writer from here on and must not be changed.

        Args:
            frames: (B, H, W, 3) uint8 RGB.

        Raises:
            VideoError: ffmpeg died; the message holds its last lines.
        """
        width, height = self._frame_size
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[1:] != (height, width, 3):
            raise ValueError(f"frames are (B, {height}, {width}, 3) uint8, not {frames.shape} {frames.dtype}")
        if self._process is None:
            raise ValueError("a VideoWriter is written to inside its with block")
        if len(frames):
            self._put(np.ascontiguousarray(frames))
            self.frames_written += len(frames)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        except OSError as failure:
            raise VideoError(self._sentence(str(failure), "the output cannot be completed")) from failure
        finally:
            self._abandon()

    def _start_encoder(self) -> None:
        self._folder = self._make_folder()
        (self._folder / _TAGS_FILE).write_bytes(tags.metadata_file(title=self._title(), preset=self._preset))
        self._process = spawn(self._arguments(), stdin=subprocess.PIPE, folder=self._folder)
        _widen(self._process.stdin)
        for work in (self._feed, self._listen):
            thread = threading.Thread(target=work, name=f"video{work.__name__}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def _make_folder(self) -> Path:
        # A name may have 255 bytes; ours adds some to it.
        stem = os.fsdecode(os.fsencode(self._path.name)[:200])
        folder = self._path.parent / f".{stem}.partial-{secrets.token_hex(4)}"
        folder.mkdir()
        return folder

    def _title(self) -> str:
        return (self._sound or self._path).stem

    def _arguments(self) -> list[str]:
        settings, kind = self._settings, self._format
        width, height = self._frame_size
        frames = ["-f", "rawvideo", "-pixel_format", "rgb24", "-video_size", f"{width}x{height}"]
        frames += ["-framerate", str(settings.fps), "-i", "pipe:0"]
        sound: list[str] = []
        heard: list[str] = []
        if self._sound is not None:
            sound = stranger(self._sound, SOUND_DEMUXERS)
            heard = ["-map", "2:a:0", *sound_arguments(kind, self._sound, self._start, self._duration)]
        picture = ["-map", "0:v:0", "-vf", kind.picture_filters(settings), *kind.arguments(settings)]
        picture += ["-fps_mode", "passthrough"]
        exact = ["-map_metadata", "1", "-map_chapters", "-1", "-fflags", "+bitexact", "-flags", "+bitexact"]
        inputs = [*frames, "-f", "ffmetadata", "-i", _TAGS_FILE, *sound]
        if kind.is_folder:
            return [*QUIET, *inputs, *picture, *exact, FRAME_PATTERN, *((*heard, *exact, SOUND_FILE) if heard else ())]
        return [*QUIET, *inputs, *picture, *heard, *exact, *kind.container_options, f"video{kind.extension}"]

    def _put(self, batch: NDArray[np.uint8] | None) -> None:
        while True:
            self._check_alive()
            try:
                return self._queue.put(batch, timeout=_PATIENCE)
            except queue.Full:
                continue

    def _check_alive(self) -> None:
        assert self._process is not None
        if self._broken.is_set() or self._process.poll() is not None:
            raise self._failure()

    def _feed(self) -> None:
        """The encoder thread: batches from the queue into ffmpeg."""
        assert self._process is not None and self._process.stdin is not None
        try:
            with self._process.stdin as pipe:
                while (batch := self._queue.get()) is not None:
                    view = batch.data.cast("B")
                    while len(view):
                        view = view[os.write(pipe.fileno(), view) :]
        except OSError:
            # ffmpeg closed its end; its own words say why.
            self._broken.set()

    def _listen(self) -> None:
        """Read what ffmpeg says, so that it never waits for a reader; keep the end of it."""
        assert self._process is not None and self._process.stderr is not None
        with self._process.stderr as stream:
            for line in iter(lambda: stream.readline(4096), b""):
                if text := line.decode(errors="replace").strip():
                    self._last_lines.append(text)

    def _finish(self) -> None:
        """Wait for ffmpeg to finish, and give the video its name."""
        if not self.frames_written:
            raise VideoError(f"no frames were rendered for {self._path.name}")
        assert self._process is not None and self._folder is not None
        self._put(None)
        while self._process.poll() is None:
            # In short waits, so that Ctrl-C is heard on every platform.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=_PATIENCE)
        if self._process.returncode:
            raise self._failure()
        (self._folder / _TAGS_FILE).unlink()
        if self._format.is_folder:
            self._complete_folder(self._folder)
        self._publish(self._folder if self._format.is_folder else self._folder / f"video{self._format.extension}")

    def _complete_folder(self, folder: Path) -> None:
        stated = {"fps": str(self._settings.fps), "size": self._settings.size, "frames": self.frames_written}
        (folder / INFO_FILE).write_text(json.dumps(stated) + "\n", encoding="utf-8")
        if self._preset is not None:
            (folder / PRESET_FILE).write_bytes(self._preset.encode())

    def _publish(self, made: Path) -> None:
        goal = self._path
        try:
            check_output(goal, self._overwrite)
        except VideoError as error:
            # Taken while we rendered: an hour's work is not thrown away for a name.
            goal = goal.with_name(f"{goal.stem}-{secrets.token_hex(2)}{goal.suffix}")
            made.replace(goal)
            raise VideoError(f"{error}; the finished video is {goal}") from None
        old = goal.with_name(f"{made.name}-old")
        if goal.is_dir():
            goal.rename(old)
        made.replace(goal)
        shutil.rmtree(old, ignore_errors=True)

    def _failure(self) -> VideoError:
        """What ffmpeg died of, as a sentence with its last lines."""
        assert self._process is not None
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._threads[-1].join(timeout=5)
        said = "\n".join(self._last_lines) or "(nothing)"
        otherwise = f"ffmpeg stopped before the video was whole ({_ending(self._process.returncode)})"
        return VideoError(self._sentence(f"ffmpeg's last lines:\n{said}", otherwise))

    def _sentence(self, said: str, otherwise: str) -> str:
        """The cause, where the words of a program or of the system tell of a full disk, and then those words."""
        folder = self._path.parent
        if re.search(r"No space left on device|Disk quota exceeded|File too large", said):
            free = shutil.disk_usage(folder).free // 10**6
            return f"the disk of {folder} is full ({free} MB free); make room, or choose another with -o\n{said}"
        return f"{otherwise}\n{said}"

    def _abandon(self) -> None:
        """Leave nothing: no process, no thread, no file. Does nothing after a clean end."""
        if self._process is not None:
            if self._process.poll() is None:
                self._process.kill()
            self._process.wait()
            self._wake_feeder()
            for thread in self._threads:
                thread.join()
            assert self._process.stdout is not None
            self._process.stdout.close()
        self._threads.clear()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _wake_feeder(self) -> None:
        """Make the encoder thread end, whatever waits in its queue."""
        while self._threads and self._threads[0].is_alive():
            with contextlib.suppress(queue.Empty):
                while True:
                    self._queue.get_nowait()
            with contextlib.suppress(queue.Full):
                self._queue.put_nowait(None)
            self._threads[0].join(timeout=0.05)


def _widen(pipe: Any) -> None:
    """Make the pipe hold whole frames, where the system lets us."""
    if sys.platform == "linux":
        import fcntl

        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
