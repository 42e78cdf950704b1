"""Previews: the pictures of a palette, and many recipes for one song in a grid.

A preview has the same motion as the full render of the same seed (the same features, weights and noise), in a smaller
picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from audioreactive._support.pictures import tile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch
    from numpy.typing import NDArray

    from audioreactive.generators import Generator
    from audioreactive.generators.directions import Method
    from audioreactive.patches.motion import Motion
    from audioreactive.patches.schema import Palette
    from audioreactive.rendering.renderer import InputSource

LOOK_HEIGHT = 64
"""Height in pixels to which pictures that are only measured are shrunk."""
LEAST_TILE = 128
"""Height in pixels that tiles of small pictures are enlarged to, so that labels cover little of them."""
MOST_AT_ONCE, QUICK = 32, 10**9
"""Pictures that are measured are made in batches of up to so many, while a batch takes no more multiplications."""


@dataclass(frozen=True)
class Preview:
    """One tile of a sheet."""

    label: str
    inputs: InputSource


def sheet_frames(
    generator: Generator, previews: Sequence[Preview], *, height: int, batch: int, start: int, stop: int
) -> Iterator[NDArray[np.uint8]]:
    """Frames start to stop - 1 of the grid, (n, H, W, 3) uint8 with even sides, n <= batch."""
    for first in range(start - start % batch, stop, batch):
        tiles = np.stack([_small_batch(generator, preview, first, batch, height) for preview in previews])
        labels = [preview.label for preview in previews]
        shown = range(max(start - first, 0), min(stop - first, batch))
        yield np.stack([even(tile(tiles[:, i], labels)) for i in shown])


def _small_batch(generator: Generator, preview: Preview, first: int, batch: int, height: int) -> NDArray[np.uint8]:
    import torch

    from audioreactive.generators import to_uint8

    with torch.inference_mode():
        images = generator.synthesis(*preview.inputs.frames(first, first + batch))
        return to_uint8(shrink(images.float().clamp(-1, 1), height)).cpu().numpy()


def shrink(images: torch.Tensor, height: int) -> torch.Tensor:
    """Shrink pictures (B, 3, H, W) to (B, 3, height, W · height / H); smaller pictures are not changed."""
    from torch.nn.functional import interpolate

    if images.shape[2] <= height:
        return images
    width = max(round(images.shape[3] * height / images.shape[2]), 1)
    return interpolate(images, (height, width), mode="bilinear", antialias=True, align_corners=False)


def enlarged(images: torch.Tensor, least: int) -> torch.Tensor:
    """Repeat pixels of pictures (B, 3, H, W) so often that they have at least `least` rows."""
    times = -(-least // images.shape[2])
    return images if times <= 1 else images.repeat_interleave(times, 2).repeat_interleave(times, 3)


def palette_pictures(generator: Generator, palette: Palette, *, height: int) -> NDArray[np.uint8]:
    """Pictures (P, h, w, 3) uint8 of the model for each seed of the palette, with its constant noise."""
    import torch

    from audioreactive.generators import to_uint8
    from audioreactive.patches.latents import make_palette

    with torch.inference_mode():
        least = min(height, LEAST_TILE)
        pictures = [
            to_uint8(enlarged(shrink(generator.synthesis(ws[None]).float().clamp(-1, 1), height), least)).cpu().numpy()
            for ws in make_palette(palette, generator)
        ]
    return np.concatenate(pictures)


def even(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Repeat a row or column if needed, so that a picture has even sides, as video requires."""
    height, width, _ = picture.shape
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def pictures_at(
    motion: Motion,
    generator: Generator,
    shown: NDArray[np.int64],
    *,
    batch: int | None = None,
    height: int | None = LOOK_HEIGHT,
) -> Iterator[NDArray[np.uint8]]:
    """Render small pictures (h, w, 3) uint8 of these frames, in any order; higher ones are shrunk to `height`.

    None leaves them as they are: shrinking weakens the light of thin bright lines, of which flashes are made.
    """
    import torch

    from audioreactive.generators import to_uint8
    from audioreactive.generators.devices import default_batch

    if batch is None:
        batch = default_batch(generator.device, generator.cost)
        while batch < MOST_AT_ONCE and batch * generator.cost.multiplications < QUICK:
            batch *= 2
    inputs = motion.at(shown).on(generator)
    for first in range(0, len(shown), batch):
        with torch.inference_mode():
            images = generator.synthesis(*inputs.frames(first, first + batch)).float().clamp(-1, 1)
            pictures = to_uint8(images if height is None else shrink(images, height)).cpu().numpy()
        yield from pictures[: len(shown) - first]


def direction_pictures(
    generator: Generator,
    method: Method,
    count: int,
    steps: Sequence[float],
    *,
    seed: int,
    truncation: float,
    height: int,
) -> NDArray[np.uint8]:
    """Pictures (count · len(steps), h, w, 3) uint8 of one seed, moved along a model's first directions.

    Args:
        generator: the generator.
        method: way to find directions.
        count: number of directions.
        steps: places on each direction, in standard deviations of latents.
        seed: seed of the picture at 0.
        truncation: truncation psi of that picture.
        height: height of the pictures.
    """
    import torch

    from audioreactive.generators import to_uint8
    from audioreactive.generators.directions import find_directions
    from audioreactive.patches.latents import make_palette
    from audioreactive.patches.schema import Palette

    def shown(picture: torch.Tensor) -> torch.Tensor:
        return to_uint8(enlarged(shrink(picture.float().clamp(-1, 1), height), min(height, LEAST_TILE))).cpu()

    with torch.inference_mode():
        (base,) = make_palette(Palette(seeds=(seed,), truncation=truncation), generator)
        vectors = find_directions(generator, method, range(generator.num_ws), count).to(generator.device)  # type: ignore[arg-type]
        pictures = [shown(generator.synthesis((base + step * vector)[None])) for vector in vectors for step in steps]
    return torch.cat(pictures).numpy()
