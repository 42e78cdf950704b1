"""The parts of a generator in memory. Everything that does not depend on the input is computed beforehand."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan_ops import ops, tuning
from stylegan_ops.architecture import Architecture, Convolution
from stylegan_ops.fused import Finish, ToRGB
from stylegan_ops.memory import Workspace

GAIN = math.sqrt(2)
"""Gain of leaky ReLU, chosen so that it keeps the variance."""


Upsampling = Literal["auto", "transposed", "phases"]
"""How a convolution doubles the resolution: `ops.styled_conv2d_up`, or `ops.styled_conv2d_phases`."""

PHASES_UP_TO = 32
"""Most output channels for which a GPU upsamples by phases unless a measurement says otherwise. So few channels leave
most of a tensor core's tile empty; four times as many fill it, at four times the work, and save the filter's pass."""

MEASURED_UP_TO = 128
"""Most output channels for which a GPU measures which way is faster; with more, four times the work cannot pay."""


@dataclass(frozen=True)
class Linear:
    """A fully connected layer with its learning-rate multiplier and 1/√fan_in multiplied in."""

    weight: Tensor  # [out, in]
    bias: Tensor  # [out]

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


@dataclass(frozen=True)
class Modulation:
    """Factors of a styled convolution, computed from a batch of latent vectors."""

    style: Tensor  # [B, I] float32, for its input
    scale: Tensor  # [B, O] float32, for its output: demodulation times gain

    def part(self, samples: slice) -> "Modulation":
        """The modulation of some samples."""
        return Modulation(self.style[samples], self.scale[samples])


@dataclass(frozen=True)
class Layer:
    """A styled convolution, prepared: everything that does not depend on the input is computed."""

    source: Convolution
    affine: Linear
    weight: Tensor  # [O, I, 3, 3]; [I, O, 3, 3] when it doubles the resolution, or of phases [4 · O, I, 3, 3]
    weight_scale: float
    """Number by which `weight` was divided, to keep 16-bit sums in range."""
    energy: Tensor  # [I, O], sum of the squared weights over the kernel, float32
    bias: Tensor  # [O] float32, times gain
    gain: float
    clamp: float | None
    noise_gain: float
    """Noise strength times gain."""
    noise_const: Tensor | None  # [1, 1, h, w] float32; None where the strength is 0
    taps: Tensor | None  # [4] float32, the resampling filter times 2 of a layer that doubles the resolution
    phases: bool

    def modulation(self, w: Tensor) -> Modulation:
        """The modulation for latent vectors (B, W)."""
        style = self.affine(w)
        energy = style.square() @ self.energy
        return Modulation(*balanced(style, energy, self.gain * self.weight_scale, self.weight.dtype))

    def __call__(
        self,
        x: Tensor,
        scale: Tensor,
        noise: Tensor | None,
        *,
        next_style: Tensor | None,
        rgb: ToRGB | None,
        keep: bool,
        workspace: Workspace | None,
    ) -> Tensor | None:
        """Convolve x (B, I, h, w), already styled -> (B, O, h', w'), times the next layer's style if that is given.

        Args:
            x: the input.
            scale: (B, O), of `modulation`.
            noise: (B or 1, 1, h', w') float32.
            next_style: (B, O).
            rgb: the toRGB step after the last layer of a block, if it has one.
            keep: whether the activations are needed, besides the picture.
            workspace: memory for the compiled kernels.
        """
        finish = Finish(scale, self.bias, noise, self.noise_gain, self.clamp, next_style)
        if self.taps is None:
            name = self.source.name
            return ops.styled_conv2d(x, self.weight, finish, rgb, keep=keep, workspace=workspace, name=name)
        # All upsampling layers can share one buffer: the next convolution has read it before another layer writes it.
        if self.phases:
            return ops.styled_conv2d_phases(x, self.weight, finish, workspace=workspace, name="up")
        return ops.styled_conv2d_up(x, self.weight, self.taps, finish, workspace=workspace, name="up")


@dataclass(frozen=True)
class ToRGBLayer:
    """The modulated 1 × 1 convolution from activations to colours (`torgb` in checkpoints)."""

    affine: Linear
    weight: Tensor  # [3, C] float32, times 1/√C
    bias: Tensor  # [3] float32
    clamp: float | None
    taps: Tensor  # [4] float32, the resampling filter times 2

    def rgb_weight(self, w: Tensor) -> Tensor:
        """Styled weights for latent vectors (B, W): (B, 3, C)."""
        return self.weight * self.affine(w)[:, None]

    def step(self, weight: Tensor, skip: Tensor | None, image: Tensor) -> ToRGB:
        """The step that writes `image` (B, 3, h, w) and adds the previous block's `skip` (B, 3, h / 2, w / 2)."""
        return ToRGB(weight, self.bias, self.clamp, skip, self.taps, image)


@dataclass(frozen=True)
class Block:
    """All layers at one resolution."""

    first_layer: int
    """Index of its first convolution, which is also the index of its first latent input."""
    layers: tuple[Layer, ...]
    to_rgb: ToRGBLayer | None
    shortcut: Tensor | None  # [O, I, 1, 1] of a residual block, times its gain

    @property
    def last_layer(self) -> int:
        """Index of its last convolution."""
        return self.first_layer + len(self.layers) - 1


@dataclass(frozen=True)
class MappingNetwork:
    """The network from noise vectors (and labels, in a conditional model) to latent vectors; float32."""

    layers: tuple[Linear, ...]
    embed: Linear | None
    average: Tensor  # [W]

    def __call__(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Map z (B, z_dim), and c (B, c_dim) if there is an embedding, to (B, W)."""
        x = normalised(z)
        if self.embed is not None and c is not None:
            x = torch.cat([x, normalised(self.embed(c))], dim=1)
        for layer in self.layers:
            x = F.leaky_relu_(layer(x), 0.2).mul_(GAIN)
        return x


class Preparation:
    """Turns a state dict into layers: multiplies gains in, moves weights to the device and rounds them once.

    With `measure` a GPU with compiled kernels chooses by a measurement how it doubles the resolution.
    """

    def __init__(
        self,
        architecture: Architecture,
        state: Mapping[str, Tensor],
        device: torch.device,
        dtype: torch.dtype,
        upsampling: Upsampling = "auto",
        *,
        measure: bool = False,
    ) -> None:
        self._measure = measure
        self._architecture = architecture
        self._upsampling = upsampling
        self._state = state
        self._device = device
        self._dtype = dtype

    def tensor(self, name: str) -> Tensor:
        """A tensor of the state in float32 on the device."""
        return self._state[name].to(self._device, torch.float32)

    def activation(self, name: str) -> Tensor:
        """A tensor of the state in the compute precision."""
        return self.tensor(name).to(self._dtype)

    def linear(self, prefix: str, *, lr: float) -> Linear:
        """A fully connected layer; `lr` is the learning-rate multiplier that it was trained with."""
        weight = self.tensor(f"{prefix}.weight")
        return Linear(weight * (lr / math.sqrt(weight.shape[1])), self.tensor(f"{prefix}.bias") * lr)

    def taps(self) -> Tensor:
        """The resampling filter times 2, its gain along one axis: [4]."""
        return 2 * torch.tensor(self._architecture.resample_filter, dtype=torch.float32, device=self._device)

    def mapping(self) -> MappingNetwork:
        """The mapping network."""
        lr = self._architecture.mapping_lr
        return MappingNetwork(
            layers=tuple(self.linear(f"mapping.fc{i}", lr=lr) for i in range(len(self._architecture.mapping_features))),
            embed=self.linear("mapping.embed", lr=1.0) if self._architecture.c_dim else None,
            average=self.tensor("mapping.w_avg"),
        )

    def blocks(self) -> list[Block]:
        """All blocks of the synthesis network in order."""
        architecture = self._architecture
        blocks, convolutions = [], list(architecture.convolutions())
        at = 0
        for resolution in architecture.blocks:
            prefix = f"synthesis.b{resolution}"
            residual = architecture.kind == "resnet" and resolution > 4
            count = 1 if resolution == 4 else 2
            layers = [self._layer(source, 1.0) for source in convolutions[at : at + count - 1]]
            layers.append(self._layer(convolutions[at + count - 1], math.sqrt(0.5) if residual else 1.0))
            to_rgb = self._to_rgb(f"{prefix}.torgb") if architecture.has_to_rgb(resolution) else None
            shortcut = self._shortcut(f"{prefix}.skip.weight") if residual else None
            blocks.append(Block(at, tuple(layers), to_rgb, shortcut))
            at += count
        return blocks

    def _layer(self, source: Convolution, branch_gain: float) -> Layer:
        """A layer; `branch_gain` is the factor by which a residual block scales the result of its branch."""
        gain = GAIN * branch_gain
        weight = self.tensor(f"{source.name}.weight")
        energy = weight.square().sum((2, 3)).T.contiguous()
        weight_scale = 1.0
        if self._dtype == torch.float16:
            weight_scale = float(weight.abs().max().clamp_min(1e-8)) * math.sqrt(weight[0].numel())
        weight = weight / weight_scale
        phases = source.up and self._by_phases(source)
        if phases:
            weight = ops.phases(weight, self.taps())
        elif source.up:
            weight = weight.transpose(0, 1)
        noise_gain = float(self.tensor(f"{source.name}.noise_strength")) * gain
        noise = self.tensor(f"{source.name}.noise_const")[None, None]
        clamp = self._architecture.conv_clamp
        return Layer(
            source=source,
            affine=self.linear(f"{source.name}.affine", lr=1.0),
            weight=weight.to(self._dtype).contiguous(memory_format=torch.channels_last),
            weight_scale=weight_scale,
            energy=energy,
            bias=self.tensor(f"{source.name}.bias") * gain,
            gain=gain,
            clamp=None if clamp is None else clamp * branch_gain,
            noise_gain=noise_gain,
            noise_const=noise.contiguous() if noise_gain else None,
            taps=self.taps() if source.up else None,
            phases=phases,
        )

    def _by_phases(self, source: Convolution) -> bool:
        if self._upsampling != "auto":
            return self._upsampling == "phases"
        if self._device.type != "cuda" or self._dtype == torch.float32 or source.out_channels > MEASURED_UP_TO:
            return False  # no tensor cores, or too much work for them
        usual = source.out_channels <= PHASES_UP_TO
        if not self._measure:
            return usual
        channels = (source.in_channels, source.out_channels)
        return tuning.phases_pay(self._device, self._dtype, channels, source.size, usual=usual)

    def _to_rgb(self, prefix: str) -> ToRGBLayer:
        weight = self.tensor(f"{prefix}.weight")[:, :, 0, 0]
        return ToRGBLayer(
            affine=self.linear(f"{prefix}.affine", lr=1.0),
            weight=weight / math.sqrt(weight.shape[1]),
            bias=self.tensor(f"{prefix}.bias").contiguous(),
            clamp=self._architecture.conv_clamp,
            taps=self.taps(),
        )

    def _shortcut(self, name: str) -> Tensor:
        weight = self.tensor(name)
        gain = math.sqrt(0.5 / weight.shape[1])
        return (weight * gain).to(self._dtype).contiguous(memory_format=torch.channels_last)


def balanced(style: Tensor, energy: Tensor, gain: Tensor | float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Style (..., I) and scale (..., O), from a style and the energy (..., O) of the filters that it gives.

    In float16 the style is divided by its largest value before the convolution, and the scale after it is multiplied by
    that, because sums would exceed 65504 (as in StyleGAN2-ADA).
    """
    scale = torch.rsqrt(energy + 1e-8) * gain
    if dtype != torch.float16:
        return style, scale
    peak = style.abs().amax(-1, keepdim=True).clamp_min(1e-8)
    return style / peak, scale * peak


def styled(x: Tensor, style: Tensor) -> Tensor:
    """Activations (B, I, h, w) times a style (B, I), in their own precision and channels-last."""
    return (x * style.to(x.dtype)[:, :, None, None]).contiguous(memory_format=torch.channels_last)


def normalised(x: Tensor) -> Tensor:
    """Rows scaled to a mean square of 1."""
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


def extended(x: Tensor, size: tuple[int, int], new_size: tuple[int, int]) -> Tensor:
    """A map (..., h, w) grown from `size` to `new_size` around its centre, by reflection about its edge pixels.

    Sizes are those of the learned constant; a map n times as large grows n times as much.
    """
    for axis, old, new in zip((-2, -1), size, new_size, strict=True):
        length = x.shape[axis]
        factor = length // old
        before = (new - old) // 2 * factor
        position = torch.arange(new * factor, device=x.device) - before
        period = max(1, 2 * (length - 1))
        folded = position.remainder(period)
        x = x.index_select(axis, torch.minimum(folded, period - folded).clamp_max_(length - 1))
    return x
