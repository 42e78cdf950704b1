"""Delay of the live picture, part by part, under the simulated clock: the same loop, with exact waits."""

from __future__ import annotations

import argparse
import json
from fractions import Fraction
from pathlib import Path

from audioreactive.generators import open_generator
from audioreactive.live.inputs import FileInput
from audioreactive.live.loop import PARTS
from audioreactive.live.perform import Performance, perform
from audioreactive.live.presets import opening_presets
from audioreactive.live.stage import Extras
from audioreactive.media.demo import DEMO_SONG

COLUMNS = ("generator", "size", "painted", "pictures/s", "ms median", "ms p95", *PARTS)
SIZES = (("painter", (1280, 720)), ("painter", (640, 360)), ("stylegan2", (256, 256)))


def main() -> None:
    """Print one row for each generator and size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--preset", default="pulse")
    parser.add_argument("--song", type=Path, default=DEMO_SONG)
    parser.add_argument("--every-pixel", action="store_true", help="paint every pixel, however long it takes")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    presets, rows = opening_presets([asked.preset]), []
    print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|")
    for model, size in SIZES:
        performance = Performance(
            presets[0],
            presets,
            size=size,
            fps=Fraction(60),
            seconds=asked.seconds,
            simulated=True,
            every_pixel=asked.every_pixel,
            extras=Extras(window=False),
        )
        report = perform(performance, open_generator(model), FileInput(asked.song))
        cells = [model, *(f"{wide}x{high}" for wide, high in (report["size"], report["painted"]))]
        numbers = (report["fps"], report["latency_ms_median"], report["latency_ms_p95"], *report["parts_ms"].values())
        print(f"| {' | '.join([*cells, *(f'{number:.1f}' for number in numbers)])} |", flush=True)
        rows.append(report)
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
