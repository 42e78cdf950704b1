"""Causal separation of a sound's spectra into what sustains and what strikes.

Offline, a median over 0.65 s *around* a frame tells what sustains (`features.separation`). Here it is a median over the
third of a second *before* it: what begins is percussive until it has lasted half of that.

Conventions: spectra are (n, bins), magnitudes, one a step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive.features.separation import median_along_frequency, soft_mask

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]


MARGIN: Final = 4.0
"""Ratio by which one part must be stronger than the other: half of the offline one, which agrees best with it."""
STRIDE: Final = 2
"""Steps between two spectra that are remembered."""
REMEMBERED: Final = 15
"""Number of spectra whose median tells what sustains, 0.31 s: the half of the offline median that is past."""


class Separator:
    """Power masks of the harmonic and the percussive part of spectra with some bins."""

    def __init__(self, bins: int) -> None:
        self._count = 0
        self._past = np.zeros((REMEMBERED, bins), np.float32)
        self._sustained = np.zeros(bins, np.float32)

    def masks(self, magnitudes: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the (harmonic, percussive) power masks of the next spectra, (n, bins) each, in [0, 1]."""
        across = median_along_frequency(magnitudes)
        sustained = np.empty_like(magnitudes)
        for row, magnitude in enumerate(magnitudes):
            if self._count % STRIDE == 0:
                self._past[self._count // STRIDE % REMEMBERED] = magnitude
                self._sustained = np.partition(self._past, REMEMBERED // 2, axis=0)[REMEMBERED // 2]
            sustained[row] = self._sustained
            self._count += 1
        margin = np.float32(MARGIN)
        return (
            np.square(soft_mask(sustained, across * margin)),
            np.square(soft_mask(across, sustained * margin)),
        )
