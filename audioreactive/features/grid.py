"""From the analysis' grids to video frames: the one place where seconds become frames.

Conventions: frame i is shown from i / fps seconds on, until frame i + 1 is. Point g of a grid is at g / rate seconds.
All positions are whole numbers over whole numbers, so that an hour later nothing has moved.
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
"""Grid points a second."""
ON_TIME: Final = Fraction(0)
FLUX_LATE: Final = Fraction(1, 2)
"""Grid points: a gain between two spectra happened halfway between them, and is noted with the second."""
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
    """Grid points a second of the named feature, without its source."""
    return _RATES.get(feature, COARSE_RATE)


def frame_count(duration: Fraction, fps: Fraction) -> int:
    """Frames of a video that lasts as long as the sound: ceil(duration · fps), and at least one."""
    return max(math.ceil(duration * fps), 1)


def interpolate(envelope: FloatArray, *, rate: int, fps: Fraction, frames: int, late: Fraction = ON_TIME) -> FloatArray:
    """(n, C) on the grid -> (frames, C): the value at the moment when each frame appears.

    `late` is how far the envelope lags behind the sound, in grid points.
    """
    position, one = _positions(frames, fps, rate, late)
    last = len(envelope) - 1
    before = np.minimum(position[:-1] // one, last)
    after = np.minimum(before + 1, last)
    share = ((position[:-1] % one) / one).astype(np.float32)[:, None]
    between: FloatArray = envelope[before] + (envelope[after] - envelope[before]) * share
    return between


def hold_peaks(envelope: FloatArray, *, rate: int, fps: Fraction, frames: int, late: Fraction = ON_TIME) -> FloatArray:
    """(n, C) on the grid -> (frames, C): the highest value while each frame is shown.

    So no click falls between two frames, and its peak is as high at every frame rate.
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
    """(frames + 1,) numerators of the frames' positions on the grid, and their denominator."""
    step, one = fps.denominator * rate * late.denominator, fps.numerator * late.denominator
    return np.arange(frames + 1, dtype=np.int64) * step + late.numerator * fps.numerator, one


def step_labels(
    labels: NDArray[np.uint8], starts: NDArray[np.int64], *, fps: Fraction, frames: int
) -> NDArray[np.uint8]:
    """(n, K) labels of steps that start at points of the fine grid -> (frames, K)."""
    position, one = _positions(frames, fps, FINE_RATE)
    step = np.searchsorted(starts, position[:-1] // one, side="right") - 1
    return labels[np.maximum(step, 0)]
