"""Definition of a flash that is dangerous for people with photosensitive epilepsy.

The rules are those of WCAG 2.2, "general flash and red flash thresholds"
(https://www.w3.org/TR/WCAG22/#dfn-general-flash-and-red-flash-thresholds). ITU-R BT.1702 and Ofcom's guidance have the
same limits, in candelas on a screen of 200 cd/m², and measure the area on the whole screen.

Conventions: light is linear and relative, 0 for black and 1 for the white of the screen; R, G and B are linear light
(decoded from sRGB). As in WCAG, a picture is shown as large as it fits on a screen of 1024 x 768 reference pixels, on
which ten degrees of the visual field are 341 x 256 pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Light = NDArray[np.float32]

CHANGE: Final = 0.10
"""Smallest difference in relative luminance between a peak and the next valley that counts as a transition."""
DARK: Final = 0.80
"""Relative luminance that the darker state of a transition must be below."""
SATURATED: Final = 0.80
"""Smallest share R / (R + G + B) of a saturated red."""
CHROMA_CHANGE: Final = 0.20
"""Distance on the CIE 1976 UCS diagram (u', v') above which a step to or from a saturated red is a transition."""
FLASHES: Final = 3
"""Largest number of flashes in any second."""
TRANSITIONS: Final = 2 * FLASHES
"""Largest number of transitions in any second. A flash is two opposing transitions; a seventh begins a fourth flash."""
SECOND: Final = 1.0
"""Length in seconds of the interval in which flashes are counted."""
AREA: Final = 0.25
"""Share of any ten degrees of the visual field in which flashes are not counted."""

ROUNDING: Final = 0.005
"""Largest error of a change, because thumbnails are rounded to 8 bits; thresholds are lowered by it."""

SCREEN: Final = (1024, 768)
"""(width, height) of the screen in reference pixels."""
FIELD: Final = (341, 256)
"""(width, height) of ten degrees of the visual field in reference pixels."""
CELL: Final = 16
"""Side of a cell in reference pixels, about half a degree. The mean light of a cell is measured, because a change
inside a cell is movement and no flash. If a frame has fewer pixels than cells, a cell is a pixel.
"""

LUMINANCE: Final = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""Weights of linear R, G and B in the luminance (ITU-R BT.709, sRGB)."""
_TO_XYZ: Final = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]], np.float32)
_UCS: Final = np.stack([4 * _TO_XYZ[0], 9 * _TO_XYZ[1], _TO_XYZ[0] + 15 * _TO_XYZ[1] + 3 * _TO_XYZ[2]], axis=1)
"""Matrix (3, 3) from linear R, G, B to (u' · d, v' · d, d), from which u' and v' follow by division."""
_GLARE: Final = np.float32(0.001)
"""Ambient white light reflected by the screen: 0.2 cd/m² (IEC 61966-2-1), relative to 200 cd/m² (ITU-R BT.1702). With
it black has a chromaticity, that of white; the standard's formula divides by zero there."""


def _decoding_curve() -> Light:
    code = np.arange(256) / 255
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _encoding_table() -> NDArray[np.uint8]:
    light = np.arange(65536) / 65535
    code = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.round(code * 255).astype(np.uint8)


LIGHT: Final = _decoding_curve()
"""Linear light of each 8-bit sRGB value (IEC 61966-2-1), shape (256,)."""
_CODES: Final = _encoding_table()
"""8-bit sRGB value of linear light in steps of 1 / 65535, shape (65536,)."""


def to_light(codes: NDArray[np.uint8]) -> Light:
    """Convert 8-bit sRGB to linear light in [0, 1], of the same shape."""
    return LIGHT.take(codes)


def to_codes(light: Light) -> NDArray[np.uint8]:
    """Convert linear light in [0, 1] to the nearest 8-bit sRGB value; the exact inverse of `to_light`."""
    steps = light * np.float32(65535) + np.float32(0.5)
    return _CODES[steps.astype(np.uint16)]


def luminance(light: Light) -> Light:
    """Relative luminance (...) of linear R, G, B (..., 3)."""
    return light @ LUMINANCE


def is_saturated_red(light: Light, share: float = SATURATED) -> NDArray[np.bool_]:
    """Whether R / (R + G + B) is at least `share`, (..., 3) -> (...). Black is no red."""
    red = light[..., 0]
    is_red: NDArray[np.bool_] = (red >= np.float32(share) * (red + light[..., 1] + light[..., 2])) & (red > 0)
    return is_red


def chromaticity(light: Light) -> Light:
    """Coordinates u' and v' on the CIE 1976 UCS diagram, with ambient light: (..., 3) -> (2, ...)."""
    weighted = (light + _GLARE) @ _UCS
    return np.stack([weighted[..., 0] / weighted[..., 2], weighted[..., 1] / weighted[..., 2]])


RED_PRIMARY: Final = chromaticity(np.array([1e3, 0, 0], np.float32))
"""u' and v' of the red primary, so bright that ambient light does not matter."""


@dataclass(frozen=True)
class Geometry:
    """Division of a picture into cells, and the number of cells in ten degrees of the visual field."""

    cells: tuple[int, int]
    """(rows, columns) of cells in the picture."""
    field: tuple[int, int]
    """(rows, columns) of cells in ten degrees of the visual field."""

    @classmethod
    def of(cls, width: int, height: int) -> Geometry:
        """Geometry of frames of this size, shown as large as the reference screen allows."""
        scale = min(SCREEN[0] / width, SCREEN[1] / height)
        shown = width * scale, height * scale
        columns = min(max(round(shown[0] / CELL), 1), width)
        rows = min(max(round(shown[1] / CELL), 1), height)
        field = (
            min(max(int(FIELD[1] / shown[1] * rows), 1), rows),
            min(max(int(FIELD[0] / shown[0] * columns), 1), columns),
        )
        return cls((rows, columns), field)
