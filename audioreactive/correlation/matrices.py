"""Correlations between two tables over the same frames (section 3.3 of the thesis).

Conventions: a (T, A) and b (T, B), any floating dtype and device; row t of both is the same moment. Columns are centred
inside, all arithmetic is float64, and the result is a float64 scalar that can be differentiated. For a constant table,
such as one of a single frame, every correlation is 0, and so is its gradient. Tables may have a lower rank than
columns, and more columns than frames. Time and memory are linear in T.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    Correlation = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

RANK_TOLERANCE = 1e-9
"""Ratio to the largest singular value below which a singular value counts as 0. The rounding of dependent float32
features leaves larger values, which count."""
STILL = 1e-12
"""Norm of a centred table, relative to its size before, below which the table counts as constant."""


def adjusted_rv(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The adjusted RV coefficient, equation 3.1: |tr(S'a S'b)| / sqrt(tr(S'a²) tr(S'b²)), in [0, 1].

    S' is XXᵀ less its diagonal; columns are centred, and the scale of either table divides out. Without the diagonal,
    independent noise scores near 0 (Smilde et al., "Matrix correlations for high-dimensional data: the modified
    RV-coefficient", 2009). The T x T tables are never made: tr(S'a S'b) = |AᵀB|² - sum over t of |a_t|² |b_t|².
    """
    a, b = _prepared(a, b)
    together, first, second = (_off_diagonal(x, y) for x, y in ((a, b), (a, a), (b, b)))
    return _ratio(together.abs(), first, second)


def orthogonal_procrustes(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The orthogonal Procrustes correlation, equation 3.3: 1 - (|A|² + |B|² - 2 |AᵀB|*) / 2, in [0, 1].

    Columns are centred and each table is divided by its Frobenius norm, as the equation's derivation needs: the result
    is the nuclear norm |AᵀB|*, the inner product after the best rotation of one table onto the other (Schönemann,
    1966).
    """
    a, b = _prepared(a, b)
    value: torch.Tensor = torch.linalg.svdvals(a.T @ b).sum()
    return value


def pwcca(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Projection-weighted canonical correlation, equation 3.2: sum of alpha_i lambda_i / sum of alpha_i, in [0, 1].

    Columns are centred; lambda_i are the canonical correlations, h_i the canonical variates of `a`, of unit length, and
    alpha_i = sum over the columns a_j of |h_i · a_j| (Morcos, Raghu and Bengio, 2018). The weights are those of `a`
    alone, so the measure is not symmetric: it is invariant to any invertible map of `b`, but only to scaling of `a`.
    Equal tables give 1.
    """
    a, b = _prepared(a, b)
    if not (a.any() and b.any()):
        return _nothing(a, b)
    first, second = _basis(a, _rank(a)), _basis(b, _rank(b))
    cross = first.T @ second
    variates = first @ _basis(cross, min(cross.shape))
    alpha = (variates.T @ a).abs().sum(1)
    value: torch.Tensor = (alpha * torch.linalg.svdvals(cross)).sum() / alpha.sum()
    return value


def smi(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The Similarity of Matrices Index with orthogonal projection, equation 3.4: sum of lambda_i² / r, in [0, 1].

    Columns are centred; lambda_i are the singular values of UaᵀUb, where Ua and Ub hold the first r left singular
    vectors of each table and r is the lower of the two ranks (Indahl, Næs and Liland, "A similarity index for comparing
    coupled matrices", 2018). Equal tables give 1; scale and rotation do not matter.
    """
    a, b = _prepared(a, b)
    if not (a.any() and b.any()):
        return _nothing(a, b)
    rank = min(_rank(a), _rank(b))
    return (_basis(a, rank).T @ _basis(b, rank)).square().sum() / rank


CORRELATIONS: dict[str, Correlation] = {
    "orthogonal Procrustes": orthogonal_procrustes,
    "adjusted RV": adjusted_rv,
    "PWCCA": pwcca,
    "SMI": smi,
}
"""Correlations by the names in printed tables; the first is the thesis' choice (section 3.4.2)."""


def _prepared(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Both tables in float64, centred, with Frobenius norm 1; a constant table becomes 0."""
    if a.ndim != 2 or b.ndim != 2 or len(a) != len(b):
        raise ValueError(f"tables of shape (T, A) and (T, B) are compared, not {tuple(a.shape)} and {tuple(b.shape)}")
    return _normalised(a), _normalised(b)


def _normalised(x: torch.Tensor) -> torch.Tensor:
    x = x.double()
    size = x.detach().abs().amax() if x.numel() else x.new_zeros(())
    x = x / torch.where(size > 0, size, 1.0)  # so that squares neither overflow nor underflow
    centred = x - x.mean(0)
    norm = torch.linalg.vector_norm(centred.detach())
    if not norm > STILL * x.numel() ** 0.5:
        return torch.zeros_like(x) * x
    scaled: torch.Tensor = centred / torch.linalg.vector_norm(centred)
    return scaled


def _off_diagonal(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The trace tr(S'x S'y), without making the T x T tables."""
    return (x.T @ y).square().sum() - (x.square().sum(1) * y.square().sum(1)).sum()


def _ratio(value: torch.Tensor, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """The value divided by sqrt(first · second); 0 if one of them is 0."""
    if not (first > STILL and second > STILL):
        return value * 0
    ratio: torch.Tensor = value / (first * second).sqrt()
    return ratio


def _nothing(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a.sum() + b.sum()) * 0


def _rank(x: torch.Tensor) -> int:
    """Number of singular values that count; at least one for a table that is not 0."""
    values = torch.linalg.svdvals(x.detach())
    return int((values > RANK_TOLERANCE * values[0]).sum())


def _basis(x: torch.Tensor, rank: int) -> torch.Tensor:
    """The first left singular vectors of x (T, A): (T, rank)."""
    basis: torch.Tensor = _LeftVectors.apply(x, rank)  # type: ignore[no-untyped-call]
    return basis


class _LeftVectors(torch.autograd.Function):
    """The first left singular vectors, with a gradient that stays finite where singular values are equal or 0.

    There the vectors are not unique, but the results here (a subspace, or a sum over equal correlations) are. The terms
    1 / (s_j² - s_i²) between equal values cancel, so they are set to 0.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, rank: int) -> torch.Tensor:
        """(T, A) -> (T, rank)."""
        u, s, vh = torch.linalg.svd(x, full_matrices=False)
        ctx.save_for_backward(u, s, vh)
        vectors: torch.Tensor = u[:, :rank].clone()
        return vectors

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        """d/dx; with Uᵀg = w: U [(w - wᵀ) ∘ F] S Vᵀ + (I - UUᵀ) g S⁻¹ Vᵀ."""
        u, s, vh = ctx.saved_tensors
        grad = torch.zeros_like(u)
        grad[:, : gradients[0].shape[1]] = gradients[0]
        gaps = s.square()[None, :] - s.square()[:, None]
        tiny = RANK_TOLERANCE * s[0].square()
        inverse_gaps = torch.where(gaps.abs() > tiny, 1 / torch.where(gaps == 0, 1.0, gaps), 0.0)
        inverse = torch.where(s > RANK_TOLERANCE * s[0], 1 / torch.where(s == 0, 1.0, s), 0.0)
        inside = u.T @ grad
        along = u @ ((inside - inside.T) * inverse_gaps * s[None, :])
        across = (grad - u @ inside) * inverse
        gradient: torch.Tensor = (along + across) @ vh
        return gradient, None
