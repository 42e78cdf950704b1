"""Chunks made from a renderer and encoders, in this process.

Several encoders may be open at once, each with a chunk of its own. One network makes the frames; each batch goes to the
encoder with the least work waiting, so that all encoders stay busy. An encoder that has all its frames counts as open
until its chunk is finished, so that a kill costs at most one chunk for each encoder.
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
    """A change to frames before they are encoded: (index of the first, pixels in the encoding's layout) -> pixels of
    the same shape."""

MOST_ENCODERS: Final = 8
"""Most encoders that are open at once in a process."""
CHUNK: Final = "chunk"
"""First word of the file names of rendered chunks."""


@dataclass(frozen=True)
class MadeChunk:
    """The finished file of a chunk."""

    index: int
    frames: int
    name: str
    """File name in the work folder."""
    bytes: int
    sha256: str


class FrameSource(Protocol):
    """A source of frames in batches, usually a `Renderer`."""

    @property
    def batch(self) -> int:
        """Frames in a batch."""
        ...

    def batches(self, firsts: Iterable[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Yield (first, frames first to first + batch - 1) for each of `firsts`, multiples of the batch in order."""
        ...


def available_cores() -> int:
    """Number of processor cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # only on Linux
        return os.cpu_count() or 1


def encoders_at_once(cores: int, *, on_gpu: bool) -> int:
    """Number of encoders that keep the cores busy: four cores each, or one if the network itself runs on the CPU."""
    return min(max(cores // ENCODER_THREADS, 1), MOST_ENCODERS) if on_gpu else 1


def chunk_name(index: int, suffix: str, kind: str = CHUNK) -> str:
    """The name of a finished chunk."""
    return f"{kind}_{index:06d}{suffix}"


@dataclass(frozen=True)
class LocalExecutor:
    """Makes chunks in the calling process; see `film.Executor`."""

    renderer: Callable[[], Renderer]
    """Function that makes the renderer; it is called only if a chunk is missing."""
    encoding: Encoding

    def make(self, chunks: Sequence[Chunk], folder: Path, advance: Advance) -> Generator[MadeChunk, None, None]:
        """Make these chunks in the folder."""
        if not chunks:
            return
        renderer = self.renderer()
        encoders = encoders_at_once(available_cores(), on_gpu=renderer.on_gpu)
        yield from ChunkMaker(renderer, self.encoding, folder, encoders=encoders).make(chunks, advance)


class ChunkMaker:
    """Renders and encodes chunks.

    Args:
        source: makes the frames.
        encoding: settings of the encoders.
        folder: folder for the chunks.
        encoders: most encoders that are open at once.
        treat: change to frames before they are encoded.
        kind: first word of the file names. For `CHUNK`, thumbnails are saved beside the chunks (see `light`).
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
        self._alive: list[_EncoderSlot] = []
        self._open: list[_EncoderSlot] = []  # chunks that still need batches
        self._asked: dict[int, _EncoderSlot] = {}  # first frame of a batch -> its destination
        self._closing: deque[_EncoderSlot] = deque()  # chunks that have all their frames

    def make(self, chunks: Iterable[Chunk], advance: Advance) -> Generator[MadeChunk, None, None]:
        """Make these chunks. Each is yielded once its file is complete, has its final name and is on the disk.

        Raises:
            VideoError: an encoder failed.
            RenderError: a frame cannot be rendered.
        """
        try:
            for first, frames in self._source.batches(self._schedule(iter(chunks))):
                slot = self._asked.pop(first)
                count = slot.take(first, frames, self._treat)
                advance(count)
                if slot.is_full:
                    slot.encoder.close()
                    self._closing.append(slot)
                yield from self._reap(at_most=self._encoders - max(len(self._open), 1))
            yield from self._reap(at_most=0)
        finally:
            for slot in self._alive:
                slot.abandon()
            for collection in (self._alive, self._open, self._asked, self._closing):
                collection.clear()

    def _schedule(self, chunks: Iterator[Chunk]) -> Iterator[int]:
        """First frames of batches, in the order in which the encoders need them."""
        while True:
            # One more slot than `encoders` may be open: the renderer asks for batches ahead of time.
            while (len(self._alive) < self._encoders or not self._open) and (chunk := next(chunks, None)) is not None:
                with held_back():  # an interrupt before the encoder is listed would leave it, and its file, behind
                    slot = _EncoderSlot(chunk, self._name(chunk), self._encoding, self._folder, self._source.batch)
                    if self._measures:
                        slot.light = LightRecorder(self._encoding)
                    self._alive.append(slot)
                self._open.append(slot)
            if not self._open:
                return
            slot = min(self._open, key=lambda slot: slot.ahead)
            first = slot.next_batch()
            if slot.all_asked:
                self._open.remove(slot)
            self._asked[first] = slot
            yield first

    def _name(self, chunk: Chunk) -> str:
        return chunk_name(chunk.index, self._encoding.suffix, self._kind)

    def _reap(self, *, at_most: int) -> Iterator[MadeChunk]:
        """Chunks whose encoders have ended; wait until at most `at_most` are still closing."""
        for slot in list(self._closing):
            if len(self._closing) > at_most or slot.encoder.has_ended:
                made = slot.finish()
                self._closing.remove(slot)
                self._alive.remove(slot)
                yield made


class _EncoderSlot:
    """One open encoder and its chunk."""

    def __init__(self, chunk: Chunk, name: str, encoding: Encoding, folder: Path, batch: int) -> None:
        self._chunk, self._name, self._folder, self._batch = chunk, name, folder, batch
        self._partial = f"{self._name}.partial-{secrets.token_hex(4)}"
        self._next = chunk.start - chunk.start % batch
        self._missing = 0  # batches that were requested and have not arrived
        self.light: LightRecorder | None = None
        self.encoder: EncoderProcess = encoding.open(folder, self._partial)

    @property
    def ahead(self) -> int:
        """Batches that wait for the encoder or were requested for it."""
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
        """Encode the frames of a batch that belong to the chunk; return their number."""
        start = max(self._chunk.start, first)
        own = frames[start - first : self._chunk.stop - first]
        own = treat(start, own) if treat else own
        if self.light and len(own):
            self.light.push(own)
        self.encoder.write(own)
        self._missing -= 1
        return len(own)

    def finish(self) -> MadeChunk:
        """Wait for the encoder, flush the file to the disk and give it its final name."""
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
        """Stop the encoder and remove the partial file."""
        self.encoder.abandon()
        (self._folder / self._partial).unlink(missing_ok=True)
