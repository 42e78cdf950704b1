"""The generator protocol: from noise vectors to latents, and from latents and noise maps to pictures.

Conventions: B samples, L = `num_ws` latent inputs, W = `w_dim`. Pictures are (B, 3, h, w) float32, RGB, nominally in
[-1, 1]. Sizes of pictures and maps are (height, width).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from audioreactive.generators.pixels import Layout


@dataclass(frozen=True)
class Cost:
    """What one picture takes, as far as the generator's size tells."""

    bytes: int
    """Memory of one picture of a batch, its activations included."""
    multiplications: int


class FrameFunction(Protocol):
    """Makes finished frames, one batch after the other; for one thread at a time."""

    def __call__(self, ws: torch.Tensor, noise: Sequence[torch.Tensor]) -> torch.Tensor:
        """Latents (B, L, W) and noise maps -> uint8 pixels in the layout that the function was made for."""
        ...

    def release(self) -> None:
        """Give back the memory that is kept from one batch to the next."""
        ...


class Mapper(Protocol):
    """The half of a generator that palettes need."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        ...

    @property
    def z_dim(self) -> int:
        """Width of the noise vector."""
        ...

    @property
    def c_dim(self) -> int:
        """Number of classes; 0 for a model without."""
        ...

    def mapping(self, z: torch.Tensor, c: torch.Tensor | None = None, truncation_psi: float = 1.0) -> torch.Tensor:
        """Latents (B, L, W) float32 of noise vectors (B, z_dim) and classes (B, c_dim), one-hot.

        truncation_psi: 1 leaves the latents as they are, 0 replaces them by their mean.
        """
        ...


class Generator(Mapper, Protocol):
    """A generator in memory: a network, or any other program that makes pictures from latents and noise.

    Immutable; equal inputs in equal batch shapes give bit-identical pictures on the same machine.
    """

    @property
    def w_dim(self) -> int:
        """W, the width of a latent."""
        ...

    @property
    def num_ws(self) -> int:
        """L, the number of latent inputs, coarse to fine."""
        ...

    @property
    def img_size(self) -> tuple[int, int]:
        """(h, w) of its pictures."""
        ...

    @property
    def noise_sizes(self) -> Sequence[tuple[int, int]]:
        """(h, w) of its noise maps, coarse to fine; empty for a generator without noise."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Precision of its arithmetic."""
        ...

    @property
    def cost(self) -> Cost:
        """What one picture takes."""
        ...

    @property
    def fingerprint(self) -> str:
        """All that decides about a pixel beside the model file and the device: the code, and which kernels run."""
        ...

    def synthesis(self, ws: torch.Tensor, noise: Sequence[torch.Tensor] | None = None) -> torch.Tensor:
        """Pictures (B, 3, h, w) float32, not clamped.

        Args:
            ws: latents (B, L, W).
            noise: a standard normal map (B, 1, h, w) for each of `noise_sizes`; None: the generator's own, constant.
        """
        ...

    def frame_function(self, layout: Layout) -> FrameFunction:
        """`synthesis` and the step to pixels of a layout, prepared for many batches of one shape."""
        ...

    def widened(self, size: tuple[int, int]) -> tuple[int, int]:
        """(h, w) of the picture that it makes to fill `size` without stretching: of the same aspect ratio, or nearly.

        A network widens the picture that it was trained for; a generator without a resolution of its own gives `size`.
        """
        ...

    def resized(self, size: tuple[int, int]) -> Self:
        """The same generator with pictures of (h, w), as `widened` gives them; a wider picture shows more."""
        ...
