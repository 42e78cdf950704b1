"""How much each piece of evidence counts when the tempo is chosen: writes audioreactive/assets/tempo.csv.

Hears songs of random patterns, drum sounds and accompaniments (benchmarks/tempo_random.py), none of which are those of
benchmarks/tempo_songs.py, and fits a small network to them by conditional logit: of all readings of a song, one whose
tempo is fair and whose beats are true ones should be the most probable. Several networks that start from different
random numbers are averaged into one. Prints the share of further songs, not fitted to, that it reads rightly.

    python benchmarks/tempo_weights.py [--songs 1600] [--cache DIR] [--table FILE]

The evidence of each song is kept in the cache and found there again: empty it when the measurements have changed.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import scipy.optimize
from tempo_random import random_song
from tempo_songs import RATE, Song

import audioreactive
from audioreactive.features import metre
from audioreactive.features.blocks import Wanted, measure
from audioreactive.features.evidence import EVIDENCE, MOST_DEVIATIONS, TABLE, Judge, measured
from audioreactive.features.grid import FINE_RATE
from audioreactive.features.listening import TEMPO_STRIDE, mix_onsets
from audioreactive.features.tempo import ANY_TEMPO
from audioreactive.media.audio import from_samples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Doubles = NDArray[np.float64]

FIRST_SEED = 10_000
SECONDS = 16.0
CLOSE = 0.055
"""Seconds within which nine of ten beats of a right reading lie."""
RIDGE = 10.0
"""Weight of the squares of the standardised weights, against overfitting."""
EFFECT_RIDGE = 1.0
"""The same of what the units add."""
NETWORKS, UNITS = 3, 4
ROUNDS = 250
LEFT_OUT = 10
"""One song in ten is not fitted to."""


@dataclass(frozen=True)
class Readings:
    """All readings of a song."""

    evidence: NDArray[np.float32]
    """(readings, len(EVIDENCE))."""
    right: NDArray[np.bool_]


def hear(song: Song) -> Readings:
    """Measure all readings of a song, and compare them with the truth."""
    samples = from_samples(song.sound(SECONDS), RATE).samples
    raw = measure(samples, Wanted(frozenset({"mix.rms"})), lambda share: None)
    heard = metre.hear(mix_onsets(raw), raw["mix.attack"], stride=TEMPO_STRIDE)
    grids = metre.SteadyGrids(heard)
    rows, right = [], []
    for period in metre.candidates(heard.correlation, ANY_TEMPO):
        readings = grids.readings(period)
        rows.append(measured(readings.path, heard, readings.period, readings.offsets))
        for beats in readings.moved():
            verdict = song.verdict(60 * FINE_RATE / readings.period, np.maximum(beats - 0.5, 0) / FINE_RATE)
            right.append(verdict.tempo_right and verdict.off <= CLOSE)
    return Readings(np.concatenate(rows).astype(np.float32), np.array(right))


def kept(number: int, cache: Path) -> Readings:
    """The readings of a song, from the cache if they are there."""
    seed = FIRST_SEED + number
    path = cache / f"{seed}.npz"
    if path.exists():
        with np.load(path) as file:
            return Readings(file["evidence"], file["right"])
    found = hear(random_song(seed, number))
    np.savez(path, evidence=found.evidence, right=found.right)
    return found


class Fit:
    """The conditional logit of many songs."""

    def __init__(self, songs: Sequence[Readings]) -> None:
        rows = np.concatenate([song.evidence for song in songs]).astype(np.float64)
        self.mean, self.deviation = rows.mean(axis=0), rows.std(axis=0) + 1e-6
        self._standard = ((rows - self.mean) / self.deviation).clip(-MOST_DEVIATIONS, MOST_DEVIATIONS)
        self._standard = self._standard.astype(np.float32)
        self._right = np.concatenate([song.right for song in songs])
        sizes = [len(song.right) for song in songs]
        self._starts, self._owner = np.cumsum([0, *sizes[:-1]]), np.repeat(np.arange(len(songs)), sizes)

    def network(self, seed: int) -> Judge:
        """A network that starts from some random numbers."""
        random, count = np.random.default_rng(seed), len(EVIDENCE)
        units = random.normal(0, 0.6 / np.sqrt(count), count * UNITS)
        first = np.concatenate([np.zeros(count), units, np.zeros(UNITS), random.normal(0, 0.5, UNITS)])
        options = {"maxiter": ROUNDS}
        found = scipy.optimize.minimize(self._loss, first, jac=True, method="L-BFGS-B", options=options)
        return Judge(self.mean, self.deviation, *_unpacked(found.x))

    def _loss(self, packed: Doubles) -> tuple[float, Doubles]:
        """Minus the logarithm of the probability of right readings, and its slope."""
        direct, units, start, effect = _unpacked(packed.astype(np.float32))
        answer = np.tanh(self._standard @ units + start)
        score = (self._standard @ direct + answer @ effect).astype(np.float64)
        shares = np.exp(score - np.maximum.reduceat(score, self._starts)[self._owner])
        total = np.add.reduceat(shares, self._starts)
        good = np.maximum(np.add.reduceat(shares * self._right, self._starts), 1e-12)
        slope = (shares / total[self._owner] - shares * self._right / good[self._owner]).astype(np.float32)
        inner = np.outer(slope, effect) * (1 - answer**2)
        slopes = (
            self._standard.T @ slope + RIDGE * direct,
            (self._standard.T @ inner + RIDGE * units).ravel(),
            inner.sum(axis=0),
            answer.T @ slope + EFFECT_RIDGE * effect,
        )
        ridge = RIDGE * (direct @ direct + (units**2).sum()) + EFFECT_RIDGE * effect @ effect
        return float(np.log(total / good).sum() + 0.5 * ridge), np.concatenate(slopes).astype(np.float64)


def _unpacked(packed: NDArray[np.floating]) -> tuple[Doubles, Doubles, Doubles, Doubles]:
    direct, units, start, effect = np.split(packed, np.cumsum([len(EVIDENCE), len(EVIDENCE) * UNITS, UNITS]))
    return direct, units.reshape(len(EVIDENCE), UNITS), start, effect


def averaged(networks: Sequence[Judge]) -> Judge:
    """One network that scores as these do in the mean."""
    return Judge(
        networks[0].mean,
        networks[0].deviation,
        np.mean([one.direct for one in networks], axis=0),
        np.concatenate([one.units for one in networks], axis=1),
        np.concatenate([one.start for one in networks]),
        np.concatenate([one.effect for one in networks]) / len(networks),
    )


def write(judge: Judge, path: Path) -> None:
    """The table that `audioreactive.features.evidence` reads."""
    width = len(judge.start)
    rows: list[tuple[str, ...]] = [
        ("evidence", "mean", "deviation", "direct", *(f"unit {i + 1}" for i in range(width)))
    ]
    columns = np.column_stack((judge.mean, judge.deviation, judge.direct, judge.units))
    rows += [(name, *(f"{value:.4g}" for value in row)) for name, row in zip(EVIDENCE, columns, strict=True)]
    for name, values in (("start", judge.start), ("effect", judge.effect)):
        rows.append((name, "", "", "", *(f"{value:.4g}" for value in values)))
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def share_right(judge: Judge, songs: Sequence[Readings]) -> float:
    """How many songs are read rightly."""
    return float(np.mean([song.right[np.argmax(judge.scores(song.evidence))] for song in songs]))


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--songs", type=int, default=1600)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--table", type=Path, default=Path(audioreactive.__file__).parent / TABLE)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cache = options.cache or Path(folder)
        cache.mkdir(parents=True, exist_ok=True)
        songs = [kept(number, cache) for number in range(options.songs)]
    fitted = [song for i, song in enumerate(songs) if i % LEFT_OUT and song.right.any()]
    others = songs[::LEFT_OUT]
    fit = Fit(fitted)
    judge = averaged([fit.network(seed) for seed in range(NETWORKS)])
    write(judge, options.table)
    print(f"{share_right(judge, fitted):.1%} of {len(fitted)} songs that were fitted to are read rightly")
    print(f"{share_right(judge, others):.1%} of {len(others)} others are")


if __name__ == "__main__":
    main()
