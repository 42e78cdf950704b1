"""StyleGAN2 and StyleGAN1 as a `Generator`: wraps the network of `stylegan_ops`, and plans wide pictures."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from audioreactive.errors import RenderError
from audioreactive.generators.moves import NO_MOVES, Ability, Moves, bends_on
from audioreactive.generators.networks import NetworkGenerator
from audioreactive.generators.pixels import to_pixels
from audioreactive.generators.protocol import Cost
from audioreactive.generators.weights import pictures_by_weights

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    import torch

    import stylegan_ops
    from audioreactive.generators.pixels import Layout
    from audioreactive.generators.weights import Weights
    from stylegan_ops.bending import Bends
    from stylegan_ops.generator import Noise

WIDEST = 8
"""Largest area of a widened picture, as a multiple of the model's own picture; memory grows in proportion."""


@dataclass(frozen=True)
class StyleGAN2(NetworkGenerator["stylegan_ops.Generator | stylegan_ops.StyleGAN1Generator"]):
    """A StyleGAN2 or StyleGAN1 network that fits the generator protocol."""

    network: stylegan_ops.Generator | stylegan_ops.StyleGAN1Generator
    abilities: frozenset[Ability] = frozenset({"bends", "directions", "weights"})
    """Ways in which it can be moved."""
    weights: Weights | None = None
    """Second models and edits towards which its weights can move."""
    digest: str = ""
    """SHA-256 of the model's file, if it is known: what is found in a model is kept on disk by it."""
    _channels: dict[Hashable, torch.Tensor] = field(default_factory=dict, repr=False, compare=False)
    """Choices of channels that bends have made."""

    @property
    def noise_sizes(self) -> Sequence[tuple[int, int]]:
        """Sizes (h, w) of the noise maps in layer order."""
        return self.network.noise_sizes

    @functools.cached_property
    def cost(self) -> Cost:
        """Estimated cost: memory of four copies of largest activations and pictures, work of the 3 × 3 convolutions."""
        architecture = self.network.architecture
        pixels = [math.prod(architecture.block_size(resolution)) for resolution in architecture.blocks]
        largest = max(size * channels for size, channels in zip(pixels, architecture.channels, strict=True))
        convolutions = architecture.convolutions()
        return Cost(
            bytes=4 * largest * self.dtype.itemsize + 4 * pixels[-1] * 3 * 4,
            multiplications=sum(9 * c.in_channels * c.out_channels * math.prod(c.size) for c in convolutions),
        )

    @property
    def _otherwise(self) -> str:
        layers = [name.removeprefix("synthesis.").partition(".")[0] for name in self.network.by_phases]
        return f"phases in {', '.join(layers)}" if layers else ""

    def mapping(self, z: torch.Tensor, c: torch.Tensor | None = None, truncation_psi: float = 1.0) -> torch.Tensor:
        """Map noise vectors (B, z_dim) and classes (B, c_dim) to latents (B, L, W); see `stylegan_ops.Generator`."""
        return self.network.mapping(z, c, truncation_psi)

    def synthesis(
        self, ws: torch.Tensor, noise: Sequence[torch.Tensor] | None = None, moves: Moves = NO_MOVES
    ) -> torch.Tensor:
        """Make pictures (B, 3, h, w) float32 from latents and noise maps; None: the model's own constant maps."""
        if moves.weights:
            return pictures_by_weights(self, ws, noise, moves)
        maps: Noise = "const" if noise is None else noise
        if not moves.bends:
            return self.network.synthesis(ws, maps)
        bends = self.bends(moves)
        return self.network.synthesis(ws, maps, bends=bends)

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
        """Prepare the function from latents and noise maps to pixels; on a GPU it is recorded as one CUDA graph."""
        return _Frames(self, layout)

    def widened(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the size (h, w), at least the model's own, of which the least is cut off to get the aspect of `size`.

        Raises:
            RenderError: it would be more than `WIDEST` times the model's own picture.
        """
        own, step = self.network.architecture.const_size, self._step
        rows, columns = _widened(own, step, size)
        if rows * columns > WIDEST * own[0] * own[1]:
            raise RenderError(
                f"to widen the picture to {size[1]}x{size[0]}, the model would paint {columns * step}x{rows * step}: "
                "choose --fit crop, pad or stretch, or another --size"
            )
        return rows * step, columns * step

    def resized(self, size: tuple[int, int]) -> Self:
        """Return the network with a larger constant input, for pictures of (h, w), as returned by `widened`."""
        if size == self.img_size:
            return self
        const_size = (size[0] // self._step, size[1] // self._step)
        return replace(self, network=self.network.enlarged(const_size=const_size))

    def sketching(self) -> Self:
        """Return itself: a network makes pictures of its own resolution only."""
        return self

    @property
    def _step(self) -> int:
        """Pixels of the picture per pixel of the constant input."""
        return self.network.img_size[0] // self.network.architecture.const_size[0]


class _Frames:
    """The network and the conversion to pixels, as one CUDA graph on a GPU."""

    def __init__(self, generator: StyleGAN2, layout: Layout) -> None:
        from stylegan_ops import GraphSynthesis

        self._generator = generator
        self._finish = functools.partial(to_pixels, layout=layout, compiled=generator.network.compiled)
        self._graphs = GraphSynthesis(generator.network, self._finish)

    def __call__(self, ws: torch.Tensor, noise: Sequence[torch.Tensor], moves: Moves = NO_MOVES) -> torch.Tensor:
        if moves.bends or moves.weights:  # what is computed changes from batch to batch, which no graph can follow
            return self._finish(self._generator.synthesis(ws, noise, moves))
        return self._graphs(ws, noise)

    def release(self) -> None:
        self._graphs.forget()


def _widened(const_size: tuple[int, int], step: int, size: tuple[int, int]) -> tuple[int, int]:
    """Choose the size of the constant input whose picture loses the least when it is cut to the aspect of `size`."""
    rows, columns = const_size
    aspect = size[1] / size[0]
    if aspect >= columns / rows:
        candidates = [(rows, wider) for wider in _around(rows * aspect, columns)]
    else:
        candidates = [(higher, columns) for higher in _around(columns / aspect, rows)]
    return min(candidates, key=lambda candidate: _cut_off((candidate[0] * step, candidate[1] * step), size))


def _around(value: float, least: int) -> list[int]:
    return sorted({max(int(value), least), max(int(value) + 1, least)})


def _cut_off(picture: tuple[int, int], size: tuple[int, int]) -> float:
    """Compute the share of the picture that is lost when it is scaled to cover `size`."""
    scale = max(size[0] / picture[0], size[1] / picture[1])
    return 1 - size[0] * size[1] / (picture[0] * picture[1] * scale * scale)
