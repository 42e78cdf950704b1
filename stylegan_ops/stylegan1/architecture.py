"""The architecture of a StyleGAN1: everything about a network except its weights, and the tensors that it must have.

Conventions: a block is named after the resolution that it would have in a square network, 4, 8, 16, ... Each block ends
its two layers with an epilogue: noise, bias, activation, normalisation and style. Tensors go by names of this package
(`synthesis.b8.conv0.style.weight`); kernels are those of the operation without a fused change of scale.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from stylegan_ops.architecture import (
    MAX_CHANNELS,
    MAX_CLASSES,
    MAX_LATENT,
    MAX_MAPPING_LAYERS,
    MAX_RESOLUTION,
    MAX_SIDE,
    Convolution,
    fault_of_frame,
)


@dataclass(frozen=True)
class StyleGAN1Architecture:
    """A StyleGAN1 generator (Karras et al. 2019, arXiv:1812.04948) without its weights."""

    z_dim: int
    w_dim: int
    mapping_features: tuple[int, ...]
    """Outputs of each layer of the mapping network; the last is `w_dim`."""
    channels: tuple[int, ...]
    """Channels of the blocks at 4, 8, 16, ..."""
    c_dim: int = 0
    """Number of classes of a conditional model; 0 for a model without classes."""
    const_size: tuple[int, int] = (4, 4)
    """(h, w) of the learned constant."""
    lod: float = 0.0
    """Level of detail of a network that has not grown up: 0 for every finished one, 1 for half the resolution."""
    mapping_lr: float = 0.01
    conv_clamp: None = None
    """There is none, as in a StyleGAN2 without 16-bit layers."""
    kind: str = "StyleGAN1"

    @property
    def blocks(self) -> tuple[int, ...]:
        """Nominal resolutions: 4, 8, 16, ..."""
        return tuple(4 << index for index in range(len(self.channels)))

    @property
    def img_resolution(self) -> int:
        """The nominal resolution, which names the last block."""
        return self.blocks[-1]

    @property
    def img_size(self) -> tuple[int, int]:
        """(H, W) of the pictures."""
        return self.block_size(self.img_resolution)

    @property
    def num_ws(self) -> int:
        """Number of latent inputs: one for each epilogue."""
        return 2 * len(self.channels)

    @property
    def noise_sizes(self) -> tuple[tuple[int, int], ...]:
        """(h, w) of the noise maps, one for each epilogue."""
        return tuple(self.block_size(resolution) for resolution in self.blocks for _ in range(2))

    @property
    def embed_features(self) -> int:
        """Width of the label's embedding."""
        return self.z_dim if self.c_dim else 0

    def block_size(self, resolution: int) -> tuple[int, int]:
        """(h, w) of the output of the block at this nominal resolution."""
        height, width = self.const_size
        return height * resolution // 4, width * resolution // 4

    def epilogues(self) -> Iterator[tuple[str, int]]:
        """Prefix and resolution of each epilogue in order."""
        for resolution in self.blocks:
            yield f"synthesis.b{resolution}.{'const' if resolution == 4 else 'conv0'}", resolution
            yield f"synthesis.b{resolution}.conv1", resolution

    def convolutions(self) -> Iterator[Convolution]:
        """The 3 × 3 convolutions in layer order."""
        previous = self.channels[0]
        for resolution, channels in zip(self.blocks, self.channels, strict=True):
            size = self.block_size(resolution)
            if resolution > 4:
                yield Convolution(f"synthesis.b{resolution}.conv0", previous, channels, True, size)
            yield Convolution(f"synthesis.b{resolution}.conv1", channels, channels, False, size)
            previous = channels

    def pictures(self) -> tuple[int, ...]:
        """Nominal resolutions whose features are turned into colours: the last, or two around the level of detail."""
        level = math.floor(self.lod)
        levels = (level,) if self.lod == level else (level, level + 1)
        return tuple(self.img_resolution >> one for one in levels)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The name and shape of every tensor of the network."""
        shapes: dict[str, tuple[int, ...]] = {"mapping.w_avg": (self.w_dim,)}
        width = self.z_dim
        if self.c_dim:
            shapes["mapping.label.weight"] = (self.c_dim, self.z_dim)
            width += self.z_dim
        for index, features in enumerate(self.mapping_features):
            shapes[f"mapping.fc{index}.weight"] = (features, width)
            shapes[f"mapping.fc{index}.bias"] = (features,)
            width = features
        shapes["synthesis.b4.const.const"] = (self.channels[0], *self.const_size)
        for convolution in self.convolutions():
            shapes[f"{convolution.name}.weight"] = (convolution.out_channels, convolution.in_channels, 3, 3)
        of_block = dict(zip(self.blocks, self.channels, strict=True))
        for prefix, resolution in self.epilogues():
            channels = of_block[resolution]
            shapes[f"{prefix}.bias"] = (channels,)
            shapes[f"{prefix}.noise_strength"] = (channels,)
            shapes[f"{prefix}.noise_const"] = self.block_size(resolution)
            shapes[f"{prefix}.style.weight"] = (2 * channels, self.w_dim)
            shapes[f"{prefix}.style.bias"] = (2 * channels,)
        for resolution in self.pictures():
            shapes[f"synthesis.b{resolution}.torgb.weight"] = (3, of_block[resolution], 1, 1)
            shapes[f"synthesis.b{resolution}.torgb.bias"] = (3,)
        return shapes

    def fault(self) -> str | None:
        """Why this architecture is not legal, or None; numbers, memory and work of one frame have bounds."""
        numbers = {
            "z": (self.z_dim, MAX_LATENT), "w": (self.w_dim, MAX_LATENT),
            "the widest mapping layer": (max(self.mapping_features, default=0), MAX_LATENT),
            "the narrowest mapping layer": (min(self.mapping_features, default=0), MAX_LATENT),
            "the number of mapping layers": (len(self.mapping_features), MAX_MAPPING_LAYERS),
            "the most channels of a block": (max(self.channels, default=0), MAX_CHANNELS),
            "the least channels of a block": (min(self.channels, default=0), MAX_CHANNELS),
            "the nominal resolution": (self.img_resolution if self.channels else 0, MAX_RESOLUTION),
            "the height of the learned constant": (self.const_size[0], MAX_SIDE),
            "the width of the learned constant": (self.const_size[1], MAX_SIDE),
        }  # fmt: skip
        if self.c_dim:
            numbers["the number of classes"] = (self.c_dim, MAX_CLASSES)
        for what, (number, most) in numbers.items():
            if not 1 <= number <= most:
                return f"{what} is {number}, where 1 to {most} is possible"
        if len(self.channels) < 2:
            return "it has a single block, where 2 or more are possible"
        if not 0 < self.mapping_lr < math.inf:
            return f"its learning-rate multiplier is {self.mapping_lr}, which is no positive number"
        if not 0 <= self.lod <= len(self.channels) - 1:
            return f"its level of detail is {self.lod}, where 0 to {len(self.channels) - 1} is possible"
        return fault_of_frame(self)

    def frame_bytes(self) -> int:
        """Bytes in float32 of the largest activation of one frame: the one that is enlarged before its convolution."""
        return max(
            4 * max(layer.in_channels, layer.out_channels) * math.prod(layer.size) for layer in self.convolutions()
        )

    def frame_multiplications(self) -> int:
        """Multiplications of one frame's 3 × 3 convolutions, which are nearly all of its work."""
        return sum(9 * c.in_channels * c.out_channels * math.prod(c.size) for c in self.convolutions())

    def parameters(self) -> int:
        """Number of learned parameters, without noise maps and the mean latent."""
        fixed = (".noise_const", ".w_avg")
        return sum(math.prod(shape) for name, shape in self.shapes().items() if not name.endswith(fixed))
