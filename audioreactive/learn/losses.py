"""What synthesizers are taught: the supervised and the self-supervised loss (section 4.2.2), and two terms beyond them.

Conventions: B clips of T frames; `heard` is (B, T, A), features that are centred and scaled as they shall count;
`made` is (B, T, E), a synthesizer's sequences side by side. `heard_blocks` and `made_blocks` are slices of columns, a
feature or a sequence each. Losses are means over the batch, in any floating dtype, and can be differentiated; a clip
in which nothing is heard or made to move scores 0 with a gradient of 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from audioreactive.patches.schema import DEPTHS, NOISE_OCTAVES, VECTORS_PER_DEPTH

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_LATENTS = len(DEPTHS) * VECTORS_PER_DEPTH
ENVELOPES = _LATENTS + 2 * NOISE_OCTAVES
"""17: what the parameter-free decoder takes (appendix A.2)."""
SEQUENCES: tuple[tuple[int, ...], ...] = (
    *(tuple(range(first, first + VECTORS_PER_DEPTH)) for first in range(0, _LATENTS, VECTORS_PER_DEPTH)),
    *((_LATENTS + octave, _LATENTS + NOISE_OCTAVES + octave) for octave in range(NOISE_OCTAVES)),
)
"""Columns of the envelopes that make one sequence: three for each depth group, mean and deviation of each noise map."""

NOTHING = 1e-12
"""Squared norms below this are of what does not move."""
CALM_OF_PAIRS = 0.25
"""Of `calm` where features are weighted: the mean over pairs is about a quarter of what all score together, and who
weighs the drums wants to see them.
"""
SMALLEST_STEP = 1e-3
"""Of a sequence's root mean square: shorter ones count as none."""
PRINCIPAL = 32
"""Directions of the model's latents along which theirs are compared with those of a learned decoder."""
RANK_TOLERANCE = 1e-6
"""Of the largest singular value: smaller ones are rounding, and their directions noise."""


class _NuclearNorm(torch.autograd.Function):
    """Sums of singular values of (..., A, E), with the gradient U Vᵀ of those that are not 0."""

    @staticmethod
    def forward(ctx: Any, matrices: Tensor) -> Tensor:
        """(..., A, E) -> (...)."""
        u, s, vh = torch.linalg.svd(matrices, full_matrices=False)
        counts = s > RANK_TOLERANCE * s[..., :1].clamp_min(torch.finfo(s.dtype).tiny)
        ctx.save_for_backward((u * counts[..., None, :]) @ vh)
        norm: Tensor = s.sum(-1)
        return norm

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """(...) -> (..., A, E)."""
        (directions,) = ctx.saved_tensors
        gradient: Tensor = gradients[0][..., None, None] * directions
        return gradient


def membership() -> Tensor:
    """(7, 17): 1 where an envelope belongs to a sequence."""
    table = torch.zeros(len(SEQUENCES), ENVELOPES)
    for row, columns in zip(table, SEQUENCES, strict=True):
        row[list(columns)] = 1
    return table


def nuclear_norm(matrices: Tensor) -> Tensor:
    """(..., A, E) -> (...): what remains alike after the best rotation."""
    norm: Tensor = _NuclearNorm.apply(matrices)  # type: ignore[no-untyped-call]
    return norm


def normalised(table: Tensor) -> Tensor:
    """(B, T, C) -> the same, each clip centred over time and of norm 1; 0 where nothing moves."""
    table = table - table.mean(1, keepdim=True)
    square = table.square().sum((1, 2), keepdim=True)
    moves = square > NOTHING * table.shape[1]
    return torch.where(moves, table / torch.where(moves, square, 1.0).sqrt(), 0.0)


def heard_together(tables: Sequence[Tensor]) -> Tensor:
    """Features (B, T, C) each -> (B, T, A): each centred and of norm 1, so that all count alike."""
    return torch.cat([normalised(table) for table in tables], dim=2)


def procrustes(heard: Tensor, made: Tensor) -> Tensor:
    """(B,) orthogonal Procrustes correlations of all features with all sequences, equation 3.3, in [0, 1]."""
    return nuclear_norm(normalised(heard).mT @ normalised(made))


def pairwise(
    heard: Tensor, made: Tensor, heard_blocks: Sequence[slice], made_blocks: Sequence[slice], weights: Tensor
) -> Tensor:
    """(B,) weighted mean over all pairs of a feature and a sequence of their correlations; weights (features,)."""
    sequences = [normalised(made[..., columns]) for columns in made_blocks]
    scores = []
    for columns in heard_blocks:
        feature = normalised(heard[..., columns])
        scores.append(torch.stack([nuclear_norm(feature.mT @ sequence) for sequence in sequences]).mean(0))
    weights = weights.to(heard)
    return (torch.stack(scores, -1) * weights).sum(-1) / weights.sum()


def chance(score: Callable[[Tensor], Tensor], heard: Tensor, shifts: Sequence[int]) -> Tensor:
    """(B,) mean of what the sequences score on the same sound at other times: what smoothness alone scores
    (section 3.4.4). Shifts are circular, in frames.
    """
    return torch.stack([score(heard.roll(shift, 1)) for shift in shifts]).mean(0)


def variation(made: Tensor) -> Tensor:
    """(B,) total variation of a sequence (B, T, C) a frame, in units of its own root mean square: the way that it goes,
    0 at rest and 1.4 where every frame is another. Of ways from here to there, jumps and slow drifts are alike
    (Rudin, Osher and Fatemi 1992), so that what remains is quick where the sound is, and rests between.
    """
    return step_lengths(_changes(made).square().sum(2)).mean(1)


def paces(sequences: Sequence[Tensor]) -> Tensor:
    """(B, T, S): how far each of S sequences (B, T, C) goes from the frame before, in units of its own root mean
    square. A third of Table 3.2 is such change: difference, directogram, both onsets. Frame 0 has that of frame 1, as
    there.
    """
    steps = [step_lengths(_changes(made).square().sum(2)) for made in sequences]
    together = torch.stack(steps, dim=2)
    return torch.cat([together[:, :1], together], dim=1)


def _changes(made: Tensor) -> Tensor:
    changes: Tensor = normalised(made).diff(dim=1) * made.shape[1] ** 0.5
    return changes


def step_lengths(squares: Tensor) -> Tensor:
    """Square roots, with a gradient at 0."""
    return (squares + SMALLEST_STEP**2).sqrt() - SMALLEST_STEP


def off_the_shell(radius: Tensor) -> Tensor:
    """() how far averages of a model's latents leave the shell on which its own lie.

    Args:
        radius: squared distances from the model's mean, in units of its samples' mean squared distance.
    """
    return (radius - 1).square().mean()


@dataclass(frozen=True)
class OwnLatents:
    """How a model's own latents are distributed, about their mean and in units of their mean squared distance from
    it.
    """

    directions: Tensor
    """(W, D): the principal ones."""
    variances: Tensor
    """(D,) along them, the largest first."""
    rest: float
    """Variance in all other directions together."""

    @classmethod
    def of(cls, samples: Tensor) -> OwnLatents:
        """Of latents (n, W) about their mean, whose mean squared length is 1."""
        values, vectors = torch.linalg.eigh(samples.double().T @ samples.double() / len(samples))
        count = min(PRINCIPAL, len(values))
        variances = values.flip(0)[:count].clamp_min(NOTHING)
        directions = vectors.flip(1)[:, :count]
        return cls(directions, variances, max(1 - float(variances.sum()), 0.0))

    def distance(self, latents: Tensor) -> Tensor:
        """() how far latents (n, G, W) of G depth groups are from these: the Fréchet distance of two normal
        distributions (Heusel et al. 2017, equation 6), a mean over the groups. Variance in other directions than the
        principal ones costs nothing until there is more of it than the model has.
        """
        along = latents @ self.directions.to(latents)
        outside = (latents.square().sum(2) - along.square().sum(2)).mean(0).double()
        mean = along.mean(0)
        centred = along - mean
        covariance = torch.einsum("ngd,nge->gde", centred, centred).double() / len(along)
        root = self.variances.sqrt()
        together = torch.linalg.eigvalsh(root[:, None] * covariance * root).clamp_min(NOTHING).sqrt().sum(1)
        apart = (
            mean.double().square().sum(1)
            + covariance.diagonal(dim1=1, dim2=2).sum(1)
            + self.variances.sum()
            - 2 * together
        )
        beyond = (outside.clamp_min(NOTHING).sqrt() - math.sqrt(self.rest)).clamp_min(0).square()
        distance: Tensor = (apart + beyond).mean().to(latents)
        return distance


def supervised(made: Tensor, given: Tensor) -> Tensor:
    """() mean squared error."""
    return (made - given).square().mean()
