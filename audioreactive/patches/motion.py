"""Compute the `Motion` of a patch for a song, without a model, and from it the `Inputs` of a generator.

Conventions: T = video frames, G = depth groups, P = palette vectors, L = latent inputs of the generator, W = width of a
latent.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from audioreactive.errors import RenderError
from audioreactive.features.tempo import at_tempo_factor
from audioreactive.generators import Canvas, parse_size, plan_canvas
from audioreactive.patches.fields import DEPTHS
from audioreactive.patches.latents import Latents, check_table, latent_weights, make_palette
from audioreactive.patches.moves import (
    RESTING,
    MoveMotion,
    check_moves,
    direction_vectors,
    faded_moves,
    latents_of_others,
    move_motion,
)
from audioreactive.patches.noise import NoiseSequence, Window, draw_field, faded, noise_motion
from audioreactive.patches.sections import spans
from audioreactive.patches.tables import NO_ENVELOPES, held, on_device

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping, Sequence

    import torch
    from numpy.typing import NDArray

    from audioreactive.features import Features
    from audioreactive.generators import Fit, Generator
    from audioreactive.generators.moves import Moves
    from audioreactive.generators.protocol import Mapper
    from audioreactive.patches.noise import DrawField, NoiseMotion
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


class MovedFed(NamedTuple):
    """Inputs of a generator for one batch, if more than latents and noise moves."""

    ws: torch.Tensor
    """(B, L, W) float32 latents."""
    noise: Sequence[torch.Tensor]
    """(B, 1, h, w) float32 values of each noise map, computed at the first look."""
    moves: Moves
    """What moves besides."""


class Fed(NamedTuple):
    """Inputs of a generator for one batch."""

    ws: torch.Tensor
    """(B, L, W) float32 latents."""
    noise: Sequence[torch.Tensor]
    """(B, 1, h, w) float32 values of each noise map, computed at the first look."""


@dataclass(frozen=True)
class Motion:
    """Motion of a whole video, usable with any generator."""

    latents: FloatArray
    """(T, G, P) weights over the palette; each row sums to one."""
    noise: NoiseMotion
    palettes: tuple[Palette, ...]
    """Palettes of seeds, which each generator maps to its own vectors; P is the total number of seeds."""
    moves: MoveMotion = RESTING
    """Motion of what only some generators have: a camera, bends."""

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
        draw: DrawField = draw_field,
    ) -> Inputs:
        """Make the inputs of a generator for this motion.

        Args:
            generator: the generator.
            palette: vectors (P, L, W) to move between; None: mapped from the palettes' seeds.
            size: (width, height) of the pictures, or text such as "1280x720" or "1080p"; None: the generator's own.
            fit: how another aspect ratio is filled.
            draw: draws the fixed fields of the noise.

        Raises:
            RenderError: the generator lacks the palette's class, cannot make pictures of this size, or cannot be moved
                in the way that the motion needs.
        """
        check_moves(self.moves, generator)
        vectors = self.vectors(generator) if palette is None else palette.to(generator.device)
        wanted = parse_size(size) if isinstance(size, str) else size
        canvas = plan_canvas(generator, size=wanted, fit=fit, even=(False, False))
        resized = generator.resized((canvas.frame_size[1], canvas.frame_size[0]))
        noise = NoiseSequence(self.noise, tuple(resized.noise_sizes), generator.device, draw)
        others = {
            at: Latents(self.latents, self.vectors(mapper)) for at, mapper in latents_of_others(self.moves, generator)
        }
        directions = direction_vectors(self.moves, generator)
        return Inputs(Latents(self.latents, vectors), noise, canvas, self.moves, directions, others)

    def vectors(self, generator: Mapper) -> torch.Tensor:
        """Map the palettes' seeds to vectors (P, L, W) float32; raises RenderError if the generator lacks a class."""
        import torch

        return torch.cat([make_palette(palette, generator) for palette in self.palettes])

    def at(self, frames: NDArray[np.int64] | slice) -> Motion:
        """Return the motion of some frames, in any order: at these indices, or in a slice."""
        latents = np.ascontiguousarray(self.latents[frames])
        return replace(self, latents=latents, noise=self.noise.at(frames), moves=self.moves.at(frames))

    def closed(self, start: int, stop: int, fade: int) -> Motion:
        """Return the motion in which frames start to stop - 1 are a loop without a seam.

        The last `fade` frames turn into those before `start`, so that the last one leads on to the first; where the
        song has none, they come to rest at its first frame. Other frames stay as they are.
        """
        fade = min(fade, stop - start - 1)
        if fade < 1:
            return self
        rise = np.arange(1, fade + 1, dtype=np.float64) / (fade + 1)
        share = np.zeros(len(self), np.float32)
        share[stop - fade : stop] = 0.5 - 0.5 * np.cos(np.pi * rise)
        before = np.clip(np.arange(len(self)) - (stop - start), 0, None)
        mixed = share[:, None, None]
        return replace(
            self,
            latents=np.ascontiguousarray((1 - mixed) * self.latents + mixed * self.latents[before], np.float32),
            noise=faded([self.noise, self.noise.at(before)], [Window(0, 1 - share), Window(0, share)], len(self)),
            moves=self.moves.mixed(self.moves.at(before), share),
        )

    def tables(self) -> dict[str, FloatArray]:
        """Return tables, name -> (T, C), that represent the generator's inputs, to compare them with the features.

        Palette vectors and noise fields are independent, so nearly orthogonal. The weights over them are therefore the
        inputs up to a rotation, which does not change a score.
        """
        return {"latents": self.latents.reshape(len(self), -1), **self.noise.tables(), **self.moves.tables()}


@dataclass(frozen=True)
class Inputs:
    """Inputs of one generator, as a pure function of the frame index."""

    latents: Latents
    noise: NoiseSequence
    canvas: Canvas
    """Sizes of the generator's pictures and of the finished ones."""
    moves: MoveMotion = RESTING
    """Motion of a camera, of bends, and along directions."""
    directions: torch.Tensor | None = None
    """(D, L, W) vectors of the directions."""
    others: Mapping[int, Latents] = field(default_factory=dict)
    """Number of a change of all weights towards another model -> that model's own latents."""

    def __len__(self) -> int:
        """T, the number of frames."""
        return len(self.latents)

    def frames(self, start: int, stop: int) -> Fed | MovedFed:
        """Compute latents and noise of frames start to stop - 1; after the end, the last frame is repeated."""
        import torch

        ws, noise = self.latents.frames(start, stop), self.noise.frames(start, stop)
        moves = self.moves.frames(start, stop)
        for at, latents in self.others.items():
            ws = _between(ws, latents.frames(start, stop), moves.weights[at][1])
        if self.directions is not None:
            places = np.stack([held(place, start, stop) for _, place in self.moves.directions], 1)  # [B, D]
            ws = ws + torch.einsum("bd,dlw->blw", on_device(places, ws.device), self.directions)
        return MovedFed(ws, noise, moves) if self.moves else Fed(ws, noise)


def _between(ws: torch.Tensor, others: torch.Tensor, shares: Sequence[float]) -> torch.Tensor:
    """Mix latents (B, L, W) with a share (B,) of others; at 0 and 1 they are one of the two exactly."""
    import torch

    share = torch.tensor(shares, dtype=ws.dtype, device=ws.device)[:, None, None]
    return torch.where(share == 1, others, torch.lerp(ws, others, share))


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
    return passage(spans(patch, sections, features), features, range(features.frames), synthesize)


def passage(
    seen: Sequence[Span],
    features: Features,
    frames: range,
    synthesize: Synthesize | None = None,
    *,
    memory: MutableMapping[PartKey, PartMotion] | None = None,
) -> Motion:
    """Compute the motion of some frames of a song; frame 0 of the result is `frames.start`.

    Args:
        seen: the spans of the whole song, from `sections.spans`.
        features: features of the song.
        frames: the frames; only spans that are visible in them are computed.
        synthesize: makes the envelopes of the patches' synthesizers.
        memory: motion of spans that was computed before, to which new ones are added; for one song.

    Raises:
        RenderError: as `motion`.
        SynthesizerError: as `motion`.
    """
    seen = [span for span in seen if span.start < frames.stop and span.stop > frames.start]
    palettes = tuple(dict.fromkeys(span.patch.palette for span in seen))
    check_table(len(frames), sum(len(palette.seeds) for palette in palettes))
    envelopes = _Envelopes(features, synthesize)
    parts = [_part(span, envelopes, {} if memory is None else memory) for span in seen]
    if len(seen) == 1 and (seen[0].start, seen[0].stop) == (frames.start, frames.stop):
        return Motion(parts[0].latents, parts[0].noise, palettes, parts[0].moves)
    cuts = [range(max(span.start, frames.start), min(span.stop, frames.stop)) for span in seen]
    latents, noises, moves, windows = [], [], [], []
    for span, part, cut in zip(seen, parts, cuts, strict=True):
        here = slice(cut.start - span.start, cut.stop - span.start)
        latents.append(part.latents[here])
        noises.append(part.noise.cut(here.start, here.stop))
        moves.append(part.moves.at(here))
        windows.append(Window(cut.start - frames.start, span.share[here]))
    return Motion(
        latents=_faded_latents([span.patch.palette for span in seen], palettes, latents, windows, len(frames)),
        noise=faded(noises, windows, len(frames)),
        palettes=palettes,
        moves=faded_moves(moves, windows, len(frames)),
    )


class PartMotion(NamedTuple):
    """Motion of one span, before it is faded."""

    latents: FloatArray
    """(t, G, p) weights over the span's own palette."""
    noise: NoiseMotion
    moves: MoveMotion = RESTING


PartKey = tuple[str, int, int]
"""Patch of a span as text, its first frame, and one past its last."""


def _part(span: Span, envelopes: _Envelopes, memory: MutableMapping[PartKey, PartMotion]) -> PartMotion:
    """Compute the motion of a span, or take it from the memory."""
    patch, frames = span.patch, slice(span.start, span.stop)
    key = (patch.model_dump_json(), span.start, span.stop)
    if (known := memory.get(key)) is not None:
        return known
    heard, made = envelopes.heard(patch), envelopes.of(patch)
    part = PartMotion(
        latent_weights(patch.latents, heard, len(patch.palette.seeds), made, frames),
        noise_motion(patch.noise, heard, made, frames),
        move_motion(patch, heard, frames),
    )
    memory[key] = part
    return part


class _Envelopes:
    """Envelopes of the synthesizers of patches for one song; patches with equal synthesizers share them."""

    def __init__(self, features: Features, synthesize: Synthesize | None) -> None:
        self._features, self._synthesize = features, synthesize
        self._made: list[tuple[tuple[Synthesizer, ...], Mapping[str, FloatArray]]] = []

    def heard(self, patch: Patch) -> Features:
        """Return the features as the patch hears them."""
        return at_tempo_factor(self._features, patch.tempo_factor)

    def of(self, patch: Patch) -> Mapping[str, FloatArray]:
        """Return the envelopes of a patch's synthesizers by name; raises RenderError if nothing makes them."""
        if not patch.synthesizers:
            return NO_ENVELOPES
        if self._synthesize is None:
            names = ", ".join(synthesizer.name for synthesizer in patch.synthesizers)
            raise RenderError(f"the motion of the synthesizers {names} must be made first: use audioreactive.motion")
        for synthesizers, found in self._made:
            if synthesizers == patch.synthesizers:
                return found
        self._made.append((patch.synthesizers, self._synthesize(patch, self.heard(patch))))
        return self._made[-1][1]


def _faded_latents(
    owners: Sequence[Palette],
    palettes: Sequence[Palette],
    parts: Sequence[FloatArray],
    windows: Sequence[Window],
    frames: int,
) -> FloatArray:
    """Compute cross-faded weights (T, G, P) over the concatenated palettes; each row sums to one.

    Args:
        owners: the palette of each part.
        palettes: the distinct palettes, in order.
        parts: weights (t, G, p) of each part over its own palette.
        windows: place and share of each part.
        frames: T.
    """
    sizes = [len(palette.seeds) for palette in palettes]
    ends = dict(zip(palettes, accumulate(sizes), strict=True))
    table = np.zeros((frames, len(DEPTHS), sum(sizes)), np.float32)
    for palette, part, (start, share) in zip(owners, parts, windows, strict=True):
        stop, size = ends[palette], len(palette.seeds)
        table[start : start + len(share), :, stop - size : stop] += share[:, None, None] * part
    return table
