"""The activation of StyleGAN3: up-sample, leaky ReLU, clamp, down-sample; and what surrounds it, in one pass.

Between the two filters a signal has four to sixteen times as many samples as before and after. The compiled kernel
keeps them in the innermost cache, a strip of columns and a vector of channels at a time, and on a GPU a tile in shared
memory; the plain form makes them whole for a few channels at a time.

Conventions: activations are (B, C, H, W), channels-last. Filters are rows (taps,) or squares (taps, taps) in the order
of a correlation; the filter after up-sampling has its gain in it.

Source: Karras et al. 2021, "Alias-Free Generative Adversarial Networks" (arXiv:2106.12423), section 3.2 and appendix D.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan_ops import selfcheck
from stylegan_ops.kernels import unlimited
from stylegan_ops.memory import Workspace
from stylegan_ops.stylegan3 import cuda_kernels, kernels

GAIN = 2**0.5
"""Gain of leaky ReLU, chosen so that it keeps the variance."""

SLOPE = 0.2
"""Slope of leaky ReLU below zero."""

PLAIN_ELEMENTS = 1 << 24
"""Most numbers between the filters that the plain form makes at once: 64 MiB in float32."""


@dataclass(frozen=True)
class Resampling:
    """What surrounds the activation of one layer."""

    up_filter: Tensor | None  # [taps] float32
    down_filter: Tensor | None  # [taps] or [taps, taps] float32
    up: int
    down: int
    padding: tuple[int, int, int, int]
    """(left, right, top, bottom) after zeros were inserted; negative numbers crop."""
    out_size: tuple[int, int]
    """(width, height)."""
    clamp: float | None
    mirrored: bool = False
    """Whether a square `down_filter` is the same upside down."""
    pays: bool = True
    """Whether the kernel for GPUs is not slower than plain PyTorch."""


def filtered_lrelu(
    x: Tensor,
    scale: Tensor,
    bias: Tensor,
    style: Tensor | None,
    resampling: Resampling,
    workspace: Workspace | None = None,
    name: str = "",
) -> Tensor:
    """Compute style · down(clamp(lrelu(up(x · scale + bias)))), with the gain √2.

    Args:
        x: (B, C, h, w), result of a convolution.
        scale: (B, C) float32, demodulation.
        bias: (C,) float32.
        style: (B, C) float32, style of the next convolution; None: 1.
        resampling: filters, factors and sizes.
        workspace: memory for the compiled kernel; None: the plain form runs.
        name: name of the result in the workspace.

    Returns:
        (B, C, h', w') in x's precision.
    """
    if workspace is None or not _has_kernel(x, resampling):
        return _filtered_lrelu_ref(x, scale, bias, style, resampling)
    return _filtered_lrelu_compiled(x, scale, bias, style, resampling, workspace, name)


def _filtered_lrelu_compiled(
    x: Tensor,
    scale: Tensor,
    bias: Tensor,
    style: Tensor | None,
    resampling: Resampling,
    workspace: Workspace,
    name: str,
) -> Tensor:
    width, height = resampling.out_size
    y = workspace.activations(name, (x.shape[0], x.shape[1], height, width), x.dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    up_filter, down_filter = _kernel_filters(x, resampling)
    left, _, top, _ = resampling.padding
    if _on_gpu(x):
        cuda_kernels.filtered_lrelu(
            x, y, scale, bias, style, up_filter, down_filter, resampling.up, resampling.down, left, top, GAIN, SLOPE,
            unlimited(resampling.clamp),
        )  # fmt: skip
        return y
    kernels.filtered_lrelu(
        x,
        y,
        scale,
        bias,
        style,
        up_filter,
        down_filter,
        up=resampling.up,
        down=resampling.down,
        left=left,
        top=top,
        mirrored=resampling.mirrored,
        gain=GAIN,
        clamp=resampling.clamp,
    )
    return y


def _has_kernel(x: Tensor, resampling: Resampling) -> bool:
    """Whether a kernel can do this, and is right and fast enough on the device."""
    if not _on_gpu(x):
        return selfcheck.trusted("filtered_lrelu", x.device.type, x.device, x.dtype)
    filters, (width, height) = _kernel_filters(x, resampling), resampling.out_size
    return (
        resampling.pays
        and cuda_kernels.fits(x.shape, (height, width), *filters, resampling.up, resampling.down)
        and selfcheck.trusted("filtered_lrelu", "cuda", x.device, x.dtype)
    )


def _kernel_filters(x: Tensor, resampling: Resampling) -> tuple[Tensor, Tensor]:
    """Both filters; a single tap of 1 where there is none."""
    up_filter, down_filter = resampling.up_filter, resampling.down_filter
    return (
        torch.ones(1, device=x.device) if up_filter is None else up_filter,
        torch.ones(1, device=x.device) if down_filter is None else down_filter,
    )


def _on_gpu(x: Tensor) -> bool:
    return x.is_cuda


def _filtered_lrelu_ref(x: Tensor, scale: Tensor, bias: Tensor, style: Tensor | None, resampling: Resampling) -> Tensor:
    batch, channels, height, width = x.shape
    out_width, out_height = resampling.out_size
    fine = max(height * width * resampling.up**2, out_height * out_width * resampling.down**2) * batch
    group = max(1, PLAIN_ELEMENTS // max(fine, 1))
    parts = []
    for first in range(0, channels, group):
        part = slice(first, first + group)
        values = x[:, part] * scale[:, part, None, None].to(x.dtype) + bias[part].view(1, -1, 1, 1).to(x.dtype)
        values = _resampled_lrelu(values, resampling)
        parts.append(values if style is None else values * style[:, part, None, None].to(x.dtype))
    whole = parts[0] if len(parts) == 1 else torch.cat(parts, 1)
    return whole.contiguous(memory_format=torch.channels_last)


def _resampled_lrelu(x: Tensor, resampling: Resampling) -> Tensor:
    if resampling.up > 1:
        batch, channels, height, width = x.shape
        spread = x.new_zeros(batch, channels, height, resampling.up, width, resampling.up)
        spread[:, :, :, 0, :, 0] = x
        x = spread.view(batch, channels, height * resampling.up, width * resampling.up)
    x = _filtered(F.pad(x, resampling.padding), resampling.up_filter, 1)
    x = F.leaky_relu(x, SLOPE) * GAIN
    if resampling.clamp is not None:
        x = x.clamp(-resampling.clamp, resampling.clamp)
    return _filtered(x, resampling.down_filter, resampling.down)


def _filtered(x: Tensor, taps: Tensor | None, step: int) -> Tensor:
    """Every `step`-th sample of x (B, C, h, w) behind a filter."""
    if taps is None:
        return x[:, :, ::step, ::step]
    batch, channels, height, width = x.shape
    taps = taps.to(x.dtype)
    planes = x.reshape(batch * channels, 1, height, width)
    if taps.ndim == 2:
        planes = F.conv2d(planes, taps[None, None], stride=step)
    else:
        planes = F.conv2d(planes, taps.view(1, 1, 1, -1), stride=(1, step))
        planes = F.conv2d(planes, taps.view(1, 1, -1, 1), stride=(step, 1))
    return planes.view(batch, channels, *planes.shape[2:])


_TRIALS = (
    # Height, width, channels, factor up, factor down, whether the filter is a square. The kernels for the published
    # networks, with several tiles and strips, fours of channels and others; and that for any.
    (21, 45, 20, 2, 2, False),
    (13, 30, 19, 4, 2, False),
    (19, 24, 19, 2, 2, True),
    (11, 13, 8, 4, 2, True),
    (7, 9, 5, 1, 1, False),
    (17, 14, 6, 1, 2, True),
)


@selfcheck.compiled("filtered_lrelu", on=("cpu", "cuda"))
def _check_filtered_lrelu(trial: selfcheck.Trial) -> None:
    for at, (height, width, channels, up, down, square) in enumerate(_TRIALS):
        x = trial.normal(1 + at % 2, channels, height, width).to(trial.dtype)
        scale, bias = trial.normal(x.shape[0], channels).abs(), trial.normal(channels)
        style = trial.normal(x.shape[0], channels) if at else None
        rows, columns = (trial.normal(6 * factor).abs() if factor > 1 else None for factor in (up, down))
        up_filter = None if rows is None else up * rows / rows.sum()
        down_filter = None if columns is None else columns / columns.sum()
        if square and down_filter is not None:
            down_filter = torch.outer(down_filter, down_filter.flip(0).cumsum(0))
            down_filter = down_filter / down_filter.sum()
        left, top = 3 * up, up - at % 4  # zeros, or a crop
        cut = _longer(up_filter) + _longer(down_filter)
        size = (width * up + 2 * left - cut - 1) // down + 1, (height * up + 2 * top - cut - 1) // down + 1
        resampling = Resampling(up_filter, down_filter, up, down, (left, left, top, top), size, 2.0 if at else None)
        found = _filtered_lrelu_compiled(x, scale, bias, style, resampling, Workspace(trial.device), "y")
        free = None if style is None else torch.ones_like(style)
        largest = _filtered_lrelu_ref(x.float(), scale, bias, free, resampling)
        trial.compare(found, _filtered_lrelu_ref(x.float(), scale, bias, style, resampling), largest=2 * largest)


def _longer(row: Tensor | None) -> int:
    """Number of samples by which a filter is longer than one."""
    return 0 if row is None else len(row) - 1
