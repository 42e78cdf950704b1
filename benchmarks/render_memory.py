"""Does memory grow with the length of the song?

Renders a 3-minute and a 60-minute song, each in a fresh process, nothing cached, on a model small enough that the hour
of video takes minutes, and prints the peak resident memory of the rendering process. The target: the hour takes at most
1.25 times the three minutes, plus its features and latents.

    python benchmarks/render_memory.py [--minutes 3 60] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import soundfile
from common import save_small_model

from audioreactive.features import DEFAULT_FEATURES, SEGMENT_COUNTS, SEGMENTABLE, split_name
from audioreactive.patches.randomizer import NOISE_FIELDS, PALETTE_SIZE

FPS = Fraction(24)
RATE = 44_100
CHILD = """
import resource, sys
from audioreactive.commands import group
try:
    group.main(args=sys.argv[1:], standalone_mode=False)
finally:
    print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def write_song(path: Path, minutes: float) -> None:
    """Drums, chords and noise in stereo, with sections, written block by block."""
    stream = np.random.RandomState(0)
    with soundfile.SoundFile(path, "w", samplerate=RATE, channels=2, subtype="PCM_16") as file:
        for second in range(int(minutes * 60)):
            t = np.arange(RATE) / RATE
            root = 110 * 2 ** ((second // 4 * 5 % 12) / 12)
            chord = sum(np.sin(2 * np.pi * root * ratio * t) for ratio in (1, 1.25, 1.5)) / 6
            beat = np.exp(-(t % 0.5) * 30) * np.sin(2 * np.pi * 60 * t)
            hat = np.exp(-((t + 0.25) % 0.5) * 60) * stream.randn(RATE) * 0.2
            quiet = 0.3 if second // 30 % 3 == 2 else 1.0
            sound = quiet * (chord + beat + hat) * 0.5
            file.write(np.stack([sound, sound * 0.9], axis=1))


def feature_bytes(frames: int) -> int:
    """What the features and the latents themselves take: they alone may grow."""
    channels = sum(split_name(name)[1].channels for name in DEFAULT_FEATURES)
    labels = len(SEGMENTABLE) * len(SEGMENT_COUNTS)
    weights = 3 * (PALETTE_SIZE + NOISE_FIELDS)
    return frames * (4 * channels + labels + 4 * weights)


def peak_of_render(song: Path, model: Path, folder: Path) -> tuple[int, float]:
    """(peak resident bytes, seconds) of rendering the song in a fresh process with an empty cache."""
    arguments = ["render", str(song), "--model", str(model), "--seed", "1", "--quiet", "-o", str(folder / "out.mp4")]
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / f"cache-{song.stem}")}
    start = time.perf_counter()
    child = subprocess.run(
        [sys.executable, "-c", CHILD, *arguments, "--overwrite"],
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    return int(child.stdout.split()[-1]) * 1024, time.perf_counter() - start


def main() -> None:
    """Measure, print a table, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, nargs=2, default=[3, 60])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = folder / "small.safetensors"
        save_small_model(model, img_resolution=32)
        for minutes in options.minutes:
            song = folder / f"{minutes:g}.wav"
            write_song(song, minutes)
            peak, seconds = peak_of_render(song, model, folder)
            rows.append(
                {
                    "minutes": minutes,
                    "peak": peak,
                    "features": feature_bytes(int(minutes * 60 * FPS)),
                    "seconds": seconds,
                }
            )
    print(f"{'minutes':>8} {'peak MB':>9} {'features, latents MB':>21} {'seconds':>9}")
    for row in rows:
        print(f"{row['minutes']:8g} {row['peak'] / 1e6:9.0f} {row['features'] / 1e6:21.0f} {row['seconds']:9.1f}")
    short, long = rows
    ratio = (long["peak"] - (long["features"] - short["features"])) / short["peak"]
    print(f"the longer one, its features and latents aside, takes {ratio:.2f} times the memory of the shorter one")
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "ratio": ratio}, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
