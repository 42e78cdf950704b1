"""Run an ffmpeg that encodes frames from its standard input, while the caller makes the next ones."""

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
"""Arguments that make ffmpeg print the number of written frames on standard output, once, at its end."""

_PATIENCE: Final = 0.2
"""Seconds between two looks at whether ffmpeg is still alive, while a full queue is waited for."""
_FULL: Final = r"No space left on device|Disk quota exceeded|File too large|\d+ requested and \d+ written"
"""What programs, the system and `numpy.save` say of a disk that takes no more."""
_PIPE_BYTES: Final = 1 << 20
"""Size of the pipe to ffmpeg: the largest that Linux allows users; a whole 512² frame fits in one write."""


class EncoderProcess:
    """A running ffmpeg with a bounded queue of batches, and the threads that serve it.

    The constructor starts it. `close` and `finish`, or `abandon`, must follow on every path.

    Args:
        arguments: ffmpeg's arguments; frames arrive on `pipe:0`.
        folder: working folder of ffmpeg; a hidden one in the folder of the output.
        frame_shape: shape of one frame.
        queue_batches: most batches that wait in the queue, which bounds its memory.
        most_memory: limit of ffmpeg's memory in bytes; see `ffmpeg.spawn`.
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
        """Number of frames passed to `write` so far."""
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
        """Number of batches in the queue."""
        return self._queue.qsize()

    @property
    def has_ended(self) -> bool:
        """Whether ffmpeg is no longer running."""
        return self.process.poll() is not None

    def write(self, frames: NDArray[np.uint8]) -> None:
        """Queue a batch; waits while the queue is full.

        The array is not copied: it belongs to the encoder from here on and must not be changed.

        Args:
            frames: (B, *frame_shape) uint8.

        Raises:
            VideoError: ffmpeg stopped; the message has its last lines.
        """
        if frames.dtype != np.uint8 or frames.shape[1:] != self.frame_shape:
            wanted = ", ".join(map(str, self.frame_shape))
            raise ValueError(f"frames are (B, {wanted}) uint8, not {frames.shape} {frames.dtype}")
        if len(frames):
            self._put(np.ascontiguousarray(frames))
            self.frames_written += len(frames)

    def close(self) -> None:
        """Signal that no more frames follow."""
        self._put(None)

    def finish(self) -> None:
        """Wait for ffmpeg to end.

        Raises:
            VideoError: ffmpeg failed, or did not write all frames.
        """
        await_end(self.process)
        if self.process.returncode:
            raise self.failure()
        assert self.process.stdout is not None
        written = frames_reported(self.process.stdout.read())
        if written != self.frames_written:
            raise VideoError(f"ffmpeg wrote {written} of {self.frames_written} frames; the video is not whole")

    def abandon(self) -> None:
        """Stop the process and the threads; harmless after a normal end."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._wake_feeder()
        for thread in self._threads:
            thread.join()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def failure(self) -> VideoError:
        """Make the error for an ffmpeg that failed, with its last lines."""
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
        """Write batches from the queue to ffmpeg; runs in a thread."""
        assert self.process.stdin is not None
        try:
            with self.process.stdin as pipe:
                while (batch := self._queue.get()) is not None:
                    view = batch.data.cast("B")
                    while len(view):
                        view = view[os.write(pipe.fileno(), view) :]
                    del batch, view  # free a batch in pinned memory at once
        except OSError:
            # ffmpeg closed the pipe; its log has the reason.
            self._broken.set()

    def _listen(self) -> None:
        """Read ffmpeg's log, so that it never blocks on a full pipe, and keep the last lines; runs in a thread."""
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            for line in iter(lambda: stream.readline(4096), b""):
                if text := line.decode(errors="replace").strip():
                    self._last_lines.append(text)

    def _wake_feeder(self) -> None:
        """Empty the queue until the feeding thread ends."""
        feeder = self._threads[0]
        while feeder.is_alive():
            with contextlib.suppress(queue.Empty):
                while True:
                    self._queue.get_nowait()
            with contextlib.suppress(queue.Full):
                self._queue.put_nowait(None)
            feeder.join(timeout=0.05)


def frames_reported(report: bytes) -> int:
    """Parse the number of frames from the output that `REPORT` causes; 0 if there is none."""
    counts = re.findall(rb"^frame=\s*(\d+)", report, re.MULTILINE)
    return int(counts[-1]) if counts else 0


def failure(said: str, code: int, folder: Path) -> VideoError:
    """Make the error for an ffmpeg that failed, with its last lines; `folder` is the folder of the output."""
    otherwise = f"ffmpeg stopped before the video was whole ({ending(code)})"
    return VideoError(explained(said and f"ffmpeg says {said}", otherwise, folder))


def explained(said: str, otherwise: str, folder: Path) -> str:
    """A full disk, where the words of a program or of the system tell of one; else these words, in one line."""
    if re.search(_FULL, said):
        free = shutil.disk_usage(folder).free // 10**6
        return f"the disk of {folder} is full ({free} MB free); make room, or choose another with -o"
    words = "; ".join(line.strip() for line in said.splitlines() if line.strip())
    return f"{otherwise}: {words or 'nothing was said'}"


def widen(pipe: Any) -> None:
    """Enlarge a pipe so that it holds whole frames, on Linux."""
    if sys.platform == "linux":
        import fcntl

        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def ending(code: int | None) -> str:
    """Describe how a process ended, from its exit code."""
    if code is None or code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
