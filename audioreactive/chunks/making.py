"""Chunks from a renderer and encoders, in this process.

Several encoders may be open at once, on consecutive chunks: batches go to the one that waits for them, so that all of
them work although one network makes the frames. An encoder that has all its frames keeps its place until its chunk is
whole, so that whoever is killed loses no more than one chunk for each.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from audioreactive._support.interrupts import held_back
from audioreactive.chunks.light import LightRecorder, light_name
from audioreactive.video.chunks import ENCODER_THREADS

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from audioreactive.chunks.plan import Chunk
    from audioreactive.progress import Advance
    from audioreactive.rendering.renderer import Renderer
    from audioreactive.video.chunks import Encoding
    from audioreactive.video.encoder import EncoderProcess

    Treatment = Callable[[int, NDArray[np.uint8]], NDArray[np.uint8]]
    """What is done to frames on their way to the encoder: (index of the first, pixels in the encoding's layout) ->
    pixels of the same shape. It may only look."""

MOST_ENCODERS: Final = 8
CHUNK: Final = "chunk"
"""First word of the name of what a renderer makes."""


@dataclass(frozen=True)
class MadeChunk:
    """A chunk's file, whole and checked."""

    index: int
    frames: int
    name: str
    """In the work folder."""
    bytes: int
    sha256: str


class FrameSource(Protocol):
    """Whatever gives frames in batches: a `Renderer`, as a rule."""

    @property
    def batch(self) -> int:
        """Frames in a batch."""
        ...

    def batches(self, firsts: Iterable[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """(first, frames first to first + batch - 1) for each of `firsts`, multiples of the batch, in order."""
        ...


def available_cores() -> int:
    """Of those that the machine has, the ones that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # only Linux tells
        return os.cpu_count() or 1


def encoders_at_once(cores: int, *, on_gpu: bool) -> int:
    """How many encoders keep the cores busy: one where the network itself computes on them, else four cores each."""
    return min(max(cores // ENCODER_THREADS, 1), MOST_ENCODERS) if on_gpu else 1


def chunk_name(index: int, suffix: str, kind: str = CHUNK) -> str:
    """The name of a finished chunk."""
    return f"{kind}_{index:06d}{suffix}"


@dataclass(frozen=True)
class LocalCrew:
    """The process that asks, alone; see `film.Crew`."""

    renderer: Callable[[], Renderer]
    """Makes the renderer, when there is something to render."""
    encoding: Encoding
    treat: Treatment | None = None

    def make(self, chunks: Sequence[Chunk], folder: Path, advance: Advance) -> Generator[MadeChunk, None, None]:
        """Make these chunks in the folder."""
        if not chunks:
            return
        on_gpu = (renderer := self.renderer()).on_gpu
        maker = ChunkMaker(
            renderer,
            self.encoding,
            folder,
            encoders=encoders_at_once(available_cores(), on_gpu=on_gpu),
            treat=self.treat,
        )
        yield from maker.make(chunks, advance)


class ChunkMaker:
    """Renders and encodes chunks.

    Args:
        source: makes the frames.
        encoding: how they are coded.
        folder: where the chunks are made.
        encoders: open at once, at most.
        treat: what is done to frames before they are coded.
        kind: first word of the files' names; the light of chunks is measured and kept beside them.
    """

    def __init__(
        self,
        source: FrameSource,
        encoding: Encoding,
        folder: Path,
        *,
        encoders: int = 1,
        treat: Treatment | None = None,
        kind: str = CHUNK,
    ) -> None:
        self._source, self._encoding, self._folder, self._kind = source, encoding, folder, kind
        self._encoders, self._treat = encoders, treat
        self._measures = kind == CHUNK
        self._alive: list[_Lane] = []
        self._open: list[_Lane] = []  # chunks of which batches are still to be asked for
        self._asked: dict[int, _Lane] = {}  # first frame of a batch -> where it goes
        self._closing: deque[_Lane] = deque()  # chunks that have all their frames

    def make(self, chunks: Iterable[Chunk], advance: Advance) -> Generator[MadeChunk, None, None]:
        """Make these chunks; each is handed out when its file is whole, under its name, and on the disk.

        Raises:
            VideoError: an encoder failed.
            RenderError: a frame cannot be rendered.
        """
        try:
            for first, frames in self._source.batches(self._schedule(iter(chunks))):
                lane = self._asked.pop(first)
                count = lane.take(first, frames, self._treat)
                advance(count)
                if lane.is_full:
                    lane.encoder.close()
                    self._closing.append(lane)
                yield from self._reap(at_most=self._encoders - max(len(self._open), 1))
            yield from self._reap(at_most=0)
        finally:
            for lane in self._alive:
                lane.abandon()
            for collection in (self._alive, self._open, self._asked, self._closing):
                collection.clear()

    def _schedule(self, chunks: Iterator[Chunk]) -> Iterator[int]:
        """First frames of the batches, in the order in which encoders want them."""
        while True:
            # Where batches are asked for ahead, all places may be taken by chunks whose last frames are under way.
            while (len(self._alive) < self._encoders or not self._open) and (chunk := next(chunks, None)) is not None:
                with held_back():  # an encoder that nobody knew of would bring its file back after the clearing up
                    lane = _Lane(chunk, self._name(chunk), self._encoding, self._folder, self._source.batch)
                    if self._measures:
                        lane.light = LightRecorder(self._encoding)
                    self._alive.append(lane)
                self._open.append(lane)
            if not self._open:
                return
            lane = min(self._open, key=lambda lane: lane.ahead)
            first = lane.next_batch()
            if lane.all_asked:
                self._open.remove(lane)
            self._asked[first] = lane
            yield first

    def _name(self, chunk: Chunk) -> str:
        return chunk_name(chunk.index, self._encoding.suffix, self._kind)

    def _reap(self, *, at_most: int) -> Iterator[MadeChunk]:
        """Chunks whose encoders have ended; waits while there are more than so many that have not."""
        for lane in list(self._closing):
            if len(self._closing) > at_most or lane.encoder.has_ended:
                made = lane.finish()
                self._closing.remove(lane)
                self._alive.remove(lane)
                yield made


class _Lane:
    """One chunk on its way through one encoder."""

    def __init__(self, chunk: Chunk, name: str, encoding: Encoding, folder: Path, batch: int) -> None:
        self._chunk, self._name, self._folder, self._batch = chunk, name, folder, batch
        self._partial = f"{self._name}.partial-{secrets.token_hex(4)}"
        self._next = chunk.start - chunk.start % batch
        self._missing = 0  # batches that were asked for and have not come
        self.light: LightRecorder | None = None
        self.encoder: EncoderProcess = encoding.open(folder, self._partial)

    @property
    def ahead(self) -> int:
        """Batches that wait for the encoder, or will."""
        return self.encoder.waiting + self._missing

    @property
    def all_asked(self) -> bool:
        return self._next >= self._chunk.stop

    @property
    def is_full(self) -> bool:
        return self.all_asked and not self._missing

    def next_batch(self) -> int:
        first = self._next
        self._next += self._batch
        self._missing += 1
        return first

    def take(self, first: int, frames: NDArray[np.uint8], treat: Treatment | None) -> int:
        """Hand over those frames of a batch that are the chunk's; how many."""
        start = max(self._chunk.start, first)
        own = frames[start - first : self._chunk.stop - first]
        own = treat(start, own) if treat else own
        if self.light and len(own):
            self.light.push(own)
        self.encoder.write(own)
        self._missing -= 1
        return len(own)

    def finish(self) -> MadeChunk:
        """Wait for the encoder, see that the file is whole, bring it to the disk and give it its name."""
        self.encoder.finish()
        self.encoder.abandon()
        partial = self._folder / self._partial
        with partial.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
            os.fsync(file.fileno())
        if self.light:
            self.light.save(self._folder / light_name(self._chunk.index))
        partial.replace(self._folder / self._name)
        return MadeChunk(self._chunk.index, len(self._chunk), self._name, size, digest)

    def abandon(self) -> None:
        """Leave no process and no half file."""
        self.encoder.abandon()
        (self._folder / self._partial).unlink(missing_ok=True)
