"""A whole render: chunks, sound, join; an interrupted render keeps its chunks for the next run."""

from __future__ import annotations

import contextlib
import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from audioreactive._support.interrupts import held_back
from audioreactive.chunks.folder import WorkFolder
from audioreactive.chunks.light import FlashWatch
from audioreactive.errors import VideoError
from audioreactive.video.chunks import join
from audioreactive.video.encoder import explained
from audioreactive.video.sound import SoundTrack
from audioreactive.video.writer import NameTaken, check_output, publish

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
    from fractions import Fraction
    from pathlib import Path

    from audioreactive.chunks.plan import Chunk, MadeChunk
    from audioreactive.progress import Advance, Progress
    from audioreactive.video.chunks import Encoding


@dataclass(frozen=True)
class Revised:
    """A chunk that was replaced."""

    index: int
    pieces: tuple[tuple[str, int], ...]
    """(name in the folder, number of frames) of its files, in order. Each holds whole closed groups of pictures."""


class Revision(Protocol):
    """Checks all chunks before they are joined, and replaces some of them by files with other names.

    `safe_light.SafeLight` is one. Useful parts: `video.chunks.read_chunks` decodes chunks to the frames that a viewer
    will see, `video.groups` cuts them without encoding, and `making.ChunkMaker` encodes changed frames. Replacements
    are not written into the journal; an interrupted revision starts again from the original chunks.
    """

    def __call__(self, film: Film, made: Sequence[MadeChunk], folder: Path) -> Iterator[Revised]:
        """Replacements for chunks with the same index; `made` are all chunks of the film, in order, in the folder."""
        ...


Pieces = tuple[tuple[str, int], ...]
"""(name in the folder, number of frames) of successive files."""


class Fitting(Protocol):
    """Makes chunks anew, once all are final, so that the joined file keeps to limits; `budget.Budget` is one."""

    def check_sound(self, film: Film, size: int, made: MadeChunk, folder: Path) -> None:
        """Raise VideoError if the finished sound track alone, of `size` bytes, breaks a limit.

        Args:
            film: the film.
            size: bytes of the sound track.
            made: a chunk that is there already.
            folder: folder of the chunk.
        """
        ...

    def __call__(
        self, film: Film, pieces: Mapping[int, Pieces], folder: Path, joined: Callable[[Mapping[int, Pieces]], int]
    ) -> Mapping[int, Pieces]:
        """Files of all chunks that keep to the limits.

        Args:
            film: the film.
            pieces: files of all chunks, by index.
            folder: folder of the files, and of new ones.
            joined: function that joins files with the sound, and returns the bytes of the finished video.

        Raises:
            VideoError: no quality keeps to the limits, or a chunk cannot be read or encoded again.
        """
        ...


class Executor(Protocol):
    """Makes chunks: in this process, in several processes, or on other machines."""

    def make(self, chunks: Sequence[Chunk], folder: Path, advance: Advance) -> Generator[MadeChunk, None, None]:
        """Make these chunks in the folder, in any order; each is yielded once its file is complete."""
        ...


@dataclass(frozen=True)
class Film:
    """Description of a video to make, independent of the executor."""

    output: Path
    encoding: Encoding
    chunks: Sequence[Chunk]
    job: Mapping[str, str]
    song: Path
    start: Fraction
    """Start of the video in the song, in seconds."""
    duration: Fraction
    """Length of the video in seconds."""
    preset: str
    """Preset as TOML, to embed in the video."""
    revise: Revision | None = None
    fit: Fitting | None = None
    track: int | None = None
    """Number of the sound track in the song's file; None: the one that `audio.load` chooses."""
    song_digest: str | None = None
    """Digest of the analysed sound; None if not known."""


def make_film(film: Film, executor: Executor, *, overwrite: bool, fresh: bool, progress: Progress) -> None:
    """Make the missing chunks and join all; the output gets its name only when it is complete.

    If it is interrupted, finished chunks are kept, and the next call with the same job continues from there.

    Raises:
        VideoError: the output cannot be written, or another render is making it, or began it with another job.
    """
    check_output(film.output, overwrite, inputs=(film.song,))
    taken: NameTaken | None = None
    try:
        with WorkFolder(film.output, film.job, fresh=fresh) as work:
            video = _finish(film, executor, work, progress=progress)
            try:
                publish(video, film.output.absolute(), overwrite=overwrite, inputs=(film.song,))
            except NameTaken as error:  # the video is complete, under another name, so the work folder is not needed
                taken = error
    except OSError as error:
        folder = film.output.absolute().parent
        raise VideoError(explained(str(error), "the output cannot be completed", folder)) from error
    if taken:
        raise taken


def _finish(film: Film, executor: Executor, work: WorkFolder, *, progress: Progress) -> Path:
    """Make the video in the work folder and return its path."""
    suffix = film.encoding.suffix
    made = work.finished(film.chunks, suffix, most_bytes=lambda frames: _most_bytes(film.encoding, frames))
    missing = [chunk for chunk in film.chunks if chunk.index not in made]
    if made:
        progress.say(f"{len(made)} of {len(film.chunks)} chunks are there from before")
    sound: SoundTrack | None = None
    try:
        with held_back():
            if not film.encoding.kind.animation:
                sound = SoundTrack(
                    film.encoding.kind,
                    film.song,
                    film.start,
                    film.duration,
                    work.path,
                    track=film.track,
                    digest=film.song_digest,
                )
        watch = None if film.revise else FlashWatch(film.encoding, list(film.chunks), work.path)
        with progress.track("rendering", sum(map(len, film.chunks)), "frame") as advance:
            advance(sum(chunk.frames for chunk in made.values()))
            for chunk in made.values():
                if watch:
                    watch.accept(chunk)
            with contextlib.closing(executor.make(missing, work.path, advance)) as coming:
                for chunk in coming:
                    work.accept(chunk)
                    made[chunk.index] = chunk
                    if watch:
                        watch.accept(chunk)
                    if sound:
                        sound.check()
                        if film.fit and sound.is_finished:
                            film.fit.check_sound(film, sound.path.stat().st_size, chunk, work.path)
        pieces: dict[int, Pieces] = {chunk.index: ((made[chunk.index].name, len(chunk)),) for chunk in film.chunks}
        if film.revise:
            revised = film.revise(film, [made[chunk.index] for chunk in film.chunks], work.path)
            pieces |= {chunk.index: chunk.pieces for chunk in revised}
        track = sound.finish() if sound else None
        for note in sound.notes if sound else ():
            progress.say(note)

        def joined(pieces: Mapping[int, Pieces]) -> Path:
            work.check()
            parts = [piece for chunk in film.chunks for piece in pieces[chunk.index]]
            return join(film.encoding, parts, folder=work.path, sound=track, title=film.song.stem, preset=film.preset)

        if film.fit:
            pieces = dict(film.fit(film, pieces, work.path, lambda pieces: joined(pieces).stat().st_size))
        video = joined(pieces)
        _bring_to_disk(video)
        if watch and (warning := watch.sentence()):
            progress.say(warning)
        return video
    except BaseException as error:
        if kept := work.kept:
            told = f"{kept} of {len(film.chunks)} chunks are kept in {work.path}: "
            told += "the same command again goes on from there"
            if isinstance(error, Exception):
                progress.say(told)
            else:  # the handler of the interrupt shows it in its one message
                error.add_note(told)
        raise
    finally:
        if sound:
            sound.abandon()


def _most_bytes(encoding: Encoding, frames: int) -> int:
    """Upper bound on a chunk's bytes: twice its pixels at 16 bits a colour, and a fixed amount for each frame."""
    return 12 * math.prod(encoding.settings.size) * frames + (frames + 16 << 16)


def _bring_to_disk(made: Path) -> None:
    """Flush a file to the disk before it is renamed; the pictures of a folder are left to the system."""
    if made.is_file():
        with made.open("rb") as file:
            os.fsync(file.fileno())
