"""The baselines of MathAV-Net's Table 8 that need no network, and the one that it forgot, on the same features.

Every one of them gives the lag of a sound behind its picture in seconds, for a whole clip: (seen (T, 9), heard (T, 6))
at the frames of a video. Conventions as in `evidence`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive.correlation.lag import lag_curve
from audioreactive.correlation.sides import Side, window_edges
from audioreactive.sync.heard import HEARD, HEARD_RATE
from audioreactive.sync.seen import SEEN

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]

REACH: Final = 2.0
"""Largest lag in seconds."""
COMPONENTS: Final = 3
"""Canonical components whose correlations are added."""
ENERGY: Final = 0.95
"""Share of the energy that the truncated SVD keeps (section 4.3.1)."""
RIDGE: Final = 1e-2


def on_frames(heard: FloatArray, frames: int, fps: Fraction) -> FloatArray:
    """Changes of a sound (rows, C) as means over each frame, (frames, C)."""
    total = np.concatenate([np.zeros((1, heard.shape[1])), np.cumsum(heard, axis=0, dtype=np.float64)])
    edges = np.rint(np.arange(frames + 1) * HEARD_RATE / float(fps)).astype(int).clip(0, len(heard))
    lengths = np.maximum(np.diff(edges), 1)[:, None]
    return np.asarray((total[edges[1:]] - total[edges[:-1]]) / lengths, np.float32)


def best_lag(seen: NDArray[np.floating], heard: NDArray[np.floating], fps: Fraction) -> float:
    """Lag of the largest correlation between signals (T, C) and (T, C), all components together, with a parabola."""
    reach = min(round(REACH * fps), len(seen) // 2)
    x, y = (table - table.mean(0) for table in (seen, heard))
    values = []
    for lag in range(-reach, reach + 1):
        a, b = (x[: len(x) - lag], y[lag:]) if lag >= 0 else (x[-lag:], y[: len(y) + lag])
        size = np.linalg.norm(a) * np.linalg.norm(b)
        values.append(float((a * b).sum() / size) if size > 0 else 0.0)
    curve = np.array(values)
    at = int(curve.argmax())
    shift = 0.0
    if 0 < at < len(curve) - 1:
        bend = curve[at - 1] - 2 * curve[at] + curve[at + 1]
        shift = float(0.5 * (curve[at - 1] - curve[at + 1]) / bend) if bend < 0 else 0.0
    return (at - reach + shift) / float(fps)


def cross_correlation(seen: FloatArray, heard: FloatArray, fps: Fraction) -> float:
    """Plain cross-correlation of onset strength and frame change."""
    motion, onsets = SEEN.index("motion"), HEARD.index("onsets")
    return best_lag(seen[:, [motion]], heard[:, [onsets]], fps)


def ridge_lag(seen: FloatArray, heard: FloatArray, fps: Fraction) -> float:
    """`correlation.lag` of this program: what all changes of the sound explain of those of the picture."""
    frames = len(seen)
    edges = window_edges(frames, fps)
    reach = min(round(REACH * fps), frames // 4)
    sound = Side({"heard": np.cumsum(heard, axis=0, dtype=np.float32)}, edges, {}, 1)
    picture = Side({"seen": np.cumsum(seen, axis=0, dtype=np.float32)}, edges, {}, 1, centred=True)
    lags = range(-reach, reach + 1)
    curve = np.array(lag_curve(sound, picture, fps=fps, lags=lags, shifts=range(reach + 1, frames - reach, 3)))
    return (int(curve.argmax()) - reach) / float(fps)


@dataclass(frozen=True, eq=False)
class Cca:
    """Canonical correlation analysis (Hotelling, 1936), fitted to clips in step."""

    seen: NDArray[np.float64]
    """(9, COMPONENTS) projection."""
    heard: NDArray[np.float64]
    """(6, COMPONENTS) projection."""

    @classmethod
    def fitted(cls, clips: Sequence[tuple[FloatArray, FloatArray]]) -> Cca:
        """Fit to clips (seen, heard) whose rows belong together."""
        x, y = (np.concatenate([clip[i] for clip in clips]).astype(np.float64) for i in (0, 1))
        x, y = x - x.mean(0), y - y.mean(0)
        first, second = (_inverse_root(table.T @ table / len(table)) for table in (x, y))
        left, _, right = np.linalg.svd(first @ (x.T @ y / len(x)) @ second)
        return cls(first @ left[:, :COMPONENTS], second @ right[:COMPONENTS].T)

    def lag(self, seen: FloatArray, heard: FloatArray, fps: Fraction) -> float:
        """Lag of the largest correlation of the projections."""
        return best_lag(seen @ self.seen, heard @ self.heard, fps)


def _inverse_root(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(matrix)
    root: NDArray[np.float64] = vectors / np.sqrt(values + RIDGE * values[-1]) @ vectors.T
    return root


def truncated_svd(table: NDArray[np.floating], most: int = 100) -> NDArray[np.float64]:
    """Z = U_k Σ_k of section 4.3.1: at most min(100, rank) columns that hold 95 % of the energy; (T, C) -> (T, k)."""
    left, values, _ = np.linalg.svd(np.asarray(table, np.float64), full_matrices=False)
    energy = np.cumsum(values**2)
    if not energy[-1] > 0:
        return left[:, :1] * 0
    count = min(int(np.searchsorted(energy, ENERGY * energy[-1])) + 1, most)
    found: NDArray[np.float64] = left[:, :count] * values[:count]
    return found


def svd_pca(seen: FloatArray, heard: FloatArray, fps: Fraction) -> float:
    """SVD of both sides, and the lag of the first principal components, whose signs are free."""
    x, y = (truncated_svd(table - table.mean(0))[:, :1] for table in (seen, heard))
    signs = [(sign, best_lag(x, sign * y, fps)) for sign in (1, -1)]
    return max(signs, key=lambda each: _fit(x, each[0] * y, each[1], fps))[1]


def _fit(x: NDArray[np.float64], y: NDArray[np.float64], lag: float, fps: Fraction) -> float:
    shift = round(lag * fps)
    a, b = (x[: len(x) - shift], y[shift:]) if shift >= 0 else (x[-shift:], y[: len(y) + shift])
    return float((a * b).sum())
