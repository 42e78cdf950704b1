"""The Fréchet distance: known values, and a ResNet-50 in the layout of the published weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from audioreactive.errors import ScoreError
from audioreactive.learn.research.frechet import ResNet50, fixed_features, frechet, load_swav

if TYPE_CHECKING:
    from pathlib import Path


def test_known_distances() -> None:
    """Of normal distributions: |m1 - m2|² + sum of (s1 - s2)² where both are axis-parallel."""
    x = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0))
    x = (x - x.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T))).T
    assert frechet(x, x) == pytest.approx(0, abs=1e-4)
    assert frechet(x, x + torch.tensor([3.0, 0, 4])) == pytest.approx(25, abs=1e-3)
    assert frechet(x, x * torch.tensor([2.0, 1, 3])) == pytest.approx(1 + 4, abs=1e-2)


def test_fewer_pictures_than_features() -> None:
    """Where covariances lack rank, against the singular values of the samples themselves."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(12, 40, dtype=torch.float64, generator=generator) * scale for scale in (1.0, 3.0))
    centred = [(x - x.mean(0)) / 11**0.5 for x in (a, b)]
    together = torch.linalg.svdvals(centred[0] @ centred[1].T).sum()
    expected = (a.mean(0) - b.mean(0)).square().sum() + sum(x.square().sum() for x in centred) - 2 * together
    assert frechet(a, b) == pytest.approx(float(expected), rel=1e-6)
    assert frechet(a, a) == pytest.approx(0, abs=1e-6)


def test_fixed_features_tell_pictures_apart() -> None:
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(240, 3, 32, 32, generator=generator) * 2 - 1
    flat = noise[:120] * 0.2 + torch.rand(120, 3, 1, 1, generator=generator) - 0.5
    assert fixed_features(noise).shape == (240, 89)
    assert torch.isfinite(fixed_features(torch.zeros(2, 3, 32, 32))).all()
    same = frechet(fixed_features(noise[:120]), fixed_features(noise[120:]))
    assert frechet(fixed_features(noise), fixed_features(flat)) > 10 * same


def test_swav_weights_in_their_published_layout(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = ResNet50()
    assert sum(p.numel() for p in network.parameters()) == 23_508_032  # a ResNet-50 without its last layer
    state = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    state["module.prototypes.weight"] = torch.zeros(3, 128)
    path = tmp_path / "swav.pth.tar"
    torch.save(state, path)
    read = load_swav(path)
    images = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(read(images), network.eval()(images))
    del state["module.layer3.2.bn2.weight"]
    torch.save(state, path)
    with pytest.raises(ScoreError, match=r"layer3\.2\.bn2\.weight"):
        load_swav(path)
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(ScoreError, match="cannot be read"):
        load_swav(path)
