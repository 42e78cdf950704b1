"""A generator without a network: a disc on a coloured ground, moved by latents and lit by noise; of any size."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

import torch

from audioreactive.generators import Cost, LoadedGenerator, to_pixels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from audioreactive.generators import Generator, Layout

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Discs:
    """Its first latent input places the disc, its last one colours the ground, the mean of the noise is light."""

    img_size: tuple[int, int] = (48, 64)
    noise_sizes: tuple[tuple[int, int], ...] = ((4, 4), (6, 8))
    device: torch.device = CPU
    dtype: torch.dtype = torch.float32
    z_dim: int = 6
    c_dim: int = 0
    families: tuple[str, ...] = ()
    num_ws: int = 5
    fingerprint: str = "discs, first edition"

    @property
    def w_dim(self) -> int:
        return self.z_dim

    @property
    def cost(self) -> Cost:
        pixels = self.img_size[0] * self.img_size[1]
        return Cost(bytes=16 * pixels, multiplications=4 * pixels)

    def mapping(self, z: torch.Tensor, c: torch.Tensor | None = None, truncation_psi: float = 1.0) -> torch.Tensor:
        return truncation_psi * z.tanh()[:, None].repeat(1, self.num_ws, 1)

    def synthesis(self, ws: torch.Tensor, noise: Sequence[torch.Tensor] | None = None) -> torch.Tensor:
        height, width = self.img_size
        y, x = torch.linspace(-1, 1, height)[:, None], torch.linspace(-1, 1, width)
        across, down = ws[:, 0, 3, None, None], ws[:, 0, 4, None, None]
        inside = (x - across).square() + (y - down).square() < 0.2
        colour = ws[:, -1, :3, None, None]
        light = sum((one.mean((2, 3), keepdim=True) for one in noise or ()), torch.zeros(len(ws), 1, 1, 1))
        return torch.where(inside[:, None], -colour, colour) + light / 2

    def frame_function(self, layout: Layout) -> DiscFrames:
        return DiscFrames(self, layout)

    def widened(self, size: tuple[int, int]) -> tuple[int, int]:
        return size

    def resized(self, size: tuple[int, int]) -> Self:
        return replace(self, img_size=size)

    def sketching(self) -> Self:
        return self


@dataclass(frozen=True)
class DiscFrames:
    """Pictures as pixels, with nothing kept in between."""

    discs: Discs
    layout: Layout

    def __call__(self, ws: torch.Tensor, noise: Sequence[torch.Tensor]) -> torch.Tensor:
        return to_pixels(self.discs.synthesis(ws, noise), self.layout, compiled=False)

    def release(self) -> None:
        """There is nothing to give back."""


@dataclass(frozen=True)
class DiscSource:
    """Where discs come from: nowhere; all that makes them is here."""

    noise_sizes: tuple[tuple[int, int], ...] = field(default=Discs.noise_sizes)
    name: str = "discs"
    sha256: str = "d15c" * 16

    def carried(self) -> DiscSource:
        return self

    def load(self, device: torch.device, dtype: torch.dtype) -> Generator:
        return Discs(device=device, dtype=dtype, noise_sizes=self.noise_sizes)


def loaded() -> LoadedGenerator:
    """Discs, as `generators.open_generator` gives what is in a file."""
    source = DiscSource()
    return LoadedGenerator(source, source.load(CPU, torch.float32))
