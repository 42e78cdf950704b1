"""The table of `live.beats`: how likely a rise of each band is at each phase of a beat.

It is counted in songs of random patterns, whose beats are known: `tempo_random`. Writes
`audioreactive/assets/live_beats.json`; takes some minutes.
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

import numpy as np
from tempo_random import random_song
from tempo_songs import FIRST_BEAT, RATE

from audioreactive.live.beats import LATE, LEVELS, PHASES, TABLE, Strokes, band_rises
from audioreactive.live.hearing import STEP_RATE, Ear
from audioreactive.media.audio import from_samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Doubles = NDArray[np.float64]

BANDS = 3
LEAST_COUNT = 20.0
"""Count of every combination before any was seen."""
FIRST_SEED = 50_000
"""Seed of the first song: none of those from which the offline reading of the tempo is learned."""


def counted(number: int, seconds: float) -> Doubles:
    """Count (bands, levels, phases) of one song."""
    song = random_song(FIRST_SEED + number, number)
    sound = from_samples(song.sound(seconds), RATE).samples
    strokes = Strokes()
    levels = np.array([np.searchsorted(LEVELS, strokes.shares(r)) for r in band_rises(Ear([]).hear(sound).flux)])
    phase = ((np.arange(len(levels)) + 1 - LATE) / STEP_RATE - FIRST_BEAT) / song.beat
    bins = np.round((phase % 1) * PHASES).astype(int) % PHASES
    counts = np.zeros((BANDS, len(LEVELS) + 1, PHASES))
    for band in range(BANDS):
        np.add.at(counts[band], (levels[:, band], bins), 1)
    return counts


def table_of(counts: Doubles) -> Doubles:
    """Logarithm of how much likelier a level is at a phase than anywhere, smoothed over neighbouring phases."""
    smooth = sum(np.roll(counts, shift, axis=2) * weight for shift, weight in ((-1, 0.25), (0, 0.5), (1, 0.25)))
    share = smooth / smooth.sum(axis=1, keepdims=True)
    anywhere = smooth.sum(axis=2, keepdims=True) / smooth.sum(axis=(1, 2))[:, None, None]
    table: Doubles = np.log(share / anywhere)
    return table


def main() -> None:
    """Count, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--songs", type=int, default=120)
    parser.add_argument("--seconds", type=float, default=25.0)
    asked = parser.parse_args()
    counts = np.full((BANDS, len(LEVELS) + 1, PHASES), LEAST_COUNT)
    for number in range(asked.songs):
        counts += counted(number, asked.seconds)
    TABLE.write_text(json.dumps({"table": np.round(table_of(counts), 2).tolist()}) + "\n", encoding="utf-8")
    print(f"{asked.songs} songs of {asked.seconds:g} s: {TABLE.name} is written")


if __name__ == "__main__":
    main()
