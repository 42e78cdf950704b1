"""The quadratic program of MathAV-Net's stage 5, by the alternating direction method of multipliers (section 4.3.5).

    minimise 1/2 · |y - target|²  subject to  rows · y <= most  and  low <= y <= high

The paper names latency(y) and bitrate(y) without saying what they are. Here a row is a sum of y with given weights,
such as the bytes of chunks at a given quality, known from a first pass. Its formula for the augmented Lagrangian lacks
the half before ρ and squares neither; the usual one is meant (Boyd et al., 2011, equation 3.2), in scaled form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

RHO: Final = 1.0
"""Parameter of the augmented Lagrangian (Table 7)."""
ITERATIONS: Final = 20
"""Iterations an inference (Table 7). They stop earlier where nothing changes."""
ENOUGH: Final = 1e-9
"""Change below which the iterations stop."""


def solve(
    target: Vector,
    rows: NDArray[np.float64],
    most: Vector,
    low: float | Vector,
    high: float | Vector,
    *,
    iterations: int = ITERATIONS,
    rho: float = RHO,
) -> Vector:
    """The feasible y that is nearest to the target, after so many iterations; (n,) float64.

    The last step projects onto the box and, where a row is still exceeded by a little, scales what is above `low`
    down, so that no constraint is broken whatever the number of iterations. Memory and time are linear in n.

    Args:
        target: (n,) values that would be best without constraints.
        rows: (m, n) weights, none negative.
        most: (m,) bounds; each must leave room for `low`.
        low: smallest value, or (n,) smallest values.
        high: largest value, or (n,) largest values.
        iterations: most iterations.
        rho: parameter of the augmented Lagrangian.

    Raises:
        ValueError: a weight is negative, or not even `low` keeps the bounds.
    """
    low, high = (np.broadcast_to(np.asarray(side, np.float64), target.shape) for side in (low, high))
    if (rows < 0).any():
        raise ValueError("a weight is negative; time and bits grow with the quality")
    if (rows @ low > most * (1 + 1e-12) + 1e-9).any():
        raise ValueError("the bounds leave no room for the lowest quality")
    # Rows of norm 1 make one ρ suit all of them.
    norms = np.maximum(np.linalg.norm(rows, axis=1), 1e-12)
    scaled, bounds = rows / norms[:, None], most / norms
    # (1 + ρ) I + ρ RᵀR, inverted once by the Woodbury identity: only an m x m matrix is held.
    own = 1 + rho
    small = np.linalg.inv(np.eye(len(most)) * own / rho + scaled @ scaled.T)
    z, box = np.minimum(scaled @ target, bounds), np.clip(target, low, high)
    u, u_box = np.zeros_like(z), np.zeros_like(box)
    y = target.astype(np.float64)
    for _ in range(iterations):
        before = y
        right = target + rho * (scaled.T @ (z - u) + box - u_box)
        y = (right - scaled.T @ (small @ (scaled @ right))) / own
        reached = scaled @ y
        z, box = np.minimum(reached + u, bounds), np.clip(y + u_box, low, high)
        u, u_box = u + reached - z, u_box + y - box
        if np.abs(y - before).max() < ENOUGH:
            break
    return _feasible(np.clip(y, low, high), rows, most, low)


def _feasible(y: Vector, rows: NDArray[np.float64], most: Vector, low: Vector) -> Vector:
    floor = rows @ low
    above = rows @ y - floor
    share = min(1.0, float(np.min(np.where(above > 0, (most - floor) / np.maximum(above, 1e-12), 1.0), initial=1.0)))
    return low + (y - low) * max(share, 0.0)
