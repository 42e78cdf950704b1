"""From a model's picture to the picture that was asked for: which constant, which scaling, which crop."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from audioreactive.errors import RenderError, shown

Fit = Literal["widen", "crop", "pad", "stretch"]
FITS: dict[Fit, str] = {
    "widen": "enlarge the model's constant and noise maps, so that it paints a wide picture (no stretching)",
    "crop": "scale until the picture is filled, and cut off what stands over",
    "pad": "scale until all is visible, with black bars",
    "stretch": "scale each side on its own",
}

LARGEST_SIDE = 16384
"""Pixels; the largest side that H.264 encoders take."""

LARGEST_PICTURE = 1 << 25
"""Pixels, a little more than 7680 × 4320: an encoder holds tens of pictures at once."""

WIDEST = 8
"""Times the model's own picture that `widen` may paint; its memory grows alike."""


@dataclass(frozen=True)
class Canvas:
    """How the generator's frames become the finished picture."""

    const_size: tuple[int, int]
    """(h, w) of the generator's constant."""
    frame_size: tuple[int, int]
    """(width, height) of the generator's frames."""
    size: tuple[int, int]
    """(width, height) of the finished picture."""
    filters: str
    """ffmpeg filters from one to the other; empty where they are the same."""


def parse_size(text: str) -> tuple[int, int]:
    """(width, height) from text such as "1920x1080"."""
    found = re.fullmatch(r"0*([0-9]{1,9})x0*([0-9]{1,9})", text.strip().lower())
    width, height = (int(found[1]), int(found[2])) if found else (0, 0)
    if not width or not height:
        raise RenderError(f"the size {shown(text)} is not WIDTHxHEIGHT in pixels, such as 1920x1080")
    if max(width, height) > LARGEST_SIDE:
        raise RenderError(f"the size {width}x{height} is beyond {LARGEST_SIDE} pixels on a side")
    if width * height > LARGEST_PICTURE:
        raise RenderError(f"the size {width}x{height} is beyond {LARGEST_PICTURE} pixels, which are 8192x4096")
    return width, height


def plan_canvas(
    *,
    const_size: tuple[int, int],
    img_size: tuple[int, int],
    size: tuple[int, int] | None = None,
    fit: Fit = "widen",
    even: tuple[bool, bool] = (True, True),
) -> Canvas:
    """Plan the way from a model with this constant and picture, both (h, w), to a picture of `size` (width, height).

    even: whether width and height must be even, as 4:2:0 colour needs it; odd sides are rounded up.

    Raises:
        RenderError: the model would have to paint many times its own picture to widen it so far.
    """
    factor = img_size[0] // const_size[0]
    wanted = size or (img_size[1], img_size[0])
    wanted = (wanted[0] + (wanted[0] % 2) * even[0], wanted[1] + (wanted[1] % 2) * even[1])
    if fit == "widen":
        own, const_size = const_size, _widened(const_size, factor, wanted)
        if const_size[0] * const_size[1] > WIDEST * own[0] * own[1]:
            raise RenderError(
                f"to widen the picture to {wanted[0]}x{wanted[1]}, the model would paint "
                f"{const_size[1] * factor}x{const_size[0] * factor}: choose --fit crop, pad or stretch, "
                "or another --size"
            )
    frame = (const_size[1] * factor, const_size[0] * factor)
    return Canvas(const_size, frame, wanted, _filters(frame, wanted, fit))


def _widened(const_size: tuple[int, int], factor: int, size: tuple[int, int]) -> tuple[int, int]:
    """The constant that covers the wanted aspect ratio with the least cut off; never smaller than the model's own."""
    height, width = const_size
    aspect = size[0] / size[1]
    if aspect >= width / height:
        candidates = [(height, columns) for columns in _around(height * aspect, width)]
    else:
        candidates = [(rows, width) for rows in _around(width / aspect, height)]
    return min(candidates, key=lambda candidate: _cut_off((candidate[1] * factor, candidate[0] * factor), size))


def _around(value: float, least: int) -> list[int]:
    return sorted({max(int(value), least), max(int(value) + 1, least)})


def _cut_off(frame: tuple[int, int], size: tuple[int, int]) -> float:
    """Share of the frame that is lost when it is scaled to cover the picture."""
    scale = max(size[0] / frame[0], size[1] / frame[1])
    return 1 - size[0] * size[1] / (frame[0] * frame[1] * scale * scale)


def _filters(frame: tuple[int, int], size: tuple[int, int], fit: Fit) -> str:
    if frame == size:
        return ""
    width, height = size
    ratios = size[0] / frame[0], size[1] / frame[1]
    if fit == "stretch":
        return _scale(width, height)
    scale = min(ratios) if fit == "pad" else max(ratios)
    scaled = (max(round(frame[0] * scale), 1), max(round(frame[1] * scale), 1))
    if fit == "pad":
        return f"{_scale(*scaled)},pad={width}:{height}:(ow-iw)/2:(oh-ih)/2:black"
    scaled = (max(scaled[0], width), max(scaled[1], height))
    scaling = f"{_scale(*scaled)}," if scaled != frame else ""
    return f"{scaling}crop={width}:{height}"


def _scale(width: int, height: int) -> str:
    return f"scale={width}:{height}:flags=lanczos+accurate_rnd+full_chroma_int+bitexact"
