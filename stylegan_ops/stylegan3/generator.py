"""The StyleGAN3 generator, for inference.

Source: Karras et al. 2021, "Alias-Free Generative Adversarial Networks" (arXiv:2106.12423); for StyleGAN-XL Sauer et
al. 2022 (arXiv:2202.00273).

Conventions: B samples, L = `num_ws` latent inputs, W = `w_dim`. Pictures are (B, 3, H, W) float32, RGB, nominally in
[-1, 1]; nothing clamps them. The mapping network, the styles and the input are float32; the convolutions run in the
precision that was asked for.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Literal, Self

import torch
from torch import Tensor

from stylegan_ops import choice
from stylegan_ops.bending import NO_BENDS, Bend, Bends, bent, idle_left_out, part_of
from stylegan_ops.errors import StyleGANError
from stylegan_ops.generator import CPU_WORKING_SET, GPU_ELEMENTS, check_mapping_inputs
from stylegan_ops.layers import styled
from stylegan_ops.memory import Workspace, moved
from stylegan_ops.sizes import Network
from stylegan_ops.stylegan3.architecture import AliasFreeArchitecture
from stylegan_ops.stylegan3.design import Plan
from stylegan_ops.stylegan3.filtered import filtered_lrelu
from stylegan_ops.stylegan3.initial import planned, random_state
from stylegan_ops.stylegan3.layers import AliasFreePreparation, PreparedLayer, resampling_of
from stylegan_ops.stylegan3.tuning import kernel_pays

Modulation = tuple[Tensor, Tensor]
"""Style (B, I) of a layer's input and scale (B, O) of its output."""

Noise = Literal["const", "none"] | Sequence[Tensor]


class AliasFreeGenerator(Network[AliasFreeArchitecture]):
    """A StyleGAN3 generator in memory. It is immutable, and several threads may call it at once.

    Equal inputs in equal batch shapes give bit-identical pictures on the same machine.
    """

    def __init__(
        self,
        architecture: AliasFreeArchitecture,
        state: Mapping[str, Tensor],
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        implementation: choice.Implementation | None = None,
    ) -> None:
        """Prepare the network.

        Args:
            architecture: the network's shape.
            state: a tensor of the right shape for each name in `architecture.shapes()`.
            device: where to compute.
            dtype: precision of the convolutions: float32, bfloat16 or float16.
            implementation: what runs the activations, as `Generator` takes it.

        Raises:
            StyleGANError: the precision is another one, or kernels were asked for and cannot be used.
        """
        if dtype not in (torch.float32, torch.bfloat16, torch.float16):
            raise StyleGANError(f"the precision {dtype} is not supported; use float32, bfloat16 or float16")
        self.architecture = architecture
        self.device = torch.device(device)
        self.dtype = dtype
        wanted = choice.wanted_implementation(implementation)
        self.compiled = choice.use_compiled(wanted, self.device, dtype)
        self._trained = architecture
        self._workspaces: list[Workspace] = []
        with torch.no_grad():
            prepare = AliasFreePreparation(architecture, state, self.device, dtype)
            self._mapping = prepare.mapping()
            self._input = prepare.waves()
            self._layers = [prepare.layer(layer) for layer in architecture.layers]
            if self.compiled and self.device.type == "cuda" and wanted == "auto":
                self._layers = [self._measured(layer) for layer in self._layers]

    @classmethod
    def random(
        cls,
        plan: Plan,
        *,
        z_dim: int = 512,
        w_dim: int = 512,
        c_dim: int = 0,
        mapping_layers: int = 2,
        seed: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        implementation: choice.Implementation | None = None,
    ) -> Self:
        """A network with seeded random weights, for tests and benchmarks; the same on every machine."""
        architecture = planned(plan, z_dim=z_dim, w_dim=w_dim, c_dim=c_dim, mapping_layers=mapping_layers)
        state = random_state(architecture, plan, seed=seed)
        return cls(architecture, state, device=device, dtype=dtype, implementation=implementation)

    @property
    def noise_sizes(self) -> list[tuple[int, int]]:
        """Empty: the network has no noise."""
        return []

    @property
    def transform(self) -> Tensor:
        """The matrix (3, 3) that the file holds."""
        return self._input.transform

    @property
    def layer_names(self) -> list[str]:
        """Names of the layers that can be bent, coarse to fine."""
        return [layer.source.name for layer in self._layers[:-1]]

    @property
    def layer_channels(self) -> list[int]:
        """Channels of the layers that can be bent."""
        return [layer.source.out_channels for layer in self._layers[:-1]]

    @property
    def plain_layers(self) -> list[str]:
        """Names of the layers whose activation plain PyTorch does, although there is a kernel: it is faster there."""
        return [layer.source.name for layer in self._layers if not layer.resampling.pays]

    def style_weights(self, inputs: Sequence[int]) -> Tensor:
        """Weights (R, w_dim) with which the styles of layers depend on these latent inputs."""
        weights = [self._input.affine.weight, *(layer.affine.weight for layer in self._layers)]
        return torch.cat([weight for at, weight in enumerate(weights) if at in inputs])

    @torch.no_grad()
    def mapping(self, z: Tensor, c: Tensor | None = None, truncation_psi: float = 1.0) -> Tensor:
        """Latent vectors (B, num_ws, w_dim) float32 for noise vectors; see `Generator.mapping`.

        Raises:
            StyleGANError: a shape is wrong, or a label is missing or not wanted.
        """
        check_mapping_inputs(z, c, self.z_dim, self.c_dim)
        label = None if c is None or not self.c_dim else c.to(self.device, torch.float32)
        x = self._mapping(z.to(self.device, torch.float32), label)
        if truncation_psi != 1.0:
            x = torch.lerp(self._mapping.centre(label).expand_as(x), x, truncation_psi)
        return x[:, None].repeat(1, self.num_ws, 1)

    def synthesis(
        self, ws: Tensor, noise: Noise = "const", *, transform: Tensor | None = None, bends: Bends = NO_BENDS
    ) -> Tensor:
        """Pictures for latent vectors.

        Args:
            ws: (B, num_ws, w_dim).
            noise: nothing that this network has: "const", "none" or an empty list.
            transform: (3, 3) or (B, 3, 3), the inverse of what happens to the picture, in units of the picture's width,
                x to the right and y downwards; None: the one that the file holds, which nearly always changes nothing.
            bends: transforms of the results of layers, by their index in `layer_names`.

        Returns:
            (B, 3, H, W) float32, RGB, nominally in [-1, 1], not clamped.

        Raises:
            StyleGANError: a shape is wrong.
        """
        with torch.no_grad():
            return self.differentiable(ws, noise, transform=transform, bends=bends)

    def differentiable(
        self, ws: Tensor, noise: Noise = "const", *, transform: Tensor | None = None, bends: Bends = NO_BENDS
    ) -> Tensor:
        """Pictures as of `synthesis`, through which gradients flow, if the network runs on plain PyTorch.

        Raises:
            StyleGANError: a shape is wrong.
        """
        if ws.ndim != 3 or ws.shape[1:] != (self.num_ws, self.w_dim):
            wanted = f"(batch, {self.num_ws}, {self.w_dim})"
            raise StyleGANError(f"ws has the shape {tuple(ws.shape)}; this model takes {wanted}")
        if not isinstance(noise, str) and len(noise):
            raise StyleGANError(f"{len(noise)} noise maps were given; this model has no noise: give none")
        matrix = self._transform(transform, len(ws))
        ws = moved(ws, self.device)
        modulations = self._modulations(ws)
        workspace = self._borrow_workspace() if self.compiled else None
        first = styled(self._input(ws[:, 0], matrix, self.architecture.input_size).to(self.dtype), modulations[0][0])
        height, width = self.img_size
        image = torch.empty(len(ws), 3, height, width, device=self.device)
        self._synthesise(0, first, modulations, image, workspace, idle_left_out(bends))
        if workspace is not None:
            self._workspaces.append(workspace)
        return image

    def resized(self, img_size: tuple[int, int]) -> Self:
        """The same network on a canvas of (H, W): it shows more or less of the plane, at the same scale.

        Raises:
            StyleGANError: the network cannot have such a canvas.
        """
        if img_size == self.img_size:
            return self
        if min(img_size) < 1:
            raise StyleGANError(f"pictures of {img_size[1]} × {img_size[0]} cannot be made; give a size from 1 × 1 on")
        architecture = self._trained.resized(img_size)
        if (fault := architecture.fault()) is not None:
            raise StyleGANError(f"pictures of {img_size[1]} × {img_size[0]} cannot be made: {fault}")
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.architecture = architecture
        other._workspaces = []
        other._layers = [
            dataclasses.replace(own, source=layer, resampling=resampling_of(layer, own.resampling))
            for layer, own in zip(architecture.layers, self._layers, strict=True)
        ]
        return other

    def _measured(self, layer: PreparedLayer) -> PreparedLayer:
        """The layer, with the way that is faster on this GPU."""
        if layer.source.to_rgb or kernel_pays(self.device, self.dtype, layer):
            return layer
        return dataclasses.replace(layer, resampling=dataclasses.replace(layer.resampling, pays=False))

    def _transform(self, transform: Tensor | None, batch: int) -> Tensor:
        if transform is None:
            return self._input.transform
        if transform.shape not in ((3, 3), (batch, 3, 3)):
            raise StyleGANError(
                f"the transform has the shape {tuple(transform.shape)}; give (3, 3), or ({batch}, 3, 3): one a sample"
            )
        return moved(transform, self.device)

    def _modulations(self, ws: Tensor) -> list[Modulation]:
        """Style and scale of each layer."""
        count = len(ws)
        # A product with one vector is summed in another order than with several; see `Generator._modulations`.
        ws = ws.repeat(2, 1, 1) if count == 1 else ws
        found = [layer.modulation(ws[:, at + 1]) for at, layer in enumerate(self._layers)]
        return [(style[:count].contiguous(), scale[:count].contiguous()) for style, scale in found]

    def _synthesise(
        self,
        start: int,
        x: Tensor,
        modulations: list[Modulation],
        image: Tensor,
        workspace: Workspace | None,
        bends: Bends,
        depth: int = 0,
    ) -> None:
        """Run the layers from `start` on. Where activations are large, the batch is split into parts.

        Parts have memory of their own, by `depth`, because those that come later still lie in that of the whole.
        """
        for index in range(start, len(self._layers)):
            samples = self._samples_at_once(index)
            if len(x) > samples:
                for at in range(0, len(x), samples):
                    part = slice(at, at + samples)
                    own = [(style[part], scale[part]) for style, scale in modulations]
                    self._synthesise(index, x[part], own, image[part], workspace, part_of(bends, part), depth + 1)
                return
            name = f"layer {depth} {index % 2}"
            x = self._run_layer(index, x, modulations, workspace, name, bends.get(index, ()))
        image.copy_(x)

    def _run_layer(
        self,
        index: int,
        x: Tensor,
        modulations: list[Modulation],
        workspace: Workspace | None,
        name: str,
        bends: Sequence[Bend],
    ) -> Tensor:
        """Output of one layer, times the style of the next one; of the last one the picture.

        `name` is that of the result in the workspace, where x must not lie.
        """
        layer = self._layers[index]
        scale = modulations[index][1]
        found = layer.convolved(x)
        if layer.source.to_rgb:
            picture = found.float() * scale[:, :, None, None] + layer.bias.view(1, -1, 1, 1)
            if (clamp := layer.source.clamp) is not None:
                picture = picture.clamp(-clamp, clamp)
            return picture * self.architecture.output_scale
        style = modulations[index + 1][0]
        if not bends:
            return filtered_lrelu(found, scale, layer.bias, style, layer.resampling, workspace, name)
        found = filtered_lrelu(found, scale, layer.bias, None, layer.resampling, workspace, name)
        return bent(found, bends, self._unit(index)).mul_(style.to(found.dtype)[:, :, None, None])

    def _unit(self, index: int) -> float:
        """Samples of a layer's result in a width of the picture as it was trained."""
        height, width = self._trained.img_size
        return self._layers[index].source.out_rate * min(height, width) / self.architecture.img_resolution

    def _samples_at_once(self, index: int) -> int:
        """Number of samples that go through this layer and the later ones together."""
        layer = self._layers[index].source
        elements = CPU_WORKING_SET // self.dtype.itemsize if self.device.type == "cpu" else GPU_ELEMENTS
        return max(1, elements // (layer.out_channels * math.prod(layer.conv_size)))

    def _borrow_workspace(self) -> Workspace:
        """A workspace that no other thread is using."""
        try:
            return self._workspaces.pop()
        except IndexError:
            return Workspace(self.device)
