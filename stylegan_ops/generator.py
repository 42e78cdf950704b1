"""The StyleGAN2 generator, for inference.

Source: Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN" (arXiv:1912.04958).

Conventions: B samples, L = `num_ws` latent inputs, W = `w_dim`. Pictures are (B, 3, H, W) float32, RGB, nominally in
[-1, 1]; nothing clamps them. The mapping network, the styles and the sum of the blocks' pictures are
float32; the convolutions run in the precision that was asked for.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import torch
from torch import Tensor

from stylegan_ops import choice, ops
from stylegan_ops.architecture import Architecture, Convolution, check_enlarged
from stylegan_ops.bending import NO_BENDS, Bends, bent, changed_samples, idle_left_out, part_of
from stylegan_ops.convolution import conv2d
from stylegan_ops.errors import StyleGANError
from stylegan_ops.fused import ToRGB
from stylegan_ops.initial import random_state
from stylegan_ops.layers import Block, Layer, Modulation, Preparation, Upsampling, extended, styled
from stylegan_ops.memory import Workspace, large_block, moved
from stylegan_ops.sizes import Network
from stylegan_ops.styles import Styles

Noise = Literal["const", "none"] | Sequence[Tensor]

CPU_WORKING_SET = 8 << 20
"""Bytes of one activation, at most. Large batches go through the high resolutions in parts that stay below it; one
picture is enough to use all cores there. The allocator returns larger blocks to the system, so that each use faults the
pages in again: at 256² and batch 8, 20 000 page faults a picture and 25 % more time; below the limit, none."""

GPU_ELEMENTS = 1 << 30
"""Elements of one activation, at most: cuDNN counts them in 32 bits, and an upsampling convolution needs some more."""


@dataclass(frozen=True)
class Batch:
    """Inputs of the blocks for a batch of latent vectors, and the memory for its pictures."""

    modulations: list[Modulation]
    """For each layer."""
    rgb_weights: list[Tensor | None]
    """For each block the weight (B, 3, C) of its toRGB layer, or None if it has none."""
    noise: list[Tensor | None]
    """For each layer, (B or 1, 1, h, w) float32."""
    image: Tensor  # [B, 3, H, W] float32
    bends: Bends
    """Transforms of the layers' results."""

    def part(self, samples: slice) -> "Batch":
        """The inputs of some samples."""
        return Batch(
            [modulation.part(samples) for modulation in self.modulations],
            [None if weight is None else weight[samples] for weight in self.rgb_weights],
            [values if values is None or len(values) == 1 else values[samples] for values in self.noise],
            self.image[samples],
            part_of(self.bends, samples),
        )


class Generator(Network[Architecture]):
    """A StyleGAN2 generator in memory. It is immutable, and several threads may call it at once.

    Equal inputs in equal batch shapes give bit-identical pictures on the same machine.
    """

    def __init__(
        self,
        architecture: Architecture,
        state: Mapping[str, Tensor],
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        implementation: choice.Implementation | None = None,
        upsampling: Upsampling = "auto",
    ) -> None:
        """Prepare the network.

        Args:
            architecture: the network's shape.
            state: a tensor of the right shape for each name in `architecture.shapes()`.
            device: where to compute.
            dtype: precision of the convolutions: float32, bfloat16 or float16.
            implementation: "auto", compiled kernels where there are any; "reference", plain PyTorch; "compiled". By
                default the value of the environment variable STYLEGAN_OPS, or else "auto".
            upsampling: how convolutions double the resolution: "transposed", "phases", or "auto", the faster one
                for each layer. The pictures differ by rounding only.

        Raises:
            StyleGANError: the precision is another one, or kernels were asked for and cannot be used.
        """
        if dtype not in (torch.float32, torch.bfloat16, torch.float16):
            raise StyleGANError(f"the precision {dtype} is not supported; use float32, bfloat16 or float16")
        self.architecture = architecture
        self.device = torch.device(device)
        self.dtype = dtype
        self.compiled = choice.use_compiled(choice.wanted_implementation(implementation), self.device, dtype)
        self._workspaces: list[Workspace] = []  # the ones that no call is using
        with torch.no_grad():
            prepare = Preparation(architecture, state, self.device, dtype, upsampling, measure=self.compiled)
            self._mapping = prepare.mapping()
            self._const = prepare.activation("synthesis.b4.const")[None]
            self._blocks = prepare.blocks()
            self._taps = prepare.taps()
            self._styles = Styles.of(self._blocks) if self.compiled and self.device.type == "cuda" else None

    @classmethod
    def random(
        cls,
        *,
        img_resolution: int,
        channel_base: int,
        channel_max: int = 512,
        z_dim: int = 512,
        w_dim: int = 512,
        c_dim: int = 0,
        mapping_layers: int = 8,
        seed: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        implementation: choice.Implementation | None = None,
    ) -> Self:
        """A network with seeded random weights, for tests and benchmarks; the same on every machine.

        Raises:
            StyleGANError: the resolution is not a power of two from 8 to 4096.
        """
        if not 8 <= img_resolution <= 4096 or img_resolution & (img_resolution - 1):
            raise StyleGANError(f"a resolution of {img_resolution} was asked for; powers of two from 8 to 4096 exist")
        resolutions = [4 << index for index in range(img_resolution.bit_length() - 2)]
        architecture = Architecture(
            z_dim=z_dim,
            w_dim=w_dim,
            c_dim=c_dim,
            embed_features=w_dim if c_dim else 0,
            mapping_features=(w_dim,) * mapping_layers,
            channels=tuple(min(channel_base // resolution, channel_max) for resolution in resolutions),
        )
        state = random_state(architecture, seed=seed)
        return cls(architecture, state, device=device, dtype=dtype, implementation=implementation)

    @property
    def by_phases(self) -> list[str]:
        """Names of the layers that double the resolution by phases, which shows in a picture's last bits."""
        return [layer.source.name for layer in self._layers() if layer.phases]

    @property
    def noise_sizes(self) -> list[tuple[int, int]]:
        """(h, w) of the noise maps in layer order: b4.conv1, b8.conv0, b8.conv1, ..."""
        return list(self.architecture.noise_sizes)

    @property
    def layer_names(self) -> list[str]:
        """Names of the layers that can be bent, coarse to fine."""
        return [layer.source.name.removeprefix("synthesis.") for layer in self._layers()]

    @property
    def layer_channels(self) -> list[int]:
        """Channels of the layers that can be bent."""
        return [layer.source.out_channels for layer in self._layers()]

    def style_weights(self, inputs: Sequence[int]) -> Tensor:
        """Weights (R, w_dim) with which the styles of convolutions depend on these latent inputs."""
        return torch.cat([layer.affine.weight for at, layer in enumerate(self._layers()) if at in inputs])

    @torch.no_grad()
    def mapping(self, z: Tensor, c: Tensor | None = None, truncation_psi: float = 1.0) -> Tensor:
        """Latent vectors for noise vectors.

        Args:
            z: (B, z_dim), standard normal.
            c: (B, c_dim), one row a sample, one-hot for a class; only for conditional models.
            truncation_psi: position between the mean latent (0) and the sample's latent (1, no truncation).

        Returns:
            (B, num_ws, w_dim) float32.

        Raises:
            StyleGANError: a shape is wrong, or a label is missing or not wanted.
        """
        check_mapping_inputs(z, c, self.z_dim, self.c_dim)
        x = self._mapping(z.to(self.device, torch.float32), None if c is None else c.to(self.device, torch.float32))
        if truncation_psi != 1.0:
            x = torch.lerp(self._mapping.average, x, truncation_psi)
        return x[:, None].repeat(1, self.num_ws, 1)

    def synthesis(self, ws: Tensor, noise: Noise = "const", *, bends: Bends = NO_BENDS) -> Tensor:
        """Pictures for latent vectors.

        Args:
            ws: (B, num_ws, w_dim).
            noise: "const", the model's own maps; "none"; or one map (B or 1, 1, h, w) for each of `noise_sizes`,
                standard normal.
            bends: transforms of the results of layers, by their index in `layer_names`.

        Returns:
            (B, 3, H, W) float32, RGB, nominally in [-1, 1], not clamped.

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
        ws = moved(ws, self.device)
        maps = self._noise_maps(noise, len(ws))
        image = self._empty_image(self._blocks[-1], len(ws))
        workspace = self._borrow_workspace() if self.compiled else None
        modulations, rgb_weights = self._modulations(ws) if self._styles is None else self._styles(ws)
        batch = Batch(modulations, rgb_weights, maps, image, idle_left_out(bends))
        x = self._const.expand(len(ws), -1, -1, -1)
        if self.architecture.kind != "resnet":
            x = styled(x, batch.modulations[0].style)
        self._synthesise(0, x, None, batch, workspace)
        if workspace is not None:
            self._workspaces.append(workspace)
        return image

    def enlarged(self, *, const_size: tuple[int, int]) -> Self:
        """A network with the same weights and a larger learned constant, for larger pictures at the same scale.

        The constant and the noise maps are extended around their centres by reflection; all weights are shared.

        Args:
            const_size: (h, w); the picture will be larger in the same proportion. (4, 7) makes a square model wide.

        Raises:
            StyleGANError: `const_size` is smaller than the constant, or makes pictures that are too large.
        """
        height, width = self.architecture.const_size
        if const_size[0] < height or const_size[1] < width:
            raise StyleGANError(
                f"a constant of {const_size[0]} × {const_size[1]} was asked for; this model's has {height} × {width}, "
                "and it can only grow: give at least as much, and crop the picture"
            )
        check_enlarged(dataclasses.replace(self.architecture, const_size=const_size).img_size)
        larger = type(self).__new__(type(self))
        larger.__dict__.update(self.__dict__)
        larger.architecture = dataclasses.replace(self.architecture, const_size=const_size)
        larger._const = extended(self._const, self.architecture.const_size, const_size)
        sizes = iter(larger.architecture.convolutions())
        larger._blocks = [
            dataclasses.replace(block, layers=tuple(self._extended_layer(layer, next(sizes)) for layer in block.layers))
            for block in self._blocks
        ]
        return larger

    def _extended_layer(self, layer: Layer, source: Convolution) -> Layer:
        noise = layer.noise_const
        if noise is not None:
            factor = layer.source.size[0] // self.architecture.const_size[0]
            const_size = (source.size[0] // factor, source.size[1] // factor)
            noise = extended(noise, self.architecture.const_size, const_size)
        return dataclasses.replace(layer, source=source, noise_const=noise)

    def _layers(self) -> list[Layer]:
        return [layer for block in self._blocks for layer in block.layers]

    def _modulations(self, ws: Tensor) -> tuple[list[Modulation], list[Tensor | None]]:
        """Modulations and toRGB weights, layer by layer; `Styles` computes the same values together."""
        count = len(ws)
        # A product with one vector is summed in another order than with several. In 16 bits that difference would grow
        # to two levels of 255, so a single sample is computed twice.
        ws = ws.repeat(2, 1, 1) if count == 1 else ws
        modulations = [layer.modulation(ws[:, at]).part(slice(count)) for at, layer in enumerate(self._layers())]
        rgb_weights = [
            None if b.to_rgb is None else b.to_rgb.rgb_weight(ws[:, b.last_layer + 1])[:count] for b in self._blocks
        ]
        return modulations, rgb_weights

    def _borrow_workspace(self) -> Workspace:
        """A workspace that no other thread is using."""
        try:
            return self._workspaces.pop()
        except IndexError:
            return Workspace(self.device)

    def _empty_image(self, block: Block, batch: int) -> Tensor:
        """Memory for the pictures of a block, not yet written: (B, 3, h, w) float32."""
        shape = (batch, 3, *block.layers[-1].source.size)
        if self.device.type != "cpu":
            return torch.empty(shape, device=self.device)
        return large_block(4 * math.prod(shape)).view(torch.float32).view(shape)

    def _noise_maps(self, noise: Noise, batch: int) -> list[Tensor | None]:
        """Noise maps (B or 1, 1, h, w) float32 of each layer, or None."""
        layers = self._layers()
        if isinstance(noise, str):
            if noise not in ("const", "none"):
                raise StyleGANError(f'noise is {noise!r}; give "const", "none", or a list of maps')
            return [layer.noise_const if noise == "const" else None for layer in layers]
        if len(noise) != len(layers):
            raise StyleGANError(f"{len(noise)} noise maps were given; this model takes {len(layers)}, one for a layer")
        maps: list[Tensor | None] = []
        for index, (values, layer) in enumerate(zip(noise, layers, strict=True)):
            size = layer.source.size
            if values.ndim != 4 or len(values) not in (1, batch) or values.shape[1:] != (1, *size):
                wanted = f"({batch} or 1, 1, {size[0]}, {size[1]})"
                raise StyleGANError(f"noise map {index} has the shape {tuple(values.shape)}; its layer takes {wanted}")
            maps.append(moved(values, self.device).contiguous() if layer.noise_gain else None)
        return maps

    def _synthesise(
        self, start: int, x: Tensor, skip: Tensor | None, batch: Batch, workspace: Workspace | None
    ) -> None:
        """Run the blocks from `start` on. Where activations are large, the batch is split into parts."""
        for index in range(start, len(self._blocks)):
            samples = self._samples_at_once(index)
            if len(x) > samples:
                for at in range(0, len(x), samples):
                    part = slice(at, at + samples)
                    own_skip = None if skip is None else skip[part]
                    self._synthesise(index, x[part], own_skip, batch.part(part), workspace)
                return
            x, skip = self._run_block(index, x, skip, batch, workspace)

    def _run_block(
        self, index: int, x: Tensor, skip: Tensor | None, batch: Batch, workspace: Workspace | None
    ) -> tuple[Tensor, Tensor | None]:
        """Activations and picture of one block; the activations are already styled unless the network is residual.

        x is overwritten only if it lies in the workspace.
        """
        block, last = self._blocks[index], index == len(self._blocks) - 1
        residual = self.architecture.kind == "resnet"
        image = rgb = shortcut = None
        rgb_weight = batch.rgb_weights[index]
        if block.to_rgb is not None and rgb_weight is not None:
            image = batch.image if last else self._empty_image(block, len(x))
            rgb = block.to_rgb.step(rgb_weight, skip, image)
        if block.shortcut is not None:
            shortcut = conv2d(ops.upsample2d(x, self._taps), block.shortcut)
        if residual:
            x = styled(x, batch.modulations[block.first_layer].style)
        for at, layer in enumerate(block.layers, block.first_layer):
            ends_block = at == block.last_layer
            if at in batch.bends:
                x = self._run_bent(index, at, x, batch, rgb, workspace)
                continue
            found = layer(
                x,
                batch.modulations[at].scale,
                batch.noise[at],
                next_style=None if ends_block and (last or residual) else batch.modulations[at + 1].style,
                rgb=rgb if ends_block and not residual else None,
                keep=residual or not (ends_block and last),
                workspace=workspace,
            )
            if found is not None:
                x = found
        if shortcut is not None:
            x = shortcut.add_(x)
        if residual and rgb is not None:
            ops.to_rgb(x, rgb)
        return x, image

    def _run_bent(
        self, index: int, at: int, x: Tensor, batch: Batch, rgb: ToRGB | None, workspace: Workspace | None
    ) -> Tensor:
        """A layer whose result is transformed before the picture and the next layer see it."""
        block, last = self._blocks[index], index == len(self._blocks) - 1
        ends_block, residual = at == block.last_layer, self.architecture.kind == "resnet"
        layer = block.layers[at - block.first_layer]
        scale, noise = batch.modulations[at].scale, batch.noise[at]
        painted = rgb if ends_block and not residual else None
        changed = changed_samples(batch.bends[at])
        # Samples that the bends leave alone get their colours as without bends, to the last bit.
        fused = painted if len(changed) < len(x) else None
        found = layer(x, scale, noise, next_style=None, rgb=fused, keep=True, workspace=workspace)
        assert found is not None
        found = bent(found, batch.bends[at], found.shape[3] * self._unit)
        if painted is not None and changed:
            own = painted if fused is None else dataclasses.replace(painted, image=torch.empty_like(painted.image))
            ops.to_rgb(found, own)
            if fused is not None:
                for sample in changed:
                    painted.image[sample] = own.image[sample]
        if ends_block and (last or residual):
            return found
        return found.mul_(batch.modulations[at + 1].style.to(found.dtype)[:, :, None, None])

    @property
    def _unit(self) -> float:
        """Width of the picture as it was trained, as a share of the canvas."""
        height, width = self.architecture.const_size
        return min(height, width) / width

    def _samples_at_once(self, index: int) -> int:
        """Number of samples that go through this block and the later ones together."""
        resolution, channels = self.architecture.blocks[index], self.architecture.channels[index]
        height, width = self.architecture.block_size(resolution)
        elements = CPU_WORKING_SET // self.dtype.itemsize if self.device.type == "cpu" else GPU_ELEMENTS
        return max(1, elements // (channels * height * width))


def check_mapping_inputs(z: Tensor, c: Tensor | None, z_dim: int, c_dim: int) -> None:
    """Raise StyleGANError unless noise vectors and labels have the shapes that a model takes."""
    if z.ndim != 2 or z.shape[1] != z_dim:
        raise StyleGANError(f"z has the shape {tuple(z.shape)}; this model takes (batch, {z_dim})")
    if c_dim and (c is None or c.shape != (len(z), c_dim)):
        given = "no label was given" if c is None else f"the label has the shape {tuple(c.shape)}"
        raise StyleGANError(f"{given}; this model takes one of ({len(z)}, {c_dim}): one row a sample")
    if not c_dim and c is not None and c.numel():
        raise StyleGANError("a label was given, but this model has no classes; leave it out")
