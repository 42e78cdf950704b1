"""StyleGAN3 and StyleGAN-XL as a `Generator`: pictures without noise, on a canvas of any shape, moved by a matrix."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Self

from audioreactive.errors import RenderError
from audioreactive.generators.moves import NO_MOVES, Ability, Moves, bends_on
from audioreactive.generators.networks import NetworkGenerator
from audioreactive.generators.pixels import to_pixels
from audioreactive.generators.protocol import Cost
from audioreactive.generators.stylegan2 import WIDEST
from audioreactive.generators.weights import pictures_by_weights

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    import torch

    from audioreactive.generators.pixels import Layout
    from audioreactive.generators.weights import Weights
    from stylegan_ops.bending import Bends
    from stylegan_ops.stylegan3.generator import AliasFreeGenerator

ACTIVATIONS: Final = 3
"""Copies of a picture's largest activation that exist at once: input, result of the convolution, output."""


@dataclass(frozen=True)
class StyleGAN3(NetworkGenerator["AliasFreeGenerator"]):
    """A StyleGAN3 network that fits the generator protocol."""

    network: AliasFreeGenerator
    abilities: frozenset[Ability] = frozenset({"camera", "bends", "directions", "weights"})
    """Ways in which it can be moved."""
    weights: Weights | None = None
    """Second models and edits towards which its weights can move."""
    digest: str = ""
    """SHA-256 of the model's file, if it is known: what is found in a model is kept on disk by it."""
    _channels: dict[Hashable, torch.Tensor] = field(default_factory=dict, repr=False, compare=False)
    """Choices of channels that bends have made."""

    @property
    def noise_sizes(self) -> Sequence[tuple[int, int]]:
        """Empty: the network has no noise."""
        return ()

    @functools.cached_property
    def cost(self) -> Cost:
        """Estimated cost: memory of the largest activations, work of convolutions and filters."""
        architecture = self.network.architecture
        return Cost(
            bytes=ACTIVATIONS * architecture.frame_bytes() * self.dtype.itemsize // 4,
            multiplications=architecture.frame_multiplications(),
        )

    @property
    def _otherwise(self) -> str:
        layers = self.network.plain_layers
        return f"plain in {', '.join(layers)}" if layers else ""

    def mapping(self, z: torch.Tensor, c: torch.Tensor | None = None, truncation_psi: float = 1.0) -> torch.Tensor:
        """Map noise vectors (B, z_dim) and classes (B, c_dim) to latents (B, L, W)."""
        return self.network.mapping(z, c, truncation_psi)

    def synthesis(
        self, ws: torch.Tensor, noise: Sequence[torch.Tensor] | None = None, moves: Moves = NO_MOVES
    ) -> torch.Tensor:
        """Make pictures (B, 3, h, w) float32 from latents; there is no noise, and `moves` may move the picture."""
        if moves.weights:
            return pictures_by_weights(self, ws, noise, moves)
        transform = self.moved_transform(moves)
        if not moves.bends:
            return self.network.synthesis(ws, transform=transform)
        bends = self.bends(moves)
        return self.network.synthesis(ws, transform=transform, bends=bends)

    def moved_transform(self, moves: Moves) -> torch.Tensor | None:
        """Return the matrices of a batch, (3, 3) or (B, 3, 3), with that of the file; None: nothing moves the plane."""
        return None if moves.transform is None else self.network.transform @ moves.transform.to(self.device)

    def bends(self, moves: Moves) -> Bends:
        """Return the bends of a batch, with the channels that they are of."""
        key = f"{self.digest} {self.img_size} {self.dtype} {self.fingerprint}" if self.digest else ""
        return bends_on(self.network, moves, self._bent, self.mapping, self._channels, key)

    def _bent(self, ws: torch.Tensor, bends: Bends) -> torch.Tensor:
        return self.network.synthesis(ws, bends=bends)

    def style_weights(self, inputs: Sequence[int]) -> torch.Tensor:
        """Return the weights (R, W) with which styles depend on these latent inputs."""
        return self.network.style_weights(inputs)

    def frame_function(self, layout: Layout) -> _Frames:
        """Prepare the function from latents to pixels."""
        return _Frames(self, layout)

    def widened(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the size (h, w), at least the model's own, with the aspect ratio of `size` up to one pixel.

        Raises:
            RenderError: it would be more than `WIDEST` times the model's own picture.
        """
        own, aspect = self.img_size, size[1] / size[0]
        if aspect >= own[1] / own[0]:
            height, width = own[0], max(2 * round(own[0] * aspect / 2), own[1])
        else:
            height, width = max(2 * round(own[1] / aspect / 2), own[0]), own[1]
        if height * width > WIDEST * own[0] * own[1]:
            raise RenderError(
                f"to widen the picture to {size[1]}x{size[0]}, the model would paint {width}x{height}: "
                "choose --fit crop, pad or stretch, or another --size"
            )
        return height, width

    def resized(self, size: tuple[int, int]) -> Self:
        """Return the network on a canvas of (h, w), which shows more of the plane that it paints."""
        return self if size == self.img_size else replace(self, network=self.network.resized(size))

    def sketching(self) -> Self:
        """Return itself: a network makes pictures of its own resolution only."""
        return self


class _Frames:
    """The network and the conversion to pixels, as one CUDA graph on a GPU."""

    def __init__(self, generator: StyleGAN3, layout: Layout) -> None:
        from stylegan_ops import GraphSynthesis

        self._generator = generator
        self._finish = functools.partial(to_pixels, layout=layout, compiled=generator.network.compiled)
        self._graphs = GraphSynthesis(generator.network, self._finish)

    def __call__(self, ws: torch.Tensor, noise: Sequence[torch.Tensor], moves: Moves = NO_MOVES) -> torch.Tensor:
        if moves.bends or moves.weights:  # what is computed changes from batch to batch, which no graph can follow
            return self._finish(self._generator.synthesis(ws, noise, moves))
        return self._graphs(ws, transform=self._generator.moved_transform(moves))

    def release(self) -> None:
        self._graphs.forget()
