"""An ffmpeg that takes frames through its standard input, while the caller makes the next ones."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from audioreactive.errors import VideoError
from audioreactive.media.ffmpeg import await_end, spawn

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

REPORT: Final = ("-progress", "pipe:1", "-stats_period", "86400")
"""Makes ffmpeg say on standard output, once, at its end, how many frames it wrote."""

_PATIENCE: Final = 0.2
"""Seconds between two looks at whether ffmpeg is still alive, while a full queue is waited for."""
_PIPE_BYTES: Final = 1 << 20
"""Linux lets a user's pipe grow to this; a whole 512² frame then goes over in one call."""


class EncoderProcess:
    """A running ffmpeg, a bounded queue of batches before it, and the threads between.

    Started by its construction. `close` and `finish`, or `abandon`, must follow on every path.

    Args:
        arguments: ffmpeg's; `pipe:0` is where frames come in.
        folder: where ffmpeg runs and writes; a hidden one, in the folder of the output.
        frame_shape: of one frame in a batch.
        queue_batches: batches that wait at most; the memory that is taken.
        most_memory: bytes that ffmpeg may have; see `ffmpeg.spawn`.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        folder: Path,
        frame_shape: tuple[int, ...],
        queue_batches: int = 3,
        most_memory: int | None = None,
    ) -> None:
        self.frame_shape = frame_shape
        self.frames_written = 0
        """Frames handed over so far."""
        self._folder = folder
        self._queue: queue.Queue[NDArray[np.uint8] | None] = queue.Queue(max(1, queue_batches))
        self._broken = threading.Event()
        self._last_lines: deque[str] = deque(maxlen=12)
        self.process = spawn([*arguments, *REPORT], stdin=subprocess.PIPE, folder=folder, most_memory=most_memory)
        self._threads = [
            threading.Thread(target=work, name=f"encoder{work.__name__}", daemon=True)
            for work in (self._feed, self._listen)
        ]
        try:
            widen(self.process.stdin)
            for thread in self._threads:
                thread.start()
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    @property
    def waiting(self) -> int:
        """Batches in the queue."""
        return self._queue.qsize()

    @property
    def has_ended(self) -> bool:
        """Whether ffmpeg is no longer running."""
        return self.process.poll() is not None

    def write(self, frames: NDArray[np.uint8]) -> None:
        """Hand over a batch; waits while the queue is full.

        The array is not copied: it belongs to the encoder from here on and must not be changed.

        Args:
            frames: (B, *frame_shape) uint8.

        Raises:
            VideoError: ffmpeg died; the message holds its last lines.
        """
        if frames.dtype != np.uint8 or frames.shape[1:] != self.frame_shape:
            wanted = ", ".join(map(str, self.frame_shape))
            raise ValueError(f"frames are (B, {wanted}) uint8, not {frames.shape} {frames.dtype}")
        if len(frames):
            self._put(np.ascontiguousarray(frames))
            self.frames_written += len(frames)

    def close(self) -> None:
        """Say that no more frames come."""
        self._put(None)

    def finish(self) -> None:
        """Wait for ffmpeg to end.

        Raises:
            VideoError: ffmpeg failed, or wrote another number of frames than it was given.
        """
        await_end(self.process)
        if self.process.returncode:
            raise self.failure()
        assert self.process.stdout is not None
        written = frames_reported(self.process.stdout.read())
        if written != self.frames_written:
            raise VideoError(f"ffmpeg wrote {written} of {self.frames_written} frames; the video is not whole")

    def abandon(self) -> None:
        """Leave no process and no thread. Does nothing more after a clean end."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._wake_feeder()
        for thread in self._threads:
            thread.join()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def failure(self) -> VideoError:
        """What ffmpeg died of, as a sentence with its last lines."""
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._threads[-1].join(timeout=5)
        return failure("\n".join(self._last_lines), self.process.returncode, self._folder.parent)

    def _put(self, batch: NDArray[np.uint8] | None) -> None:
        while True:
            if self._broken.is_set() or self.process.poll() is not None:
                raise self.failure()
            try:
                return self._queue.put(batch, timeout=_PATIENCE)
            except queue.Full:
                continue

    def _feed(self) -> None:
        """The encoder thread: batches from the queue into ffmpeg."""
        assert self.process.stdin is not None
        try:
            with self.process.stdin as pipe:
                while (batch := self._queue.get()) is not None:
                    view = batch.data.cast("B")
                    while len(view):
                        view = view[os.write(pipe.fileno(), view) :]
                    del batch, view  # a batch in pinned memory goes back at once
        except OSError:
            # ffmpeg closed its end; its own words say why.
            self._broken.set()

    def _listen(self) -> None:
        """Read what ffmpeg says, so that it never waits for a reader; keep the end of it."""
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            for line in iter(lambda: stream.readline(4096), b""):
                if text := line.decode(errors="replace").strip():
                    self._last_lines.append(text)

    def _wake_feeder(self) -> None:
        """Make the encoder thread end, whatever waits in its queue."""
        feeder = self._threads[0]
        while feeder.is_alive():
            with contextlib.suppress(queue.Empty):
                while True:
                    self._queue.get_nowait()
            with contextlib.suppress(queue.Full):
                self._queue.put_nowait(None)
            feeder.join(timeout=0.05)


def frames_reported(report: bytes) -> int:
    """The number of frames in what `REPORT` makes ffmpeg say; 0 where it says nothing."""
    counts = re.findall(rb"^frame=\s*(\d+)", report, re.MULTILINE)
    return int(counts[-1]) if counts else 0


def failure(said: str, code: int, folder: Path) -> VideoError:
    """An ffmpeg's end, as a sentence with its last lines; `folder` is the output's."""
    otherwise = f"ffmpeg stopped before the video was whole ({ending(code)})"
    return VideoError(explained(f"ffmpeg's last lines:\n{said or '(nothing)'}", otherwise, folder))


def explained(said: str, otherwise: str, folder: Path) -> str:
    """The cause, where the words of a program or of the system tell of a full disk, and then those words."""
    if re.search(r"No space left on device|Disk quota exceeded|File too large", said):
        free = shutil.disk_usage(folder).free // 10**6
        return f"the disk of {folder} is full ({free} MB free); make room, or choose another with -o\n{said}"
    return f"{otherwise}\n{said}"


def widen(pipe: Any) -> None:
    """Make the pipe hold whole frames, where the system lets us."""
    if sys.platform == "linux":
        import fcntl

        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def ending(code: int | None) -> str:
    """How a program ended, in words, from what the system says of it."""
    if code is None or code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
