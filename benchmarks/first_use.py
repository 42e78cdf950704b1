"""What does the first use of the compiled kernels add?

Fresh processes with a cache of their own: in the first it is empty, and the kernels are built; the second finds them.
Counts from the import of the package to kernels that are ready, PyTorch's own import left out. The target is 10
seconds, once.

    python benchmarks/first_use.py [--device cpu] [--rounds 3] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

TARGETS = {"cpu": 10.0, "cuda": 10.0}
"""Seconds."""

PROCESS = """
import json, sys, time
import torch
start = time.perf_counter()
from stylegan_ops import cuda_kernels, kernels
found = cuda_kernels.cuda_kernels() if sys.argv[1] == "cuda" else kernels.cpu_kernels()
print(json.dumps([time.perf_counter() - start, found.library is not None, found.reason]))
"""


def seconds_of_use(device: str, cache: str) -> float:
    """Of one fresh process."""
    paths = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"XDG_CACHE_HOME": cache, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-c", PROCESS, device]
    output = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout
    seconds, usable, reason = json.loads(output.splitlines()[-1])
    if not usable:
        raise SystemExit(f"the kernels cannot be used: {reason}")
    return float(seconds)


def main() -> None:
    """Measure, print, write JSON where asked."""
    parser = argparse.ArgumentParser(description="What the first use of the compiled kernels adds.")
    parser.add_argument("--device", choices=sorted(TARGETS), default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    first, later = [], []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as cache:
            first.append(seconds_of_use(options.device, cache))
            later.append(seconds_of_use(options.device, cache))
    target = TARGETS[options.device]
    print(f"{options.device}: the first use takes {statistics.median(first):.2f} s, at most {max(first):.2f};", end=" ")
    print(f"a later one {statistics.median(later):.2f} s; the target is {target:g} s, once")
    if options.json:
        found = {
            "device": options.device,
            "machine": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "first_use_s": statistics.median(first),
            "slowest_first_use_s": max(first),
            "later_use_s": statistics.median(later),
            "target_s": target,
        }
        options.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
