"""From a generator's values to levels: RGB, or YUV 4:2:0 where the encoder takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Layout = Literal["rgb24", "yuv420p"]
"""How a frame lies in memory: rgb24 is (H, W, 3) uint8; yuv420p is (H · W · 3 / 2,) uint8, the planes Y (H, W), U and V
(H / 2, W / 2) one after the other. Half the bytes, and nothing left to convert."""


def to_pixels(images: torch.Tensor, layout: Layout, *, compiled: bool | None = None) -> torch.Tensor:
    """(B, 3, H, W) nominally in [-1, 1] -> (B, H, W, 3) uint8, or (B, H · W · 3 / 2) uint8 in YUV 4:2:0.

    compiled: whether the compiled kernel packs them; None: where there is one.
    """
    if layout == "rgb24":
        return to_uint8(images)
    from stylegan_ops import choice
    from stylegan_ops.ops import rgb_to_yuv420

    if compiled is None:
        compiled = choice.use_compiled(choice.wanted_implementation(None), images.device, images.dtype)
    return rgb_to_yuv420(images, compiled=compiled)


def to_uint8(images: torch.Tensor) -> torch.Tensor:
    """(B, 3, H, W) nominally in [-1, 1] -> (B, H, W, 3) uint8, clamped, rounded to the nearest level."""
    import torch

    levels = images.float().mul(127.5).add_(127.5).round_().clamp_(0, 255)
    return levels.to(torch.uint8).permute(0, 2, 3, 1).contiguous()
