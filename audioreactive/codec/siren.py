"""The sine networks of the thesis (Chalise, Pradhan, Khanal and Neupane 2025): one network for sound and picture.

Its audio part follows Siamese SIREN (Lanzendörfer and Wattenhofer 2023): two last branches give two sounds of the same
moment, whose difference is an estimate of their noise. Inputs are (x, y, t) of a pixel, x and y in [-1, 1], t in
[0, 1], and T in [0, 1], the moment of a sound sample. All layers but the last of each branch are sin(30 (W x + b)).
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Final, NamedTuple

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Sequence

OMEGA: Final = 30.0
FIRST_SOUND: Final = 25.0
"""Bound of the uniform first weights of the sound (Table 8-3)."""
FIRST_VIDEO: Final = 2 / 3
"""Bound of the uniform first weights of the picture (Table 8-3)."""


class Outputs(NamedTuple):
    """What the network says of N samples."""

    video: torch.Tensor
    """(N, 3) colours, 0 to 1."""
    sound: torch.Tensor
    """(N, 1) amplitudes."""
    twin: torch.Tensor
    """(N, 1) amplitudes of the second branch."""


class Sine(nn.Module):
    """A layer sin(30 (W x + b)); its weights are uniform within `bound`, by default as Sitzmann et al. (2020) say."""

    def __init__(self, inputs: int, outputs: int, bound: float | None = None) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        nn.init.uniform_(self.linear.weight, *_both(hidden_bound(inputs) if bound is None else bound))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, inputs) -> (N, outputs)."""
        return torch.sin(OMEGA * self.linear(x))


class SineNetwork(nn.Module):
    """Sound and picture in one network (Figure 8-1).

    Args:
        first: width of the first layer of sound and of picture.
        shared: widths of the shared layers.
        branch: width of the hidden layer of each of the three branches.
    """

    def __init__(self, first: int, shared: Sequence[int], branch: int) -> None:
        super().__init__()
        self.sound_first, self.video_first = Sine(1, first, FIRST_SOUND), Sine(3, first, FIRST_VIDEO)
        widths = [2 * first, *shared]
        self.shared = nn.Sequential(*(Sine(a, b) for a, b in itertools.pairwise(widths)))
        self.video, self.sound, self.twin = (_branch(widths[-1], branch, outputs) for outputs in (3, 1, 1))

    def forward(self, place: torch.Tensor, moment: torch.Tensor) -> Outputs:
        """Evaluate places (N, 3) of pixels and moments (N, 1) of sound together."""
        x = self.shared(torch.cat([self.sound_first(moment), self.video_first(place)], 1))
        return Outputs(self.video(x), self.sound(x), self.twin(x))


def teacher(seed: int | None = None) -> SineNetwork:
    """Make the teacher, with 2 369 029 parameters; `seed` decides about its first weights."""
    return _made(seed, 512, (512,) * 5, 512)


def student(seed: int | None = None) -> SineNetwork:
    """Make the student, with 1 298 029 parameters; `seed` decides about its first weights."""
    return _made(seed, 300, (512,) * 3, 300)


NETWORKS: Final = {"teacher": teacher, "student": student}


def hidden_bound(inputs: int) -> float:
    """Bound of the uniform weights that keeps the distribution of the activations, whatever the depth."""
    return math.sqrt(6 / inputs) / OMEGA


def parameter_count(network: nn.Module) -> int:
    """Number of weights and biases."""
    return sum(parameter.numel() for parameter in network.parameters())


def _made(seed: int | None, first: int, shared: Sequence[int], branch: int) -> SineNetwork:
    if seed is None:
        return SineNetwork(first, shared, branch)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SineNetwork(first, shared, branch)


def _branch(inputs: int, width: int, outputs: int) -> nn.Sequential:
    last = nn.Linear(width, outputs)
    nn.init.uniform_(last.weight, *_both(hidden_bound(width)))
    return nn.Sequential(Sine(inputs, width), last)


def _both(bound: float) -> tuple[float, float]:
    return -bound, bound
