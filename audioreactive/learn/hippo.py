"""Envelopes whose own correlation with the sound is as high as possible: the HiPPO synthesizer of section 4.3.

Envelopes E = BC, with Legendre polynomials B and coefficients C, are optimised to fit the song's features F (`losses`).
The thesis optimises C and compares E with F frame by frame in every step. Here the problem is reduced first, so that
the cost of a step does not depend on the number of frames or coefficients: with mixtures Y of the features, projected
onto the span of the polynomials (`projection`), the correlation |FᵀBC|* / (|F| |BC|) is |PY|* / (|F| |Y|). The
differences from frame to frame, of which `losses.variation` is the mean size, are linear in Y. They are computed at
some thousand frames spread over the song.

What the envelopes do to a picture does not count here; it does in `sight`.

All is float64, so that the same song and seed give the same motion on every machine.

Conventions: K windows, N coefficients, R <= N of them independent, E = 17 envelopes, A columns of features, s shifts of
the sound, D dimensions of the span of the features.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from audioreactive._support.streams import named_stream
from audioreactive.learn.legendre import Windows
from audioreactive.learn.losses import (
    CALM_OF_PAIRS,
    ENVELOPES,
    NOTHING,
    SEQUENCES,
    membership,
    nuclear_norm,
    step_lengths,
)
from audioreactive.learn.projection import Span

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from audioreactive.progress import Advance

    Double = NDArray[np.float64]

LEARNING_RATES = (1e-3, 1e-5)
"""First and last learning rate; between them it follows a cosine (section 4.3.1)."""
INITIAL = 1e-2
"""Standard deviation of the initial mixture, small against the distance that a thousand steps cover."""
SHIFTS = 4
"""Number of shifts of the sound by which the correction for chance is estimated."""
PATIENCE, FLAT = 128, 1e-4
"""The fit ends when the loss has fallen by less than FLAT in PATIENCE steps."""
PLACES = 4096
"""Most frames at which the changes from frame to frame are computed."""


@dataclass(frozen=True)
class Fit:
    """Result of a fit."""

    coefficients: Double
    """Legendre coefficients, shape (K, N, E)."""
    losses: tuple[float, ...]
    """Loss of each step."""
    windows: Windows


@dataclass(frozen=True)
class Problem:
    """The loss of one song as a function of mixtures Y (D, E)."""

    cross: Tensor
    """The matrix P, shape (s + 1, A, D), for the song and for its shifts."""
    blocks: tuple[slice, ...]
    """Columns of each feature, as slices of A."""
    weights: tuple[float, ...]
    """Weight of each feature. If empty, all features are compared with all sequences at once, else pair by pair."""
    correction: float
    changes: Tensor
    """Differences between successive frames, shape (frames, D), of mixtures with a root mean square of 1."""
    calm: float

    def loss(self, mixture: Tensor) -> Tensor:
        """Loss () of a mixture (D, E): 1 - correlation + correction · its mean over shifts + calm · variation."""
        members = membership().to(mixture)
        energy = members @ mixture.square().sum(0)  # [sequences]
        mixture = mixture * (energy.clamp_min(NOTHING).rsqrt() @ members)
        made = self.cross @ mixture  # [s + 1, A, E]
        values = self._pairwise(made) if self.weights else self._together(made)
        loss = 1 - values[0]
        if len(values) > 1:
            loss = loss + self.correction * values[1:].mean()
        if self.calm > 0:
            calm = self.calm * (CALM_OF_PAIRS if self.weights else 1)
            loss = loss + calm * step_lengths((self.changes @ mixture).square() @ members.T).mean()
        return loss

    def _together(self, made: Tensor) -> Tensor:
        """Correlation (s + 1,) of all features with all sequences, each of norm 1, from products (s + 1, A, E)."""
        return nuclear_norm(made) / math.sqrt(len(self.blocks) * len(SEQUENCES))

    def _pairwise(self, made: Tensor) -> Tensor:
        """Weighted mean (s + 1,) of the correlations of all pairs, from products (s + 1, A, E)."""
        total = made.new_zeros(len(made))
        for weight, rows in zip(self.weights, self.blocks, strict=True):
            scores = [nuclear_norm(made[:, rows, list(columns)]) for columns in SEQUENCES]
            total = total + weight * torch.stack(scores).mean(0)
        return total / max(sum(self.weights), NOTHING)


def problem_of(
    tables: Mapping[str, Double],
    windows: Windows,
    basis: Double,
    weights: Mapping[str, float],
    correction: float,
    calm: float,
) -> tuple[Problem, Span]:
    """Set up the loss of features (T, C), centred and of norm 1, for polynomials with an orthonormal basis (length, R)
    in every window.
    """
    span = Span.of(tables, windows, basis, shifts=_shifts(windows.frames, SHIFTS if correction > 0 else 0))
    edges = np.cumsum([0, *(table.shape[1] for table in tables.values())])
    problem = Problem(
        cross=torch.from_numpy(span.cross),
        blocks=tuple(slice(int(a), int(b)) for a, b in pairwise(edges)),
        weights=tuple(weights.get(name, 1.0) for name in tables) if weights else (),
        correction=correction,
        changes=torch.from_numpy(math.sqrt(windows.frames) * span.changes(PLACES)),
        calm=calm,
    )
    return problem, span


def _shifts(frames: int, count: int) -> list[int]:
    """Circular shifts in frames, equally spaced over the song, none near 0."""
    return [round(frames * (i + 1) / (count + 1)) for i in range(count)]


def first_mixture(size: int, seed: int) -> Tensor:
    """Initial mixture of a motion seed, (D, E) float64."""
    return torch.from_numpy(INITIAL * named_stream(f"hippo motion {seed}").randn(size, ENVELOPES))


def fit(
    tables: Mapping[str, Double],
    *,
    rate: float,
    coefficients: int,
    steps: int,
    weights: Mapping[str, float],
    correction: float,
    calm: float,
    seed: int,
    advance: Advance | None = None,
) -> Fit:
    """Optimise envelopes for a song.

    Args:
        tables: features (T, C), at least one, each centred, of norm 1 and not constant.
        rate: frames a second of the tables.
        coefficients: N, coefficients of each envelope in each window.
        steps: most steps of Adam; the learning rate falls along a cosine.
        weights: weight of each feature, 1 if not given.
        correction: weight in [0, 1] of the penalty on the correlation that chance alone would give.
        calm: weight of the penalty on the variation of the envelopes.
        seed: seed of the motion.
        advance: function that is called after every step.
    """
    windows = Windows.over(len(next(iter(tables.values()))), rate)
    basis, legendre = windows.orthonormal(coefficients)
    problem, span = problem_of(tables, windows, basis, weights, correction, calm)
    mixture = first_mixture(problem.cross.shape[2], seed).requires_grad_()
    optimiser = torch.optim.Adam([mixture], lr=LEARNING_RATES[0])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, LEARNING_RATES[1])
    losses: list[float] = []
    for step in range(steps):
        optimiser.zero_grad()
        loss = problem.loss(mixture)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        losses.append(float(loss.detach()))
        if advance is not None:
            advance(1)
        if step >= PATIENCE and losses[-PATIENCE - 1] - losses[-1] < FLAT:
            if advance is not None:
                advance(steps - step - 1)
            break
    learned = span.solutions @ mixture.detach().numpy()
    return Fit(legendre @ learned, tuple(losses), windows)
