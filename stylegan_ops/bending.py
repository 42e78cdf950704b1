"""Network bending: transforms of activations between the layers of a generator.

Source: Broad, Leymarie, Grierson 2021, "Network Bending: Expressive Manipulation of Deep Generative Models"
(arXiv:2005.12420).

Conventions: activations are (B, C, h, w). Each sample has its own amount, and at its transform's identity it is left
alone, bit for bit. Lengths count in widths of the picture, angles in degrees, counter-clockwise.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Transform = Literal[
    "translate", "rotate", "scale", "flip", "erode", "dilate", "multiply", "threshold", "invert", "ablate"
]

IDENTITY: Final[Mapping[Transform, float]] = {
    "translate": 0.0, "rotate": 0.0, "scale": 0.0, "flip": 0.0, "erode": 0.0, "dilate": 0.0, "multiply": 1.0,
    "threshold": 0.0, "invert": 0.0, "ablate": 0.0,
}  # fmt: skip
"""The amount at which each transform changes nothing."""

MEANING: Final[Mapping[Transform, str]] = {
    "translate": "widths of the picture, in the direction of `angle`",
    "rotate": "degrees, counter-clockwise",
    "scale": "doublings around the middle: 1 is twice as large, -1 half",
    "flip": "share of the mirrored activations, 0 to 1",
    "erode": "radius in widths of the picture in which the smallest value is taken",
    "dilate": "radius in widths of the picture in which the largest value is taken",
    "multiply": "factor",
    "threshold": "values smaller than this many times a channel's root mean square become 0",
    "invert": "share of the values mirrored about their channel's mean, 0 to 1",
    "ablate": "share that is taken away, 0 to 1",
}

LARGEST_RADIUS: Final = 0.1
"""Largest radius of erosion and dilation; their time grows with it."""


@dataclass(frozen=True)
class Bend:
    """One transform at one layer, for a batch."""

    transform: Transform
    amounts: tuple[float, ...]
    """One for each sample."""
    channels: Tensor | None = None
    """Indices of the channels that are transformed; None: all."""
    angle: float = 0.0
    """Direction of a translation in degrees: 0 to the right, 90 upwards."""

    def part(self, samples: slice) -> "Bend":
        """The bend of some samples."""
        return replace(self, amounts=self.amounts[samples])

    def __call__(self, x: Tensor, unit: float) -> Tensor:
        """Transform x (B, C, h, w), channels last, of which `unit` pixels are the width of the picture.

        x is overwritten. Samples at the identity, and channels that are not chosen, stay as they are, bit for bit.
        """
        bent = [at for at, amount in enumerate(self.amounts) if amount != IDENTITY[self.transform]]
        if not bent:
            return x
        if (pointwise := _POINTWISE.get(self.transform)) is not None:
            return pointwise(x, self._table(x))
        channels = None if self.channels is None else self.channels.to(x.device)
        values = x if channels is None else x.index_select(1, channels)
        if len(bent) < len(x):
            values = values[bent]
        amounts = torch.tensor([self.amounts[at] for at in bent], dtype=torch.float32, device=x.device)
        plain = values.to(torch.float32, memory_format=torch.contiguous_format)
        values = _SPATIAL[self.transform](plain, amounts, unit, self.angle).to(x.dtype)
        for at, sample in enumerate(bent):
            if channels is None:
                x[sample] = values[at]
            else:
                x[sample].index_copy_(0, channels, values[at])
        return x

    def _table(self, x: Tensor) -> Tensor:
        """Amounts (B, C, 1, 1) float32 of each sample and channel: the identity where nothing is transformed."""
        amounts = torch.tensor(self.amounts, dtype=torch.float32, device=x.device)[:, None]
        if self.channels is None:
            return amounts.expand(len(x), x.shape[1])[:, :, None, None]
        table = torch.full((len(x), x.shape[1]), IDENTITY[self.transform], device=x.device)
        table[:, self.channels.to(x.device)] = amounts
        return table[:, :, None, None]


Bends = Mapping[int, Sequence[Bend]]
"""Bends by the index of the layer whose result they transform."""

NO_BENDS: Final[Bends] = {}


def part_of(bends: Bends, samples: slice) -> Bends:
    """The bends of some samples of a batch."""
    return {layer: [bend.part(samples) for bend in some] for layer, some in bends.items()} if bends else bends


def idle_left_out(bends: Bends) -> Bends:
    """The bends that change something in a batch: other layers keep their fused pass."""
    found = {
        layer: [bend for bend in some if any(amount != IDENTITY[bend.transform] for amount in bend.amounts)]
        for layer, some in bends.items()
    }
    return {layer: some for layer, some in found.items() if some}


def changed_samples(bends: Sequence[Bend]) -> list[int]:
    """Indices of the samples that some bend changes."""
    return sorted(
        {at for bend in bends for at, amount in enumerate(bend.amounts) if amount != IDENTITY[bend.transform]}
    )


def bent(x: Tensor, bends: Sequence[Bend], unit: float) -> Tensor:
    """Apply bends one after the other; x is overwritten."""
    for bend in bends:
        x = bend(x, unit)
    return x


# Transforms in space: values (b, c, h, w) float32, amounts (b,), pixels in a width of the picture, angle.


def _moved(values: Tensor, matrix: Tensor) -> Tensor:
    """Values at the places that matrices (b, 2, 3) give in pixels around the middle; beyond the edge it is mirrored."""
    _, _, height, width = values.shape
    y = torch.arange(height, device=values.device, dtype=torch.float32) - (height - 1) / 2
    x = torch.arange(width, device=values.device, dtype=torch.float32) - (width - 1) / 2
    grid = torch.stack([x.expand(height, width), y[:, None].expand(height, width), torch.ones(height, width).to(x)], -1)
    places = torch.einsum("bij,hwj->bhwi", matrix, grid)
    size = torch.tensor([width / 2, height / 2], device=values.device)
    return F.grid_sample(values.float(), places / size, padding_mode="reflection", align_corners=False)


def _translated(values: Tensor, amounts: Tensor, unit: float, angle: float) -> Tensor:
    radians = math.radians(angle)
    matrix = torch.zeros(len(amounts), 2, 3, device=values.device)
    matrix[:, 0, 0] = matrix[:, 1, 1] = 1
    matrix[:, 0, 2] = -amounts * unit * math.cos(radians)
    matrix[:, 1, 2] = amounts * unit * math.sin(radians)
    return _moved(values, matrix)


def _rotated(values: Tensor, amounts: Tensor, unit: float, angle: float) -> Tensor:
    cos, sin = torch.deg2rad(amounts).cos(), torch.deg2rad(amounts).sin()
    zero = torch.zeros_like(cos)
    return _moved(values, torch.stack([cos, -sin, zero, sin, cos, zero], 1).view(-1, 2, 3))


def _scaled(values: Tensor, amounts: Tensor, unit: float, angle: float) -> Tensor:
    factor = torch.exp2(-amounts)
    zero = torch.zeros_like(factor)
    return _moved(values, torch.stack([factor, zero, zero, zero, factor, zero], 1).view(-1, 2, 3))


def _dilated(values: Tensor, amounts: Tensor, unit: float, angle: float) -> Tensor:
    """The largest value around each place; radii between whole pixels are blends of the two next to them."""
    radii = (amounts.clamp(0, LARGEST_RADIUS) * unit).tolist()
    if len(set(radii)) == 1:
        return _dilated_by(values, radii[0])
    return torch.cat([_dilated_by(values[at : at + 1], radius) for at, radius in enumerate(radii)])


def _dilated_by(values: Tensor, radius: float) -> Tensor:
    whole = math.floor(radius)
    small = _largest_within(values, whole)
    return small if radius == whole else torch.lerp(small, _largest_within(small, 1), radius - whole)


def _largest_within(values: Tensor, radius: int) -> Tensor:
    """The largest value of each square of 2 · radius + 1 pixels, first along rows, then along columns."""
    if not radius:
        return values
    for axis in (3, 2):
        window = 2 * radius + 1
        pad = (radius, radius, 0, 0) if axis == 3 else (0, 0, radius, radius)
        runs, length = F.pad(values, pad, value=-math.inf), 1
        while 2 * length <= window:  # the largest of two runs side by side is that of one twice as long
            runs = torch.maximum(
                runs.narrow(axis, 0, runs.shape[axis] - length), runs.narrow(axis, length, runs.shape[axis] - length)
            )
            length *= 2
        count = values.shape[axis]
        values = torch.maximum(runs.narrow(axis, 0, count), runs.narrow(axis, window - length, count))
    return values


def _eroded(values: Tensor, amounts: Tensor, unit: float, angle: float) -> Tensor:
    return _dilated(values.neg(), amounts, unit, angle).neg_()


_SPATIAL: Mapping[Transform, Callable[[Tensor, Tensor, float, float], Tensor]] = {
    "translate": _translated,
    "rotate": _rotated,
    "scale": _scaled,
    "erode": _eroded,
    "dilate": _dilated,
}


# Transforms place by place: x (B, C, h, w), which is overwritten, and amounts (B, C, 1, 1) float32.


def _flipped(x: Tensor, amounts: Tensor) -> Tensor:
    if x.dtype == torch.float32:
        return x.lerp_(x.flip(-1), amounts)
    return x.copy_(torch.lerp(x.float(), x.flip(-1).float(), amounts))


def _multiplied(x: Tensor, amounts: Tensor) -> Tensor:
    return x.mul_(amounts.to(x.dtype))


def _ablated(x: Tensor, amounts: Tensor) -> Tensor:
    return x.mul_((1 - amounts).to(x.dtype))


def _thresholded(x: Tensor, amounts: Tensor) -> Tensor:
    size = torch.linalg.vector_norm(x, dim=(2, 3), keepdim=True, dtype=torch.float32)
    return x.masked_fill_(x.abs() < size * (amounts / math.sqrt(x.shape[2] * x.shape[3])), 0)


def _inverted(x: Tensor, amounts: Tensor) -> Tensor:
    middle = x.mean((2, 3), keepdim=True, dtype=torch.float32)
    return x.mul_((1 - 2 * amounts).to(x.dtype)).add_((2 * amounts * middle).to(x.dtype))


_POINTWISE: Mapping[Transform, Callable[[Tensor, Tensor], Tensor]] = {
    "flip": _flipped,
    "multiply": _multiplied,
    "threshold": _thresholded,
    "invert": _inverted,
    "ablate": _ablated,
}


# Which channels.


def random_channels(count: int, share: float, seed: int, name: str) -> Tensor:
    """Indices of a random share of channels, at least one, the same on every machine.

    Args:
        count: number of channels of the layer.
        share: share of them, above 0 and at most 1.
        seed: seed of the choice.
        name: name of the layer, so that each chooses on its own.
    """
    import zlib

    draw = np.random.RandomState([seed & 0xFFFFFFFF, zlib.crc32(name.encode())])
    chosen = draw.permutation(count)[: max(1, round(share * count))]
    return torch.from_numpy(np.sort(chosen))


def clustered_channels(maps: Tensor, clusters: int, seed: int = 0) -> Tensor:
    """The cluster of each channel (C,), by k-means on where in pictures it is active.

    Args:
        maps: (S, C, h, w) activations of S samples.
        clusters: number of clusters; at most one for each channel is made.
        seed: seed of the starting point.

    Returns:
        Numbers from 0 on, ordered by the size of the clusters, largest first.
    """
    from scipy.cluster.vq import kmeans2

    channels = maps.shape[1]
    small = F.adaptive_avg_pool2d(maps.float(), (min(8, maps.shape[2]), min(8, maps.shape[3])))
    rows = small.permute(1, 0, 2, 3).reshape(channels, -1)
    rows = rows - rows.mean(1, keepdim=True)
    rows = rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-12)
    data = rows.cpu().double().numpy()
    _, labels = kmeans2(data, min(clusters, channels), minit="++", seed=np.random.RandomState(seed), missing="warn")
    sizes = np.bincount(labels, minlength=clusters)
    order = np.argsort(-sizes, kind="stable")
    ranks = np.empty_like(order)
    ranks[order] = np.arange(len(order))
    return torch.from_numpy(ranks[labels])


class Tap(Bend):
    """Bend that changes nothing and keeps what it sees."""

    def __init__(self, samples: int) -> None:
        super().__init__("ablate", (math.nan,) * samples)
        object.__setattr__(self, "seen", [])

    seen: list[Tensor]
    """Activations of parts of the batch, in order."""

    def part(self, samples: slice) -> Bend:
        """Itself: all parts are kept together."""
        return self

    def __call__(self, x: Tensor, unit: float) -> Tensor:
        """Keep a copy of x."""
        self.seen.append(x.float().clone())
        return x
