"""How pictures move: optical flow from coarse to fine (Lucas and Kanade 1981), and paths between keys."""

from __future__ import annotations

from typing import Final

import torch
from torch.nn import functional

from audioreactive.codec.grids import enlarged

SMALLEST_SIDE: Final = 12
"""Shorter side in pixels of the smallest picture of a pyramid."""
ROUNDS: Final = 3
"""Times that a flow is bettered on each scale."""
REACH: Final = 4
"""Pixels around one whose slopes decide where it went."""
SMOOTH: Final = 2
"""Pixels around one over whose flow a mean is taken."""
FLAT: Final = 1e-4
"""Squared slope of what counts as flat, and stays where it is."""
LONGEST: Final = 1.5
"""Pixels by which a flow changes at once."""


def flow(pictures: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Find the flow (B, 2, H, W), x and y in pixels, with which pictures(p) are others(p + flow).

    Args:
        pictures, others: (B, C, H, W), of about unit scale.
    """
    scales = [(pictures, others)]
    while min(scales[-1][0].shape[2:]) >= 2 * SMALLEST_SIDE:
        scales.append((_half(scales[-1][0]), _half(scales[-1][1])))
    found = torch.zeros(len(pictures), 2, 1, 1)
    for one, other in reversed(scales):
        found = _scaled(found, one)
        for _ in range(ROUNDS):
            found = _better(found, one, other)
    return found


def moved(pictures: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    """Pictures (B, C, H, W) at p + by, which has (B, 2, H, W) pixels."""
    height, width = pictures.shape[2:]
    x = (2 * (torch.arange(width) + by[:, 0]) + 1) / width - 1
    y = (2 * (torch.arange(height)[:, None] + by[:, 1]) + 1) / height - 1
    where = torch.stack([x, y], -1)
    return functional.grid_sample(pictures, where, mode="bilinear", padding_mode="border", align_corners=False)


def paths(
    before: torch.Tensor, after: torch.Tensor, shares: torch.Tensor, sure: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Fit paths to flows between some pictures and the keys around them, by weighted least squares.

    Args:
        before, after: flow (n, 2, r, k) from each picture to the key before it and the one after it.
        shares: (n,) where the pictures lie between the keys, 0 to 1.
        sure: (n, 1, r, k) how much each flow counts.

    Returns:
        The way v between the keys and the bend b (2, r, k) of `grids.displaced`.
    """
    s = shares.view(-1, 1, 1, 1)
    # before = -s v + s (1 - s) b and after = (1 - s) v + s (1 - s) b; a key counts as it does in the picture.
    one, other, bent = -s, 1 - s, s * (1 - s)
    early, late = (1 - s).square() * sure, s.square() * sure
    vv = (early * one * one + late * other * other).sum(0) + 1e-6
    vb = (early * one * bent + late * other * bent).sum(0)
    bb = ((early + late) * bent * bent).sum(0) + 1e-4
    v = (early * one * before + late * other * after).sum(0)
    b = (early * bent * before + late * bent * after).sum(0)
    det = vv * bb - vb * vb
    return (bb * v - vb * b) / det, (vv * b - vb * v) / det


def blurred(values: torch.Tensor, reach: int) -> torch.Tensor:
    """Mean of (B, C, H, W) over the square of pixels within `reach`."""
    padded = functional.pad(values, (reach, reach, reach, reach), mode="replicate")
    made: torch.Tensor = functional.avg_pool2d(padded, 2 * reach + 1, 1)
    return made


def slopes(pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Central differences (B, C, H, W) in x and y."""
    framed = functional.pad(pictures, (1, 1, 1, 1), mode="replicate")
    return (
        (framed[:, :, 1:-1, 2:] - framed[:, :, 1:-1, :-2]) / 2,
        (framed[:, :, 2:, 1:-1] - framed[:, :, :-2, 1:-1]) / 2,
    )


def _better(found: torch.Tensor, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Move a flow along the slopes, and keep the move where it brings the pictures together."""
    seen = moved(other, found)
    gx, gy = slopes(seen)
    far = one - seen
    products = torch.stack([(a * b).sum(1) for a, b in ((gx, gx), (gx, gy), (gy, gy), (gx, far), (gy, far))], 1)
    xx, xy, yy, x, y = blurred(products, REACH).unbind(1)
    xx, yy = xx + FLAT, yy + FLAT
    det = xx * yy - xy * xy
    step = torch.stack([(yy * x - xy * y) / det, (xx * y - xy * x) / det], 1).clamp(-LONGEST, LONGEST)
    tried = blurred(found + step, SMOOTH)
    was = blurred(far.square().mean(1, keepdim=True), REACH)
    now = blurred((one - moved(other, tried)).square().mean(1, keepdim=True), REACH)
    return torch.where(now < was, tried, found)


def _half(pictures: torch.Tensor) -> torch.Tensor:
    height, width = pictures.shape[2:]
    made: torch.Tensor = functional.interpolate(pictures, (height // 2, width // 2), mode="area")
    return made


def _scaled(found: torch.Tensor, pictures: torch.Tensor) -> torch.Tensor:
    """A flow for pictures of another size."""
    (rows, columns), (height, width) = found.shape[2:], pictures.shape[2:]
    larger = torch.tensor([width / columns, height / rows]).view(1, 2, 1, 1)
    return enlarged(found, (height, width)) * larger
