"""Division of a render into chunks.

Conventions: chunk i holds frames i · length to (i + 1) · length - 1 of the song, limited to the frames that are
rendered. length is a multiple of the batch size, and batches start at frame 0. So a chunk depends only on its index,
and a frame is computed the same way wherever the chunks begin.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

CHUNK_SECONDS: Final = Fraction(5)
"""Length of a chunk in seconds: the most that a crash costs. A chunk is also a closed group of pictures; at this length
that makes the file hardly larger (streaming services use 2 to 10 s)."""


@dataclass(frozen=True)
class Chunk:
    """A part of a video."""

    index: int
    """Number of the chunk in the song, from 0."""
    start: int
    """First frame."""
    stop: int
    """One past the last frame."""

    def __len__(self) -> int:
        """Number of frames."""
        return self.stop - self.start


def chunk_length(seconds: Fraction, fps: Fraction, batch: int) -> int:
    """Frames of a chunk: the smallest number of whole batches that lasts at least `seconds`."""
    return max(math.ceil(seconds * fps / batch), 1) * batch


def plan_chunks(start: int, stop: int, length: int) -> list[Chunk]:
    """The chunks of frames start to stop - 1, in order."""
    return [
        Chunk(index, max(index * length, start), min((index + 1) * length, stop))
        for index in range(start // length, -(-stop // length))
    ]


@dataclass(frozen=True)
class MadeChunk:
    """The finished file of a chunk."""

    index: int
    frames: int
    name: str
    """File name in the work folder."""
    bytes: int
    sha256: str
