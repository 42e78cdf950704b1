"""How much faster a StyleGAN3 runs with the compiled activation than as plain PyTorch, and what memory it takes.

Both the time on the clock and that of the processor are given: on a busy machine only the second one means anything.
Ratios are to plain PyTorch in 32 bits, and in brackets to plain PyTorch in the same precision.

    python benchmarks/stylegan3.py [--resolution 256] [--batch 4] [--threads 2] [--config t] [--json FILE]
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
    ("plain, bf16", torch.bfloat16, "reference"),
    ("compiled, bf16", torch.bfloat16, "auto"),
)


def plan(resolution: int, config: str) -> Plan:
    """Return the numbers of NVIDIA's networks of a resolution."""
    base, most = (16384 if resolution == 256 else 32768), 512
    if config == "t":
        return Plan(resolution, base, most)
    return Plan(resolution, 2 * base, 2 * most, conv_kernel=1, use_radial_filters=True)


def measure(
    kind: tuple[str, torch.dtype, Any], numbers: Plan, batch: int, rounds: int
) -> tuple[torch.Tensor, float, float]:
    """Return the pictures of one batch, and the least seconds for it on the clock and of the processor."""
    _, dtype, implementation = kind
    generator = AliasFreeGenerator.random(numbers, seed=1, dtype=dtype, implementation=implementation)
    ws = generator.mapping(torch.randn(batch, generator.z_dim, generator=torch.Generator().manual_seed(0)))
    clock, processor = [], []
    for _ in range(rounds):
        start, worked = time.perf_counter(), time.process_time()
        picture = generator.synthesis(ws)
        clock.append(time.perf_counter() - start)
        processor.append(time.process_time() - worked)
    return picture, min(clock), min(processor)


def main() -> None:
    """Print one row for each kind."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--config", choices=("t", "r"), default="t")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    numbers = plan(options.resolution, options.config)
    plain: dict[torch.dtype, tuple[torch.Tensor, float, float]] = {}
    rows = []
    print(f"{'':16}{'clock s':>9}{'ratio':>14}{'processor s':>13}{'ratio':>14}{'difference':>12}{'peak MB':>9}")
    for name, dtype, implementation in KINDS:
        found = measure((name, dtype, implementation), numbers, options.batch, options.rounds)
        plain.setdefault(dtype, found)
        first, own = plain[torch.float32], plain[dtype]
        difference = float((found[0] - first[0]).abs().max() / first[0].abs().max())
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        ratios = [first[at] / found[at] for at in (1, 2)]
        beside = [own[at] / found[at] for at in (1, 2)]
        told = [f"{ratio:.2f} ({other:.2f})" for ratio, other in zip(ratios, beside, strict=True)]
        rows.append({"kind": name, "clock": found[1], "processor": found[2], "ratios": ratios, "same_precision": beside,
                     "difference": difference, "peak_mb": memory})  # fmt: skip
        print(f"{name:16}{found[1]:9.2f}{told[0]:>14}{found[2]:13.2f}{told[1]:>14}{difference:12.1e}{memory:9}",
              flush=True)  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2), "utf-8")


if __name__ == "__main__":
    main()
