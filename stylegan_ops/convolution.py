"""Dense convolutions, as every implementation computes them.

On a GPU cuDNN does them: by the algorithm that its rules name for a shape rather than by a race (the winner would vary
from run to run, and the last bits of the pictures with it), without atomic sums, and in float32 where float32 was asked
for, not in TensorFloat-32. PyTorch's switches for that belong to the process; its own operator takes them as arguments.
"""

import torch
from torch import Tensor


def conv2d(x: Tensor, weight: Tensor, padding: tuple[int, int] | None = None) -> Tensor:
    """A convolution: x (B, I, h, w), weight (O, I, k, k) -> (B, O, h', w'); by default h and w, for an odd k."""
    return _convolution(x, weight, padding or (weight.shape[-2] // 2, weight.shape[-1] // 2), 1, transposed=False)


def conv_transpose2d(x: Tensor, weight: Tensor) -> Tensor:
    """A transposed convolution of stride 2: x (B, I, h, w), weight (I, O, k, k) -> (B, O, 2h + k - 2, 2w + k - 2)."""
    return _convolution(x, weight, (0, 0), 2, transposed=True)


def _convolution(x: Tensor, weight: Tensor, padding: tuple[int, int], stride: int, *, transposed: bool) -> Tensor:
    y: Tensor = torch.ops.aten._convolution.default(
        x,
        weight,
        None,  # bias
        [stride, stride],
        list(padding),
        [1, 1],  # dilation
        transposed,
        [0, 0],  # more rows and columns of output
        1,  # groups
        False,  # benchmark
        True,  # deterministic
        True,  # cuDNN
        False,  # TensorFloat-32
    )
    return y
