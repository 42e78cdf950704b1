"""How well do SciPy's k-means and another find the sections of songs, and in which time?

Songs are those of the tests: parts with melodies of their own, repeated with errors, in several forms. Both get the
same eigenvectors. The other is a Python file with the same `k_means`, such as the one that was here before SciPy's:

    git show 8bedb90:audioreactive/features/structure.py > before.py
    python benchmarks/sections.py --beside before.py [--json FILE]
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from audioreactive.features import structure
from audioreactive.features.names import SEGMENT_COUNTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Labels = NDArray[np.int64]

FORMS = ("ABAB", "ABCBA", "AABACABC", "ABCDABCD", "ABCDEFABCDEFG")
STEPS = (16, 32, 48)
"""Steps of a part."""
SPREADS = (0.5, 2.0)
"""Errors of a repetition, beside melodies of spread 1."""
SEEDS = (1, 2)


@dataclass(frozen=True)
class Row:
    """One method on all songs."""

    method: str
    songs: int
    seconds: float
    """Median of a song, of the processor, for all numbers of kinds."""
    cost: float
    """Squared distances of all points from the middle of their cluster, summed over all songs."""
    agreement: float
    """Mean adjusted Rand index with the planted parts, at their number of kinds: 1 is the same, 0 chance."""
    worst: float
    """The least of them."""


def loaded(path: Path) -> Any:
    """A Python file, whatever the name of its folder."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def points_of(vectors: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """The first k vectors' rows, each of length one."""
    rows = vectors[:, :k]
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    points: NDArray[np.float64] = np.divide(rows, length, out=np.zeros_like(rows), where=length > 1e-12)
    return points


def cost(points: NDArray[np.float64], labels: Labels) -> float:
    """Squared distances from the middle of each cluster."""
    clusters = (points[labels == label] for label in np.unique(labels))
    return float(sum(np.square(own - own.mean(axis=0)).sum() for own in clusters))


def agreement(truth: Labels, labels: Labels) -> float:
    """The adjusted Rand index (Hubert & Arabie, 1985)."""
    table = np.zeros((truth.max() + 1, labels.max() + 1))
    np.add.at(table, (truth, labels), 1)
    both, a, b, total = (
        (counts * (counts - 1) / 2).sum() for counts in (table, table.sum(1), table.sum(0), np.array([len(truth)]))
    )
    chance = a * b / total
    return float((both - chance) / ((a + b) / 2 - chance))


def main() -> None:
    """Measure, print a table, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--beside", type=Path, nargs="*", default=[])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    song = loaded(Path(__file__).parents[1] / "tests" / "features" / "test_structure.py").song
    methods: dict[str, Callable[[Any, int], Labels]] = {"structure": structure.k_means}
    methods |= {path.stem: loaded(path).k_means for path in options.beside}
    seconds, costs, found = ({name: [] for name in methods} for _ in range(3))  # type: ignore[var-annotated]
    for form, steps, spread, seed in itertools.product(FORMS, STEPS, SPREADS, SEEDS):
        features, timbre = (song(form, steps, seed=draw, spread=spread) for draw in (seed, seed + 10))
        links = structure.affinity(features, timbre)
        vectors = structure._smoothed(structure.slow_vectors(links, SEGMENT_COUNTS[-1]))
        kinds = sorted(set(form))
        truth = np.repeat([kinds.index(part) for part in form], steps)
        problems = [(points_of(vectors, k), k) for k in SEGMENT_COUNTS]
        for name, method in methods.items():
            began = time.process_time()
            labels = [method(points, min(k, len(points))) for points, k in problems]
            seconds[name].append(time.process_time() - began)
            costs[name].append(sum(cost(points, own) for (points, _), own in zip(problems, labels, strict=True)))
            found[name].append(agreement(truth, labels[len(kinds) - SEGMENT_COUNTS[0]]))
    rows = []
    for name in methods:
        agreed = found[name]
        middle = statistics.median(seconds[name])
        rows.append(Row(name, len(agreed), middle, sum(costs[name]), statistics.mean(agreed), min(agreed)))
        print(rows[-1])
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
