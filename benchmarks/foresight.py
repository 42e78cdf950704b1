"""Does a foretold score order patches as their pictures do?

Patches over one palette are scored in a passage of a song by small rendered pictures, and by the response of the
generator, learnt from pictures of other patches (`learn.foresight`). Printed is the rank correlation of the two, for
each song.

    python benchmarks/foresight.py SONG... --model painter
    python benchmarks/foresight.py SONG... --model stylegan2 --patches 50
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import spearmanr

import audioreactive as ar
from audioreactive.correlation import score_total, sound_tables, watch
from audioreactive.patches.motion import motion
from audioreactive.patches.randomizer import random_patch, with_lead
from audioreactive.pipeline.evolve import FOUNDERS, learnt_response
from audioreactive.progress import Silent
from audioreactive.rendering.previews import pictures_at

if TYPE_CHECKING:
    from audioreactive.patches.schema import Patch

FPS = 24
FIRST = 1000
"""Seed of the first patch that the response is learnt from."""


def patch_of(seed: int, like: Patch) -> Patch:
    """Draw a patch over the palette of another; every second one has a lead."""
    drawn = random_patch(seed)
    return (with_lead(drawn, seed) if seed % 2 else drawn).model_copy(update={"palette": like.palette})


def main() -> None:
    """Measure, and print a line for each song."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("songs", type=Path, nargs="+", metavar="SONG")
    parser.add_argument("--model", default="painter")
    parser.add_argument("--patches", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=7, help="seed of the palette")
    options = parser.parse_args()
    generator = ar.load_generator(options.model)
    like = with_lead(random_patch(options.seed), options.seed)
    for song in options.songs:
        features = ar.analyze_file(song, fps=FPS)
        length = min(round(options.seconds * FPS), features.frames)
        shown = np.arange(length) + (features.frames - length) // 2
        heard = {name: table[shown] for name, table in sound_tables(features)[0].items()}
        learnt_from = [motion(patch_of(FIRST + k, like), features) for k in range(FOUNDERS)]
        begun = time.process_time()
        foresight = learnt_response(learnt_from, generator, options.seed, Silent())
        learning = time.process_time() - begun
        motions = [motion(patch_of(k, like), features) for k in range(options.patches)]
        begun = time.process_time()
        foretold = [foresight.score(one.at(shown), heard, features.fps) for one in motions]
        each = (time.process_time() - begun) / len(motions)
        sketch = generator.sketching()
        seen = [score_total(heard, watch(pictures_at(one, sketch, shown)), fps=features.fps).z for one in motions]
        print(
            f"{song.stem[:22]:>22}: rank correlation {spearmanr(foretold, seen).statistic:.2f} over {len(motions)}; "
            f"learnt in {learning:.1f} s, {each:.2f} s each (processor time)",
            flush=True,
        )


if __name__ == "__main__":
    main()
