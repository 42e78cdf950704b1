"""How much faster a StyleGAN3 runs with the compiled activation than as plain PyTorch, and what memory it takes.

Times are those of the processor, so that other programs on the machine do not matter.

    python benchmarks/stylegan3.py [--resolution 256] [--batch 4] [--config t] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

import torch

from stylegan_ops import AliasFreeGenerator
from stylegan_ops.stylegan3.design import Plan

KINDS = (
    ("plain", torch.float32, "reference"),
    ("compiled", torch.float32, "auto"),
    ("compiled, bf16", torch.bfloat16, "auto"),
)


def plan(resolution: int, config: str) -> Plan:
    """Return the numbers of NVIDIA's networks of a resolution."""
    base, most = (16384 if resolution == 256 else 32768), 512
    if config == "t":
        return Plan(resolution, base, most)
    return Plan(resolution, 2 * base, 2 * most, conv_kernel=1, use_radial_filters=True)


def measure(kind: tuple[str, torch.dtype, Any], numbers: Plan, batch: int, rounds: int) -> tuple[torch.Tensor, float]:
    """Return the pictures of one batch, and the least processor time for it in seconds."""
    _, dtype, implementation = kind
    generator = AliasFreeGenerator.random(numbers, seed=1, dtype=dtype, implementation=implementation)
    ws = generator.mapping(torch.randn(batch, generator.z_dim, generator=torch.Generator().manual_seed(0)))
    seconds = []
    for _ in range(rounds):
        start = time.process_time()
        picture = generator.synthesis(ws)
        seconds.append(time.process_time() - start)
    return picture, min(seconds)


def main() -> None:
    """Print one row for each kind."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--config", choices=("t", "r"), default="t")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    numbers = plan(options.resolution, options.config)
    first: tuple[torch.Tensor, float] | None = None
    rows = []
    print(f"{'':16}{'s a batch':>10}{'ratio':>8}{'difference':>12}{'peak MB':>9}")
    for kind in KINDS:
        picture, seconds = measure(kind, numbers, options.batch, options.rounds)
        first = first or (picture, seconds)
        difference = float((picture - first[0]).abs().max() / first[0].abs().max())
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        ratio = first[1] / seconds
        rows.append({"kind": kind[0], "seconds": seconds, "ratio": ratio, "difference": difference, "peak_mb": memory})
        print(f"{kind[0]:16}{seconds:10.2f}{ratio:8.2f}{difference:12.1e}{memory:9}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2), "utf-8")


if __name__ == "__main__":
    main()
