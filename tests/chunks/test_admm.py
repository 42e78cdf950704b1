"""The quadratic program against OSQP."""

from __future__ import annotations

import numpy as np
import osqp
import pytest
from scipy import sparse

from audioreactive._support.admm import solve


def truth(target: np.ndarray, rows: np.ndarray, most: np.ndarray, low: float, high: float) -> np.ndarray:
    count = len(target)
    solver = osqp.OSQP()
    solver.setup(
        sparse.eye(count, format="csc"), -target, sparse.csc_matrix(np.vstack([rows, np.eye(count)])),
        np.concatenate([np.full(len(most), -np.inf), np.full(count, low)]),
        np.concatenate([most, np.full(count, high)]),
        verbose=False, eps_abs=1e-9, eps_rel=1e-9, max_iter=100_000,
    )  # fmt: skip
    return np.asarray(solver.solve(raise_error=True).x)


@pytest.mark.parametrize("seed", range(8))
def test_it_agrees_with_osqp(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(3, 60))
    target, rows = rng.uniform(0, 1.4, count), rng.uniform(0, 2, (2, count))
    most = rows.sum(1) * rng.uniform(0.3, 0.9, 2)
    expected = truth(target, rows, most, 0.1, 1.0)
    found = solve(target, rows, most, 0.1, 1.0, iterations=2000)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-4)


def test_twenty_iterations_break_no_constraint_and_come_close() -> None:
    rng = np.random.default_rng(9)
    target, rows = rng.uniform(0.5, 1.4, 40), rng.uniform(0, 2, (2, 40))
    most = rows.sum(1) * 0.5
    found = solve(target, rows, most, 0.1, 1.0)
    assert (rows @ found <= most + 1e-9).all() and found.min() >= 0.1 and found.max() <= 1
    expected = truth(target, rows, most, 0.1, 1.0)
    assert np.linalg.norm(found - expected) < 0.1 * np.linalg.norm(expected)


def test_what_cannot_be_kept_is_said() -> None:
    with pytest.raises(ValueError, match="no room"):
        solve(np.ones(3), np.ones((1, 3)), np.array([0.2]), 0.1, 1.0)
    with pytest.raises(ValueError, match="negative"):
        solve(np.ones(3), -np.ones((1, 3)), np.array([0.2]), 0.1, 1.0)
