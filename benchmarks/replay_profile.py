"""Where does the time of a batch go that is replayed as a CUDA graph?

    python benchmarks/replay_profile.py [--resolution 1024] [--batch 8] [--device cuda] [--json FILE]

Names the kernels that take longest, how often each runs in a batch, and how much of the time none of them runs. On a
CPU, which has no graphs, the same for PyTorch's operations.
"""

import argparse
import functools
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from generator import architecture_of
from torch.profiler import ProfilerActivity, profile

from stylegan_ops import Generator, GraphSynthesis, ops
from stylegan_ops.initial import random_state

BATCHES = 3
"""Batches that are profiled, after as many that are not."""


@dataclass(frozen=True)
class Row:
    """One kernel or operation, in one batch."""

    name: str
    times: float
    us: float


def main() -> None:
    """Profile and print."""
    parser = argparse.ArgumentParser(description="Profile of a replayed batch.")
    parser.add_argument("--resolution", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    gpu = options.device == "cuda"
    architecture = architecture_of(options.resolution)
    dtype = torch.float16 if gpu else torch.float32
    generator = Generator(architecture, random_state(architecture, seed=0), device=options.device, dtype=dtype)
    synthesise = GraphSynthesis(generator, functools.partial(ops.rgb_to_yuv420, compiled=generator.compiled))
    ws = torch.randn(options.batch, generator.num_ws, generator.w_dim, device=options.device)
    for _ in range(BATCHES):
        synthesise(ws)
    if gpu:
        torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA if gpu else ProfilerActivity.CPU]) as seen:
        start = time.perf_counter()
        for _ in range(BATCHES):
            synthesise(ws)
        if gpu:
            torch.cuda.synchronize()
        whole = (time.perf_counter() - start) / BATCHES * 1e6
    rows = []
    for event in seen.key_averages():
        total = event.self_device_time_total if gpu else event.self_cpu_time_total
        rows.append(Row(event.key, event.count / BATCHES, total / BATCHES))
    rows.sort(key=lambda row: -row.us)
    busy = sum(row.us for row in rows)
    for row in rows[:20]:
        print(f"{row.us:>10.1f} µs {row.times:>7.1f} × {row.name[:90]}")
    started = sum(row.times for row in rows)
    print(f"a batch of {options.batch}: {whole:.0f} µs, of which {busy:.0f} in {started:.0f} kernels")
    if options.json:
        facts = {"resolution": options.resolution, "batch": options.batch, "batch_us": whole, "busy_us": busy}
        table = {"rows": [asdict(row) for row in rows[:60]]}
        options.json.write_text(json.dumps(facts | table, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
