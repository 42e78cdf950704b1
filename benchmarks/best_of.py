"""Is the recipe that --best-of chooses better than the median one, on rendered frames, and what does the choice cost?

For each song, draws the candidates, chooses, then renders the preview of the chosen one and of the candidates around
the median of their motions, and compares the corrected scores. The targets: under 60 s for a song of three minutes on
two cores on top of the analysis, and better than the median on at least 8 of 10 songs.

    python benchmarks/best_of.py [--music DIR] [--songs 10] [--best-of 32] [--model FILE] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from correlation_groups import MUSIC

from audioreactive.choose import choose, preview_score
from audioreactive.correlation import sound_tables
from audioreactive.features import analyze_file
from audioreactive.patches.schema import Patch
from audioreactive.pipeline import load_model, song_seed
from audioreactive.renderer import CPU_BATCH

FPS = Fraction(24)
MEDIANS = 3
"""Candidates around the median that are rendered for comparison."""


def main() -> None:
    """Measure, print a table, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--music", type=Path, default=MUSIC, help="folder of .ogg songs")
    parser.add_argument("--songs", type=int, default=10)
    parser.add_argument("--best-of", type=int, default=32)
    parser.add_argument("--model", type=Path, help="a model file; without it, the built-in one")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    generator = load_model(options.model, device=torch.device("cpu"), dtype=torch.float32)
    songs = [path for path in sorted(options.music.glob("*.ogg")) if path.stat().st_size > 2_000_000]
    rows = []
    print(f"{'song':24} {'minutes':>7} {'choosing s':>10} {'seed':>11} {'chosen':>7} {'median':>7}")
    for song in songs[:: max(len(songs) // options.songs, 1)][: options.songs]:
        features = analyze_file(song, fps=FPS)
        first = song_seed(features.digest)
        seeds = [(first + i) % 2**32 for i in range(options.best_of)]
        patches = [Patch.random(seed) for seed in seeds]
        began = time.perf_counter()
        choice = choose(patches, features, generator, batch=CPU_BATCH)
        seconds = time.perf_counter() - began
        heard, _ = sound_tables(features)
        ranks = sorted(range(len(patches)), key=lambda i: choice.motions[i])
        middle = ranks[(len(ranks) - MEDIANS) // 2 :][:MEDIANS]
        median = float(
            np.median([preview_score(patches[i], features, heard, generator, batch=CPU_BATCH) for i in middle])
        )
        row = {
            "song": song.stem,
            "minutes": round(float(features.duration) / 60, 2),
            "seconds": round(seconds, 1),
            "seed": seeds[choice.index],
            "chosen": choice.previews[choice.index],
            "median": median,
        }
        rows.append(row)
        print(
            f"{row['song']:24} {row['minutes']:7} {row['seconds']:10} {row['seed']:11} "
            f"{choice.previews[choice.index]:+7.2f} {median:+7.2f}",
            flush=True,
        )
    better = sum(row["chosen"] > row["median"] for row in rows)
    print(f"better than the median on {better} of {len(rows)} songs")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
