"""Causal sections: what is heard now is compared with what was heard before.

A section is known by its mean features. When the sound of the last seconds is nearer to an earlier section, that one
has come again; when it is far from all of them, it is a new one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]

SHORT: Final = 1.0
"""Seconds of a shorter average: a sound is settled once both agree."""
RECENT: Final = 3.0
"""Seconds in which the recent sound is averaged: about the delay of a border."""
STEADY: Final = 20.0
"""Seconds in which a section's own mean follows what belongs to it."""
FAR: Final = 2.2
"""Distance from the nearest section, in units of the usual distance, from which a sound is a new one."""
NEARER: Final = 0.8
"""Ratio of distances below which an earlier section is taken for the present one."""
SETTLED: Final = 0.2
"""Largest distance between the two averages, as a share of that from the present section, of a settled sound."""
SHORTEST: Final = 4.0
"""Fewest seconds of a section."""


class Sections:
    """Labels of one feature's sections, of up to `k` kinds."""

    def __init__(self, k: int) -> None:
        self._k = k
        self._means: list[FloatArray] = []
        self._recent: FloatArray | None = None
        self._short: FloatArray | None = None
        self._usual = 0.0
        self._since = 0.0
        self._age = 0.0
        self.label = 0
        """Label of the section that is heard now, in order of first appearance."""

    def step(self, value: FloatArray, dt: float) -> int:
        """Hear the next value (C,) of the feature; return the label."""
        self._since += dt
        self._age += dt
        if self._recent is None or self._short is None:
            self._recent, self._short, self._means = value.copy(), value.copy(), [value.copy()]
            return 0
        self._short = self._short + np.float32(1 - np.exp(-dt / SHORT)) * (value - self._short)
        self._recent = self._recent + np.float32(1 - np.exp(-dt / RECENT)) * (value - self._recent)
        distances = [float(np.linalg.norm(self._recent - mean)) for mean in self._means]
        here = distances[self.label]
        self._usual += (1 - np.exp(-dt / STEADY)) * (float(np.linalg.norm(value - self._recent)) / 3 - self._usual)
        limit = FAR * max(self._usual, 1e-3)
        if self._since > SHORTEST and self._age > 2 * SHORTEST:
            nearest = int(np.argmin(distances))
            settled = float(np.linalg.norm(self._short - self._recent)) < SETTLED * here
            if nearest != self.label and distances[nearest] < NEARER * here:
                self._enter(nearest)
            elif settled and min(distances) > limit and len(self._means) < self._k:
                self._means.append(self._short.copy())
                self._enter(len(self._means) - 1)
        if here < limit or self._age < 2 * SHORTEST:  # what does not belong to the section does not move it
            mean = self._means[self.label]
            mean += np.float32(1 - np.exp(-dt / STEADY)) * (self._recent - mean)
        return self.label

    def _enter(self, label: int) -> None:
        self.label, self._since = label, 0.0


class AllSections:
    """Sections of every (feature, k) that a preset uses."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], Sections] = {}

    def step(
        self, wanted: set[tuple[str, int]], features: Mapping[str, FloatArray], dt: float
    ) -> dict[tuple[str, int], int]:
        """Hear the next values; return the label of each."""
        return {
            (name, k): self._known.setdefault((name, k), Sections(k)).step(features[name], dt) for name, k in wanted
        }
