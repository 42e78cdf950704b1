"""The protocol that all generators implement: noise vectors to latents, and latents with noise maps to pictures.

Conventions: B samples, L = `num_ws` latent inputs, W = `w_dim`. Pictures are (B, 3, h, w) float32, RGB, nominally in
[-1, 1]. Sizes of pictures and maps are (height, width).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

from audioreactive.generators.moves import NO_MOVES, Moves

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from audioreactive.generators.pixels import Layout


@dataclass(frozen=True)
class Cost:
    """Estimated cost of one picture."""

    bytes: int
    """Memory of one picture of a batch, with its activations."""
    multiplications: int


class FrameFunction(Protocol):
    """Function that makes finished frames batch by batch; only one thread may call it at a time."""

    def __call__(self, ws: torch.Tensor, noise: Sequence[torch.Tensor], moves: Moves = NO_MOVES) -> torch.Tensor:
        """Make uint8 pixels, in the layout that the function was made for, from latents (B, L, W) and noise maps.

        moves: what moves besides; given to generators that can do it (`moves.abilities`) alone.
        """
        ...

    def release(self) -> None:
        """Free the memory that is kept between batches."""
        ...


class Mapper(Protocol):
    """Part of a generator that palettes need: noise vectors to latents."""

    @property
    def device(self) -> torch.device:
        """Device on which it computes."""
        ...

    @property
    def z_dim(self) -> int:
        """Width of the noise vector."""
        ...

    @property
    def c_dim(self) -> int:
        """Number of classes; 0 for a model without classes."""
        ...

    @property
    def families(self) -> Sequence[str]:
        """Names of the classes, if each of them is a world of its own: then a palette keeps to one. Else empty."""
        ...

    def mapping(self, z: torch.Tensor, c: torch.Tensor | None = None, truncation_psi: float = 1.0) -> torch.Tensor:
        """Map noise vectors (B, z_dim) and one-hot classes (B, c_dim) to latents (B, L, W) float32.

        truncation_psi: 1 leaves the latents unchanged, 0 replaces them by their mean.
        """
        ...


class Generator(Mapper, Protocol):
    """Generator in memory: a network, or any other program that makes pictures from latents and noise.

    It is immutable; equal inputs in equal batch shapes give bit-identical pictures on the same machine.
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
        """Size (h, w) of its pictures."""
        ...

    @property
    def noise_sizes(self) -> Sequence[tuple[int, int]]:
        """Sizes (h, w) of its noise maps, coarse to fine; empty for a generator without noise."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Precision of its arithmetic."""
        ...

    @property
    def cost(self) -> Cost:
        """Estimated cost of one picture."""
        ...

    @property
    def fingerprint(self) -> str:
        """Text that identifies what determines pixels besides the model file and the device: code and kernels."""
        ...

    def synthesis(
        self, ws: torch.Tensor, noise: Sequence[torch.Tensor] | None = None, moves: Moves = NO_MOVES
    ) -> torch.Tensor:
        """Make pictures (B, 3, h, w) float32, not clamped.

        Args:
            ws: latents (B, L, W).
            noise: a standard normal map (B, 1, h, w) for each of `noise_sizes`; None: the generator's constant maps.
            moves: what moves besides; given to generators that can do it (`moves.abilities`) alone.
        """
        ...

    def frame_function(self, layout: Layout) -> FrameFunction:
        """Prepare `synthesis` and the conversion to pixels for many batches of the same shape."""
        ...

    def widened(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the (h, w) of its pictures that comes closest to the aspect ratio of `size`.

        A network widens the picture that it was trained for; a generator without a fixed resolution returns `size`.
        """
        ...

    def resized(self, size: tuple[int, int]) -> Self:
        """Return the same generator with pictures of a size from `widened`; a wider picture shows more."""
        ...

    def sketching(self) -> Self:
        """Return the same generator with small pictures that take less time, where it can make any; else itself.

        They are measured, or shown while somebody tries things out: forms, colours and their motion are those of its
        pictures, without the finest detail. `resized` makes them larger.
        """
        ...
