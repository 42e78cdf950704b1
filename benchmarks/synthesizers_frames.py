"""Frames for benchmarks/synthesizers.py: what is kept of a passage, how far it lies from the model's own pictures, and
what a learned decoder feeds the generator.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from audioreactive.learn.research.frechet import frechet
from audioreactive.learn.research.targets import Content
from audioreactive.patches.fields import depth_slices
from audioreactive.patches.motion import Fed
from audioreactive.patches.randomizer import draw_around
from audioreactive.patches.schema import NOISE_OCTAVES, Hippo, Patch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from audioreactive.correlation import Score
    from audioreactive.generators.protocol import Mapper
    from audioreactive.learn.dataset import Song
    from audioreactive.learn.model_file import SynthesizerModel
    from audioreactive.patches.motion import Inputs

FLASHING = 2.5
"""Swings a second from which on a colour counts as restless; three flashes a second are the limit of WCAG 2.2."""
DIRECTIONS = 32
"""Principal directions of the model's latents in which their distance is taken."""


@dataclass(frozen=True)
class Shot:
    """A passage that was rendered and watched."""

    card: Score
    described: torch.Tensor
    """(frames, F): features for the Fréchet distance."""
    ws: torch.Tensor
    """(frames, 3, W): a latent for each depth group."""


@dataclass(frozen=True)
class OwnPictures:
    """A model's own samples, and how far others lie from them."""

    pictures: torch.Tensor
    """(n, F) features."""
    latents: torch.Tensor
    """(n, W)."""
    directions: torch.Tensor
    """(W, DIRECTIONS)."""
    size: float
    """Mean squared distance of the latents from their mean."""

    @classmethod
    def of(cls, pictures: torch.Tensor, latents: torch.Tensor) -> OwnPictures:
        """Of the features and the latents of samples."""
        centred = latents - latents.mean(0)
        directions = torch.linalg.svd(centred, full_matrices=False).Vh[:DIRECTIONS].T
        return cls(pictures, latents, directions, float(centred.square().sum(1).mean()))

    def distances(self, pictures: torch.Tensor, latents: torch.Tensor) -> dict[str, float]:
        """Fréchet distances of features (m, F), in units of their spread, and of latents (m, W), in units of theirs;
        and the latents' mean squared distance from the average.
        """
        centre, spread = self.pictures.mean(0), self.pictures.std(0) + 1e-6
        mean = self.latents.mean(0)
        return {
            "pictures": frechet((pictures - centre) / spread, (self.pictures - centre) / spread),
            "w": frechet((latents - mean) @ self.directions, (self.latents - mean) @ self.directions) / self.size,
            "radius": float((latents - mean).square().sum(1).mean()) / self.size,
        }


def restlessness(frames: NDArray[np.uint8], fps: float, onsets: NDArray[np.float32]) -> dict[str, float]:
    """How frames (T, h, w, 3) in a row go: the mean change of a pixel a frame, the change of that change, the root mean
    square of what the mean colour does more than FLASHING times a second, all of 255; and how the changes correlate
    with onsets (T,).
    """
    pixels = frames.astype(np.float32)
    steps = np.diff(pixels, axis=0)
    colour = pixels.mean((1, 2))
    power = np.square(np.abs(np.fft.rfft(colour - colour.mean(0), axis=0))).sum(1) * 2 / len(colour) ** 2
    fast = np.fft.rfftfreq(len(colour), 1 / fps) > FLASHING
    changes = np.abs(steps).mean((1, 2, 3))
    return {
        "change": float(changes.mean()),
        "change of change": float(np.abs(np.diff(steps, axis=0)).mean()),
        "fast colour": float(np.sqrt(power[fast].sum())),
        "with onsets": float(np.corrcoef(changes, onsets[1:])[0, 1]),
    }


def one_picture(seed: int) -> Patch:
    """A recipe in which a synthesizer called `it` moves a single picture: no sections."""
    patch = draw_around(Hippo(kind="hippo", name="it"), seed)
    return patch.model_copy(
        update={"latents": patch.latents.model_copy(update={"sequences": patch.latents.sequences[1:]})}
    )


def still(patch: Patch) -> Patch:
    """The recipe without a synthesizer: its picture, at rest."""
    return patch.model_copy(
        update={
            "latents": patch.latents.model_copy(update={"sequences": ()}),
            "noise": patch.noise.model_copy(update={"levels": None}),
            "synthesizers": (),
        }
    )


@dataclass(frozen=True)
class LearnedInputs:
    """What a learned decoder feeds a generator: latents, and the coarse maps of noise over those of a recipe."""

    groups: torch.Tensor
    """(T, 3, W)."""
    octaves: tuple[torch.Tensor, ...]
    """(T, h · w) for each octave."""
    rest: Inputs
    """The recipe's, whose finer maps stay."""
    residual: bool
    """Whether the octaves are added to the recipe's maps; else they replace them."""

    def __len__(self) -> int:
        """T."""
        return len(self.groups)

    def frames(self, start: int, stop: int) -> Fed:
        """Latents and noise of frames start to stop - 1."""
        ws, noise, *_ = self.rest.frames(start, stop)
        maps = list(noise)
        ws = ws.new_empty(stop - start, ws.shape[1], self.groups.shape[2])
        for group, layers in enumerate(depth_slices(ws.shape[1])):
            ws[:, layers] = self.groups[start:stop, group, None]
        sizes = self.rest.noise.sizes
        for index, (height, width) in enumerate(sizes):
            octave = round(math.log2(height / sizes[0][0]))
            if octave < NOISE_OCTAVES:
                made = self.octaves[octave][start:stop].view(-1, 1, height, width)
                maps[index] = maps[index] + made if self.residual else made
        return Fed(ws, maps)


def learned_inputs(model: SynthesizerModel, song: Song, generator: Mapper, rest: Inputs) -> LearnedInputs:
    """What a learned decoder makes of a song; if residual, about the picture and the noise of a recipe at rest."""
    decoder, residual = model.network.decoder, model.configuration.residual
    assert decoder is not None
    content = Content.of(generator)
    with torch.inference_mode():
        decoded = decoder(model.network.envelopes(torch.from_numpy(song.inputs)[None]), residual=residual)
    centre = rest.frames(0, 1).ws[0, 0] if residual else content.mean
    groups = centre + math.sqrt(content.spread) * decoded.latents[0]
    return LearnedInputs(groups, tuple(part[0] for part in decoded.noise), rest, residual)
