"""Changes in a picture from frame to frame: what a sound in step with it would have caused or accompanied.

Conventions: T frames, shrunk to at most `SIDE` pixels. A change is between two frames, so it is placed in the middle of
their times; the first frame has none. Pictures are in sRGB values of [0, 1]: an eye's contrast, not a meter's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive.sync.heard import standardized
from audioreactive.sync.steadied import STEADIED, SteadyMeter, cell_means

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]

SIDE: Final = 64
"""Most pixels of the longer side. What is smaller than a sixty-fourth of the picture is hardly seen."""
SEEN: Final = ("gain", "loss", "colour", "motion", "local", "surge", "stop", "jerk", "light")
"""Names of the columns: pixels that brighten; that darken; change of colour; any change; the largest one of a cell;
motion that begins; that ends; second differences, as of a bounce; change of the mean brightness."""
MEASURED: Final = ("gain", "loss", "colour", "motion", "local", "jerk", "light")
"""Names of the measurements that the columns are made from."""
STILL: Final = 4e-4
"""Mean change of a pixel below which a picture counts as still: a tenth of a level of 255."""
_WEIGHTS: Final = np.array([0.2126, 0.7152, 0.0722], np.float32)


class ChangeMeter:
    """Measures frames (H, W, 3) uint8 one after the other; keeps the last two."""

    def __init__(self) -> None:
        self._rows: list[tuple[float, ...]] = []
        self._steady = SteadyMeter()
        self._last: FloatArray | None = None
        self._difference: FloatArray | None = None

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Measure the next frame."""
        picture: FloatArray = frame.astype(np.float32) / np.float32(255)
        steadied = self._steady.measure(picture)
        if self._last is None:
            self._last = picture
            self._rows.append((0.0,) * len(MEASURED) + steadied)
            return
        difference: FloatArray = picture - self._last
        light: FloatArray = np.asarray(difference @ _WEIGHTS, np.float32)
        tint = difference - light[..., None]
        jerk = 0.0 if self._difference is None else float(np.abs(light - self._difference).mean())
        self._rows.append(
            (
                float(np.maximum(light, 0).mean()),
                float(np.maximum(-light, 0).mean()),
                float(np.abs(tint).mean()),
                float(np.abs(light).mean()),
                float(cell_means(np.abs(light)).max()),
                jerk,
                float(light.mean()),
                *steadied,
            )
        )
        self._last, self._difference = picture, light

    def finish(self) -> FloatArray:
        """Measurements of all frames as they are, (T, 17): `MEASURED`, and `STEADIED` of the steadied picture."""
        return np.array(self._rows, np.float32).reshape(-1, len(MEASURED) + len(STEADIED))


def measure_changes(frames: Iterable[NDArray[np.uint8]]) -> FloatArray:
    """Measurements of small frames (H, W, 3) uint8: (T, 17) float32, see `ChangeMeter.finish`."""
    meter = ChangeMeter()
    for frame in frames:
        meter.add(frame)
    return meter.finish()


def seen_changes(measured: FloatArray) -> FloatArray:
    """Measurements (T, 17) -> changes (T, 9) of the columns `SEEN`, each of mean 0 and deviation 1 unless constant."""
    gain, loss, colour, motion, local, jerk, light = measured[:, : len(MEASURED)].T
    # Ratios to what is usual around: a calm passage counts as much as a wild one.
    usual = _around(motion) + STILL
    steps = np.log1p(motion / usual)
    rise = np.diff(steps, prepend=steps[:1])
    columns = [
        gain / usual,
        loss / usual,
        colour / usual,
        motion / usual,
        local / (_around(local) + STILL),
        np.maximum(rise, 0),
        np.maximum(-rise, 0),
        jerk / usual,
        light / usual,
    ]
    table = np.stack(columns, axis=1).astype(np.float32)
    table[: min(len(table), 2)] = table[2:].mean(0) if len(table) > 2 else 0
    return standardized(table)


def _around(values: FloatArray, reach: int = 45) -> FloatArray:
    """Median of the values within `reach` frames on both sides, which a cut does not move."""
    from scipy.ndimage import median_filter

    return np.asarray(median_filter(values, 2 * reach + 1, mode="nearest"), np.float32)
