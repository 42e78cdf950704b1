"""Is every preset in step with its song?

Renders a passage with each preset and the built-in model, by the real command, and scores it: the lag should be 0 ± 1
frame, and LATE frames more where the sound is late by that much. A lag that is not clear (`audioreactive score`) says
nothing: a calm preset may react too little in a short passage.

    python benchmarks/lags.py --song SONG [--start 20] [--seconds 24] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from audioreactive.presets import shipped_presets

FPS, LATE = 24, 10


def run(*arguments: object) -> None:
    """The program, as a person calls it."""
    subprocess.run([sys.executable, "-m", "audioreactive", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def scored(video: Path, sound: Path) -> dict[str, Any]:
    """What `audioreactive score` says."""
    numbers = video.with_suffix(".json")
    run("score", video, "--audio", sound, "--json", numbers, "--overwrite", "--quiet")
    found: dict[str, Any] = json.loads(numbers.read_text())
    return found


def main() -> None:
    """Measure, print a table, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--song", type=Path, required=True)
    parser.add_argument("--start", type=float, default=20.0)
    parser.add_argument("--seconds", type=float, default=24.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    print(f"{'preset':>10} {'score':>6} {'lag':>4} {'p':>8}   {LATE} frames late: {'lag':>4} {'p':>8}")
    with tempfile.TemporaryDirectory() as folder:
        sound, late, video = (Path(folder) / name for name in ("sound.wav", "late.wav", "video.mp4"))
        samples, rate = soundfile.read(options.song, dtype="float32", always_2d=True)
        first = round(options.start * rate)
        passage = samples[first : first + round(options.seconds * rate)]
        silence = np.zeros((round(LATE / FPS * rate), passage.shape[1]), np.float32)
        soundfile.write(sound, passage, rate)
        soundfile.write(late, np.concatenate([silence, passage])[: len(passage)], rate)
        for preset in shipped_presets():
            run("render", sound, "--preset", preset, "--fps", FPS, "-o", video, "--overwrite", "--quiet")
            before, after = scored(video, sound), scored(video, late)
            row = {"preset": preset, "z": before["z"], "lag": before["lag"], "p": before["lag_p"]}
            row |= {"late_lag": after["lag"], "late_p": after["lag_p"]}
            rows.append(row)
            numbers = f"{row['z']:6.1f} {row['lag']:4d} {row['p']:8.4f}"
            print(f"{preset:>10} {numbers}   {'':15} {row['late_lag']:4d} {row['late_p']:8.4f}", flush=True)
    if options.json:
        facts = {"song": options.song.name, "start": options.start, "seconds": options.seconds, "late": LATE}
        options.json.write_text(json.dumps(facts | {"rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
