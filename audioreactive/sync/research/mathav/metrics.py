"""Measures of Table 9 of MathAV-Net, and intervals by bootstrap over clips."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Table = NDArray[np.floating]

HALF_FRAME: Final = 0.5 / 30
"""Seconds within which a frame counts as aligned. The seed does not say when a frame is "correctly aligned"."""
MOST_LATENCY: Final = 0.040
"""Seconds that a clip of five seconds may take (Table 9)."""
DRAWS: Final = 2000
"""Draws of a bootstrap."""


def sync_accuracy(errors: Table) -> float:
    """Share of frames whose error in seconds is less than half a frame."""
    return float(np.mean(np.abs(errors) < HALF_FRAME))


def temporal_jitter(errors: Table) -> float:
    """Root mean square of errors, in their unit."""
    return float(np.sqrt(np.mean(np.square(errors))))


def latency_compliance(seconds: Sequence[float], most: float = MOST_LATENCY) -> float:
    """Share of clips that took at most so long; not a number without clips."""
    return float(np.mean(np.asarray(seconds) <= most)) if len(seconds) else float("nan")


def frechet_distance(seen: Table, heard: Table) -> float:
    """Fréchet AV distance of Table 9 between rows (n, d) and (m, d).

    |μ_v - μ_a|² + tr(Σ_v + Σ_a - 2 (Σ_v Σ_a)^½). The trace of the root is the sum of the roots of the eigenvalues of
    Σ_v^½ Σ_a Σ_v^½, which is symmetric. The distance grows with the square of the scale: it compares models only
    relative to tr(Σ_v + Σ_a).
    """
    mean_v, mean_a = seen.mean(0, dtype=np.float64), heard.mean(0, dtype=np.float64)
    cov_v, cov_a = covariance(seen), covariance(heard)
    values, vectors = np.linalg.eigh(cov_v)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    both = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ cov_a @ root), 0)).sum()
    return float(np.square(mean_v - mean_a).sum() + np.trace(cov_v) + np.trace(cov_a) - 2 * both)


def covariance(rows: Table) -> NDArray[np.float64]:
    """Covariance (d, d) of rows (n, d), over n."""
    apart = np.asarray(rows, np.float64) - rows.mean(0, dtype=np.float64)
    return np.asarray(apart.T @ apart / len(rows))


def bootstrap(
    clips: Table, of: Callable[[Table], Table] | None = None, *, draws: int = DRAWS, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of the mean over clips drawn with replacement.

    Args:
        clips: (n,) one value for each.
        of: what of the mean, such as `np.sqrt`; None: the mean itself.
        draws: number of draws.
        seed: of the draws.
    """
    stream = np.random.RandomState([seed, 31])
    means = np.asarray(clips)[stream.randint(0, len(clips), (draws, len(clips)))].mean(1)
    low, high = np.percentile(means if of is None else of(means), [2.5, 97.5])
    return float(low), float(high)
