"""The operations of StyleGAN2's synthesis, each a public function with one line of dispatch to an implementation.

Conventions: activations are (B, C, H, W), in whatever memory layout is fast (channels-last here); a `style` or
`scale` is (B, C). Convolutions are dense: instead of a filter for each sample of a batch (a grouped convolution), the
input is multiplied by the style and the output by the demodulation, and all samples share one filter. By linearity
that is the same (Karras et al. 2020, arXiv:1912.04958, section 2.2 and equations 1-3), and it is one large matrix
product instead of many small ones.

Sources: up-sampling as in Karras et al. 2018 (arXiv:1812.04948, section 2) with the filter of Zhang 2019
(arXiv:1904.11486).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class OpStatus:
    """Which implementation of an operation runs, and why: for `doctor`."""

    op: str
    implementation: str
    reason: str


def op_status() -> list[OpStatus]:
    """What each public operation of this module runs on."""
    reason = "plain PyTorch; this version has no compiled kernels"
    return [OpStatus(op, "reference", reason) for op in ("conv2d", "conv2d_up", "activate_", "to_rgb", "upsample2d")]


def conv2d(x: Tensor, weight: Tensor) -> Tensor:
    """A convolution that keeps the size: x (B, I, h, w), weight (O, I, k, k) with k odd -> (B, O, h, w)."""
    return _conv2d_ref(x, weight)


def conv2d_up(x: Tensor, weight: Tensor, taps: Tensor) -> Tensor:
    """A transposed convolution of stride 2, then the resampling filter with a gain of 4.

    x (B, I, h, w), weight (I, O, 3, 3) as `conv_transpose2d` takes it, taps (O, 1, 4, 4) the filter times its gain
    -> (B, O, 2h, 2w).
    """
    return _conv2d_up_ref(x, weight, taps)


def activate_(x: Tensor, scale: Tensor, noise: Tensor | None, bias: Tensor, clamp: float | None) -> Tensor:
    """clamp(leaky_relu(x · scale + noise + bias, 0.2)), in place.

    x (B, C, h, w), scale (B, C), noise (B or 1, 1, h, w), bias (C,). A gain of the activation goes into scale, noise
    and bias: leaky ReLU is homogeneous.
    """
    return _activate_ref_(x, scale, noise, bias, clamp)


def to_rgb(x: Tensor, weight: Tensor, style: Tensor, bias: Tensor, clamp: float | None) -> Tensor:
    """A modulated 1 × 1 convolution to colours, not demodulated: x (B, C, h, w) -> (B, 3, h, w) float32.

    weight (3, C), style (B, C), bias (3,).
    """
    return _to_rgb_ref(x, weight, style, bias, clamp)


def upsample2d(x: Tensor, taps: Tensor) -> Tensor:
    """Doubles a picture: zeros between the pixels, then the filter; (B, C, h, w) -> (B, C, 2h, 2w).

    taps (C, 1, 4, 4), the filter times its gain of 4.
    """
    return _upsample2d_ref(x, taps)


def _conv2d_ref(x: Tensor, weight: Tensor) -> Tensor:
    return F.conv2d(x, weight, padding=weight.shape[-1] // 2)


def _conv2d_up_ref(x: Tensor, weight: Tensor, taps: Tensor) -> Tensor:
    # Measured on two cores (Zen 4, channels-last): 1.9 times as fast as the transposed convolution in rows of planes,
    # 1.6 times as fast as four small convolutions, one for each phase, 2.9 times as fast as one with the filter
    # multiplied in. A depthwise filter in one pass takes half the time of two separable passes.
    x = F.conv_transpose2d(x, weight, stride=2)  # [B, O, 2h+1, 2w+1]
    return F.conv2d(x, taps, padding=1, groups=taps.shape[0])


def _activate_ref_(x: Tensor, scale: Tensor, noise: Tensor | None, bias: Tensor, clamp: float | None) -> Tensor:
    torch.addcmul(bias.view(1, -1, 1, 1), x, scale[:, :, None, None], out=x)
    if noise is not None:
        x.add_(noise)
    F.leaky_relu_(x, 0.2)
    return x if clamp is None else x.clamp_(-clamp, clamp)


def _to_rgb_ref(x: Tensor, weight: Tensor, style: Tensor, bias: Tensor, clamp: float | None) -> Tensor:
    batch, _, height, width = x.shape
    filters = (weight * style[:, None]).to(x.dtype)  # [B, 3, C]
    pixels = x.permute(0, 2, 3, 1).reshape(batch, height * width, -1)  # [B, hw, C], a view of a channels-last x
    image = torch.bmm(filters, pixels.transpose(1, 2)).view(batch, 3, height, width).float()
    image += bias.view(1, 3, 1, 1)
    return image if clamp is None else image.clamp_(-clamp, clamp)


def _upsample2d_ref(x: Tensor, taps: Tensor) -> Tensor:
    return F.conv_transpose2d(x, taps, stride=2, padding=1, groups=taps.shape[0])
