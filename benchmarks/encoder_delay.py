"""Does the encoder hold slow changes back?

Renders a passage of a song with calm presets, lossless and by H.264 as `render` writes it, and compares the two: by how
many frames each place of the H.264 picture comes late, and which features of the picture still change as they did.

Delay is least squares: what is late by d frames differs from the original by -d times its rate of change. Places are
squares of 8 x 8 pixels, mean luminance; slow ones are those that change by a quarter of a level a frame or less.
Kept is the correlation of a feature's changes over a twelfth of a second before and after coding.

    python benchmarks/encoder_delay.py SONG [--start 20] [--seconds 24] [--presets tides chords] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from lags import FPS, run, write_passages

from audioreactive.correlation import watch
from audioreactive.video import read_frames

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 8
SLOW = 0.25
"""Levels of 255 a frame."""
STILL = 0.02
"""Levels a frame: what changes less has no delay that could be told."""
FEATURES = ("rgb_histogram", "low_rms", "mid_rms", "high_rms")


def places(video: Path) -> NDArray[np.float64]:
    """(T, squares): mean luminance, in levels of 255."""
    means = []
    for frame in read_frames(video):
        grey = frame @ np.array([0.2126, 0.7152, 0.0722])
        height, width = (side // SIDE * SIDE for side in grey.shape)
        squares = grey[:height, :width].reshape(height // SIDE, SIDE, width // SIDE, SIDE)
        means.append(squares.mean((1, 3)).ravel())
    return np.stack(means)


def delays(original: NDArray[np.float64], coded: NDArray[np.float64]) -> dict[str, float]:
    """Frames by which the coded picture is late."""
    rate = (original[4:] - original[:-4]) / 4
    late = -(coded - original)[2:-2] * rate
    slow = (np.abs(rate) >= STILL) & (np.abs(rate) < SLOW)
    return {
        "delay": float(late.sum() / np.square(rate).sum()),
        "slow places": float(late[slow].sum() / np.square(rate[slow]).sum()),
    }


def kept(original: NDArray[np.float32], coded: NDArray[np.float32]) -> float:
    """Correlation of the changes of two (T, C), over two frames, each channel alike."""
    changes = []
    for table in (original.astype(np.float64), coded.astype(np.float64)):
        rises = table[3:] + table[2:-1] - table[1:-2] - table[:-3]
        changes.append((rises - rises.mean(0)) / np.maximum(rises.std(0), 1e-12))
    return float((changes[0] * changes[1]).sum() / np.sqrt(np.prod([np.square(some).sum() for some in changes])))


def main() -> None:
    """Measure, print a table, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("song", type=Path, metavar="SONG")
    parser.add_argument("--start", type=float, default=20.0)
    parser.add_argument("--seconds", type=float, default=24.0)
    parser.add_argument("--presets", nargs="+", default=["tides", "chords"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        sound, _ = write_passages(options.song, Path(temporary), options.start, options.seconds)
        for preset in options.presets:
            videos = [Path(temporary) / f"{preset}{extension}" for extension in (".mkv", ".mp4")]
            for video in videos:
                run("render", sound, "--preset", preset, "--model", "stylegan2", "--fps", FPS, "-o", video, "--quiet")
            seen = [watch(read_frames(video)) for video in videos]
            row = delays(*(places(video) for video in videos))
            row |= {f"{name} kept": kept(*(some[name] for some in seen)) for name in FEATURES}
            rows[preset] = row
            print(f"{preset:>10}  " + "  ".join(f"{name} {value:.2f}" for name, value in row.items()), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
