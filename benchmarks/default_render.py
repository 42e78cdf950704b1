"""How fast does the program render with nothing but a song?

Runs the real command on the demo song with the built-in model, at its own size and at twice that, in fresh processes,
everything counted: start, analysis, model, encoding. The targets on two cores: 15 frames a second at 256², 4 at 512².
And how long does the model take to load, PyTorch being there? It should be less than a second.

    python benchmarks/default_render.py [--rounds 3] [--sizes 256x256,512x512] [--device auto] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from audioreactive.media.demo import DEMO_SONG
from audioreactive.video import probe

CASES = (("256x256", None, 15.0), ("512x512", 20.0, 4.0))
"""Size, seconds of the song (None for all of it), and the target."""


def frames_a_second(size: str, seconds: float | None, device: str) -> tuple[int, float, float]:
    """Frames, wall seconds of the whole command, and frames a second."""
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "out.mp4"
        command = [
            sys.executable,
            "-m",
            "audioreactive",
            "render",
            str(DEMO_SONG),
            "--model",
            "stylegan2",
            "-o",
            str(video),
            "--size",
            size,
        ]
        command += ["--seed", "1", "--quiet", "--device", device]
        if seconds is not None:
            command += ["--duration", str(seconds)]
        start = time.perf_counter()
        subprocess.run(command, check=True, env=os.environ | {"XDG_CACHE_HOME": folder})
        wall = time.perf_counter() - start
        frames = probe(video).frames
    return frames, wall, frames / wall


def seconds_of_loading() -> float:
    """Of the built-in model, in a fresh process."""
    program = """
import time, torch
from audioreactive.generators.builtin import builtin_generator
start = time.perf_counter()
builtin_generator()
print(time.perf_counter() - start)
"""
    return float(
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, encoding="utf-8").stdout
    )


def main() -> None:
    """Measure, print a table, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", default=",".join(size for size, _, _ in CASES))
    parser.add_argument("--seconds", type=float, help="of the song, less than usual")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    print(f"{'size':>8} {'frames':>7} {'wall s':>7} {'frames/s':>9} {'target':>7}   on {os.cpu_count()} cores")
    for size, seconds, target in CASES:
        if size not in options.sizes.split(","):
            continue
        runs = [frames_a_second(size, options.seconds or seconds, options.device) for _ in range(options.rounds)]
        frames, wall, rate = sorted(runs, key=lambda run: run[2])[len(runs) // 2]
        rows.append({"size": size, "frames": frames, "wall_s": round(wall, 2), "fps": round(rate, 2), "target": target})
        print(f"{size:>8} {frames:7d} {wall:7.2f} {rate:9.2f} {target:7.1f}", flush=True)
    loading = sorted(seconds_of_loading() for _ in range(options.rounds))[options.rounds // 2]
    print(f"the built-in model loads in {loading:.2f} s (target: below 1)")
    if options.json:
        facts = {"cores": os.cpu_count(), "device": options.device, "rounds": options.rounds}
        if options.json.exists():  # sizes that were measured before
            earlier = json.loads(options.json.read_text("utf-8"))
            measured = {row["size"] for row in rows}
            if {name: earlier.get(name) for name in facts} == facts:
                rows += [row for row in earlier["rows"] if row["size"] not in measured]
        rows.sort(key=lambda row: str(row["size"]))
        options.json.write_text(
            json.dumps(facts | {"rows": rows, "loading_s": round(loading, 3)}, indent=2) + "\n", "utf-8"
        )


if __name__ == "__main__":
    main()
