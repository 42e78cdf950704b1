"""Which frames each chunk has.

Conventions: chunk i holds frames i · length to (i + 1) · length - 1 of the song, cut to what is rendered; length is a
multiple of the batch, and batches are anchored at frame 0. So a chunk is a function of its index, and a frame's
arithmetic is the same however the song is divided.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

CHUNK_SECONDS: Final = Fraction(5)
"""A crash costs at most so much of the video; a group of pictures of that length costs hardly a bit (streaming services
take 2 to 10 s)."""


@dataclass(frozen=True)
class Chunk:
    """A part of a video."""

    index: int
    """Its place among all chunks of the song, from 0."""
    start: int
    """First frame."""
    stop: int
    """One past the last frame."""

    def __len__(self) -> int:
        """Frames."""
        return self.stop - self.start


def chunk_length(seconds: Fraction, fps: Fraction, batch: int) -> int:
    """Frames of a chunk: the least number of whole batches that lasts so long."""
    return max(math.ceil(seconds * fps / batch), 1) * batch


def plan_chunks(start: int, stop: int, length: int) -> list[Chunk]:
    """The chunks of frames start to stop - 1, in order."""
    return [
        Chunk(index, max(index * length, start), min((index + 1) * length, stop))
        for index in range(start // length, -(-stop // length))
    ]
