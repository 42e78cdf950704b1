"""Is the recipe that --best-of chooses better than the median one, on rendered frames, and what does the choice cost?

For each song, draws the candidates and chooses; then renders the chosen one, and the two whose motions are the median,
in two passages that the choice has not seen, and compares their mean corrected scores. With --seconds, chooses for the
song that is nearest to three minutes, and says how long that took. The targets: better than the median on at least 8 of
10 songs; under 60 s for three minutes on two cores, on top of the analysis.

    python benchmarks/best_of.py [--music DIR] [--songs 10] [--best-of 32] [--small] [--model FILE] [--json FILE]
    python benchmarks/best_of.py --seconds [--music DIR] [--best-of 32] [--model FILE] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
from common import save_small_builtin_model
from correlation_groups import MUSIC

from audioreactive.correlation import sound_tables
from audioreactive.features import analyze_file
from audioreactive.generators import open_generator
from audioreactive.generators.devices import CPU_BATCH
from audioreactive.generators.sources import NETWORK_NAME
from audioreactive.patches.motion import motion
from audioreactive.patches.randomizer import random_patch
from audioreactive.pipeline.choose import Choice, choose, preview_score
from audioreactive.pipeline.recipe import song_seed

if TYPE_CHECKING:
    from audioreactive.features import Features
    from audioreactive.generators import Generator
    from audioreactive.patches.schema import Patch

FPS = Fraction(24)
MEDIANS = 2
"""Candidates around the median of all motions that are rendered for comparison."""
PLACES = (0.2, 0.8)
"""Of the passages in the song; the previews that the choice looks at lie in its middle."""
THREE_MINUTES = 180


def candidates(features: Features, count: int) -> dict[int, Patch]:
    """Seed -> recipe, those that `render --best-of` draws."""
    first = song_seed(features.digest)
    return {seed: random_patch(seed) for seed in ((first + i) % 2**32 for i in range(count))}


def timed(song: Path, generator: Generator, count: int) -> tuple[Features, dict[int, Patch], Choice, float]:
    """The song's features and recipes, the choice, and the seconds that it took."""
    features = analyze_file(song, fps=FPS)
    patches = candidates(features, count)
    began = time.perf_counter()
    choice = choose(list(patches.values()), features, generator, batch=CPU_BATCH)
    return features, patches, choice, time.perf_counter() - began


def compared(song: Path, generator: Generator, count: int) -> dict[str, Any]:
    """The chosen recipe and the median ones, by their motion and by rendered frames."""
    features, patches, choice, seconds = timed(song, generator, count)
    seeds, recipes = list(patches), list(patches.values())
    heard, _ = sound_tables(features)
    ranks = sorted(range(count), key=lambda i: choice.motions[i])

    def rendered(index: int) -> float:
        moving = motion(recipes[index], features)
        scores = [preview_score(moving, features, heard, generator, batch=CPU_BATCH, place=place) for place in PLACES]
        return float(np.mean(scores))

    return {
        "song": song.stem,
        "minutes": round(float(features.duration) / 60, 2),
        "seconds": round(seconds, 1),
        "seed": seeds[choice.index],
        "motion": choice.motions[choice.index],
        "median_motion": float(np.median(choice.motions)),
        "rendered": rendered(choice.index),
        "median_rendered": float(np.mean([rendered(i) for i in ranks[(count - MEDIANS) // 2 :][:MEDIANS]])),
    }


def main() -> None:
    """Measure, print a table, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--music", type=Path, default=MUSIC, help="folder of .ogg songs")
    parser.add_argument("--songs", type=int, default=10)
    parser.add_argument("--best-of", type=int, default=32)
    parser.add_argument("--seconds", action="store_true", help="only what the choice costs, for one song")
    parser.add_argument("--model", type=Path, help="a model file; without it, the network that ships")
    parser.add_argument("--small", action="store_true", help="the built-in model's middle, 64²: a tenth of the time")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = options.model
        if options.small:
            save_small_builtin_model(model := Path(folder) / "small.safetensors")
        generator = open_generator(model or NETWORK_NAME, device="cpu", precision="fp32").generator
    songs = [path for path in sorted(options.music.glob("*.ogg")) if path.stat().st_size > 2_000_000]
    rows: list[dict[str, Any]] = []
    if options.seconds:
        song = min(songs, key=lambda path: abs(soundfile.info(path).duration - THREE_MINUTES))
        features, _, _, seconds = timed(song, generator, options.best_of)
        rows = [{"song": song.stem, "song_seconds": float(features.duration), "cores": os.cpu_count()}]
        rows[0]["seconds"] = round(seconds, 1)
        print(f"{options.best_of} recipes for {song.stem}, {float(features.duration):.0f} s: chosen in {seconds:.1f} s")
    else:
        print(f"{'':47} {'motion':>15} {'rendered':>15}")
        print(f"{'song':24} {'minutes':>8} {'seed':>12} " + f" {'chosen':>7} {'median':>7}" * 2)
        for song in songs[:: max(len(songs) // options.songs, 1)][: options.songs]:
            row = compared(song, generator, options.best_of)
            rows.append(row)
            pairs = [row["motion"], row["median_motion"], row["rendered"], row["median_rendered"]]
            print(
                f"{row['song']:24} {row['minutes']:8} {row['seed']:12}  " + " ".join(f"{z:+7.1f}" for z in pairs),
                flush=True,
            )
        better = sum(row["rendered"] > row["median_rendered"] for row in rows)
        print(f"better than the median on {better} of {len(rows)} songs")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
