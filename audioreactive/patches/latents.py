"""Compute the latents of a patch for a song: weights over a palette per depth group (section 4.1.1 of the thesis).

Conventions: T = video frames, G = depth groups (coarse, middle, fine), P = palette vectors, L = latent inputs of the
generator, W = width of a latent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from audioreactive.errors import RenderError
from audioreactive.patches.fields import DEPTHS, depth_slices
from audioreactive.patches.schema import (
    VECTORS_PER_DEPTH,
    LatentDirection,
    LatentFeature,
    LatentLoop,
    LatentSegmentation,
    LatentSynthesizer,
    seed_number,
)
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
    on_device,
    shape_envelope,
    smooth,
    spline_weights,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch

    from audioreactive.features import Features
    from audioreactive.generators.protocol import Mapper
    from audioreactive.patches.schema import LatentPatch, Palette


LARGEST_TABLE = 1 << 30
"""Most bytes of a table of weights: an hour at 24 frames per second with a palette of a thousand vectors. Computing it
takes two and a half times as much memory."""


@dataclass(frozen=True)
class Latents:
    """Latents of a whole video, stored as weights and palette and computed batch by batch."""

    weights: FloatArray
    """(T, G, P) weights of the palette vectors: the motion."""
    palette: torch.Tensor
    """(P, L, W) float32 palette vectors, on the generator's device: the content."""

    def __post_init__(self) -> None:
        if self.weights.shape[1:] != (len(DEPTHS), len(self.palette)):
            raise ValueError(f"weights {self.weights.shape} do not fit a palette of {len(self.palette)} vectors")

    def __len__(self) -> int:
        """T, the number of frames."""
        return len(self.weights)

    def frames(self, start: int, stop: int) -> torch.Tensor:
        """Compute the latents (B, L, W) float32 of frames start to stop - 1."""
        import torch

        weights = on_device(held(self.weights, start, stop), self.palette.device)  # [B, G, P]
        groups = [
            torch.einsum("bp,plw->blw", weights[:, group], self.palette[:, layers])
            for group, layers in enumerate(depth_slices(self.palette.shape[1]))
        ]
        return torch.cat(groups, dim=1)


def check_label(palette: Palette, generator: Mapper) -> None:
    """Raise RenderError if the model lacks the palette's class."""
    if palette.label is not None and palette.label >= generator.c_dim:
        classes = f"classes 0 to {generator.c_dim - 1}" if generator.c_dim else "no classes"
        raise RenderError(f"label {palette.label} was asked for, but the model has {classes}")


def make_palette(palette: Palette, generator: Mapper) -> torch.Tensor:
    """Map the palette's seeds to truncated latents (P, L, W) float32 with the generator's mapping network.

    z for seed s is RandomState(s).randn(1, z_dim), the convention by which StyleGAN users share seeds. Seeds are mapped
    one at a time, so that a vector does not depend on its neighbours in the palette.

    Raises:
        RenderError: the model lacks the palette's class.
    """
    check_label(palette, generator)
    vectors = _mapped(palette, palette.seeds, generator)
    for depth, layers in zip(DEPTHS, depth_slices(vectors.shape[1]), strict=True):
        if (seeds := palette.of_depth(depth)) != palette.seeds:
            vectors[:, layers] = _mapped(palette, seeds, generator)[:, layers]
    return vectors


def _mapped(palette: Palette, seeds: Sequence[int | str], generator: Mapper) -> torch.Tensor:
    """Map seeds to latents (P, L, W) float32, each in the class of the palette's seed at the same position."""
    import torch

    vectors = []
    for seed, main in zip(seeds, palette.seeds, strict=True):
        if isinstance(seed, str):
            vectors.append(_own_picture(seed, generator))
            continue
        z = torch.from_numpy(np.random.RandomState(seed).randn(1, generator.z_dim)).float().to(generator.device)
        c = None
        if generator.c_dim:
            label = torch.tensor([_class_of(palette, seed_number(main), generator)])
            c = torch.nn.functional.one_hot(label, generator.c_dim).float().to(generator.device)
        vectors.append(generator.mapping(z, c, truncation_psi=palette.truncation))
    return torch.cat(vectors).float()


def _own_picture(entry: str, generator: Mapper) -> torch.Tensor:
    """Latents (1, L, W) of a user's own picture, which are not truncated."""
    import torch

    from audioreactive.patches.own_pictures import vector_of

    z = torch.zeros(1, generator.z_dim, device=generator.device)
    c = torch.eye(generator.c_dim, device=generator.device)[:1] if generator.c_dim else None
    shape = generator.mapping(z, c).shape[1:]
    return torch.from_numpy(vector_of(entry, shape).copy())[None].to(generator.device)


def _class_of(palette: Palette, seed: int, generator: Mapper) -> int:
    """Class of a palette's vector: the one that is asked for, or one that a seed chooses."""
    if palette.label is not None:
        return palette.label
    if palette.family is not None and palette.family in generator.families:
        return list(generator.families).index(palette.family)
    return (seed_number(palette.seeds[0]) if generator.families else seed) % generator.c_dim


def latent_weights(
    patch: LatentPatch,
    features: Features,
    size: int,
    envelopes: Mapping[str, FloatArray] = NO_ENVELOPES,
    span: slice = WHOLE_SONG,
) -> FloatArray:
    """Compute the weights (T, G, P) of a patch's latents over a palette of P = `size` vectors; each row sums to one.

    Args:
        patch: the part of a patch that describes latents.
        features: features of the song.
        size: P.
        envelopes: envelopes of each synthesizer that the patch uses, as made by `motion.Synthesize`.
        span: frames of the song to compute; base curve and vividness refer to this span alone.

    Raises:
        RenderError: the table of weights would not fit in memory.
    """
    frames = len(range(features.frames)[span])
    check_table(frames, size)
    base = gather(base_weights(frames, len(patch.base)), patch.base, size)  # [T, P]
    main = np.repeat(base[None], len(DEPTHS), axis=0)  # [G, T, P]: each group contiguous while merging
    for sequence in patch.sequences:
        if isinstance(sequence, LatentDirection):  # added to the finished latents; see `moves`
            continue
        amount = merge_amount(sequence, features)[span]
        if isinstance(sequence, LatentSynthesizer):
            _pull(main, sequence, amount * latent_motion(envelopes[sequence.synthesizer])[span])
            continue
        weights = gather(_sequence_weights(sequence, features)[span], sequence.vectors, size)
        for group in depth_indices(sequence.depth):
            main[group] += amount * (weights - main[group])
    if patch.vividness > 0:
        for group in main:
            _restore_spread(group, patch.vividness)
    for group, reach in zip(main, patch.reach, strict=True):
        if reach != 1:
            average = group.mean(axis=0, dtype=np.float64).astype(np.float32)
            group[:] = average + np.float32(reach) * (group - average)
    return np.ascontiguousarray(main.transpose(1, 0, 2))


def check_table(frames: int, size: int) -> None:
    """Raise RenderError if the weights over a palette of `size` vectors would not fit in memory."""
    if (table := 4 * frames * len(DEPTHS) * size) > LARGEST_TABLE:
        raise RenderError(
            f"{frames} frames of a palette of {size} vectors need a table of {table / 2**30:.1f} GiB; "
            f"up to {LARGEST_TABLE / 2**30:.0f} can be used: give fewer --palette seeds, fewer sections, a lower --fps "
            "or a part of the song"
        )


def latent_motion(envelopes: FloatArray) -> FloatArray:
    """Extract the motion of latents (T, 9), in [-1, 1] with 0 at rest, from a synthesizer's envelopes (T, 17)."""
    return 2 * envelopes[:, : len(DEPTHS) * VECTORS_PER_DEPTH] - 1


def _pull(main: FloatArray, sequence: LatentSynthesizer, motion: FloatArray) -> None:
    """Move weights main (G, T, P) by motion (T, 9), in place; each row still sums to one.

    The motion is relative to the palette's mean, which approximates the model's: relative to it, independent vectors
    are nearly orthogonal.
    """
    size = main.shape[2]
    for group in depth_indices(sequence.depth):
        channels = range(group * VECTORS_PER_DEPTH, (group + 1) * VECTORS_PER_DEPTH)
        pull = motion[:, channels]  # [T, 3]
        positions = [sequence.vectors[channel % len(sequence.vectors)] for channel in channels]
        reach = np.square(pull).sum(axis=1, keepdims=True)
        centred = np.sqrt(np.maximum(1 - reach, 0)) * (main[group] - 1 / size)
        towards = gather(pull, positions, size) - pull.sum(axis=1, keepdims=True) / size
        main[group] = centred + towards + 1 / size


def _sequence_weights(sequence: LatentSegmentation | LatentFeature | LatentLoop, features: Features) -> FloatArray:
    match sequence:
        case LatentSegmentation():
            labels = features.segmentation(sequence.feature, sequence.k)
            return smooth(np.eye(sequence.k, dtype=np.float32)[labels], float(sequence.smooth * features.fps))
        case LatentFeature():
            return feature_weights(shape_envelope(sequence.envelope, features))
        case LatentLoop():
            knots = len(sequence.vectors)
            return spline_weights(loop_phase(sequence, features) * knots, knots, closed=True)


def _restore_spread(weights: FloatArray, vividness: float) -> None:
    """Scale weights (T, P) around their mean over the palette, in place, by one factor for the whole song.

    The distance of a weighted average of independent vectors from their mean is proportional to the square root of the
    sum of squared weights.
    """
    size = weights.shape[1]
    centred = weights - 1 / size
    spread = np.sqrt(np.square(centred).sum(axis=1)).mean()
    single = np.sqrt(1 - 1 / size)
    if spread > 0:
        factor = 1 + vividness * (max(single / spread, 1) - 1)
        weights += np.float32(factor - 1) * centred
