"""Pictures at a constant frame rate, whatever time stamps they have."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from audioreactive.errors import VideoError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray


def even_order(stamps: NDArray[np.float64], slowest: Fraction, fastest: Fraction) -> tuple[Fraction, list[int]]:
    """Compute the mean frame rate, within bounds, and for each frame at that rate the picture that is shown then.

    Raises:
        VideoError: all pictures have the same time.
    """
    if stamps[-1] <= 0:
        raise VideoError("all pictures of the video carry the same time; write it again with a frame rate")
    fps = Fraction((len(stamps) - 1) / stamps[-1]).limit_denominator(1001)
    fps = min(max(fps, slowest), fastest)
    count = int(stamps[-1] * fps) + 1
    shown = np.searchsorted(stamps, np.arange(count) / float(fps) + 1e-6, side="right") - 1
    return fps, shown.tolist()


def reordered(frames: Iterable[NDArray[np.uint8]], order: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
    """Pass on the pictures at these positions, which must not decrease."""
    wanted = iter(order)
    position = next(wanted, None)
    for i, frame in enumerate(frames):
        while position == i:
            yield frame
            position = next(wanted, None)
