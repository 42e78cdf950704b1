"""Patch + Features -> `Motion`, without a model; Motion on a generator -> `Inputs`, what the generator is fed.

Conventions: T = video frames, G = depth groups, P = palette vectors, L = latent inputs of the generator, W = width of a
latent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from audioreactive.errors import RenderError
from audioreactive.generators import Canvas, plan_canvas
from audioreactive.patches.latents import Latents, latent_weights, make_palette
from audioreactive.patches.noise import NoiseSequence, noise_motion
from audioreactive.patches.tables import NO_ENVELOPES

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from audioreactive.features import Features
    from audioreactive.generators import Fit, Generator
    from audioreactive.patches.noise import NoiseMotion
    from audioreactive.patches.schema import Palette, Patch
    from audioreactive.patches.tables import FloatArray


class Synthesize(Protocol):
    """Makes the envelopes of a patch's synthesizers; `learn.synthesize` is the one that the program uses."""

    def __call__(self, patch: Patch, features: Features) -> Mapping[str, FloatArray]:
        """Name of each synthesizer -> its envelopes (T, 17) in [0, 1], 0.5 at rest.

        In order: three for each depth group, coarse to fine; then the mean of the noise maps of 4², 8², 16² and 32²
        pixels, and their deviation.
        """
        ...


class Fed(NamedTuple):
    """What a generator is fed for one batch."""

    ws: torch.Tensor
    """(B, L, W) float32."""
    noise: list[torch.Tensor]
    """(B, 1, h, w) float32 for each noise map."""


@dataclass(frozen=True)
class Motion:
    """All that moves in a video, for any generator."""

    latents: FloatArray
    """(T, G, P) weights over the palette; every row sums to one."""
    noise: NoiseMotion
    palette: Palette
    """The content: seeds, which each generator maps to vectors of its own."""

    def __len__(self) -> int:
        """T."""
        return len(self.latents)

    def on(
        self,
        generator: Generator,
        palette: torch.Tensor | None = None,
        *,
        size: tuple[int, int] | None = None,
        fit: Fit = "widen",
    ) -> Inputs:
        """What this generator is fed.

        Args:
            generator: the generator.
            palette: vectors (P, L, W) to move between; None: the palette's seeds, mapped.
            size: (width, height) of the pictures; None: the generator's own.
            fit: how another aspect ratio is filled.

        Raises:
            RenderError: the generator has no such class, or cannot make such a picture.
        """
        vectors = make_palette(self.palette, generator) if palette is None else palette.to(generator.device)
        canvas = plan_canvas(generator, size=size, fit=fit, even=(False, False))
        resized = generator.resized((canvas.frame_size[1], canvas.frame_size[0]))
        noise = NoiseSequence(self.noise, tuple(resized.noise_sizes), generator.device)
        return Inputs(Latents(self.latents, vectors), noise, canvas)

    def tables(self) -> dict[str, FloatArray]:
        """What moves in the generator's inputs, name -> (T, C), to be compared with what is heard.

        Palette vectors and noise fields are drawn independently, and so nearly orthogonal: the weights over them are
        the inputs themselves, rotated, and a rotation changes no score.
        """
        return {"latents": self.latents.reshape(len(self), -1), **self.noise.tables()}


@dataclass(frozen=True)
class Inputs:
    """What one generator is fed, frame by frame: a pure function of the frame's index."""

    latents: Latents
    noise: NoiseSequence
    canvas: Canvas
    """The picture that the generator makes, and the one that was asked for."""

    def __len__(self) -> int:
        """T."""
        return len(self.latents)

    def frames(self, start: int, stop: int) -> Fed:
        """Latents and noise of frames start to stop - 1; past the end the last frame is held."""
        return Fed(self.latents.frames(start, stop), self.noise.frames(start, stop))


def motion(patch: Patch, features: Features, synthesize: Synthesize | None = None) -> Motion:
    """The patch's motion for a song.

    Args:
        patch: the recipe.
        features: what was heard.
        synthesize: makes the envelopes of the patch's synthesizers.

    Raises:
        RenderError: the patch has synthesizers and none can be made; or its tables would not fit in memory.
        SynthesizerError: nothing can be fitted to the song.
    """
    if patch.synthesizers and synthesize is None:
        names = ", ".join(synthesizer.name for synthesizer in patch.synthesizers)
        raise RenderError(f"the motion of the synthesizers {names} must be made first: use audioreactive.motion")
    envelopes = synthesize(patch, features) if synthesize and patch.synthesizers else NO_ENVELOPES
    return Motion(
        latents=latent_weights(patch.latents, features, len(patch.palette.seeds), envelopes),
        noise=noise_motion(patch.noise, features, envelopes),
        palette=patch.palette,
    )
