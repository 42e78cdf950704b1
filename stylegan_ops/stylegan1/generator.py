"""The StyleGAN1 generator, for inference.

Source: Karras et al. 2019, "A Style-Based Generator Architecture for Generative Adversarial Networks"
(arXiv:1812.04948).

Conventions: as in `stylegan_ops.generator`. Convolutions run in the precision that was asked for; sums over a picture
and everything else are float32.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan_ops import choice
from stylegan_ops.architecture import check_enlarged
from stylegan_ops.bending import NO_BENDS, Bends, bent, idle_left_out, part_of
from stylegan_ops.convolution import conv2d
from stylegan_ops.errors import StyleGANError
from stylegan_ops.generator import CPU_WORKING_SET, GPU_ELEMENTS, check_mapping_inputs
from stylegan_ops.layers import GAIN, Linear, extended, normalised
from stylegan_ops.memory import moved
from stylegan_ops.sizes import Network
from stylegan_ops.stylegan1.architecture import StyleGAN1Architecture

Noise = Literal["const", "none"] | Sequence[Tensor]


@dataclass(frozen=True)
class MappingNetwork:
    """The network from noise vectors and labels to latent vectors; float32."""

    layers: tuple[Linear, ...]
    label: Tensor | None  # [c_dim, z_dim]
    average: Tensor  # [W]

    def __call__(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Map z (B, z_dim), and c (B, c_dim) of a conditional model, to (B, W)."""
        x = z if self.label is None or c is None else torch.cat([z, c @ self.label], 1)
        x = normalised(x)
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
        return x


@dataclass(frozen=True)
class Epilogue:
    """What follows each convolution: noise, bias, activation, normalisation and style."""

    bias: Tensor  # [C, 1, 1]
    strength: Tensor  # [C, 1, 1]
    noise_const: Tensor  # [1, 1, h, w] float32
    style: Linear

    def __call__(self, x: Tensor, style: Tensor, noise: Tensor | None) -> Tensor:
        """Finish x (B, C, h, w) with a style (B, 2C) and a noise map (B or 1, 1, h, w)."""
        values = x.float()
        if noise is not None:
            values = values + noise * self.strength
        values = F.leaky_relu(values + self.bias, 0.2)
        values = values - values.mean((2, 3), keepdim=True)
        values = values * torch.rsqrt(values.square().mean((2, 3), keepdim=True) + 1e-8)
        scale, shift = style[:, :, None, None].chunk(2, 1)
        return (values * (scale + 1) + shift).to(x.dtype)


@dataclass(frozen=True)
class Block:
    """The layers at one resolution."""

    first: Tensor  # [O, I, 3, 3] of the layer that enlarges; the learned constant [1, C, h, w] of the first block
    second: Tensor  # [O, O, 3, 3]
    epilogues: tuple[Epilogue, Epilogue]
    rgb: tuple[Tensor, Tensor] | None
    """Weight [3, C, 1, 1] and bias [3, 1, 1] of the layer to colours, where it is needed."""


class StyleGAN1Generator(Network[StyleGAN1Architecture]):
    """A StyleGAN1 generator in memory. It is immutable, and several threads may call it at once."""

    compiled = False
    """There are no kernels for it: it runs on plain PyTorch."""
    by_phases: Sequence[str] = ()
    """No layer has a convolution by phases."""

    def __init__(
        self,
        architecture: StyleGAN1Architecture,
        state: Mapping[str, Tensor],
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        implementation: choice.Implementation | None = None,
    ) -> None:
        """Prepare the network; the arguments are those of `Generator`.

        Raises:
            StyleGANError: the precision is another one, or kernels were asked for, of which there are none.
        """
        if dtype not in (torch.float32, torch.bfloat16, torch.float16):
            raise StyleGANError(f"the precision {dtype} is not supported; use float32, bfloat16 or float16")
        if implementation == "compiled":
            raise StyleGANError("compiled kernels were asked for, and StyleGAN1 has none; ask for auto")
        self.architecture = architecture
        self.device = torch.device(device)
        self.dtype = dtype
        with torch.no_grad():
            prepare = StyleGAN1Preparation(architecture, state, self.device, dtype)
            self._mapping = prepare.mapping()
            self._blocks = prepare.blocks()

    @property
    def noise_sizes(self) -> list[tuple[int, int]]:
        """(h, w) of the noise maps, one for each latent input."""
        return list(self.architecture.noise_sizes)

    @property
    def layer_names(self) -> list[str]:
        """Names of the layers that can be bent, coarse to fine."""
        return [prefix.removeprefix("synthesis.") for prefix, _ in self.architecture.epilogues()]

    @property
    def layer_channels(self) -> list[int]:
        """Channels of the layers that can be bent."""
        return [len(epilogue.bias) for block in self._blocks for epilogue in block.epilogues]

    def style_weights(self, inputs: Sequence[int]) -> Tensor:
        """Weights (R, w_dim) with which the styles depend on these latent inputs."""
        epilogues = [epilogue for block in self._blocks for epilogue in block.epilogues]
        return torch.cat([epilogue.style.weight for at, epilogue in enumerate(epilogues) if at in inputs])

    @torch.no_grad()
    def mapping(
        self,
        z: Tensor,
        c: Tensor | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Tensor:
        """Latent vectors (B, num_ws, w_dim) float32 for noise vectors; see `Generator.mapping`.

        truncation_cutoff: number of latent inputs that are truncated, coarse to fine (8 in NVIDIA's own scripts); None:
            all.

        Raises:
            StyleGANError: a shape is wrong, or a label is missing or not wanted.
        """
        check_mapping_inputs(z, c, self.z_dim, self.c_dim)
        label = None if c is None or not self.c_dim else c.to(self.device, torch.float32)
        x = self._mapping(z.to(self.device, torch.float32), label)
        ws = x[:, None].repeat(1, self.num_ws, 1)
        if truncation_psi != 1.0:
            part = slice(truncation_cutoff)
            ws[:, part] = torch.lerp(self._mapping.average.expand_as(x), x, truncation_psi)[:, None]
        return ws

    def synthesis(self, ws: Tensor, noise: Noise = "const", *, bends: Bends = NO_BENDS) -> Tensor:
        """Pictures (B, 3, H, W) float32 for latent vectors; see `Generator.synthesis`.

        Raises:
            StyleGANError: a shape is wrong.
        """
        with torch.no_grad():
            return self.differentiable(ws, noise, bends=bends)

    def differentiable(self, ws: Tensor, noise: Noise = "const", *, bends: Bends = NO_BENDS) -> Tensor:
        """Pictures as of `synthesis`, through which gradients flow, if the network runs on plain PyTorch.

        Raises:
            StyleGANError: a shape is wrong.
        """
        if ws.ndim != 3 or ws.shape[1:] != (self.num_ws, self.w_dim):
            wanted = f"(batch, {self.num_ws}, {self.w_dim})"
            raise StyleGANError(f"ws has the shape {tuple(ws.shape)}; this model takes {wanted}")
        maps = self._noise_maps(noise, len(ws))
        ws = moved(ws, self.device)
        count = len(ws)
        # A product with one vector is summed in another order than with several; see `Generator._modulations`.
        doubled = ws.repeat(2, 1, 1) if count == 1 else ws
        epilogues = [epilogue for block in self._blocks for epilogue in block.epilogues]
        styles = [epilogue.style(doubled[:, at])[:count] for at, epilogue in enumerate(epilogues)]
        samples = self._samples_at_once()
        pictures = [
            self._pictures(
                [style[at : at + samples] for style in styles],
                [m if m is None or len(m) == 1 else m[at : at + samples] for m in maps],
                part_of(idle_left_out(bends), slice(at, at + samples)),
            )
            for at in range(0, max(count, 1), samples)
        ]
        return pictures[0] if len(pictures) == 1 else torch.cat(pictures)

    def enlarged(self, *, const_size: tuple[int, int]) -> Self:
        """A network with the same weights and a larger learned constant; see `Generator.enlarged`.

        Features are normalised over the whole picture, so its middle changes a little too.

        Raises:
            StyleGANError: `const_size` is smaller than the constant, or makes pictures that are too large.
        """
        own = self.architecture.const_size
        if const_size[0] < own[0] or const_size[1] < own[1]:
            raise StyleGANError(
                f"a constant of {const_size[0]} × {const_size[1]} was asked for; this model's has {own[0]} × {own[1]}, "
                "and it can only grow: give at least as much, and crop the picture"
            )
        check_enlarged(dataclasses.replace(self.architecture, const_size=const_size).img_size)
        larger = type(self).__new__(type(self))
        larger.__dict__.update(self.__dict__)
        larger.architecture = dataclasses.replace(self.architecture, const_size=const_size)
        larger._blocks = []
        for index, block in enumerate(self._blocks):
            first, second = (
                dataclasses.replace(epilogue, noise_const=extended(epilogue.noise_const, own, const_size))
                for epilogue in block.epilogues
            )
            const = block.first if index else extended(block.first, own, const_size)
            larger._blocks.append(dataclasses.replace(block, first=const, epilogues=(first, second)))
        return larger

    def _pictures(self, styles: list[Tensor], maps: list[Tensor | None], bends: Bends) -> Tensor:
        """Pictures of samples that fit into memory together."""
        x = self._blocks[0].first.expand(len(styles[0]), -1, -1, -1)
        smaller: Tensor | None = None
        share = self.architecture.lod - math.floor(self.architecture.lod)
        wanted = self.architecture.pictures()
        for index, (block, resolution) in enumerate(zip(self._blocks, self.architecture.blocks, strict=True)):
            if index:
                x = blurred(conv2d(x.repeat_interleave(2, 2).repeat_interleave(2, 3), block.first))
            x = block.epilogues[0](x, styles[2 * index], maps[2 * index])
            x = bent(x, bends.get(2 * index, ()), x.shape[3] * self._unit)
            x = block.epilogues[1](conv2d(x, block.second), styles[2 * index + 1], maps[2 * index + 1])
            x = bent(x, bends.get(2 * index + 1, ()), x.shape[3] * self._unit)
            if block.rgb is None:
                continue
            picture = conv2d(x, block.rgb[0]).float() + block.rgb[1]
            if resolution != wanted[0]:
                smaller = picture
                continue
            if smaller is not None:
                picture = torch.lerp(picture, smaller.repeat_interleave(2, 2).repeat_interleave(2, 3), share)
            factor = self.architecture.img_resolution // resolution
            return picture.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
        raise AssertionError("no block makes a picture")

    @property
    def _unit(self) -> float:
        """Width of the picture as it was trained, as a share of the canvas."""
        height, width = self.architecture.const_size
        return min(height, width) / width

    def _noise_maps(self, noise: Noise, batch: int) -> list[Tensor | None]:
        """Noise maps (B or 1, 1, h, w) of each epilogue, or None."""
        sizes = self.noise_sizes
        if isinstance(noise, str):
            if noise not in ("const", "none"):
                raise StyleGANError(f'noise is {noise!r}; give "const", "none", or a list of maps')
            own = [epilogue.noise_const for block in self._blocks for epilogue in block.epilogues]
            return [values if noise == "const" else None for values in own]
        if len(noise) != len(sizes):
            raise StyleGANError(f"{len(noise)} noise maps were given; this model takes {len(sizes)}, one for a layer")
        maps: list[Tensor | None] = []
        for values, size in zip(noise, sizes, strict=True):
            if values.shape not in ((batch, 1, *size), (1, 1, *size)):
                wanted = f"({batch}, 1, {size[0]}, {size[1]})"
                raise StyleGANError(f"a noise map has the shape {tuple(values.shape)}; this model takes {wanted}")
            maps.append(moved(values, self.device))
        return maps

    def _samples_at_once(self) -> int:
        elements = CPU_WORKING_SET // self.dtype.itemsize if self.device.type == "cpu" else GPU_ELEMENTS
        return max(1, elements // (self.architecture.frame_bytes() // 4))


def blurred(x: Tensor) -> Tensor:
    """Neighbours averaged 1 : 2 : 1 along both axes, with zeros around the picture."""
    padded = F.pad(x, (1, 1, 1, 1))
    across = (padded[..., :-2] + 2 * padded[..., 1:-1] + padded[..., 2:]) / 4
    return (across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :]) / 4


class StyleGAN1Preparation:
    """Turns a state dict into layers: multiplies gains in, moves weights to the device and rounds them once."""

    def __init__(
        self, architecture: StyleGAN1Architecture, state: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype
    ) -> None:
        self._architecture = architecture
        self._state = state
        self._device = device
        self._dtype = dtype

    def tensor(self, name: str) -> Tensor:
        """A tensor of the state in float32 on the device."""
        return self._state[name].to(self._device, torch.float32)

    def kernel(self, name: str, gain: float) -> Tensor:
        """Weights of a convolution, scaled by their number of inputs."""
        weight = self.tensor(name)
        weight = weight * (gain / math.sqrt(weight[0].numel()))
        return weight.to(self._dtype).contiguous(memory_format=torch.channels_last)

    def mapping(self) -> MappingNetwork:
        """The mapping network; its activations have no gain, which its weights have instead."""
        lr = self._architecture.mapping_lr
        layers = []
        for index in range(len(self._architecture.mapping_features)):
            weight, bias = self.tensor(f"mapping.fc{index}.weight"), self.tensor(f"mapping.fc{index}.bias")
            layers.append(Linear(weight * (GAIN * lr / math.sqrt(weight.shape[1])), bias * lr))
        label = self.tensor("mapping.label.weight") if self._architecture.c_dim else None
        return MappingNetwork(tuple(layers), label, self.tensor("mapping.w_avg"))

    def blocks(self) -> list[Block]:
        """All blocks of the synthesis network in order."""
        blocks = []
        prefixes = [prefix for prefix, _ in self._architecture.epilogues()]
        for index, resolution in enumerate(self._architecture.blocks):
            name = f"synthesis.b{resolution}"
            first = self.kernel(f"{name}.conv0.weight", GAIN) if index else self._const()
            rgb = None
            if resolution in self._architecture.pictures():
                rgb = self.kernel(f"{name}.torgb.weight", 1.0), self.tensor(f"{name}.torgb.bias")[:, None, None]
            epilogues = self._epilogue(prefixes[2 * index]), self._epilogue(prefixes[2 * index + 1])
            blocks.append(Block(first, self.kernel(f"{name}.conv1.weight", GAIN), epilogues, rgb))
        return blocks

    def _const(self) -> Tensor:
        const = self.tensor("synthesis.b4.const.const").to(self._dtype)[None]
        return const.contiguous(memory_format=torch.channels_last)

    def _epilogue(self, prefix: str) -> Epilogue:
        weight = self.tensor(f"{prefix}.style.weight")
        return Epilogue(
            bias=self.tensor(f"{prefix}.bias")[:, None, None],
            strength=self.tensor(f"{prefix}.noise_strength")[:, None, None],
            noise_const=self.tensor(f"{prefix}.noise_const")[None, None],
            style=Linear(weight / math.sqrt(weight.shape[1]), self.tensor(f"{prefix}.style.bias")),
        )
