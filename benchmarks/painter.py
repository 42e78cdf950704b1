"""What the painter costs: each family at 1920 × 1080, beside the same text run by PyTorch, in one process.

    python benchmarks/painter.py [--families ink,metal] [--size 1080p] > benchmarks/results/painter.md

Times are of the processor, on one thread, in milliseconds a frame, and the least of some runs: other programs disturb
them little, and two threads take half of them. The columns: to paint; to bloom and finish to the
pixels that the encoder takes; both; how many times as long plain PyTorch paints, timed at a sixteenth of the pixels.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

import torch

from audioreactive.generators import parse_size
from audioreactive.generators.painter import FAMILIES, Painter, plain
from audioreactive.generators.painter.functions import Raster
from audioreactive.generators.painter.painter import bloomed
from audioreactive.patches.latents import make_palette
from audioreactive.patches.schema import Palette

if TYPE_CHECKING:
    from collections.abc import Callable

RUNS = 4


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument("--size", type=parse_size, default=(1920, 1080))
    arguments = parser.parse_args()
    width, height = arguments.size
    torch.set_num_threads(1)
    print(f"{width} x {height}, processor time on one thread\n")
    print("| family | paint, ms | finish to YUV, ms | both, ms | times plain PyTorch |\n|---|---|---|---|---|")
    rows = []
    with torch.inference_mode():
        for family in arguments.families.split(","):
            paint, finish, ratio = measure(family, (height, width))
            both = 1e3 * (paint + finish)
            rows.append((both, ratio))
            print(f"| {family} | {1e3 * paint:.0f} | {1e3 * finish:.0f} | {both:.0f} | {ratio:.0f} |", flush=True)
    times, ratios = (sorted(column) for column in zip(*rows, strict=True))
    middle = len(rows) // 2
    print(f"\nmedian {times[middle]:.0f} ms, dearest {times[-1]:.0f} ms; {ratios[middle]:.0f} times plain PyTorch")


def measure(family: str, size: tuple[int, int]) -> tuple[float, float, float]:
    """Seconds to paint and to finish a picture of a size (h, w), and the ratio to plain PyTorch."""
    painter = Painter((family,), img_size=size)
    ws = make_palette(Palette(seeds=(1,)), painter)
    parameters = painter._parameters(ws, painter._structure(ws)[1][0, 0])
    table, native, compiled = painter._noise_tables(None, 1), parameters.native(0), painter._kernels
    assert compiled is not None, "there is no compiler"
    to_yuv = compiled.finish_yuv
    assert to_yuv is not None, "it is there on a CPU"
    rows, columns = (-(-side // 4) * 4 for side in size)
    colour, glow = torch.empty(3, rows, columns), torch.empty(3, rows // 4, columns // 4)
    pixels = torch.empty(size[0] * size[1] * 3 // 2, dtype=torch.uint8)
    paint = least(lambda: compiled.paint(family, native, table[0], colour, glow, size))
    finish = least(lambda: to_yuv(native, colour, bloomed(glow[None])[0], pixels, size))
    small = Raster((size[0] // 4, size[1] // 4), (rows // 16 * 4, columns // 16 * 4))
    slow = least(lambda: plain.paint(family, parameters, table, small), 1)
    return paint, finish, slow * (rows * columns) / (small.sides[0] * small.sides[1]) / paint


def least(run: Callable[[], object], runs: int = RUNS) -> float:
    """Processor seconds of the fastest of some runs, after one that does not count."""
    run()
    found = []
    for _ in range(runs):
        start = time.process_time()
        run()
        found.append(time.process_time() - start)
    return min(found)


if __name__ == "__main__":
    main()
