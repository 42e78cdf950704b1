"""A short clip in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE = 16_000


def moving(frames: int = 8, size: tuple[int, int] = (48, 32)) -> NDArray[np.uint8]:
    """A coloured slope on which a disc moves."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    made = np.empty((frames, height, width, 3), np.uint8)
    for i in range(frames):
        at = width * (0.2 + 0.6 * i / max(frames - 1, 1))
        disc = np.clip(8 - np.hypot(x - at, y - height / 2), 0, 1)[..., None]
        ground = np.stack([x * 200 / width, y * 200 / height, np.full(x.shape, 90.0)], -1)
        made[i] = (ground * (1 - disc) + np.array([240, 230, 40]) * disc + 0.5).astype(np.uint8)
    return made


def tone(seconds: float = 1.0) -> NDArray[np.float32]:
    t = np.arange(round(seconds * RATE)) / RATE
    return (0.4 * np.sin(2 * np.pi * 330 * t) * np.exp(-2 * (t % 0.5))).astype(np.float32)[:, None]
