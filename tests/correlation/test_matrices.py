"""Each correlation against the definition, written out with NumPy and SciPy, and its laws."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audioreactive.correlation import CORRELATIONS, adjusted_rv, orthogonal_procrustes, pwcca, smi

ALL = list(CORRELATIONS.values())
ROTATION_FREE = [adjusted_rv, orthogonal_procrustes, smi]


def direct_arv(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(0), b - b.mean(0)
    s, t = a @ a.T, b @ b.T
    s, t = s - np.diag(np.diag(s)), t - np.diag(np.diag(t))
    return abs(np.trace(s @ t)) / np.sqrt(np.trace(s @ s) * np.trace(t @ t))


def direct_procrustes(a: np.ndarray, b: np.ndarray) -> float:
    """By rotating: the smaller table is filled up with zeros, and mapped onto the other by the best rotation."""
    a, b = a - a.mean(0), b - b.mean(0)
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    width = max(a.shape[1], b.shape[1])
    a, b = (np.pad(x, ((0, 0), (0, width - x.shape[1]))) for x in (a, b))
    rotation, _ = scipy.linalg.orthogonal_procrustes(a, b)
    return 1 - np.linalg.norm(a @ rotation - b) ** 2 / 2


def direct_pwcca(a: np.ndarray, b: np.ndarray) -> float:
    """Through the covariances' inverse square roots, as in section 3.3.2."""
    a, b = a - a.mean(0), b - b.mean(0)

    def inverse_root(x: np.ndarray) -> np.ndarray:
        values, vectors = np.linalg.eigh(x.T @ x)
        kept = values > 1e-10 * values.max()
        return vectors[:, kept] @ np.diag(values[kept] ** -0.5) @ vectors[:, kept].T

    u, correlations, _ = np.linalg.svd(inverse_root(a) @ (a.T @ b) @ inverse_root(b))
    count = min(np.linalg.matrix_rank(a, 1e-8), np.linalg.matrix_rank(b, 1e-8))
    variates = a @ inverse_root(a) @ u[:, :count]
    alpha = np.abs(variates.T @ a).sum(1)
    return float((alpha * correlations[:count]).sum() / alpha.sum())


def direct_smi(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(0), b - b.mean(0)
    rank = min(np.linalg.matrix_rank(a), np.linalg.matrix_rank(b))
    u, v = (np.linalg.svd(x)[0][:, :rank] for x in (a, b))
    return float(np.sum(np.linalg.svd(u.T @ v)[1] ** 2) / rank)


DIRECT = {adjusted_rv: direct_arv, orthogonal_procrustes: direct_procrustes, pwcca: direct_pwcca, smi: direct_smi}


def tables(kind: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(90, 5)), rng.normal(size=(90, 9))
    match kind:
        case "related":
            b[:, :5] += 2 * a
        case "smooth":
            a, b = a.cumsum(0), b.cumsum(0)
        case "sparse":
            a, b = (a > 1.5).astype(float), np.maximum(b - 1, 0)
        case "rank-deficient":
            b = a[:, :2] @ rng.normal(size=(2, 7))
            a[:, 4] = a[:, 0] - a[:, 1]
        case "scales":
            a, b = a * 1e-6 + 3, b * 1e7
        case "wide":
            a, b = rng.normal(size=(6, 11)), rng.normal(size=(6, 3))
    return a, b


@pytest.mark.parametrize("kind", ["random", "related", "smooth", "sparse", "rank-deficient", "scales", "wide"])
@pytest.mark.parametrize("correlation", ALL)
def test_agrees_with_the_definition(correlation, kind):
    a, b = tables(kind)
    value = correlation(torch.from_numpy(a), torch.from_numpy(b))
    assert value.dtype == torch.float64
    assert float(value) == pytest.approx(DIRECT[correlation](a, b), abs=1e-6)


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


sizes = st.tuples(st.integers(3, 40), st.integers(1, 8), st.integers(1, 8), st.integers(0, 10**6))


@given(sizes)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_laws(size):
    frames, first, second, seed = size
    a, b = drawn(seed, frames, first), drawn(seed + 1, frames, second)
    rotation, other = torch.linalg.qr(drawn(seed + 2, first, first))[0], torch.linalg.qr(drawn(seed, second, second))[0]
    for correlation in ALL:
        value = correlation(a, b)
        assert -1e-9 <= value <= 1 + 1e-9
        assert float(correlation(a, a)) == pytest.approx(1, abs=1e-9)
        assert float(correlation(3 * a + 1, 0.01 * b - 5)) == pytest.approx(float(value), abs=1e-9)
    for correlation in ROTATION_FREE:
        value = float(correlation(a, b))
        assert float(correlation(b, a)) == pytest.approx(value, abs=1e-9)
        assert float(correlation(a @ rotation, b @ other)) == pytest.approx(value, abs=1e-8)
        assert float(correlation(a, a @ rotation)) == pytest.approx(1, abs=1e-8)
    mixed = b @ (other + 2 * torch.eye(second, dtype=torch.float64))
    if torch.linalg.cond(mixed) < 1e4 and frames > second + 1:
        assert float(pwcca(a, mixed)) == pytest.approx(float(pwcca(a, b)), abs=1e-7)


def test_independent_noise_scores_nothing_with_the_adjusted_coefficient():
    values = [float(adjusted_rv(drawn(i, 300, 20), drawn(i + 1000, 300, 40))) for i in range(20)]
    biased = [float(orthogonal_procrustes(drawn(i, 300, 20), drawn(i + 1000, 300, 40))) for i in range(20)]
    assert np.mean(values) < 0.02 < 0.2 < np.mean(biased)


@pytest.mark.parametrize("correlation", ALL)
def test_what_never_changes_scores_zero(correlation):
    moving = drawn(0, 20, 3)
    for still in (torch.zeros(20, 2), torch.full((20, 4), 0.1), torch.full((20, 1), 1e30)):
        assert float(correlation(moving, still)) == 0
        assert float(correlation(still, moving)) == 0
        assert float(correlation(still, still)) == 0
    assert float(correlation(torch.ones(1, 3), torch.ones(1, 2))) == 0
    assert float(correlation(torch.ones(0, 3), torch.ones(0, 2))) == 0


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("correlation", ALL)
def test_a_gpu_gives_the_same(correlation):
    a, b = (torch.from_numpy(x) for x in tables("related"))
    value = correlation(a.cuda(), b.cuda())
    assert value.is_cuda and float(value) == pytest.approx(float(correlation(a, b)), abs=1e-9)


@pytest.mark.parametrize("correlation", ALL)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_other_precisions_are_computed_in_double(correlation, dtype):
    a, b = (torch.from_numpy(x).to(dtype) for x in tables("related"))
    value = correlation(a, b)
    assert value.dtype == torch.float64
    assert float(value) == pytest.approx(DIRECT[correlation](a.double().numpy(), b.double().numpy()), abs=1e-6)


@pytest.mark.parametrize("correlation", ALL)
def test_gradients(correlation):
    a, b = drawn(1, 12, 3).requires_grad_(), drawn(2, 12, 4).requires_grad_()
    assert torch.autograd.gradcheck(correlation, (a, b))


@pytest.mark.parametrize("correlation", ALL)
@pytest.mark.parametrize("kind", ["constant", "equal", "wide", "rank-deficient", "orthonormal"])
def test_gradients_are_finite_where_the_tables_are_special(correlation, kind):
    a = drawn(1, 12, 3)
    b = {
        "constant": torch.ones(12, 2, dtype=torch.float64),
        "equal": a.clone(),
        "wide": drawn(3, 12, 30),
        "rank-deficient": a[:, :1].repeat(1, 3),
        "orthonormal": torch.linalg.qr(a - a.mean(0))[0],
    }[kind]
    a.requires_grad_(), b.requires_grad_()
    correlation(a, b).backward()
    assert a.grad.isfinite().all() and b.grad.isfinite().all()
    assert float(a.grad.norm()) < 1e3


def test_tables_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="not"):
        adjusted_rv(torch.ones(3, 1), torch.ones(4, 1))
