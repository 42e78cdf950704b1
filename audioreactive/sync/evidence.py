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

from dataclasses import dataclass
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
SETTLED: Final = 60.0
"""Seconds of video after which its own pairs count as much as those of films in general."""
SHRINKAGE: Final = 0.5
"""Share of the covariance of the pairs under chance that is taken as independent: a short video tells little of it."""
PRIOR: Final = np.array(
    #    low  middle high onsets offsets swell
    [
        [1.0, 1.0, 1.0, 1.6, 0.2, 0.6],  # gain
        [0.3, 0.3, 0.3, 0.5, 0.2, 0.0],  # loss
        [0.8, 0.8, 0.8, 1.2, 0.2, 0.2],  # colour
        [1.0, 1.0, 1.0, 1.6, 0.2, 0.4],  # motion
        [1.2, 1.2, 1.2, 2.0, 0.2, 0.4],  # local
        [1.2, 1.2, 1.2, 2.0, 0.0, 0.4],  # surge
        [0.3, 0.3, 0.3, 0.5, 0.5, 0.0],  # stop
        [0.8, 0.8, 0.8, 1.2, 0.2, 0.2],  # jerk
        [0.4, 0.4, 0.4, 0.6, -0.4, 1.0],  # light
    ]
)
"""Expected correlation of each pair (seen, heard) at the true lag, up to a factor: what strikes brightens and moves."""
assert PRIOR.shape == (len(SEEN), len(HEARD))


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
    """
    smooth = _exposed(heard, seen_times)
    blocks = _blocks(seen_times, block_seconds)
    pair = _Pair(smooth, seen_times, heard_start, round(reach * HEARD_RATE), blocks)
    true = pair.products(seen)
    backwards = [pair.products(_backwards(seen, i / max(nulls, 1))) for i in range(nulls)]
    spread = _deviation(np.stack(backwards) if backwards else true[None])
    told = spread > 1e-9
    scale = np.where(told, 1 / np.maximum(spread, 1e-9), 0.0).astype(np.float32)
    prior = np.resize(PRIOR, (seen.shape[1], heard.shape[1])).ravel() if seen.shape[1] != len(SEEN) else PRIOR.ravel()
    seconds = float(seen_times[-1] - seen_times[0]) if len(seen_times) else 0.0
    covariance = _covariance(backwards or [true], scale)
    curves = _weighted(true * scale[..., None], prior, covariance, seconds)
    found = [_weighted(null * scale[..., None], prior, covariance, seconds) for null in backwards]
    unit = np.sqrt(np.mean(np.square(np.stack(found or [curves])), axis=(0, 2)))
    unit = np.where(unit > 1e-9, unit, np.inf)[:, None]
    lags = np.arange(-pair.reach, pair.reach + 1) / HEARD_RATE
    times = np.array([seen_times[block].mean() for block in blocks])
    peaks = [float(Evidence((null / unit).astype(np.float32), lags, times, np.zeros(0)).whole.max()) for null in found]
    return Evidence((curves / unit).astype(np.float32), lags, times, np.array(peaks))


def _exposed(heard: FloatArray, seen_times: NDArray[np.float64]) -> FloatArray:
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


class _Pair:
    """Products of one sound with pictures of the same frames."""

    def __init__(
        self, heard: FloatArray, times: NDArray[np.float64], start: float, reach: int, blocks: list[slice]
    ) -> None:
        self.reach, self._blocks = reach, blocks
        self._rows = np.rint((times - start) * HEARD_RATE).astype(np.int64)
        self._heard = heard

    def products(self, seen: FloatArray) -> FloatArray:
        """Sum over each block of the products of every pair at every lag, (B, P, L) float32."""
        made = [self._block(seen[block], self._rows[block]) for block in self._blocks]
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


def _deviation(values: FloatArray) -> FloatArray:
    """Deviation (B, P) of nulls (n, B, P, L) around 0, over the nulls and the lags."""
    return np.asarray(np.sqrt(np.mean(np.square(values, dtype=np.float64), axis=(0, 3))), np.float32)


def _covariance(nulls: list[FloatArray], scale: FloatArray) -> NDArray[np.float64]:
    """Covariance (P, P) of the pairs under chance, shrunk towards independence."""
    total = np.zeros((scale.shape[1],) * 2)
    count = 0
    for null in nulls:
        for block, factor in zip(null, scale, strict=True):
            scaled = (block * factor[:, None])[:, ::4]
            total += scaled @ scaled.T
            count += scaled.shape[1]
    mean = total / max(count, 1)
    return (1 - SHRINKAGE) * mean + SHRINKAGE * np.eye(len(mean))


def _weighted(
    scaled: FloatArray, prior: NDArray[np.float64], covariance: NDArray[np.float64], seconds: float
) -> NDArray[np.float64]:
    """Curves (B, L) of blocks (B, P, L): the pairs by their prior, then by what they show at the peak as well."""
    if not len(scaled):
        return np.zeros(scaled.shape[::2])
    weights = np.linalg.solve(covariance, prior)
    curves = np.einsum("p,bpl->bl", weights, scaled, optimize=True)
    own = seconds / (seconds + SETTLED)
    for _ in range(2):
        peak = int(curves.sum(0).argmax())
        near = slice(max(peak - 2, 0), peak + 3)
        shown = scaled[:, :, near].mean(2, dtype=np.float64).sum(0)
        size = np.linalg.norm(shown)
        mixed = (1 - own) * prior / np.linalg.norm(prior) + own * (shown / size if size > 0 else 0)
        weights = np.linalg.solve(covariance, mixed)
        curves = np.einsum("p,bpl->bl", weights, scaled, optimize=True)
    return np.asarray(curves)
