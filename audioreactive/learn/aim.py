"""The corrected score of predicted features, differentiable: what a motion is fitted for.

It is the score of `correlation.chance`: features centred in windows, each of norm 1, joined; the orthogonal Procrustes
correlation (equation 3.3) of sound and picture, compared with that of the sound shifted in time. A few shifts, drawn
anew in each step, stand for all.

Conventions: T frames at RATE; s shifts; A columns of the sound, B of the picture.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from audioreactive.correlation.sides import window_edges
from audioreactive.learn.losses import nuclear_norm
from audioreactive.learn.tables import RATE, STILL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from audioreactive.learn.tables import FloatArray

STROKES = "onsets"
"""Feature of the sound whose peaks are strokes."""
NOTHING = 1e-12
"""Squared norm below which a feature of the picture counts as constant."""


class Fits(NamedTuple):
    """How well sound and picture fit."""

    raw: Tensor
    """Correlation (), in [0, 1]."""
    others: Tensor
    """Correlations (s,) with the sound shifted."""


class Aim:
    """The sound of one song, ready to be compared with what is predicted for any passage of it."""

    def __init__(self, heard: Mapping[str, FloatArray], weights: Mapping[str, float]) -> None:
        """Prepare features (T, C) of the sound; weights of features, 1 if not given."""
        self._tables = {name: torch.tensor(table) for name, table in heard.items()}
        self._weights = {name: float(weights.get(name, 1.0)) for name in heard}

    def passage(self, start: int, stop: int) -> Passage:
        """Prepare the features of frames start to stop - 1."""
        edges = window_edges(stop - start, RATE)
        columns, squares = [], 0.0
        for name, table in self._tables.items():
            part, weight = table[start:stop], self._weights[name]
            norm = torch.linalg.vector_norm(centred(part, edges))
            if weight > 0 and norm > STILL * part.abs().max() * part.numel() ** 0.5:
                columns.append(weight * (part - part.mean(0)) / norm)
                squares += weight**2
        strokes = self._weights.get(STROKES, 0) > 0 and self._tables[STROKES][start:stop]
        return Passage(
            sound=torch.cat(columns, 1) if columns else None,
            norm=math.sqrt(squares),
            edges=edges,
            strokes=_unit(centred(strokes, edges)) if isinstance(strokes, Tensor) else None,
        )


class Passage:
    """The sound of a passage."""

    def __init__(self, sound: Tensor | None, norm: float, edges: Sequence[int], strokes: Tensor | None) -> None:
        self._sound, self._norm, self._edges, self._strokes = sound, norm, edges, strokes

    def at_strokes(self, change: Tensor) -> Tensor:
        """Correlation () of the picture's change (T, 1) with the strokes of the sound; 0 without any."""
        if self._strokes is None:
            return 0 * change.sum()
        return (self._strokes * _unit(centred(change, self._edges))).sum()

    def fits(self, seen: Mapping[str, Tensor], shifts: Sequence[int]) -> Fits:
        """Compare the sound with features (T, C) of the picture, and with the sound shifted by so many frames.

        Where nothing is heard, or seen, all correlations are 0.
        """
        parts = [_unit(centred(table, self._edges)) for table in seen.values()]
        picture = torch.cat(parts, 1)
        if self._sound is None:
            return Fits(0 * picture.sum(), picture.new_zeros(len(shifts)))
        sound = torch.cat([self._sound.roll(shift, 0) for shift in (0, *shifts)], 1)
        cross = (sound.T @ picture).view(len(shifts) + 1, -1, picture.shape[1])
        values = nuclear_norm(cross) / (self._norm * math.sqrt(len(parts)))
        return Fits(values[0], values[1:])


def _unit(table: Tensor) -> Tensor:
    """Scale a table (T, C) to norm 1; one that is constant becomes 0."""
    return table / (table.square().sum() + NOTHING).sqrt()


def centred(table: Tensor, edges: Sequence[int]) -> Tensor:
    """Centre a table (T, C) in each window."""
    windows = [table[start:stop] for start, stop in pairwise(edges)]
    return torch.cat([window - window.mean(0) for window in windows])
