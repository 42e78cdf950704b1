"""The operations of `ops` on an NVIDIA GPU: cuDNN convolves on the tensor cores, one kernel does all that follows.

What a layer moves through memory, for n bytes of output: the convolution writes n, the kernel reads n and writes n; a
convolution that keeps the size reads n besides, one that doubles it n / 2 (twice the channels, a quarter as many
pixels). That is the least that can be done without a convolution of our own; unfused, each of six steps reads and
writes n. The sums for every layer are in docs/lab/kernels.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from stylegan_ops import cuda_kernels, kernels
from stylegan_ops.convolution import conv2d, conv_transpose2d

if TYPE_CHECKING:
    from torch import Tensor

    from stylegan_ops.fused import Finish, Paint
    from stylegan_ops.memory import Workspace


def styled_conv2d(
    x: Tensor, weight: Tensor, finish: Finish, paint: Paint | None, workspace: Workspace, name: str | None
) -> Tensor | None:
    """As `ops.styled_conv2d`; the result is kept where it has a name."""
    y = _channels_last(conv2d(_channels_last(x), weight))
    kernels.finish(
        y,
        None if name is None else y,
        0,
        y.shape[2],
        *finish.arguments,
        *(kernels.NO_PAINT if paint is None else paint.arguments),
    )
    return None if name is None else y


def styled_conv2d_up(
    x: Tensor, weight: Tensor, taps: Tensor, finish: Finish, workspace: Workspace, name: str
) -> Tensor:
    """As `ops.styled_conv2d_up`."""
    found = _channels_last(conv_transpose2d(_channels_last(x), weight))  # [B, O, 2h + 1, 2w + 1]
    batch, channels, height, width = found.shape
    y = workspace.activations(name, (batch, channels, height - 1, width - 1), x.dtype)
    cuda_kernels.smooth(found, y, taps, *finish.arguments)
    return y


def styled_conv2d_phases(x: Tensor, weight: Tensor, finish: Finish, workspace: Workspace, name: str) -> Tensor:
    """As `ops.styled_conv2d_phases`."""
    found = _channels_last(conv2d(_channels_last(x), weight))  # [B, 4 · O, h, w]
    batch, channels, height, width = found.shape
    y = workspace.activations(name, (batch, channels // 4, 2 * height, 2 * width), x.dtype)
    cuda_kernels.finish_phases(found, y, *finish.arguments)
    return y


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)
