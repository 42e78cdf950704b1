"""The score of any patch's motion on a generator that paints slowly, foretold from its response.

Patches with one palette feed a generator from the same small space: weights over the palette's vectors, and an amount
of noise. The response there is learnt once, from rendered samples of some patches; then the score of others needs no
rendering.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch

from audioreactive._support.streams import named_stream
from audioreactive._support.threads import at_most_threads
from audioreactive.correlation import score_total
from audioreactive.errors import ScoreError
from audioreactive.learn.response import Response, Sample
from audioreactive.patches.fields import depth_slices
from audioreactive.rendering.previews import pictures_at

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from fractions import Fraction

    from numpy.typing import NDArray
    from torch import Tensor

    from audioreactive.generators import Generator
    from audioreactive.patches.motion import Motion
    from audioreactive.progress import Progress

    FloatArray = NDArray[np.float32]

MOST_DIRECTIONS = 16
"""Principal directions of the palette's vectors, for each depth group, that describe a state."""


@dataclass(frozen=True)
class States:
    """What a generator is fed, in few numbers, for all motions over one palette."""

    directions: tuple[FloatArray, ...]
    """(P, d) for each depth group: coordinates of the palette's vectors along their principal directions."""

    @classmethod
    def over(cls, vectors: Tensor) -> States:
        """Describe states over palette vectors (P, L, W)."""
        found = []
        for layers in depth_slices(vectors.shape[1]):
            group = vectors[:, layers].flatten(1).double()
            group = group - group.mean(0)
            left, values, _ = torch.linalg.svd(group, full_matrices=False)
            kept = values[:MOST_DIRECTIONS] > 1e-3 * values[0].clamp_min(1e-9)
            size = group.square().sum(1).mean().sqrt().clamp_min(1e-9)
            found.append((left * values)[:, :MOST_DIRECTIONS][:, kept].div(size).float().numpy())
        return cls(tuple(found))

    def of(self, motion: Motion) -> FloatArray:
        """States (T, C) of a motion."""
        latents = [motion.latents[:, group] @ directions for group, directions in enumerate(self.directions)]
        noise = motion.noise
        maps = (noise.weights * noise.gain[:, None, None]).reshape(len(motion), -1)
        return np.concatenate([*latents, noise.gain[:, None], maps], axis=1).astype(np.float32)

    def groups(self, columns: int) -> tuple[slice, ...]:
        """Columns of a state that act on the picture alike: each depth group, the amount of noise, its pattern."""
        edges = np.cumsum([0, *(directions.shape[1] for directions in self.directions), 1])
        depths = [slice(int(a), int(b)) for a, b in pairwise(edges)]
        return (*depths, slice(int(edges[-1]), columns))


@dataclass(frozen=True)
class Foresight:
    """Scores of motions over one palette on one generator, foretold."""

    states: States
    response: Response

    @classmethod
    def learnt(
        cls, motions: Sequence[Motion], generator: Generator, pairs: int, seed: str, progress: Progress
    ) -> Foresight:
        """Render `pairs` pairs of neighbouring frames of motions over the same palette, and learn from them."""
        states = States.over(motions[0].vectors(generator))
        samples = []
        with progress.track("looking", 2 * pairs, "picture") as advance, at_most_threads(1):
            for number, motion in enumerate(motions):
                count = pairs * (number + 1) // len(motions) - pairs * number // len(motions)
                if not count:
                    continue
                first = named_stream(f"foresight {seed} {number}").randint(0, max(len(motion) - 1, 1), count)
                frames = np.minimum(np.stack([first, first + 1], 1).ravel(), len(motion) - 1)
                pictures = np.stack(list(pictures_at(motion, generator, frames)))
                samples.append(Sample.measured(states.of(motion.at(frames)), pictures))
                advance(2 * count)
            sample = Sample.joined(samples)
            return cls(states, Response(sample, states.groups(sample.states.shape[1]), f"foresight {seed}"))

    def score(self, motion: Motion, heard: Mapping[str, FloatArray], fps: Fraction) -> float:
        """Foretell the corrected score of a motion with features of the sound; 0 if nothing changes."""
        with torch.no_grad(), at_most_threads(1):
            seen = self.response.features(torch.from_numpy(self.states.of(motion)))
        try:
            return score_total(dict(heard), {name: table.numpy() for name, table in seen.tables.items()}, fps=fps).z
        except ScoreError:
            return 0.0
