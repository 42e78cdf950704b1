"""What does it cost to hand frames to the encoder? Prints one table; --json FILE keeps it.

    python benchmarks/video_writer.py [--frames 480] [--json FILE]

Moving colour with a little noise, in batches of 8, with no generator. `ours` is the CPU time of this process a
frame, `ffmpeg's` that of the encoder's; both are steadier than the wall clock on a busy machine.
"""

import argparse
import json
import resource
import tempfile
import time
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from audioreactive.video import VideoSettings, VideoWriter

CASES = [
    (".mp4", 256, "ultrafast"), (".mp4", 256, "veryfast"), (".mp4", 256, "medium"), (".mp4", 1024, "veryfast"),
    (".mp4", 1024, "medium"), (".webm", 256, "medium"), (".mov", 256, "medium"), (".mkv", 256, "medium"),
    ("", 256, "medium"),
]  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One format at one size."""

    extension: str
    size: int
    speed: str
    frames_per_second: float
    our_ms: float
    ffmpeg_ms: float
    kilobytes: float
    """A frame, in the finished file."""


def moving_colour(size: int) -> NDArray[np.uint8]:
    """(96, size, size, 3)."""
    y, x = np.mgrid[:size, :size] / size
    random = np.random.RandomState(0)
    grain = random.normal(0, 4, (size, size, 3))
    frames = np.empty((96, size, size, 3), np.uint8)
    for number in range(96):
        t = number / 24
        waves = [np.sin(6 * x + 3 * t) + np.cos(5 * y * x + t), np.sin(9 * y - 2 * t), np.cos(7 * (x - y) + 2 * t)]
        frames[number] = np.clip(np.stack(waves, -1) * 60 + 128 + np.roll(grain, 7 * number, 0), 0, 255)
    return frames


def cpu(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def measure(folder: Path, extension: str, size: int, speed: str, count: int) -> Row:
    """Write `count` frames once."""
    frames = moving_colour(size)
    path = folder / f"out{extension}"
    settings = VideoSettings(fps=Fraction(24), size=(size, size), speed=speed)
    ours, theirs, began = cpu(resource.RUSAGE_SELF), cpu(resource.RUSAGE_CHILDREN), time.perf_counter()
    with VideoWriter(path, settings, frame_size=(size, size), sound=None, overwrite=True) as writer:
        for start in range(0, count, 8):
            writer.write(frames[start % 96 : start % 96 + 8])
    wall = time.perf_counter() - began
    written = sum(file.stat().st_size for file in (path.iterdir() if path.is_dir() else [path]))
    return Row(
        extension or "folder",
        size,
        speed,
        count / wall,
        (cpu(resource.RUSAGE_SELF) - ours) / count * 1e3,
        (cpu(resource.RUSAGE_CHILDREN) - theirs) / count * 1e3,
        written / count / 1e3,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="The cost of writing a video, without a generator.")
    parser.add_argument("--frames", type=int, default=480, help="frames at 256 pixels; a quarter of them at 1024")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    arguments = parser.parse_args()
    print(f"{'format':>8} {'size':>5} {'speed':>10} {'frames/s':>9} {'ours':>9} {'ffmpeg':>10} {'kB/frame':>9}")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for extension, size, speed in CASES:
            row = measure(Path(folder), extension, size, speed, arguments.frames // (1 if size == 256 else 4) // 8 * 8)
            rows.append(row)
            print(
                f"{row.extension:>8} {row.size:>5} {row.speed:>10} {row.frames_per_second:>9.0f} "
                f"{row.our_ms:>6.3f} ms {row.ffmpeg_ms:>7.2f} ms {row.kilobytes:>9.1f}"
            )
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
