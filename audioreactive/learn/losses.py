"""Losses of synthesizers: the supervised and the self-supervised loss (section 4.2.2), and two penalties.

Conventions: B clips of T frames; `heard` is (B, T, A), the features of the sound, centred and scaled by their weights;
`made` is (B, T, E), the sequences of a synthesizer side by side. `heard_blocks` and `made_blocks` are slices of
columns, one for each feature or sequence. Losses are means over the batch, in any floating dtype, and differentiable; a
clip in which the sound or the motion does not change scores 0 with a gradient of 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from audioreactive.patches.fields import DEPTHS
from audioreactive.patches.schema import NOISE_OCTAVES, VECTORS_PER_DEPTH

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_LATENTS = len(DEPTHS) * VECTORS_PER_DEPTH
ENVELOPES = _LATENTS + 2 * NOISE_OCTAVES
"""Number of envelopes that the parameter-free decoder takes: 17 (appendix A.2)."""
SEQUENCES: tuple[tuple[int, ...], ...] = (
    *(tuple(range(first, first + VECTORS_PER_DEPTH)) for first in range(0, _LATENTS, VECTORS_PER_DEPTH)),
    *((_LATENTS + octave, _LATENTS + NOISE_OCTAVES + octave) for octave in range(NOISE_OCTAVES)),
)
"""Columns of the envelopes that form each sequence: three for a depth group, mean and deviation for a noise map."""

NOTHING = 1e-12
"""Squared norm below which a table counts as constant."""
CALM_OF_PAIRS = 0.25
"""Factor of `calm` if features are weighted. The score is then the mean over pairs, which is about a quarter of the
score of all features together; without the factor the penalty would suppress the motion that the weights ask for.
"""
SMALLEST_STEP = 1e-3
"""Step between two frames, relative to the root mean square of the sequence, below which a change hardly counts."""
PRINCIPAL = 32
"""Number of principal directions of the model's latents in which a learned decoder's latents are compared with them."""
RANK_TOLERANCE = 1e-6
"""Ratio to the largest singular value below which a singular value is rounding error and gets no gradient."""


class _NuclearNorm(torch.autograd.Function):
    """Sum of singular values of (..., A, E), with the gradient U Vᵀ of the values that are not 0."""

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
    """Table (7, 17) with 1 where an envelope belongs to a sequence."""
    table = torch.zeros(len(SEQUENCES), ENVELOPES)
    for row, columns in zip(table, SEQUENCES, strict=True):
        row[list(columns)] = 1
    return table


def nuclear_norm(matrices: Tensor) -> Tensor:
    """Nuclear norm of (..., A, E): the inner product of two tables after the best rotation of one of them."""
    norm: Tensor = _NuclearNorm.apply(matrices)  # type: ignore[no-untyped-call]
    return norm


def normalised(table: Tensor) -> Tensor:
    """Center each clip (B, T, C) over time and scale it to norm 1; a clip that does not change becomes 0."""
    table = table - table.mean(1, keepdim=True)
    square = table.square().sum((1, 2), keepdim=True)
    moves = square > NOTHING * table.shape[1]
    return torch.where(moves, table / torch.where(moves, square, 1.0).sqrt(), 0.0)


def heard_together(tables: Sequence[Tensor]) -> Tensor:
    """Join features (B, T, C) to (B, T, A), each centred and of norm 1, so that all have the same weight."""
    return torch.cat([normalised(table) for table in tables], dim=2)


def procrustes(heard: Tensor, made: Tensor) -> Tensor:
    """Orthogonal Procrustes correlation (B,) of all features with all sequences, equation 3.3, in [0, 1]."""
    return nuclear_norm(normalised(heard).mT @ normalised(made))


def pairwise(
    heard: Tensor, made: Tensor, heard_blocks: Sequence[slice], made_blocks: Sequence[slice], weights: Tensor
) -> Tensor:
    """Weighted mean (B,) of the correlations of all pairs of a feature and a sequence; weights are (features,)."""
    sequences = [normalised(made[..., columns]) for columns in made_blocks]
    scores = []
    for columns in heard_blocks:
        feature = normalised(heard[..., columns])
        scores.append(torch.stack([nuclear_norm(feature.mT @ sequence) for sequence in sequences]).mean(0))
    weights = weights.to(heard)
    return (torch.stack(scores, -1) * weights).sum(-1) / weights.sum()


def chance(score: Callable[[Tensor], Tensor], heard: Tensor, shifts: Sequence[int]) -> Tensor:
    """Mean score (B,) of the sequences with the sound shifted in time: the score that smoothness alone gives
    (section 3.4.4). Shifts are circular, in frames.
    """
    return torch.stack([score(heard.roll(shift, 1)) for shift in shifts]).mean(0)


def variation(made: Tensor) -> Tensor:
    """Total variation (B,) of a sequence (B, T, C) per frame, in units of its root mean square: 0 for a constant, 1.4
    for independent frames. A jump costs as much as a slow drift over the same distance (Rudin, Osher and Fatemi 1992),
    so this penalty keeps fast changes and makes the motion rest between them.
    """
    return step_lengths(_changes(made).square().sum(2)).mean(1)


def paces(sequences: Sequence[Tensor]) -> Tensor:
    """Distance (B, T, S) of each frame of S sequences (B, T, C) from the frame before, in units of the root mean square
    of the sequence. A third of the video features of Table 3.2 measure such changes: difference, directogram, both
    onsets. Frame 0 has the value of frame 1, as there.
    """
    steps = [step_lengths(_changes(made).square().sum(2)) for made in sequences]
    together = torch.stack(steps, dim=2)
    return torch.cat([together[:, :1], together], dim=1)


def _changes(made: Tensor) -> Tensor:
    changes: Tensor = normalised(made).diff(dim=1) * made.shape[1] ** 0.5
    return changes


def step_lengths(squares: Tensor) -> Tensor:
    """Square roots of squared lengths, with a finite gradient at 0."""
    return (squares + SMALLEST_STEP**2).sqrt() - SMALLEST_STEP


def off_the_shell(radius: Tensor) -> Tensor:
    """Mean squared deviation, shape (), of averages of latents from the radius at which the model's own latents lie.

    Args:
        radius: squared distances from the model's mean, in units of the mean squared distance of its samples.
    """
    return (radius - 1).square().mean()


@dataclass(frozen=True)
class OwnLatents:
    """Distribution of a model's latents, relative to their mean and in units of their root mean squared distance from
    it.
    """

    directions: Tensor
    """Principal directions, shape (W, D)."""
    variances: Tensor
    """Variances along these directions, shape (D,), the largest first."""
    rest: float
    """Sum of the variances in all other directions."""

    @classmethod
    def of(cls, samples: Tensor) -> OwnLatents:
        """Measure the distribution of latents (n, W) with mean 0 and mean squared length 1."""
        values, vectors = torch.linalg.eigh(samples.double().T @ samples.double() / len(samples))
        count = min(PRINCIPAL, len(values))
        variances = values.flip(0)[:count].clamp_min(NOTHING)
        directions = vectors.flip(1)[:, :count]
        return cls(directions, variances, max(1 - float(variances.sum()), 0.0))

    def distance(self, latents: Tensor) -> Tensor:
        """Fréchet distance, shape (), of latents (n, G, W) from this distribution, as a mean over the G depth groups.

        It is the distance of two normal distributions (Heusel et al. 2017, equation 6). Variance outside the principal
        directions is penalised only where it exceeds the model's.
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
    """Mean squared error, shape ()."""
    return (made - given).square().mean()
