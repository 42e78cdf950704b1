"""Whether the painter keeps its laws, on seeds that its tests do not use.

    python benchmarks/painter_laws.py > benchmarks/results/painter_laws.md

For each family: the difference of the compiled from the plain form (mean, largest, and share above two levels of 255);
a picture of 3840 × 2160 shrunk to 320 × 180 against the one painted in that size (mean, in levels); and walks from one
palette vector to another, all latents or one group: the largest step of a frame in units of the mean step. Walks across
families are in the last line.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch.nn import functional

from audioreactive.generators.painter import FAMILIES, Painter
from audioreactive.patches.latents import make_palette
from audioreactive.patches.schema import Palette

SMALL, LARGE, WALKED = (180, 320), (2160, 3840), (90, 160)
SEEDS = 2
"""Seeds of each family for the composition and the forms; 48 in all."""
WALKS = 3
"""Walks of each family; 72 in all, and as many for each group."""
STEPS = 60


def main() -> None:
    """Print the table."""
    print("| family | plain: mean | largest | above 2 | 4K shrunk | all | coarse | middle | fine |")
    print("|---|---|---|---|---|---|---|---|---|")
    composition = []
    with torch.inference_mode():
        for number, family in enumerate(FAMILIES):
            vectors = palette(Painter((family,)), range(1000 + 10 * number, 1000 + 10 * number + 2 * WALKS))
            mean, largest, above = forms(family, vectors[:SEEDS])
            shrunk = [composed(family, vector[None]) for vector in vectors[:SEEDS]]
            composition += shrunk
            painter = Painter((family,), img_size=WALKED)
            steps = [
                max(walk(painter, vectors[2 * k], vectors[2 * k + 1], groups) for k in range(WALKS))
                for groups in ((0, 1, 2), (0,), (1,), (2,))
            ]
            worst = " | ".join(f"{step:.2f}" for step in steps)
            print(f"| {family} | {mean:.4f} | {largest:.2f} | {above:.1e} | {max(shrunk):.2f} | {worst} |", flush=True)
        print(f"\ncomposition: {sum(found >= 4 for found in composition)} of {len(composition)} differ by 4 or more")
        print(f"across families: largest step {max(across()):.2f} times the mean")


def palette(painter: Painter, seeds: range) -> torch.Tensor:
    """Vectors (B, L, W) of some seeds."""
    return make_palette(Palette(seeds=tuple(seeds)), painter)


def forms(family: str, vectors: torch.Tensor) -> tuple[float, float, float]:
    """Difference of the two forms: mean and largest in levels of 255, share above two levels."""
    compiled = Painter((family,), img_size=SMALL)
    plain = replace(compiled)
    plain.__dict__["_kernels"] = None
    difference = (compiled.synthesis(vectors) - plain.synthesis(vectors)).abs() * 127.5
    return float(difference.mean()), float(difference.max()), float((difference > 2).float().mean())


def composed(family: str, vector: torch.Tensor) -> float:
    """Mean difference in levels of a large picture, shrunk, from a small one."""
    small, large = (Painter((family,), img_size=size).synthesis(vector) for size in (SMALL, LARGE))
    return float((functional.interpolate(large, SMALL, mode="area") - small).abs().mean() * 127.5)


def walk(painter: Painter, first: torch.Tensor, last: torch.Tensor, groups: tuple[int, ...]) -> float:
    """Largest step of a walk in units of the mean step, where these groups of latents move."""
    end = first.clone()
    for group in groups:
        end[group] = last[group]
    places = torch.linspace(0, 1, STEPS)[:, None, None]
    pictures = painter.synthesis(first + (end - first) * places)
    steps = (pictures[1:] - pictures[:-1]).abs().mean((1, 2, 3))
    return float(steps.max() / steps.mean())


def across() -> list[float]:
    """Walks from each family to the next."""
    names = list(FAMILIES)
    found = []
    for number, pair in enumerate(zip(names, [*names[1:], names[0]], strict=True)):
        painter = Painter(pair, img_size=WALKED)
        vectors = [make_palette(Palette(seeds=(2000 + number,), family=family), painter)[0] for family in pair]
        found.append(walk(painter, vectors[0], vectors[1], (0, 1, 2)))
    return found


if __name__ == "__main__":
    main()
