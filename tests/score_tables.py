"""Tables of a sound and of a picture that does not listen to it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from scipy.ndimage import gaussian_filter1d

FPS = Fraction(24)
FRAMES = 480


def sound(seed: int, frames: int = FRAMES) -> dict[str, np.ndarray]:
    """Drum strokes, their loudness, and notes that change now and then."""
    rng = np.random.default_rng(seed)
    strokes = (rng.random(frames) < 0.06) * rng.uniform(0.5, 1, frames)
    notes = np.repeat(rng.random((frames // 12 + 1, 6)), 12, axis=0)[:frames]
    tables = {"onsets": strokes[:, None], "rms": gaussian_filter1d(strokes, 6)[:, None], "chroma": notes}
    return {name: table.astype(np.float32) for name, table in tables.items()}


def random_picture(seed: int, sigma: float, frames: int = FRAMES) -> dict[str, np.ndarray]:
    """A palette's smooth random walk, seen through some features."""
    rng = np.random.default_rng(seed)
    pad = round(4 * sigma)
    walk = gaussian_filter1d(rng.normal(size=(frames + 2 * pad, 8)), sigma, axis=0)[pad : pad + frames]
    walk = walk / walk.std()
    change = np.abs(np.diff(walk, axis=0, prepend=walk[:1])).mean(1, keepdims=True)
    tables = {"histogram": walk @ rng.normal(size=(8, 20)), "edges": np.abs(walk[:, :3]), "difference": change}
    return {name: table.astype(np.float32) for name, table in tables.items()}
