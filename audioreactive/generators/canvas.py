"""Plan how a generator's pictures reach the requested size: widened, scaled, cropped or padded."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from audioreactive.errors import RenderError, did_you_mean, shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from audioreactive.generators.protocol import Generator

Fit = Literal["widen", "crop", "pad", "stretch"]
FITS: dict[Fit, str] = {
    "widen": "let the model paint a wider or higher picture (no stretching)",
    "crop": "scale until the picture is filled, and cut off what stands over",
    "pad": "scale until all is visible, with black bars",
    "stretch": "scale each side on its own",
}

LARGEST_SIDE = 16384
"""Largest side of a picture in pixels: the limit of H.264 encoders."""

LARGEST_PICTURE = 1 << 25
"""Most pixels of a picture, a little more than 7680 × 4320: an encoder keeps tens of pictures in memory."""

SIZES = {
    "480p": (854, 480),
    "720p": (1280, 720),
    "1080p": (1920, 1080),
    "1440p": (2560, 1440),
    "4k": (3840, 2160),
    "2160p": (3840, 2160),
    "8k": (7680, 4320),
    "square": (1080, 1080),
    "vertical": (1080, 1920),
}
"""Names of sizes -> (width, height); `square` and `vertical` are the sizes that social networks show on phones."""

DRAFT_SIDE = 480
"""Most pixels on the longer side of a draft."""


@dataclass(frozen=True)
class Canvas:
    """Plan that turns a generator's frames into finished pictures: scaled, then cropped or padded with black."""

    frame_size: tuple[int, int]
    """(width, height) of the generator's frames."""
    size: tuple[int, int]
    """(width, height) of the finished picture."""
    scaled: tuple[int, int]
    """(width, height) to which frames are scaled before they are cropped (if larger than `size`) or padded."""

    @property
    def filters(self) -> str:
        """Filter chain for ffmpeg from frames to finished pictures; empty if they are the same."""
        width, height = self.size
        parts = []
        if self.scaled != self.frame_size:
            parts.append(f"scale={self.scaled[0]}:{self.scaled[1]}:flags=lanczos+accurate_rnd+full_chroma_int+bitexact")
        if self.scaled[0] < width or self.scaled[1] < height:
            parts.append(f"pad={width}:{height}:(ow-iw)/2:(oh-ih)/2:black")
        elif self.scaled != self.size:
            parts.append(f"crop={width}:{height}")
        return ",".join(parts)

    def finished(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Turn the generator's frames (n, h, w, 3) into finished pictures, by the same steps as `filters`."""
        import numpy as np
        from PIL import Image

        if not self.filters:
            return frames
        if self.scaled != self.frame_size:
            scaled = [Image.fromarray(frame).resize(self.scaled, Image.Resampling.LANCZOS) for frame in frames]
            frames = np.stack([np.asarray(picture) for picture in scaled])
        (width, height), (across, down) = self.size, self.scaled
        if across < width or down < height:
            left, top = (width - across) // 2, (height - down) // 2
            padding = ((0, 0), (top, height - down - top), (left, width - across - left), (0, 0))
            return np.pad(frames, padding)
        left, top = (across - width) // 2, (down - height) // 2
        return frames[:, top : top + height, left : left + width]


def parse_size(text: str) -> tuple[int, int]:
    """Parse (width, height) from text such as "1920x1080", or from a name in `SIZES`.

    Raises:
        RenderError: the text is not a size, or the size is too large.
    """
    named = text.strip().lower()
    if named in SIZES:
        return SIZES[named]
    found = re.fullmatch(r"([0-9]+) *[x×] *([0-9]+)", named)
    if found is None or not all(side.strip("0") for side in found.groups()):
        close = did_you_mean(named, SIZES)
        raise RenderError(
            f"the size {shown(text)} is neither WIDTHxHEIGHT in pixels, such as 1920x1080, nor one of "
            f"{', '.join(SIZES)}{close}"
        )
    digits = [side.lstrip("0") for side in found.groups()]
    if max(map(len, digits)) > len(str(LARGEST_SIDE)) or max(map(int, digits)) > LARGEST_SIDE:
        raise RenderError(f"the size {shown(text)} is too large: a side has at most {LARGEST_SIDE} pixels")
    width, height = map(int, digits)
    if width * height > LARGEST_PICTURE:
        raise RenderError(f"the size {width}x{height} is beyond {LARGEST_PICTURE} pixels, which are 8192x4096")
    return width, height


def plan_canvas(
    generator: Generator,
    *,
    size: tuple[int, int] | None = None,
    fit: Fit = "widen",
    even: tuple[bool, bool] = (True, True),
) -> Canvas:
    """Plan how a generator's pictures become pictures of a given size.

    Args:
        generator: the generator.
        size: (width, height); None: the size of the generator's pictures.
        fit: how another aspect ratio is filled.
        even: whether width and height must be even, as 4:2:0 colour requires; odd sides are rounded up.

    Raises:
        RenderError: the generator cannot make such a wide or high picture.
    """
    height, width = generator.img_size
    wanted = size or (width, height)
    wanted = (wanted[0] + (wanted[0] % 2) * even[0], wanted[1] + (wanted[1] % 2) * even[1])
    if fit == "widen":
        height, width = generator.widened((wanted[1], wanted[0]))
    frame = (width, height)
    return Canvas(frame, wanted, _scaled(frame, wanted, fit))


def draft_canvas(canvas: Canvas, fit: Fit) -> Canvas:
    """Shrink the finished picture to the size of a draft, with even sides; the generator's frames stay the same."""
    share = min(DRAFT_SIDE / max(canvas.size), 1)
    width, height = (max(2 * round(side * share / 2), 2) for side in canvas.size)
    return replace(canvas, size=(width, height), scaled=_scaled(canvas.frame_size, (width, height), fit))


def _scaled(frame: tuple[int, int], size: tuple[int, int], fit: Fit) -> tuple[int, int]:
    """Compute (width, height) to which a frame is scaled, so that it fills a picture of `size` or fits into it."""
    if fit == "stretch" or frame == size:
        return size
    ratios = size[0] / frame[0], size[1] / frame[1]
    scale = min(ratios) if fit == "pad" else max(ratios)
    across, down = (max(round(side * scale), 1) for side in frame)
    return (across, down) if fit == "pad" else (max(across, size[0]), max(down, size[1]))
