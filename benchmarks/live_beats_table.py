"""The table of `live.beats`: how likely a rise of each band is at each place in a bar.

It is counted in songs, with the beats of madmom's offline tracker as truth. The table that ships was counted in the
first minute of 43 songs of free games (SuperTux, Hedgewars, Battle for Wesnoth), none of which is judged, and in 12
tracks of clicks, so that a metronome is no riddle. (Songs of random patterns, `tempo_random`, made real songs worse.)
Writes `audioreactive/assets/live_beats.json`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from audioreactive.features.beats import BEATS_PER_BAR
from audioreactive.features.neural_beats import track
from audioreactive.live.beats import LATE, LEVELS, PHASES, TABLE, Strokes, band_rises
from audioreactive.live.hearing import STEP_RATE, Ear
from audioreactive.media.audio import ANALYSIS_RATE, from_samples, load

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Doubles = NDArray[np.float64]

BANDS = 3
PLACES = BEATS_PER_BAR * PHASES
SMOOTHING = ((-2, 0.1), (-1, 0.25), (0, 0.3), (1, 0.25), (2, 0.1))
FEWEST_BEATS = 20
LEAST_COUNT = 4.0
"""Count of every combination before any was seen."""


def counted(samples: NDArray[np.float32], beats: Doubles, downbeats: Doubles) -> Doubles:
    """Count (bands, levels, places) of one song, between its first and its last beat."""
    strokes = Strokes()
    rises = band_rises(Ear([]).hear(samples).flux)
    levels = np.array([np.searchsorted(LEVELS, strokes.shares(rise)) for rise in rises])
    times = (np.arange(len(levels)) + 1 - LATE) / STEP_RATE
    inside = (times >= beats[0]) & (times <= beats[-1])
    position = np.interp(times, beats, np.arange(len(beats)))
    first = np.searchsorted(beats, downbeats - 1e-3)
    bar = np.maximum(np.searchsorted(first, np.floor(position), side="right") - 1, 0)
    places = np.round((position - first[bar]) % BEATS_PER_BAR * PHASES).astype(int) % PLACES
    counts = np.zeros((BANDS, len(LEVELS) + 1, PLACES))
    for band in range(BANDS):
        np.add.at(counts[band], (levels[inside, band], places[inside]), 1)
    return counts


def click_counts(number: int, seconds: float = 30.0) -> Doubles:
    """Counts of a click track at a random tempo, with some noise."""
    random = np.random.default_rng(number)
    beat, first = 60 / float(np.exp(random.uniform(np.log(65), np.log(180)))), float(random.uniform(0.1, 0.5))
    beats, level = np.arange(first, seconds, beat), float(random.uniform(0.2, 0.9))
    sound = 10 ** random.uniform(-4, -2) * random.normal(size=round(seconds * ANALYSIS_RATE))
    burst = np.exp(-np.arange(400) / 60) * np.cos(np.arange(400) * 2 * np.pi * 3000 / ANALYSIS_RATE) * level
    for place in np.round(beats * ANALYSIS_RATE).astype(int):
        sound[place : place + 400] += burst[: len(sound) - place]
    return counted(sound.astype(np.float32), beats, beats[::BEATS_PER_BAR])


def table_of(counts: Doubles) -> Doubles:
    """Logarithm of how much likelier a level is at a phase than anywhere, smoothed over neighbours."""
    smooth: Doubles = np.sum([np.roll(counts, shift, axis=2) * weight for shift, weight in SMOOTHING], axis=0)
    share = smooth / smooth.sum(axis=1, keepdims=True)
    anywhere = smooth.sum(axis=2, keepdims=True) / smooth.sum(axis=(1, 2))[:, None, None]
    table: Doubles = np.log(share / anywhere)
    return table


def main() -> None:
    """Count, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("songs", type=Path, nargs="*")
    parser.add_argument("--clicks", type=int, default=12, metavar="N")
    parser.add_argument("--seconds", type=float, default=60.0)
    asked = parser.parse_args()
    counts = np.full((BANDS, len(LEVELS) + 1, PLACES), LEAST_COUNT)
    for path in asked.songs:
        samples = np.asarray(load(path).samples[: round(asked.seconds * ANALYSIS_RATE)])
        true = track(from_samples(samples, ANALYSIS_RATE))
        if len(true.beats) >= FEWEST_BEATS:
            counts += counted(samples, true.beats, true.downbeats)
    for number in range(asked.clicks):
        counts += click_counts(number)
    TABLE.write_text(json.dumps({"table": np.round(table_of(counts), 2).tolist()}) + "\n", encoding="utf-8")
    print(
        f"{len(asked.songs)} songs and {asked.clicks} tracks of clicks of {asked.seconds:g} s: {TABLE.name} is written"
    )


if __name__ == "__main__":
    main()
