"""Convolutions that all implementations share.

On a GPU cuDNN does them: by the algorithm that its rules name for a shape rather than by a race (the winner would vary
from run to run, and the last bits of the pictures with it), without atomic sums, and in float32 where float32 was asked
for, not in TensorFloat-32. PyTorch's switches for that belong to the process; its own operator takes them as arguments.
"""

import torch
from torch import Tensor

RACE = False
"""Whether cuDNN chooses algorithms by a race; only benchmarks set it."""


def conv2d(x: Tensor, weight: Tensor, padding: tuple[int, int] | None = None, groups: int = 1) -> Tensor:
    """A convolution: x (B, I, h, w), weight (O, I / groups, k, k) -> (B, O, h', w').

    Without a padding it keeps the size, for an odd k.
    """
    padding = padding or (weight.shape[-2] // 2, weight.shape[-1] // 2)
    return _convolution(x, weight, 1, padding, groups, transposed=False)


def conv_transpose2d(x: Tensor, weight: Tensor, padding: int = 0, groups: int = 1) -> Tensor:
    """A transposed convolution of stride 2: x (B, I, h, w), weight (I, O / groups, k, k) -> (B, O, h', w').

    h' is 2h + k - 2 less twice the padding, and w' likewise.
    """
    return _convolution(x, weight, 2, (padding, padding), groups, transposed=True)


def _convolution(
    x: Tensor, weight: Tensor, stride: int, padding: tuple[int, int], groups: int, *, transposed: bool
) -> Tensor:
    y: Tensor = torch.ops.aten._convolution.default(
        x,
        weight,
        None,  # bias
        [stride, stride],
        list(padding),
        [1, 1],  # dilation
        transposed,
        [0, 0],  # more rows and columns of output
        groups,
        RACE,
        True,  # deterministic
        True,  # cuDNN
        False,  # TensorFloat-32
    )
    return y
