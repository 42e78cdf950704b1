"""Stages 1 to 3 and 5 of MathAV-Net, each a function that can be called alone (sections 4.3.1 to 4.3.3 and 4.3.5).

Conventions: B clips; V (B, T_v, D) and A (B, T_a, F); d = 128 dimensions of the shared space; offsets y in seconds,
positive where the sound is early.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor

from audioreactive._support.admm import ITERATIONS, RHO, solve

if TYPE_CHECKING:
    from numpy.typing import NDArray

RANK: Final = 100
"""Most singular values that are kept (section 4.3.1)."""
ENERGY: Final = 0.95
"""Share of the squares of the singular values that is kept."""
GAMMA: Final = 0.001
"""Weight of the squared norms of the projections in the manifold loss (section 4.3.2)."""
LAMBDA: Final = 0.5
"""Weight of time warping in the alignment loss (section 4.3.3)."""
LARGEST: Final = 1.0
"""y_max = -y_min in seconds. The seed gives none; no offset of a made scene lies beyond."""


@dataclass(frozen=True, eq=False)
class Truncated:
    """Truncated singular value decompositions of some clips."""

    z: Tensor
    """(B, T, k) Z = U_k Σ_k, with the largest k of the clips; columns beyond a clip's own are 0."""
    basis: Tensor
    """(B, C, k) right singular vectors, V_k of the seed."""
    rank: Tensor
    """(B,) columns that are kept."""

    def projected(self, weight: Tensor) -> Tensor:
        """H = Z (V_kᵀ W), (B, T, d), for W (C, d).

        The seed gives W the D rows of the features although Z has k columns, and the columns of Z mean something else
        in each clip. Both come right if W stays a map of features and each clip sees it in its own basis: this is
        V_k V_kᵀ W applied to the features, which are rid of what the truncation leaves out.
        """
        return self.z @ (self.basis.transpose(1, 2) @ weight)


def centred(features: Tensor) -> Tensor:
    """Features (B, T, C) without the mean over time of each, and of mean square 1 in each clip.

    The seed does not centre. Then the mean spectrum of a sound alone holds more than 95 % of the energy, the rank is 1
    or 2, and nothing that changes is left (docs/lab/sync.md).
    """
    apart = features - features.mean(1, keepdim=True)
    return apart / apart.square().mean((1, 2), keepdim=True).sqrt().clamp_min(1e-6)


def truncated_svd(features: Tensor, rank: int = RANK, energy: float = ENERGY) -> Truncated:
    """Stage 1, section 4.3.1: k = min(100, rank), and no more than hold 95 % of the energy.

    The basis is a constant for gradients: that of singular vectors grows without bound where two values meet. It comes
    from the eigenvectors of the features' (C, C) products, whose eigenvalues are the squares of the singular values.
    What 95 % need has a singular value above 0, so that the rank itself need not be asked for.

    Args:
        features: (B, T, C).
        rank: most columns.
        energy: share of the energy that is enough.
    """
    with torch.no_grad():
        values, vectors = torch.linalg.eigh(features.transpose(1, 2) @ features)
        share = values.flip(1).clamp_min(0).cumsum(1)
        kept = ((share < energy * share[:, -1:]).sum(1) + 1).clamp(max=rank)
        most = int(kept.max())
        basis = vectors.flip(2)[:, :, :most] * (torch.arange(most, device=values.device) < kept[:, None, None])
    return Truncated(features @ basis, basis, kept)


def manifold_loss(seen: Tensor, heard: Tensor, *weights: Tensor) -> Tensor:
    """Stage 2, section 4.3.2: |H_v - H_a|² + γ (|W_v|² + |W_a|²), a scalar.

    The first is the mean over rows and dimensions: Table 13's loss of 2.45 after one epoch can be no sum over them.
    Rows that belong together, by Y_align of section 3.3.3, must be given: where a clip is out of sync, equal indices do
    not.
    """
    penalty = torch.stack([weight.square().sum() for weight in weights]).sum()
    return (seen - heard).square().mean() + GAMMA * penalty


def kl_divergence(seen: Tensor, heard: Tensor) -> Tensor:
    """Stage 3, section 4.3.3: D_KL(N(μ_a, σ_a²) || N(μ_v, σ_v²)) of rows (B, T, d), (B,), mean over the dimensions.

    log(σ_v / σ_a) + (σ_a² + (μ_v - μ_a)²) / (2 σ_v²) - 1/2, which the seed's print has garbled. Variances have a floor
    of 1e-6.
    """
    mean_v, mean_a = seen.mean(1), heard.mean(1)
    var_v, var_a = (rows.var(1, correction=0) + 1e-6 for rows in (seen, heard))
    terms = 0.5 * (var_v / var_a).log() + (var_a + (mean_v - mean_a).square()) / (2 * var_v) - 0.5
    return terms.mean(1)


@dataclass(frozen=True, eq=False)
class Constraints:
    """What stage 5 must keep: latency(y) <= L, bitrate(y) <= R, y_min <= y <= y_max.

    The seed leaves both functions undefined. Here both grow with the delay y - y_min by which the sound is held back:
    latency is its mean over the frames, bitrate its mean weighted by the bits of each frame, which must be coded anew
    if it moves. By default neither binds: a bound of 40 ms on what is corrected would forbid the truth itself.
    """

    latency: float = 2 * LARGEST
    """L in seconds."""
    bitrate: float = 2 * LARGEST
    """R in seconds, weighted by bits."""
    low: float = -LARGEST
    high: float = LARGEST


def production(
    offsets: NDArray[np.floating],
    jitter: float,
    bits: NDArray[np.floating] | None = None,
    constraints: Constraints | None = None,
) -> tuple[NDArray[np.float64], float]:
    """Stage 5, section 4.3.5: the nearest (offsets, jitter) to y_ML that keeps the constraints, by ADMM.

    Args:
        offsets: (T,) seconds.
        jitter: seconds.
        bits: (T,) share of each frame in the bits; None: all alike.
        constraints: None: the box alone.
    """
    limits = constraints or Constraints()
    count = len(offsets)
    shares = np.full(count, 1.0) if bits is None else np.asarray(bits, np.float64)
    rows = np.zeros((2, count + 1))
    rows[0, :count], rows[1, :count] = 1 / count, shares / max(shares.sum(), 1e-12)
    low, high = np.full(count + 1, limits.low), np.full(count + 1, limits.high)
    low[-1] = 0.0
    most = np.array([limits.latency, limits.bitrate]) + limits.low
    target = np.append(np.asarray(offsets, np.float64), jitter)
    found = solve(target, rows, most, low, high, iterations=ITERATIONS, rho=RHO)
    return found[:-1], float(found[-1])
