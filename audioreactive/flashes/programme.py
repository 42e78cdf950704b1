"""The smallest dimming that keeps light from changing fast: a quadratic programme over time, solved by OSQP.

One gain for each frame, g in [0, 1], dims all cells of a region alike. The light of cell c in frame i becomes g_i y_ic,
and for each lag k up to the horizon

    minimise    1/2 sum_i m_i (1 - g_i)² + kappa/2 sum_i (g_{i+1} - g_i)²
    subject to  |g_i y_ic - g_{i+k} y_{i+k,c}| <= b_ikc,   low_i <= g_i <= high_i

with m_i the amount of light that dimming frame i can take away.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from scipy.sparse import csc_matrix

    Array = NDArray[np.float64]

SMOOTHNESS: Final = 1.0
"""kappa, relative to a mean m of 1. With it a gain without constraints changes over a few frames."""
TOLERANCE: Final = 0.003
"""Largest violation of a bound on light: a thirtieth of a flash."""
_SETTINGS: Final = {
    "eps_abs": 5e-4,
    "eps_rel": 0.0,
    "check_dualgap": 0,
    "max_iter": 2000,
    "check_termination": 10,
    # The penalty changes after a number of iterations and not after a time, for the same result on every machine.
    "adaptive_rho": 1,
    "adaptive_rho_interval": 50,
    "verbose": False,
}
_MOST_ROUNDS: Final = 12
"""Most rounds of adding violated constraints."""
_ELASTICITY: Final = 1e3
"""Cost of a squared violation of a bound, used if the bounds cannot all be kept."""


@dataclass(frozen=True)
class Programme:
    """The problem for one region over some frames."""

    light: Array
    """Light y of each cell in [0, 1], shape (n, C)."""
    bounds: tuple[Array, ...]
    """Bounds b for lags k = 1, 2, ... up to the horizon, shapes (n - k, C); positive, or infinite for no bound."""
    low: Array
    """Smallest gain of each frame, shape (n,)."""
    high: Array
    """Largest gain of each frame, shape (n,)."""

    @property
    def digest(self) -> bytes:
        """Digest of all numbers: equal programmes have equal ones."""
        made = hashlib.sha256(str(self.light.shape).encode())
        for array in (self.light, *self.bounds, self.low, self.high):
            made.update(np.ascontiguousarray(array).data)
        return made.digest()


def solve(programmes: Sequence[Programme]) -> list[Array]:
    """Gains (n,) of each programme. Equal ones, as where a flash fills the picture, are solved once."""
    solved: dict[bytes, Array] = {}
    keys = [one.digest for one in programmes]
    for key, one in zip(keys, programmes, strict=True):
        if key not in solved:
            solved[key] = _solve(one)
    return [solved[key] for key in keys]


def _solve(one: Programme) -> Array:
    """Gains (n,) of one programme.

    Few constraints limit the solution. So the programme is solved with the most violated constraint of each frame and
    lag, and again with those that this solution violates.
    """
    gain = np.clip(np.ones(len(one.light)), one.low, one.high)
    held = [np.zeros(bound.shape, bool) for bound in one.bounds]
    for _ in range(_MOST_ROUNDS):
        if not _hold_worst(one, gain, held):
            break
        gain = _under(one, gain, held)
    return gain


def _hold_worst(one: Programme, gain: Array, held: Sequence[NDArray[np.bool_]]) -> bool:
    """Add, for every frame and lag, the cell whose light passes its bound farthest; whether there is any.

    Args:
        one: the programme.
        gain: (n,) of its frames.
        held: (n - k, C) for each lag, the constraints under which it is solved; changed.
    """
    lit, news = one.light * gain[:, None], False
    for k, (bound, own) in enumerate(zip(one.bounds, held, strict=True), start=1):
        over = np.abs(lit[:-k] - lit[k:]) - bound
        over[own] = 0
        # The first of equals, so that the same light gives the same gain everywhere.
        worst = np.arange(len(over)), over.argmax(axis=1)
        broken = over[worst] > TOLERANCE
        own[worst] |= broken
        news |= bool(broken.any())
    return news


def _under(one: Programme, gain: Array, held: Sequence[NDArray[np.bool_]]) -> Array:
    """(n,): the best gains under the constraints that are held, sought from these."""
    from scipy.sparse import block_diag, csc_matrix, diags, eye, hstack, vstack

    weight = (one.light**2).mean(axis=1) + 1e-3
    weight /= weight.mean()
    diagonal = weight.copy()
    diagonal[:-1] += SMOOTHNESS
    diagonal[1:] += SMOOTHNESS
    cost = diags([diagonal, np.full(len(gain) - 1, -SMOOTHNESS)], offsets=[0, 1], format="csc")
    rows, limit = _rows(one, held)
    low, high = np.concatenate([one.low, -limit]), np.concatenate([one.high, limit])
    found = _optimum(cost, -weight, rows, low, high, start=gain)
    if found is None:  # next to settled frames the bounds may contradict each other: violate them as little as possible
        n, s = len(gain), len(limit)
        cost = block_diag([cost, _ELASTICITY * eye(s)], format="csc")
        beyond = vstack([csc_matrix((n, s)), eye(s)])
        rows, weight, start = hstack([rows, beyond], format="csc"), np.pad(weight, (0, s)), np.pad(gain, (0, s))
        found = _optimum(cost, -weight, rows, low, high, start=start)
    return gain if found is None else np.clip(found[: len(gain)], one.low, one.high)


def _optimum(
    cost: csc_matrix, linear: Array, rows: csc_matrix, low: Array, high: Array, *, start: Array
) -> Array | None:
    """Minimum of x' cost x / 2 + linear' x with low <= rows x <= high, starting from `start`; None if not found."""
    import osqp

    solver = osqp.OSQP(algebra="builtin")
    solver.setup(cost, linear, rows, low, high, **_SETTINGS)
    solver.warm_start(x=start)
    found = solver.solve(raise_error=False)
    good = found.info.status_val in (osqp.SolverStatus.OSQP_SOLVED, osqp.SolverStatus.OSQP_SOLVED_INACCURATE)
    return np.asarray(found.x) if good else None


def _rows(one: Programme, held: Sequence[NDArray[np.bool_]]) -> tuple[csc_matrix, Array]:
    """Matrix (n + S, n) with a row for the gain of each frame and for the step of each constraint; bounds (S,)."""
    from scipy.sparse import csc_matrix

    n = len(one.light)
    frames, later, left, right, limits = [], [], [], [], []
    for k, (bound, own) in enumerate(zip(one.bounds, held, strict=True), start=1):
        frame, cell = np.nonzero(own)
        frames.append(frame)
        later.append(frame + k)
        left.append(one.light[frame, cell])
        right.append(-one.light[frame + k, cell])
        limits.append(bound[frame, cell])
    limit = np.concatenate(limits)
    step = n + np.arange(len(limit))
    places = np.concatenate([np.arange(n), step, step]), np.concatenate([np.arange(n), *frames, *later])
    return csc_matrix((np.concatenate([np.ones(n), *left, *right]), places), shape=(n + len(limit), n)), limit
