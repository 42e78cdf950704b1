"""Causal features against the offline ones, on songs: correlation at the stated delay, after ten seconds to settle."""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive.features.analysis import STROKES, song_key
from audioreactive.features.grid import FINE_RATE
from audioreactive.features.listening import listen
from audioreactive.features.names import split_name
from audioreactive.live.hearing import DELAYS, Ear
from audioreactive.media.audio import ANALYSIS_RATE, Audio, from_samples, load

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Table = NDArray[np.floating]

NAMES: Final = (
    "onsets", "bass.onsets", "mid.onsets", "high.onsets", "rms", "bass.rms", "mid.rms", "high.rms", "hits", "chroma",
    "tonnetz", "mfcc", "spectral_contrast", "spectral_flatness", "harmonic.rms", "percussive.rms", "drop_weight",
    "drop_level",
)  # fmt: skip
FPS: Final = 30
"""Rate at which strokes are compared: the highest of each picture, as motion gets them."""
SETTLE: Final = 10
END: Final = 2


def correlation(a: Table, b: Table) -> float:
    """Correlation of two tables (n, C), all channels together; NaN if one is constant."""
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    norm = float(np.sqrt(np.square(a).sum() * np.square(b).sum()))
    return float((a * b).sum() / norm) if norm > 0 else float("nan")


def held(values: Table, first: float, count: int) -> Table:
    """Highest values (count, C) of pictures at FPS from a table on the fine grid."""
    edges = np.ceil((first + np.arange(count + 1) / FPS) * FINE_RATE - 1e-9).astype(int)
    return np.stack([values[a:b].max(axis=0) for a, b in pairwise(edges)])


def compared(sound: Audio) -> dict[str, float]:
    """Correlation of every feature for one song."""
    keys = {name: song_key(name) for name in NAMES}
    offline = listen(sound, keys=list(keys.values()), segmentations=[]).envelopes
    live = Ear(NAMES).hear(np.asarray(sound.samples)).values
    seconds = len(sound.samples) / ANALYSIS_RATE
    found = {}
    for name, key in keys.items():
        feature, rate = split_name(name)[1].name, round(len(offline[key]) / seconds)
        late = round((DELAYS[name] if name in DELAYS else DELAYS[feature]) * FINE_RATE)
        if feature in STROKES:
            count = int((seconds - SETTLE - END) * FPS)
            ours = held(live[key], SETTLE + (late - 1) / FINE_RATE, count)
            theirs = held(offline[key], SETTLE, count)
        else:
            places = np.arange(SETTLE * FINE_RATE, int((seconds - END) * FINE_RATE), FINE_RATE // rate)
            ours, theirs = live[key][places + late - 1], offline[key][places * rate // FINE_RATE]
        found[name] = correlation(ours, theirs)
    return found


def main() -> None:
    """Print one row for each feature."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("songs", type=Path, nargs="+")
    parser.add_argument("--seconds", type=int, default=60)
    asked = parser.parse_args()
    rows: dict[str, list[float]] = {name: [] for name in NAMES}
    for path in asked.songs:
        samples = np.asarray(load(path).samples[: asked.seconds * ANALYSIS_RATE])
        if len(samples) < (SETTLE + END + 5) * ANALYSIS_RATE:
            continue
        for name, value in compared(from_samples(samples, ANALYSIS_RATE)).items():
            rows[name].append(value)
    print(f"{len(rows['rms'])} songs\n\n| feature | delay, ms | correlation, mean | lowest |\n|---|---|---|---|")
    for name, values in rows.items():
        late = DELAYS[name] if name in DELAYS else DELAYS[split_name(name)[1].name]
        print(f"| `{name}` | {1000 * late:.0f} | {np.nanmean(values):.2f} | {np.nanmin(values):.2f} |")


if __name__ == "__main__":
    main()
