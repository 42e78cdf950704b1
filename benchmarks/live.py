"""Delay of the live picture, part by part, under the simulated clock: the same loop, with exact waits."""

from __future__ import annotations

import argparse
import json
from fractions import Fraction
from pathlib import Path

from audioreactive.generators import open_generator
from audioreactive.live.inputs import FileInput
from audioreactive.live.perform import Performance, perform
from audioreactive.live.presets import opening_presets
from audioreactive.media.demo import DEMO_SONG


def main() -> None:
    """Print one row for each generator and size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--preset", default="pulse")
    parser.add_argument("--song", type=Path, default=DEMO_SONG)
    parser.add_argument("--every-pixel", action="store_true", help="paint every pixel, however long it takes")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    rows = []
    print(
        "| generator | size | painted | pictures/s | ms median | ms p95 | block | features | motion | generator | limiter | upload |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    for model, size in (("painter", (1280, 720)), ("painter", (640, 360)), ("stylegan2", (256, 256))):
        loaded = open_generator(model)
        presets = opening_presets([asked.preset])
        performance = Performance(
            presets[0],
            presets,
            size=size,
            fps=Fraction(60),
            seconds=asked.seconds,
            simulated=True,
            every_pixel=asked.every_pixel,
        )
        report = perform(performance, loaded, FileInput(asked.song))
        parts = " | ".join(f"{value:.1f}" for value in report["parts_ms"].values())
        print(
            f"| {model} | {size[0]}x{size[1]} | {report['painted'][0]}x{report['painted'][1]} | {report['fps']:.1f} | {report['latency_ms_median']:.1f} | "
            f"{report['latency_ms_p95']:.1f} | {parts} |"
        )
        rows.append(report)
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
