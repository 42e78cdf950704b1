"""Parameters of the steps that one kernel does after a convolution, in one pass over memory.

Every implementation (plain PyTorch, CPU, GPU) takes the same values.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from stylegan_ops import kernels

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Finish:
    """The steps after a styled convolution: clamp(leaky_relu(x · scale + noise · noise_gain + bias, 0.2)) · style.

    The activation's gain is already multiplied into scale, noise gain and bias; leaky ReLU allows that because
    leaky_relu(g · x) = g · leaky_relu(x) for g > 0.
    """

    scale: Tensor  # [B, C] float32
    bias: Tensor  # [C] float32
    noise: Tensor | None  # [B or 1, 1, h, w] float32
    noise_gain: float
    clamp: float | None
    style: Tensor | None  # [B, C] float32, style of the next convolution

    @property
    def arguments(self) -> kernels.FinishArguments:
        """The values in the order in which the kernels take them."""
        return self.scale, self.bias, self.noise, self.noise_gain, kernels.unlimited(self.clamp), self.style

    def sample(self, index: int) -> Finish:
        """The parameters of one sample of the batch."""
        noise, style, part = self.noise, self.style, slice(index, index + 1)
        return replace(
            self,
            scale=self.scale[part],
            noise=noise if noise is None or len(noise) == 1 else noise[part],
            style=None if style is None else style[part],
        )


@dataclass(frozen=True)
class ToRGB:
    """The toRGB step of a block: clamp(weight · x + bias), added to the upsampled picture of the previous block."""

    weight: Tensor  # [B, 3, C] float32: a 1 × 1 convolution times its style, not demodulated
    bias: Tensor  # [3] float32
    clamp: float | None
    skip: Tensor | None  # [B, 3, h / 2, w / 2] float32, picture of the previous block
    taps: Tensor  # [4], upsampling filter for `skip`
    image: Tensor  # [B, 3, h, w] float32, the result is written here

    @property
    def arguments(self) -> kernels.ToRGBArguments:
        """The values in the order in which the kernels take them."""
        return self.weight, self.bias, kernels.unlimited(self.clamp), self.skip, self.taps, self.image

    def sample(self, index: int) -> ToRGB:
        """The parameters of one sample of the batch."""
        part = slice(index, index + 1)
        skip = None if self.skip is None else self.skip[part]
        return replace(self, weight=self.weight[part], skip=skip, image=self.image[part])
