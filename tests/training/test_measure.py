"""The measurements, on pictures whose figures are known."""

from __future__ import annotations

import pytest
import torch

from audioreactive.learn.research.frechet import fixed_features as features
from audioreactive.learn.research.frechet import frechet
from stylegan_ops import Generator
from training.measure import measure, share
from training.pictures import Z_DIM


def test_frechet_distance_of_known_normals() -> None:
    random = torch.Generator().manual_seed(1)
    a = torch.randn(4000, 3, generator=random)
    assert frechet(a, a) == pytest.approx(0, abs=1e-6)
    # Means 2 apart, and standard deviations of 1 and 3 along one axis: 4 + (3 - 1)².
    b = torch.randn(4000, 3, generator=random) * torch.tensor([3.0, 1.0, 1.0]) + torch.tensor([0.0, 2.0, 0.0])
    assert frechet(a, b) == pytest.approx(8, rel=0.08)


def test_shares_tell_scales_and_colour_apart() -> None:
    before = 0.2 * torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    checks = torch.zeros(2, 1, 64, 64)
    checks[..., ::2, ::2] = 0.2
    fine = share(before, before + checks - checks.mean())
    assert fine.fine > 0.95 and fine.colour < 0.01
    slope = torch.linspace(-0.5, 0.5, 64).expand(2, 1, 64, 64)
    coarse = share(before, before + slope)
    assert coarse.coarse > 0.8 and coarse.change == pytest.approx(0.25 * 127.5, rel=0.05)
    hue = share(before, before + torch.tensor([0.2, -0.2, 0.0]).view(1, 3, 1, 1))
    assert hue.colour > 0.99 and hue.kept > 0.99
    assert share(before, -before).kept < -0.99
    for figures in (fine, coarse, hue):
        assert figures.fine + figures.medium + figures.coarse == pytest.approx(1)


def test_features_see_colour_scale_and_direction() -> None:
    stripes = torch.zeros(1, 3, 128, 128)
    stripes[..., ::2] = 1
    described = features(torch.cat([stripes, stripes.transpose(2, 3), 0 * stripes, -stripes]))
    assert described.shape == (4, features(stripes).shape[1])
    assert torch.isfinite(described).all()
    for one in range(4):
        for other in range(one):
            assert (described[one] - described[other]).norm() > 0.5


def test_a_model_without_training_is_told_from_the_pictures() -> None:
    generator, other = (
        Generator.random(img_resolution=64, channel_base=512, channel_max=32, z_dim=Z_DIM, w_dim=32, seed=seed)
        for seed in (0, 1)
    )
    figures = measure(generator, other, truncation=1.0, count=160)
    assert figures.frechet > 3 * figures.frechet_floor
    assert set(figures.shares) == {"coarse", "middle", "fine", "noise"}
    assert figures.largest_step >= 1
    assert figures.as_json()["shares"]["noise"]["fine"] > 0
