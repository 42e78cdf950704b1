"""What speaks for a reading of a song: what the drums do on each beat of a steady grid, and between the beats.

Conventions: a path is the frames of beats on the fine grid; an offset moves it by a share of a beat. The rhythm around
a path is described by its turns: a stroke at some share of a bar of four beats is a point on the circle, and the mean
of all points, k times around, says how much a band repeats k times in a bar, and where.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import maximum_filter1d

from audioreactive.features.grid import FINE_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]
    Doubles = NDArray[np.float64]

TABLE = "assets/tempo.csv"
BANDS = {"kick": (0.0, 130.0), "body": (130.0, 500.0), "snare": (800.0, 4000.0), "hat": (6000.0, 13_000.0)}
"""Hz between which the drums are told apart. The body is that of a snare, or a bass."""
KICK, BODY, SNARE, HAT = range(len(BANDS))
CORRELATED = ("flux", "kick", "snare", "hat")
STEPS = (4, 8, 12, 16)
"""Repetitions in a bar of beats, and of two, three and four strokes a beat."""
BAR = (1, 2, 3, 6)
"""Repetitions in a bar that are none in a beat: once, every second beat, in threes, and in dotted notes."""
ALIGNED = {1: 4, 2: 2, 3: 4, 6: 2}
"""Repetitions in a bar, and after how many of them the beats' own places are the same."""
PAIRS = ((KICK, SNARE), (KICK, BODY))
STROKES = (
    "drums on beats", "drums half way", "kick on beats and snare half way", "kick on beats", "kick half way",
    "snare on beats", "snare half way", "hat on beats", "hat half way", "silent beats",
)  # fmt: skip
SILENT = 0.3
"""Strength of a stroke below which there is none."""
MOST_DEVIATIONS = 4.0
"""A piece of evidence counts at most as much as this many deviations from its mean."""


@dataclass(frozen=True)
class Heard:
    """What readings are compared on."""

    onsets: FloatArray
    """(frames,) flux."""
    drums: FloatArray
    """(frames, 4) strokes, in the order of BANDS: about 1 for a loud one."""
    balance: Doubles
    """(4,) logarithm of how loud each band is."""
    correlation: Doubles
    """(lags, 4) mean autocorrelation, in the order of CORRELATED."""

    def part(self, span: slice) -> Heard:
        """Some frames of it, with what is known of the whole song."""
        return Heard(self.onsets[span], self.drums[span], self.balance, self.correlation)


def _names() -> tuple[str, ...]:
    bands, low = list(BANDS), list(BANDS)[:HAT]
    names = [f"{band} {k} in step" for band, k in product(bands, STEPS)]
    names += [f"{band} {k} late" for band, k in product(bands, STEPS[:2])]
    names += [f"{band} {k} in a bar" for band, k in product(low, BAR)]
    names += [f"{band} {k} in a bar, on beats" for band, k in product(low, BAR)]
    names += [f"{band} every third beat" for band in low]
    names += [f"{bands[a]} with {bands[b]} {k} in a bar" for (a, b), k in product(PAIRS, BAR)]
    names += STROKES
    names += [f"{band} again after {beats}" for band, beats in product(CORRELATED, ("half", 1, 2, 3, 4))]
    names += ["flux again, against the clearest", "octaves", "octaves squared", "too fast", "too slow"]
    return (*names, "loudness of body", "loudness of snare", "loudness of hat")


EVIDENCE = _names()


def measured(path: Doubles, heard: Heard, period: float, offsets: Doubles) -> Doubles:
    """(offsets, EVIDENCE) of a path of beats that is moved by each of some shares of a beat."""
    turns, thirds = _turns(path, heard.drums)
    places = np.exp(-0.5j * np.pi * offsets[:, None] * np.arange(1, STEPS[-1] + 1))
    moved = turns * places[:, None, :]  # (offsets, bands, 16)
    steps, low, bar = np.array(STEPS) - 1, turns[:HAT], np.array(BAR) - 1
    powers = np.array([ALIGNED[k] for k in BAR])
    partial = moved[:, :HAT, bar]
    aligned = np.real(partial**powers) / np.maximum(np.abs(partial) ** (powers - 1), 1e-9)
    together = [np.real(turns[a, bar] * np.conj(turns[b, bar])) for a, b in PAIRS]
    each = (moved[..., steps].real, moved[..., steps[:2]].imag, aligned, _strokes(path, heard.drums, offsets))
    in_step, late, on_beats, strokes = (values.reshape(len(offsets), -1) for values in each)
    fixed = (np.abs(low[:, bar]).ravel(), thirds, np.ravel(together), _again(heard, period))
    in_bar, thirds, with_others, again = (np.broadcast_to(values, (len(offsets), len(values))) for values in fixed)
    return np.concatenate((in_step, late, in_bar, on_beats, thirds, with_others, strokes, again), axis=1)


def between(evidence: NDArray[np.floating]) -> Doubles:
    """(readings,) how much kick and snare take turns at half a beat, 0 or more: twice the tempo has both on beats."""
    names = ("kick on beats", "kick half way", "snare on beats", "snare half way")
    kick, kick_off, snare, snare_off = evidence[:, [EVIDENCE.index(name) for name in names]].T.astype(np.float64)
    turns = np.maximum(np.minimum(kick, snare_off) - snare, 0)
    return np.asarray(turns + np.maximum(np.minimum(kick_off, snare) - snare_off, 0))


def _turns(path: Doubles, drums: FloatArray) -> tuple[Doubles, Doubles]:
    """(bands, 16) complex means of each band's strokes around a bar, and how much three of them repeat in threes."""
    frames = np.arange(int(np.ceil(path[0])), min(int(path[-1]) + 1, len(drums)))
    beats = np.interp(frames, path, np.arange(len(path)))
    weights = np.power(drums[frames].astype(np.float64), 1.5)
    weights /= np.maximum(weights.sum(axis=0), 1e-9)
    wave = np.exp(0.5j * np.pi * beats)
    around = np.cumprod(np.broadcast_to(wave, (STEPS[-1], len(wave))), axis=0)
    thirds = np.abs(weights[:, :HAT].T @ np.exp(2j * np.pi * beats / 3))
    return (around @ weights).T, thirds


def _strokes(path: Doubles, drums: FloatArray, offsets: Doubles) -> Doubles:
    """(offsets, STROKES) mean strength of strokes on the beats and half way between them."""
    strength = np.minimum(maximum_filter1d(drums, 5, axis=0), 1.5)
    beats = path[:-1] + np.diff(path) * offsets[:, None]
    halves = 0.5 * (beats[:, :-1] + beats[:, 1:])
    on, off = (strength[np.round(at).astype(int).clip(0, len(drums) - 1)] for at in (beats, halves))
    kick, snare, hat = on[..., KICK].mean(axis=1), on[..., SNARE].mean(axis=1), on[..., HAT].mean(axis=1)
    kick_off, snare_off, hat_off = (off[..., band].mean(axis=1) for band in (KICK, SNARE, HAT))
    both = [np.maximum(at[..., KICK], at[..., SNARE]).mean(axis=1) for at in (on, off)]
    silent = (on.max(axis=2) < SILENT).mean(axis=1)
    apart = np.minimum(snare_off, kick)
    return np.stack((*both, apart, kick, kick_off, snare, snare_off, hat, hat_off, silent), axis=1)


def _again(heard: Heard, period: float) -> Doubles:
    """How well flux and drums repeat after some beats, the pace, and how loud the drums are against the kick."""
    lags = np.arange(len(heard.correlation))
    beats = np.array([0.5, 1, 2, 3, 4]) * period
    again = np.array([np.interp(beats, lags, column) for column in heard.correlation.T])
    clearest = heard.correlation[FINE_RATE // 4 :, 0].max(initial=1e-9)
    octaves = float(np.log2(60 * FINE_RATE / period / 120))
    fast, slow = max(octaves - 0.5, 0.0) ** 2, max(-octaves - 0.5, 0.0) ** 2
    pace = (np.log(max(again[0, 1] / clearest, 0.02)), octaves, octaves**2, fast, slow)
    return np.concatenate((again.ravel(), pace, heard.balance[1:] - heard.balance[0]))


@dataclass(frozen=True)
class Judge:
    """A small network that says how probable a reading is: a weighted sum of the evidence, straight and through units
    that answer to several pieces of it at once.
    """

    mean: Doubles
    deviation: Doubles
    direct: Doubles
    """(evidence,)."""
    units: Doubles
    """(evidence, units)."""
    start: Doubles
    """(units,)."""
    effect: Doubles
    """(units,)."""

    def scores(self, evidence: NDArray[np.floating]) -> Doubles:
        """(readings,) logarithm of the probability, up to a constant that all readings of a song share."""
        standard = ((evidence - self.mean) / self.deviation).clip(-MOST_DEVIATIONS, MOST_DEVIATIONS)
        total: Doubles = standard @ self.direct + np.tanh(standard @ self.units + self.start) @ self.effect
        return total


@cache
def judge() -> Judge:
    """The network that benchmarks/tempo_weights.py fitted."""
    with (files("audioreactive") / TABLE).open(encoding="utf-8") as file:
        rows = {row[0]: [float(cell or 0) for cell in row[1:]] for row in list(csv.reader(file))[1:]}
    table = np.array([rows[name] for name in EVIDENCE])
    start, effect = np.array(rows["start"])[3:], np.array(rows["effect"])[3:]
    return Judge(table[:, 0], table[:, 1], table[:, 2], table[:, 3:], start, effect)
