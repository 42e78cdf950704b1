"""Tables of features: the inputs of synthesizers, and the features that their motion is compared with.

Conventions: T frames at RATE, whatever the video's frame rate, so that a synthesizer's motion does not depend on it.
A table is (T, C) float32. The inputs are all default features, joined column by column. The motion is compared with the
features of Table 3.1 of the thesis and with the sections, a table each.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from audioreactive.correlation import sound_tables
from audioreactive.correlation.sides import WINDOW
from audioreactive.features.names import DEFAULT_FEATURES, split_name
from audioreactive.patches.tables import approach, hold_and_release

if TYPE_CHECKING:
    from collections.abc import Mapping

    from audioreactive.features import Features

FloatArray = NDArray[np.float32]

RATE = Fraction(24)
"""Frames a second of all tables, as in the thesis (section 5.2)."""
INPUTS = sum(split_name(name)[1].channels for name in DEFAULT_FEATURES)
"""Number of input channels of a synthesizer."""
SLOW = 0.5
"""Standard deviation in seconds of the Gaussian filter that leaves the slow course of a feature."""
RINGING, RING, RISE = ("hits", "bass.onsets", "mid.onsets", "high.onsets"), (0.12, 0.4), 0.07
"""Strokes that ring on, the seconds in which they decay to 1/e, and those of the rise before a stroke."""
STILL = 1e-6
"""Norm of a centred table, relative to its size before, below which the table counts as constant."""


def frames_at_rate(features: Features) -> int:
    """T, the number of frames of the song at RATE; at least one."""
    return max(int(features.duration * RATE), 1)


def to_rate(table: FloatArray, features: Features) -> FloatArray:
    """Resample a table from the video's frames (F, C) to RATE (T, C)."""
    if features.fps == RATE:
        return table[: frames_at_rate(features)]
    times = np.arange(frames_at_rate(features)) / float(RATE)
    return interpolated(table, float(features.fps), times)


def interpolated(table: FloatArray, rate: float, times: NDArray[np.float64]) -> FloatArray:
    """Values of a table (F, C) with `rate` rows a second at these times (T,), by linear interpolation."""
    position = np.clip(times * rate, 0, len(table) - 1)
    before = np.floor(position).astype(np.int64)
    after = np.minimum(before + 1, len(table) - 1)
    share = (position - before).astype(np.float32)[:, None]
    values: FloatArray = table[before] + share * (table[after] - table[before])
    return values


def input_table(features: Features) -> FloatArray:
    """Inputs of a synthesizer, (T, INPUTS) in [0, 1]."""
    return to_rate(np.concatenate([features[name] for name in DEFAULT_FEATURES], axis=1), features)


def target_tables(features: Features) -> dict[str, FloatArray]:
    """Features that the motion is compared with: name in `patches.schema.SCORED` -> (T, C) in [0, 1]."""
    heard, _ = sound_tables(features)
    return {name: to_rate(table, features) for name, table in heard.items()}


def at_several_scales(tables: Mapping[str, FloatArray], features: Features) -> dict[str, FloatArray]:
    """Add to features (T, C), by new names, what else an eye can follow of a song: each one's slow course; how fast a
    single envelope rises and falls; how loudness and the strokes of each range ring on.
    """
    from scipy.ndimage import gaussian_filter1d  # only synthesizers need it

    made = dict(tables)
    for name, table in tables.items():
        made[f"{name}, slow"] = gaussian_filter1d(table, SLOW * float(RATE), axis=0)
        if table.shape[1] == 1 and len(table) > 1:
            made[f"{name}, rising"] = np.gradient(table, axis=0).astype(np.float32)
    for name in RINGING if "onsets" in tables else ():
        for seconds in RING if name in features else ():
            ringing = hold_and_release(to_rate(features[name], features), seconds * float(RATE))
            made[f"{name}, ringing for {seconds} s"] = approach(ringing, RISE * float(RATE))
    return made


def centred(table: FloatArray) -> NDArray[np.float64]:
    """Table (T, C) centred in each window of the score and scaled to norm 1; a constant table becomes 0."""
    values = table.astype(np.float64)
    count = max(round(len(values) / (WINDOW * RATE)), 1)
    for start, stop in pairwise(round(len(values) * i / count) for i in range(count + 1)):
        values[start:stop] -= values[start:stop].mean(axis=0)
    size = float(np.abs(table).max(initial=0)) * table.size**0.5
    norm = float(np.linalg.norm(values))
    return values / norm if norm > STILL * size else np.zeros_like(values)


def centred_targets(tables: Mapping[str, FloatArray]) -> dict[str, NDArray[np.float64]]:
    """Tables centred and scaled to norm 1, without the constant ones."""
    every = {name: centred(table) for name, table in tables.items()}
    return {name: table for name, table in every.items() if table.any()}
