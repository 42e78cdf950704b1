"""Makes the built-in model: a StyleGAN2 whose weights are designed, not trained.

    python tools/make_builtin_model.py [--seed N] [-o audioreactive/assets/builtin.safetensors]

Random weights give coloured fog: every layer blurs what it gets, averages it over all channels, and turns differences
between latents into differences of mean colour. Four ideas make pictures instead:

1. Fields in pairs. Channels 2i and 2i+1 hold lrelu(z) and lrelu(-z), whose difference is the field z itself, unbent
   and free of a mean, and whose sum is its fold |z|. So a layer can carry a field on or fold it.
2. Sparse folds. Half of the fields are sums of two folds of others. Every resolution folds anew, and creases become
   filaments and contours; derivative kernels at the low resolutions bend them.
3. A colour map made of layers. The last convolution sees one tone, and its channels are lrelu(tone - knot) for six
   knots at quantiles of the tone: together they can draw any piecewise linear colour map. The last `torgb` holds
   it, and its style moves the hues: the lightness of the map stays in order, so every palette runs from dark to light.
4. Bounded latents. The mapping network's last layer is linear in the middle and flat beyond, so that no latent is
   far from all others and palettes are seldom grey.

Biases and noise strengths are set layer by layer from the statistics of a batch of samples.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan_ops.architecture import Architecture, Convolution
from stylegan_ops.checkpoint import Checkpoint, save_checkpoint

WIDTH = 512
COORDINATES = WIDTH // 2
"""Bounded coordinates u in a latent, each held by two numbers of w."""
CHANNELS = (96, 96, 96, 64, 48, 32, 24)
SAMPLES = 48

FOLDED = (0.5, 0.5, 0.6, 0.6, 0.6, 0.6, 0.45)
"""Share of the fields that are folds of others, by block."""
FOLD = (1.6, 1.6, 1.6, 1.6, 1.5, 1.4, 1.3)
MIXED = (1.2, 1.0, 0.6, 0.4, 0.3, 0.2, 0.1)
"""How much of other fields joins a field."""
BENT = (0.8, 0.6, 0.4, 0.2, 0.1, 0.0, 0.0)
"""How much of the derivatives of other fields joins a field, in the second convolution of a block."""
STYLED = (1.1, 0.85, 0.6, 0.42, 0.3, 0.24, 0.24)
"""Spread of the styles around 1."""
NOISED = (0.1, 0.11, 0.09, 0.06, 0.04, 0.016, 0.008)
"""Noise strength, as a share of the activations' spread."""

QUANTILES = (0.04, 0.18, 0.4, 0.62, 0.82, 0.96)
LIGHTNESS = (-0.97, -0.93, -0.7, -0.4, -0.02, 0.42, 0.8, 0.88)
"""Of the colour map at both ends and at the six knots between, from -1 to 1."""
CHROMA = (0.12, 0.16, 0.5, 0.8, 0.95, 0.7, 0.22, 0.2)
"""How much of a hue each of those points takes: neither the dark nor the light end is a pure colour."""
BASE = ((0, 0, 0, -0.1, -0.1, 0.1, 0.05, 0), (-0.1, -0.1, -0.2, -0.25, -0.1, 0.1, 0.05, 0))
"""The map of the mean latent on both colour axes: indigo shadows, warm lights."""
AXES = torch.tensor([[1.0, 1.0, 1.0], [0.9, -0.45, -0.45], [0.1, 0.55, -0.9]])
"""Lightness, red against cyan, green-yellow against blue: as (R, G, B)."""
SECOND_TONE = (0.3, 0.3, 0.12)
"""How much the second tone tints the picture on the two colour axes and lightens it."""

DX = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 4
DY = DX.T
CENTRE = torch.zeros(3, 3)
CENTRE[1, 1] = 1


class Designer:
    """Fills in a state, layer by layer, while a batch of samples passes through."""

    def __init__(self, seed: int) -> None:
        self.architecture = Architecture(
            z_dim=WIDTH, w_dim=WIDTH, mapping_features=(WIDTH, WIDTH), channels=CHANNELS, mapping_lr=0.01
        )
        self.state: dict[str, Tensor] = {}
        self._random = np.random.RandomState(seed)
        taps = torch.tensor(self.architecture.resample_filter)
        self._taps = 4 * torch.outer(taps, taps)

    def design(self) -> dict[str, Tensor]:
        """The whole state."""
        w = self._mapping()
        const = self._normal(CHANNELS[0], 4, 4)
        self.state["synthesis.b4.const"] = const
        x = const[None].expand(SAMPLES, -1, -1, -1)
        for source in self.architecture.convolutions():
            block, _, layer = source.name.removeprefix("synthesis.b").partition(".")
            index = self.architecture.blocks.index(int(block))
            last = layer == "conv1" and index == len(CHANNELS) - 1
            weight = self._tones(source) if last else self._fields(source, index)
            style = self._style(source.name, self._styles(source, index), torch.ones(source.in_channels), w)
            y = self._convolve(source, x, weight, style, NOISED[index])
            x = self._colour(source, y) if last else self._fold(source, y)
            if layer == "conv1" and not last:
                self._wash(f"synthesis.b{block}.torgb", x, index)
        return self.state

    # Drawing.

    def _normal(self, *shape: int) -> Tensor:
        return torch.from_numpy(self._random.standard_normal(shape).astype(np.float32))

    def _uniform(self, *shape: int) -> Tensor:
        return torch.from_numpy(self._random.random_sample(shape).astype(np.float32))

    def _sparse(self, rows: int, columns: int, count: int) -> Tensor:
        """A matrix with `count` entries of ± 1/√count in each row: few parents make sharp children."""
        matrix = torch.zeros(rows, columns)
        for row in matrix:
            row[torch.from_numpy(self._random.choice(columns, count, replace=False))] = self._normal(count).sign()
        return matrix / math.sqrt(count)

    # The mapping network and the styles.

    def _mapping(self) -> Tensor:
        """Two layers, z -> g = Qz in pairs -> lrelu(1.5 g ± 1), whose difference is flat beyond |g| = ⅔."""
        lr = self.architecture.mapping_lr
        basis = torch.linalg.qr(self._normal(WIDTH, WIDTH))[0][:COORDINATES]
        slope = torch.cat([torch.eye(COORDINATES), -torch.eye(COORDINATES)], dim=1) * (1.5 / 1.2)
        weights = (torch.cat([basis, -basis]) / math.sqrt(2), torch.cat([slope, slope]) / math.sqrt(2))
        one = torch.ones(COORDINATES) / math.sqrt(2)
        biases = (torch.zeros(WIDTH), torch.cat([one, -one]))
        z = self._normal(SAMPLES, WIDTH)
        w = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
        for index, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            self.state[f"mapping.fc{index}.weight"] = weight * math.sqrt(WIDTH) / lr
            self.state[f"mapping.fc{index}.bias"] = bias / lr
            w = F.leaky_relu(F.linear(w, weight, bias), 0.2) * math.sqrt(2)
        # u = 0, exactly in the middle: a palette of its own, and truncation shrinks all differences evenly.
        self.state["mapping.w_avg"] = torch.cat([torch.ones(COORDINATES), -torch.full((COORDINATES,), 0.2)])
        return w

    def _style(self, name: str, slopes: Tensor, offset: Tensor, w: Tensor) -> Tensor:
        """Write an affine layer for style = offset + slopes · u; returns the styles of the samples.

        u = (difference - 1.2) / 0.8: the difference of w's two numbers goes from 0.4 to 2.
        """
        weight = torch.cat([slopes, -slopes], dim=1) / 0.8
        bias = offset - slopes.sum(1) * 1.5
        self.state[f"{name}.affine.weight"] = weight * math.sqrt(WIDTH)
        self.state[f"{name}.affine.bias"] = bias
        return F.linear(w, weight, bias)

    def _styles(self, source: Convolution, index: int) -> Tensor:
        """Both channels of a pair mostly share their style: a field then keeps its mean of 0."""
        slopes = self._normal(source.in_channels, COORDINATES) * (STYLED[index] / math.sqrt(COORDINATES))
        if index >= 2:
            slopes[1::2] = 0.9 * slopes[0::2] + math.sqrt(1 - 0.9**2) * slopes[1::2]
        return slopes

    # The convolutions.

    def _fields(self, source: Convolution, index: int) -> Tensor:
        """Filters from pairs to pairs: fields that are carried on, and folds of others."""
        fields_in, fields_out = source.in_channels // 2, source.out_channels // 2
        folded = (self._uniform(fields_out) < FOLDED[index]).float()[:, None]
        carried = torch.eye(max(fields_in, fields_out))[:fields_out, :fields_in] * (1 - 0.7 * folded)
        field = (carried + MIXED[index] * self._sparse(fields_out, fields_in, 3))[..., None, None] * CENTRE
        if not source.up:
            angle = self._uniform(fields_out, fields_in)[..., None, None] * (2 * math.pi)
            gradient = torch.cos(angle) * DX + torch.sin(angle) * DY
            share = self._normal(fields_out, fields_in) * (BENT[index] / math.sqrt(fields_in))
            field = field + share[..., None, None] * gradient
        fold = (FOLD[index] * folded + 0.2 * (1 - folded)) * self._sparse(fields_out, fields_in, 2)
        fold = fold[..., None, None] * CENTRE
        weight = torch.zeros(source.out_channels, source.in_channels, 3, 3)
        weight[0::2, 0::2], weight[0::2, 1::2] = fold + field, fold - field
        weight[1::2, 0::2], weight[1::2, 1::2] = -fold - field, -fold + field
        return weight

    def _tones(self, source: Convolution) -> Tensor:
        """Eighteen channels see the tone, three nothing (they will be constants), three the second tone."""
        mix = self._sparse(2, source.in_channels // 2, 6)
        mix[0, 0] += 1
        mix[1, 1] += 1
        rows = torch.cat([mix[:1].repeat(18, 1), torch.zeros(3, mix.shape[1]), mix[1:].repeat(3, 1)])
        kernel = CENTRE + 0.4 * (0.8 * DX - 0.6 * DY)  # light from one side
        weight = torch.zeros(source.out_channels, source.in_channels, 3, 3)
        weight[:, 0::2], weight[:, 1::2] = rows[..., None, None] * kernel, -rows[..., None, None] * kernel
        return weight

    def _convolve(self, source: Convolution, x: Tensor, weight: Tensor, style: Tensor, noise: float) -> Tensor:
        """Write filters and noise; returns the samples before bias and activation."""
        y = x * style[:, :, None, None]
        if source.up:
            y = F.conv_transpose2d(y, weight.transpose(0, 1), stride=2)
            taps = self._taps.expand(source.out_channels, 1, 4, 4)
            y = F.conv2d(y, taps, padding=1, groups=source.out_channels)
        else:
            y = F.conv2d(y, weight, padding=1)
        y *= torch.rsqrt(style.square() @ weight.square().sum((2, 3)).T + 1e-8)[:, :, None, None]
        strength = noise * y.std((0, 2, 3)).mean()
        constant = self._normal(*source.size)
        self.state[f"{source.name}.weight"] = weight
        self.state[f"{source.name}.noise_const"] = constant
        self.state[f"{source.name}.noise_strength"] = strength
        return y + strength * constant

    def _fold(self, source: Convolution, y: Tensor) -> Tensor:
        """Centre each channel and shift both of a pair alike, so that folds lie at other heights than 0 too."""
        shift = (self._uniform(source.out_channels // 2) * 2 - 1) * 0.9
        shifts = torch.stack([shift, -shift], dim=1).flatten()
        return self._activate(source, y, shifts * y.std((0, 2, 3)) - y.mean((0, 2, 3)))

    def _activate(self, source: Convolution, y: Tensor, bias: Tensor) -> Tensor:
        self.state[f"{source.name}.bias"] = bias
        return F.leaky_relu(y + bias[:, None, None], 0.2) * math.sqrt(2)

    # Colours.

    def _wash(self, name: str, x: Tensor, index: int) -> None:
        """Large soft tints from the low resolutions; the other blocks paint nothing."""
        channels = x.shape[1]
        amount = 0.12 if index in (1, 2, 3) else 0.0
        hues = AXES[1:].T @ self._normal(2, channels) / x.std((0, 2, 3)) * amount
        self.state[f"{name}.weight"] = hues[:, :, None, None]
        self.state[f"{name}.bias"] = torch.zeros(3)
        slopes = self._normal(channels, COORDINATES) * (0.8 / math.sqrt(COORDINATES))
        self._style(name, slopes, torch.zeros(channels), torch.zeros(1, WIDTH))

    def _colour(self, source: Convolution, y: Tensor) -> Tensor:
        """Knots for the tone, and the map of colours over them, its hues moved by the style."""
        mean, spread = y.mean((0, 2, 3)), y.std((0, 2, 3)).clamp_min(1e-8)
        tone = (y[:, 0, ::4, ::4].flatten() - mean[0]) / spread[0]
        knots = torch.quantile(tone, torch.tensor(QUANTILES))
        constants = torch.full((3,), 1 / math.sqrt(2))
        first = (-knots.repeat_interleave(3)) * spread[:18] - mean[:18]
        second = torch.tensor([0.4, 0.2, -0.4]) * spread[21:] - mean[21:]
        x = self._activate(source, y, torch.cat([first, constants, second]))

        ends = torch.tensor([float(knots[0]) - 3, float(knots[-1]) + 3])
        places = torch.cat([ends[:1], knots, ends[1:]])  # [8]
        basis = torch.cat([F.leaky_relu(places[:, None] - knots, 0.2), torch.ones(8, 1)], dim=1)  # [8, 7]
        targets = torch.cat([torch.tensor([LIGHTNESS, *BASE]).T, self._palettes()], dim=1)
        solution = torch.linalg.lstsq(basis, targets).solution  # [7, 3 + moves]
        lightness, base, moves = solution[:, 0], solution[:, 1:3], solution[:, 3:].reshape(7, 2, -1)

        name = source.name.replace("conv1", "torgb")
        offset, slopes = torch.zeros(24), torch.zeros(24, COORDINATES)
        offset[0:21:3], offset[1:21:3], offset[2:21:3] = lightness, base[:, 0], base[:, 1]
        slopes[0:21:3, 16] = 0.15 * lightness
        for axis in range(2):
            slopes[1 + axis : 21 : 3, : moves.shape[2]] = moves[:, axis]
        slopes[21:, 17:20] = torch.diag(torch.tensor(SECOND_TONE))
        weight = torch.cat([AXES.T.repeat(1, 7), AXES[[1, 2, 0]].T], dim=1)
        scale = torch.cat([spread[:18], constants, spread[21:]]) * math.sqrt(2)
        self.state[f"{name}.weight"] = (weight / scale * math.sqrt(24))[:, :, None, None]
        self.state[f"{name}.bias"] = torch.zeros(3)
        self._style(name, slopes, offset, torch.zeros(1, WIDTH))
        return x

    def _palettes(self) -> Tensor:
        """How six coordinates of the latent move the colours of the map's eight points: (8, 2 · 6), axis by axis."""
        chroma = torch.tensor(CHROMA)
        place = torch.linspace(-1, 1, 8)
        middle = (place.abs() < 0.4).float()
        moves = torch.zeros(8, 2, 6)
        for axis in range(2):
            moves[:, axis, axis] = 0.62 * chroma  # the hue of all
            moves[:, axis, 2 + axis] = 0.45 * chroma * place  # darks against lights
            moves[:, axis, 4 + axis] = 0.35 * chroma * middle  # an accent
        return moves.flatten(1)


def main() -> None:
    """Write the model."""
    parser = argparse.ArgumentParser(description="Make the built-in model.")
    parser.add_argument("--seed", type=int, default=7)
    default = Path(__file__).parent.parent / "audioreactive" / "assets" / "builtin.safetensors"
    parser.add_argument("-o", "--output", type=Path, default=default)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # sums are in one order, whatever the machine
    designer = Designer(arguments.seed)
    with torch.no_grad():
        state = designer.design()
    note = "The built-in model of audioreactive: designed, not trained; MIT licence, like the program."
    checkpoint = Checkpoint("designed", designer.architecture, state, note, ())
    save_checkpoint(checkpoint, arguments.output, dtype=torch.float16)


if __name__ == "__main__":
    main()
