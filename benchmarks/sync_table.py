"""Sync of made scenes by complexity and by event: ours, and the baselines, on the same features.

Scenes of even seeds, which no method was fitted to. A frame counts as aligned within half a frame (16.7 ms); jitter is
the root mean square error of the clips that are told within 100 ms. `told` is the share of clips for which
`audioreactive sync` would name an offset; scenes of silence count as right where it says "cannot tell".

    python benchmarks/sync_table.py [--seeds 4] [--complexity 5] [--ours] [--json FILE]
        [--networks FOLDER [--features small]]

With `--networks`, MathAV-Net, LSTM and transformer as `sync_mathav.py` trained them into a folder stand beside them.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sync_mathav import FEATURES, produced, tell, trained

from audioreactive.sync.heard import band_levels, heard_changes
from audioreactive.sync.measure import by_changes
from audioreactive.sync.research.baselines import Cca, cross_correlation, on_frames, ridge_lag, svd_pca
from audioreactive.sync.research.scenes import FPS, KINDS, Kind, Scene, make_scene
from audioreactive.sync.seen import measure_changes, seen_changes

if TYPE_CHECKING:
    from numpy.typing import NDArray

HALF = 0.5 / float(FPS)
COMPLEXITIES = (1, 2, 3, 4, 5)


def ours(scene: Scene) -> tuple[NDArray[np.float64], bool, float]:
    """(offset of each frame, whether the command would tell it, seconds for what is decoded)."""
    measured = measure_changes(scene.frames)
    began = time.perf_counter()
    found = by_changes(measured, scene.times + HALF, band_levels(scene.sound))
    return -found.estimate.lag_at(scene.times), found.is_clear, time.perf_counter() - began


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--complexity", type=int, choices=COMPLEXITIES, default=None, help="this one alone")
    parser.add_argument("--ours", action="store_true", help="without the baselines")
    parser.add_argument("--networks", type=Path, default=None, help="folder of sync_mathav.py")
    parser.add_argument("--features", choices=FEATURES, default="small", help="those that the networks were trained on")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    kinds: list[Kind] = [kind for kind in KINDS if kind != "silence"]
    own_seeds = range(0 if options.ours else 3)
    train = [make_scene(kind, c, 2 * seed + 1, offset=0.0) for kind in kinds for c in (1, 2) for seed in own_seeds]
    clips = []
    for scene in train:
        table = on_frames(heard_changes(scene.sound), len(scene.frames), FPS)
        clips.append((seen_changes(measure_changes(scene.frames)), table))
    cca = Cca.fitted(clips) if clips else None
    told_by = {
        name: trained(options.networks, options.features, name)
        for name in (("MathAV-Net", "LSTM", "transformer") if options.networks else ())
    }
    rows: list[dict[str, object]] = []
    seconds: list[float] = []
    for seed in range(options.seeds):
        for kind in KINDS:
            for complexity in COMPLEXITIES if options.complexity is None else (options.complexity,):
                scene = make_scene(kind, complexity, 2 * seed)
                offsets, told, taken = ours(scene)
                seconds.append(taken)
                found: dict[str, NDArray[np.float64]] = {"ours": offsets}
                if kind != "silence" and cca is not None:
                    seen = seen_changes(measure_changes(scene.frames))
                    frames = on_frames(heard_changes(scene.sound), len(seen), FPS)
                    for name, method in (
                        ("cross-correlation", cross_correlation), ("correlation.lag", ridge_lag),
                        ("CCA", cca.lag), ("SVD + PCA", svd_pca),
                    ):  # fmt: skip
                        found[name] = np.full(len(seen), -method(seen, frames, FPS))
                for name, (network, read) in told_by.items() if kind != "silence" else ():
                    found[name] = produced(tell(network, read(scene), "cpu"))
                for name, guess in found.items():
                    error = guess - scene.truth
                    right = np.abs(error) < HALF if kind != "silence" else np.full(len(error), not told)
                    rows.append(
                        {
                            "kind": kind, "complexity": complexity, "seed": seed, "method": name, "told": told,
                            "accuracy": float(right.mean()), "rms_ms": float(1e3 * np.sqrt(np.mean(error**2))),
                        }
                    )  # fmt: skip
            print(f"seed {2 * seed}: {kind}", file=sys.stderr, flush=True)
            if options.json:
                options.json.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    methods = list(dict.fromkeys(str(row["method"]) for row in rows))

    def cell(method: str, key: str, value: object) -> str:
        some = [row for row in rows if row["method"] == method and (key == "all" or row[key] == value)]
        some = [row for row in some if row["kind"] != "silence"] if key != "kind" else some
        if not some:
            return "-"
        accuracy = 100 * np.mean([float(str(row["accuracy"])) for row in some])
        near = [float(str(row["rms_ms"])) for row in some if float(str(row["rms_ms"])) < 100]
        return f"{accuracy:.1f} ({np.sqrt(np.mean(np.square(near))):.1f})" if near else f"{accuracy:.1f}"

    print("accuracy in % (jitter in ms of the clips that are found at all)")
    print("| |", " | ".join(methods), "|")
    keys: list[tuple[str, object]] = [("complexity", c) for c in COMPLEXITIES]
    keys += [("kind", kind) for kind in KINDS]
    for key, value in [*keys, ("all", "")]:
        print(f"| {key} {value} |", " | ".join(cell(method, key, value) for method in methods), "|")
    told_rows = [row for row in rows if row["method"] == "ours" and row["kind"] != "silence"]
    sure = [row for row in told_rows if row["told"]]
    accuracy = 100 * np.mean([float(str(row["accuracy"])) for row in sure])
    print(f"told: {len(sure)} of {len(told_rows)}; of these accuracy {accuracy:.1f} %")
    wrong = [row for row in sure if float(str(row["rms_ms"])) > 60]
    print(f"told and wrong by more than 60 ms: {len(wrong)}")
    print(f"{1e3 * np.median(seconds):.0f} ms a clip of 10 s")


if __name__ == "__main__":
    main()
