"""Sections of a song: Laplacian segmentation (McFee & Ellis 2014, "Analyzing song structure with spectral clustering").

Conventions: a song has n steps, about one per beat; features have one row per step. Similar steps and successive steps
are linked in a graph; the eigenvectors of its Laplacian with the smallest eigenvalues are clustered into sections. All
random numbers are seeded, so the result is always the same.
"""

from __future__ import annotations

import inspect
import itertools
import warnings
from typing import TYPE_CHECKING

import numpy as np

from audioreactive.features.names import SEGMENT_COUNTS

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    FloatArray = NDArray[np.float32]

PATH_WINDOW = 7
"""Steps of the median filter along repetitions; a repetition shorter than half of it is taken for chance."""
NEAR = 3
"""Steps within which similarity is not counted as repetition."""
FEWEST_STEPS = 8
"""Fewest steps that are segmented; a shorter song is one section."""
SMOOTHING = 9
"""Steps of the median filter that smooths each eigenvector."""
TRIES = 4
"""Number of k-means runs from different starting points."""
ROUNDS = 25
"""Most iterations of each k-means run; a hundred find the same clusters."""

_BLOCK = 1 << 20


def segment(features: FloatArray, timbre: FloatArray) -> NDArray[np.uint8]:
    """Label n steps with k = 2…16 kinds of section: (n, 15).

    Labels are numbered in order of first appearance. `features` (n, C) decide which steps are repetitions; `timbre`
    (n, D) how similar neighbours are. Identical steps share a label, so there may be fewer than k labels.
    """
    if len(features) < FEWEST_STEPS or not np.ptp(features, axis=0).any():
        return np.zeros((len(features), len(SEGMENT_COUNTS)), np.uint8)
    vectors = _smoothed(slow_vectors(affinity(features, timbre), SEGMENT_COUNTS[-1]))
    labels = [_labels(vectors, k) for k in SEGMENT_COUNTS]
    return np.stack(labels, axis=1)


def affinity(features: FloatArray, timbre: FloatArray) -> csr_array:
    """Build symmetric links (n, n) between steps: repetitions and neighbours, balanced to equal weight (eq. 6)."""
    from scipy.sparse import diags_array

    n = len(features)
    repetition = _along_paths(nearest_neighbours(features))
    gap = np.square(np.diff(timbre, axis=0)).sum(axis=1, dtype=np.float64)
    typical = np.median(gap) if len(gap) else 0.0
    likeness = np.exp(-gap / typical) if typical > 0 else np.ones(n - 1)
    neighbours = diags_array([likeness, likeness], offsets=[-1, 1], shape=(n, n)).tocsr()
    degree, path_degree = repetition.sum(axis=1), neighbours.sum(axis=1)
    both = degree + path_degree
    balance = path_degree @ both / (both @ both)
    links: csr_array = (balance * repetition + (1 - balance) * neighbours).tocsr()
    return links


def nearest_neighbours(features: FloatArray) -> csr_array:
    """Link mutual nearest neighbours, (n, n), weighted by exp(-distance / bandwidth)."""
    from scipy.sparse import csr_array

    n = len(features)
    wanted = min(int(2 * np.ceil(np.sqrt(n))), max(n - 2 * NEAR, 1))
    rows, columns, distances = [], [], []
    squares = np.square(features).sum(axis=1)
    block = max(1, _BLOCK // n)
    for start in range(0, n, block):
        part = features[start : start + block]
        squared = squares[start : start + block, None] + squares - 2 * part @ features.T
        here = np.arange(start, start + len(part))
        squared[np.abs(here[:, None] - np.arange(n)) < NEAR] = np.inf
        nearest = np.argpartition(squared, wanted - 1, axis=1)[:, :wanted]
        rows.append(np.repeat(here, wanted))
        columns.append(nearest.ravel())
        distances.append(np.sqrt(np.maximum(np.take_along_axis(squared, nearest, axis=1), 0)).ravel())
    distance = np.concatenate(distances).astype(np.float64)
    finite = np.isfinite(distance)
    distance = distance[finite]
    # The distance to a step's farthest neighbour sets the scale of similarity in this song.
    bandwidth = np.median(distance.reshape(n, -1).max(axis=1)) if finite.all() and len(distance) else 1.0
    weight = np.exp(-distance / max(bandwidth, 1e-9))
    place = (np.concatenate(rows)[finite], np.concatenate(columns)[finite])
    links = csr_array((weight, place), shape=(n, n))
    mutual: csr_array = links.minimum(links.T).tocsr()
    return mutual


def _along_paths(links: csr_array) -> csr_array:
    """Keep a link if most links along its diagonal (PATH_WINDOW steps) exist: a median filter in time-lag space."""
    from scipy.sparse import csr_array

    n = links.shape[0]
    coordinates = links.tocoo()
    upper = coordinates.col > coordinates.row
    start, lag = coordinates.row[upper], coordinates.col[upper] - coordinates.row[upper]
    weight = coordinates.data[upper]
    half = PATH_WINDOW // 2
    rows, columns, weights = [], [], []
    block = max(1, _BLOCK // (n + 2 * half))
    for first in range(1, n, block):
        inside = (lag >= first) & (lag < first + block)
        if not inside.any():
            continue
        diagonals = np.zeros((min(block, n - first), n + 2 * half), np.float32)
        diagonals[lag[inside] - first, start[inside] + half] = weight[inside]
        windows = np.lib.stride_tricks.sliding_window_view(diagonals, PATH_WINDOW, axis=1)
        # Only where most of a window is filled can its median be more than zero.
        filled = np.cumsum(np.pad(diagonals > 0, ((0, 0), (1, 0))), axis=1, dtype=np.int32)
        likely = np.nonzero(filled[:, PATH_WINDOW:] - filled[:, :-PATH_WINDOW] > half)
        medians = np.median(windows[likely], axis=1)
        rows.append(likely[1])
        columns.append(likely[1] + likely[0] + first)
        weights.append(medians)
    if not rows:
        return csr_array((n, n))
    row, column, value = np.concatenate(rows), np.concatenate(columns), np.concatenate(weights)
    inside = column < n
    above = csr_array((value[inside].astype(np.float64), (row[inside], column[inside])), shape=(n, n))
    both: csr_array = (above + above.T).tocsr()
    return both


def slow_vectors(links: csr_array, count: int) -> NDArray[np.float64]:
    """Compute the eigenvectors (n, count) of the symmetric normalised Laplacian with the smallest eigenvalues."""
    from scipy.sparse import diags_array

    n = links.shape[0]
    count_at_hand = min(count, n)
    degree = np.asarray(links.sum(axis=1)).ravel()
    scale = np.divide(1, np.sqrt(degree), out=np.zeros(n), where=degree > 0)
    # The largest eigenvalues of the normalised links are one minus the smallest ones of the Laplacian.
    normalised = diags_array(scale) @ links @ diags_array(scale)
    if n < 4 * count:
        from scipy.linalg import eigh

        _, vectors = eigh(normalised.toarray(), subset_by_index=(n - count_at_hand, n - 1))
    else:
        from scipy.sparse.linalg import eigsh

        start = np.random.RandomState(0).standard_normal(n)
        values, vectors = eigsh(normalised, k=count_at_hand, which="LA", v0=start, tol=1e-6, maxiter=100 * n)
        vectors = vectors[:, np.argsort(values)]
    slowest: NDArray[np.float64] = np.pad(vectors[:, ::-1], ((0, 0), (0, count - count_at_hand)))
    return slowest


def _smoothed(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.ndimage import median_filter

    smooth: NDArray[np.float64] = median_filter(vectors, size=(SMOOTHING, 1), mode="reflect")
    return smooth


def _labels(vectors: NDArray[np.float64], k: int) -> NDArray[np.uint8]:
    """Cluster the rows of the first k vectors, normalised to length one: (n,) labels in order of first appearance."""
    rows = vectors[:, :k]
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    points = np.divide(rows, length, out=np.zeros_like(rows), where=length > 1e-12)
    clusters = k_means(points, min(k, len(points)))
    _, first, inverse = np.unique(clusters, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].astype(np.uint8)


def k_means(points: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    """Cluster points by k-means: (n,) labels of the best of TRIES runs of Lloyd's algorithm from k-means++ seeds."""
    from scipy.cluster.vq import kmeans2

    # Starting points must differ, so there cannot be more clusters than distinct points.
    k = min(k, len(np.unique(points.round(6), axis=0)))
    argument = "rng" if "rng" in inspect.signature(kmeans2).parameters else "seed"  # SciPy before 1.15
    random = {argument: np.random.default_rng(0)}
    best, least = np.zeros(len(points), np.int64), np.inf
    for _ in range(TRIES):
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # warns of empty clusters
            centres, labels = kmeans2(points, k, iter=1, minit="++", **random)
            for _ in range(ROUNDS - 1):
                before = labels
                centres, labels = kmeans2(points, centres, iter=1, minit="matrix", check_finite=False)
                if np.array_equal(labels, before):  # and so they will stay; two or three iterations are usual
                    break
        cost = np.square(points - centres[labels]).sum()
        if cost < least * (1 - 1e-9):
            best, least = labels.astype(np.int64), cost
    return best


def per_step(envelope: FloatArray, edges: NDArray[np.int64]) -> FloatArray:
    """Compute the median of an envelope (frames, C) over each step between edges (n + 1 frame numbers): (n, C)."""
    return np.stack([np.median(envelope[a:b], axis=0) for a, b in itertools.pairwise(edges)])
