"""A generator's response: what it foretells is what is seen, and its gradients are right."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from audioreactive.correlation import VIDEO_FEATURES, watch
from audioreactive.flashes.definition import LIGHT
from audioreactive.learn import response as module
from audioreactive.learn.response import Response, Sample

GROUPS = (slice(0, 2), slice(2, 3))


def pictures_of(states: np.ndarray) -> np.ndarray:
    """Stripes whose brightness, hue and place three numbers move: (n, 24, 32, 3)."""
    x = np.arange(32) / 32
    stripes = 0.5 + 0.3 * np.sin(2 * np.pi * (3 * x[None] + 0.3 * states[:, 2:3]))
    level = 1 / (1 + np.exp(-states[:, :1]))
    hue = 0.5 + 0.4 * np.tanh(states[:, 1:2])
    rows = np.stack([stripes * level, stripes * hue, 1 - stripes * level], 2)
    return np.round(255 * np.repeat(rows[:, None], 24, axis=1).clip(0, 1)).astype(np.uint8)


def walk(frames: int, seed: int) -> np.ndarray:
    """A smooth random walk of three numbers, (frames, 3)."""
    steps = np.random.RandomState(seed).randn(frames + 8, 3)
    smooth = np.stack([np.convolve(column, np.ones(9) / 3, "valid") for column in steps.T], 1)
    return smooth.astype(np.float32)


@pytest.fixture(scope="module")
def response() -> Response:
    states = np.concatenate([walk(400, seed) for seed in range(2)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "STEPS", 500)
        return Response(Sample.measured(states, pictures_of(states)), GROUPS, "test")


def test_what_is_foretold_is_what_is_seen(response: Response) -> None:
    states = walk(300, 9)
    seen = watch(iter(pictures_of(states)))
    foretold = response.features(torch.from_numpy(states)).tables
    assert list(foretold) == list(VIDEO_FEATURES)
    for name in ("visual_variance", "low_rms", "absolute_difference"):
        found = np.corrcoef(foretold[name].numpy()[:, 0], seen[name][:, 0])[0, 1]
        assert found > 0.9, (name, found)
    for name in ("rgb_histogram", "hsv_histogram"):
        # Up to a rotation: the correlation is the nuclear norm of the product.
        own, other = (table - table.mean(0) for table in (foretold[name].numpy(), seen[name]))
        values = np.linalg.svd(own.T @ other, compute_uv=False)
        assert values.sum() / np.linalg.norm(own) / np.linalg.norm(other) > 0.7, name
    change = foretold["absolute_difference"].numpy().mean()
    assert change == pytest.approx(seen["absolute_difference"].mean(), rel=0.25)


def test_a_state_that_rests_changes_nothing(response: Response) -> None:
    made = response.features(torch.zeros(5, 3))
    assert float(made.tables["absolute_difference"].max()) < 1e-5
    assert float(made.bend) < 1e-5
    assert float(made.light.std(0).max()) < 1e-5


def test_gradients_against_finite_differences(response: Response) -> None:
    states = torch.from_numpy(walk(40, 3)).requires_grad_()
    direction = torch.from_numpy(np.random.RandomState(1).randn(40, 3)).float()

    def value(at: torch.Tensor) -> torch.Tensor:
        made = response.features(at)
        return sum((table.square().mean() for table in made.tables.values()), made.bend + made.light.mean())

    (gradient,) = torch.autograd.grad(value(states), states)
    step = 1e-2
    with torch.no_grad():
        ahead, behind = (float(value(states + sign * step * direction)) for sign in (1, -1))
    assert float((gradient * direction).sum()) == pytest.approx((ahead - behind) / (2 * step), rel=0.02)


def test_more_samples_are_learnt_too() -> None:
    """Where nothing was seen before, the response is mended by what is added."""
    states = walk(200, 1)
    far = states + np.float32([4, 0, 0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "STEPS", 200)
        patch.setattr(module, "STEPS_MORE", 200)
        response = Response(Sample.measured(states, pictures_of(states)), GROUPS, "test")
        wanted = watch(iter(pictures_of(far)))["visual_variance"][:, 0]
        errors = []
        for _ in range(2):
            made = response.features(torch.from_numpy(far)).tables["visual_variance"].numpy()[:, 0]
            errors.append(np.abs(made - wanted).mean())
            response.add(Sample.measured(far, pictures_of(far)))
    assert errors[1] < errors[0] / 2


def test_the_cubic_is_close_to_the_decoding_of_srgb() -> None:
    codes, (third, second, first) = np.arange(256) / 255, module.DECODED
    np.testing.assert_allclose(codes * (codes * (third * codes + second) + first), LIGHT, rtol=0, atol=0.002)
