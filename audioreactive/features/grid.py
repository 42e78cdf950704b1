"""Sample values on the analysis' time grids at video frames.

Conventions: frame i is shown from i / fps to (i + 1) / fps seconds. Point g of a grid is at g / rate seconds. All
positions are exact fractions of integers, so that no drift adds up over an hour.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]

FINE_RATE, COARSE_RATE = 96, 24
"""Points per second of the two grids."""
ON_TIME: Final = Fraction(0)
FLUX_LATE: Final = Fraction(1, 2)
"""Delay of the flux in grid points: an increase between two spectra is stored at the second, half a point late."""
_RATES = {
    "onsets": FINE_RATE,
    "rms": FINE_RATE,
    "pulse": FINE_RATE // 2,
    "hits": FINE_RATE,
    "drop_moment": FINE_RATE,
    "drop_level": FINE_RATE,
    "build": FINE_RATE,
}


def grid_rate(feature: str) -> int:
    """Return the grid points per second of a feature (named without its source)."""
    return _RATES.get(feature, COARSE_RATE)


def frame_count(duration: Fraction, fps: Fraction) -> int:
    """Number of frames of a video as long as the sound: ceil(duration · fps), and at least one."""
    return max(math.ceil(duration * fps), 1)


def interpolate(envelope: FloatArray, *, rate: int, fps: Fraction, frames: int, late: Fraction = ON_TIME) -> FloatArray:
    """Interpolate grid values (n, C) at the start of each frame: (frames, C).

    `late` is the delay of the envelope after the sound, in grid points.
    """
    position, one = _positions(frames, fps, rate, late)
    last = len(envelope) - 1
    before = np.minimum(position[:-1] // one, last)
    after = np.minimum(before + 1, last)
    share = ((position[:-1] % one) / one).astype(np.float32)[:, None]
    between: FloatArray = envelope[before] + (envelope[after] - envelope[before]) * share
    return between


def hold_peaks(envelope: FloatArray, *, rate: int, fps: Fraction, frames: int, late: Fraction = ON_TIME) -> FloatArray:
    """Take the highest of the grid values (n, C) during each frame: (frames, C).

    So no short peak falls between two frames, and its height does not depend on the frame rate.
    """
    held = interpolate(envelope, rate=rate, fps=fps, frames=frames, late=late)
    position, one = _positions(frames, fps, rate, late)
    edges = np.minimum(-(-position // one), len(envelope))
    edges[0] = 0  # Nothing is shown before the first frame.
    occupied = edges[1:] > edges[:-1]
    if occupied.any():
        # Frames without a grid point of their own are left out: their neighbours' edges then meet.
        peaks = np.maximum.reduceat(envelope[: edges[-1]], edges[:-1][occupied], axis=0)
        held[occupied] = np.maximum(held[occupied], peaks)
    return held


def _positions(frames: int, fps: Fraction, rate: int, late: Fraction = ON_TIME) -> tuple[NDArray[np.int64], int]:
    """Compute the frames' positions on the grid: (frames + 1,) numerators and their common denominator."""
    step, one = fps.denominator * rate * late.denominator, fps.numerator * late.denominator
    return np.arange(frames + 1, dtype=np.int64) * step + late.numerator * fps.numerator, one


def step_labels(
    labels: NDArray[np.uint8], starts: NDArray[np.int64], *, fps: Fraction, frames: int
) -> NDArray[np.uint8]:
    """Expand labels (n, K) of steps, which start at points of the fine grid, to frames: (frames, K)."""
    position, one = _positions(frames, fps, FINE_RATE)
    step = np.searchsorted(starts, position[:-1] // one, side="right") - 1
    return labels[np.maximum(step, 0)]
