"""Sections of songs that were put together from known parts."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from scipy.cluster.vq import kmeans2
from scipy.linalg import eigh
from scipy.ndimage import median_filter

from audioreactive.features import structure


def song(form: str, steps: int, *, seed: int, spread: float = 0.5) -> np.ndarray:
    """Every part of the form has a melody of its own, which it repeats with small errors."""
    random = np.random.default_rng(seed)
    parts = {part: 2 * random.normal(size=12) + random.normal(size=(steps, 12)) for part in sorted(set(form))}
    return np.concatenate([parts[p] + spread * random.normal(size=(steps, 12)) for p in form]).astype(np.float32)


def by_first_appearance(form: str) -> list[int]:
    seen = list(dict.fromkeys(form))
    return [seen.index(part) for part in form]


@pytest.mark.parametrize("form", ["ABAB", "ABCBA", "AABACABC", "ABCDABCD"])
@pytest.mark.parametrize("steps", [16, 32])
def test_parts_that_return_get_the_same_label(form: str, steps: int) -> None:
    labels = structure.segment(song(form, steps, seed=1), song(form, steps, seed=2))
    column = labels[:, len(set(form)) - 2].reshape(len(form), steps)
    # Eigenvectors are smoothed over nine steps, so the edges of a part are left out.
    inner = column[:, 4:-4]
    assert (inner == inner[:, :1]).all()
    assert inner[:, 0].tolist() == by_first_appearance(form)


def test_labels_are_numbered_by_first_appearance_for_every_k() -> None:
    labels = structure.segment(song("ABCABC", 24, seed=3), song("ABCABC", 24, seed=4))
    assert labels.shape == (144, 15)
    for column, k in zip(labels.T, range(2, 17), strict=True):
        first = [int(np.argmax(column == label)) for label in range(int(column.max()) + 1)]
        assert first == sorted(first)
        assert column.max() < k


def test_the_same_song_has_the_same_sections() -> None:
    first = structure.segment(song("ABCBA", 30, seed=5), song("ABCBA", 30, seed=6))
    np.testing.assert_array_equal(first, structure.segment(song("ABCBA", 30, seed=5), song("ABCBA", 30, seed=6)))


@pytest.mark.parametrize("steps", [1, 2, 7, 8, 9, 20, 70])
@pytest.mark.parametrize("kind", ["zeros", "constant", "noise"])
def test_degenerate_songs(steps: int, kind: str) -> None:
    random = np.random.default_rng(0)
    values = {
        "zeros": np.zeros((steps, 12), np.float32),
        "constant": np.ones((steps, 12), np.float32),
        "noise": random.random((steps, 12)).astype(np.float32),
    }[kind]
    labels = structure.segment(values, values)
    assert labels.shape == (steps, 15)
    if kind != "noise":
        assert not labels.any()


def dense_path_filter(links: np.ndarray) -> np.ndarray:
    """The median along diagonals, the slow way."""
    filtered = np.zeros_like(links)
    n = len(links)
    for lag in range(1, n):
        diagonal = np.diagonal(links, lag)
        median = median_filter(diagonal, size=7, mode="constant")
        filtered[np.arange(n - lag), np.arange(n - lag) + lag] = median
    return filtered + filtered.T


@pytest.mark.parametrize("block", [1 << 20, 600])
def test_paths_are_filtered_as_by_a_dense_median(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(structure, "_BLOCK", block)
    links = structure.nearest_neighbours(song("ABAB", 20, seed=7))
    np.testing.assert_allclose(
        structure._along_paths(links).toarray(), dense_path_filter(links.toarray()), rtol=0, atol=1e-6
    )


def test_neighbours_are_the_nearest_beyond_the_near_ones() -> None:
    values = song("ABA", 20, seed=8)
    n, wanted = len(values), 2 * int(np.ceil(np.sqrt(60)))
    distance = np.linalg.norm(values[:, None].astype(np.float64) - values, axis=2)
    distance[np.abs(np.subtract.outer(np.arange(n), np.arange(n))) < structure.NEAR] = np.inf
    rank = distance.argsort(axis=1).argsort(axis=1)
    near = rank < wanted
    expected = near & near.T
    np.testing.assert_array_equal(structure.nearest_neighbours(values).toarray() > 0, expected)


def test_slow_vectors_are_those_of_the_laplacian() -> None:
    links = structure.affinity(song("ABAB", 40, seed=9), song("ABAB", 40, seed=10))
    dense = links.toarray()
    np.testing.assert_allclose(dense, dense.T)
    scale = 1 / np.sqrt(dense.sum(axis=1))
    laplacian = np.eye(len(dense)) - scale[:, None] * dense * scale
    values, _ = eigh(laplacian)
    vectors = structure.slow_vectors(links, 6)
    np.testing.assert_allclose(np.square(vectors).sum(axis=0), 1, atol=1e-6)
    np.testing.assert_allclose(np.diag(vectors.T @ laplacian @ vectors), values[:6], atol=1e-6)


def test_k_means_finds_clear_clusters() -> None:
    random = np.random.default_rng(0)
    centres = np.array([[0, 0], [5, 0], [0, 5], [5, 5]])
    truth = random.integers(0, 4, 200)
    labels = structure.k_means(centres[truth] + 0.3 * random.normal(size=(200, 2)), 4)
    assert len({(int(a), int(b)) for a, b in zip(truth, labels, strict=True)}) == 4


@pytest.mark.parametrize("k", [2, 5, 11])
def test_k_means_ends_early_with_the_labels_of_all_its_rounds(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Points without clusters, which take several rounds, against SciPy's own loop, which ends when it has counted."""
    monkeypatch.setattr(structure, "TRIES", 1)
    points = np.random.default_rng(3).normal(size=(300, k))
    argument = "rng" if "rng" in inspect.signature(kmeans2).parameters else "seed"
    random = {argument: np.random.default_rng(0)}
    expected = kmeans2(points, k, iter=structure.ROUNDS, minit="++", **random)[1]
    np.testing.assert_array_equal(structure.k_means(points, k), expected)
