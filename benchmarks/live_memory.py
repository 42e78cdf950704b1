"""Memory of a long performance: an hour under the simulated clock, with a song that begins again and again."""

from __future__ import annotations

import argparse
import resource
from fractions import Fraction
from pathlib import Path

from audioreactive.generators import open_generator
from audioreactive.live.clock import SimulatedClock
from audioreactive.live.inputs import FileInput
from audioreactive.live.loop import Loop, NoScreen
from audioreactive.live.perform import Performance, prepare
from audioreactive.live.presets import opening_presets
from audioreactive.live.safety import FlashLimiter
from audioreactive.media.demo import DEMO_SONG


def resident() -> float:
    """Megabytes of this process in memory now; the most so far where the system does not tell."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text("ascii").split()[1]) * resource.getpagesize() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> None:
    """Print one row for each part of the time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--parts", type=int, default=6)
    parser.add_argument("--fps", type=int, default=4)
    asked = parser.parse_args()
    presets = opening_presets(["pulse"])
    show, size = prepare(Performance(presets[0], presets, size=(64, 36)), open_generator("painter"))
    loop = Loop(
        show, FileInput(DEMO_SONG, again=True), [NoScreen()], SimulatedClock(0.01), fps=Fraction(asked.fps),
        limiter=FlashLimiter(size),
    )  # fmt: skip
    print("| seconds | pictures | MB | latency, ms |\n|---|---|---|---|")
    for part in range(1, asked.parts + 1):
        measured = loop.run(asked.seconds * part / asked.parts)
        delay = 1000 * measured.latencies[-1]
        print(f"| {loop.clock.now():.0f} | {measured.frames} | {resident():.0f} | {delay:.0f} |", flush=True)


if __name__ == "__main__":
    main()
