"""How long do the CUDA kernels take to compile, through NVRTC and through nvcc, each with an empty cache?

    python benchmarks/build_time.py [--capability 90] [--families ink,metal] [--json FILE]

No GPU is needed. Compiles the network's kernels, those that all families of the painter share, and some families; the
JSON is written after each compiler.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from audioreactive.generators.painter import FAMILIES, cuda_kernels
from stylegan_ops import build, cuda_build
from stylegan_ops import cuda_kernels as network_kernels


def times_of(compiler: cuda_build.Compiler, capability: int, families: list[str]) -> dict[str, Any]:
    """Seconds of each part with an empty cache."""
    parts = {"network": network_kernels.programs(), "painter, shared": cuda_kernels.programs(cuda_kernels.SHARED)}
    parts |= {f"painter, {family}": cuda_kernels.programs([family]) for family in families}
    found: dict[str, Any] = {"compiler": compiler.name}
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        for name, programs in parts.items():
            start = time.perf_counter()
            images = cuda_build.compile_all(programs, compiler, capability)
            found[name] = {"seconds": time.perf_counter() - start, "bytes": sum(len(one.content) for one in images)}
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Time of compiling the CUDA kernels.")
    parser.add_argument("--capability", type=int, default=90)
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    families = [name for name in options.families.split(",") if name]
    found: list[dict[str, Any]] = []
    for find in cuda_build.compilers():
        try:
            row = times_of(find(), options.capability, families)
        except build.BuildError as error:
            row = {"missing": str(error)}
        print(json.dumps(row), flush=True)
        found.append(row)
        if options.json:
            rows = {"capability": options.capability, "cores": os.cpu_count(), "compilers": found}
            options.json.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
