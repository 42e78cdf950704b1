"""The seam between the deep layers and those above: what is handed over, and what begins there."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan_ops.layers import GAIN


class Embedding:
    """What the last deep layer should put out, and what the two layers above begin with.

    The deep layers hand over the ground itself: each channel is lrelu(g) or lrelu(-g) of one of its six fields, so that
    differences of channels are the fields, and stay so when they are resampled. The next layer begins with ridges along
    16 directions across the ground, the one after with sines and cosines along them: networks of rectifiers learn such
    curves late (Rahaman et al. 2019, arXiv:1806.08734).
    """

    FIELDS = 6
    REACH = 2.3
    """Where the outermost ridges lie."""
    FREQUENCIES = (1.2, 2.3, 3.5, 5.0)
    PAIRS = 3

    def __init__(self, channels: int) -> None:
        signs = torch.tensor([1.0, -1.0])
        order = torch.arange(channels)
        self._field = (order // 2) % self.FIELDS
        self._sign = signs[order % 2]

    def __call__(self, ground: Tensor) -> Tensor:
        """(B, 6, h, w) -> (B, C, h, w)."""
        x = ground[:, self._field.to(ground.device)] * self._sign.to(ground)[:, None, None]
        return F.leaky_relu(x, 0.2) * GAIN

    def ridges(self, outputs: int) -> tuple[Tensor, Tensor]:
        """Weights (O, C) and bias (O,) of a layer that draws lrelu(d · g - t) for directions d and offsets t."""
        directions = self._directions()
        knots = outputs // len(directions)
        channels = len(self._field)
        # Differences of pairs: lrelu(g) - lrelu(-g) = 1.2 g. A few pairs of each field average out their errors; all
        # of them would make the demodulated sums too large.
        reading = torch.zeros(self.FIELDS, channels)
        few = torch.arange(min(channels, 2 * self.FIELDS * self.PAIRS))
        counts = torch.bincount(self._field[few], minlength=self.FIELDS).float()
        reading[self._field[few], few] = self._sign[few] / counts[self._field[few]] * (2 / 1.2 / GAIN)
        weight = (directions @ reading).repeat_interleave(knots, 0)
        offsets = torch.linspace(-self.REACH, self.REACH, knots).repeat(len(directions))
        rest = outputs - len(weight)
        return F.pad(weight, (0, 0, 0, rest)), F.pad(-offsets, (0, rest))

    def waves(self, inputs: int, outputs: int) -> tuple[Tensor, Tensor]:
        """Weights (O, I) and bias (O,) of a layer that draws waves along each direction from ridges."""
        directions = len(self._directions())
        knots = inputs // directions
        offsets = torch.linspace(-self.REACH, self.REACH, knots)
        place = torch.linspace(-self.REACH - 0.3, self.REACH + 0.3, 200)
        basis = F.leaky_relu(place[:, None] - offsets, 0.2) * GAIN
        basis = torch.cat([basis, torch.ones(200, 1)], 1)
        curves = [torch.sin(f * place + phase) for f in self.FREQUENCIES for phase in (0.0, math.pi / 2)]
        small = 0.7 * torch.diag(torch.tensor([1.0] * knots + [0.05]))  # small weights rather than exact curves
        goal = torch.cat([torch.stack(curves, 1), torch.zeros(knots + 1, len(curves))])
        # In float64, rounded: LAPACK's threads do not always add up in the same order, and runs shall begin alike.
        solved = torch.linalg.lstsq(torch.cat([basis, small]).double(), goal.double()).solution
        drawn = solved.float().T  # (curves, knots + 1)
        drawn = torch.cat([drawn, -drawn])
        weight = torch.zeros(len(drawn), directions, inputs)
        for direction in range(directions):
            weight[:, direction, direction * knots : (direction + 1) * knots] = drawn[:, :knots]
        bias = drawn[:, knots:].expand(-1, directions)
        weight, bias = weight.flatten(0, 1)[:outputs], bias.flatten()[:outputs]  # low frequencies first
        rest = outputs - len(weight)
        return F.pad(weight, (0, 0, 0, rest)), F.pad(bias, (0, rest))

    @staticmethod
    def _directions() -> Tensor:
        """(16, 6), unit vectors."""
        rows = [
            [1, 0, 0, 0, 0, 0],
            [0, 1, 0, 0, 0, 0],
            [0, 0, 1, 0, 0, 0],
            [1, 1, 0, 0, 0, 0],
            [1, -1, 0, 0, 0, 0],
            [4, 0, 3, 0, 0, 0],
            [0, 4, 3, 0, 0, 0],
            [4, 0, -3, 0, 0, 0],
            [0, 4, -3, 0, 0, 0],
            [1, 1, 1, 0, 0, 0],
            [1, -1, 1, 0, 0, 0],
            [0, 0, 0, 1, 0, 0],
            [0, 0, 0, 0, 1, 0],
            [0, 0, 0, 0, 0, 1],
            [1, 1.732, 0, 0, 0, 0],
            [-1, 1.732, 0, 0, 0, 0],
        ]
        return F.normalize(torch.tensor(rows, dtype=torch.float32), dim=1)
