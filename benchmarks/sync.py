"""Is the frame that shows a click the frame in which the finished video sounds it?

Writes an hour of silence with clicks at uneven times, as wav and as mp3; renders ten seconds around minute 1 and around
minute 60 at 24, 30000/1001 and 60 frames a second with a recipe in which onsets throw the picture; decodes the mp4's
sound and frames, and prints how many frames lie between hearing and seeing, at worst and in the mean.

    python benchmarks/sync.py [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile
from common import save_small_model

from audioreactive.api import render
from audioreactive.patches.schema import Patch
from audioreactive.video import ffmpeg_path, read_frames

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE = 44_100
MINUTES = 60.5
WINDOWS = {1: Fraction(55), 60: Fraction(3595)}
SECONDS = Fraction(10)
FRAME_RATES = (Fraction(24), Fraction(30000, 1001), Fraction(60))
PATCH = Patch.model_validate(
    {
        "palette": {"seeds": [1, 2]},
        "latents": {
            "base": [0],
            "sequences": [
                {
                    "strategy": "feature",
                    "envelope": {"feature": "onsets", "release": 0.1},
                    "vectors": [0, 1],
                    "intensity": 2,
                }
            ],
        },
        "noise": {"seeds": [1], "base": [0], "strength": 0},
    }
)


def click_times() -> NDArray[np.float64]:
    """Uneven times, half a second to a second apart, over the whole song."""
    steps = np.random.RandomState(0).uniform(0.5, 1.0, int(MINUTES * 120))
    times = np.cumsum(steps)
    return times[times < MINUTES * 60 - 1]


def write_clicks(path: Path) -> None:
    """Bursts of 3 kHz, loudest at their first sample."""
    track = np.zeros(int(MINUTES * 60 * RATE), np.float32)
    sample = np.arange(400)
    burst = (0.8 * np.exp(-sample / 60) * np.cos(2 * np.pi * 3000 / RATE * sample)).astype(np.float32)
    for first in np.round(click_times() * RATE).astype(int):
        track[first : first + 400] = burst
    soundfile.write(path, track, RATE)


def heard(video: Path) -> NDArray[np.float32]:
    """(N,) the video's sound as a decoder gives it."""
    command = [str(ffmpeg_path()), "-v", "error", "-i", str(video), "-ac", "1", "-ar", str(RATE), "-f", "f32le", "-"]
    return np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.float32)


def offsets(video: Path, start: Fraction, fps: Fraction) -> list[int]:
    """For each click, the frame that shows it less the frame that sounds it."""
    sound = np.abs(heard(video))
    frames = np.stack([frame.astype(np.float32) for frame in read_frames(video)])
    change = np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3))  # change[i] is seen in frame i + 1
    found = []
    for click in click_times() - float(start):
        if not 0.4 < click < float(SECONDS) - 0.4:
            continue
        near = slice(int((click - 0.1) * RATE), int((click + 0.1) * RATE))
        sounded = (near.start + int(sound[near].argmax())) / RATE
        low, high = int((click - 0.2) * fps), int((click + 0.2) * fps)
        shown = low + 1 + int(change[low:high].argmax())
        found.append(shown - int(sounded * fps))
    return found


def main() -> None:
    """Measure, print a table, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, wav, mp3 = folder / "small.safetensors", folder / "clicks.wav", folder / "clicks.mp3"
        save_small_model(model, img_resolution=16)
        write_clicks(wav)
        encode = [str(ffmpeg_path()), "-v", "error", "-i", str(wav), "-c:a", "libmp3lame", "-b:a", "128k", str(mp3)]
        subprocess.run(encode, check=True)
        print(
            f"{'song':5} {'minute':>6} {'fps':>12} {'clicks':>7} {'worst':>6} {'mean':>6}   frames from sound to sight"
        )
        for song in (wav, mp3):
            for minute, start in WINDOWS.items():
                for fps in FRAME_RATES:
                    first = -(-start * fps // 1) / fps  # the render begins with the first frame at or after the start
                    render(
                        song, folder / "out.mp4", model=model, patch=PATCH, fps=fps, start=start, duration=SECONDS,
                        overwrite=True,
                    )  # fmt: skip
                    found = offsets(folder / "out.mp4", first, fps)
                    worst, mean = max(found, key=abs), float(np.mean(found))
                    rows.append(
                        {
                            "song": song.suffix,
                            "minute": minute,
                            "fps": str(fps),
                            "clicks": len(found),
                            "worst": worst,
                            "mean": mean,
                        }
                    )
                    print(f"{song.suffix:5} {minute:6} {fps!s:>12} {len(found):7} {worst:6} {mean:6.2f}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
