"""Envelopes as sums of Legendre polynomials: the HiPPO-LegS reconstruction (section 4.3.1 and appendix A.4).

HiPPO's scaled Legendre measure (Gu, Dao, Ermon, Rudra and Ré, "HiPPO: Recurrent Memory with Optimal Polynomial
Projections", 2020, appendix D.3) represents a function on [0, 1] by the coefficients c of
f(x) = sum over n < N of c_n · sqrt(2n + 1) · P_n(2x - 1), an orthonormal basis. Polynomials have extreme values at the
ends of their interval, so the interval is padded at both ends and the padding is not used.

A song longer than a window has several windows of equal length, which are cross-faded; the weights sum to 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import DTypeLike, NDArray

    Array = NDArray[np.floating]
    Double = NDArray[np.float64]

WINDOW = 16.0
"""Length of a window in seconds; with 256 coefficients it can represent motion up to 5 Hz."""
FADE = 4.0
"""Length in seconds of the cross-fade between two windows."""
OUTSIDE = 1e-3
"""Ratio to the largest singular value below which a combination of polynomials is dropped: it lies in the padding."""
PADDING = 1 / 8
"""Length of the padding at each end of a window, relative to the window."""


def legs_basis(x: Double, count: int, dtype: DTypeLike = np.float64) -> Array:
    """Polynomials sqrt(2k + 1) P_k(2x - 1), k < count, at positions (n,) in [0, 1]: (n, count).

    They are computed in `dtype` by Bonnet's recursion (k + 1) P_(k+1) = (2k + 1) x P_k - k P_(k-1), which is stable on
    the interval. With monomials, float32 would lose all precision at degree 20.
    """
    y = np.asarray(2 * np.asarray(x, np.float64) - 1, dtype)
    basis = np.empty((len(y), count), dtype)
    basis[:, 0] = 1
    if count > 1:
        basis[:, 1] = y
    for k in range(1, count - 1):
        basis[:, k + 1] = ((2 * k + 1) * y * basis[:, k] - k * basis[:, k - 1]) / (k + 1)
    scaled: Array = basis * np.sqrt(2 * np.arange(count) + 1).astype(dtype)
    return scaled


@dataclass(frozen=True)
class Windows:
    """Division of a song into windows, in frames at a fixed rate."""

    frames: int
    """T, the number of frames of the song."""
    length: int
    """Number of frames of a window."""
    fade: int
    """Number of frames that two neighbouring windows share."""
    count: int
    """K, the number of windows; the last one may extend beyond the end of the song."""

    @classmethod
    def over(cls, frames: int, rate: float) -> Windows:
        """Windows over a song of `frames` frames; a single one if the song is not longer than a window."""
        length, fade = round(WINDOW * rate), round(FADE * rate)
        if frames <= length:
            return cls(frames, frames, 0, 1)
        return cls(frames, length, fade, 1 + -(-(frames - length) // (length - fade)))

    @property
    def hop(self) -> int:
        """Frames from one window's start to the next one's."""
        return self.length - self.fade

    def share(self, index: int, position: Double) -> Double:
        """Weight of window `index` at positions in frames from its start: 0 outside, sin² in the fades, sum 1."""
        fade = max(self.fade, 1)
        rise = np.clip((position + 0.5) / fade, 0, 1) if index > 0 else np.ones_like(position)
        last = index == self.count - 1
        fall = np.ones_like(position) if last else np.clip((self.length - position - 0.5) / fade, 0, 1)
        share: Double = np.square(np.sin(np.pi / 2 * rise)) * np.square(np.sin(np.pi / 2 * fall))
        return share

    def basis(self, position: Double, count: int) -> Array:
        """The polynomials at positions in frames from the start of a window, (n, N)."""
        reach = max(self.length - 1, 1)
        return legs_basis((position / reach + PADDING) / (1 + 2 * PADDING), count)

    def orthonormal(self, count: int) -> tuple[Double, Double]:
        """Orthonormal basis (length, R) of the span of N polynomials inside a window, and the Legendre coefficients (N,
        R) of its vectors; R <= N.

        Combinations of polynomials that are nearly 0 outside the padding are left out.
        """
        basis = np.asarray(self.basis(np.arange(self.length, dtype=np.float64), count), np.float64)
        u, s, vh = np.linalg.svd(basis, full_matrices=False)
        kept = s > OUTSIDE * s[0]
        return u[:, kept], vh[kept].T / s[kept]

    def parts(self, position: Double) -> Iterator[tuple[int, slice, Double]]:
        """Yield (window, rows, positions in the window) for sorted positions in the song, in frames."""
        for index in range(self.count):
            start = index * self.hop
            first = np.searchsorted(position, start - 0.5) if index else 0
            end = len(position) if index == self.count - 1 else np.searchsorted(position, start + self.length - 0.5)
            yield index, slice(int(first), int(end)), np.clip(position[first:end] - start, -0.5, self.length - 0.5)

    def reconstruct(self, coefficients: Double, position: Double) -> NDArray[np.float32]:
        """Envelopes (n, E) from coefficients (K, N, E) at sorted positions in the song, in frames."""
        envelopes = np.zeros((len(position), coefficients.shape[2]))
        for index, rows, inside in self.parts(position):
            basis = self.basis(inside, coefficients.shape[1]) * self.share(index, inside)[:, None]
            envelopes[rows] += basis @ coefficients[index]
        return envelopes.astype(np.float32)
