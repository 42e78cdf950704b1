"""Corrected score of a live recording against that of the offline render with the same preset."""

from __future__ import annotations

import argparse
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import soundfile

import audioreactive
from audioreactive.generators import open_generator
from audioreactive.live.inputs import FileInput
from audioreactive.live.perform import Performance, perform
from audioreactive.live.presets import opening_presets
from audioreactive.live.stage import Extras
from audioreactive.media.audio import ANALYSIS_RATE, load


def main() -> None:
    """Print one row for each song."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("songs", type=Path, nargs="+")
    parser.add_argument("--preset", default="pulse")
    parser.add_argument("--seconds", type=int, default=40)
    parser.add_argument("--cost", type=float, default=0.02, help="seconds that a live picture takes")
    asked = parser.parse_args()
    loaded, size = open_generator("painter"), (96, 54)
    shares = []
    print("| song | live | offline | share |\n|---|---|---|---|")
    for path in asked.songs:
        with tempfile.TemporaryDirectory() as folder:
            song, live, offline = (Path(folder) / name for name in ("song.wav", "live.mp4", "offline.mp4"))
            samples = np.asarray(load(path).samples[: asked.seconds * ANALYSIS_RATE])
            soundfile.write(song, samples, ANALYSIS_RATE)
            presets = opening_presets([asked.preset])
            performance = Performance(
                presets[0], presets, size=size, fps=Fraction(24), simulated=True, cost=asked.cost, flashes=True,
                extras=Extras(window=False, record=live, say=lambda text: None),
            )  # fmt: skip
            perform(performance, loaded, FileInput(song))
            audioreactive.render(song, offline, preset=asked.preset, size=size, fps=24)
            scores = [audioreactive.score(video).total.z for video in (live, offline)]
        shares.append(scores[0] / scores[1])
        print(f"| {path.stem} | {scores[0]:.3f} | {scores[1]:.3f} | {shares[-1]:.2f} |", flush=True)
    print(f"\n{len(shares)} songs: live has {np.mean(shares):.2f} of the offline score, at least {min(shares):.2f}")


if __name__ == "__main__":
    main()
