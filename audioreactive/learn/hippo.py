"""Envelopes fitted to one song: the HiPPO synthesizer (section 4.3).

Coefficients of Legendre polynomials are optimised until the envelopes fit the song's features best (`losses`). The
loss never sees a frame: with the envelopes E = BC, B the basis and C the coefficients, the correlation with features F
is |FᵀBC|* / (|F| |BC|), and FᵀB and BᵀB are made once. A step costs what the coefficients cost, in float64, so that
the same song and seed end in the same motion everywhere.

Conventions: K windows, N coefficients, E = 17 envelopes, A columns of features, S shifts of the sound.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from audioreactive.learn.legendre import Windows
from audioreactive.learn.losses import ENVELOPES, NOTHING, SEQUENCES, membership, nuclear_norm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from audioreactive.progress import Advance

    Double = NDArray[np.float64]

LEARNING_RATES = (1e-3, 1e-5)
"""First and last, along a cosine (section 4.3.1)."""
INITIAL = 1e-2
"""Standard deviation of the first coefficients: small against the way that a thousand steps go."""
SHIFTS = 4
"""Other times at which the motion is held against the sound."""
PATIENCE, FLAT = 128, 1e-4
"""Steps over which the loss must fall by so much, or it is over."""


@dataclass(frozen=True)
class Fit:
    """What came out."""

    coefficients: Double
    """(K, N, E)."""
    losses: tuple[float, ...]
    """One for each step."""
    windows: Windows


@dataclass
class Problem:
    """One song's loss, in the space of coefficients."""

    windows: Windows
    count: int
    """N."""
    tables: Mapping[str, Double]
    """Features (T, C), each centred and of norm 1."""
    weights: Mapping[str, float]
    """Empty: all are compared at once; else pair by pair, 1 where nothing is said."""
    correction: float
    heard: Tensor = field(init=False)
    """(S + 1, K · N, A): Bᵀ times the features, of the song as it is and of the shifted ones."""
    _own: tuple[Tensor, Tensor, Tensor] = field(init=False)
    """BᵀB of the first, of an inner and of the last window, (N, N)."""
    _next: tuple[Tensor, Tensor] = field(init=False)
    """BᵀB of a window and the next: inner ones, and the last two."""

    def __post_init__(self) -> None:
        windows = self.windows
        bases = [self._basis(index) for index in sorted({0, min(1, windows.count - 1), windows.count - 1})]
        first, inner, last = bases[0], bases[min(1, len(bases) - 1)], bases[-1]
        self._own = (first.T @ first, inner.T @ inner, last.T @ last)
        self._next = (_shared(inner, inner, windows), _shared(inner if windows.count > 2 else first, last, windows))
        sound = np.concatenate(list(self.tables.values()), axis=1)
        shifts = [0, *_shifts(windows.frames, SHIFTS if self.correction > 0 else 0)]
        self.heard = torch.stack([self._project(np.roll(sound, shift, axis=0), bases) for shift in shifts])

    def _basis(self, index: int) -> Tensor:
        """(length, N) float64; rows past the song's end are 0."""
        windows = self.windows
        position = np.arange(windows.length, dtype=np.float64)
        basis = windows.basis(position, self.count) * windows.share(index, position)[:, None]
        basis[windows.frames - index * windows.hop :] = 0
        return torch.from_numpy(basis)

    def _project(self, sound: Double, bases: list[Tensor]) -> Tensor:
        """(T, A) -> (K · N, A)."""
        windows = self.windows
        parts = []
        for index in range(windows.count):
            basis = bases[0] if index == 0 else bases[-1] if index == windows.count - 1 else bases[1]
            rows = torch.from_numpy(sound[index * windows.hop :][: windows.length])
            parts.append(basis[: len(rows)].T @ rows)
        return torch.cat(parts)

    def gram_times(self, coefficients: Tensor) -> Tensor:
        """BᵀB C for C (K, N, E): windows meet only their neighbours."""
        first, inner, last = self._own
        pieces = [first @ coefficients[:1]]
        if self.windows.count > 1:
            pieces += [inner @ coefficients[1:-1], last @ coefficients[-1:]]
        result = torch.cat(pieces)
        if self.windows.count > 1:
            between, end = self._next
            zero = torch.zeros_like(coefficients[:1])
            ahead = torch.cat([between @ coefficients[1:-1], end @ coefficients[-1:], zero])
            behind = torch.cat([zero, between.T @ coefficients[:-2], end.T @ coefficients[-2:-1]])
            result = result + ahead + behind
        return result

    def loss(self, coefficients: Tensor) -> Tensor:
        """(K, N, E) -> (): 1 - correlation + correction · mean correlation at other times."""
        energy = (coefficients * self.gram_times(coefficients)).sum((0, 1))  # [E]
        members = membership().to(energy)
        scale = (members @ energy).clamp_min(NOTHING).rsqrt() @ members
        cross = self.heard.mT @ coefficients.flatten(0, 1) * scale  # [S + 1, A, E]
        values = self._pairwise(cross) if self.weights else self._together(cross)
        loss = 1 - values[0]
        return loss + self.correction * values[1:].mean() if len(values) > 1 else loss

    def _together(self, cross: Tensor) -> Tensor:
        """(S + 1, A, E) -> (S + 1,): all features against all sequences, each of norm 1."""
        return nuclear_norm(cross) / (len(self.tables) * len(SEQUENCES)) ** 0.5

    def _pairwise(self, cross: Tensor) -> Tensor:
        """(S + 1, A, E) -> (S + 1,): the weighted mean over all pairs."""
        total, at = cross.new_zeros(len(cross)), 0
        weights = {name: self.weights.get(name, 1.0) for name in self.tables}
        for name, table in self.tables.items():
            rows = cross[:, at : at + table.shape[1]]
            at += table.shape[1]
            scores = [nuclear_norm(rows[..., list(columns)]) for columns in SEQUENCES]
            total = total + weights[name] * torch.stack(scores).mean(0)
        return total / max(sum(weights.values()), NOTHING)


def _shared(before: Tensor, after: Tensor, windows: Windows) -> Tensor:
    """(N, N): BᵀB of neighbours, from the frames that they share."""
    return before[windows.hop :].T @ after[: windows.fade]


def _shifts(frames: int, count: int) -> list[int]:
    """Circular shifts, spread over the song, none near 0."""
    return [round(frames * (i + 1) / (count + 1)) for i in range(count)]


def first_coefficients(windows: Windows, count: int, seed: int) -> Tensor:
    """(K, N, E) float64: where the motion of this seed starts."""
    name = hashlib.sha256(f"hippo motion {seed}".encode()).digest()
    stream = np.random.RandomState(np.frombuffer(name, "<u4"))
    return torch.from_numpy(INITIAL * stream.randn(windows.count, count, ENVELOPES))


def fit(
    tables: Mapping[str, Double],
    *,
    rate: float,
    coefficients: int,
    steps: int,
    weights: Mapping[str, float],
    correction: float,
    seed: int,
    advance: Advance | None = None,
) -> Fit:
    """Optimise envelopes for a song.

    Args:
        tables: features (T, C), each centred and of norm 1, none of them still; at least one.
        rate: their frames a second.
        coefficients: N, of each envelope in each window.
        steps: of Adam, at most; the learning rate falls along a cosine.
        weights: how much more than others a feature counts.
        correction: in [0, 1]: how much the correlation with the same sound at other times is held against the motion.
        seed: of the motion.
        advance: told of every step.
    """
    frames = len(next(iter(tables.values())))
    windows = Windows.over(frames, rate)
    problem = Problem(windows, coefficients, tables, weights, correction)
    learned = first_coefficients(windows, coefficients, seed).requires_grad_()
    optimiser = torch.optim.Adam([learned], lr=LEARNING_RATES[0])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, LEARNING_RATES[1])
    losses: list[float] = []
    for step in range(steps):
        optimiser.zero_grad()
        loss = problem.loss(learned)
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
    return Fit(learned.detach().numpy(), tuple(losses), windows)
