"""Paint the sheets of the documentation: `python tools/paintings.py` writes docs/families.jpg and docs/paintings.jpg.

families.jpg     a row for each family: three seeds, then the second with other structure, and with other light
paintings.jpg    64 seeds of the painter
`--large FOLDER` writes a picture of 1920 × 1080 for each of twelve families, too.
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


def main() -> None:
    """Write the sheets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", type=Path, metavar="FOLDER", help="write twelve large pictures as well")
    parser.add_argument("--only", metavar="FAMILY", action="append", help="families of the first sheet")
    arguments = parser.parse_args()
    rows = [row(family) for family in arguments.only or FAMILIES]
    save(np.concatenate(rows), DOCS / "families.jpg" if not arguments.only else Path("families.jpg"))
    if arguments.only:
        return
    painter = Painter(img_size=(270, 480))
    pictures = [paint(painter, make_palette(Palette(seeds=(seed,)), painter))[0] for seed in range(64)]
    save(np.concatenate([np.concatenate(pictures[k : k + 8], 1) for k in range(0, 64, 8)]), DOCS / "paintings.jpg")
    if arguments.large:
        arguments.large.mkdir(exist_ok=True)
        for family in list(FAMILIES)[:: max(len(FAMILIES) // 12, 1)][:12]:
            painter = Painter((family,), img_size=(1080, 1920))
            vectors = make_palette(Palette(seeds=(5,)), painter)
            save(paint(painter, vectors)[0], arguments.large / f"{family}.jpg")


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


def save(picture: NDArray[np.uint8], path: Path) -> None:
    """Write a picture, and say so."""
    Image.fromarray(picture).save(path, quality=80, optimize=True)
    print(path)


if __name__ == "__main__":
    main()
