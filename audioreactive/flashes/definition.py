"""What counts as a flash, for people with photosensitive epilepsy.

The rules are those of WCAG 2.2, "general flash and red flash thresholds"
(https://www.w3.org/TR/WCAG22/#dfn-general-flash-and-red-flash-thresholds). ITU-R BT.1702 and Ofcom's guidance have the
same numbers, in candelas on a screen of 200 cd/m², and count the area over the whole screen.

Conventions: light is linear and relative, 0 black and 1 the white of the screen; R, G and B are such light (the sRGB
curve undone). Pictures are seen as WCAG has it: as large as they fit on a screen of 1024 x 768 reference pixels, on
which ten degrees of the visual field are 341 x 256.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Light = NDArray[np.float32]

CHANGE: Final = 0.10
"""Relative luminance between a peak and the valley next to it, from which on the step between them is a transition."""
DARK: Final = 0.80
"""A transition counts only where its darker state is below this luminance."""
SATURATED: Final = 0.80
"""From this share R / (R + G + B) on, a colour is a saturated red."""
CHROMA_CHANGE: Final = 0.20
"""Distance on the CIE 1976 UCS diagram (u', v'); above it, a step to or from a saturated red is a transition."""
FLASHES: Final = 3
"""So many flashes may fall in any one second."""
TRANSITIONS: Final = 2 * FLASHES
"""A flash is two opposing transitions; a seventh is the beginning of a fourth flash."""
SECOND: Final = 1.0
AREA: Final = 0.25
"""Share of ten degrees of the visual field, wherever they lie, that may flash at will."""

ROUNDING: Final = 0.005
"""Thumbnails are rounded to 8 bits, and so lose up to this much of a change; thresholds are lower by it."""

SCREEN: Final = (1024, 768)
FIELD: Final = (341, 256)
"""(width, height) of ten degrees in reference pixels."""
CELL: Final = 16
"""Reference pixels, about half a degree: what is measured is the mean light of squares of this side. What changes
places inside a cell is movement, not a flash. Where frames have fewer pixels than there are cells, a cell is a pixel.
"""

LUMINANCE: Final = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""Of linear R, G, B (ITU-R BT.709, sRGB)."""
_TO_XYZ: Final = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]], np.float32)
_UCS: Final = np.stack([4 * _TO_XYZ[0], 9 * _TO_XYZ[1], _TO_XYZ[0] + 15 * _TO_XYZ[1] + 3 * _TO_XYZ[2]], axis=1)
"""(3, 3): linear R, G, B times this are u' and v' times the third number."""
_GLARE: Final = np.float32(0.001)
"""White light of the room on every screen: 0.2 cd/m² (IEC 61966-2-1) on one of 200 (ITU-R BT.1702). It gives black a
chromaticity, white's: the standard's formula has none for it."""


def _decoding_curve() -> Light:
    code = np.arange(256) / 255
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _encoding_table() -> NDArray[np.uint8]:
    light = np.arange(65536) / 65535
    code = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.round(code * 255).astype(np.uint8)


LIGHT: Final = _decoding_curve()
"""(256,) linear light of each 8-bit sRGB value (IEC 61966-2-1)."""
_CODES: Final = _encoding_table()


def to_light(codes: NDArray[np.uint8]) -> Light:
    """8-bit sRGB -> linear light in [0, 1], of the same shape."""
    return LIGHT.take(codes)


def to_codes(light: Light) -> NDArray[np.uint8]:
    """Linear light in [0, 1] -> the nearest 8-bit sRGB value; undoes `to_light` exactly."""
    steps = light * np.float32(65535) + np.float32(0.5)
    return _CODES[steps.astype(np.uint16)]


def luminance(light: Light) -> Light:
    """(..., 3) linear R, G, B -> (...) relative luminance."""
    return light @ LUMINANCE


def is_saturated_red(light: Light, share: float = SATURATED) -> NDArray[np.bool_]:
    """(..., 3) -> (...): whether R / (R + G + B) is at least `share`. Black is no red."""
    red = light[..., 0]
    is_red: NDArray[np.bool_] = (red >= np.float32(share) * (red + light[..., 1] + light[..., 2])) & (red > 0)
    return is_red


def chromaticity(light: Light) -> Light:
    """(..., 3) -> (2, ...): u' and v' of the CIE 1976 UCS diagram, as seen in a room that is not quite dark."""
    weighted = (light + _GLARE) @ _UCS
    return np.stack([weighted[..., 0] / weighted[..., 2], weighted[..., 1] / weighted[..., 2]])


RED_PRIMARY: Final = chromaticity(np.array([1e3, 0, 0], np.float32))


@dataclass(frozen=True)
class Geometry:
    """How a picture is divided into cells, and how many of them ten degrees of the visual field hold."""

    cells: tuple[int, int]
    """(rows, columns)."""
    field: tuple[int, int]
    """(rows, columns)."""

    @classmethod
    def of(cls, width: int, height: int) -> Geometry:
        """Of frames with so many pixels, shown as large as the reference screen allows."""
        scale = min(SCREEN[0] / width, SCREEN[1] / height)
        shown = width * scale, height * scale
        columns = min(max(round(shown[0] / CELL), 1), width)
        rows = min(max(round(shown[1] / CELL), 1), height)
        field = (
            min(max(int(FIELD[1] / shown[1] * rows), 1), rows),
            min(max(int(FIELD[0] / shown[0] * columns), 1), columns),
        )
        return cls((rows, columns), field)
