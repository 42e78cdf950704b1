"""What the kernel of a convolution does in the same pass over memory, as values that travel to every implementation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from stylegan_ops import kernels

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Finish:
    """What follows a styled convolution: clamp(leaky_relu(x · scale + noise · noise_gain + bias, 0.2)) · style.

    A gain of the activation goes into scale, noise gain and bias: leaky ReLU is homogeneous.
    """

    scale: Tensor  # [B, C] float32
    bias: Tensor  # [C] float32
    noise: Tensor | None  # [B or 1, 1, h, w] float32
    noise_gain: float
    clamp: float | None
    style: Tensor | None  # [B, C] float32 of the convolution that comes next

    @property
    def arguments(self) -> kernels.FinishArguments:
        """As the kernels take it, one after the other."""
        return self.scale, self.bias, self.noise, self.noise_gain, kernels.unlimited(self.clamp), self.style

    def sample(self, index: int) -> Finish:
        """The same for one sample of the batch."""
        noise, style, part = self.noise, self.style, slice(index, index + 1)
        return replace(
            self,
            scale=self.scale[part],
            noise=noise if noise is None or len(noise) == 1 else noise[part],
            style=None if style is None else style[part],
        )


@dataclass(frozen=True)
class Paint:
    """How a block paints: clamp(brush · x + bias), on top of the picture of the block before, doubled."""

    brush: Tensor  # [B, 3, C] float32: a 1 × 1 convolution times its style, not demodulated
    bias: Tensor  # [3] float32
    clamp: float | None
    skip: Tensor | None  # [B, 3, h / 2, w / 2] float32
    taps: Tensor  # [4]
    image: Tensor  # [B, 3, h, w] float32, written

    @property
    def arguments(self) -> kernels.PaintArguments:
        """As the kernels take it, one after the other."""
        return self.brush, self.bias, kernels.unlimited(self.clamp), self.skip, self.taps, self.image

    def sample(self, index: int) -> Paint:
        """The same for one sample of the batch."""
        part = slice(index, index + 1)
        skip = None if self.skip is None else self.skip[part]
        return replace(self, brush=self.brush[part], skip=skip, image=self.image[part])
