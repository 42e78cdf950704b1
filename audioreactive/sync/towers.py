"""How well a sound fits a picture at each lag, by a small network that has learned from made scenes and renders.

Two towers of dilated convolutions, as in Chung and Zisserman, "Out of time: automated lip sync in the wild" (2016), but
of measurements instead of pixels: one turns the steadied changes of a picture (`steadied`), the other the levels of a
sound and their gains into `EMBEDDED` numbers at each moment. Their product, summed over some time, is the logarithm of
the likelihood of a lag, as the towers were trained to tell the true lag from all others in one and in two and a half
seconds (`benchmarks/sync_towers.py`).

Conventions: R = TOWER_RATE rows a second, in the picture's time; B blocks of `BLOCK` rows; lags as in `evidence`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive.sync.evidence import REACH, Evidence
from audioreactive.sync.heard import HEARD_RATE, band_gains, standardized
from audioreactive.sync.seen import MEASURED, STILL
from audioreactive.sync.steadied import STEADIED
from audioreactive.sync.track import path_height

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]
    Weights = Mapping[str, FloatArray]

TOWER_RATE: Final = HEARD_RATE // 2
"""Rows a second: 128."""
BLOCK: Final = 32
"""Rows of a block, a quarter of a second: where a cut is placed."""
DILATIONS: Final[Mapping[str, tuple[int, int]]] = {"seen": (4, 6), "heard": (2, 5)}
"""Rows between the taps of the convolutions of each tower."""
EMBEDDED: Final = 16
TEMPERATURE: Final = 4.0
"""What products are divided by to be logarithms of likelihoods."""
NULLS: Final = 12
"""Backward pictures, each shifted otherwise, that represent chance."""
MOST_NULL_ROWS: Final = 120 * TOWER_RATE
"""Rows, from the middle, of which chance is measured: two minutes."""
FASTEST: Final = 45.0
"""Frames a second from which on neighbours are averaged, so that about 30 are left: the towers have learned those."""
AROUND: Final = 45
"""Frames on both sides from which the usual amount of change is taken."""
LIGHT: Final = MEASURED.index("light")
"""Column of the measurements with the change of the whole picture's brightness."""
CHANGE_COLUMNS: Final = [3, 10]
"""Columns of the picture's input that a cut raises: how much changes, and the pixels that change most."""
SHARE: Final = len(MEASURED) + STEADIED.index("share")
"""Column of the measurements with the share of the pixels that change clearly."""
CUT_ODDS: Final = 2.0
"""Logarithm of the odds for a cut that each deviation of the picture's change above what is usual gives."""
MOST_CUT: Final = 3.0
"""Most deviations that count."""
CUT_AROUND: Final = 41
"""Rows of which the usual change is taken, a third of a second."""
CUT_REACH: Final = 2.0
"""Seconds around the border of two passages in which the cut is sought: where an occlusion hides it, the border of the
passages may lie before the occlusion and the cut after it."""
WHOLE: Final = 0.3
"""Share of the pixels from which on a change is one of the whole picture: another shot, light, something before the
lens. Sound goes over most of these; where the picture stays and only what moves in it leaps, time itself has leapt."""
WHOLE_ODDS: Final = 0.5
"""Share of the odds for a cut that is left to a change of the whole picture."""
FIT_ODDS: Final = 0.5
"""Share of the towers' evidence that counts where a cut is placed: neighbouring rows look at the same events."""
_PIECE: Final = 1 << 16
"""Rows that are convolved at a time."""
_BATCH: Final = 512
"""Blocks that are compared at a time."""


@dataclass(frozen=True, eq=False)
class Learned:
    """What the towers say of a picture and a sound."""

    evidence: Evidence
    seen: FloatArray
    """(EMBEDDED, n) embedding of the picture."""
    heard: FloatArray
    """(EMBEDDED, n + 2 lags) embedding of the sound."""
    cuts: FloatArray
    """(n,) logarithm of the odds for a cut, from how much changes in the picture."""
    frame: float
    """Seconds between two frames."""

    def border(self, about: float, before: float, after: float) -> float:
        """Second near `about` at which the lag changes from `before` to `after`.

        What follows the border fits one lag, what precedes it the other; where nothing is heard in between, the frame
        that changes most is the cut.
        """
        rows, lags = self.seen.shape[1], (self.heard.shape[1] - self.seen.shape[1]) // 2
        first = max(round((about - CUT_REACH) * TOWER_RATE), 0)
        last = min(round((about + CUT_REACH) * TOWER_RATE), rows)
        if last - first < 2:
            return about
        near = np.arange(first, last)
        one, other = (near + lags + round(lag * TOWER_RATE) for lag in (before, after))
        fits = (self.seen[:, near] * (self.heard[:, one] - self.heard[:, other])).sum(0) * (FIT_ODDS / TEMPERATURE)
        odds = np.cumsum(fits) + self.cuts[near]
        # The middle of what is possible: where nothing tells, it is half as far away on average as any other.
        possible = np.cumsum(np.exp(odds - odds.max()))
        place = near[int(np.searchsorted(possible, possible[-1] / 2))]
        return float((place + 0.5) / TOWER_RATE - self.frame / 2)


def seen_input(measured: FloatArray, times: NDArray[np.float64]) -> FloatArray:
    """Measurements (T, 17) of a picture, seen at these times -> input (16, n) of its tower, from second 0 on."""
    steadied = np.concatenate([measured[:, len(MEASURED) :], measured[:, LIGHT : LIGHT + 1]], axis=1)
    gap = float(np.median(np.diff(times))) if len(times) > 1 else 1 / 30
    many = min(max(round(1 / gap / 30), 1), len(times)) if gap > 0 and 1 / gap > FASTEST else 1
    if many > 1:
        whole = len(times) // many * many
        steadied = steadied[:whole].reshape(-1, many, steadied.shape[1]).mean(1)
        times = times[:whole].reshape(-1, many).mean(1)
    table = _seen_columns(steadied)
    grid = (np.arange(max(int(times[-1] * TOWER_RATE), 1)) + 0.5) / TOWER_RATE
    return np.stack([np.interp(grid, times, column) for column in table.T]).astype(np.float32)


def _seen_columns(steadied: FloatArray) -> FloatArray:
    """Ratios to what is usual around, motion that begins and ends, and how far the brightness is from the usual one;
    (T, 16), standardized.
    """
    from scipy.ndimage import median_filter

    gain, loss, colour, motion, local, jerk, light, back, top, share, whole = steadied.T

    def around(values: FloatArray) -> FloatArray:
        return np.asarray(median_filter(values, 2 * AROUND + 1, mode="nearest"), np.float32)

    usual, usual_top = around(motion) + STILL, around(top) + 4 * STILL
    steps = np.diff(np.log1p(motion / usual), prepend=np.log1p(motion[:1] / usual[:1]))
    strides = np.diff(np.log1p(top / usual_top), prepend=np.log1p(top[:1] / usual_top[:1]))
    # A sign that goes dark and one that lights up both leave what is usual when they begin, and come back as they fade.
    level = np.cumsum(whole, dtype=np.float64).astype(np.float32)
    distance = np.abs(level - around(level))
    leaving = np.diff(distance, prepend=distance[:1])
    columns = [
        gain / usual, loss / usual, colour / usual, motion / usual, local / (around(local) + STILL),
        np.maximum(steps, 0), np.maximum(-steps, 0), jerk / usual, light / usual, back / usual, top / usual_top,
        share / (share.mean() + 1e-3), np.maximum(strides, 0), np.maximum(-strides, 0),
        leaving / usual, distance / (distance.mean() + STILL),
    ]  # fmt: skip
    table = np.stack(columns, axis=1).astype(np.float32)
    table[:2] = table[2:].mean(0) if len(table) > 2 else 0
    return standardized(table)


def heard_input(levels: FloatArray) -> FloatArray:
    """Levels (N, 6) of the bands of a sound, at HEARD_RATE -> input (12, n) of its tower."""
    deviation = levels.std(0, dtype=np.float64) + 1e-3
    loudness = np.clip((levels - levels.mean(0, dtype=np.float64)) / deviation, -4, 4)
    table = np.concatenate([standardized(band_gains(levels)), loudness], axis=1).astype(np.float32)
    if len(table) % 2:
        table = np.concatenate([table, table[-1:]])
    return np.ascontiguousarray(table.reshape(-1, 2, table.shape[1]).mean(1).T, np.float32)


@cache
def load_towers() -> Weights:
    """Weights of both towers, by name."""
    from safetensors.numpy import load_file

    with as_file(files("audioreactive") / "assets" / "sync.safetensors") as path:
        return load_file(path)


def tower(inputs: FloatArray, side: str, weights: Weights) -> FloatArray:
    """Input (channels, n) -> embedding (EMBEDDED, n) of one side, `seen` or `heard`; piece by piece."""
    one, two = DILATIONS[side]
    reach, rows = 4 * one + 2 * two, inputs.shape[1]
    result = np.empty((EMBEDDED, rows), np.float32)
    for first in range(0, rows, _PIECE):
        low, stop = max(first - reach, 0), min(first + _PIECE, rows)
        hidden = inputs[:, low : min(stop + reach, rows)]
        for number, dilation in enumerate((one, two), 1):
            convolved = _convolved(
                hidden, weights[f"{side}.{number}.weight"], weights[f"{side}.{number}.bias"], dilation
            )
            hidden = np.maximum(convolved, 0)
        hidden = _convolved(hidden, weights[f"{side}.3.weight"], weights[f"{side}.3.bias"], 1)
        result[:, first:stop] = hidden[:, first - low : stop - low]
    return result


def _convolved(inputs: FloatArray, weight: FloatArray, bias: FloatArray, dilation: int) -> FloatArray:
    """Dilated convolution of (channels, n) with (out, channels, taps), with zeros beyond the ends."""
    taps, length = weight.shape[2], inputs.shape[1]
    reach = taps // 2 * dilation
    padded = np.pad(inputs, ((0, 0), (reach, reach)))
    total = np.broadcast_to(bias[:, None], (len(weight), length)).astype(np.float32)
    for tap in range(taps):
        total += weight[:, :, tap] @ padded[:, tap * dilation : tap * dilation + length]
    return total


def learned_evidence(
    measured: FloatArray,
    times: NDArray[np.float64],
    levels: FloatArray,
    *,
    heard_start: float = 0.0,
    reach: float = REACH,
    nulls: int = NULLS,
    weights: Weights | None = None,
) -> Learned:
    """Compare a picture with a sound by the towers.

    Args:
        measured: (T, 17) measurements of the picture.
        times: (T,) seconds at which each change is seen.
        levels: (N, 6) levels of the sound.
        heard_start: second at which its first row is heard.
        reach: largest lag in seconds.
        nulls: number of backward pictures that represent chance.
        weights: those of the towers; None: those that ship.
    """
    weights = load_towers() if weights is None else weights
    lags = round(reach * TOWER_RATE)
    inputs = seen_input(measured, times)
    heard = _placed(tower(heard_input(levels), "heard", weights), heard_start, inputs.shape[1], lags)
    seen = tower(inputs, "seen", weights)
    curves = block_curves(seen, heard, lags)
    low = max((inputs.shape[1] - MOST_NULL_ROWS) // 2, 0)
    some, part = inputs[:, low : low + MOST_NULL_ROWS], heard[:, low : low + MOST_NULL_ROWS + 2 * lags]
    turned = [np.roll(some[:, ::-1], round(i * some.shape[1] / nulls), axis=1) for i in range(nulls)]
    backwards = [block_curves(tower(one, "seen", weights), part, lags) for one in turned]
    spread = math.sqrt(float(np.mean([np.square(null, dtype=np.float64).mean() for null in backwards]))) or 1.0
    blocks = (np.arange(len(curves)) + 0.5) * BLOCK / TOWER_RATE
    grid = np.arange(-lags, lags + 1) / TOWER_RATE
    curves /= np.float32(spread)
    evidence = Evidence(
        curves, grid, blocks, likelihood=spread,
        chance=np.array([null.sum(0, dtype=np.float64).max() / spread / len(null) ** 0.5 for null in backwards]),
        chance_of_paths=np.array([path_height(null / spread, grid, spread) for null in backwards]),
    )  # fmt: skip
    frame = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    return Learned(evidence, seen, heard, _cuts(inputs, measured, times), frame)


def _cuts(inputs: FloatArray, measured: FloatArray, times: NDArray[np.float64]) -> FloatArray:
    """Logarithm of the odds for a cut at each row, (n,), from the picture's input and the measurements behind it."""
    from scipy.ndimage import maximum_filter1d, median_filter

    change = inputs[CHANGE_COLUMNS].sum(0)
    odds = CUT_ODDS * np.clip(change - median_filter(change, CUT_AROUND), 0, MOST_CUT)
    grid = (np.arange(len(change)) + 0.5) / TOWER_RATE
    # Between two frames, the input is interpolated: a change of the whole picture reaches into the rows beside it.
    share = np.interp(grid, times, maximum_filter1d(measured[:, SHARE], 3))
    return np.asarray(np.where(share > WHOLE, WHOLE_ODDS, 1.0) * odds, np.float32)


def _placed(heard: FloatArray, start: float, rows: int, lags: int) -> FloatArray:
    """The sound's embedding (EMBEDDED, rows + 2 lags) on the picture's rows and `lags` beyond; 0 without sound."""
    at = np.arange(-lags, rows + lags) - start * TOWER_RATE
    own = np.arange(heard.shape[1])
    return np.stack([np.interp(at, own, row, left=0, right=0) for row in heard]).astype(np.float32)


def block_curves(seen: FloatArray, heard: FloatArray, lags: int) -> FloatArray:
    """Embeddings (C, n) and (C, n + 2 lags) -> logarithm of the likelihood of each lag in each block, (B, 2 lags + 1).

    Each has mean 0 over its lags. A last block that is not whole is left out, unless it is the only one.
    """
    channels, rows = seen.shape
    if rows < BLOCK:
        seen, rows = np.pad(seen, ((0, 0), (0, BLOCK - rows))), BLOCK
        heard = np.pad(heard, ((0, 0), (0, max(rows + 2 * lags - heard.shape[1], 0))))
    count, size = rows // BLOCK, BLOCK + 2 * lags
    mine = seen[:, : count * BLOCK].reshape(channels, count, BLOCK)
    other = np.lib.stride_tricks.sliding_window_view(heard, size, axis=1)[:, ::BLOCK][:, :count]
    curves = np.empty((count, 2 * lags + 1), np.float32)
    for first in range(0, count, _BATCH):
        some = slice(first, first + _BATCH)
        spectrum = np.fft.rfft(other[:, some], axis=2) * np.fft.rfft(mine[:, some], size, axis=2).conj()
        found = np.fft.irfft(spectrum.sum(0), size, axis=1)[:, : 2 * lags + 1] / TEMPERATURE
        curves[some] = found - found.mean(1, keepdims=True)
    return curves
