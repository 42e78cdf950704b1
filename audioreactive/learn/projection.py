"""The features of a song, projected onto the span of smooth curves: the envelopes that can be fitted to it.

Envelopes are sums of Legendre polynomials, E = BC (`legendre`). Of all coefficients C, those that can correlate best
with features F have the form C = S⁻¹GM with a small matrix M, where G = BᵀF and S = BᵀB: the gradient in C of the
correlation |FᵀBC|* / (|F| |BC|) is a sum of a product with G and a product with S. So the envelopes are mixtures of the
features, projected onto the span of the polynomials. With H = GᵀS⁻¹G = PPᵀ and M = P⁻ᵀY, the correlation becomes
|PY|* / (|F| |Y|): the columns of BS⁻¹GP⁻ᵀ are orthonormal, and Y has one number for each of them and each envelope.

All is float64. Conventions: K windows, R independent polynomials in each, A columns of features, s shifts of the sound,
D dimensions of the span of the features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from audioreactive.learn.legendre import Windows

    Double = NDArray[np.float64]

RIDGE = 1e-6
"""Value added to the diagonal of S. Where windows overlap, both can express the same motion, and without it large
coefficients would cancel each other."""
SPAN = 1e-6
"""Ratio to the largest eigenvalue of H below which a direction is dropped, because no feature reaches it."""


@dataclass(frozen=True)
class Span:
    """Features projected onto the span of the polynomials in all windows."""

    cross: Double
    """The matrix P, shape (s + 1, A, D), for the song and for its shifts."""
    solutions: Double
    """The coefficients S⁻¹GP⁻ᵀ of the D columns, shape (K, R, D)."""
    windows: Windows
    faded: Sequence[Double]
    """K times (length, R): the polynomials of each window, cross-faded."""

    @classmethod
    def of(cls, tables: Mapping[str, Double], windows: Windows, basis: Double, *, shifts: Sequence[int] = ()) -> Span:
        """Project features (T, C), also shifted in time, onto an orthonormal basis (length, R) of every window."""
        sound = np.concatenate(list(tables.values()), axis=1)
        shifts = [0, *shifts]
        faded = _faded(windows, basis)
        # G: [K, R, (s + 1) A]
        heard = np.stack([part.T @ _window(sound, shifts, windows, index) for index, part in enumerate(faded)])
        solved = _solve(faded, windows, heard)
        gram = heard.reshape(-1, heard.shape[2]).T @ solved.reshape(-1, heard.shape[2])
        values, vectors = np.linalg.eigh((gram + gram.T) / 2)
        kept = values > SPAN * values[-1]
        root = vectors[:, kept] * np.sqrt(values[kept])
        solutions = solved.reshape(-1, gram.shape[0]) @ (vectors[:, kept] / np.sqrt(values[kept]))
        return cls(
            cross=root.reshape(len(shifts), sound.shape[1], -1),
            solutions=solutions.reshape(windows.count, -1, solutions.shape[1]),
            windows=windows,
            faded=faded,
        )

    def curves(self) -> Double:
        """Compute the D columns in every frame, (T, D); they are orthonormal, up to the ridge."""
        windows = self.windows
        made = np.zeros((windows.frames, self.solutions.shape[2]))
        for index, (part, solution) in enumerate(zip(self.faded, self.solutions, strict=True)):
            rows = made[index * windows.hop : index * windows.hop + windows.length]
            rows += part[: len(rows)] @ solution
        return made

    def changes(self, most: int) -> Double:
        """Differences (frames, D) of the columns between successive frames, at up to `most` frames."""
        windows = self.windows
        count = min(windows.frames - 1, most)
        before = np.linspace(0, windows.frames - 2, count).round().astype(np.int64)
        changes = np.zeros((count, self.solutions.shape[2]))
        for index, (part, solution) in enumerate(zip(self.faded, self.solutions, strict=True)):
            for sign, frames in ((-1.0, before), (1.0, before + 1)):
                rows = frames - index * windows.hop
                here = (rows >= 0) & (rows < windows.length)
                changes[here] += sign * part[rows[here]] @ solution
        return changes


def _faded(windows: Windows, basis: Double) -> list[Double]:
    """K times (length, R): each window's basis, faded; rows past the song's end are 0. Inner ones are one array."""
    position = np.arange(windows.length, dtype=np.float64)
    last = windows.count - 1
    first, inner, end = (basis * windows.share(index, position)[:, None] for index in (0, min(1, last), last))
    end[windows.frames - last * windows.hop :] = 0
    return [first if index == 0 and last else end if index == last else inner for index in range(windows.count)]


def _window(table: Double, shifts: Sequence[int], windows: Windows, index: int) -> Double:
    """(T, C) -> (length, shifts · C): a window's rows of the shifted tables, any values past the end."""
    rows = index * windows.hop + np.arange(windows.length)
    return np.concatenate([table[(rows - shift) % len(table)] for shift in shifts], axis=1)


def _solve(faded: Sequence[Double], windows: Windows, heard: Double) -> Double:
    """S⁻¹G, (K, R, x): S is block-tridiagonal, as windows meet only their neighbours; by block elimination."""
    from scipy.linalg import cho_factor, cho_solve

    ridge = RIDGE * np.eye(faded[0].shape[1])
    factors: list[Any] = []
    right: list[Double] = []
    for index, part in enumerate(faded):
        own, rest = part.T @ part + ridge, heard[index]
        if index:
            above = faded[index - 1][windows.hop :].T @ part[: windows.fade]  # [R, R]
            own = own - above.T @ cho_solve(factors[-1], above)
            rest = rest - above.T @ cho_solve(factors[-1], right[-1])
        factors.append(cho_factor(own))
        right.append(rest)
    solved = np.empty_like(heard)
    for index in reversed(range(len(faded))):
        rest = right[index]
        if index + 1 < len(faded):
            above = faded[index][windows.hop :].T @ faded[index + 1][: windows.fade]
            rest = rest - above @ solved[index + 1]
        solved[index] = cho_solve(factors[index], rest)
    return solved
