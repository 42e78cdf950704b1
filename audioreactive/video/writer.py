"""Write frames and a song to a video file, which gets its name only when it is complete.

Conventions: frame i is shown from i / fps seconds on, and the sound of the song at `start` seconds is heard at 0.
All files are made in a hidden folder beside the output, `.NAME.partial-XXXX`, which only this user can write to. The
finished video is moved out of it, and the folder is removed in any case.
"""

import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from audioreactive._support.files import check_folder, keep_apart, kind_of, shortened, write_new
from audioreactive.errors import OutputError, VideoError
from audioreactive.media import ffmpeg
from audioreactive.media.ffmpeg import QUIET
from audioreactive.video import tags
from audioreactive.video.animation import animate
from audioreactive.video.encoder import EncoderProcess, explained, failure
from audioreactive.video.formats import VideoSettings, frame_shape, output_format, raw_input
from audioreactive.video.reader import FRAME_PATTERN, INFO_FILE, PRESET_FILE, SOUND_FILE, is_frame_folder
from audioreactive.video.sound import SoundTrack

_TAGS_FILE: Final = "tags.txt"
_LOSSLESS: Final = "lossless.mkv"
"""Name of the lossless video from which an animated picture is encoded."""
_FRAMES: Final = "frames"


class NameTaken(VideoError):
    """A finished video could not get its name, which was taken meanwhile; the message has its other name."""


def check_output(path: Path, overwrite: bool, *, inputs: Iterable[Path | None] = ()) -> None:
    """Check, before an hour of rendering, that the output can be written.

    Args:
        path: the video, or the folder of frames.
        overwrite: whether an existing output may be replaced.
        inputs: input files of the same command, which are never replaced; None for an input that was not given.

    Raises:
        VideoError: the extension is not known, the folder is missing or not writable, or the name is taken.
        OutputError: the output is an input.
    """
    kind = output_format(path)
    keep_apart(path, inputs)
    try:
        check_folder(path.absolute().parent)
    except OutputError as error:
        raise VideoError(f"{path.name!r} cannot be written: {error} with -o") from error
    if not os.path.lexists(path) or (path.is_dir() and not any(path.iterdir())):
        return
    if not overwrite:
        raise VideoError(f"{path} exists already; choose another name, or replace it with --overwrite")
    if kind.is_folder and not (path.is_dir() and is_frame_folder(path)):
        raise VideoError(f"{path} holds other things than frames of an earlier render; choose another name")
    if not kind.is_folder and path.exists() and not stat.S_ISREG(mode := path.stat().st_mode):
        raise VideoError(f"{path} is a {kind_of(mode)}, not a video; choose another name")


class VideoWriter:
    """Writes batches of frames to a video, while the caller makes the next ones.

    It is a context manager: at a normal exit the video gets its name, after an exception nothing is left of it.

        with VideoWriter(Path("out.mp4"), settings, frame_size=(256, 256), sound=song) as writer:
            for batch in batches:
                writer.write(batch)

    Args:
        path: the finished file (or folder); its extension chooses the format.
        settings: settings of the picture and its encoder.
        frame_size: (width, height) of the incoming frames.
        sound: a sound file, or None for a silent video.
        start: seconds into the sound at which the video begins, exact to the sample.
        duration: seconds of sound; silence follows if the file ends earlier. None: to the end of the file.
        track: number of the audio track in the file; see `audio.load`.
        preset: TOML to embed.
        overwrite: whether an existing output may be replaced.
        queue_batches: most batches that wait for the encoder, which bounds the memory.

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
        track: int | None = None,
        preset: str | None = None,
        overwrite: bool = False,
        queue_batches: int = 3,
    ) -> None:
        check_output(path, overwrite, inputs=(sound,))
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
        self._track = track
        self.notes: tuple[str, ...] = ()
        """Sentences for the user about the sound."""
        self._preset, self._overwrite = preset, overwrite
        self._queue_batches = queue_batches
        self._encoder: EncoderProcess | None = None
        self._folder: Path | None = None

    @property
    def frames_written(self) -> int:
        """Number of frames passed to `write` so far."""
        return self._encoder.frames_written if self._encoder else 0

    def __enter__(self) -> Self:
        try:
            self._start_encoder()
        except OSError as error:
            self._abandon()
            raise VideoError(explained(str(error), "the output cannot be begun", self._path.parent)) from error
        except BaseException:
            self._abandon()
            raise
        return self

    def write(self, frames: NDArray[np.uint8]) -> None:
        """Queue a batch; waits while the queue is full.

        The array is not copied: it belongs to the writer from here on and must not be changed.

        Args:
            frames: (B, H, W, 3) uint8 RGB, or the shape of the settings' layout.

        Raises:
            VideoError: ffmpeg stopped; the message has its last lines.
        """
        if self._encoder is None:
            raise ValueError("a VideoWriter is written to inside its with block")
        self._encoder.write(frames)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        except OSError as failure:
            raise VideoError(explained(str(failure), "the output cannot be completed", self._path.parent)) from failure
        finally:
            self._abandon()

    def _start_encoder(self) -> None:
        self._folder = self._make_folder()
        coded = self._coded_sound(self._folder)
        write_new(self._folder / _TAGS_FILE, tags.metadata_file(title=self._title(), preset=self._preset))
        if self._format.is_folder:
            (self._folder / _FRAMES).mkdir()
        self._encoder = EncoderProcess(
            self._arguments(coded),
            folder=self._folder,
            frame_shape=frame_shape(self._settings.layout, self._frame_size),
            queue_batches=self._queue_batches,
        )

    def _make_folder(self) -> Path:
        folder = self._path.parent / f".{shortened(self._path.name, 200)}.partial-{secrets.token_hex(8)}"
        folder.mkdir(mode=0o700)
        return folder

    def _title(self) -> str:
        return (self._sound or self._path).stem

    def _coded_sound(self, folder: Path) -> Path | None:
        """Encode the sound to a file in the folder, before the first frame arrives."""
        if self._sound is None or self._format.animation:
            return None
        track = SoundTrack(self._format, self._sound, self._start, self._duration, folder, track=self._track)
        try:
            return track.finish()
        finally:
            track.abandon()
            self.notes = tuple(track.notes)

    def _arguments(self, sound: Path | None) -> list[str]:
        settings, kind = self._settings, self._format
        frames = raw_input(settings, self._frame_size)
        picture = ["-map", "0:v:0", "-vf", kind.picture_filters(settings), *kind.arguments(settings)]
        picture += ["-fps_mode", "passthrough"]
        exact = ["-map_metadata", "1", "-map_chapters", "-1", "-fflags", "+bitexact", "-flags", "+bitexact"]
        inputs = [*frames, "-f", "ffmetadata", "-i", _TAGS_FILE]
        if kind.is_folder:
            return [*QUIET, *inputs, *picture, *exact, f"{_FRAMES}/{FRAME_PATTERN}"]
        heard = ["-map", "2:a:0", "-c:a", "copy"] if sound else []
        inputs += ["-i", sound.name] if sound else []
        name = _LOSSLESS if kind.animation else f"video{kind.extension}"
        return [*QUIET, *inputs, *picture, *heard, *exact, *kind.container_options, name]

    def _finish(self) -> None:
        """Wait for ffmpeg to finish, and give the video its name."""
        if not self.frames_written:
            raise VideoError(f"no frames were rendered for {self._path.name}")
        assert self._encoder is not None and self._folder is not None
        self._encoder.close()
        self._encoder.finish()
        (self._folder / _TAGS_FILE).unlink()
        made = self._folder / (_FRAMES if self._format.is_folder else f"video{self._format.extension}")
        if self._format.is_folder:
            if (sound := self._folder / SOUND_FILE).exists():
                sound.replace(made / SOUND_FILE)
            complete_frame_folder(made, self._settings, self.frames_written, self._preset)
        if self._format.animation:
            animate(self._format, self._settings, ["-i", _LOSSLESS], self.frames_written, made, self._run)
        publish(made, self._path, overwrite=self._overwrite, inputs=(self._sound,))

    def _run(self, arguments: Sequence[str]) -> bytes:
        """Run another ffmpeg in the same folder, and return its standard output."""
        assert self._folder is not None
        process = ffmpeg.spawn(arguments, folder=self._folder)
        try:
            said, problem = process.communicate()
        finally:
            process.kill()
            process.wait()
        if process.returncode:
            raise failure(problem.decode(errors="replace").strip()[-2000:], process.returncode, self._path.parent)
        return bytes(said)

    def _abandon(self) -> None:
        """Stop the process and the threads, and remove all files; harmless after a normal end."""
        if self._encoder is not None:
            self._encoder.abandon()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def publish(made: Path, goal: Path, *, overwrite: bool, inputs: Iterable[Path | None] = ()) -> None:
    """Give a finished video (or folder of frames) its name.

    Raises:
        NameTaken: the name was taken meanwhile; the video has another one.
    """
    try:
        check_output(goal, overwrite, inputs=inputs)
    except (VideoError, OutputError) as error:
        # The name was taken during the render: keep the video under another one.
        goal = goal.with_name(f"{shortened(goal.stem, 200)}-{secrets.token_hex(2)}{goal.suffix}")
        made.replace(goal)
        raise NameTaken(f"{error}; the finished video is {goal}") from None
    old = goal.with_name(f".{shortened(goal.name, 200)}.old-{secrets.token_hex(8)}")
    if goal.is_dir():  # or a link to an empty one
        goal.rename(old)
    try:
        made.replace(goal)
    except BaseException:
        if os.path.lexists(old):
            old.rename(goal)
        raise
    if old.is_symlink():
        old.unlink()
    else:
        shutil.rmtree(old, ignore_errors=True)


def complete_frame_folder(folder: Path, settings: VideoSettings, frames: int, preset: str | None) -> None:
    """Write the frame rate, size and number of frames, and the preset, beside the frames."""
    stated = {"fps": str(settings.fps), "size": settings.size, "frames": frames}
    write_new(folder / INFO_FILE, json.dumps(stated).encode() + b"\n")
    if preset is not None:
        write_new(folder / PRESET_FILE, preset.encode())
