"""How fast does the program render with nothing but a song, and with the network that ships?

Runs the real command in fresh processes with empty caches, everything counted: start, analysis, compilation, pictures,
encoding. On two cores the painter should make at least 12 frames a second of the demo song in its default size, and a
song of three minutes in under eight minutes (11.25 frames a second); the network 15 at 256², and 4 at 512².
And how long does the network take to load, PyTorch being there? It should be less than a second.

    python benchmarks/default_render.py [--rounds 3] [--cases demo,256x256] [--device auto] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from audioreactive.media.demo import DEMO_SONG
from audioreactive.video import probe


@dataclass(frozen=True)
class Case:
    """A render, and the frames a second that it should reach."""

    name: str
    target: float
    options: tuple[str, ...] = ()
    minutes: float | None = None
    """Length of the song: the demo song over and over; None: once."""


CASES = (
    Case("demo", 12.0),
    Case("three minutes", 5400 / 480, minutes=3),
    Case("256x256", 15.0, ("--model", "stylegan2", "--size", "256x256", "--seed", "1")),
    Case("512x512", 4.0, ("--model", "stylegan2", "--size", "512x512", "--seed", "1", "--duration", "20")),
)


def song_of(minutes: float | None, folder: Path) -> Path:
    """The demo song, or a song of this length that is made of it."""
    if minutes is None:
        return DEMO_SONG
    samples, rate = soundfile.read(DEMO_SONG, dtype="float32", always_2d=True)
    count = round(minutes * 60 * rate)
    song = folder / "song.wav"
    soundfile.write(song, np.tile(samples, (count // len(samples) + 1, 1))[:count], rate)
    return song


def frames_a_second(case: Case, device: str, seconds: float | None) -> tuple[int, float, float]:
    """Frames, wall seconds of the whole command, and frames a second."""
    with tempfile.TemporaryDirectory() as folder:
        video, song = Path(folder) / "out.mp4", song_of(case.minutes, Path(folder))
        command = ["render", song, "-o", video, "--quiet", "--device", device, *case.options]
        command += [] if seconds is None else ["--duration", seconds]
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "audioreactive", *map(str, command)],
            check=True,
            env=os.environ | {"XDG_CACHE_HOME": folder},
        )
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
    parser.add_argument("--cases", default=",".join(case.name for case in CASES))
    parser.add_argument("--seconds", type=float, help="of each song, less than usual")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    print(f"{'case':>14} {'frames':>7} {'wall s':>7} {'frames/s':>9} {'target':>7}   on {os.cpu_count()} cores")
    for case in CASES:
        if case.name not in options.cases.split(","):
            continue
        runs = [frames_a_second(case, options.device, options.seconds) for _ in range(options.rounds)]
        frames, wall, rate = sorted(runs, key=lambda run: run[2])[len(runs) // 2]
        rows.append(
            {
                "case": case.name,
                "frames": frames,
                "wall_s": round(wall, 2),
                "fps": round(rate, 2),
                "target": case.target,
            }
        )
        print(f"{case.name:>14} {frames:7d} {wall:7.2f} {rate:9.2f} {case.target:7.1f}", flush=True)
    loading = sorted(seconds_of_loading() for _ in range(options.rounds))[options.rounds // 2]
    print(f"the network that ships loads in {loading:.2f} s (target: below 1)")
    if options.json:
        facts = {"cores": os.cpu_count(), "device": options.device, "rounds": options.rounds}
        if options.json.exists():  # cases that were measured before
            earlier = json.loads(options.json.read_text("utf-8"))
            measured = {row["case"] for row in rows}
            if {name: earlier.get(name) for name in facts} == facts:
                rows += [row for row in earlier["rows"] if row.get("case") not in (None, *measured)]
        rows.sort(key=lambda row: str(row["case"]))
        options.json.write_text(
            json.dumps(facts | {"rows": rows, "loading_s": round(loading, 3)}, indent=2) + "\n", "utf-8"
        )


if __name__ == "__main__":
    main()
