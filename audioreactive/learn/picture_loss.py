"""How far two pictures are apart, for the eye: at several sizes, and by fixed features that nobody trained.

The features are those of a small convolutional network whose first layer is a bank of Gabor filters (edges of several
directions, in light, and blobs in colour) and whose others are random and orthogonal, from a named seed. Random
features with contrast normalisation rank distortions much like trained ones, and nothing has to be downloaded.

Conventions: pictures are (B, 3, h, w) float32 RGB in [-1, 1]; distances are (B,).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive._support.streams import named_stream

if TYPE_CHECKING:
    import torch

ORIENTATIONS: Final = 4
"""Directions of edges in the first layer."""
WIDTHS: Final = (32, 48)
"""Channels of the random layers."""
SMALLEST: Final = 8
"""Side of the smallest picture that is compared."""
LARGEST_SEEN: Final = 256
"""Side from which on pictures are halved before features are taken."""
SCALES: Final = 3
"""Sizes at which features are compared, each half of the one before."""
OPPONENT: Final = ((0.2126, 0.7152, 0.0722), (0.5, -0.5, 0.0), (0.25, 0.25, -0.5))
"""Light, red against green, and yellow against blue, as weights of RGB."""


class Features:
    """Fixed features of pictures; another name gives others, for a measurement that nothing was fitted to."""

    def __init__(self, name: str, device: torch.device) -> None:
        """Draw the random layers from a named stream."""
        import torch

        draw = named_stream(f"audioreactive picture features {name}")
        self._colours = torch.tensor(OPPONENT, device=device)[:, :, None, None]
        self._bank = torch.from_numpy(_gabor_bank()).to(device)
        channels, layers = 2 * len(self._bank), []
        for width in WIDTHS:
            rows = np.linalg.qr(draw.standard_normal((9 * channels, width)))[0].T
            kernel = rows.reshape(width, channels, 3, 3) * math.sqrt(2)
            layers.append(torch.from_numpy(kernel.astype(np.float32)).to(device))
            channels = width
        self._layers = layers

    def __call__(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        """Compute features (B, C, h, w) of each layer, each place scaled to length 1."""
        import torch
        import torch.nn.functional as F

        x = F.conv2d(pictures, self._colours)
        pad = self._bank.shape[-1] // 2
        x = F.conv2d(F.pad(x, (pad,) * 4, mode="replicate"), self._bank)
        x = torch.cat([x.relu(), (-x).relu()], 1)
        found = [_scaled(x)]
        for layer in self._layers:
            if min(x.shape[2:]) < 4:
                break
            x = F.conv2d(F.pad(F.avg_pool2d(x, 2), (1,) * 4, mode="replicate"), layer).relu()
            found.append(_scaled(x))
        return found


def _gabor_bank() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Filters (10, 3, 7, 7): edges and lines in light, blobs in both colours; each of mean 0 and length 1."""
    y, x = np.mgrid[-3:4, -3:4].astype(np.float64)
    window = np.exp(-(x**2 + y**2) / (2 * 1.5**2))
    bank = []
    for at in range(ORIENTATIONS):
        angle = math.pi * at / ORIENTATIONS
        along = (x * math.cos(angle) + y * math.sin(angle)) * 2 * math.pi / 5
        bank += [(0, np.cos(along) * window), (0, np.sin(along) * window)]
    blob = np.exp(-(x**2 + y**2) / 2)
    bank += [(1, blob), (2, blob)]
    filters = np.zeros((len(bank), 3, 7, 7))
    for row, (channel, values) in zip(filters, bank, strict=True):
        values = values - (values.mean() if channel == 0 else 0)
        row[channel] = values / np.linalg.norm(values)
    return filters.astype(np.float32)


def _scaled(x: torch.Tensor) -> torch.Tensor:
    """Scale each place of x (B, C, h, w) to length 1, where there is more than faint noise."""
    return x / (x.square().sum(1, keepdim=True) + 1e-3).sqrt()


class PictureLoss:
    """Distance of pictures to one target."""

    def __init__(self, target: torch.Tensor, name: str = "fit") -> None:
        """Prepare a target (1, 3, h, w); `name` chooses the features."""
        self._features = Features(name, target.device)
        self._pyramid = _pyramid(target)
        self._seen = [self._features(size) for size in self._sizes(self._pyramid)]

    def __call__(self, pictures: torch.Tensor) -> torch.Tensor:
        """Compute the distance of pictures (B, 3, h, w): of light and colour at all sizes, and of features."""
        pyramid = _pyramid(pictures)
        near = [(a - b).square().add(1e-4).sqrt().mean((1, 2, 3)) for a, b in zip(pyramid, self._pyramid, strict=True)]
        return sum(near[1:], near[0]) / len(near) + self.perceptual(pictures)

    def perceptual(self, pictures: torch.Tensor) -> torch.Tensor:
        """Compute the distance of features alone, which stands in for LPIPS."""
        import torch

        parts = [
            (a - b).square().sum(1).mean((1, 2))
            for size, seen in zip(self._sizes(_pyramid(pictures)), self._seen, strict=True)
            for a, b in zip(self._features(size), seen, strict=True)
        ]
        return torch.stack(parts).mean(0)

    @staticmethod
    def _sizes(pyramid: list[torch.Tensor]) -> list[torch.Tensor]:
        fitting = [size for size in pyramid if min(size.shape[2:]) <= LARGEST_SEEN]
        return (fitting or pyramid[-1:])[:SCALES]


def _pyramid(pictures: torch.Tensor) -> list[torch.Tensor]:
    """List pictures in their own size and in halves of it, down to `SMALLEST`."""
    import torch.nn.functional as F

    found = [pictures]
    while min(found[-1].shape[2:]) >= 2 * SMALLEST:
        found.append(F.avg_pool2d(found[-1], 2))
    return found


def psnr(first: torch.Tensor, second: torch.Tensor) -> float:
    """Compute the peak signal-to-noise ratio in decibels of two pictures in [-1, 1]."""
    error = float((first.clamp(-1, 1) - second.clamp(-1, 1)).square().mean())
    return 10 * math.log10(4 / max(error, 1e-12))
