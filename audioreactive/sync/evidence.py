"""How well a sound fits a picture at each lag, in blocks of a few seconds, and how well chance does.

Each of the picture's changes is correlated with each of the sound's, at every lag on the sound's fine grid. The pairs
are then added with weights: those that hold for films in general (`PRIOR`), and, the longer the video the more, those
that
this one shows at its own peak. Chance is measured by the same procedure on the picture played backwards and shifted in
a circle: that keeps its rhythm and its smoothness, and what the pairs share, and nothing of the reaction.

Conventions: T frames with M changes, N rows of sound at HEARD_RATE with K changes, B blocks, P = M · K pairs, L lags.
Lag l is positive where the sound comes l rows later than the picture that it fits. Curves have mean 0 and deviation 1
under chance in each block.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive.sync.heard import HEARD, HEARD_RATE
from audioreactive.sync.seen import SEEN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]

REACH: Final = 2.0
"""Largest lag in seconds, in both directions, that is searched."""
BLOCK_SECONDS: Final = 2.0
"""Length of a block. Shorter ones hold no event; in longer ones a jump cut is lost."""
NULLS: Final = 12
"""Backward pictures, each shifted otherwise, that represent chance."""
TAPS: Final = 11
"""Lags at which a template weighs each pair: where its peak lies around the event, and how broad it is."""
TAP_ROWS: Final = 4
"""Rows between them, 16 ms: they reach 78 ms to both sides."""
MOST_NULL_BLOCKS: Final = 60
"""Most blocks from which chance is estimated; chance in two minutes tells that in an hour."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Fit of a sound and a picture at each lag, in blocks."""

    curves: FloatArray
    """(B, L) deviations above chance in each block; 0 where a block has nothing to tell."""
    lags: NDArray[np.float64]
    """(L,) lags in seconds; positive: the sound comes late."""
    times: NDArray[np.float64]
    """(B,) middle of each block in seconds."""
    chance: NDArray[np.float64]
    """(n,) highest peaks of the whole by chance, in deviations; empty if they were not measured."""
    chance_of_paths: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """(n,) heights of the most likely paths by chance, which may jump; empty if they were not measured."""
    likelihood: float = 0.0
    """Logarithm of the likelihood that one deviation stands for; 0 where that is not known."""

    @property
    def whole(self) -> NDArray[np.float64]:
        """Fit of all blocks together at each lag, (L,), in deviations above chance."""
        told = int(np.count_nonzero(self.curves.any(1)))
        total: NDArray[np.float64] = self.curves.sum(0, dtype=np.float64) / max(told, 1) ** 0.5
        return total


def find_evidence(
    seen: FloatArray,
    seen_times: NDArray[np.float64],
    heard: FloatArray,
    *,
    heard_start: float = 0.0,
    reach: float = REACH,
    block_seconds: float = BLOCK_SECONDS,
    nulls: int = NULLS,
    templates: FloatArray | None = None,
) -> Evidence:
    """Compare changes of a picture with those of a sound.

    Args:
        seen: (T, M) changes of the picture, as `seen_changes` gives them.
        seen_times: (T,) seconds at which each change is seen.
        heard: (N, K) changes of the sound, as `heard_changes` gives them.
        heard_start: second at which the first row is heard.
        reach: largest lag in seconds.
        block_seconds: length of a block.
        nulls: number of backward pictures that represent chance.
        templates: weights of the pairs, (K, P, TAPS); None: those that ship.
    """
    smooth = exposed(heard, seen_times)
    blocks = _blocks(seen_times, block_seconds)
    pair = Pair(smooth, seen_times, heard_start, round(reach * HEARD_RATE), blocks)
    every = max(-(-len(blocks) // MOST_NULL_BLOCKS), 1)
    few = Pair(smooth, seen_times, heard_start, pair.reach, blocks[::every])
    backwards = [few.products(_backwards(seen, i / max(nulls, 1))) for i in range(nulls)]
    scale = np.array([1 / max(block.stop - block.start, 1) ** 0.5 for block in blocks])
    templates = load_templates() if templates is None else templates
    curves = _in_batches(pair, seen, scale, templates)  # [templates, B, L]
    found = np.stack(
        [matched(null * scale[::every, None, None], templates) for null in backwards]
    )  # [nulls, templates, n, L]
    unit = np.sqrt(np.mean(np.square(found), axis=(0, 2, 3)))[:, None, None]
    unit = np.where(unit > 1e-9, unit, np.inf)
    best = int((_together(curves / unit)).max(1).argmax())
    peaks = np.array([_together(null / unit).max() for null in found])
    lags = np.arange(-pair.reach, pair.reach + 1) / HEARD_RATE
    times = np.array([seen_times[block].mean() for block in blocks])
    return Evidence(np.asarray(curves[best] / unit[best], np.float32), lags, times, peaks)


def _in_batches(pair: Pair, seen: FloatArray, scale: NDArray[np.float64], templates: FloatArray) -> FloatArray:
    """Curves (templates, B, L) of all blocks; the products of a few at a time, as those of an hour take 400 MB."""
    width = 2 * pair.reach + 1
    curves = np.zeros((len(templates), len(scale), width), np.float32)
    for first in range(0, len(scale), MOST_NULL_BLOCKS):
        some = slice(first, first + MOST_NULL_BLOCKS)
        curves[:, some] = matched(pair.products(seen, some) * scale[some, None, None], templates)
    return curves


def _together(curves: NDArray[np.floating]) -> NDArray[np.float64]:
    """Curves (templates, B, L) of all blocks together, (templates, L), in deviations."""
    told = max(int(np.count_nonzero(curves.any((0, 2)))), 1)
    total: NDArray[np.float64] = curves.sum(1) / told**0.5
    return total


def matched(scaled: NDArray[np.floating], templates: FloatArray) -> NDArray[np.float64]:
    """Products (B, P, L) weighed by templates (K, P, TAPS): (K, B, L) float64."""
    blocks, _, lags = scaled.shape
    total = np.zeros((len(templates), blocks, lags))
    half = TAPS // 2
    for tap in range(TAPS):
        part = np.einsum("kp,bpl->kbl", templates[:, :, tap], scaled, optimize=True)
        shift = (tap - half) * TAP_ROWS
        if shift >= 0:
            total[:, :, : lags - shift] += part[:, :, shift:]
        else:
            total[:, :, -shift:] += part[:, :, :shift]
    return total


@cache
def load_templates() -> FloatArray:
    """Weights (K, P, TAPS) of the pairs, for kinds of events; fitted by `benchmarks/sync_templates.py`."""
    text = (files("audioreactive") / "assets" / "sync.csv").read_text("utf-8")
    rows = [line.split(",") for line in text.splitlines() if line and not line.startswith("#")]
    values = np.array([[float(value) for value in row[1:]] for row in rows], np.float32)
    return values.reshape(-1, len(SEEN) * len(HEARD), TAPS)


def exposed(heard: FloatArray, seen_times: NDArray[np.float64]) -> FloatArray:
    """The sound's changes averaged over the time between two frames, as a change of the picture is, and a little more:
    few reactions are exact to a row.
    """
    frame = float(np.median(np.diff(seen_times))) if len(seen_times) > 1 else 1 / 30
    width = min(max(round(frame * HEARD_RATE), 1), HEARD_RATE // 4)
    kernel = np.convolve(np.ones(width) / width, np.hanning(7) / np.hanning(7).sum())
    if len(kernel) % 2 == 0:
        kernel = np.convolve(kernel, [0.5, 0.5])
    if len(heard) <= len(kernel):
        return heard
    table = np.stack([np.convolve(column, kernel, mode="same") for column in heard.T], axis=1).astype(np.float32)
    deviation = table.std(0)
    return np.asarray(table / np.where(deviation > 1e-7, deviation, np.inf), np.float32)


def _blocks(times: NDArray[np.float64], seconds: float) -> list[slice]:
    """Runs of frames of about so many seconds each; the last one is not shorter than the others."""
    if not len(times):
        return []
    length = float(times[-1] - times[0])
    count = max(int(length / seconds), 1)
    edges = np.searchsorted(times, times[0] + np.arange(1, count) * length / count)
    borders = [0, *edges.tolist(), len(times)]
    return [slice(a, b) for a, b in pairwise(borders) if b > a]


def _backwards(seen: FloatArray, shift: float) -> FloatArray:
    """The changes backwards in time, shifted in a circle by this share of their length."""
    return np.roll(seen[::-1], round(shift * len(seen)), axis=0)


class Pair:
    """Products of one sound with pictures of the same frames."""

    def __init__(
        self, heard: FloatArray, times: NDArray[np.float64], start: float, reach: int, blocks: list[slice]
    ) -> None:
        self.reach, self._blocks = reach, blocks
        self._rows = np.rint((times - start) * HEARD_RATE).astype(np.int64)
        self._heard = heard

    def products(self, seen: FloatArray, some: slice = slice(None)) -> FloatArray:
        """Sum over each block (or some) of the products of every pair at every lag, (B, P, L) float32."""
        made = [self._block(seen[block], self._rows[block]) for block in self._blocks[some]]
        empty = np.zeros((0, seen.shape[1] * self._heard.shape[1], 2 * self.reach + 1), np.float32)
        return np.asarray(np.stack(made) if made else empty, np.float32)

    def _block(self, seen: FloatArray, rows: NDArray[np.int64]) -> FloatArray:
        width, heard = 2 * self.reach + 1, self._heard
        first, last = int(rows.min()) - self.reach, int(rows.max()) + self.reach + 1
        piece = np.zeros((last - first, heard.shape[1]), np.float32)
        low, high = max(first, 0), min(last, len(heard))
        if high > low:
            piece[low - first : high - first] = heard[low:high]
        windows = np.lib.stride_tricks.sliding_window_view(piece, width, axis=0)  # [rows, K, L]
        chosen = windows[rows - rows.min()].reshape(len(rows), -1)  # [T, K L]
        return np.asarray((seen.T @ chosen).reshape(-1, width), np.float32)
