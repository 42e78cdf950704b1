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
    from collections.abc import Sequence

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
_MOVED: Final = 1e-4
"""By how much a gain may still move in an iteration."""
_MOST_ROUNDS: Final = 12


@dataclass(frozen=True)
class Programme:
    """One region, some frames."""

    light: Array
    """(n, C): y, in [0, 1]."""
    bounds: tuple[Array, ...]
    """(n - k, C) for lag k = 1, 2, ... up to the horizon: b; positive, or infinite where nothing is asked."""
    low: Array
    """(n,)."""
    high: Array
    """(n,)."""


def solve(programmes: Sequence[Programme]) -> list[Array]:
    """(n,) each: the gains. The programmes are of the same frames, and each is solved as if it were alone.

    Few constraints hold the gain back, so each is solved under the worst of them for every frame and lag, and again
    with those that this solution breaks. All are iterated together, which takes the time of the arithmetic and not of
    Python.
    """
    gains = [np.clip(np.ones(len(one.light)), one.low, one.high) for one in programmes]
    held = [_Constraints.none(one) for one in programmes]
    broken = list(range(len(programmes)))
    for _ in range(_MOST_ROUNDS):
        for i in broken:
            held[i] = held[i].with_worst(programmes[i], gains[i])
        broken = [i for i in broken if held[i].news]
        if not broken:
            break
        batch = _Batch.of([programmes[i] for i in broken], [held[i] for i in broken])
        for i, gain in zip(broken, _iterate(batch, np.stack([gains[i] for i in broken])), strict=True):
            gains[i] = gain
    return gains


@dataclass(frozen=True)
class _Constraints:
    """Of one programme, those that are held: |g_i left - g_{i+k} right| <= bound, S of them for each frame and lag.

    Each table is (n - k, S) for lag k; where a frame has fewer, the others are 0 <= infinity.
    """

    left: tuple[Array, ...]
    right: tuple[Array, ...]
    bounds: tuple[Array, ...]
    news: bool = True
    """Whether the last search found some."""

    @classmethod
    def none(cls, programme: Programme) -> _Constraints:
        empty = tuple(np.zeros((len(bound), 0)) for bound in programme.bounds if len(bound))
        return cls(empty, empty, empty)

    def with_worst(self, programme: Programme, gain: Array) -> _Constraints:
        """These, and for every frame and lag the cell whose light passes its bound farthest with this gain."""
        lit = programme.light * gain[:, None]
        tables, news = [], False
        for k, held in enumerate(zip(self.left, self.right, self.bounds, strict=True), start=1):
            y, bound = programme.light, programme.bounds[k - 1]
            over = np.abs(lit[:-k] - lit[k:]) - bound
            # The first of equals, so that the same light gives the same gain everywhere.
            worst = (np.arange(len(over)), over.argmax(axis=1))
            found = over[worst] > TOLERANCE
            news |= bool(found.any())
            added = (
                np.where(found, y[:-k][worst], 0.0),
                np.where(found, y[k:][worst], 0.0),
                np.where(found, bound[worst], np.inf),
            )
            tables.append(tuple(np.column_stack(pair) for pair in zip(held, added, strict=True)))
        left, right, bounds = zip(*tables, strict=True) if tables else ((), (), ())
        return _Constraints(left, right, bounds, news)


@dataclass(frozen=True)
class _Batch:
    """P programmes side by side, each with S constraints for every frame and lag."""

    left: tuple[Array, ...]
    """(P, n - k, S) for lag k."""
    right: tuple[Array, ...]
    bounds: tuple[Array, ...]
    low: Array
    """(P, n)."""
    high: Array
    """(P, n)."""
    weight: Array
    """(P, n): m, of mean 1."""
    penalty: Array
    """(P, 1)."""
    factor: Array
    """(bands, P, n): the Cholesky factor of each one's system, as the lower bands that SciPy takes."""

    @classmethod
    def of(cls, programmes: Sequence[Programme], held: Sequence[_Constraints]) -> _Batch:
        """Programmes under these constraints."""
        from scipy.linalg import cholesky_banded

        left, right, bounds = (
            tuple(np.stack(tables) for tables in zip(*(getattr(one, name) for one in held), strict=True))
            for name in ("left", "right", "bounds")
        )
        low, high = (np.stack([getattr(one, name) for one in programmes]) for name in ("low", "high"))
        weight = np.stack([(one.light**2).mean(axis=1) for one in programmes]) + 1e-3
        energy = weight.mean(axis=1, keepdims=True)
        penalty = _PENALTY / (energy * left[0].shape[2])
        weight = weight / energy
        bands = _system(left, right, weight, penalty)
        factor = cholesky_banded(bands.reshape(len(bands), -1), lower=True).reshape(bands.shape)
        return cls(left, right, bounds, low, high, weight, penalty, factor)

    def __getitem__(self, which: NDArray[np.intp]) -> _Batch:
        """Some of them."""
        left, right, bounds = (
            tuple(table[which] for table in tables) for tables in (self.left, self.right, self.bounds)
        )
        low, high, weight, penalty = (array[which] for array in (self.low, self.high, self.weight, self.penalty))
        return _Batch(left, right, bounds, low, high, weight, penalty, self.factor[:, which])

    def steps(self, gain: Array) -> list[Array]:
        """A g: (P, n - k, S) for each lag k."""
        g = gain[..., None]
        return [
            g[:, :-k] * left - g[:, k:] * right
            for k, (left, right) in enumerate(zip(self.left, self.right, strict=True), start=1)
        ]

    def pulled(self, steps: Sequence[Array]) -> Array:
        """A' of such steps: (P, n)."""
        total = np.zeros_like(self.weight)
        for k, (step, left, right) in enumerate(zip(steps, self.left, self.right, strict=True), start=1):
            total[:, :-k] += np.einsum("pns,pns->pn", step, left)
            total[:, k:] -= np.einsum("pns,pns->pn", step, right)
        return total

    def linear(self, right: Array) -> Array:
        """The solution of every one's linear equations: (P, n)."""
        from scipy.linalg import cho_solve_banded

        bands = self.factor.reshape(len(self.factor), -1)
        return np.asarray(cho_solve_banded((bands, True), right.ravel(), check_finite=False)).reshape(right.shape)


def _iterate(batch: _Batch, gains: Array) -> Array:
    """(P, n) -> (P, n): from these gains to the solution for all cells of the batch."""
    solved = gains.copy()
    left = np.arange(len(gains))
    clipped = batch.steps(gains)
    duals = [np.zeros_like(step) for step in clipped]
    box, box_dual = gains.copy(), np.zeros_like(gains)
    for iteration in range(1, _MOST_ITERATIONS + 1):
        pull = batch.pulled([step - dual for step, dual in zip(clipped, duals, strict=True)])
        gain = batch.linear(batch.weight + _BOX_PENALTY * (box - box_dual) + batch.penalty * pull)
        relaxed = _RELAXATION * gain + (1 - _RELAXATION) * box
        before = box
        box = np.clip(relaxed + box_dual, batch.low, batch.high)
        box_dual += relaxed - box
        for i, (step, limit) in enumerate(zip(batch.steps(gain), batch.bounds, strict=True)):
            step *= _RELAXATION
            step += (1 - _RELAXATION) * clipped[i]
            step += duals[i]
            clipped[i] = np.clip(step, -limit, limit)
            duals[i] = step - clipped[i]
        if iteration % _CHECK_EVERY == 0 or iteration == _MOST_ITERATIONS:
            over = [
                (np.abs(step) - limit).max(axis=(1, 2))
                for step, limit in zip(batch.steps(box), batch.bounds, strict=True)
            ]
            moved = np.abs(box - before).max(axis=1)
            going = (moved >= _MOVED) | (np.max(over, axis=0, initial=0.0) >= TOLERANCE)
            solved[left] = box
            if not going.any():
                break
            if not going.all():
                kept = np.flatnonzero(going)
                batch, left, box, box_dual = batch[kept], left[kept], box[kept], box_dual[kept]
                clipped, duals = [step[kept] for step in clipped], [dual[kept] for dual in duals]
    return solved


def _system(left: Sequence[Array], right: Sequence[Array], weight: Array, penalty: Array) -> Array:
    """M + kappa D'D + penalty A'A + box, as the lower bands that SciPy takes: (bands, P, n), a block for each."""
    bands = np.zeros((max(len(left), 1) + 1, *weight.shape))
    bands[0] = weight + _BOX_PENALTY
    bands[0, :, :-1] += SMOOTHNESS
    bands[0, :, 1:] += SMOOTHNESS
    bands[1, :, :-1] -= SMOOTHNESS
    for k, (a, b) in enumerate(zip(left, right, strict=True), start=1):
        bands[0, :, :-k] += penalty * (a**2).sum(axis=2)
        bands[0, :, k:] += penalty * (b**2).sum(axis=2)
        bands[k, :, :-k] -= penalty * (a * b).sum(axis=2)
    return bands
