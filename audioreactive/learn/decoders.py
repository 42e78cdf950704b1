"""Envelopes -> what moves the generator: the decoders of section 4.2.1 and appendix A.

Conventions: envelopes (B, T, 17), any range: three for each depth group, deep to shallow, then the means and the
deviations of the noise maps of 4², 8², 16² and 32². The parameter-free decoder's motion is (B, T, 17) in (-1, 1), 0 at
rest; what it does to latents and noise stands in `patches.latents` and `patches.noise`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from audioreactive._support.streams import named_stream
from audioreactive.learn.losses import ENVELOPES, SEQUENCES
from audioreactive.learn.tables import RATE
from audioreactive.patches.schema import DEPTHS, NOISE_OCTAVES, VECTORS_PER_DEPTH, Depth

REACH = 0.9
"""Of the way to the vectors, at most: a depth group's motion stays in a ball of this radius, and so on the shell
on which the model's latents lie."""
FILL = 0.43
"""Mean square of a depth group's motion, of that at the edge of its ball. Normally distributed motion of root mean
square 1 comes to this when it is bounded; motion of rare peaks, which would hardly be seen, is enlarged."""
LARGEST_GAIN = 4.0
"""Factor by which that is done, at most: what rests nearly always shall rest."""
SWING = 0.5
"""Root mean square of a noise map's motion before it is bounded. Noise that flickers is no motion."""
GLIDE: dict[Depth, float] = {"deep": 0.05, "middle": 0.05, "shallow": 0.1}
"""Seconds: standard deviation of the filter that a depth group's motion goes through. Forms and textures keep half of
what swings 3.7 times a second; what is faster trembles. Colours keep half of what swings 1.9 times a second, and a
hundredth of what swings 4.8 times; what is faster flashes."""
NEWTON_STEPS = 8
_LATENTS = len(DEPTHS) * VECTORS_PER_DEPTH


def residual_motion(envelopes: Tensor, *, filled: bool) -> Tensor:
    """(..., T, 17) -> (..., T, 17): deviations from each envelope's mean, at a size that does not depend on the model.

    A sequence's motion x becomes REACH · x / sqrt(1 + |x|²): small motions are kept as they are, large ones bend
    towards the edge of the ball. Before, it is brought to a root mean square of 1 over the clip, a noise map's to
    SWING. Where motion is `filled`, as it is played, a depth group's comes to FILL; what is learned from is not, as
    synthesizers trained on filled motion moved less, and fitted less (docs/lab/synthesizers.md). Where nothing moves,
    nothing does.
    """
    motion = torch.empty_like(envelopes)
    for columns in SEQUENCES:
        part = envelopes[..., list(columns)]
        part = part - part.mean(-2, keepdim=True)
        if columns[0] < _LATENTS:
            part = _gliding(part, GLIDE[DEPTHS[columns[0] // VECTORS_PER_DEPTH]])
            size = part.square().sum(-1, keepdim=True).mean(-2, keepdim=True)
            part = part / size.clamp_min(1e-12).sqrt()
            motion[..., list(columns)] = _bounded(_gain(part.square().sum(-1)) * part if filled else part)
        else:
            size = part.square().mean(-2, keepdim=True)
            motion[..., list(columns)] = _bounded((SWING * part / size.clamp_min(1e-12).sqrt())[..., None])[..., 0]
    return motion


def _gliding(part: Tensor, seconds: float) -> Tensor:
    """(..., T, C), smoothed over time by a Gaussian of this standard deviation; held at both ends."""
    deviation = seconds * float(RATE)
    reach = math.ceil(3 * deviation)
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=part.dtype) / deviation).square())
    columns = part.mT
    rows = functional.pad(columns.reshape(-1, 1, columns.shape[-1]), (reach, reach), mode="replicate")
    smooth = functional.conv1d(rows, (taps / taps.sum())[None, None])
    return smooth.view(columns.shape).mT


def _gain(squares: Tensor) -> Tensor:
    """(..., T) squared lengths of a motion of root mean square 1 -> (..., 1, 1): the factor that brings it to FILL, by
    Newton's method in the logarithm of its square.
    """
    most = 2 * math.log(LARGEST_GAIN)
    doubled = torch.zeros_like(squares[..., :1])
    for _ in range(NEWTON_STEPS):
        swelled = squares * doubled.exp()
        share = swelled / (1 + swelled)
        slope = (share * (1 - share)).mean(-1, keepdim=True).clamp_min(1e-3)
        doubled = (doubled + (FILL - share.mean(-1, keepdim=True)) / slope).clamp(-most, most)
    return (0.5 * doubled).exp()[..., None]


def _bounded(part: Tensor) -> Tensor:
    return REACH * part / (1 + part.square().sum(-1, keepdim=True)).sqrt()


def averaging_motion(envelopes: Tensor) -> Tensor:
    """(B, T, 17) -> (B, T, 17): the decoder without residuals. A depth group's envelopes become a weighted average of
    its vectors: positive, and summing to 1. Noise is played as it comes, bounded.
    """
    latents = envelopes[..., :_LATENTS].reshape(*envelopes.shape[:-1], len(DEPTHS), VECTORS_PER_DEPTH)
    noise = torch.tanh(envelopes[..., _LATENTS:])
    return torch.cat([latents.softmax(-1).flatten(-2), noise], dim=-1)


def parameter_free(envelopes: Tensor, *, residual: bool, filled: bool) -> Tensor:
    """(B, T, 17) -> motion (B, T, 17): see `residual_motion` and `averaging_motion`."""
    return residual_motion(envelopes, filled=filled) if residual else averaging_motion(envelopes)


@dataclass(frozen=True)
class Decoded:
    """What the learned decoder makes."""

    hidden: Tensor
    """(B, T, 7, 2 · 17): motion, for each of the seven sequences."""
    latents: Tensor
    """(B, T, 3, W): one latent for each depth group."""
    noise: tuple[Tensor, ...]
    """For each octave, (B, T, h · w)."""


class LearnedDecoder(nn.Module):
    """Appendix A.1: for each sequence a linear layer that doubles the channels, GELU, and a linear layer to its
    outputs.

    The last layer is linear, so that its columns are a palette and the hidden channels the weights over it.
    """

    def __init__(self, width: int) -> None:
        """`width` is W, of the model's latents."""
        super().__init__()
        self.width = width
        outputs = [width] * len(DEPTHS) + [(4 << octave) ** 2 for octave in range(NOISE_OCTAVES)]
        self.widen = nn.ModuleList(nn.Linear(ENVELOPES, 2 * ENVELOPES) for _ in outputs)
        self.project = nn.ModuleList(nn.Linear(2 * ENVELOPES, size) for size in outputs)

    def forward(self, envelopes: Tensor, *, residual: bool) -> Decoded:
        """(B, T, 17) -> all sequences; residual ones have their mean over the clip taken away."""
        hidden = [nn.functional.gelu(widen(envelopes)) for widen in self.widen]
        outputs = [project(part) for project, part in zip(self.project, hidden, strict=True)]
        if residual:
            outputs = [part - part.mean(-2, keepdim=True) for part in outputs]
        depths = len(DEPTHS)
        return Decoded(torch.stack(hidden, -2), torch.stack(outputs[:depths], -2), tuple(outputs[depths:]))

    def score_columns(self, decoded: Decoded) -> tuple[Tensor, ...]:
        """For each sequence (B, T, 2 · 17): the outputs, rotated into as many columns as they have dimensions.

        An output is hidden · Wᵀ, and with W = QR the columns hidden · Rᵀ have the same products with each other: a
        rotation changes no correlation, and 34 columns are compared instead of 512.
        """
        columns = []
        for part, project in zip(decoded.hidden.unbind(-2), self.project, strict=True):
            assert isinstance(project, nn.Linear)
            many = project.out_features >= part.shape[-1]
            columns.append(part @ torch.linalg.qr(project.weight).R.mT if many else project(part))
        return tuple(columns)


def rotation(seed: int) -> Tensor:
    """(17, 17) float64: the turn of the envelopes that belongs to a motion seed; the identity for 0.

    An orthogonal matrix drawn evenly (Stewart, "The efficient generation of random orthogonal matrices", 1980) for the
    latents, and one for the noise. Equation 3.3 seeks the best rotation itself: a turned motion fits the sound as
    well, and is another one.
    """
    if seed == 0:
        return torch.eye(ENVELOPES, dtype=torch.float64)
    stream = named_stream(f"motion {seed}")
    blocks = []
    for size in (_LATENTS, ENVELOPES - _LATENTS):
        q, r = np.linalg.qr(stream.randn(size, size))
        blocks.append(torch.from_numpy(q * np.sign(np.diag(r))))
    turn = torch.zeros(ENVELOPES, ENVELOPES, dtype=torch.float64)
    turn[:_LATENTS, :_LATENTS], turn[_LATENTS:, _LATENTS:] = blocks
    return turn
