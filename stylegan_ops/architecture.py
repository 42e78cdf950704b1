"""The architecture of a StyleGAN2: everything about a network except its weights, and the tensors that it must have.

Conventions: tensors go by the names of `state` in a StyleGAN2-ADA PyTorch pickle (`mapping.fc0.weight`,
`synthesis.b8.conv0.affine.bias`), whatever file they came from. A block is named after the resolution that it
would have in a square network, 4, 8, 16, ...; a learned constant of 4 × 2 gives block b8 pictures of 8 × 4.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from stylegan_ops.errors import StyleGANError

Kind = Literal["skip", "resnet", "orig"]

MAX_CHANNELS, MAX_LATENT, MAX_MAPPING_LAYERS, MAX_CLASSES = 16_384, 16_384, 64, 65_536
MAX_RESOLUTION, MAX_SIDE = 4096, 16_384
"""Largest side in pixels of a square network's picture (no picture has more pixels), and of any picture."""
LARGEST_GROWTH = 8
"""Most pixels of an enlarged network's pictures, in those of the largest model."""
MAX_ACTIVATION = 1 << 31
"""Most bytes in float32 of a frame's largest activation; StyleGAN2 at 1024² needs an eighth of a GiB."""
MAX_MULTIPLICATIONS = 4 * 10**12
"""Most multiplications of one frame; StyleGAN2 at 1024² needs 7.4 · 10¹⁰."""


@dataclass(frozen=True)
class Convolution:
    """One 3 × 3 convolution of the synthesis network, in layer order."""

    name: str
    """Prefix of its tensors: `synthesis.b8.conv0`."""
    in_channels: int
    out_channels: int
    up: bool
    """Doubles the resolution."""
    size: tuple[int, int]
    """(h, w) of its output and of its noise."""


class Frame(Protocol):
    """Cost of one frame of a network."""

    @property
    def img_size(self) -> tuple[int, int]: ...
    def frame_bytes(self) -> int: ...
    def frame_multiplications(self) -> int: ...


def fault_of_frame(architecture: Frame) -> str | None:
    """Say why one frame is beyond what is possible, as the end of a sentence; None if it is not."""
    height, width = architecture.img_size
    if max(height, width) > MAX_SIDE or height * width > MAX_RESOLUTION**2:
        return (
            f"its pictures are {width} × {height}, where {MAX_SIDE} pixels a side and {MAX_RESOLUTION}² in all are "
            "possible"
        )
    if (size := architecture.frame_bytes()) > MAX_ACTIVATION:
        gigabytes = f"{size / 2**30:.1f} GiB"
        return f"one frame's largest activation takes {gigabytes}, where {MAX_ACTIVATION >> 30} are possible"
    if (work := architecture.frame_multiplications()) > MAX_MULTIPLICATIONS:
        return f"one frame takes {work:.2g} multiplications, where {MAX_MULTIPLICATIONS:.2g} are possible"
    return None


def check_enlarged(img_size: tuple[int, int]) -> None:
    """Refuse pictures (H, W) that are larger than any canvas.

    Raises:
        StyleGANError: a side, or the number of pixels, is too large.
    """
    height, width = img_size
    if max(height, width) > MAX_SIDE or height * width > LARGEST_GROWTH * MAX_RESOLUTION**2:
        raise StyleGANError(
            f"pictures of {width} × {height} were asked for; {MAX_SIDE} pixels a side and "
            f"{LARGEST_GROWTH * MAX_RESOLUTION**2} in all are possible: give a smaller constant"
        )


@dataclass(frozen=True)
class Architecture:
    """A StyleGAN2 generator (Karras et al. 2020, arXiv:1912.04958; ADA 2020, arXiv:2006.06676) without its weights."""

    z_dim: int
    w_dim: int
    mapping_features: tuple[int, ...]
    """Outputs of each layer of the mapping network; the last is `w_dim`."""
    channels: tuple[int, ...]
    """Channels of the blocks at 4, 8, 16, ...; in published models min(channel_base // resolution, channel_max)."""
    c_dim: int = 0
    """Number of classes of a conditional model; 0 for a model without classes."""
    embed_features: int = 0
    """Width of the label's embedding."""
    kind: Kind = "skip"
    """skip: every block has a toRGB layer; resnet and orig: only the last, with and without residual branches."""
    const_size: tuple[int, int] = (4, 4)
    """(h, w) of the learned constant."""
    conv_clamp: float | None = None
    """Activations are kept within ± this value (models trained with 16-bit layers)."""
    mapping_lr: float = 0.01
    """Learning-rate multiplier of the mapping network, a factor of its stored weights and biases."""
    resample_filter: tuple[float, ...] = (0.125, 0.375, 0.375, 0.125)
    """Four taps that sum to one."""

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
        """Number of latent inputs: one for each convolution and one for the last toRGB layer."""
        return 2 * len(self.channels)

    @property
    def noise_sizes(self) -> tuple[tuple[int, int], ...]:
        """(h, w) of the noise maps in layer order: b4.conv1, b8.conv0, b8.conv1, ..."""
        return tuple(convolution.size for convolution in self.convolutions())

    def block_size(self, resolution: int) -> tuple[int, int]:
        """(h, w) of the output of the block at this nominal resolution."""
        height, width = self.const_size
        return height * resolution // 4, width * resolution // 4

    def has_to_rgb(self, resolution: int) -> bool:
        """Whether the block at this nominal resolution has a toRGB layer."""
        return self.kind == "skip" or resolution == self.img_resolution

    def convolutions(self) -> Iterator[Convolution]:
        """The 3 × 3 convolutions in layer order."""
        previous = self.channels[0]
        for resolution, channels in zip(self.blocks, self.channels, strict=True):
            prefix, size = f"synthesis.b{resolution}", self.block_size(resolution)
            if resolution > 4:
                yield Convolution(f"{prefix}.conv0", previous, channels, True, size)
            yield Convolution(f"{prefix}.conv1", channels, channels, False, size)
            previous = channels

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The name and shape of every tensor of the network."""
        shapes: dict[str, tuple[int, ...]] = {"mapping.w_avg": (self.w_dim,)}
        width = self.z_dim
        if self.c_dim:
            shapes["mapping.embed.weight"] = (self.embed_features, self.c_dim)
            shapes["mapping.embed.bias"] = (self.embed_features,)
            width += self.embed_features
        for index, features in enumerate(self.mapping_features):
            shapes[f"mapping.fc{index}.weight"] = (features, width)
            shapes[f"mapping.fc{index}.bias"] = (features,)
            width = features
        shapes["synthesis.b4.const"] = (self.channels[0], *self.const_size)
        for convolution in self.convolutions():
            shapes |= self._styled(convolution.name, convolution.in_channels, convolution.out_channels, 3)
            shapes[f"{convolution.name}.noise_strength"] = ()
            shapes[f"{convolution.name}.noise_const"] = convolution.size
        for index, (resolution, channels) in enumerate(zip(self.blocks, self.channels, strict=True)):
            if self.has_to_rgb(resolution):
                shapes |= self._styled(f"synthesis.b{resolution}.torgb", channels, 3, 1)
            if self.kind == "resnet" and resolution > 4:
                shapes[f"synthesis.b{resolution}.skip.weight"] = (channels, self.channels[index - 1], 1, 1)
        return shapes

    def fault(self) -> str | None:
        """Why this architecture is not legal, or None. Only this method decides which architectures are legal.

        It applies to all file formats. Each number has bounds, and so have the memory and the work of one frame.
        """
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
            numbers["the width of the label's embedding"] = (self.embed_features, MAX_LATENT)
        for what, (number, most) in numbers.items():
            if not 1 <= number <= most:
                return f"{what} is {number}, where 1 to {most} is possible"
        if len(self.channels) < 2:
            return "it has a single block, where 2 or more are possible"
        return self._fault_of_numbers() or fault_of_frame(self)

    def _fault_of_numbers(self) -> str | None:
        for what, number in (("clamp", self.conv_clamp), ("learning-rate multiplier", self.mapping_lr)):
            if number is not None and not 0 < number < math.inf:
                return f"its {what} is {number}, which is no positive number"
        taps = self.resample_filter
        if len(taps) != 4 or not all(map(math.isfinite, taps)) or abs(sum(taps) - 1) > 1e-4:
            return "its resampling filter is not of four taps that sum to 1"
        return None

    def frame_bytes(self) -> int:
        """Bytes in float32 of the largest activation of one frame."""
        return max(4 * layer.out_channels * math.prod(layer.size) for layer in self.convolutions())

    def frame_multiplications(self) -> int:
        """Multiplications of one frame's 3 × 3 convolutions, which are nearly all of its work."""
        return sum(
            9 * layer.in_channels * layer.out_channels * math.prod(layer.size) // (4 if layer.up else 1)
            for layer in self.convolutions()
        )

    def parameters(self) -> int:
        """Number of learned parameters, without noise maps and the mean latent."""
        fixed = (".noise_const", ".w_avg")
        return sum(math.prod(shape) for name, shape in self.shapes().items() if not name.endswith(fixed))

    def _styled(self, prefix: str, in_channels: int, out_channels: int, kernel: int) -> dict[str, tuple[int, ...]]:
        return {
            f"{prefix}.weight": (out_channels, in_channels, kernel, kernel),
            f"{prefix}.bias": (out_channels,),
            f"{prefix}.affine.weight": (in_channels, self.w_dim),
            f"{prefix}.affine.bias": (in_channels,),
        }
