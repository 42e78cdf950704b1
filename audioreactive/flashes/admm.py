"""The smallest dimming that keeps light from changing fast: a quadratic programme over time.

One gain for each frame, g in [0, 1], dims all cells of a region alike. The light of cell c in frame i becomes g_i y_ic,
and for each lag k up to the horizon

    minimise    1/2 sum_i m_i (1 - g_i)² + kappa/2 sum_i (g_{i+1} - g_i)²
    subject to  |g_i y_ic - g_{i+k} y_{i+k,c}| <= b_ikc,   low_i <= g_i <= high_i

with m_i the light that there is to lose. With A for all rows of the constraints, the alternating direction method of
multipliers (Boyd et al., 2011, section 5.2; the form of Stellato et al., 2020, with over-relaxation) splits it into a
system of linear equations, banded, the same in every iteration and so factorised once, and a clipping to the bounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

SMOOTHNESS: Final = 1.0
"""kappa, beside m of mean 1: a gain that is free moves over a few frames."""
TOLERANCE: Final = 0.003
"""By how much light may pass its bound: a thirtieth of a flash."""
_PENALTY: Final = 4.0
"""Of the bounds on light, in the augmented Lagrangian."""
_BOX_PENALTY: Final = 1.0
_RELAXATION: Final = 1.6
_CHECK_EVERY: Final = 20
_MOST_ITERATIONS: Final = 2000
_FIRST_CELLS: Final = 6
_MORE_CELLS: Final = 6
_MOST_ROUNDS: Final = 12


@dataclass(frozen=True)
class Programme:
    """One region, some frames."""

    light: Array
    """(n, C): y, in [0, 1]."""
    bounds: tuple[Array, ...]
    """(n - k, C) for lag k = 1, 2, ... up to the horizon: b; at least |y_i - y_{i+k}| or positive, so g can meet it."""
    low: Array
    """(n,)."""
    high: Array
    """(n,)."""

    def excess(self, gain: Array) -> Array:
        """(C,): by how much each cell's light passes its bounds with this gain, at most; 0 where it does not."""
        lit = self.light * gain[:, None]
        most = np.zeros(self.light.shape[1])
        for k, bound in enumerate(self.bounds, start=1):
            if len(bound):
                np.maximum(most, (np.abs(lit[:-k] - lit[k:]) - bound).max(axis=0), out=most)
        return most


def solve(programme: Programme) -> Array:
    """(n,): the gain.

    Few of the cells hold the gain back, so the programme is solved for the worst of them, and again with those that
    this solution leaves beyond their bounds.
    """
    gain = np.clip(np.ones(len(programme.light)), programme.low, programme.high)
    chosen = np.zeros(programme.light.shape[1], bool)
    for round_number in range(_MOST_ROUNDS):
        excess = np.where(chosen, 0.0, programme.excess(gain))
        beyond = np.flatnonzero(excess > TOLERANCE)
        if not len(beyond):
            break
        wanted = _FIRST_CELLS if round_number == 0 else _MORE_CELLS << (round_number - 1)
        # A stable order, so that the same light gives the same gain everywhere.
        chosen[beyond[np.argsort(-excess[beyond], kind="stable")[:wanted]]] = True
        bounds = tuple(bound[:, chosen] for bound in programme.bounds)
        gain = _solve_all(Programme(programme.light[:, chosen], bounds, programme.low, programme.high), gain)
    return gain


def _solve_all(programme: Programme, gain: Array) -> Array:
    from scipy.linalg import cho_solve_banded, cholesky_banded

    light, frames = programme.light, len(gain)
    lags = [k for k, bound in enumerate(programme.bounds, start=1) if len(bound)]
    weight = (light**2).mean(axis=1) + 1e-3
    weight /= weight.mean()
    energy = light.shape[1] * (light**2).mean()
    penalty = _PENALTY / max(energy, 1e-6)
    factor = (cholesky_banded(_system(light, lags, weight, penalty), lower=True), True)

    def apply(g: Array) -> list[Array]:
        lit = light * g[:, None]
        return [lit[:-k] - lit[k:] for k in lags]

    steps = apply(gain)
    limits = [programme.bounds[k - 1] for k in lags]
    duals, clipped = [np.zeros_like(step) for step in steps], steps
    box, box_dual = gain.copy(), np.zeros(frames)
    for iteration in range(1, _MOST_ITERATIONS + 1):
        right = weight + _BOX_PENALTY * (box - box_dual)
        for k, step, dual in zip(lags, clipped, duals, strict=True):
            pull = penalty * (step - dual)
            right[:-k] += np.einsum("tc,tc->t", pull, light[:-k])
            right[k:] -= np.einsum("tc,tc->t", pull, light[k:])
        gain = cho_solve_banded(factor, right, check_finite=False)
        relaxed = _RELAXATION * gain + (1 - _RELAXATION) * box
        before = box
        box = np.clip(relaxed + box_dual, programme.low, programme.high)
        box_dual += relaxed - box
        steps = apply(gain)
        moved = float(np.abs(box - before).max())
        for i, (step, limit) in enumerate(zip(steps, limits, strict=True)):
            mixed = _RELAXATION * step + (1 - _RELAXATION) * clipped[i]
            clipped[i] = np.clip(mixed + duals[i], -limit, limit)
            duals[i] += mixed - clipped[i]
        if iteration % _CHECK_EVERY == 0 and moved < 1e-4 and float(programme.excess(box).max()) < TOLERANCE:
            break
    return box


def _system(light: Array, lags: list[int], weight: Array, penalty: float) -> Array:
    """M + kappa D'D + penalty A'A + box, as the lower bands that SciPy takes."""
    bands = np.zeros((max(lags, default=1) + 1, len(weight)))
    bands[0] = weight + _BOX_PENALTY
    bands[0, :-1] += SMOOTHNESS
    bands[0, 1:] += SMOOTHNESS
    bands[1, :-1] -= SMOOTHNESS
    squared = penalty * (light**2).sum(axis=1)
    for k in lags:
        bands[0, :-k] += squared[:-k]
        bands[0, k:] += squared[k:]
        bands[k, :-k] -= penalty * np.einsum("tc,tc->t", light[:-k], light[k:])
    return bands
