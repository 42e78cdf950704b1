"""Fits the weights by which changes of sound and picture are matched, from made scenes and from renders.

For each kind of event, the mean of all pairs of changes around the true lag is taken over the training scenes, and
divided by
their covariance at all other lags (linear discriminant analysis, with a ridge). Scenes of odd seeds train, even ones
test; of renders, the folder given is all for training.

    python benchmarks/sync_templates.py [--seeds 12] [--renders FOLDER] --write audioreactive/assets/sync.csv
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from audioreactive.media.audio import load
from audioreactive.sync.evidence import TAP_ROWS, TAPS, Pair, exposed
from audioreactive.sync.heard import HEARD_RATE, heard_changes
from audioreactive.sync.research.scenes import KINDS, make_scene
from audioreactive.sync.seen import SIDE, measure_changes, seen_changes
from audioreactive.video import frame_times, read_frames

if TYPE_CHECKING:
    from numpy.typing import NDArray

RIDGE = 0.1
"""Share of the mean variance that is added to every variance."""
GAP = 0.15
"""Seconds around the true lag that are no chance."""


def windows(products: NDArray[np.float32], at: NDArray[np.int64]) -> NDArray[np.float64]:
    """Products (P, L) around places, (n, P * TAPS)."""
    taps = (np.arange(TAPS) - TAPS // 2) * TAP_ROWS
    return products[:, at[:, None] + taps].transpose(1, 0, 2).reshape(len(at), -1).astype(np.float64)


def samples(
    seen: NDArray[np.float32], times: NDArray[np.float64], heard: NDArray[np.float32], lag: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(pairs around the true lag, pairs at other lags) of one film."""
    reach = 2 * HEARD_RATE
    half = (TAPS // 2) * TAP_ROWS
    places = np.arange(half, 2 * reach + 1 - half, 8)
    true = np.zeros(0)
    other: list[NDArray[np.float64]] = []
    for start in range(0, len(seen), 60):
        block = slice(start, min(start + 60, len(seen)))
        products = Pair(exposed(heard, times), times, 0.0, reach, [block]).products(seen)[0]
        products = products / (block.stop - block.start) ** 0.5
        own = round(float(np.median(lag[block])) * HEARD_RATE) + reach
        if half <= own <= 2 * reach - half:
            here = windows(products, np.array([own]))[0]
            true = here if not len(true) else true + here
        far = places[np.abs(places - own) > GAP * HEARD_RATE]
        other.append(windows(products, far))
    return true, np.concatenate(other)


def main() -> None:
    """Fit the templates and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--renders", type=Path, default=None)
    parser.add_argument("--write", type=Path, required=True)
    options = parser.parse_args()
    means: dict[str, list[NDArray[np.float64]]] = {}
    covariance, count = np.zeros((54 * TAPS, 54 * TAPS)), 0
    films = [
        (kind, c, 2 * seed + 1)
        for kind in KINDS
        if kind != "silence"
        for c in (1, 2, 3, 4)
        for seed in range(options.seeds)
    ]
    for kind, complexity, seed in films:
        scene = make_scene(kind, complexity, seed)
        seen = seen_changes(measure_changes(scene.frames))
        times = scene.times + 0.5 / 30
        true, other = samples(seen, times, heard_changes(scene.sound), -scene.truth)
        means.setdefault(str(kind), []).append(true)
        covariance += other.T @ other
        count += len(other)
    for path in sorted(options.renders.glob("*.mp4")) if options.renders else []:
        stamps = frame_times(path).frames
        seen = seen_changes(measure_changes(read_frames(path, largest_side=SIDE)))[: len(stamps)]
        times = stamps[: len(seen)] + np.median(np.diff(stamps)) / 2
        true, other = samples(seen, times, heard_changes(load(path).samples), np.zeros(len(seen)))
        means.setdefault("render", []).append(true)
        covariance += other.T @ other
        count += len(other)
    covariance /= max(count, 1)
    covariance += RIDGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    lines = ["# Weights of the pairs (picture, sound) at lags around an event; written by benchmarks/sync_templates.py"]
    for name, found in means.items():
        weights = np.linalg.solve(covariance, np.mean(found, 0))
        weights /= np.sqrt(weights @ covariance @ weights)
        for pair, taps in enumerate(weights.reshape(54, TAPS)):
            lines.append(",".join([f"{name} {pair}", *(f"{value:.4f}" for value in taps)]))
    options.write.write_text("\n".join(lines) + "\n", "utf-8")
    print(f"{len(films)} scenes, {len(means.get('render', []))} renders, {len(means)} templates")


if __name__ == "__main__":
    main()
