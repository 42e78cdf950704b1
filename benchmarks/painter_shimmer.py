"""How much the painter flickers in slow motion, beside pictures with sixteen times the samples.

    python benchmarks/painter_shimmer.py > benchmarks/results/painter_shimmer.md
    python benchmarks/painter_shimmer.py agate blocks --size 720x720 --walks 3

A slow walk, five hundredths of the way between two palette vectors in 24 frames, is painted at 1280 × 720, where a
pixel has one sample, and at 5120 × 2880, shrunk by area. What moves slowly has next to no energy above a quarter of the
frame rate, half of what the rate can carry; edges and lines that are not smoothed have. The table gives that energy for
both in levels of 255 (root of the mean over pixels), and their ratio; and the same for the hundredth of all pixels that
has most of it in the painted picture. Where even that is less than half a level, 8 bits show nothing of it, and the
ratio compares what nobody sees; the last column says so.

Smaller pictures than 720 rows are painted with more samples a pixel, and flicker less.
"""

from __future__ import annotations

import argparse
import math

import torch
from torch.nn import functional

from audioreactive.generators.painter import FAMILIES, Painter
from audioreactive.patches.latents import make_palette
from audioreactive.patches.schema import Palette

SIZE, FINER = (720, 1280), 4
FRAMES = 24
PART = 0.05
"""Part of the way that is walked."""
UNSEEN = 0.5
"""Levels below which 8 bits, rounded, show nothing."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("families", nargs="*", default=list(FAMILIES))
    parser.add_argument("--size", type=size, default=SIZE, help="of the pictures, as 1280x720")
    parser.add_argument("--walks", type=int, default=1, help="of each family, with seeds of their own")
    asked = parser.parse_args()
    print("| family | as painted | sixteen samples | ratio | hundredth of most | sixteen samples | seen |")
    print("|---|---|---|---|---|---|---|")
    with torch.inference_mode():
        for family in asked.families:
            for walk in range(asked.walks):
                number = f" {walk + 1}" if asked.walks > 1 else ""
                print(f"| {family}{number} | {row(family, walk, asked.size)} |", flush=True)


def size(text: str) -> tuple[int, int]:
    """Return the size (h, w) that WxH names."""
    width, height = map(int, text.split("x"))
    return height, width


def row(family: str, walk: int, shown: tuple[int, int]) -> str:
    """Return the cells of a family's walk."""
    first = 5000 + 1000 * walk + 2 * list(FAMILIES).index(family)
    start, end = make_palette(Palette(seeds=(first, first + 1)), Painter((family,)))
    places = start + (end - start) * torch.linspace(0, PART, FRAMES)[:, None, None]
    painted, finer = (flicker(family, places, shown, k) for k in (1, FINER))
    most = painted.flatten().topk(max(painted.numel() // 100, 1)).indices
    whole = [math.sqrt(float(energy.mean())) for energy in (painted, finer)]
    strong = [math.sqrt(float(energy.flatten()[most].mean())) for energy in (painted, finer)]
    ratio = whole[0] / max(whole[1], 1e-6)
    seen = "yes" if max(strong) >= UNSEEN else "no"
    return f"{whole[0]:.4f} | {whole[1]:.4f} | {ratio:.2f} | {strong[0]:.2f} | {strong[1]:.2f} | {seen}"


def flicker(family: str, places: torch.Tensor, shown: tuple[int, int], finer: int) -> torch.Tensor:
    """Energy (h, w), in squared levels, that pixels have above a quarter of the frame rate.

    shown: size of the pictures; `finer`: samples for each side of a pixel.
    """
    painter = Painter((family,), img_size=(shown[0] * finer, shown[1] * finer))
    frames = [functional.avg_pool2d(painter.synthesis(place[None]), finer)[0].mean(0) * 127.5 for place in places]
    pictures = torch.stack(frames)
    window = torch.hann_window(FRAMES, periodic=False)[:, None, None]
    spectrum = torch.fft.rfft((pictures - pictures.mean(0)) * window, dim=0)
    energy: torch.Tensor = spectrum[FRAMES // 4 + 1 :].abs().square().sum(0) * 2 / (FRAMES * window.square().sum())
    return energy


if __name__ == "__main__":
    main()
