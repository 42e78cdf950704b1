"""Chunks made from a renderer and encoders, in this process.

Several encoders may be open at once, each with a chunk of its own. One network makes the frames; each batch goes to the
encoder with the least work waiting, so that all encoders stay busy. An encoder that has all its frames counts as open
until its chunk is finished, so that a kill costs at most one chunk for each encoder.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import secrets
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol

from audioreactive._support.interrupts import held_back
from audioreactive.chunks.light import LightRecorder, light_name
from audioreactive.chunks.plan import MadeChunk
from audioreactive.errors import VideoError
from audioreactive.video.chunks import ENCODER_THREADS, SPARE
from audioreactive.video.formats import SPEEDS

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

log = logging.getLogger(__name__)

HELD_UP: Final = 0.3
"""Share of the time that a GPU may wait for encoders before that is told."""

QUICK: Final = "veryfast"
"""Speed of an encoder that is recommended where it is the limit: files are hardly larger."""

MOST_ENCODERS: Final = 8
"""Most encoders that are open at once in a process."""
CHUNK: Final = "chunk"
"""First word of the file names of rendered chunks."""


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


def encoders_at_once(cores: int, *, on_gpu: bool, most: int | None = None) -> int:
    """Number of encoders that keep the cores busy: four cores each, or one if the network itself runs on the CPU.

    Args:
        cores: cores that the encoders may use.
        on_gpu: whether the network runs on a GPU.
        most: most encoders of this kind; None: `MOST_ENCODERS`.
    """
    return min(max(cores // ENCODER_THREADS, 1), most or MOST_ENCODERS) if on_gpu else 1


def chunk_name(index: int, suffix: str, kind: str = CHUNK) -> str:
    """The name of a finished chunk."""
    return f"{kind}_{index:06d}{suffix}"


@dataclass(frozen=True)
class LocalExecutor:
    """Makes chunks in the calling process; see `film.Executor`."""

    renderer: Callable[[], Renderer]
    """Function that makes the renderer; it is called only if a chunk is missing."""
    encoding: Encoding
    say: Callable[[str], None] | None = None
    """Function that is called with a message if an encoder fails and another takes over."""

    def make(self, chunks: Sequence[Chunk], folder: Path, advance: Advance) -> Generator[MadeChunk, None, None]:
        """Make these chunks in the folder."""
        if not chunks:
            return
        renderer = self.renderer()
        most = self.encoding.most_at_once
        encoders = encoders_at_once(available_cores(), on_gpu=renderer.on_gpu, most=most)
        maker = ChunkMaker(renderer, self.encoding, folder, encoders=encoders, say=self.say)
        yield from maker.make(chunks, advance)
        if self.say and renderer.on_gpu:
            self.say(limit_of(maker.shares, self.encoding))


@dataclass
class Shares:
    """Seconds that were waited for the frames, and for the encoders."""

    frames: float = 0.0
    encoders: float = 0.0

    @contextlib.contextmanager
    def waiting_for(self, what: Literal["frames", "encoders"]) -> Iterator[None]:
        """Count the seconds of a block."""
        start = time.monotonic()
        try:
            yield
        finally:
            setattr(self, what, getattr(self, what) + time.monotonic() - start)


def limit_of(shares: Shares, encoding: Encoding) -> str:
    """A sentence about what the limit was on a GPU: the encoder, if it took more than `HELD_UP` of the time, or not."""
    encoder, speed = encoding.kind.video_encoder, encoding.settings.speed
    held_up = shares.encoders / max(shares.frames + shares.encoders, 1e-9)
    if held_up <= HELD_UP:
        return f"the generator was the limit: {1 - held_up:.0%} of the time was spent waiting for its pictures"
    ways = ["a computer with more cores"]
    if encoding.kind.crf_step is not None and encoding.spare is None and SPEEDS.index(speed) > SPEEDS.index(QUICK):
        ways.insert(0, f"--encoder-speed {QUICK} instead of {speed}")
    if encoder == "libx264":
        ways.append("--encoder nvenc if the GPU has it")
    ways.append("a lossless .mkv to be encoded later")
    return (
        f"the encoder was the limit: the GPU waited {held_up:.0%} of the time for {encoder}; "
        f"faster: {', '.join(ways[:-1])}, or {ways[-1]}"
    )


class ChunkMaker:
    """Renders and encodes chunks.

    Where a GPU's encoder fails, its chunk is made anew: with fewer encoders at once if others still run, because
    drivers limit their number, or else with `Encoding.spare`, which also makes all chunks after it.

    Args:
        source: makes the frames.
        encoding: settings of the encoders.
        folder: folder for the chunks.
        encoders: most encoders that are open at once.
        treat: change to frames before they are encoded.
        kind: first word of the file names. For `CHUNK`, thumbnails are saved beside the chunks (see `light`).
        say: function that is called with a message if an encoder fails and another takes over.
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
        say: Callable[[str], None] | None = None,
    ) -> None:
        self._say = say or log.warning
        self.shares = Shares()
        self._source, self._encoding, self._folder, self._kind = source, encoding, folder, kind
        self._encoders, self._treat = encoders, treat
        self._measures = kind == CHUNK
        self._alive: list[_EncoderSlot] = []
        self._open: list[_EncoderSlot] = []  # chunks that still need batches
        self._asked: deque[_EncoderSlot] = deque()  # destinations of the batches that are under way, in order
        self._attempts: dict[int, int] = {}  # encoders of the GPU that failed at a chunk
        self._fell_back = False  # whether the spare encoding makes all further chunks
        self._again: list[Chunk] = []  # chunks whose encoders failed
        self._closing: deque[_EncoderSlot] = deque()  # chunks that have all their frames

    def make(self, chunks: Iterable[Chunk], advance: Advance) -> Generator[MadeChunk, None, None]:
        """Make these chunks. Each is yielded once its file is complete, has its final name and is on the disk.

        Raises:
            VideoError: an encoder failed.
            RenderError: a frame cannot be rendered.
        """
        coming = iter(chunks)
        try:
            while True:
                yield from self._make(coming, advance)
                if not self._again:
                    return
        finally:
            for slot in self._alive:
                slot.abandon()
            for collection in (self._alive, self._open, self._asked, self._closing, self._again):
                collection.clear()

    def _make(self, chunks: Iterator[Chunk], advance: Advance) -> Iterator[MadeChunk]:
        """Make chunks; those whose encoders fail at their very end are left in `_again`."""
        batches = iter(self._source.batches(self._schedule(chunks)))
        while True:
            with self.shares.waiting_for("frames"):
                batch = next(batches, None)
            if batch is None:
                break
            first, frames = batch
            del batch
            slot = self._asked.popleft()
            if slot.failed:
                continue
            try:
                with self.shares.waiting_for("encoders"):
                    count = slot.take(first, frames, self._treat)
                advance(count)
                if slot.is_full:
                    slot.encoder.close()
                    self._closing.append(slot)
            except VideoError as error:
                self._replace(slot, error, advance)
            yield from self._reap(advance, at_most=self._encoders - max(len(self._open), 1))
        yield from self._reap(advance, at_most=0)

    def _replace(self, slot: _EncoderSlot, error: VideoError, advance: Advance) -> None:
        """Have a chunk made anew whose encoder failed.

        Raises:
            VideoError: no other encoder could do better.
        """
        spare = None if self._kind != CHUNK or slot.is_spare else self._encoding.spare
        if spare is None:
            raise error
        slot.abandon()
        slot.failed = True
        for slots in (self._alive, self._open, self._closing):
            if slot in slots:
                slots.remove(slot)
        advance(-slot.encoder.frames_written)
        self._again.append(slot.chunk)
        tried = self._attempts[slot.chunk.index] = self._attempts.get(slot.chunk.index, 0) + 1
        if tried < MOST_ENCODERS and slot.had_company:
            self._encoders = max(self._encoders - 1, 1)
            for other in self._closing:
                other.encoder.process.wait()  # it has all its frames
            self._say(f"an encoder of the GPU failed; {self._encoders} at once go on ({error})")
        elif not self._fell_back:
            self._fell_back = True
            self._say(f"the encoder of the GPU failed; x264 encodes what is left ({error})")

    def _schedule(self, chunks: Iterator[Chunk]) -> Iterator[int]:
        """First frames of batches, in the order in which the encoders need them."""
        while True:
            # One more slot than `encoders` may be open: the renderer asks for batches ahead of time.
            while (len(self._alive) < self._encoders or not self._open) and (chunk := self._next(chunks)) is not None:
                with held_back():  # an interrupt before the encoder is listed would leave it, and its file, behind
                    slot = self._slot(chunk)
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
            self._asked.append(slot)
            yield first

    def _next(self, chunks: Iterator[Chunk]) -> Chunk | None:
        return self._again.pop() if self._again else next(chunks, None)

    def _slot(self, chunk: Chunk) -> _EncoderSlot:
        spare = self._encoding.spare if self._fell_back else None
        name = chunk_name(chunk.index, self._encoding.suffix, self._kind if spare is None else SPARE)
        slot = _EncoderSlot(chunk, name, spare or self._encoding, self._folder, self._source.batch)
        slot.is_spare = spare is not None
        slot.had_company = any(not other.is_spare for other in self._alive)
        return slot

    def _reap(self, advance: Advance, *, at_most: int) -> Iterator[MadeChunk]:
        """Chunks whose encoders have ended; wait until at most `at_most` are still closing."""
        for slot in list(self._closing):
            if len(self._closing) > at_most or slot.encoder.has_ended:
                try:
                    made = slot.finish()
                except VideoError as error:
                    self._replace(slot, error, advance)
                    continue
                self._closing.remove(slot)
                self._alive.remove(slot)
                yield made


class _EncoderSlot:
    """One open encoder and its chunk."""

    def __init__(self, chunk: Chunk, name: str, encoding: Encoding, folder: Path, batch: int) -> None:
        self.chunk, self._name, self._folder, self._batch = chunk, name, folder, batch
        self.is_spare = self.failed = False
        self.had_company = False  # whether other encoders of the GPU were open when this one was opened
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
        return self._next >= self.chunk.stop

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
        start = max(self.chunk.start, first)
        own = frames[start - first : self.chunk.stop - first]
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
            self.light.save(self._folder / light_name(self.chunk.index))
        partial.replace(self._folder / self._name)
        return MadeChunk(self.chunk.index, len(self.chunk), self._name, size, digest)

    def abandon(self) -> None:
        """Stop the encoder and remove the partial file."""
        self.encoder.abandon()
        (self._folder / self._partial).unlink(missing_ok=True)
