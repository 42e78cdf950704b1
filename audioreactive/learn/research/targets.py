"""Motions that supervised synthesizers imitate: the most audio-reactive ones of the Randomizer (sections 4.2.2, 6.2).

The thesis learned from hours of videos that a person had made. Here the targets are chosen automatically: for each
target some recipes are drawn for a song, and the one whose motion scores highest is kept, by the measure of --best-of.

Conventions: T frames of a song, P palette vectors, G depth groups, W the width of a latent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from audioreactive.correlation import sound_tables
from audioreactive.learn.decoders import residual_motion
from audioreactive.learn.losses import ENVELOPES, OwnLatents
from audioreactive.learn.scoring import motion_score
from audioreactive.patches.fields import DEPTHS
from audioreactive.patches.motion import Motion, motion
from audioreactive.patches.noise import NoiseSequence
from audioreactive.patches.randomizer import random_patch
from audioreactive.patches.schema import NOISE_OCTAVES, VECTORS_PER_DEPTH
from audioreactive.progress import Progress, Silent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from audioreactive.generators.protocol import Mapper
    from audioreactive.learn.dataset import Song
    from audioreactive.patches.schema import Palette

    FloatArray = NDArray[np.float32]

NOISE_SIZES = tuple((4 << octave, 4 << octave) for octave in range(NOISE_OCTAVES))
"""(h, w) of the noise map of each octave."""


def curate(
    songs: Sequence[Song], count: int, *, best_of: int, seed: int, progress: Progress | None = None
) -> list[list[Motion]]:
    """Choose the targets of each song: `count` in all, at least one for each song; seeds count upwards from `seed`."""
    each = max(-(-count // len(songs)), 1)
    targets: list[list[Motion]] = []
    with (progress or Silent()).track("curating", each * len(songs), "preset") as advance:
        for song in songs:
            heard, _ = sound_tables(song.features)
            kept = []
            for _ in range(each):
                drawn = [motion(random_patch(seed + i), song.features) for i in range(best_of)]
                scores = [motion_score(each, heard, song.features.fps) for each in drawn]
                kept.append(drawn[int(np.argmax(scores))])
                seed += best_of
                advance(1)
            targets.append(kept)
    return targets


def given_motion(weights: Tensor, *, residual: bool) -> Tensor:
    """Weights over a palette (B, T, G, P) -> motion (B, T, 17) that the parameter-free decoder should imitate.

    The decoder has three vectors for each depth group, which differ from the recipe's, so only the motion can be
    learned. With `residual` that is the three principal components of the weights over the clip, with the sign of
    positive skewness; without it, the weights of the three heaviest vectors. The Randomizer changes neither mean nor
    deviation of a noise map, so the motion of noise is 0.
    """
    centred = weights - weights.mean(1, keepdim=True)
    parts = []
    for group in range(len(DEPTHS)):
        if residual:
            u, s, _ = torch.linalg.svd(centred[:, :, group], full_matrices=False)
            strongest = (u * s[:, None])[..., :VECTORS_PER_DEPTH]
            lean = strongest.pow(3).sum(1, keepdim=True)
            parts.append(torch.where(lean < 0, -strongest, strongest))
        else:
            order = weights[:, :, group].mean(1).topk(VECTORS_PER_DEPTH).indices  # [B, 3]
            chosen = weights[:, :, group].gather(2, order[:, None].expand(-1, weights.shape[1], -1)).clamp_min(1e-3)
            parts.append(chosen / chosen.sum(-1, keepdim=True))
    rest = weights.new_zeros(*weights.shape[:2], ENVELOPES - len(DEPTHS) * VECTORS_PER_DEPTH)
    given = torch.cat([*parts, rest], dim=-1)
    return residual_motion(given, filled=False) if residual else given


@dataclass(frozen=True)
class Content:
    """Properties of the model that a learned decoder is trained for."""

    mapper: Mapper
    mean: Tensor
    """Mean of the model's latents, shape (W,)."""
    spread: float
    """Mean squared distance of the latents from their mean."""
    own: OwnLatents
    """Distribution of the latents."""
    _palettes: dict[Palette, Tensor] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, mapper: Mapper, samples: int = 1024) -> Content:
        """Measure the properties on samples from a fixed seed."""
        z = torch.from_numpy(np.random.RandomState(0).randn(samples, mapper.z_dim)).float()
        ws = mapper.mapping(z.to(mapper.device))[:, 0].float().cpu()
        mean = ws.mean(0)
        spread = float((ws - mean).square().sum(1).mean())
        return cls(mapper, mean, spread, OwnLatents.of((ws - mean) / math.sqrt(spread)))

    def latents(self, target: Motion, start: int, stop: int) -> Tensor:
        """Latents (T, G, W) of these frames, relative to the model's mean and in units of its spread."""
        (content,) = target.palettes  # drawn recipes have no sections
        if content not in self._palettes:
            self._palettes[content] = target.vectors(self.mapper)[:, 0].cpu()
        palette = self._palettes[content]
        ws = torch.from_numpy(target.latents[start:stop]) @ palette
        return (ws - self.mean) / math.sqrt(self.spread)

    @staticmethod
    def noise(target: Motion, start: int, stop: int) -> tuple[Tensor, ...]:
        """Noise maps (T, h · w) of these frames, for each octave."""
        sequence = NoiseSequence(target.noise, NOISE_SIZES, torch.device("cpu"))
        return tuple(part.flatten(1) for part in sequence.frames(start, stop))
