"""The smallest dimming, beside that of another solver."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import NonlinearConstraint, minimize

from audioreactive.flashes import programme as module
from audioreactive.flashes.programme import SMOOTHNESS, TOLERANCE, Programme, solve

FRAMES, CELLS, LAGS, STEP = 14, 4, 2, 0.075


def programme(seed: int) -> Programme:
    """Cells that flash, of which one is steady; the first frames are settled."""
    draw = np.random.RandomState(seed)
    light = draw.random_sample((FRAMES, CELLS))
    light[:, 0] = 0.5
    bounds = []
    for k in range(1, LAGS + 1):
        bound = np.full((FRAMES - k, CELLS), STEP)
        bound[:, 0] = max(STEP, 0.1)
        bounds.append(bound)
    low, high = np.zeros(FRAMES), np.ones(FRAMES)
    return Programme(light, tuple(bounds), low, high)


def cost(one: Programme, gain: np.ndarray) -> float:
    weight = (one.light**2).mean(axis=1) + 1e-3
    weight /= weight.mean()
    return float((weight * (1 - gain) ** 2).sum() + SMOOTHNESS * (np.diff(gain) ** 2).sum()) / 2


def steps(one: Programme, gain: np.ndarray) -> np.ndarray:
    lit = one.light * gain[:, None]
    return np.concatenate([(lit[:-k] - lit[k:]).ravel() for k in range(1, LAGS + 1)])


@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_smallest_dimming(seed: int) -> None:
    one = programme(seed)
    (gain,) = solve([one])
    limit = np.concatenate([bound.ravel() for bound in one.bounds])
    assert (np.abs(steps(one, gain)) <= limit + TOLERANCE).all() and (gain >= 0).all() and (gain <= 1).all()
    exact = minimize(
        lambda g: cost(one, g),
        np.full(FRAMES, 0.05),
        method="SLSQP",
        bounds=[(0, 1)] * FRAMES,
        constraints=NonlinearConstraint(lambda g: steps(one, g), -limit, limit),
        options={"maxiter": 500, "ftol": 1e-10},
    )
    assert exact.success
    # The tolerance of the bounds is worth a little of the cost.
    assert 0.93 * exact.fun < cost(one, gain) < 1.01 * exact.fun
    assert np.abs(gain - exact.x).max() < 0.05


def test_together_as_alone() -> None:
    programmes = [programme(seed) for seed in range(5)]
    for gain, one in zip(solve(programmes), programmes, strict=True):
        np.testing.assert_array_equal(gain, solve([one])[0])


def test_equal_programmes_are_solved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a single number differs, they are not equal."""
    one, again = programme(0), programme(0)
    other = replace(again, high=np.where(np.arange(FRAMES) == 5, 0.25, again.high))
    solved, find = [], module._solve
    monkeypatch.setattr(module, "_solve", lambda given: solved.append(given) or find(given))
    gains = solve([one, other, again, one])
    assert len(solved) == 2 and solved[0] is one and solved[1] is other
    np.testing.assert_array_equal(gains[2], gains[0])
    np.testing.assert_array_equal(gains[0], find(one))
    assert gains[1][5] <= 0.25 < gains[0].max()


def test_what_is_settled_and_what_needs_nothing() -> None:
    one = programme(0)
    low, high = np.zeros(FRAMES), np.ones(FRAMES)
    low[:3] = high[:3] = (0.1, 0.09, 0.08)
    (gain,) = solve([Programme(one.light, one.bounds, low, high)])
    np.testing.assert_array_equal(gain[:3], low[:3])
    calm = Programme(np.full((FRAMES, CELLS), 0.4), one.bounds, np.zeros(FRAMES), np.ones(FRAMES))
    np.testing.assert_array_equal(solve([calm])[0], 1)
    single = Programme(np.ones((1, 2)), (np.zeros((0, 2)),), np.zeros(1), np.ones(1))
    np.testing.assert_array_equal(solve([single])[0], 1)


def test_bounds_that_cannot_all_be_kept_are_kept_as_well_as_can_be() -> None:
    """Full light is settled just before a dark frame: no gain afterwards makes the step small."""
    one = programme(1)
    light = one.light.copy()
    light[2], light[3] = 1, 0
    low, high = np.zeros(FRAMES), np.ones(FRAMES)
    low[:3] = 1
    (gain,) = solve([Programme(light, one.bounds, low, high)])
    assert np.isfinite(gain).all() and (gain[:3] == 1).all() and (gain >= 0).all() and (gain <= 1).all()
    limit = np.concatenate([bound.ravel() for bound in one.bounds])
    settled = Programme(light, one.bounds, low, high)
    dark = np.where(low == 1, 1, 0.05)
    beyond = [np.square(np.maximum(np.abs(steps(settled, some)) - limit, 0)).sum() for some in (gain, dark)]
    assert beyond[0] < beyond[1] + 0.03  # no further than if all light went out, but for what that would cost


def test_the_same_bits_whatever_was_solved_before() -> None:
    first, *others = [solve([programme(seed)])[0] for seed in range(3)]
    assert len(others) == 2
    np.testing.assert_array_equal(solve([programme(0)])[0], first)
