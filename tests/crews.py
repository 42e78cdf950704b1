"""Renderers that need no network, in which a frame is a function of its index alone; and what processes of tests do."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import soundfile
import torch

from audioreactive.chunks.film import Film, make_film
from audioreactive.chunks.making import LocalExecutor
from audioreactive.chunks.plan import plan_chunks
from audioreactive.progress import Silent
from audioreactive.video import VideoSettings, output_format
from audioreactive.video.chunks import ENCODER_THREADS, Encoding
from audioreactive.video.formats import frame_shape
from stylegan_ops.ops import rgb_to_yuv420

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

FRAMES, LENGTH = 90, 12
"""Of the film that workers make."""
SIZE = (48, 32)
BATCH = 4


def picture(index: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(H, W, 3): noise of its own for every index, under which something moves; too dark for what is called a flash."""
    random = np.random.RandomState(index)
    frame = random.randint(0, 60, (size[1], size[0], 3))
    frame[:, (3 * index) % size[0] :] += 40
    return frame.astype(np.uint8)


@dataclass
class Painter:
    """Stands in for a `Renderer`."""

    batch: int = BATCH
    layout: str = "rgb24"
    on_gpu: bool = False
    fail_at: int | None = None
    """Index of a batch's first frame before which to raise."""
    rendered: int = 0

    def batches(self, firsts: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
        for first in firsts:
            if first == self.fail_at:
                raise KeyboardInterrupt
            self.rendered += self.batch
            if self.layout == "rgb24":
                yield first, np.stack([picture(first + i) for i in range(self.batch)])
            else:
                yield first, np.full((self.batch, *frame_shape("yuv420p", SIZE)), first % 200 + 20, np.uint8)


def packed(frames: np.ndarray) -> np.ndarray:
    """Frames as planes of luma and halved chroma, as a renderer packs them."""
    pictures = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1
    return rgb_to_yuv420(pictures).numpy()


class Player:
    """Stands in for a renderer: frames that are there already, in the layout that is asked for."""

    batch, on_gpu = BATCH, False

    def __init__(self, frames: np.ndarray, layout: str) -> None:
        self.frames = packed(frames) if layout == "yuv420p" else frames

    def batches(self, firsts: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
        for first in firsts:
            part = self.frames[first : first + self.batch]
            yield first, np.concatenate([part, np.repeat(part[-1:], self.batch - len(part), axis=0)])


def tone(path: Path, seconds: float) -> Path:
    soundfile.write(path, np.sin(np.arange(round(seconds * 44100)) / 30) * 0.3, 44100)
    return path


def make_film_of(
    output: Path, song: Path, *, frames: int, start: int = 0, fps: Fraction = Fraction(24), length: int = 12
) -> Film:
    settings = VideoSettings(fps=fps, size=SIZE, speed="ultrafast", threads=ENCODER_THREADS)
    return Film(
        output=output,
        encoding=Encoding(output_format(output), settings, SIZE),
        chunks=plan_chunks(start, start + frames, length),
        job={"song": "a", "model": "b"},
        song=song,
        start=start / fps,
        duration=frames / fps,
        preset="a = 1",
    )


def alone(film: Film, painter: Painter | None = None) -> LocalExecutor:
    return LocalExecutor(lambda: painter or Painter(), film.encoding)  # type: ignore[arg-type, return-value]


class Ears(Silent):
    """Hears what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)


def make_counting(film: Film, executor) -> list[int]:
    """Make a film; the changes of its progress."""
    counts: list[int] = []

    class Counting(Silent):
        def track(self, stage, total, unit):
            return contextlib.nullcontext(counts.append)

    make_film(film, executor, overwrite=False, fresh=False, progress=Counting())
    return counts


def die(*arguments: object) -> None:
    """A worker's life that is short."""
    os._exit(7)


def leave(*arguments: object) -> None:
    """A worker's life that ends at once, as if all were well."""
