"""Thumbnails of the frames of a render, made while it is encoded, and the count of flashes in them.

The thumbnails of a chunk lie beside it in the work folder, as a NumPy file. If they are missing, because another
machine made the chunk or the file is damaged, the chunk is decoded instead.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive.errors import VideoError
from audioreactive.flashes import FLASHES, measure, watched_size
from audioreactive.flashes.definition import Geometry, to_light
from audioreactive.flashes.detect import FlashMeter
from audioreactive.flashes.measure import BLOCK
from audioreactive.video.chunks import read_chunks
from audioreactive.video.colour import FROM_CHROMA

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from audioreactive.chunks.plan import Chunk, MadeChunk
    from audioreactive.video.chunks import Encoding

LIGHT: Final = "light"
"""First word of the names of files with thumbnails."""
_TO_RGB: Final = np.hstack([np.ones((3, 1), np.float32), FROM_CHROMA])
"""Matrix (3, 3) from Y in [0, 1], Cb and Cr in [-0.5, 0.5] to R, G, B."""


def light_name(index: int) -> str:
    """Name of the file with a chunk's thumbnails."""
    return f"{LIGHT}_{index:06d}.npy"


class LightRecorder:
    """Makes thumbnails of the frames of one chunk while it is encoded.

    Args:
        encoding: settings of the encoder.
    """

    def __init__(self, encoding: Encoding) -> None:
        settings = encoding.settings
        self._packed, self._frame_size = settings.layout == "yuv420p", encoding.frame_size
        self._geometry = Geometry.of(*settings.size)
        self._watched = watched_size(settings.size)
        self._region, self._margin = _visible(encoding.frame_size, settings.size, settings.filters, self._watched)
        self._parts: list[NDArray[np.uint8]] = []

    def push(self, frames: NDArray[np.uint8]) -> None:
        """Measure the next frames, (B, *shape of the encoding's layout)."""
        small = np.stack([self._packed_small(frame) if self._packed else self._small(frame) for frame in frames])
        self._parts.append(measure(small, self._geometry))

    def save(self, path: Path) -> None:
        """Write the thumbnails."""
        with path.open("wb") as file:
            np.save(file, np.concatenate(self._parts), allow_pickle=False)

    def _small(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Visible part of a frame (H, W, 3), shrunk as in the finished picture."""
        import cv2

        rows, columns = self._region
        top, left = self._margin
        width, height = self._watched
        inside = cv2.resize(frame[rows, columns], (width - 2 * left, height - 2 * top), interpolation=cv2.INTER_AREA)
        if not top and not left:
            return np.asarray(inside, np.uint8)
        picture = np.zeros((height, width, 3), np.uint8)
        picture[top : height - top, left : width - left] = inside
        return picture

    def _packed_small(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Shrink a frame in YUV 4:2:0, limited range, and convert it to RGB (h, w, 3)."""
        import cv2

        width, height = self._frame_size
        luma = frame[: width * height].reshape(height, width)
        chroma = frame[width * height :].reshape(2, height // 2, width // 2)
        planes = [cv2.resize(plane, self._watched, interpolation=cv2.INTER_AREA) for plane in (luma, *chroma)]
        colours = np.stack(planes, axis=-1).astype(np.float32)
        colours -= np.array([16, 128, 128], np.float32)
        colours *= np.array([255 / 219, 255 / 224, 255 / 224], np.float32)
        return np.clip(np.rint(cv2.transform(colours, _TO_RGB)), 0, 255).astype(np.uint8)


def _visible(
    frame: tuple[int, int], size: tuple[int, int], filters: str, watched: tuple[int, int]
) -> tuple[tuple[slice, slice], tuple[int, int]]:
    """Rows and columns of a frame that are visible in the finished picture, and the black (top, left) margin around
    them in the shrunk picture. Sizes are (width, height).
    """
    ratios = size[0] / frame[0], size[1] / frame[1]
    if "crop=" in filters:
        seen = [min(round(side / max(ratios)), whole) for side, whole in zip(size, frame, strict=True)]
        left, top = ((whole - part) // 2 for whole, part in zip(frame, seen, strict=True))
        return (slice(top, top + seen[1]), slice(left, left + seen[0])), (0, 0)
    margin = (0, 0)
    if "pad=" in filters:
        shares = [min(ratios) / ratio for ratio in ratios]
        left, top = (int(side * (1 - share) / 2) for side, share in zip(watched, shares, strict=True))
        margin = (top, left)
    return (slice(None), slice(None)), margin


class FlashWatch:
    """Counts the flashes of a video. Chunks may arrive in any order; each waits until all earlier ones are there.

    Args:
        encoding: settings of the encoder.
        chunks: all chunks of the video, in order.
        folder: folder with their files.
    """

    def __init__(self, encoding: Encoding, chunks: list[Chunk], folder: Path) -> None:
        self._encoding, self._folder = encoding, folder
        self._fps = encoding.settings.fps
        self._geometry = Geometry.of(*encoding.settings.size)
        self._meter = FlashMeter(self._geometry)
        self._left = list(reversed(chunks))
        self._here: dict[int, MadeChunk] = {}
        self._frames = 0
        self._breaking: set[int] = set()
        """Frames of stretches with too many flashes, as `audioreactive flashes` lists them."""

    def accept(self, made: MadeChunk) -> None:
        """Take a finished chunk, and count flashes in all chunks whose turn has come."""
        self._here[made.index] = made
        while self._left and self._left[-1].index in self._here:
            chunk = self._left.pop()
            self._look(chunk, self._here.pop(chunk.index))

    def sentence(self) -> str | None:
        """Warning for the user; None if the video keeps the rules."""
        if not self._breaking:
            return None
        minutes, seconds = divmod(int(min(self._breaking) / self._fps), 60)
        lasting = len(self._breaking) / float(self._fps)
        return (
            f"this video flashes more than {FLASHES} times in a second, first at {minutes}:{seconds:02} and for "
            f"{max(lasting, 0.1):.1f} s in all, which can hurt photosensitive people: "
            "the same command with --flash-safe --overwrite dims it"
        )

    def _look(self, chunk: Chunk, made: MadeChunk) -> None:
        seen = 0
        for thumbnails in self._thumbnails(chunk, made):
            times = [float((self._frames + i) / self._fps) for i in range(len(thumbnails))]
            for kinds in self._meter.excesses(to_light(thumbnails), times):
                for excess in filter(None, kinds):
                    self._breaking.update(range(excess.since, excess.until + 1))
            self._frames += len(thumbnails)
            seen += len(thumbnails)
        self._frames += len(chunk) - seen

    def _thumbnails(self, chunk: Chunk, made: MadeChunk) -> Iterator[NDArray[np.uint8]]:
        """Thumbnails of a chunk, (n, rows, columns, 3) at a time."""
        kept = self._kept(chunk)
        if kept is not None:
            for start in range(0, len(kept), BLOCK):
                yield np.asarray(kept[start : start + BLOCK])
            return
        size = watched_size(self._encoding.settings.size)
        # A chunk that cannot be decoded cannot be joined either; joining reports the error.
        with (
            contextlib.suppress(VideoError),
            contextlib.closing(read_chunks(self._encoding, self._folder, [made.name], size=size, threads=1)) as frames,
        ):
            for frame in frames:
                yield measure(frame[None], self._geometry)

    def _kept(self, chunk: Chunk) -> NDArray[np.uint8] | None:
        """Thumbnails that were saved with the chunk; None if they are missing or do not fit."""
        try:
            kept = np.load(self._folder / light_name(chunk.index), mmap_mode="r", allow_pickle=False)
        except (
            OSError,
            ValueError,
            EOFError,
            MemoryError,
            RecursionError,
        ):  # the last two: signs or brackets in a header
            return None
        fits = kept.dtype == np.uint8 and kept.shape == (len(chunk), *self._geometry.cells, 3)
        return kept if fits else None
