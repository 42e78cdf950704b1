"""The most audio-reactive of many recipes for a song.

Candidates are scored on what the generator is fed, the weights of their latents and noise, which stand in for the video
(section 4.2.2 of the thesis): nothing is rendered for that. The best few are then checked on short rendered previews,
for what a weight moves in the picture is the model's to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from audioreactive.correlation import score_total, sound_tables, watch
from audioreactive.correlation.chance import FEWEST_FRAMES
from audioreactive.errors import ScoreError
from audioreactive.features.tempo import at_tempo_factor
from audioreactive.patches.latents import Latents, latent_weights, make_palette
from audioreactive.patches.noise import make_noise, noise_motion
from audioreactive.progress import Progress, Silent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from audioreactive.correlation.sides import FloatArray
    from audioreactive.features import Features
    from audioreactive.patches.schema import Patch
    from stylegan_ops import Generator

PREVIEWS = 2
"""Candidates that are rendered."""
PREVIEW_STEP = 2
"""Of a preview every second frame is rendered: longer passages at the same cost."""
PREVIEW_FRAMES = FEWEST_FRAMES
PREVIEW_HEIGHT = 64
"""Pixels."""


@dataclass(frozen=True)
class Choice:
    """Which of the candidates it is, and by how much."""

    index: int
    motions: tuple[float, ...]
    """Corrected score of each candidate's motion."""
    previews: dict[int, float]
    """Candidate -> corrected score of its rendered preview."""

    @property
    def sentence(self) -> str:
        """What was chosen, and by how much, for a person."""
        motion, median = self.motions[self.index], float(np.median(self.motions))
        return (
            f"of {len(self.motions)} recipes, number {self.index + 1} reacts most: its motion lies "
            f"{motion:+.1f} deviations above chance, the median recipe's {median:+.1f}; "
            f"its rendered preview {self.previews[self.index]:+.1f}"
        )


def choose(
    patches: Sequence[Patch], features: Features, generator: Generator, *, batch: int, progress: Progress | None = None
) -> Choice:
    """Score all motions, render previews of the best few, and take the one whose preview reacts most.

    Raises:
        ScoreError: the song is too short to tell a reaction from chance, or silent.
    """
    progress = progress or Silent()
    least = (PREVIEW_FRAMES - 1) * PREVIEW_STEP + 1
    if features.frames < least:
        raise ScoreError(
            f"the song has {features.frames} frames; to compare recipes, at least {least} are needed "
            f"({float(least / features.fps):.1f} s): choose one with --seed instead"
        )
    heard, _ = sound_tables(features)
    motions = []
    with progress.track("choosing", len(patches), "recipe") as advance:
        for patch in patches:
            motions.append(motion_score(patch, features, heard))
            advance(1)
    best = sorted(range(len(patches)), key=lambda i: -motions[i])[:PREVIEWS]
    previews = {}
    with progress.track("previewing", len(best) * PREVIEW_FRAMES, "frame") as advance:
        for index in best:
            previews[index] = preview_score(patches[index], features, heard, generator, batch=batch)
            advance(PREVIEW_FRAMES)
    return Choice(max(best, key=lambda i: previews[i]), tuple(motions), previews)


def motion_score(patch: Patch, features: Features, heard: dict[str, FloatArray]) -> float:
    """Corrected score of what the patch feeds to the generator; 0 where nothing moves."""
    try:
        return score_total(heard, motion_tables(patch, features), fps=features.fps).z
    except ScoreError:
        return 0.0


def motion_tables(patch: Patch, features: Features) -> dict[str, FloatArray]:
    """What moves in the generator's inputs, name -> (T, C).

    Palette vectors and noise fields are drawn independently, and so nearly orthogonal: the weights over them are the
    inputs themselves, rotated, and a rotation changes no score.
    """
    features = at_tempo_factor(features, patch.tempo_factor)
    weights = latent_weights(patch.latents, features, len(patch.palette.seeds))
    noise = noise_motion(patch.noise, features)
    maps = noise.weights.reshape(features.frames, -1) * noise.gain[:, None]
    loops = [
        (loop.share * turn[:, None] * noise.gain[:, None]).astype(np.float32)
        for loop in noise.loops
        for turn in (np.cos(2 * np.pi * loop.phase), np.sin(2 * np.pi * loop.phase))
    ]
    tables = {
        "latents": weights.reshape(features.frames, -1),
        "noise": np.concatenate([maps, *loops], axis=1),
        "gain": noise.gain[:, None],
    }
    if noise.levels is not None:
        tables["levels"] = np.concatenate([noise.levels.mean, noise.levels.deviation], axis=1)
    return tables


def preview_score(
    patch: Patch,
    features: Features,
    heard: dict[str, FloatArray],
    generator: Generator,
    *,
    batch: int,
    place: float = 0.5,
) -> float:
    """Corrected score of a passage, rendered with every second frame and shrunk; 0 where the picture or the sound holds
    still there. Its place in the song goes from 0, the beginning, to 1, the end.
    """
    length = (PREVIEW_FRAMES - 1) * PREVIEW_STEP + 1
    start = round((features.frames - length) * place)
    shown = np.arange(start, start + length, PREVIEW_STEP)
    # A frame answers for all that was heard since the one before.
    since = np.maximum(shown[:, None] - np.arange(PREVIEW_STEP), 0)
    passage = {name: table[since].max(axis=1) for name, table in heard.items()}
    seen = watch(_preview(patch, features, generator, shown, batch))
    try:
        return score_total(passage, seen, fps=features.fps / PREVIEW_STEP).z
    except ScoreError:
        return 0.0


def _preview(
    patch: Patch, features: Features, generator: Generator, shown: NDArray[np.int64], batch: int
) -> Iterator[NDArray[np.uint8]]:
    """The small pictures of these frames, (h, w, 3) uint8."""
    import torch

    from audioreactive.renderer import to_uint8
    from audioreactive.sheet import shrink

    palette = make_palette(patch.palette, generator)
    features = at_tempo_factor(features, patch.tempo_factor)
    latents = Latents(latent_weights(patch.latents, features, len(palette)), palette)
    noise = make_noise(patch.noise, features, generator.noise_sizes, generator.device)
    for first in range(0, len(shown), batch):
        frames = [int(i) for i in shown[first : first + batch]]
        with torch.inference_mode():
            ws = torch.cat([latents.frames(i, i + 1) for i in frames])
            maps = [torch.cat(one) for one in zip(*(noise.frames(i, i + 1) for i in frames), strict=True)]
            images = generator.synthesis(ws, maps).float().clamp(-1, 1)
            yield from to_uint8(shrink(images, PREVIEW_HEIGHT)).cpu().numpy()
