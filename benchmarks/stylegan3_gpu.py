"""How fast is a StyleGAN3 on a GPU as plain PyTorch, with the compiled activation, and as a CUDA graph?

    python benchmarks/stylegan3_gpu.py [--device cuda] [--sizes 256,1024] [--configs t,r] [--batch 4] [--json FILE]

Frames a second of networks with random weights, in float32 and float16, how many times that is what plain PyTorch makes
in the same precision, the most memory that a batch takes beside the weights, and the largest difference from the
pictures of plain PyTorch in float32 as a share of the largest value. The JSON is written after each network. On a CPU
there is no graph, no kernel for float16 and no count of memory; --tiny takes a network of a few channels.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from stylegan3 import plan

from stylegan_ops import AliasFreeGenerator, GraphSynthesis
from stylegan_ops.stylegan3.design import Plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from stylegan_ops.choice import Implementation

WARM_UPS = 3
"""Batches that are not counted: kernels are compiled, checked and compared, and a graph is recorded."""


@dataclass(frozen=True)
class Row:
    """One network in one form and precision."""

    config: str
    resolution: int
    dtype: str
    form: str
    """plain, compiled or graph."""
    batch: int
    fps: float
    ratio: float
    """Times the frames a second of plain PyTorch in this precision."""
    peak_mb: float | None
    difference: float
    plain_layers: int
    """Layers in which plain PyTorch was measured to be faster than the kernel."""


def generator_of(
    config: str, resolution: int, dtype: torch.dtype, form: str, device: str, *, tiny: bool
) -> AliasFreeGenerator:
    """Return a network with random weights."""
    numbers = plan(resolution, config)
    if tiny:
        radial = config == "r"
        numbers = Plan(
            resolution, 256, 8, num_layers=4, margin_size=4, conv_kernel=1 if radial else 3, use_radial_filters=radial
        )
    implementation: Implementation = "reference" if form == "plain" else "auto"
    return AliasFreeGenerator.random(numbers, seed=1, device=device, dtype=dtype, implementation=implementation)


def measured(paint: Callable[[Tensor], Tensor], ws: Tensor, rounds: int) -> tuple[Tensor, float, float | None]:
    """Return pictures, frames a second, and the most megabytes that a batch takes beside what is there before it."""
    gpu = ws.device.type == "cuda"
    before = torch.cuda.memory_allocated() if gpu else 0
    if gpu:
        torch.cuda.reset_peak_memory_stats()
    for _ in range(WARM_UPS if gpu else 1):
        pictures = paint(ws)
    if gpu:
        torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(rounds):
        pictures = paint(ws)
    if gpu:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    peak = (torch.cuda.max_memory_allocated() - before) / 1e6 if gpu else None
    return pictures, rounds * len(ws) / seconds, peak


def rows_of(config: str, resolution: int, options: argparse.Namespace) -> list[Row]:
    """Measure one network in all forms and precisions."""
    forms = ("plain", "compiled", *(["graph"] if options.device == "cuda" else []))
    exact, rows = None, []
    for dtype in (torch.float32, torch.float16):
        base = None
        for form in forms:
            network = generator_of(config, resolution, dtype, form, options.device, tiny=options.tiny)
            stream = torch.Generator().manual_seed(0)
            ws = network.mapping(torch.randn(options.batch, network.z_dim, generator=stream)).to(options.device)
            paint = GraphSynthesis(network) if form == "graph" else network.synthesis
            pictures, fps, peak = measured(paint, ws, options.rounds)
            exact, base = pictures if exact is None else exact, fps if base is None else base
            difference = float((pictures - exact).abs().max() / exact.abs().max())
            name, plain = str(dtype).removeprefix("torch."), len(network.plain_layers)
            rows.append(Row(config, resolution, name, form, options.batch, fps, fps / base, peak, difference, plain))
            memory = "" if peak is None else f"{peak:9.0f} MB"
            print(
                f"{config} {resolution:5} {name:9}{form:9}{fps:9.2f} fps{fps / base:7.2f} ×{difference:10.1e}{memory}",
                flush=True,
            )
    return rows


def main() -> None:
    """Measure, print, and write after each network."""
    parser = argparse.ArgumentParser(description="StyleGAN3 on a GPU: plain, compiled, as a graph.")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--sizes", default="256,1024")
    parser.add_argument("--configs", default="t,r")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--tiny", action="store_true", help="a network of a few channels")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.backends.cudnn.allow_tf32 = False  # float32 is to mean the same for all
    rows: list[Row] = []
    for resolution in map(int, options.sizes.split(",")):
        for config in options.configs.split(","):
            rows += rows_of(config, resolution, options)
            if options.json:
                found = {"rows": [asdict(row) for row in rows]}
                options.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
