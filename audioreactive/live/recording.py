"""A recording of what was seen and heard, in sync, with the recipe in it.

The clock of a recording is its sound: a frame is the picture that was painted when the sound of that frame had been
heard, as frames of a render are. So the delay of the machine is not in it, and a device whose rate is a little off, or
sound that was late, does not part them. The pictures go through the same encoder as a render's, and are joined with the
sound at the end.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive.errors import LiveError, VideoError
from audioreactive.video import VideoSettings, check_output, output_format
from audioreactive.video.chunks import Encoding, join
from audioreactive.video.sound import SoundTrack
from audioreactive.video.writer import publish

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

MOST_FPS: Final = Fraction(30)
"""Most frames a second of a recording: x264 shares the cores with the painter."""
SPEED: Final = "veryfast"
THREADS: Final = 2
QUEUE: Final = 3
"""Pictures that may wait for the encoder in real time; while they do, frames are owed and filled later."""
PIECE: Final = 64
"""Most repetitions of a picture that are written at once."""


class Recording:
    """A video that is being recorded; `finish` or `abandon` must follow.

    Args:
        path: the finished file.
        size: (width, height) of the pictures.
        fps: most pictures a second of the performance.
        overwrite: whether an existing file is replaced.
        in_real_time: whether the performance must not wait for the encoder.
        inputs: files that are read, and must not be written.

    Raises:
        VideoError: the file cannot be written.
        LiveError: the format cannot be recorded.
    """

    def __init__(
        self, path: Path, size: tuple[int, int], fps: Fraction, *, overwrite: bool, in_real_time: bool,
        inputs: tuple[Path, ...] = (),
    ) -> None:  # fmt: skip
        check_output(path, overwrite, inputs=inputs)
        kind = output_format(path)
        if kind.is_folder or kind.animation:
            raise LiveError(f"{str(path)!r} cannot be recorded: give a video with sound, such as out.mp4")
        self._path, self._overwrite, self._in_real_time = path.absolute(), overwrite, in_real_time
        self._fps = min(fps, MOST_FPS)
        settings = VideoSettings(fps=self._fps, size=size, speed=SPEED, threads=THREADS)
        self._encoding = Encoding(kind, settings, size)
        self.folder = self._path.parent / f".{self._path.stem[:200]}.recording-{secrets.token_hex(8)}"
        """Folder beside the output, which holds everything until the end."""
        try:
            self.folder.mkdir(mode=0o700)
        except OSError as error:
            raise VideoError(f"{str(path)!r} cannot be recorded ({error.strerror}): choose another place") from error
        self._name = f"pictures{self._encoding.suffix}"
        self._encoder = self._encoding.open(self.folder, self._name)
        self._last: Pixels | None = None

    @property
    def frames(self) -> int:
        """Frames written so far."""
        return self._encoder.frames_written

    def add(self, pixels: Pixels, seconds: float) -> None:
        """Take a picture that was painted when so many seconds of sound had been heard.

        Raises:
            VideoError: the encoder failed.
        """
        before = pixels if self._last is None else self._last
        self._last = pixels
        if self._in_real_time and self._encoder.waiting >= QUEUE:
            return
        # The newest sound lies in the frame that ends with it, or that is under way.
        self._fill(before, max(int(np.ceil(seconds * float(self._fps) - 1e-9)) - 1, 0))

    def finish(self, sound: Path | None, seconds: float, preset: str, title: str) -> None:
        """Join pictures and sound, and give the file its name.

        Args:
            sound: file of what was heard, from the start; None for a recording without sound.
            seconds: length of what was heard.
            preset: recipe as TOML.
            title: title of the video.

        Raises:
            VideoError: nothing was recorded, or the encoder failed.
        """
        if self._last is None or seconds <= 0:
            raise VideoError(f"nothing was seen yet, so {self._path.name} is not written")
        self._fill(self._last, max(round(seconds * float(self._fps)), 1))
        frames = self._encoder.frames_written
        self._encoder.close()
        self._encoder.finish()
        track = None
        if sound is not None:
            length = Fraction(frames) / self._fps
            coded = SoundTrack(self._encoding.kind, sound, Fraction(0), length, self.folder)
            try:
                track = coded.finish()
            finally:
                coded.abandon()
        video = join(
            self._encoding, [(self._name, frames)], folder=self.folder, sound=track, title=title, preset=preset
        )
        publish(video, self._path, overwrite=self._overwrite)

    def abandon(self) -> None:
        """Stop the encoder and remove the folder; harmless after a normal end."""
        self._encoder.abandon()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _fill(self, pixels: Pixels, until: int) -> None:
        """Write a picture for all frames before this one."""
        while (missing := until - self._encoder.frames_written) > 0:
            self._encoder.write(np.repeat(pixels[None], min(missing, PIECE), axis=0))


class SoundFile:
    """The sound of a device or a stream, written to a WAV file as it comes in.

    Args:
        path: the file.
        rate: samples a second.
        channels: number of channels.
    """

    def __init__(self, path: Path, rate: int, channels: int) -> None:
        import soundfile

        self.path = path
        self._file = soundfile.SoundFile(path, "w", samplerate=rate, channels=channels, format="RF64", subtype="PCM_24")
        self.problem: str | None = None

    def add(self, samples: NDArray[np.float32]) -> None:
        """Append samples (n, channels); called in the thread of the sound."""
        try:
            self._file.write(np.clip(np.nan_to_num(samples), -1, 1))
        except (OSError, RuntimeError) as error:
            self.problem = str(error)

    def close(self) -> None:
        """Complete the file."""
        with contextlib.suppress(OSError, RuntimeError):
            self._file.close()
