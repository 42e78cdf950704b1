"""Distance of frames from a model's own pictures: the Fréchet distance of section 5.3.2.

It is computed on SwAV's features if its published weights are at hand (Caron et al. 2020; Morozov, Voynov and Babenko
2021 show why they suit), else on fixed features, which need no weights. The two have different scales, so distances of
one kind cannot be compared with those of the other.

Conventions: images (B, 3, h, w) in [-1, 1]; features (B, F).
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audioreactive.errors import ScoreError

if TYPE_CHECKING:
    from pathlib import Path

SIZE = 128
"""Side in pixels to which pictures are scaled for the fixed features."""
SWAV_SIZE = 224
"""Side in pixels to which pictures are scaled for SwAV's network, as in its training."""
SWAV_MEAN, SWAV_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and deviation of ImageNet's pixels (R, G, B in [0, 1]); the published network was trained on such input."""
STAGES = (3, 4, 6, 3)
"""Number of bottlenecks in each stage of a ResNet-50."""


def fixed_features(images: Tensor) -> Tensor:
    """Describe pictures (B, 3, h, w) in [-1, 1] by 89 numbers each: (B, 89).

    They are a thumbnail of 4 × 4, the mean and spread of lightness and of two colour axes, and for each scale of a
    Laplacian pyramid (Burt and Adelson 1983) the strength, sparsity and direction of details.
    """
    x = F.interpolate(images.clamp(-1, 1), (SIZE, SIZE), mode="area")
    red, green, blue = x.unbind(1)
    x = torch.stack([0.3 * red + 0.59 * green + 0.11 * blue, red - green, 0.5 * (red + green) - blue], 1)
    parts = [F.adaptive_avg_pool2d(x, 4).flatten(1), x.mean((2, 3)), x.std((2, 3))]
    for _ in range(5):
        small = F.avg_pool2d(x, 2)
        band = x - F.interpolate(small, x.shape[2:], mode="bilinear")
        strength = band.std((2, 3)) + 1e-3
        colour = strength[:, 1:].square().sum(1).sqrt()
        sparse = band[:, 0].abs().mean((1, 2)) / strength[:, 0]
        light = x[:, 0]
        edges = torch.stack(
            [
                (light[:, 1:, :] - light[:, :-1, :]).abs().mean((1, 2)),
                (light[:, :, 1:] - light[:, :, :-1]).abs().mean((1, 2)),
                (light[:, 1:, 1:] - light[:, :-1, :-1]).abs().mean((1, 2)),
                (light[:, 1:, :-1] - light[:, :-1, 1:]).abs().mean((1, 2)),
            ],
            1,
        )
        parts += [strength[:, :1].log(), colour.log()[:, None], sparse[:, None], (edges + 1e-3).log()]
        x = small
    return torch.cat(parts, 1)


def frechet(first: Tensor, second: Tensor) -> float:
    """Fréchet distance of two normal distributions fitted to features (Heusel et al. 2017, arXiv:1706.08500, eq. 6)."""
    a, b = first.double(), second.double()
    covariances = torch.cov(a.T), torch.cov(b.T)
    # The trace of (CD)^½ is the sum of the singular values of C^½ D^½, which is stable even with few samples.
    together = torch.linalg.svdvals(_root(covariances[0]) @ _root(covariances[1])).sum()
    spread = covariances[0].trace() + covariances[1].trace() - 2 * together
    return float((a.mean(0) - b.mean(0)).square().sum() + spread)


def _root(covariance: Tensor) -> Tensor:
    """The symmetric square root of a covariance; eigenvalues that rounding made negative count as 0."""
    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = (vectors * values.clamp_min(0).sqrt()) @ vectors.mT
    return root


class _Bottleneck(nn.Module):
    """A residual block (He et al. 2015): convolutions of 1 × 1, 3 × 3 (with the stride) and 1 × 1, and a shortcut."""

    def __init__(self, channels: int, inner: int, stride: int) -> None:
        super().__init__()
        outer = 4 * inner
        self.conv1 = nn.Conv2d(channels, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, outer, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outer)
        past = channels != outer or stride != 1
        self.downsample = (
            nn.Sequential(nn.Conv2d(channels, outer, 1, stride, bias=False), nn.BatchNorm2d(outer)) if past else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, 4 · inner, h / stride, w / stride)."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(y)))))
        joined: Tensor = F.relu(y + (x if self.downsample is None else self.downsample(x)))
        return joined


class ResNet50(nn.Module):
    """A ResNet-50 without its last layer, in the layout of the published SwAV checkpoints."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        channels = 64
        for index, blocks in enumerate(STAGES):
            inner = 64 << index
            layers = []
            for block in range(blocks):
                layers.append(_Bottleneck(channels, inner, 2 if index and block == 0 else 1))
                channels = 4 * inner
            setattr(self, f"layer{index + 1}", nn.Sequential(*layers))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, h, w) in [-1, 1] -> (B, 2048)."""
        x = F.interpolate(images.clamp(-1, 1), (SWAV_SIZE, SWAV_SIZE), mode="bilinear", antialias=True)
        x = ((x + 1) / 2 - x.new_tensor(SWAV_MEAN)[:, None, None]) / x.new_tensor(SWAV_DEVIATION)[:, None, None]
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, padding=1)
        for index in range(len(STAGES)):
            x = getattr(self, f"layer{index + 1}")(x)
        pooled: Tensor = x.mean((2, 3))
        return pooled


def load_swav(path: Path) -> ResNet50:
    """The network of a published SwAV checkpoint (`swav_800ep_pretrain.pth.tar`), ready to describe pictures.

    Raises:
        ScoreError: the file is no such checkpoint. Nothing in it is executed.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError) as error:
        raise ScoreError(f"the SwAV weights {str(path)!r} cannot be read: {str(error).splitlines()[0]}") from None
    state = state.get("state_dict", state) if isinstance(state, dict) else {}
    network = ResNet50()
    wanted = network.state_dict()
    renamed = {str(name).removeprefix("module."): tensor for name, tensor in state.items()}
    for name, tensor in wanted.items():
        found = renamed.get(name)
        if not isinstance(found, Tensor) or found.shape != tensor.shape:
            raise ScoreError(
                f"{str(path)!r} has no tensor {name} of the shape {tuple(tensor.shape)}: these are not the weights of "
                f"SwAV's ResNet-50; fetch swav_800ep_pretrain.pth.tar of facebookresearch/swav"
            )
    network.load_state_dict({name: renamed[name] for name in wanted})
    return network.eval().requires_grad_(False)
