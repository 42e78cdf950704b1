"""Compute the noise of a patch for a song: noise maps as pure functions of the frame index (section 4.1.2).

A few fixed Gaussian fields are drawn from seeds. Interpolations, feature-weighted averages, blends and merges are
linear in them, so they are tables of weights over time, as for the latents. Only the periodic function of the loops is
evaluated for each pixel. Noise maps are computed batch by batch and never stored for the whole video.

Normalisation: each sub-sequence has unit variance in expectation (the deviation of a weighted sum of independent fields
is the norm of its weights). Each finished frame has exactly the wanted deviation.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from audioreactive._support.streams import named_stream
from audioreactive.errors import RenderError
from audioreactive.patches.fields import DEPTHS, depth_slices
from audioreactive.patches.schema import NOISE_OCTAVES, NoiseBlend, NoiseFeature, NoiseLoop
from audioreactive.patches.tables import (
    NO_ENVELOPES,
    WHOLE_SONG,
    FloatArray,
    base_weights,
    depth_indices,
    feature_weights,
    gather,
    held,
    loop_phase,
    merge_amount,
    shape_envelope,
    spline_weights,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch
    from numpy.typing import NDArray

    from audioreactive.features import Features
    from audioreactive.patches.schema import NoiseLevels, NoisePatch

SIGMA_SCALE = 50
"""Constant 50 of the periodic function: sin(cos(2 pi t L + n0) / (sigma / 50) + n1) · n2."""


MEAN_REACH, DEVIATION_REACH = 0.5, 1.0
"""Largest effect of a synthesizer on a coarse map: on its mean, in standard deviations, and on its deviation, in powers
of two. The network was trained with mean 0 and deviation 1, and its pictures fall apart far from them."""


MOST_FIELDS = 256
"""Most fields of all sections together; each field takes as much memory as all noise maps of the generator."""


@dataclass(frozen=True)
class LevelMotion:
    """Mean and deviation of the coarse noise maps over the song; column k is for maps with a side of 4 · 2ᵏ pixels."""

    mean: FloatArray
    """(T, 4) means, as multiples of the maps' gain."""
    deviation: FloatArray
    """(T, 4) factors on the maps' deviation."""

    @classmethod
    def resting(cls, frames: int) -> LevelMotion:
        """Make levels that change nothing, for T = `frames`."""
        shape = (frames, NOISE_OCTAVES)
        return cls(np.zeros(shape, np.float32), np.ones(shape, np.float32))


@dataclass(frozen=True)
class LoopMotion:
    """Motion of one periodic function over the song."""

    phase: NDArray[np.float64]
    """(T,) phase in turns."""
    share: FloatArray
    """(T, G) weight of the function in the mix."""
    seeds: tuple[int, int, int]
    """Positions of the fields n0, n1 and n2."""
    reach: float
    """Amplitude of the inner cosine in radians, 50 / sigma."""


@dataclass(frozen=True)
class NoiseMotion:
    """Motion of the noise, usable with any model: weights over the fields, loops, and the amount of noise."""

    weights: FloatArray
    """(T, G, F) weights over the fixed fields."""
    loops: tuple[LoopMotion, ...]
    gain: FloatArray
    """(T,) standard deviation of the finished maps."""
    seeds: tuple[int, ...]
    """F seeds of the fields."""
    levels: LevelMotion | None = None
    """Levels of the coarse maps that a synthesizer controls; None without one."""

    def tables(self) -> dict[str, FloatArray]:
        """Return tables, name -> (T, C), that represent the noise; see `motion.Motion.tables`."""
        maps = self.weights.reshape(len(self.weights), -1) * self.gain[:, None]
        loops = [
            (loop.share * turn[:, None] * self.gain[:, None]).astype(np.float32)
            for loop in self.loops
            for turn in (np.cos(2 * np.pi * loop.phase), np.sin(2 * np.pi * loop.phase))
        ]
        tables = {"noise": np.concatenate([maps, *loops], axis=1), "gain": self.gain[:, None]}
        if self.levels is not None:
            tables["levels"] = np.concatenate([self.levels.mean, self.levels.deviation], axis=1)
        return tables

    def cut(self, start: int, stop: int) -> NoiseMotion:
        """Return the motion of frames start to stop - 1."""
        return self.at(slice(start, stop))

    def at(self, frames: NDArray[np.int64] | slice) -> NoiseMotion:
        """Return the motion of some frames, in any order: at these indices, or in a slice."""
        loops = [replace(loop, phase=loop.phase[frames], share=loop.share[frames].copy()) for loop in self.loops]
        levels = self.levels
        if levels is not None:
            levels = LevelMotion(levels.mean[frames].copy(), levels.deviation[frames].copy())
        weights = np.ascontiguousarray(self.weights[frames])
        return replace(self, weights=weights, loops=tuple(loops), gain=self.gain[frames].copy(), levels=levels)


def noise_motion(
    patch: NoisePatch,
    features: Features,
    envelopes: Mapping[str, FloatArray] = NO_ENVELOPES,
    span: slice = WHOLE_SONG,
) -> NoiseMotion:
    """Compute a patch's noise for any resolution; `envelopes` and `span` are as for `latents.latent_weights`."""
    size, frames = len(patch.seeds), len(range(features.frames)[span])
    base = _unit(gather(base_weights(frames, len(patch.base)), patch.base, size))
    main = np.repeat(base[None], len(DEPTHS), axis=0)  # [G, T, F]
    shares: list[FloatArray] = []  # [T, G] for each loop
    for sequence in patch.sequences:
        amount = merge_amount(sequence, features)[span]
        groups = depth_indices(sequence.depth)
        if isinstance(sequence, NoiseLoop):
            shares.append(np.zeros((frames, len(DEPTHS)), np.float32))
            weights: FloatArray | float = 0.0
        else:
            weights = _sequence_weights(sequence, features, size)[span]
        for group in groups:
            main[group] += amount * (weights - main[group])
            for share in shares:
                share[:, group] *= 1 - amount[:, 0]
            if isinstance(sequence, NoiseLoop):
                shares[-1][:, group] = amount[:, 0]
    loops = [sequence for sequence in patch.sequences if isinstance(sequence, NoiseLoop)]
    made = NoiseMotion(
        weights=np.ascontiguousarray(main.transpose(1, 0, 2)),
        loops=tuple(_loop_motion(loop, share, features, size, span) for loop, share in zip(loops, shares, strict=True)),
        gain=_gain(patch, features)[span],
        seeds=patch.seeds,
        levels=None if patch.levels is None else _levels(patch.levels, envelopes[patch.levels.synthesizer][span]),
    )
    return made if patch.reach == 1 else _reaching(made, patch.reach)


def _reaching(noise: NoiseMotion, reach: float) -> NoiseMotion:
    """Scale all motion around its average over the song; at 0 every frame has the same maps."""

    def about(table: FloatArray, low: float = -np.inf, high: float = np.inf) -> FloatArray:
        average = table.mean(axis=0, dtype=np.float64).astype(np.float32)
        scaled: FloatArray = np.clip(average + np.float32(reach) * (table - average), low, high).astype(np.float32)
        return scaled

    levels = noise.levels
    return replace(
        noise,
        weights=about(noise.weights),
        loops=tuple(replace(loop, share=about(loop.share, 0, 1), reach=loop.reach * reach) for loop in noise.loops),
        gain=about(noise.gain, 0),
        levels=None if levels is None else LevelMotion(about(levels.mean), about(levels.deviation, 0)),
    )


def _sequence_weights(sequence: NoiseFeature | NoiseBlend, features: Features, size: int) -> FloatArray:
    """Compute the weights (T, F) of a sub-sequence; each row has unit norm."""
    if isinstance(sequence, NoiseFeature):
        weights = feature_weights(shape_envelope(sequence.envelope, features))
        return _unit(gather(weights, sequence.fields, size))
    pace = shape_envelope(sequence.envelope, features).mean(axis=1, keepdims=True)
    knots = len(sequence.fields)
    slow, fast = (
        _unit(gather(spline_weights(features.times / period, knots, closed=True), sequence.fields, size))
        for period in (sequence.slow, sequence.fast)
    )
    return _unit(slow + pace * (fast - slow))


def _loop_motion(loop: NoiseLoop, share: FloatArray, features: Features, size: int, span: slice) -> LoopMotion:
    first, second, third = (position % size for position in loop.fields)
    return LoopMotion(loop_phase(loop, features)[span], share, (first, second, third), SIGMA_SCALE / loop.sigma)


def _gain(patch: NoisePatch, features: Features) -> FloatArray:
    gain = np.full(features.frames, patch.strength, np.float32)
    if patch.amplitude is not None:
        low, high = np.float32(patch.amplitude.low), np.float32(patch.amplitude.high)
        gain *= low + (high - low) * shape_envelope(patch.amplitude.envelope, features)[:, 0]
    return gain


def noise_levels(envelopes: FloatArray) -> FloatArray:
    """Extract the noise levels (T, 8), in [-1, 1] with 0 at rest, from a synthesizer's envelopes (T, 17).

    They are the means of the four sizes of coarse maps, then their deviations.
    """
    return 2 * envelopes[:, -2 * NOISE_OCTAVES :] - 1


def _levels(levels: NoiseLevels, envelopes: FloatArray) -> LevelMotion:
    motion = np.float32(levels.intensity) * noise_levels(envelopes)
    mean, deviation = motion[:, :NOISE_OCTAVES], motion[:, NOISE_OCTAVES:]
    return LevelMotion(np.float32(MEAN_REACH) * mean, np.exp2(np.float32(DEVIATION_REACH) * deviation))


class Window(NamedTuple):
    """Position of a part of the song, and its share of the picture."""

    start: int
    """First frame of the part."""
    share: FloatArray
    """(frames of the part,) share of the picture in each frame, in [0, 1]."""


def faded(motions: Sequence[NoiseMotion], windows: Sequence[Window], frames: int) -> NoiseMotion:
    """Join the motions of a song's parts to one of T = `frames`, by cross-fading weights, gains and levels.

    Raises:
        RenderError: the parts have too many fields between them.
    """
    seeds = tuple(dict.fromkeys(seed for motion in motions for seed in motion.seeds))
    if len(seeds) > MOST_FIELDS:
        raise RenderError(
            f"the sections have {len(seeds)} noise seeds between them, and up to {MOST_FIELDS} can be used: "
            "let sections share them, by leaving noise.seeds to the preset"
        )
    weights = np.zeros((frames, len(DEPTHS), len(seeds)), np.float32)
    gain = np.zeros(frames, np.float32)
    levels = LevelMotion.resting(frames) if any(motion.levels is not None for motion in motions) else None
    loops = []
    for motion, (start, share) in zip(motions, windows, strict=True):
        seen = slice(start, start + len(share))
        positions = [seeds.index(seed) for seed in motion.seeds]
        for column, position in enumerate(positions):  # a patch may have a seed twice
            weights[seen, :, position] += share[:, None] * motion.weights[:, :, column]
        gain[seen] += share * motion.gain
        if levels is not None and motion.levels is not None:
            levels.mean[seen] += share[:, None] * motion.levels.mean
            levels.deviation[seen] += share[:, None] * (motion.levels.deviation - 1)
        for loop in motion.loops:
            whole = np.zeros((frames, len(DEPTHS)), np.float32)
            whole[seen] = share[:, None] * loop.share
            phase = np.zeros(frames)
            phase[seen] = loop.phase
            first, second, third = (positions[at] for at in loop.seeds)
            loops.append(LoopMotion(phase, whole, (first, second, third), loop.reach))
    return NoiseMotion(weights, tuple(loops), gain, seeds, levels)


def _unit(weights: FloatArray) -> FloatArray:
    """Scale rows to unit norm, so that a weighted sum of independent unit fields has unit variance."""
    norm = np.sqrt(np.square(weights).sum(axis=1, keepdims=True))
    scaled: FloatArray = weights / np.maximum(norm, np.float32(1e-6))
    return scaled


def draw_field(seed: int, layer: int, size: tuple[int, int]) -> FloatArray:
    """Draw the fixed field (h, w) of a seed for one noise map of a model, standard normal float32."""
    return named_stream(f"noise field {seed} layer {layer}").randn(*size).astype(np.float32)


DrawField = Callable[[int, int, tuple[int, int]], FloatArray]
"""Function from a seed, the number of a noise map and its size (h, w) to a fixed field; `draw_field` is one."""


@dataclass(frozen=True)
class NoiseSequence:
    """Noise of a whole video for one model; the maps are computed on request."""

    motion: NoiseMotion
    sizes: tuple[tuple[int, int], ...]
    """Sizes (h, w) of the noise maps, in layer order."""
    device: torch.device
    draw: DrawField = draw_field
    """Draws the fixed fields; one that remembers them saves time where many motions share seeds."""
    _fields: _Fields = field(init=False, repr=False)

    def __post_init__(self) -> None:
        import torch

        fields = [
            torch.from_numpy(np.stack([self.draw(s, layer, size).ravel() for s in self.motion.seeds])).to(self.device)
            for layer, size in enumerate(self.sizes)
        ]
        object.__setattr__(self, "_fields", _Fields(tuple(fields), self.sizes))

    def __len__(self) -> int:
        """T, the number of frames."""
        return len(self.motion.weights)

    def moving(self, motion: NoiseMotion) -> NoiseSequence:
        """Return the same fields under another motion that has the same seeds; nothing is drawn."""
        if motion.seeds != self.motion.seeds:
            raise ValueError(f"fields of the seeds {self.motion.seeds} cannot move as those of {motion.seeds}")
        other = copy.copy(self)
        object.__setattr__(other, "motion", motion)
        return other

    def frames(self, start: int, stop: int) -> Sequence[torch.Tensor]:
        """Noise of frames start to stop - 1: (B, 1, h, w) float32 for each noise map, computed at the first look."""
        from stylegan_ops.deferred import Deferred, packed

        if not self.sizes:
            return []
        motion = self.motion
        shares = [held(loop.share, start, stop) for loop in motion.loops]
        seen = [at for at, share in enumerate(shares) if np.any(share)]
        tables = [held(motion.weights, start, stop), held(motion.gain, start, stop)[:, None]]
        if motion.levels is not None:
            tables += [held(motion.levels.mean, start, stop), held(motion.levels.deviation, start, stop)]
        for at in seen:
            radians = 2 * np.pi * np.mod(held(motion.loops[at].phase, start, stop), 1.0)
            tables += [radians.astype(np.float32)[:, None], shares[at], np.full(1, motion.loops[at].reach, np.float32)]
        make = _Maps(
            fields=self._fields,
            shapes=tuple(table.shape for table in tables),
            loops=tuple(_Loop(motion.loops[at].seeds, tuple(np.any(shares[at], axis=0).tolist())) for at in seen),
            levelled=motion.levels is not None,
        )
        maps = [(stop - start, 1, *size) for size in self.sizes]
        return Deferred(make, packed(tables), maps, self.device)


@dataclass(frozen=True, eq=False)
class _Fields:
    """Fixed fields, equal to nothing but themselves."""

    values: tuple[torch.Tensor, ...]
    """Fields (F, h · w) of each map."""
    sizes: tuple[tuple[int, int], ...]
    """Sizes (h, w) of the maps."""


@dataclass(frozen=True)
class _Loop:
    """One periodic function in a batch."""

    seeds: tuple[int, int, int]
    groups: tuple[bool, ...]
    """Whether each depth group has it."""

    def add_to(
        self, noise: torch.Tensor, fields: torch.Tensor, turns: torch.Tensor, share: torch.Tensor, reach: torch.Tensor
    ) -> None:
        """Add share · N(t) to noise (B, h · w); N is the function of section 4.1.2, normalised for each frame.

        Args:
            noise: the noise so far.
            fields: (F, h · w).
            turns: (B, 1), phase in radians.
            share: (B, 1), weight of the function.
            reach: (1,), amplitude of the inner cosine in radians.
        """
        import torch

        n0, n1, n2 = (fields[position] for position in self.seeds)
        value = torch.cos(turns + n0).mul_(reach).add_(n1).sin_().mul_(n2)
        noise += value * (share / _deviation(value))


@dataclass(frozen=True)
class _Maps:
    """Computation of the noise maps of a batch from its tables; a `stylegan_ops.deferred.Maker`."""

    fields: _Fields
    shapes: tuple[tuple[int, ...], ...]
    """Shapes of the tables: weights (B, G, F), gain (B, 1), levels if there are any (mean and deviation of the coarse
    maps, (B, 4) each), and for each loop its turns (B, 1), shares (B, G) and reach (1,)."""
    loops: tuple[_Loop, ...]
    levelled: bool

    def __call__(self, tables: torch.Tensor) -> list[torch.Tensor]:
        """Compute (B, 1, h, w) float32 for each noise map."""
        from stylegan_ops.deferred import unpacked

        weights, gain, *others = unpacked(tables, self.shapes)
        levels, others = (others[:2], others[2:]) if self.levelled else (None, others)
        maps: list[torch.Tensor] = []
        for group, layers in enumerate(depth_slices(len(self.fields.sizes))):
            for layer in range(*layers.indices(len(self.fields.sizes))):
                fields, size = self.fields.values[layer], self.fields.sizes[layer]
                noise = weights[:, group] @ fields  # [B, h · w]
                for at, loop in enumerate(self.loops):
                    turns, share, reach = others[3 * at : 3 * at + 3]
                    if loop.groups[group]:
                        loop.add_to(noise, fields, turns, share[:, group, None], reach)
                noise *= gain / _deviation(noise)
                octave = round(math.log2(size[0] / self.fields.sizes[0][0]))
                if levels is not None and octave < NOISE_OCTAVES:
                    mean, deviation = (table[:, octave, None] for table in levels)
                    noise.mul_(deviation).add_(gain * mean)
                maps.append(noise.view(-1, 1, *size))
        return maps


def _deviation(values: torch.Tensor) -> torch.Tensor:
    """Compute the root mean square (B, 1) of each row, never 0."""
    import torch

    norm: torch.Tensor = torch.linalg.vector_norm(values, dim=1, keepdim=True) / math.sqrt(values.shape[1])
    return norm.clamp_min(1e-6)
