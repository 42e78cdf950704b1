"""How finely it is painted: fewer pixels where a machine is too slow, so that pictures stay in time.

The painter's pictures look the same at any size, so a smaller one is enlarged to the size that was asked for. A network
has one size; it is left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive.generators.painter import Painter

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from numpy.typing import NDArray

    from audioreactive.generators import Generator
    from audioreactive.generators.protocol import FrameFunction

SCALES: Final = (1.0, 0.87, 0.75, 0.62, 0.5, 0.42, 0.35, 0.25)
"""Sides of what is painted, as shares of what was asked for, with one sample a pixel; before them, all samples."""
BUDGET: Final = 0.029
"""Seconds that all work for a picture may take: with a capture block, sound to picture stays within 45 ms, and the next
picture begins three blocks after this one."""
TOO_SLOW: Final = 4
"""Pictures in a row over the budget after which fewer pixels are painted."""
ROOM: Final = 0.9
"""Share of the budget that the next finer picture may take; it is taken to cost as much more as it has samples."""
FAST_ENOUGH: Final = 90
"""Fast pictures in a row after which more pixels are painted."""


class Sizing:
    """Makes pictures of one size, painted as finely as there is time for.

    Args:
        generator: the generator, in the size that was asked for.
        adapts: whether fewer pixels may be painted; a network always paints all.
    """

    def __init__(self, generator: Generator, *, adapts: bool) -> None:
        self._generator = generator
        self._size = (generator.img_size[1], generator.img_size[0])
        self._adapts = adapts and isinstance(generator, Painter)
        self._level = self._slow = self._fast = 0
        self._made: dict[int, FrameFunction] = {0: generator.frame_function("rgb24")}
        self._sides = {0: self._size}
        self._samples = [scale**2 for scale in SCALES]
        if isinstance(generator, Painter):
            self._samples.insert(0, generator.samples**2)

    @property
    def painted(self) -> tuple[int, int]:
        """(width, height) of what is painted now."""
        return self._sides[self._level]

    @property
    def is_whole(self) -> bool:
        """Whether every pixel is painted."""
        return self.painted == self._size

    def paint(self, ws: torch.Tensor, noise: Sequence[torch.Tensor]) -> NDArray[np.uint8]:
        """Make one picture (1, H, W, 3)."""
        frames = self._made[self._level](ws, noise).cpu().numpy()
        if self.is_whole:
            return np.asarray(frames, np.uint8)
        import cv2

        return np.asarray(cv2.resize(frames[0], self._size, interpolation=cv2.INTER_LINEAR), np.uint8)[None]

    def took(self, seconds: float) -> None:
        """Note how long the work for a picture took, and change the size if need be."""
        if not self._adapts:
            return
        self._slow = self._slow + 1 if seconds > BUDGET else 0
        finer = self._samples[max(self._level - 1, 0)] / self._samples[self._level]
        self._fast = self._fast + 1 if seconds * finer < ROOM * BUDGET else 0
        if self._slow >= TOO_SLOW and self._level < len(SCALES):
            self._change(self._level + 1)
        elif self._fast >= FAST_ENOUGH and self._level > 0:
            self._change(self._level - 1)

    def _change(self, level: int) -> None:
        self._slow = self._fast = 0
        if level not in self._made:
            scale = SCALES[level - 1]
            width, height = (max(round(side * scale / 2) * 2, 2) if scale < 1 else side for side in self._size)
            assert isinstance(self._generator, Painter)
            smaller = self._generator.sketching().resized((height, width))
            self._made[level], self._sides[level] = smaller.frame_function("rgb24"), (width, height)
        self._level = level
