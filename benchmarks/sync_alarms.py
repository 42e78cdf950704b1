"""False alarms of sync on made scenes: those in sync that are said not to be, and unrelated ones that are told.

Each kind of event in complexities 1 to 4, of odd seeds that nothing was fitted to, with an offset of 0; then the
picture of each with the sound of another kind.

    python benchmarks/sync_alarms.py [--seeds 2]
"""

from __future__ import annotations

import argparse
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from audioreactive.sync.heard import band_levels
from audioreactive.sync.measure import by_changes
from audioreactive.sync.report import R37, judge
from audioreactive.sync.research.scenes import FPS, KINDS, make_scene
from audioreactive.sync.seen import measure_changes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Side = tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float32]]

FIRST = 901


def verdict(seen: Side, heard: Side) -> str:
    """What the command would say of the picture of one scene with the sound of another."""
    found = by_changes(seen[0], seen[1], heard[2])
    if not found.is_clear:
        return "cannot tell"
    return judge(-found.estimate.path, float(np.hypot(found.estimate.deviation, found.reading)), R37)


def main() -> None:
    """Print both counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    together: Counter[str] = Counter()
    unrelated: Counter[str] = Counter()
    for seed in range(FIRST, FIRST + 2 * options.seeds, 2):
        for complexity in (1, 2, 3, 4):
            sides = []
            for kind in KINDS:
                if kind != "silence":
                    scene = make_scene(kind, complexity, seed, offset=0.0)
                    times = scene.times + 0.5 / float(FPS)
                    sides.append((measure_changes(scene.frames), times, band_levels(scene.sound)))
            for seen, other in zip(sides, [*sides[1:], sides[0]], strict=True):
                together[verdict(seen, seen)] += 1
                unrelated[verdict(seen, other)] += 1
            told = f"together {dict(together)}, unrelated {dict(unrelated)}"
            print(f"seed {seed}, complexity {complexity}: {told}", flush=True)


if __name__ == "__main__":
    main()
