"""The parts of a StyleGAN3 in memory. Everything that does not depend on the frame is computed beforehand."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan_ops.convolution import conv2d
from stylegan_ops.layers import GAIN, Linear, normalised
from stylegan_ops.stylegan3.architecture import AliasFreeArchitecture, Layer
from stylegan_ops.stylegan3.filtered import Resampling


@dataclass(frozen=True)
class MappingNetwork:
    """The network from noise vectors and labels to latent vectors; float32."""

    layers: tuple[Linear, ...]
    embed: Linear | None
    """Embedding of a one-hot label."""
    classes: Tensor | None  # [classes, width], StyleGAN-XL's vectors
    project: Linear | None
    """Layer from a vector of `classes` to what is joined to z."""
    average: Tensor  # [W] or [classes, W]

    def __call__(self, z: Tensor, c: Tensor | None) -> Tensor:
        """Map z (B, z_dim), and c (B, c_dim) of a conditional model, to (B, W)."""
        x = normalised(z)
        if c is not None and self.embed is not None:
            x = torch.cat([x, normalised(self.embed(c))], dim=1)
        elif c is not None and self.classes is not None and self.project is not None:
            chosen = F.leaky_relu(self.project(self.classes[c.argmax(1)]), 0.2) * GAIN
            x = torch.cat([x, normalised(chosen)], dim=1)
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2) * GAIN
        return x

    def centre(self, c: Tensor | None) -> Tensor:
        """The mean latents towards which samples are truncated: (W,) or (B, W)."""
        if self.average.ndim == 1:
            return self.average
        return self.average.mean(0) if c is None else self.average[c.argmax(1)]


@dataclass(frozen=True)
class Waves:
    """The input: sine waves on a plane, which a latent vector and a matrix move."""

    frequencies: Tensor  # [C, 2]
    phases: Tensor  # [C]
    weight: Tensor  # [C, C], times 1/√C
    affine: Linear
    transform: Tensor  # [3, 3], the one that the file holds
    rate: int
    bandwidth: float

    def __call__(self, w: Tensor, transform: Tensor, size: tuple[int, int]) -> Tensor:
        """Features (B, C, h, w) float32 of a canvas.

        Args:
            w: (B, W) latent vectors.
            transform: (3, 3) or (B, 3, 3), inverse of what happens to the picture.
            size: (width, height) of the canvas.
        """
        matrix = self._own_transform(w) @ transform  # [B, 3, 3]
        frequencies = self.frequencies @ matrix[:, :2, :2]  # [B, C, 2]
        phases = self.phases + (self.frequencies @ matrix[:, :2, 2:])[..., 0]  # [B, C]
        length = frequencies.norm(dim=2)
        amplitude = (1 - (length - self.bandwidth) / (self.rate / 2 - self.bandwidth)).clamp(0, 1)
        width, height = size
        across = 2 * math.pi * (frequencies[:, None, :, 0] * self._places(width, w)[:, None] + phases[:, None])
        down = 2 * math.pi * frequencies[:, None, :, 1] * self._places(height, w)[:, None]  # [B, h, C]
        # sin(a + b), so that only rows and columns need sines and not every sample.
        waves = across.sin()[:, None] * down.cos()[:, :, None]
        waves += across.cos()[:, None] * down.sin()[:, :, None]  # [B, h, w, C]
        waves *= amplitude[:, None, None]
        return (waves @ self.weight.T).permute(0, 3, 1, 2)

    def _places(self, count: int, like: Tensor) -> Tensor:
        """Coordinates of samples along one axis, around the middle."""
        return (torch.arange(count, device=like.device, dtype=torch.float32) + (0.5 - count / 2)) / self.rate

    def _own_transform(self, w: Tensor) -> Tensor:
        """Rotation and translation (B, 3, 3) that latent vectors (B, W) choose."""
        t = self.affine(w)
        t = t / t[:, :2].norm(dim=1, keepdim=True)
        cos, sin, x, y = t.unbind(1)
        zero, one = torch.zeros_like(cos), torch.ones_like(cos)
        rotation = torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], 1).view(-1, 3, 3)
        translation = torch.stack([one, zero, -x, zero, one, -y, zero, zero, one], 1).view(-1, 3, 3)
        return rotation @ translation


@dataclass(frozen=True)
class PreparedLayer:
    """A layer with everything computed that does not depend on the frame."""

    source: Layer
    affine: Linear
    weight: Tensor  # [O, I, k, k] in the compute precision
    energy: Tensor  # [I, O] float32, sum of the squared weights over the kernel
    bias: Tensor  # [O] float32
    gain: float
    """1/√ of the mean square that the layer's input had in training."""
    resampling: Resampling

    def modulation(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """Style (B, I) of the input and scale (B, O) of the output for latent vectors (B, W)."""
        style = self.affine(w)
        if self.source.to_rgb:
            scale = self.bias.new_full((len(w), len(self.bias)), self.gain)
            return style / math.sqrt(self.source.in_channels), scale
        # The scale of a style cancels in the demodulation; unit scale suits 16-bit convolutions.
        style = style * torch.rsqrt(style.square().mean(1, keepdim=True).clamp_min(1e-30))
        return style, torch.rsqrt(style.square() @ self.energy + 1e-8) * self.gain

    def convolved(self, x: Tensor) -> Tensor:
        """The convolution of x (B, I, h, w), styled; it pads by kernel - 1, so that sizes grow."""
        pad = self.source.kernel - 1
        return conv2d(x, self.weight, (pad, pad))


def resampling_of(layer: Layer, own: Resampling) -> Resampling:
    """The resampling of a layer on another canvas."""
    return dataclasses.replace(
        own, up=layer.up, down=layer.down, padding=layer.padding, out_size=layer.out_size, clamp=layer.clamp
    )


class AliasFreePreparation:
    """Turns a state dict into layers: multiplies gains in, moves weights to the device and rounds them once."""

    def __init__(
        self,
        architecture: AliasFreeArchitecture,
        state: Mapping[str, Tensor],
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._architecture = architecture
        self._state = state
        self._device = device
        self._dtype = dtype

    def tensor(self, name: str) -> Tensor:
        """A tensor of the state in float32 on the device."""
        return self._state[name].to(self._device, torch.float32)

    def linear(self, prefix: str, *, lr: float = 1.0) -> Linear:
        """A fully connected layer; `lr` is the learning-rate multiplier that it was trained with."""
        weight = self.tensor(f"{prefix}.weight")
        return Linear(weight * (lr / math.sqrt(weight.shape[1])), self.tensor(f"{prefix}.bias") * lr)

    def mapping(self) -> MappingNetwork:
        """The mapping network."""
        architecture = self._architecture
        lr = architecture.mapping_lr
        classes = architecture.class_width > 0
        return MappingNetwork(
            layers=tuple(self.linear(f"mapping.fc{i}", lr=lr) for i in range(len(architecture.mapping_features))),
            embed=self.linear("mapping.embed") if architecture.c_dim and not classes else None,
            classes=self.tensor("mapping.embed.weight") if classes else None,
            project=self.linear("mapping.embed_proj") if classes else None,
            average=self.tensor("mapping.w_avg"),
        )

    def waves(self) -> Waves:
        """The input."""
        weight = self.tensor("synthesis.input.weight")
        return Waves(
            frequencies=self.tensor("synthesis.input.freqs"),
            phases=self.tensor("synthesis.input.phases"),
            weight=weight / math.sqrt(weight.shape[1]),
            affine=self.linear("synthesis.input.affine"),
            transform=self.tensor("synthesis.input.transform"),
            rate=self._architecture.input_rate,
            bandwidth=self._architecture.input_bandwidth,
        )

    def layer(self, source: Layer) -> PreparedLayer:
        """One layer."""
        weight = self.tensor(f"{source.prefix}.weight")
        if not source.to_rgb:
            size = weight.square().mean((1, 2, 3), keepdim=True)
            weight = weight * torch.rsqrt(size.clamp_min(1e-30))
        magnitude = float(self.tensor(f"{source.prefix}.magnitude_ema"))
        up = self._taps(f"{source.prefix}.up_filter", source.up_taps, gain=source.up)
        down = self._taps(f"{source.prefix}.down_filter", source.down_taps)
        return PreparedLayer(
            source=source,
            affine=self.linear(f"{source.prefix}.affine"),
            weight=weight.to(self._dtype).contiguous(memory_format=torch.channels_last),
            energy=weight.square().sum((2, 3)).T.contiguous(),
            bias=self.tensor(f"{source.prefix}.bias").contiguous(),
            gain=1 / math.sqrt(magnitude),
            resampling=Resampling(
                up_filter=up,
                down_filter=down,
                up=source.up,
                down=source.down,
                padding=source.padding,
                out_size=source.out_size,
                clamp=source.clamp,
                mirrored=down is not None and down.ndim == 2 and torch.equal(down, down.flip(0)),
            ),
        )

    def _taps(self, name: str, taps: int, *, gain: float = 1.0) -> Tensor | None:
        """A filter in the order of a correlation; None for a single tap."""
        if taps == 1:
            return None
        values = self.tensor(name)
        return (values.flip(*range(values.ndim)) * gain).contiguous()
