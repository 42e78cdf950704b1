"""The whole of a render: chunks, sound, join; and what is left when it is cut short."""

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
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from fractions import Fraction
    from pathlib import Path

    from audioreactive.chunks.making import MadeChunk
    from audioreactive.chunks.plan import Chunk
    from audioreactive.progress import Advance, Progress
    from audioreactive.video.chunks import Encoding


@dataclass(frozen=True)
class Revised:
    """A chunk that is another one now."""

    index: int
    pieces: tuple[tuple[str, int], ...]
    """Name in the folder and number of frames of its files, in order: each of whole closed groups of pictures."""


class Revision(Protocol):
    """Looks at all chunks before they are joined, and makes some of them anew, under other names.

    `video.chunks.read_chunks` gives their frames as a viewer will see them, `video.groups` takes them apart as they
    are, `making.ChunkMaker` makes a part again and treats its frames on their way; `safe_light.SafeLight` does so. What
    was revised is not in the journal: cut short, it is done again, from the chunks as they were.
    """

    def __call__(self, film: Film, made: Sequence[MadeChunk], folder: Path) -> Iterator[Revised]:
        """What to take instead of chunks with the same index; `made` are all, in order, in the folder."""
        ...


class Crew(Protocol):
    """Whoever makes chunks: this process, others, or other machines."""

    def make(self, chunks: Sequence[Chunk], folder: Path, advance: Advance) -> Generator[MadeChunk, None, None]:
        """Make these chunks in the folder, in any order; each is handed out when its file is whole."""
        ...


@dataclass(frozen=True)
class Film:
    """What is to be made, whoever makes it."""

    output: Path
    encoding: Encoding
    chunks: Sequence[Chunk]
    job: Mapping[str, str]
    song: Path
    start: Fraction
    """Seconds into the song."""
    duration: Fraction
    """Seconds."""
    preset: str
    """TOML to embed."""
    revise: Revision | None = None
    track: int | None = None
    """Which of several sounds in the song's file; None: as `audio.load` chooses."""
    song_digest: str | None = None
    """Digest of the sound that was analysed; None: not known."""


def make_film(film: Film, crew: Crew, *, overwrite: bool, fresh: bool, progress: Progress) -> None:
    """Make the chunks that are not there yet, and join all; the output has its name only when it is whole.

    Cut short, by whatever, it leaves the chunks that are whole, and the next call with the same job goes on from there.

    Raises:
        VideoError: the output cannot be written; another render is at it, or has begun it otherwise.
    """
    check_output(film.output, overwrite, inputs=(film.song,))
    taken: NameTaken | None = None
    try:
        with WorkFolder(film.output, film.job, fresh=fresh) as work:
            video = _finish(film, crew, work, progress=progress)
            try:
                publish(video, film.output.absolute(), overwrite=overwrite, inputs=(film.song,))
            except NameTaken as error:  # it is whole, under another name: nothing is to be kept
                taken = error
    except OSError as error:
        folder = film.output.absolute().parent
        raise VideoError(explained(str(error), "the output cannot be completed", folder)) from error
    if taken:
        raise taken


def _finish(film: Film, crew: Crew, work: WorkFolder, *, progress: Progress) -> Path:
    """The whole video, in the work folder."""
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
            with contextlib.closing(crew.make(missing, work.path, advance)) as coming:
                for chunk in coming:
                    work.accept(chunk)
                    made[chunk.index] = chunk
                    if watch:
                        watch.accept(chunk)
                    if sound:
                        sound.check()
        pieces: dict[int, tuple[tuple[str, int], ...]]
        pieces = {chunk.index: ((made[chunk.index].name, len(chunk)),) for chunk in film.chunks}
        if film.revise:
            revised = film.revise(film, [made[chunk.index] for chunk in film.chunks], work.path)
            pieces |= {chunk.index: chunk.pieces for chunk in revised}
        track = sound.finish() if sound else None
        for note in sound.notes if sound else ():
            progress.say(note)
        work.check()
        parts = [piece for chunk in film.chunks for piece in pieces[chunk.index]]
        video = join(film.encoding, parts, folder=work.path, sound=track, title=film.song.stem, preset=film.preset)
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
            else:  # whoever ends the program says it, in the one message of an interrupt
                error.add_note(told)
        raise
    finally:
        if sound:
            sound.abandon()


def _most_bytes(encoding: Encoding, frames: int) -> int:
    """Bytes that a chunk can have, in any coding: twice those of its pixels at 16 bits a colour, and some for each."""
    return 12 * math.prod(encoding.settings.size) * frames + (frames + 16 << 16)


def _bring_to_disk(made: Path) -> None:
    """See that a rename cannot outrun the bytes; the frames of a folder are left to the system."""
    if made.is_file():
        with made.open("rb") as file:
            os.fsync(file.fileno())
