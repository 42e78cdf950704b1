"""The architecture of a StyleGAN3: everything about a network except its weights, and the tensors that it must have.

Conventions: sizes are (width, height) as the files store them; only `img_size` is (height, width), as everywhere else
in this package. Tensors go by the names of NVIDIA's files (`synthesis.L0_36_512.weight`).
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Self

from stylegan_ops.architecture import (
    MAX_ACTIVATION,
    MAX_CHANNELS,
    MAX_CLASSES,
    MAX_LATENT,
    MAX_MAPPING_LAYERS,
    MAX_RESOLUTION,
    MAX_SIDE,
    fault_of_frame,
)
from stylegan_ops.stylegan3.design import centred_padding

MAX_LAYERS = 64
"""Most layers; published networks have 15, StyleGAN-XL's up to 40."""
MAX_FACTOR, MAX_TAPS = 16, 256
"""Largest factor of a change of the sampling rate and most taps of a filter; published networks have 4 and 24."""
MAX_PHASE_TAPS = 64
"""Most taps of the filter after up-sampling that fall on input samples; published networks have 6."""
MAX_KERNEL = 15
"""Largest kernel of a convolution; published networks have 1 and 3."""

Size = tuple[int, int]


@dataclass(frozen=True)
class Layer:
    """One layer: a styled convolution, then up-sampling, activation and down-sampling."""

    name: str
    """Name among the synthesis network's layers: L0_36_512."""
    in_channels: int
    out_channels: int
    kernel: int
    in_size: Size
    out_size: Size
    in_rate: int
    out_rate: int
    up: int
    down: int
    up_taps: int
    """Taps of the filter after up-sampling; 1 where there is none."""
    down_taps: int
    down_radial: bool
    """Whether the filter before down-sampling is a square of taps instead of a row."""
    padding: tuple[int, int, int, int]
    """(left, right, top, bottom) after zeros were inserted; negative numbers crop."""
    clamp: float | None
    to_rgb: bool

    @property
    def prefix(self) -> str:
        """Prefix of its tensors."""
        return f"synthesis.{self.name}"

    @property
    def conv_size(self) -> Size:
        """Size after the convolution, which pads by kernel - 1 on every side."""
        width, height = self.in_size
        return width + self.kernel - 1, height + self.kernel - 1

    @property
    def fine_size(self) -> Size:
        """Size at the high rate, after the filter of the up-sampling."""
        left, right, top, bottom = self.padding
        width, height = self.conv_size
        margin = 1 - self.up_taps
        return width * self.up + left + right + margin, height * self.up + top + bottom + margin

    def fits(self) -> bool:
        """Whether padding and filters lead to the size that it says."""
        return all(
            fine >= self.down_taps and (fine - self.down_taps) // self.down + 1 == out
            for fine, out in zip(self.fine_size, self.out_size, strict=True)
        )

    def multiplications(self) -> int:
        """Multiplications for one frame: the convolution, and the filters without the inserted zeros."""
        convolution = self.in_channels * self.kernel**2 * math.prod(self.conv_size)
        fine, out = math.prod(self.fine_size), math.prod(self.out_size)
        up = 2 * fine * -(-self.up_taps // self.up)
        down = out * self.down_taps**2 if self.down_radial else 2 * out * self.down * self.down_taps
        return self.out_channels * (convolution + (0 if self.to_rgb else up + down))


@dataclass(frozen=True)
class AliasFreeArchitecture:
    """A StyleGAN3 generator (Karras et al. 2021, arXiv:2106.12423), or a StyleGAN-XL, without its weights."""

    z_dim: int
    w_dim: int
    mapping_features: tuple[int, ...]
    """Outputs of each layer of the mapping network; the last is `w_dim`."""
    input_size: Size
    input_rate: int
    input_bandwidth: float
    layers: tuple[Layer, ...]
    """All layers; the last is toRGB."""
    img_resolution: int
    """Side of the square picture that is the unit of length, whatever the canvas."""
    output_scale: float = 0.25
    c_dim: int = 0
    """Number of classes of a conditional model; 0 for a model without classes."""
    embed_features: int = 0
    """Width of the label's embedding as it is joined to z."""
    class_width: int = 0
    """Width of StyleGAN-XL's vectors of classes; 0 for a network without them."""
    class_averages: bool = False
    """Whether there is a mean latent for each class."""
    mapping_lr: float = 0.01

    @property
    def img_size(self) -> tuple[int, int]:
        """(H, W) of the pictures."""
        width, height = self.layers[-1].out_size
        return height, width

    @property
    def num_ws(self) -> int:
        """Number of latent inputs: one for the input, one for each layer."""
        return len(self.layers) + 1

    @property
    def kind(self) -> str:
        """Name of the configuration."""
        family = "StyleGAN-XL" if self.class_width or self.class_averages else "StyleGAN3"
        radial = any(layer.down_radial for layer in self.layers)
        return f"{family}-{'R' if radial else 'T'}"

    def resized(self, img_size: tuple[int, int]) -> Self:
        """The same network on a canvas of (H, W): wider, higher, smaller or larger, without stretching."""
        height, width = self.img_size
        if img_size == (height, width):
            return self
        wanted = (img_size[1], img_size[0])
        own = (width, height)
        sizes = [
            wanted if last else self._resized(stored, rate, own, wanted)
            for stored, rate, last in [
                (self.input_size, self.input_rate, False),
                *(
                    (layer.out_size, layer.out_rate, at >= len(self.layers) - 2 and layer.out_size == own)
                    for at, layer in enumerate(self.layers)
                ),
            ]
        ]
        layers = []
        for layer, before, after in zip(self.layers, sizes, sizes[1:], strict=False):
            padding = centred_padding(
                before, after, kernel=layer.kernel, up=layer.up, down=layer.down, up_taps=layer.up_taps,
                down_taps=layer.down_taps,
            )  # fmt: skip
            layers.append(dataclasses.replace(layer, in_size=before, out_size=after, padding=padding))
        return dataclasses.replace(self, input_size=sizes[0], layers=tuple(layers))

    def _resized(self, stored: Size, rate: int, own: Size, wanted: Size) -> Size:
        """Size of a signal on another canvas: its margin stays, what it shows of the picture changes."""
        unit = self.img_resolution
        across, down = (
            -(-rate * new // unit) + size - -(-rate * old // unit)
            for size, old, new in zip(stored, own, wanted, strict=True)
        )
        return across, down

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The name and shape of every tensor of the network."""
        shapes: dict[str, tuple[int, ...]] = {}
        shapes["mapping.w_avg"] = (self.c_dim, self.w_dim) if self.class_averages else (self.w_dim,)
        width = self.z_dim
        if self.class_width:
            shapes["mapping.embed.weight"] = (self.c_dim, self.class_width)
            shapes["mapping.embed_proj.weight"] = (self.embed_features, self.class_width)
            shapes["mapping.embed_proj.bias"] = (self.embed_features,)
        elif self.c_dim:
            shapes["mapping.embed.weight"] = (self.embed_features, self.c_dim)
            shapes["mapping.embed.bias"] = (self.embed_features,)
        width += self.embed_features
        for index, features in enumerate(self.mapping_features):
            shapes[f"mapping.fc{index}.weight"] = (features, width)
            shapes[f"mapping.fc{index}.bias"] = (features,)
            width = features
        channels = self.layers[0].in_channels
        shapes["synthesis.input.freqs"] = (channels, 2)
        shapes["synthesis.input.phases"] = (channels,)
        shapes["synthesis.input.transform"] = (3, 3)
        shapes["synthesis.input.weight"] = (channels, channels)
        shapes["synthesis.input.affine.weight"] = (4, self.w_dim)
        shapes["synthesis.input.affine.bias"] = (4,)
        for layer in self.layers:
            shapes[f"{layer.prefix}.weight"] = (layer.out_channels, layer.in_channels, layer.kernel, layer.kernel)
            shapes[f"{layer.prefix}.bias"] = (layer.out_channels,)
            shapes[f"{layer.prefix}.affine.weight"] = (layer.in_channels, self.w_dim)
            shapes[f"{layer.prefix}.affine.bias"] = (layer.in_channels,)
            shapes[f"{layer.prefix}.magnitude_ema"] = ()
            if layer.up_taps > 1:
                shapes[f"{layer.prefix}.up_filter"] = (layer.up_taps,)
            if layer.down_taps > 1:
                shapes[f"{layer.prefix}.down_filter"] = (layer.down_taps,) * (2 if layer.down_radial else 1)
        return shapes

    def fault(self) -> str | None:
        """Why this architecture is not legal, or None; numbers, memory and work of one frame have bounds."""
        numbers = {
            "z": (self.z_dim, MAX_LATENT), "w": (self.w_dim, MAX_LATENT),
            "the widest mapping layer": (max(self.mapping_features, default=0), MAX_LATENT),
            "the narrowest mapping layer": (min(self.mapping_features, default=0), MAX_LATENT),
            "the number of mapping layers": (len(self.mapping_features), MAX_MAPPING_LAYERS),
            "the number of layers": (len(self.layers), MAX_LAYERS),
            "the width of the input": (self.input_size[0], MAX_SIDE),
            "the height of the input": (self.input_size[1], MAX_SIDE),
            "the sampling rate of the input": (self.input_rate, MAX_SIDE),
            "the resolution": (self.img_resolution, MAX_RESOLUTION),
        }  # fmt: skip
        if self.c_dim:
            numbers["the number of classes"] = (self.c_dim, MAX_CLASSES)
            numbers["the width of the label's embedding"] = (self.embed_features, MAX_LATENT)
        for what, (number, most) in numbers.items():
            if not 1 <= number <= most:
                return f"{what} is {number}, where 1 to {most} is possible"
        if not 0 < self.mapping_lr < math.inf:
            return f"its learning-rate multiplier is {self.mapping_lr}, which is no positive number"
        if not self.input_rate / 2 > self.input_bandwidth > 0 or not 0 < self.output_scale < math.inf:
            return "the bandwidth of its input or the scale of its output is no number that a network can have"
        return self._fault_of_layers() or fault_of_frame(self)

    def _fault_of_layers(self) -> str | None:
        size, rate, channels = self.input_size, self.input_rate, self.layers[0].in_channels
        for at, layer in enumerate(self.layers):
            if (size, rate, channels) != (layer.in_size, layer.in_rate, layer.in_channels):
                return f"its layer {layer.name} does not take what the one before it gives"
            if fault := _fault_of_layer(layer):
                return f"its layer {layer.name} {fault}"
            if layer.to_rgb != (at == len(self.layers) - 1):
                return f"its layer {layer.name} is at the wrong place"
            size, rate, channels = layer.out_size, layer.out_rate, layer.out_channels
        return None if channels == 3 else f"its pictures have {channels} channels, where 3 are possible"

    def frame_bytes(self) -> int:
        """Bytes in float32 of the largest activation of one frame; what lies between two filters is never whole."""
        first = self.layers[0]
        return max(
            4 * first.in_channels * math.prod(self.input_size),
            *(4 * layer.out_channels * math.prod(layer.conv_size) for layer in self.layers),
        )

    def frame_multiplications(self) -> int:
        """Multiplications of one frame."""
        channels = self.layers[0].in_channels
        return channels**2 * math.prod(self.input_size) + sum(layer.multiplications() for layer in self.layers)

    def parameters(self) -> int:
        """Number of learned parameters."""
        fixed = (".w_avg", ".freqs", ".phases", ".transform", ".magnitude_ema", "_filter")
        return sum(math.prod(shape) for name, shape in self.shapes().items() if not name.endswith(fixed))


def _fault_of_layer(layer: Layer) -> str | None:
    """What is wrong with a layer's numbers, as the end of a sentence."""
    numbers = {
        "input channels": (layer.in_channels, MAX_CHANNELS), "output channels": (layer.out_channels, MAX_CHANNELS),
        "pixels along its kernel": (layer.kernel, MAX_KERNEL), "columns": (layer.out_size[0], MAX_SIDE),
        "rows": (layer.out_size[1], MAX_SIDE), "as its sampling rate": (layer.out_rate, MAX_SIDE),
        "as its factor up": (layer.up, MAX_FACTOR), "as its factor down": (layer.down, MAX_FACTOR),
        "taps up": (layer.up_taps, MAX_TAPS), "taps down": (layer.down_taps, MAX_TAPS),
    }  # fmt: skip
    for what, (number, most) in numbers.items():
        if not 1 <= number <= most:
            return f"has {number} {what}, where 1 to {most} is possible"
    if any(abs(pad) > MAX_SIDE for pad in layer.padding):
        return f"has a padding of {layer.padding}"
    if layer.clamp is not None and not 0 < layer.clamp < math.inf:
        return f"has a clamp of {layer.clamp}, which is no positive number"
    if -(-layer.up_taps // layer.up) > MAX_PHASE_TAPS:
        return f"has {layer.up_taps} taps up for a factor of {layer.up}, more than {MAX_PHASE_TAPS} for each sample"
    if 4 * max(math.prod(layer.conv_size) * layer.up**2, math.prod(layer.fine_size)) > MAX_ACTIVATION:
        return f"needs more than {MAX_ACTIVATION >> 30} GiB between its filters"
    if not layer.fits():
        return f"makes another size than the {layer.out_size[0]} × {layer.out_size[1]} that it says"
    return None
