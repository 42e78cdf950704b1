"""Image files, contact sheets, and the colours that all plots share."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from audioreactive._support.files import write_aside

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

INK, PAPER, ACCENT, FAINT = "#e8e6e3", "#111418", "#ff7a59", "#3d4652"

PICTURES = (".png", ".pdf", ".svg")


def grid_shape(count: int) -> tuple[int, int]:
    """Choose (rows, columns) of a grid for `count` pictures: few empty cells, and close to 4:3."""
    least, most = max(round(count**0.5), 1), math.ceil((2 * count) ** 0.5)
    columns = min(range(least, most + 1), key=lambda n: (-count % n, abs(n / -(-count // n) - 4 / 3)))
    return -(-count // columns), columns


def tile(pictures: NDArray[np.uint8], labels: Sequence[str], *, columns: int | None = None) -> NDArray[np.uint8]:
    """Arrange pictures (N, h, w, 3) in one sheet (H, W, 3), each with a label in its corner; empty cells are dark."""
    from PIL import Image, ImageDraw, ImageFont

    count, height, width, _ = pictures.shape
    across = columns or grid_shape(count)[1]
    down = -(-count // across)
    gap = max(width // 64, 2)
    sheet = Image.new("RGB", (across * (width + gap) + gap, down * (height + gap) + gap), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(max(width // 14, 9))
    for i, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        x, y = gap + i % across * (width + gap), gap + i // across * (height + gap)
        sheet.paste(Image.fromarray(picture), (x, y))
        draw.text(
            (x + width // 32, y + height // 48), label, fill="white", font=font, stroke_width=2, stroke_fill="black"
        )
    return np.asarray(sheet)


def save_picture(picture: NDArray[np.uint8], path: Path) -> None:
    """Write a picture (H, W, 3) to a file; its ending chooses the format."""
    from PIL import Image

    kind = Image.registered_extensions()[path.suffix.lower()]
    with write_aside(path) as file:
        Image.fromarray(picture).save(file, kind, quality=92)  # used by JPEG only
