"""The networks in training: a StyleGAN2 generator and its residual discriminator.

Source: Karras et al. 2020 (arXiv:1912.04958): skip generator, residual discriminator, weight demodulation. The
generator's parameters have the names and scales of `stylegan_ops.Architecture.shapes()`, so that its state *is* a
model file's. Convolutions are dense, with styles on the activations, as in `stylegan_ops`; here with gradients.
"""

import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan_ops.architecture import Architecture, Convolution
from stylegan_ops.layers import GAIN, normalised
from training.fused import activated, scaled


class Linear(nn.Module):
    """Fully connected, with equalised learning rate (Karras et al. 2018, arXiv:1710.10196, section 4.1)."""

    def __init__(self, inputs: int, outputs: int, *, bias: float = 0.0, lr: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr)
        self.bias = nn.Parameter(torch.full((outputs,), bias / lr))
        self._scale = lr / math.sqrt(inputs)
        self._lr = lr

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self._scale, self.bias * self._lr)


class StyledConvolution(nn.Module):
    """One 3 × 3 convolution of the synthesis network: style, convolve, demodulate, noise, bias, leaky ReLU."""

    noise_const: Tensor

    def __init__(self, source: Convolution, w_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(source.out_channels, source.in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(source.out_channels))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", torch.randn(source.size))
        self.affine = Linear(w_dim, source.in_channels, bias=1.0)
        self.up = source.up

    def forward(
        self, x: Tensor, w: Tensor, noise: Tensor, taps: Tensor, twice: bool = False, points: bool = False
    ) -> Tensor:
        style = self.affine(w)
        # Scaled as a whole, which demodulation undoes: 16-bit sums keep their precision.
        weight = self.weight * (1 / math.sqrt(self.weight[0].numel()))
        if points:
            weight = weight[:, :, 1:2, 1:2]
        scale = torch.rsqrt(style.square() @ weight.square().sum((2, 3)).T + 1e-8)
        x = scaled(x, style, twice=twice)
        if points:
            x = F.conv2d(x, weight.to(x.dtype))
        elif self.up:
            x = up_convolution(x, weight.to(x.dtype), taps)
        else:
            x = F.conv2d(x, weight.to(x.dtype), padding=1)
        return activated(x, scale * GAIN, noise * (self.noise_strength * GAIN), self.bias * GAIN, twice=twice)


def up_convolution(x: Tensor, weight: Tensor, taps: Tensor) -> Tensor:
    """A transposed convolution of stride 2, then the resampling filter; weight (O, I, 3, 3), taps (4,) that sum to 1.

    As one convolution with four times the channels, one for each phase of the doubled picture: filter and weight are
    multiplied out beforehand.
    """
    outputs, inputs = weight.shape[:2]
    phases = weight.reshape(outputs * inputs, 9) @ _phase_matrix(taps).to(weight.dtype)
    phases = phases.view(outputs, inputs, 4, 9).transpose(1, 2).reshape(outputs * 4, inputs, 3, 3)
    y = F.conv2d(x, phases, padding=1)
    return F.pixel_shuffle(y, 2)


def _phase_matrix(taps: Tensor) -> Tensor:
    """(9, 36): the kernel of each of four phases, from a 3 × 3 weight."""
    kernel = 4 * torch.outer(taps, taps)
    unit = torch.eye(9, device=taps.device, dtype=taps.dtype).view(9, 1, 3, 3)
    full = F.conv2d(unit, kernel.flip(0, 1)[None, None], padding=3)  # (9, 1, 6, 6): weight and filter together
    full = full.flip(2, 3)[:, 0]  # as conv_transpose2d counts, flipped to correlate
    return torch.stack([full[:, 1 - i :: 2, 1 - j :: 2] for i in (0, 1) for j in (0, 1)], 1).reshape(9, 36)


class Painter(nn.Module):
    """`torgb`."""

    def __init__(self, channels: int, w_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))
        self.affine = Linear(w_dim, channels, bias=1.0)

    def forward(self, x: Tensor, w: Tensor, twice: bool = False) -> Tensor:
        style = self.affine(w) * (1 / math.sqrt(x.shape[1]))
        x = scaled(x, style, twice=twice)
        return F.conv2d(x, self.weight.to(x.dtype)).float() + self.bias[:, None, None]


class Block(nn.Module):
    """All that runs at one resolution."""

    def __init__(self, convolutions: Sequence[Convolution], channels: int, w_dim: int) -> None:
        super().__init__()
        if len(convolutions) == 2:
            self.conv0 = StyledConvolution(convolutions[0], w_dim)
        else:
            self.const = nn.Parameter(torch.randn(channels, *convolutions[0].size))
        self.conv1 = StyledConvolution(convolutions[-1], w_dim)
        self.torgb = Painter(channels, w_dim)

    def layers(self) -> list[StyledConvolution]:
        """Its convolutions, in order."""
        return [module for module in self.children() if isinstance(module, StyledConvolution)]


class MappingNetwork(nn.Module):
    """Noise vectors to latents; and the latents' running mean."""

    w_avg: Tensor

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        width = architecture.z_dim
        for index, features in enumerate(architecture.mapping_features):
            self.add_module(f"fc{index}", Linear(width, features, lr=architecture.mapping_lr))
            width = features
        self.register_buffer("w_avg", torch.zeros(architecture.w_dim))

    def layers(self) -> list[Linear]:
        """In order."""
        return [module for module in self.children() if isinstance(module, Linear)]

    def forward(self, z: Tensor) -> Tensor:
        x = normalised(z)
        for layer in self.layers():
            x = F.leaky_relu(layer(x), 0.2) * GAIN
        return x


class GeneratorNetwork(nn.Module):
    """A trainable StyleGAN2 generator; `state_dict()` is the state of a `stylegan_ops` model of `architecture`."""

    taps: Tensor

    def __init__(self, architecture: Architecture) -> None:
        """Fresh weights from PyTorch's generator."""
        super().__init__()
        self.architecture = architecture
        self.mapping = MappingNetwork(architecture)
        self.synthesis = nn.Module()
        convolutions = list(architecture.convolutions())
        for resolution, channels in zip(architecture.blocks, architecture.channels, strict=True):
            own = [source for source in convolutions if source.name.startswith(f"synthesis.b{resolution}.")]
            self.synthesis.add_module(f"b{resolution}", Block(own, channels, architecture.w_dim))
        self.register_buffer("taps", torch.tensor(architecture.resample_filter), persistent=False)

    def block(self, resolution: int) -> Block:
        """What runs at a resolution."""
        block = self.synthesis.get_submodule(f"b{resolution}")
        assert isinstance(block, Block)
        return block

    def blocks(self) -> list[tuple[int, Block]]:
        """All of them, from coarse to fine, with their resolutions."""
        return [(size, self.block(size)) for size in self.architecture.blocks]

    def focus(self, groups: Sequence[tuple[slice, slice]]) -> None:
        """Begin with a third of each latent for each depth group, and layers that listen to their own third alone.

        The mapping network's first layer gives lrelu(z) and lrelu(-z), whose difference is z; the others begin with
        random curves of it, each of one group's numbers. The filters from 32 × 32 on begin as points.

        Args:
            groups: layers, and the numbers of z that they begin with.
        """
        lr, z_dim, width = self.architecture.mapping_lr, self.architecture.z_dim, self.architecture.w_dim // len(groups)
        first, *others = self.mapping.layers()
        unit = torch.eye(z_dim, device=first.weight.device)
        first.weight.data = torch.cat([unit, -unit]) * (math.sqrt(z_dim) / lr)
        sources = [torch.arange(z_dim)[numbers] for _, numbers in groups]
        sources = [torch.cat([own, own + z_dim]) for own in sources]
        for layer in others:
            kept = torch.zeros_like(layer.weight.data)
            for group, own in enumerate(sources):
                rows = slice(group * width, (group + 1) * width)
                kept[rows, own] = layer.weight.data[rows, own] * math.sqrt(layer.weight.shape[1] / len(own))
            layer.weight.data = kept
            layer.bias.data = torch.randn_like(layer.bias.data) * (0.5 / lr)
            sources = [torch.arange(group * width, (group + 1) * width) for group in range(len(groups))]
        at = 0
        for size, block in self.blocks():
            for convolution in block.layers():
                self._listen(convolution.affine, sources[_group_of(at, groups)])
                if size >= 32:
                    filters = convolution.weight.data
                    centre = filters[:, :, 1, 1].clone()
                    filters.mul_(0.02)[:, :, 1, 1] = centre
                at += 1
            self._listen(block.torgb.affine, sources[_group_of(at, groups)])
            if size < 32:
                block.torgb.weight.data.zero_()

    @staticmethod
    def _listen(affine: Linear, numbers: Tensor) -> None:
        """Let styles depend on some numbers of the latents alone."""
        kept = torch.zeros_like(affine.weight.data)
        kept[:, numbers] = affine.weight.data[:, numbers] * (0.35 * math.sqrt(affine.weight.shape[1] / len(numbers)))
        affine.weight.data = kept

    def latents(self, z: Tensor) -> Tensor:
        """(B, z_dim) -> (B, w_dim) float32."""
        latents: Tensor = self.mapping(z)
        return latents

    def noise(self, batch: int, resolution: int, *, generator: torch.Generator) -> list[Tensor]:
        """Noise maps for the layers up to a resolution, (B, 1, h, w) each, in layer order."""
        sizes = [source.size for source in self.architecture.convolutions()]
        return [
            torch.randn(batch, 1, *size, generator=generator, device=self.taps.device)
            for size in sizes
            if size[0] <= resolution
        ]

    def forward(
        self,
        ws: Tensor,
        noise: Sequence[Tensor],
        resolution: int,
        *,
        dtype: torch.dtype = torch.float32,
        twice: bool = False,
    ) -> Tensor:
        """Pictures of a resolution up to the model's own.

        Args:
            ws: (B, L, w_dim); those of higher resolutions are not used.
            noise: maps as `noise` gives them.
            resolution: which block paints last.
            dtype: precision of the convolutions.
            twice: whether gradients of gradients will be asked for.

        Returns:
            (B, 3, resolution, resolution) float32.
        """
        image: Tensor | None = None
        for x, block, at in self._walk(ws, noise, resolution, dtype, twice):
            painted = block.torgb(x, ws[:, at], twice)
            image = painted if image is None else upsampled(image, self.taps) + painted
        assert image is not None
        return image

    def activations(
        self, ws: Tensor, noise: Sequence[Tensor], resolution: int, *, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """What the block at a resolution puts out, (B, C, h, w), unpainted; arguments as of `forward`."""
        *_, (x, _, _) = self._walk(ws, noise, resolution, dtype, twice=False)
        return x

    def upper(self, x: Tensor, ws: Tensor, noise: Sequence[Tensor], first: int) -> Tensor:
        """Pictures from activations: the blocks from `first` on.

        Args:
            x: (B, C, h, w), activations of the block before, of the whole picture or of a part.
            ws: (B, L, w_dim).
            noise: a map for each layer of the whole network; those of the blocks in use are of the same part.
            first: resolution of the first block.

        Returns:
            (B, 3, h', w') float32; near the border of a part, not what the whole would be.
        """
        image: Tensor | None = None
        at = 0
        for size, block in self.blocks():
            for layer in block.layers():
                if size >= first:
                    x = layer(x, ws[:, at], noise[at], self.taps)
                at += 1
            if size >= first:
                painted = block.torgb(x, ws[:, at])
                image = painted if image is None else upsampled(image, self.taps) + painted
        assert image is not None
        return image

    def _walk(
        self, ws: Tensor, noise: Sequence[Tensor], resolution: int, dtype: torch.dtype, twice: bool
    ) -> Iterator[tuple[Tensor, Block, int]]:
        """Activations after each block, the block, and the number of the latent that paints it."""
        x = self.block(4).const.to(dtype)[None].expand(len(ws), -1, -1, -1)
        x = x.contiguous(memory_format=torch.channels_last)
        at = 0
        for size, block in self.blocks():
            if size > resolution:
                break
            for layer in block.layers():
                x = layer(x, ws[:, at], noise[at], self.taps, twice)
                at += 1
            yield x, block, at

    def points(
        self, x: Tensor, ws: Tensor, noise: Sequence[Tensor | None], first: int
    ) -> tuple[Tensor, dict[int, list[Tensor]]]:
        """Colours of single points: the blocks from `first` on with the centres of their filters alone.

        Args:
            x: (B, C, h, w), activations of the block before, at any points.
            ws: (B, L, w_dim).
            noise: (B, 1, h, w) for each layer of those blocks, among all layers.
            first: resolution of the first block.

        Returns:
            (B, 3, h, w) float32, and the activations after each layer, by the resolution of its block.
        """
        inner: dict[int, list[Tensor]] = {}
        image = x.new_zeros((len(x), 3, *x.shape[2:]), dtype=torch.float32)
        at = 0
        for size, block in self.blocks():
            for layer in block.layers():
                values = noise[at]
                if size >= first and values is not None:
                    x = layer(x, ws[:, at], values, self.taps, points=True)
                    inner.setdefault(size, []).append(x)
                at += 1
            if size >= first:
                image = image + block.torgb(x, ws[:, at])
        return image, inner


def _group_of(layer: int, groups: Sequence[tuple[slice, slice]]) -> int:
    (group,) = [index for index, (layers, _) in enumerate(groups) if layers.start <= layer < layers.stop]
    return group


def upsampled(image: Tensor, taps: Tensor) -> Tensor:
    """Doubles pictures: zeros between the pixels, then the resampling filter with a gain of 4."""
    channels = image.shape[1]
    kernel = 4 * torch.outer(taps, taps)
    padded = F.pad(image, (1, 1, 1, 1))
    weight = kernel.expand(channels, 1, 4, 4).to(image.dtype)
    return F.conv_transpose2d(padded, weight, stride=2, padding=3, groups=channels)


class Discriminator(nn.Module):
    """Tells pictures from the generator's: residual blocks, and the batch's spread as a hint (minibatch std)."""

    def __init__(self, architecture: Architecture, channels: Sequence[int]) -> None:
        """Fresh weights from PyTorch's generator; `channels` are of the blocks at 4, 8, 16, ..."""
        super().__init__()
        self.resolutions = architecture.blocks
        self.entry = nn.ModuleDict()
        self.blocks = nn.ModuleDict()
        for index, resolution in enumerate(self.resolutions):
            self.entry[str(resolution)] = PlainConvolution(3, channels[index], 1)
            if index:
                self.blocks[str(resolution)] = DiscriminatorBlock(channels[index], channels[index - 1])
        self.last = PlainConvolution(channels[0] + 1, channels[0], 3)
        self.hidden = Linear(channels[0] * 16, channels[0])
        self.verdict = Linear(channels[0], 1)

    def forward(self, image: Tensor, *, dtype: torch.dtype = torch.float32) -> Tensor:
        """Pictures (B, 3, r, r) in [-1, 1] -> logits (B,)."""
        resolution = image.shape[-1]
        x = self.entry[str(resolution)](image.to(dtype).contiguous(memory_format=torch.channels_last))
        while resolution > 4:
            x = self.blocks[str(resolution)](x)
            resolution //= 2
        x = x.float()
        group = x.unflatten(0, (-1, min(8, len(x)))) if len(x) % min(8, len(x)) == 0 else x[None]
        spread = (group.var(1, correction=0) + 1e-8).sqrt().mean((1, 2, 3))
        spread = spread.repeat_interleave(group.shape[1])[:, None, None, None].expand(-1, 1, 4, 4)
        x = self.last(torch.cat([x, spread], 1))
        x = F.leaky_relu(self.hidden(x.flatten(1)), 0.2) * GAIN
        logits: Tensor = self.verdict(x)[:, 0]
        return logits


class PlainConvolution(nn.Module):
    """A convolution with equalised learning rate and leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self._scale = 1 / math.sqrt(inputs * kernel * kernel)

    def forward(self, x: Tensor) -> Tensor:
        weight = (self.weight * (self._scale * GAIN)).to(x.dtype)
        x = F.conv2d(x, weight, (self.bias * GAIN).to(x.dtype), padding=weight.shape[-1] // 2)
        return F.leaky_relu_(x, 0.2)


class DiscriminatorBlock(nn.Module):
    """Halves the resolution: two convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv0 = PlainConvolution(inputs, inputs, 3)
        self.conv1 = PlainConvolution(inputs, outputs, 3)
        self.skip = nn.Parameter(torch.randn(outputs, inputs, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        half = F.avg_pool2d(x, 2)
        skip = F.conv2d(half, (self.skip * (1 / math.sqrt(x.shape[1]))).to(x.dtype))
        y = F.avg_pool2d(self.conv1(self.conv0(x)), 2)
        return (y + skip) * math.sqrt(0.5)
