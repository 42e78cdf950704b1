"""Convert a generator's values to 8-bit pixels: RGB, or YUV 4:2:0 for encoders that take it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Layout = Literal["rgb24", "yuv420p"]
"""Memory layout of a frame: rgb24 is (H, W, 3) uint8; yuv420p is (H · W · 3 / 2,) uint8, the planes Y (H, W), U and V
(H / 2, W / 2) one after the other. yuv420p has half the bytes, and the encoder need not convert it."""


def to_pixels(images: torch.Tensor, layout: Layout, *, compiled: bool | None = None) -> torch.Tensor:
    """Convert pictures (B, 3, H, W), nominally in [-1, 1], to uint8 pixels in a layout.

    Args:
        images: the pictures.
        layout: rgb24 gives (B, H, W, 3), yuv420p gives (B, H · W · 3 / 2).
        compiled: whether to use the compiled kernel for YUV; None: if there is one.
    """
    if layout == "rgb24":
        return to_uint8(images)
    from stylegan_ops import choice
    from stylegan_ops.ops import rgb_to_yuv420

    if compiled is None:
        compiled = choice.use_compiled(choice.wanted_implementation(None), images.device, images.dtype)
    return rgb_to_yuv420(images, compiled=compiled)


def to_uint8(images: torch.Tensor) -> torch.Tensor:
    """Convert pictures (B, 3, H, W), nominally in [-1, 1], to (B, H, W, 3) uint8, clamped and rounded to nearest."""
    import torch

    levels = images.float().mul(127.5).add_(127.5).round_().clamp_(0, 255)
    return levels.to(torch.uint8).permute(0, 2, 3, 1).contiguous()
