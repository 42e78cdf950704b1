"""How fast the painter is on a GPU, and whether it paints there what plain PyTorch does, and always the same.

    python benchmarks/painter_gpu.py [--device cuda] [--size 1080p] [--batch 8] [--batches 40] [--families ink,metal]
                                     [--json FILE]

For each family: frames a second from latents to YUV pixels on the device, in batches that follow one another as in a
video; milliseconds of a frame that the two kernels take alone; milliseconds that a batch keeps the processor busy;
agreement with plain PyTorch on the same device, in levels of 255, at a quarter of the height and width; and whether two
runs, and batches of one and of all, give the same bits. The last row, `two`, has two families in each picture.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from audioreactive.generators import parse_size
from audioreactive.generators.painter import FAMILIES, Painter
from audioreactive.generators.painter.painter import bloomed

if TYPE_CHECKING:
    from collections.abc import Callable

RUNS = 20
"""Runs of a kernel in one measurement."""


@dataclass(frozen=True)
class Row:
    """Speed of a family on the device, and how its frames compare with the plain form."""

    family: str
    fps: float
    paint_ms: float
    finish_ms: float
    busy_ms: float
    """Until a batch of the video is queued."""
    mean_levels: float
    over_two_levels: float
    """Share of values."""
    same_in_two_runs: bool
    same_in_batches_of_one: bool


def main() -> None:
    """Print a line for each family, and write all to a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=torch.device, default=torch.device("cuda"))
    parser.add_argument("--size", type=parse_size, default=(1920, 1080))
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--batches", type=int, default=40)
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    width, height = options.size
    names = options.families.split(",")
    groups = [*((name,) for name in names), tuple(names[:2])][: len(names) + (len(names) > 1)]
    rows = []
    with torch.inference_mode():
        for group in groups:
            painter = Painter(group, (height, width), options.device)
            if painter._kernels is None:
                parser.error(f"the painter has no compiled form on {options.device}")
            rows.append(measure(painter, options.batch, options.batches))
            print(rows[-1], flush=True)
    if options.json:
        found = {"size": [width, height], "batch": options.batch, "rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


def measure(painter: Painter, batch: int, batches: int) -> Row:
    """Measure the painter of a family or two."""
    ws = latents(painter, batch)
    noise = [torch.randn(batch, 1, *size, device=painter.device) for size in painter.noise_sizes]
    frames = painter.frame_function("yuv420p")
    frames(ws, noise)
    fps = batch * batches / seconds(painter.device, lambda: [frames(ws, noise) for _ in range(batches)])
    start = time.perf_counter()
    frames(ws, noise)
    busy = time.perf_counter() - start
    paint, finish = kernels_alone(painter, ws)
    mean, over = agreement(painter)
    pictures = painter.synthesis(ws, noise)
    again = painter.synthesis(ws, noise)
    singly = torch.cat([painter.synthesis(ws[k : k + 1], [one[k : k + 1] for one in noise]) for k in range(batch)])
    return Row(
        "two" if len(painter.families) > 1 else painter.families[0],
        round(fps, 1), round(1e3 * paint, 4), round(1e3 * finish, 4), round(1e3 * busy, 2),
        round(mean, 4), round(over, 6), torch.equal(pictures, again), torch.equal(pictures, singly),
    )  # fmt: skip


def latents(painter: Painter, batch: int) -> torch.Tensor:
    """Make latents (B, 3, W) on the way from one seed to another, or, of two families, a walk between these."""
    draw = torch.Generator().manual_seed(1)
    z = torch.randn(2, painter.z_dim, generator=draw).to(painter.device)
    first, last = painter.mapping(z, torch.eye(2, device=painter.device) if painter.c_dim else None)
    share = torch.linspace(0.2, 0.8, batch, device=painter.device)[:, None, None]
    walk: torch.Tensor = first + (last - first) * share
    return walk


def kernels_alone(painter: Painter, ws: torch.Tensor) -> tuple[float, float]:
    """Seconds of the painting and of the finishing kernel, for one picture."""
    found, raster = painter._kernels, painter._raster
    assert found is not None
    own = ws[:1].cpu()
    parameters = painter._parameters(own, painter._structure(own)[1][0, 0]).native(0)
    table = painter._noise_tables(None, 1)[0]
    colour, picture = ws.new_empty(3, *raster.sides), ws.new_empty(3, *raster.size)
    glow = ws.new_empty(3, *(side // 4 for side in raster.sides))
    family = painter.families[0]

    def paint() -> None:
        found.paint(family, parameters, table, colour, glow, raster.size)

    paint()
    bloom = bloomed(glow[None])[0]

    def finish() -> None:
        found.finish(parameters, colour, bloom, picture)

    return repeated(painter.device, paint), repeated(painter.device, finish)


def repeated(device: torch.device, run: Callable[[], object]) -> float:
    """Seconds of one of many runs that follow one another."""
    return seconds(device, lambda: [run() for _ in range(RUNS)]) / RUNS


def seconds(device: torch.device, run: Callable[[], object]) -> float:
    """Seconds until a device has done what it is told."""
    wait(device)
    start = time.perf_counter()
    run()
    wait(device)
    return time.perf_counter() - start


def wait(device: torch.device) -> None:
    """Wait for a device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def agreement(painter: Painter) -> tuple[float, float]:
    """Difference to plain PyTorch in levels: the mean, and the share of values above two."""
    small = painter.resized((max(painter.img_size[0] // 4, 1), max(painter.img_size[1] // 4, 1)))
    twin = replace(small)
    twin.__dict__["_kernels"] = None
    ws = latents(small, 2)
    difference = (small.synthesis(ws) - twin.synthesis(ws)).abs() * 127.5
    return float(difference.mean()), float((difference > 2).float().mean())


if __name__ == "__main__":
    main()
