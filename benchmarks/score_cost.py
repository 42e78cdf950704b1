"""What does it cost to score a video?

Writes videos of a moving texture with a random song, and scores them with the real command in fresh processes: seconds
and peak memory, the analysis of the sound included. Memory is the resident size of the command and of the ffmpeg that
decodes for it, together, looked at fifty times a second (Linux), and the highest of the command alone. The targets on
two cores: under 60 s for three minutes at 256², and from 3 to 30 minutes no more memory than the features take.

    python benchmarks/score_cost.py [--minutes 3,30] [--size 256] [--json FILE]
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

from audioreactive.correlation import VIDEO_FEATURES
from audioreactive.correlation.files import SECTION_COUNT
from audioreactive.features import DEFAULT_FEATURES, FEATURES, split_name
from audioreactive.video import VideoSettings, VideoWriter

FPS = Fraction(24)
RATE = 44_100


def write_video(path: Path, minutes: float, size: int) -> None:
    """A texture that drifts and flickers, and bursts of noise."""
    stream = np.random.RandomState(0)
    song = path.with_suffix(".wav")
    with soundfile.SoundFile(song, "w", RATE, 1) as file:
        for _ in range(round(minutes * 120)):
            file.write((stream.randn(RATE // 2) * np.exp(-np.arange(RATE // 2) / 3000) * 0.2).astype(np.float32))
    texture = stream.randint(0, 256, (size // 8 + 1, size // 8 + 1, 3)).astype(np.uint8)
    texture = np.kron(texture, np.ones((8, 8, 1), np.uint8))[:size, :size]
    frames = round(minutes * 60 * FPS)
    settings = VideoSettings(fps=FPS, size=(size, size))
    with VideoWriter(path, settings, frame_size=(size, size), sound=song, duration=frames / FPS) as writer:
        for i in range(frames):
            drifted = np.roll(texture, i % size, axis=1)
            writer.write((drifted // (1 + i % 12 // 6))[None])


def resident(pid: int) -> int:
    """Bytes of a process and of all that it started, which are there at this moment."""
    total = 0
    try:
        total = int(Path(f"/proc/{pid}/statm").read_text("utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += sum(resident(int(child)) for child in (task / "children").read_text("utf-8").split())
    except (OSError, IndexError):  # it has just ended
        pass
    return total


def scored(command: list[str], environment: dict[str, str]) -> tuple[float, float, float]:
    """Seconds, and the highest memory of all processes together and of the first alone, in MB."""
    began, together = time.perf_counter(), 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    while True:
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        if ended:
            break
        together = max(together, resident(process.pid))
        time.sleep(0.02)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return time.perf_counter() - began, together / 2**20, usage.ru_maxrss / 1024  # Linux counts in kB


def main() -> None:
    """Measure, print a table, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--minutes", default="3,30")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    heard = sum(feature.channels for feature in FEATURES.values()) + SECTION_COUNT
    heard += sum(split_name(name)[1].channels for name in DEFAULT_FEATURES if name not in FEATURES)
    channels = heard + sum(feature.channels for feature in VIDEO_FEATURES.values())
    rows = []
    print(
        f"{'minutes':>7} {'wall s':>7} {'peak MB':>8} {'alone MB':>9} {'features MB':>12}   on {os.cpu_count()} cores"
    )
    for minutes in map(float, options.minutes.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            video = Path(folder) / "video.mp4"
            write_video(video, minutes, options.size)
            command = [sys.executable, "-m", "audioreactive", "score", str(video), "--quiet"]
            wall, together, alone = scored(command, os.environ | {"XDG_CACHE_HOME": folder})
        features = channels * minutes * 60 * float(FPS) * 4 / 2**20
        row = {"minutes": minutes, "size": options.size, "seconds": wall}
        rows.append(row | {"peak_mb": together, "alone_mb": alone, "features_mb": features})
        print(f"{minutes:7g} {wall:7.1f} {together:8.0f} {alone:9.0f} {features:12.0f}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
