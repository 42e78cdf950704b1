"""The operations of `ops` on an NVIDIA GPU: cuDNN convolves on the tensor cores; one kernel does the other steps.

Memory traffic of a layer with n bytes of output: the convolution writes n, the kernel reads n and writes n. In
addition, a convolution that keeps the size reads n, and one that doubles it n / 2 (twice the channels, a quarter of the
pixels). Less is not possible without a convolution of our own; without fusion each of six steps reads and writes n.
docs/lab/kernels.md has the sums for every layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from stylegan_ops import cuda_kernels, kernels
from stylegan_ops.convolution import conv2d, conv_transpose2d

if TYPE_CHECKING:
    from torch import Tensor

    from stylegan_ops.fused import Finish, ToRGB
    from stylegan_ops.memory import Workspace


def styled_conv2d(
    x: Tensor, weight: Tensor, finish: Finish, rgb: ToRGB | None, workspace: Workspace, name: str | None
) -> Tensor | None:
    """`ops.styled_conv2d` on a GPU; without a name the activations are not kept."""
    y = _channels_last(conv2d(_channels_last(x), weight))
    kernels.finish(
        y,
        None if name is None else y,
        0,
        y.shape[2],
        *finish.arguments,
        *(kernels.NO_RGB if rgb is None else rgb.arguments),
    )
    return None if name is None else y


def styled_conv2d_up(
    x: Tensor, weight: Tensor, taps: Tensor, finish: Finish, workspace: Workspace, name: str
) -> Tensor:
    """`ops.styled_conv2d_up` on a GPU."""
    found = _channels_last(conv_transpose2d(_channels_last(x), weight))  # [B, O, 2h + 1, 2w + 1]
    batch, channels, height, width = found.shape
    y = workspace.activations(name, (batch, channels, height - 1, width - 1), x.dtype)
    cuda_kernels.smooth(found, y, taps, *finish.arguments)
    return y


def styled_conv2d_phases(x: Tensor, weight: Tensor, finish: Finish, workspace: Workspace, name: str) -> Tensor:
    """`ops.styled_conv2d_phases` on a GPU."""
    found = _channels_last(conv2d(_channels_last(x), weight))  # [B, 4 · O, h, w]
    batch, channels, height, width = found.shape
    y = workspace.activations(name, (batch, channels // 4, 2 * height, 2 * width), x.dtype)
    cuda_kernels.finish_phases(found, y, *finish.arguments)
    return y


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)
