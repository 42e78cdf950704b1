"""Patch + Features -> `Motion`, without a model; Motion on a generator -> `Inputs`, what the generator is fed.

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

    from audioreactive.features import Features
    from audioreactive.generators import Fit, Generator
    from audioreactive.generators.protocol import Mapper
    from audioreactive.patches.noise import NoiseMotion
    from audioreactive.patches.schema import Palette, Patch, Synthesizer
    from audioreactive.patches.sections import Section, Span
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
    palettes: tuple[Palette, ...]
    """The content: seeds, which each generator maps to vectors of its own; P counts them all."""

    def __len__(self) -> int:
        """T."""
        return len(self.latents)

    def on(
        self,
        generator: Generator,
        palette: torch.Tensor | None = None,
        *,
        size: str | tuple[int, int] | None = None,
        fit: Fit = "widen",
    ) -> Inputs:
        """What this generator is fed.

        Args:
            generator: the generator.
            palette: vectors (P, L, W) to move between; None: the palette's seeds, mapped.
            size: (width, height) of the pictures, or text such as "1280x720" or "1080p"; None: the generator's own.
            fit: how another aspect ratio is filled.

        Raises:
            RenderError: the generator has no such class, or cannot make such a picture.
        """
        vectors = self.vectors(generator) if palette is None else palette.to(generator.device)
        wanted = parse_size(size) if isinstance(size, str) else size
        canvas = plan_canvas(generator, size=wanted, fit=fit, even=(False, False))
        resized = generator.resized((canvas.frame_size[1], canvas.frame_size[0]))
        noise = NoiseSequence(self.noise, tuple(resized.noise_sizes), generator.device)
        return Inputs(Latents(self.latents, vectors), noise, canvas)

    def vectors(self, generator: Mapper) -> torch.Tensor:
        """(P, L, W) float32: the palettes' vectors on this generator. Raises RenderError if it has no such class."""
        import torch

        return torch.cat([make_palette(palette, generator) for palette in self.palettes])

    def every(self, step: int) -> Motion:
        """The same at a lower frame rate: frames 0, step, 2 · step, ..."""
        return replace(self, latents=np.ascontiguousarray(self.latents[::step]), noise=self.noise.every(step))

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


def motion(
    patch: Patch,
    features: Features,
    synthesize: Synthesize | None = None,
    *,
    sections: Sequence[Section] = (),
) -> Motion:
    """The patch's motion for a song.

    Args:
        patch: the recipe.
        features: what was heard.
        synthesize: makes the envelopes of the patch's synthesizers.
        sections: parts of the song with patches of their own, faded into one another.

    Raises:
        RenderError: the patch has synthesizers and none can be made; or its tables would not fit in memory.
        SynthesizerError: nothing can be fitted to the song.
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
            if synthesizers == patch.synthesizers:  # sections share what is fitted to the song
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
    """Weights (T, G, P) over all palettes, one behind the other; every row sums to one."""
    sizes = [len(palette.seeds) for palette in palettes]
    ends = dict(zip(palettes, accumulate(sizes), strict=True))
    table = np.zeros((max(span.stop for span in seen), len(DEPTHS), sum(sizes)), np.float32)
    for span in seen:
        patch, frames = span.patch, slice(span.start, span.stop)
        stop, size = ends[patch.palette], len(patch.palette.seeds)
        part = latent_weights(patch.latents, heard(patch), size, envelopes(patch), frames)
        table[span.start : span.stop, :, stop - size : stop] += span.share[:, None, None] * part
    return table
