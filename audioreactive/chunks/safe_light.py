"""Limit a film to three flashes a second: measure its chunks and dim the passages that flash too often.

The encoded chunks are decoded and measured, because that is what a viewer will see. A chunk that must change is cut
between closed groups of pictures. Groups without a change are copied; the others are decoded, corrected and encoded
again, without the network. Frames in them that need no change reach the encoder exactly as they were decoded. Then the
chunk is measured again.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive.chunks.again import GivenUpError, Replay, in_threads
from audioreactive.chunks.film import Revised
from audioreactive.chunks.making import MOST_ENCODERS, ChunkMaker, available_cores, chunk_name
from audioreactive.chunks.plan import Chunk
from audioreactive.errors import VideoError
from audioreactive.flashes import Thumbnails, measure, plan, summary, watched_size
from audioreactive.flashes.definition import to_light
from audioreactive.flashes.detect import FlashMeter
from audioreactive.video.chunks import read_chunks
from audioreactive.video.colour import yuv420_to_rgb
from audioreactive.video.groups import closed_groups, cut

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from audioreactive.chunks.film import Film, Pieces
    from audioreactive.chunks.plan import MadeChunk
    from audioreactive.flashes import Plan
    from audioreactive.progress import Progress

MOST_ROUNDS: Final = 3
"""Rounds of dimming. Compression may bring back a little of a flash, which takes another round."""
SAFE: Final = "safe"
"""First word of the names of files that were encoded again; their number is that of the first frame."""
KEPT: Final = "kept"
"""First word of the names of pieces that were copied out of a chunk without a change."""
CUT: Final = "cut"
"""First word of the names of pieces of a chunk that are to be encoded again."""
_THUMBNAILS: Final = "thumbnails"
"""Name of the temporary file with the thumbnails of all frames."""
_LONGEST_RUN: Final = 12
"""Most chunks that one decoder reads in a row; a shorter run reports progress more often."""
_CORES_OF_A_DECODER: Final = 2
"""Cores used by one decoder and by the conversion and measurement of its frames."""


@dataclass(frozen=True)
class SafeLight:
    """Changes a film until it keeps the rules of `audioreactive.flashes`; see `film.Revision`."""

    progress: Progress

    def __call__(self, film: Film, made: Sequence[MadeChunk], folder: Path) -> Iterator[Revised]:
        """Replacements for the chunks that must change.

        Raises:
            VideoError: a chunk cannot be read or encoded again.
        """
        shared = _Shared(film, {chunk.index: chunk.name for chunk in made}, folder)
        fps, cores = film.encoding.settings.fps, available_cores()
        decoders = max(cores // _CORES_OF_A_DECODER, 1)
        anew: dict[int, Revised] = {}
        applied: list[Plan] = []
        chunks = film.chunks
        while True:
            watch = functools.partial(shared.watch, anew=anew)
            runs = [(run, sum(map(len, run))) for run in _runs(chunks, decoders)]
            in_threads(self.progress, "watching", watch, runs, at_once=decoders, given_up=shared.given_up)
            found = plan(shared.thumbnails, fps)
            if not found.passages or len(applied) == MOST_ROUNDS:
                break
            applied.append(found)
            chunks = [chunk for chunk in film.chunks if found.changes(*shared.place(chunk))]
            correct = functools.partial(shared.correct, plans=tuple(applied))
            alone, at_once = [((chunk,), len(chunk)) for chunk in chunks], min(cores, MOST_ENCODERS)
            for one in in_threads(self.progress, "dimming", correct, alone, at_once=at_once, given_up=shared.given_up):
                anew[one.index] = one
        self.progress.say(summary(applied, found.general_excess + found.red_excess, fps))
        yield from anew.values()

    def look_again(self, film: Film, pieces: Mapping[int, Pieces], folder: Path) -> None:
        """Say whether chunks that were coded again after the dimming flash too often.

        Args:
            film: the film.
            pieces: files of all chunks, by index.
            folder: folder of the files.
        """
        shared = _Shared(film, {}, folder)
        anew = {index: Revised(index, files) for index, files in pieces.items()}
        decoders = max(available_cores() // _CORES_OF_A_DECODER, 1)
        runs = [(run, sum(map(len, run))) for run in _runs(film.chunks, decoders)]
        watch = functools.partial(shared.watch, anew=anew)
        in_threads(self.progress, "watching", watch, runs, at_once=decoders, given_up=shared.given_up)
        meter, breaking, fps, frame = FlashMeter(shared.thumbnails.geometry), [], film.encoding.settings.fps, 0
        for block in shared.thumbnails.blocks():
            times = [float((frame + i) / fps) for i in range(len(block))]
            breaking += [time for time, kinds in zip(times, meter.excesses(to_light(block), times), strict=True)
                         if any(kinds)]  # fmt: skip
            frame += len(block)
        if breaking:
            self.progress.say(
                f"the lower quality brought back flashes, first at {breaking[0]:.1f} s and for "
                f"{len(breaking) / float(fps):.1f} s in all: give a larger --max-size or --max-bitrate"
            )


def _runs(chunks: Sequence[Chunk], workers: int) -> list[Sequence[Chunk]]:
    """Divide chunks into runs of about equal length, the same number for each worker, of at most `_LONGEST_RUN`."""
    count = min(workers * -(-len(chunks) // (workers * _LONGEST_RUN)), len(chunks))
    borders = [i * len(chunks) // count for i in range(count + 1)]
    return [chunks[first:stop] for first, stop in pairwise(borders)]


@dataclass
class _Shared:
    """State that the threads share: the names of the chunks, and the thumbnails of their frames."""

    film: Film
    names: dict[int, str]
    """File names of the chunks as they were rendered, by index."""
    folder: Path
    given_up: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._encoding = self.film.encoding
        self._again = self._encoding.finished()
        self._size = self._encoding.settings.size
        self._first = self.film.chunks[0].start
        cells = Thumbnails([], self._size).geometry.cells
        # Kept in a file, because an hour of video has 600 MB of thumbnails.
        shape = (sum(map(len, self.film.chunks)), *cells, 3)
        self._seen = np.memmap(self.folder / _THUMBNAILS, np.uint8, "w+", shape=shape)
        self.thumbnails = Thumbnails([self._seen], self._size)

    def place(self, chunk: Chunk) -> tuple[int, int]:
        """First frame of a chunk and one past its last, counted from the start of the video."""
        return chunk.start - self._first, chunk.stop - self._first

    def watch(self, chunks: Sequence[Chunk], anew: Mapping[int, Revised]) -> None:
        """Measure chunks as they are now; `anew` has the ones that were replaced, by index."""
        files = [name for chunk in chunks for name, _ in self._pieces(chunk, anew)]
        places = np.concatenate([np.arange(*self.place(chunk)) for chunk in chunks])
        seen, size = 0, watched_size(self._size)
        # Decoding shrunk frames takes far longer than measuring them.
        threads = 1 if size == self._size else _CORES_OF_A_DECODER
        with contextlib.closing(read_chunks(self._encoding, self.folder, files, size=size, threads=threads)) as frames:
            for frame in frames:
                self._go_on()
                if seen < len(places):
                    self._seen[places[seen]] = measure(frame[None], self.thumbnails.geometry)[0]
                seen += 1
        if seen != len(places):
            which = f"chunk {chunks[0].index}" if len(chunks) == 1 else f"{len(chunks)} chunks"
            raise VideoError(f"{seen} of {len(places)} frames of {which} can be decoded; the disk may be damaged")

    def _pieces(self, chunk: Chunk, anew: Mapping[int, Revised]) -> tuple[tuple[str, int], ...]:
        if chunk.index in anew:
            return anew[chunk.index].pieces
        return ((self.names[chunk.index], len(chunk)),)

    def correct(self, chunks: Sequence[Chunk], plans: tuple[Plan, ...]) -> Revised:
        """The chunk as it was rendered, with all plans applied."""
        (chunk,) = chunks
        name, (start, stop) = self.names[chunk.index], self.place(chunk)
        groups = closed_groups(self.folder, name)
        if groups.stop != len(chunk):
            raise VideoError(f"{name} has {groups.stop} frames and not {len(chunk)}; the disk may be damaged")
        changed = [any(made.changes(i, i + 1) for made in plans) for i in range(start, stop)]
        pieces = [_Piece.of(chunk, part, changes) for part, changes in groups.parts(changed)]
        names = {piece: self._name(SAFE if piece.changes else KEPT, piece) for piece in pieces}
        sources = [name]
        if len(pieces) > 1:
            files = {piece: self._name(CUT, piece) if piece.changes else names[piece] for piece in pieces}
            cut(self._encoding, self.folder, name, groups, [(piece.part, files[piece]) for piece in pieces])
            sources = [files[piece] for piece in pieces if piece.changes]
        self._code_again([piece.frames for piece in pieces if piece.changes], sources, plans)
        return Revised(chunk.index, tuple((names[piece], len(piece.part)) for piece in pieces))

    def _name(self, kind: str, piece: _Piece) -> str:
        return chunk_name(piece.frames.index, self._encoding.suffix, kind)

    def _code_again(self, parts: Sequence[Chunk], sources: Sequence[str], plans: tuple[Plan, ...]) -> None:
        """Decode the sources, correct their frames, and encode them again, one file for each part."""
        treat = functools.partial(self._corrected, plans=plans)
        layout = self._again.settings.layout
        with contextlib.closing(read_chunks(self._encoding, self.folder, sources, layout=layout, threads=1)) as frames:
            maker = ChunkMaker(Replay(frames), self._again, self.folder, treat=treat, kind=SAFE)
            for _ in maker.make(parts, lambda count: None):
                self._go_on()

    def _corrected(self, first: int, frames: NDArray[np.uint8], plans: tuple[Plan, ...]) -> NDArray[np.uint8]:
        """Frames with the plans applied; frames that no plan changes are returned as they are."""
        self._go_on()
        start = first - self._first
        if not any(made.changes(start, start + len(frames)) for made in plans):
            return frames
        packed = self._again.settings.layout == "yuv420p"
        pictures = yuv420_to_rgb(frames, self._size) if packed else frames
        for made in plans:
            pictures = made.apply(pictures, start)
        return _to_yuv420(pictures) if packed else pictures

    def _go_on(self) -> None:
        if self.given_up.is_set():
            raise GivenUpError


@dataclass(frozen=True)
class _Piece:
    """Successive closed groups of a chunk."""

    part: range
    """Frames of the piece, counted from the start of the chunk."""
    frames: Chunk
    """Frames of the piece, counted from the start of the song; its index is the number of the first frame."""
    changes: bool
    """Whether a plan changes any of these frames."""

    @classmethod
    def of(cls, chunk: Chunk, part: range, changes: bool) -> _Piece:
        first = chunk.start + part.start
        return cls(part, Chunk(first, first, chunk.start + part.stop), changes)


def _to_yuv420(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert (n, H, W, 3) sRGB to yuv420p, by the function that converts the generator's pictures."""
    import torch

    from audioreactive.generators import to_pixels

    pictures = torch.from_numpy(frames).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
    packed: NDArray[np.uint8] = to_pixels(pictures, "yuv420p").numpy()
    return packed
