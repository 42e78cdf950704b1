"""Legendre reconstructions: exact for polynomials, orthonormal, stable, whole across windows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import eval_legendre

from audioreactive.learn.legendre import FADE, WINDOW, Windows, legs_basis


def test_the_basis_is_orthonormal() -> None:
    nodes, weights = np.polynomial.legendre.leggauss(64)
    basis = legs_basis((nodes + 1) / 2, 64)
    np.testing.assert_allclose((basis * weights[:, None] / 2).T @ basis, np.eye(64), atol=1e-10)


def test_float32_is_stable_up_to_512_coefficients() -> None:
    x = np.linspace(0, 1, 301)
    basis = legs_basis(x, 512, np.float32)
    assert basis.dtype == np.float32
    degrees = np.arange(512)
    exact = eval_legendre(degrees, 2 * x[:, None] - 1) * np.sqrt(2 * degrees + 1)
    # The recursion adds up roundings of 6e-8 of values of at most sqrt(1023).
    np.testing.assert_allclose(basis, exact, atol=2e-3 * np.sqrt(1023))


@pytest.mark.parametrize("frames", [48, 384])
def test_polynomials_are_reconstructed_exactly(frames: int) -> None:
    windows = Windows.over(frames, 24)
    time = np.linspace(-1, 1, frames)
    signal = np.stack([3 * time**5 - time**2 + 0.5, time**3], axis=1)
    basis = windows.basis(np.arange(frames, dtype=float), 6)
    coefficients = np.linalg.lstsq(basis, signal, rcond=None)[0]
    np.testing.assert_allclose(windows.reconstruct(coefficients[None], np.arange(frames)), signal, atol=1e-6)


@pytest.mark.parametrize("frames", [385, 700, 1440, 5000])
@pytest.mark.parametrize("rate", [24, 30, 60])
def test_windows_fade_into_each_other_and_sum_to_one(frames: int, rate: int) -> None:
    windows = Windows.over(frames, 24)
    assert windows.count > 1
    assert (windows.count - 1) * windows.hop + windows.length >= frames > (windows.count - 1) * windows.hop
    constant = np.zeros((windows.count, 3, 1))
    constant[:, 0] = 1
    position = np.arange(0, frames, 24 / rate)
    np.testing.assert_allclose(windows.reconstruct(constant, position), 1, atol=1e-6)


def test_a_song_moves_alike_at_every_frame_rate() -> None:
    windows = Windows.over(1000, 24)
    coefficients = np.random.RandomState(0).randn(windows.count, 32, 2)
    slow = windows.reconstruct(coefficients, np.arange(1000.0))
    fast = windows.reconstruct(coefficients, np.arange(2000) / 2)
    np.testing.assert_allclose(fast[::2], slow, atol=1e-5)


def test_lengths_are_as_documented() -> None:
    windows = Windows.over(24 * 180, 24)
    assert (windows.length, windows.fade) == (24 * WINDOW, 24 * FADE)
    assert Windows.over(300, 24) == Windows(300, 300, 0, 1)
