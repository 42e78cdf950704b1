"""What supervised synthesizers imitate: the most audio-reactive of the Randomizer's sequences (sections 4.2.2 and 6.2).

The thesis learned from hours of videos that a person had made. Here the examples are curated automatically: for each
lesson some recipes are drawn for a song, and the one whose motion scores highest is kept, by the measure of --best-of.

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
from audioreactive.patches.motion import Motion, motion
from audioreactive.patches.noise import NoiseSequence
from audioreactive.patches.randomizer import random_patch
from audioreactive.patches.schema import DEPTHS, NOISE_OCTAVES, VECTORS_PER_DEPTH
from audioreactive.progress import Progress, Silent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from audioreactive.generators.protocol import Mapper
    from audioreactive.learn.dataset import Song
    from audioreactive.patches.schema import Palette

    FloatArray = NDArray[np.float32]

NOISE_SIZES = tuple((4 << octave, 4 << octave) for octave in range(NOISE_OCTAVES))


def curate(
    songs: Sequence[Song], count: int, *, best_of: int, seed: int, progress: Progress | None = None
) -> list[list[Motion]]:
    """For each song its lessons, `count` in all and at least one each; seeds go upwards from `seed`."""
    each = max(-(-count // len(songs)), 1)
    lessons: list[list[Motion]] = []
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
            lessons.append(kept)
    return lessons


def given_motion(weights: Tensor, *, residual: bool) -> Tensor:
    """Weights over a palette (B, T, G, P) -> what the parameter-free decoder should make of the sound: (B, T, 17).

    Its three vectors for each depth group are other ones than the recipe's, and only the motion is to be learned:
    residual, the three strongest ways in which the weights move (their principal components over the clip, the sign
    such that they lean upwards); else the weights of the three heaviest vectors. The Randomizer leaves every noise map
    its mean and deviation, so noise is given as resting.
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
    """What a learned decoder needs of the one model that it is for."""

    mapper: Mapper
    mean: Tensor
    """(W,): of the model's latents."""
    spread: float
    """Mean squared distance of its latents from their mean."""
    own: OwnLatents
    """How they are distributed."""
    _palettes: dict[Palette, Tensor] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, mapper: Mapper, samples: int = 1024) -> Content:
        """Measured on samples from fixed seeds."""
        z = torch.from_numpy(np.random.RandomState(0).randn(samples, mapper.z_dim)).float()
        ws = mapper.mapping(z.to(mapper.device))[:, 0].float().cpu()
        mean = ws.mean(0)
        spread = float((ws - mean).square().sum(1).mean())
        return cls(mapper, mean, spread, OwnLatents.of((ws - mean) / math.sqrt(spread)))

    def latents(self, lesson: Motion, start: int, stop: int) -> Tensor:
        """(T, G, W) of these frames, in units of the model's spread and about its mean."""
        (content,) = lesson.palettes  # drawn recipes have no sections
        if content not in self._palettes:
            self._palettes[content] = lesson.vectors(self.mapper)[:, 0].cpu()
        palette = self._palettes[content]
        ws = torch.from_numpy(lesson.latents[start:stop]) @ palette
        return (ws - self.mean) / math.sqrt(self.spread)

    @staticmethod
    def noise(lesson: Motion, start: int, stop: int) -> tuple[Tensor, ...]:
        """For each octave, (T, h · w)."""
        sequence = NoiseSequence(lesson.noise, NOISE_SIZES, torch.device("cpu"))
        return tuple(part.flatten(1) for part in sequence.frames(start, stop))
