"""Compute the `Motion` of a patch for a song, without a model, and from it the `Inputs` of a generator.

Conventions: T = video frames, G = depth groups, P = palette vectors, L = latent inputs of the generator, W = width of a
latent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from audioreactive.errors import RenderError
from audioreactive.features.tempo import at_tempo_factor
from audioreactive.generators import Canvas, parse_size, plan_canvas
from audioreactive.patches.latents import Latents, check_table, latent_weights, make_palette
from audioreactive.patches.noise import NoiseSequence, Window, faded, noise_motion
from audioreactive.patches.schema import DEPTHS
from audioreactive.patches.sections import spans
from audioreactive.patches.tables import NO_ENVELOPES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import torch
    from numpy.typing import NDArray

    from audioreactive.features import Features
    from audioreactive.generators import Fit, Generator
    from audioreactive.generators.protocol import Mapper
    from audioreactive.patches.noise import NoiseMotion
    from audioreactive.patches.schema import Palette, Patch, Synthesizer
    from audioreactive.patches.sections import Section, Span
    from audioreactive.patches.tables import FloatArray


class Synthesize(Protocol):
    """Function that makes the envelopes of a patch's synthesizers; `learn.synthesize` is the program's."""

    def __call__(self, patch: Patch, features: Features) -> Mapping[str, FloatArray]:
        """Make the envelopes (T, 17), in [0, 1] with 0.5 at rest, of each synthesizer by its name.

        Their order: three for each depth group, coarse to fine; then the mean of the noise maps of 4², 8², 16² and 32²
        pixels; then the standard deviations of these maps.
        """
        ...


class Fed(NamedTuple):
    """Inputs of a generator for one batch."""

    ws: torch.Tensor
    """(B, L, W) float32 latents."""
    noise: list[torch.Tensor]
    """(B, 1, h, w) float32 values of each noise map."""


@dataclass(frozen=True)
class Motion:
    """Motion of a whole video, usable with any generator."""

    latents: FloatArray
    """(T, G, P) weights over the palette; each row sums to one."""
    noise: NoiseMotion
    palettes: tuple[Palette, ...]
    """Palettes of seeds, which each generator maps to its own vectors; P is the total number of seeds."""

    def __len__(self) -> int:
        """T, the number of frames."""
        return len(self.latents)

    def on(
        self,
        generator: Generator,
        palette: torch.Tensor | None = None,
        *,
        size: str | tuple[int, int] | None = None,
        fit: Fit = "widen",
    ) -> Inputs:
        """Make the inputs of a generator for this motion.

        Args:
            generator: the generator.
            palette: vectors (P, L, W) to move between; None: mapped from the palettes' seeds.
            size: (width, height) of the pictures, or text such as "1280x720" or "1080p"; None: the generator's own.
            fit: how another aspect ratio is filled.

        Raises:
            RenderError: the generator lacks the palette's class, or cannot make pictures of this size.
        """
        vectors = self.vectors(generator) if palette is None else palette.to(generator.device)
        wanted = parse_size(size) if isinstance(size, str) else size
        canvas = plan_canvas(generator, size=wanted, fit=fit, even=(False, False))
        resized = generator.resized((canvas.frame_size[1], canvas.frame_size[0]))
        noise = NoiseSequence(self.noise, tuple(resized.noise_sizes), generator.device)
        return Inputs(Latents(self.latents, vectors), noise, canvas)

    def vectors(self, generator: Mapper) -> torch.Tensor:
        """Map the palettes' seeds to vectors (P, L, W) float32; raises RenderError if the generator lacks a class."""
        import torch

        return torch.cat([make_palette(palette, generator) for palette in self.palettes])

    def at(self, frames: NDArray[np.int64] | slice) -> Motion:
        """Return the motion of some frames, in any order: at these indices, or in a slice."""
        return replace(self, latents=np.ascontiguousarray(self.latents[frames]), noise=self.noise.at(frames))

    def tables(self) -> dict[str, FloatArray]:
        """Return tables, name -> (T, C), that represent the generator's inputs, to compare them with the features.

        Palette vectors and noise fields are independent, so nearly orthogonal. The weights over them are therefore the
        inputs up to a rotation, which does not change a score.
        """
        return {"latents": self.latents.reshape(len(self), -1), **self.noise.tables()}


@dataclass(frozen=True)
class Inputs:
    """Inputs of one generator, as a pure function of the frame index."""

    latents: Latents
    noise: NoiseSequence
    canvas: Canvas
    """Sizes of the generator's pictures and of the finished ones."""

    def __len__(self) -> int:
        """T, the number of frames."""
        return len(self.latents)

    def frames(self, start: int, stop: int) -> Fed:
        """Compute latents and noise of frames start to stop - 1; after the end, the last frame is repeated."""
        return Fed(self.latents.frames(start, stop), self.noise.frames(start, stop))


def motion(
    patch: Patch,
    features: Features,
    synthesize: Synthesize | None = None,
    *,
    sections: Sequence[Section] = (),
) -> Motion:
    """Compute the motion of a patch for a song.

    Args:
        patch: the recipe.
        features: features of the song.
        synthesize: makes the envelopes of the patch's synthesizers.
        sections: parts of the song with their own patches, cross-faded.

    Raises:
        RenderError: the patch has synthesizers but `synthesize` is None, or its tables would not fit in memory.
        SynthesizerError: a synthesizer cannot be fitted to the song.
    """

    def heard(patch: Patch) -> Features:
        return at_tempo_factor(features, patch.tempo_factor)

    made: list[tuple[tuple[Synthesizer, ...], Mapping[str, FloatArray]]] = []

    def envelopes(patch: Patch) -> Mapping[str, FloatArray]:
        if not patch.synthesizers:
            return NO_ENVELOPES
        if synthesize is None:
            names = ", ".join(synthesizer.name for synthesizer in patch.synthesizers)
            raise RenderError(f"the motion of the synthesizers {names} must be made first: use audioreactive.motion")
        for synthesizers, found in made:
            if synthesizers == patch.synthesizers:  # sections share fitted synthesizers
                return found
        made.append((patch.synthesizers, synthesize(patch, heard(patch))))
        return made[-1][1]

    seen = spans(patch, sections, features)
    palettes = tuple(dict.fromkeys(span.patch.palette for span in seen))
    check_table(features.frames, sum(len(palette.seeds) for palette in palettes))
    if len(seen) == 1:
        whole = seen[0].patch
        return Motion(
            latents=latent_weights(whole.latents, heard(whole), len(whole.palette.seeds), envelopes(whole)),
            noise=noise_motion(whole.noise, heard(whole), envelopes(whole)),
            palettes=palettes,
        )
    return Motion(
        latents=_faded_latents(seen, palettes, heard, envelopes),
        noise=faded(
            [noise_motion(s.patch.noise, heard(s.patch), envelopes(s.patch), slice(s.start, s.stop)) for s in seen],
            [Window(s.start, s.share) for s in seen],
            features.frames,
        ),
        palettes=palettes,
    )


def _faded_latents(
    seen: Sequence[Span],
    palettes: Sequence[Palette],
    heard: Callable[[Patch], Features],
    envelopes: Callable[[Patch], Mapping[str, FloatArray]],
) -> FloatArray:
    """Compute cross-faded weights (T, G, P) over the concatenated palettes; each row sums to one."""
    sizes = [len(palette.seeds) for palette in palettes]
    ends = dict(zip(palettes, accumulate(sizes), strict=True))
    table = np.zeros((max(span.stop for span in seen), len(DEPTHS), sum(sizes)), np.float32)
    for span in seen:
        patch, frames = span.patch, slice(span.start, span.stop)
        stop, size = ends[patch.palette], len(patch.palette.seeds)
        part = latent_weights(patch.latents, heard(patch), size, envelopes(patch), frames)
        table[span.start : span.stop, :, stop - size : stop] += span.share[:, None, None] * part
    return table
