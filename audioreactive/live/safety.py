"""Causal flash limiter: no picture is shown that would make a fourth flash in a second (WCAG 2.2).

Offline, a passage is dimmed with knowledge of what follows (`flashes.limiter`). Here the bound is one-sided: while the
last second has its three flashes, a picture is held back towards the one before it, until the change is no transition.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive.flashes.definition import TRANSITIONS, Geometry, to_light
from audioreactive.flashes.detect import FlashMeter
from audioreactive.flashes.measure import measure, watched_size

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

SHARES: Final = (0.5, 0.25, 0.12, 0.05, 0.0)
"""Shares of the new picture that are tried where the whole would be a flash too many; with 0 the old one stays."""


class FlashLimiter:
    """Holds pictures back that would flash too often.

    Args:
        size: (width, height) of the pictures.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self._geometry, self._small = Geometry.of(*size), watched_size(size)
        self._meter = FlashMeter(self._geometry)
        self._transitions = 0
        self._shown: Pixels | None = None
        self.held_back = 0
        """Number of pictures that were held back."""

    def limited(self, pixels: Pixels, seconds: float) -> Pixels:
        """Return the picture (H, W, 3) to be shown at this time."""
        if self._transitions < TRANSITIONS - 1 or self._shown is None:  # one picture cannot make two flashes
            self._accept(self._meter, pixels, seconds)
            return pixels
        meter = copy.deepcopy(self._meter)
        if self._accept(meter, pixels, seconds):
            return pixels
        import cv2

        self.held_back += 1
        before = self._shown
        for share in SHARES:
            mixed = np.asarray(cv2.addWeighted(pixels, share, before, 1 - share, 0), np.uint8) if share else before
            meter = copy.deepcopy(self._meter)
            if self._accept(meter, mixed, seconds) or not share:
                break
        if not share:  # where even the old one counts, the count was there before it
            self._meter, self._shown = meter, before
        return mixed

    def _accept(self, meter: FlashMeter, pixels: Pixels, seconds: float) -> bool:
        """Show a picture to a meter, and keep both if it is safe."""
        import cv2

        small = np.asarray(cv2.resize(pixels, self._small, interpolation=cv2.INTER_AREA), np.uint8)
        light = to_light(measure(small[None], self._geometry))
        moment = meter.push(light, [seconds])[0]
        most = max(moment.general.transitions, moment.red.transitions)
        if most > TRANSITIONS:
            return False
        self._meter, self._transitions, self._shown = meter, most, pixels
        return True
