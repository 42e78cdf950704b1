"""Paint the sheets of the documentation: `python tools/paintings.py` writes these into docs/.

families.jpg      a row for each family: three seeds, then the second with other structure, and with other light
paintings.jpg     64 seeds of the painter
paintings/*.jpg   a picture of 1920 × 1080 for each of twelve families
twelve.jpg        these, small, side by side
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from audioreactive.generators import to_uint8
from audioreactive.generators.painter import FAMILIES, Painter
from audioreactive.patches.latents import make_palette
from audioreactive.patches.schema import Palette

if TYPE_CHECKING:
    from numpy.typing import NDArray

DOCS = Path(__file__).parents[1] / "docs"
TILE = (216, 384)
SEEDS = (1, 2, 3)
OTHER_STRUCTURE, OTHER_LIGHT = 21, 34
LARGE = {
    "agate": 266, "aurora": 12, "chambers": 7, "crystals": 316, "glass": 9, "ink": 121, "metal": 32, "neon": 89,
    "planet": 3, "ribbons": 520, "silk": 395, "threads": 331,
}  # fmt: skip
"""Families of the large pictures -> seed."""


def main() -> None:
    """Write the sheets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="FAMILY", action="append", help="families of the first sheet")
    arguments = parser.parse_args()
    rows = [row(family) for family in arguments.only or FAMILIES]
    save(np.concatenate(rows), DOCS / "families.jpg" if not arguments.only else Path("families.jpg"))
    if arguments.only:
        return
    painter = Painter(img_size=(270, 480))
    pictures = [paint(painter, make_palette(Palette(seeds=(seed,)), painter))[0] for seed in range(64)]
    save(np.concatenate([np.concatenate(pictures[k : k + 8], 1) for k in range(0, 64, 8)]), DOCS / "paintings.jpg")
    (DOCS / "paintings").mkdir(exist_ok=True)
    small = []
    for family, seed in LARGE.items():
        painter = Painter((family,), img_size=(1080, 1920))
        picture = paint(painter, make_palette(Palette(seeds=(seed,)), painter))[0]
        save(picture, DOCS / "paintings" / f"{family}.jpg", 82)
        small.append(np.asarray(Image.fromarray(picture).resize((480, 270), Image.Resampling.LANCZOS)))
    save(np.concatenate([np.concatenate(small[k : k + 4], 1) for k in range(0, 12, 4)]), DOCS / "twelve.jpg", 88)


def row(family: str) -> NDArray[np.uint8]:
    """Five pictures of a family side by side."""
    painter = Painter((family,), img_size=TILE)
    vectors = make_palette(Palette(seeds=(*SEEDS, OTHER_STRUCTURE, OTHER_LIGHT)), painter)
    structure, light = vectors[1].clone(), vectors[1].clone()
    structure[0], light[2] = vectors[3, 0], vectors[4, 2]
    return np.concatenate(list(paint(painter, torch.stack([*vectors[:3], structure, light]))), 1)


def paint(painter: Painter, vectors: torch.Tensor) -> NDArray[np.uint8]:
    """Paint vectors (B, L, W) as (B, h, w, 3)."""
    return to_uint8(painter.synthesis(vectors)).numpy()


def save(picture: NDArray[np.uint8], path: Path, quality: int = 80) -> None:
    """Write a picture, and say so."""
    Image.fromarray(picture).save(path, quality=quality, optimize=True)
    print(path)


if __name__ == "__main__":
    main()
