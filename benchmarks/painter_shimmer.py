"""How much the painter flickers in slow motion, beside pictures with sixteen times the samples.

    python benchmarks/painter_shimmer.py > benchmarks/results/painter_shimmer.md

A slow walk, five hundredths of the way between two palette vectors in 24 frames, is painted at 1280 × 720, where a
pixel has one sample, and at 5120 × 2880, shrunk by area. What moves slowly has next to no energy above a quarter of the
frame rate, half of what the rate can carry; edges and lines that are not smoothed have. The table gives that energy for
both in levels of 255 (root of the mean over pixels), and their ratio.
"""

from __future__ import annotations

import sys

import torch
from torch.nn import functional

from audioreactive.generators.painter import FAMILIES, Painter
from audioreactive.patches.latents import make_palette
from audioreactive.patches.schema import Palette

SIZE, FINER = (720, 1280), 4
FRAMES = 24
PART = 0.05
"""Part of the way that is walked."""


def main() -> None:
    """Print the table."""
    print("| family | as painted | sixteen samples | ratio |")
    print("|---|---|---|---|")
    names = sys.argv[1:] or list(FAMILIES)
    with torch.inference_mode():
        for number, family in enumerate(names):
            first, last = make_palette(Palette(seeds=(5000 + 2 * number, 5001 + 2 * number)), Painter((family,)))
            ways = torch.linspace(0, PART, FRAMES)[:, None, None]
            places = first + (last - first) * ways
            painted, finer = (flicker(Painter((family,), img_size=size(k)), places, k) for k in (1, FINER))
            print(f"| {family} | {painted:.4f} | {finer:.4f} | {painted / max(finer, 1e-6):.2f} |", flush=True)


def size(finer: int) -> tuple[int, int]:
    """Return the size (h, w) with `finer` samples for each side of a pixel."""
    return SIZE[0] * finer, SIZE[1] * finer


def flicker(painter: Painter, places: torch.Tensor, finer: int) -> float:
    """Root of the mean energy, in levels, that pixels of `SIZE` have above a quarter of the frame rate."""
    frames = [functional.avg_pool2d(painter.synthesis(place[None]), finer)[0].mean(0) * 127.5 for place in places]
    pictures = torch.stack(frames)
    window = torch.hann_window(FRAMES, periodic=False)[:, None, None]
    spectrum = torch.fft.rfft((pictures - pictures.mean(0)) * window, dim=0)
    fast = spectrum[FRAMES // 4 + 1 :].abs().square().sum(0) * 2 / (FRAMES * window.square().sum())
    return float(fast.mean().sqrt())


if __name__ == "__main__":
    main()
