"""Decoders from envelopes to motion: section 4.2.1 and appendix A.

Conventions: envelopes are (B, T, 17) with any range: three for each depth group, coarse to fine, then the means and
the deviations of the noise maps of 4², 8², 16² and 32². The motion of the parameter-free decoder is (B, T, 17) in (-1,
1), 0 at rest; `patches.latents` and `patches.noise` apply it.
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
from audioreactive.patches.fields import DEPTHS, Depth
from audioreactive.patches.schema import NOISE_OCTAVES, VECTORS_PER_DEPTH

REACH = 0.9
"""Largest length of a depth group's motion; 1 reaches the vectors of the palette. The limit keeps latents near the
radius at which the model's own lie."""
FILL = 0.43
"""Target of the mean square of a depth group's motion, relative to REACH². Normally distributed motion with a root mean
square of 1 has this value after it is bounded; motion with rare peaks is enlarged, because it would hardly be seen."""
LARGEST_GAIN = 4.0
"""Largest factor by which motion is enlarged, so that motion that rests nearly always keeps resting."""
SWING = 0.5
"""Root mean square of a noise map's motion before it is bounded; larger values make the noise flicker."""
GLIDE: dict[Depth, float] = {"coarse": 0.05, "middle": 0.05, "fine": 0.1}
"""Standard deviation in seconds of the Gaussian filter on the motion of each depth group. For forms and textures it
halves the amplitude at 3.7 Hz, above which they tremble. For colours it halves it at 1.9 Hz and leaves a hundredth at
4.8 Hz, above which they flash."""
NEWTON_STEPS = 8
"""Steps of Newton's method in `filling_gain`."""
_LATENTS = len(DEPTHS) * VECTORS_PER_DEPTH


def residual_motion(envelopes: Tensor, *, filled: bool) -> Tensor:
    """Motion (..., T, 17) from envelopes (..., T, 17): deviations from their means, scaled independently of the model.

    Each sequence is scaled to a root mean square of 1 over the clip (SWING for a noise map). Then it is bounded: x
    becomes REACH · x / sqrt(1 + |x|²), which hardly changes small motions. With `filled`, as for playing, the motion of
    a depth group is first scaled so that its mean square becomes FILL. Training does without, because synthesizers
    trained on filled motion moved less and fitted less (docs/lab/synthesizers.md). A constant envelope gives no motion.
    """
    motion = torch.empty_like(envelopes)
    for columns in SEQUENCES:
        part = envelopes[..., list(columns)]
        part = part - part.mean(-2, keepdim=True)
        if columns[0] < _LATENTS:
            part = gliding(part, GLIDE[DEPTHS[columns[0] // VECTORS_PER_DEPTH]])
            size = part.square().sum(-1, keepdim=True).mean(-2, keepdim=True)
            part = part / size.clamp_min(1e-12).sqrt()
            motion[..., list(columns)] = bounded(filling_gain(part.square().sum(-1)) * part if filled else part)
        else:
            size = part.square().mean(-2, keepdim=True)
            motion[..., list(columns)] = bounded((SWING * part / size.clamp_min(1e-12).sqrt())[..., None])[..., 0]
    return motion


def gliding(part: Tensor, seconds: float) -> Tensor:
    """Smooth (..., T, C) over time by a Gaussian of this standard deviation; end values are repeated."""
    deviation = seconds * float(RATE)
    reach = math.ceil(3 * deviation)
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=part.dtype) / deviation).square())
    columns = part.mT
    rows = functional.pad(columns.reshape(-1, 1, columns.shape[-1]), (reach, reach), mode="replicate")
    smooth = functional.conv1d(rows, (taps / taps.sum())[None, None])
    return smooth.view(columns.shape).mT


def filling_gain(squares: Tensor) -> Tensor:
    """Factor (..., 1, 1) that scales a motion of root mean square 1 to FILL, from its squared lengths (..., T).

    It is found by Newton's method in the logarithm of its square.
    """
    most = 2 * math.log(LARGEST_GAIN)
    doubled = torch.zeros_like(squares[..., :1])
    for _ in range(NEWTON_STEPS):
        swelled = squares * doubled.exp()
        share = swelled / (1 + swelled)
        slope = (share * (1 - share)).mean(-1, keepdim=True).clamp_min(1e-3)
        doubled = (doubled + (FILL - share.mean(-1, keepdim=True)) / slope).clamp(-most, most)
    return (0.5 * doubled).exp()[..., None]


def bounded(part: Tensor) -> Tensor:
    """Limit the lengths of the rows of (..., T, C) to REACH: x becomes REACH · x / sqrt(1 + |x|²)."""
    return REACH * part / (1 + part.square().sum(-1, keepdim=True)).sqrt()


def averaging_motion(envelopes: Tensor) -> Tensor:
    """Motion of the decoder without residuals, (B, T, 17) -> (B, T, 17). The envelopes of a depth group become weights
    of an average of its vectors, positive with sum 1. The motion of noise is only bounded.
    """
    latents = envelopes[..., :_LATENTS].reshape(*envelopes.shape[:-1], len(DEPTHS), VECTORS_PER_DEPTH)
    noise = torch.tanh(envelopes[..., _LATENTS:])
    return torch.cat([latents.softmax(-1).flatten(-2), noise], dim=-1)


def parameter_free(envelopes: Tensor, *, residual: bool, filled: bool) -> Tensor:
    """Motion (B, T, 17) by `residual_motion` or `averaging_motion`."""
    return residual_motion(envelopes, filled=filled) if residual else averaging_motion(envelopes)


@dataclass(frozen=True)
class Decoded:
    """Output of the learned decoder."""

    hidden: Tensor
    """Hidden channels for each of the seven sequences, shape (B, T, 7, 2 · 17)."""
    latents: Tensor
    """A latent for each depth group, shape (B, T, 3, W)."""
    noise: tuple[Tensor, ...]
    """Noise maps for each octave, shape (B, T, h · w)."""


class LearnedDecoder(nn.Module):
    """The decoder of appendix A.1: for each sequence a linear layer that doubles the channels, GELU, and a linear
    layer.

    The last layer is linear, so its columns act as a palette and the hidden channels as weights over it.
    """

    def __init__(self, width: int) -> None:
        """`width` is W, the width of the model's latents."""
        super().__init__()
        self.width = width
        outputs = [width] * len(DEPTHS) + [(4 << octave) ** 2 for octave in range(NOISE_OCTAVES)]
        self.widen = nn.ModuleList(nn.Linear(ENVELOPES, 2 * ENVELOPES) for _ in outputs)
        self.project = nn.ModuleList(nn.Linear(2 * ENVELOPES, size) for size in outputs)

    def forward(self, envelopes: Tensor, *, residual: bool) -> Decoded:
        """Decode envelopes (B, T, 17); with `residual` the mean over the clip is subtracted from each output."""
        hidden = [nn.functional.gelu(widen(envelopes)) for widen in self.widen]
        outputs = [project(part) for project, part in zip(self.project, hidden, strict=True)]
        if residual:
            outputs = [part - part.mean(-2, keepdim=True) for part in outputs]
        depths = len(DEPTHS)
        return Decoded(torch.stack(hidden, -2), torch.stack(outputs[:depths], -2), tuple(outputs[depths:]))

    def score_columns(self, decoded: Decoded) -> tuple[Tensor, ...]:
        """Outputs of each sequence, rotated into at most 34 columns: (B, T, 2 · 17).

        An output is hidden · Wᵀ. With W = QR, the columns hidden · Rᵀ have the same inner products. A rotation does not
        change the correlation, so 34 columns are compared instead of 512.
        """
        columns = []
        for part, project in zip(decoded.hidden.unbind(-2), self.project, strict=True):
            assert isinstance(project, nn.Linear)
            many = project.out_features >= part.shape[-1]
            columns.append(part @ torch.linalg.qr(project.weight).R.mT if many else project(part))
        return tuple(columns)


def rotation(seed: int) -> Tensor:
    """Rotation of the envelopes for a motion seed, (17, 17) float64; the identity for seed 0.

    It is a uniformly distributed orthogonal matrix for the latents (Stewart, "The efficient generation of random
    orthogonal matrices", 1980), and another for the noise. Equation 3.3 includes the best rotation, so the rotated
    motion fits the sound equally well, but looks different.
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
