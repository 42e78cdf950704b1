"""How much each piece of evidence counts when the tempo is chosen: fits WEIGHTS of audioreactive/features/metre.py.

Hears songs of random patterns, drum sounds and accompaniments, none of which are those of benchmarks/tempo_songs.py,
and fits a conditional logit: of all readings of a song, one whose tempo is fair and whose beats are true ones should be
the most probable. Prints the table of weights, and the share of songs that they read rightly.

    python benchmarks/tempo_weights.py [--songs 300]
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.optimize
from tempo_songs import HELD_OUT_KITS, RATE, Band, Kit, Pattern, Song

from audioreactive.features import metre
from audioreactive.features.blocks import Wanted, measure
from audioreactive.features.grid import FINE_RATE
from audioreactive.features.listening import TEMPO_STRIDE, mix_onsets
from audioreactive.features.tempo import ANY_TEMPO
from audioreactive.media.audio import from_samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Doubles = NDArray[np.float64]
    Random = np.random.Generator

FIRST_SEED = 3000
SECONDS = 22.0
SLOWEST, FASTEST = 64.0, 186.0
CLOSE = 0.055
"""Seconds within which nine of ten beats of a right reading lie."""
RIDGE = 10.0
"""Weight of the squares of the standardised weights, against overfitting."""
STYLES = {
    "four": 0.2, "back": 0.2, "half": 0.1, "break": 0.12, "dembow": 0.08, "waltz": 0.08, "latin": 0.05,
    "every": 0.05, "triplet": 0.07, "melodic": 0.05,
}  # fmt: skip
FAIR: dict[str, tuple[float, ...]] = {"half": (1, 0.5), "break": (1, 0.5), "latin": (1, 0.5, 2)}
BASS = (
    "..x...x...x...x.", "x.x.x.x.x.x.x.x.", "x.......x.......", "x..x..x.x..x..x.", "x...x...x...x...",
    ".xxx.xxx.xxx.xxx", "xxxx", "x...............", "x.....x...x..x..",
)  # fmt: skip


def chosen(random: Random, *choices: str) -> str:
    """One of several."""
    return str(random.choice(choices))


def struck(random: Random, chances: Doubles, soft: float = 0.15) -> str:
    """A pattern whose steps are struck with these probabilities, some of them softly."""
    return "".join(("o" if random.random() < soft else "x") if random.random() < p else "." for p in chances)


def with_strokes(pattern: str, places: Doubles) -> str:
    """A pattern with full strokes at these steps."""
    steps = list(pattern)
    for place in places.astype(int):
        steps[place] = "x"
    return "".join(steps)


def hats(random: Random, steps: int, length: int) -> str:
    """Hi-hats on eighths, sixteenths, off-beats or beats, or none."""
    if steps == 3:
        return chosen(random, "x.x", "xxx", "...") * (length // 3)
    bar = chosen(random, "x.x.", "xxxx", "xoxo", "xooo", "..x.", "x...", "....", "x.xx", "xxx.")
    return bar * (length // 4)


def random_pattern(random: Random) -> Pattern:
    """What a drummer of a random style might play."""
    style = str(random.choice(list(STYLES), p=list(STYLES.values())))
    steps, beats, bars = 3 if style == "triplet" else 4, 3 if style == "waltz" else 4, int(random.choice([1, 1, 2]))
    bar, length = beats * steps, beats * steps * bars
    count = np.arange(length)
    on, ones = count[count % steps == 0], count[count % bar == 0]
    back = count[(count % bar % (2 * steps) == steps) & (count % steps == 0)]
    threes = ones + 2 * steps
    syncopated = np.where(count % steps == 0, 0.25, np.where(2 * count % steps == 0, 0.25, 0.07))
    ghosts = np.where(count % steps == 0, 0.0, 0.08) * (random.random() < 0.4)
    second = str(random.choice(["snare", "clap", "rim"], p=[0.6, 0.3, 0.1]))
    rests = "." * length
    voices = {"hat": rests if style == "melodic" else hats(random, steps, length)}
    if style == "four":
        voices["kick"] = with_strokes(struck(random, np.full(length, 0.02)), on)
        if random.random() < 0.65:
            voices[second] = with_strokes(struck(random, ghosts, 1), back)
        if random.random() < 0.5:
            voices["open"] = "..x." * (length // 4)
    elif style == "dembow":
        voices["kick"] = with_strokes(rests, on if random.random() < 0.8 else on[::2])
        voices[second] = chosen(random, "...x..x.", "..xx..x.", "...x.xx.") * (length // 8)
    elif style == "waltz":
        voices["kick"] = with_strokes(rests, ones)
        offs = (1, 2) if random.random() < 0.7 else (2,)
        voices[second] = with_strokes(rests, np.concatenate([ones + k * steps for k in offs]))
    elif style == "latin":
        voices["kick"] = chosen(random, "x..x..x.", "x.....x.", "x..x...x") * (length // 8)
        voices["rim"] = chosen(random, "x.....x.....x.......x.....x.....", "x..x..x...x.x...", "x.....x...x.x...")
    elif style == "every":
        voices["kick"] = with_strokes(struck(random, syncopated * 0.5), ones)
        voices["snare"] = with_strokes(rests, on)
    elif style != "melodic":
        snares = threes if style == "half" else back
        kicks = with_strokes(struck(random, np.where(np.isin(count, snares), 0, syncopated)), ones)
        if style == "break":
            ghosts = np.where(count % steps == 0, 0.0, 0.2)
        voices["kick"] = with_strokes(kicks, threes) if style == "back" and random.random() < 0.4 else kicks
        voices[second] = with_strokes(struck(random, ghosts, 1), snares)
    swing = float(random.choice([0, 0, 0.2, 0.33])) if style == "back" else 0.0
    return Pattern(style, steps, voices, FAIR.get(style, (1,)), swing)


def random_kit(random: Random) -> Kit:
    """Drums between the extremes of what is heard in records."""
    between = random.uniform
    return Kit(
        (between(40, 70), between(30, 280), between(0.05, 0.3), between(0, 0.5)),
        (between(160, 250), between(0, 0.9), between(0.04, 0.14), between(400, 2500)),
        (between(0.012, 0.06), between(3500, 9000)),
        (between(0.4, 1), between(0.25, 0.6), between(0.05, 0.3)),
    )


def random_band(random: Random, name: str, style: str) -> Band:
    """Some accompaniment; the whole song where nobody drums."""
    return Band(
        name,
        pad=float(random.choice([0, 0.03, 0.06, 0.12])),
        bass=chosen(random, *BASS) if random.random() < 0.55 else "",
        arpeggio=float(random.choice([0, 0, 0, 0.06, 0.12])),
        noise=10 ** random.uniform(-4, -1.5),
        without=tuple(voice for voice in ("hat", "open") if random.random() < 0.15),
        silent_drums=float(random.choice([0, 0, 0, 7])),
        jitter=float(random.choice([0, 0.003, 0.006, 0.009])),
        melody=0.2 if style == "melodic" else float(random.choice([0, 0, 0.15])),
    )


@dataclass(frozen=True)
class Heard:
    """All readings of a song."""

    evidence: Doubles
    """(readings, len(EVIDENCE))."""
    right: NDArray[np.bool_]


def hear(song: Song) -> Heard:
    """Measure all readings of a song, and compare them with the truth."""
    samples = from_samples(song.sound(SECONDS), RATE).samples
    measured = measure(samples, Wanted(frozenset({"mix.rms"})), lambda share: None)
    onsets, drums = mix_onsets(measured), metre.drum_onsets(measured["mix.attack"])
    correlation = metre.correlations(onsets, drums, TEMPO_STRIDE)
    rows, right = [], []
    for period in metre.candidates(correlation, ANY_TEMPO):
        for beats, evidence in metre.measured_readings(onsets, drums, correlation, period):
            verdict = song.verdict(60 * FINE_RATE / period, np.maximum(beats - 0.5, 0) / FINE_RATE)
            rows.append(evidence)
            right.append(verdict.tempo_right and verdict.off <= CLOSE)
    return Heard(np.array(rows), np.array(right))


def fit(songs: list[Heard]) -> Doubles:
    """Weights that make right readings probable."""
    rows = np.concatenate([song.evidence for song in songs])
    scale = rows.std(axis=0) + 1e-9
    standard = (rows - rows.mean(axis=0)) / scale
    right = np.concatenate([song.right for song in songs])
    sizes = [len(song.right) for song in songs]
    starts, owner = np.cumsum([0, *sizes[:-1]]), np.repeat(np.arange(len(songs)), sizes)

    def loss(weights: Doubles) -> tuple[float, Doubles]:
        score = standard @ weights
        shares = np.exp(score - np.maximum.reduceat(score, starts)[owner])
        total, good = np.add.reduceat(shares, starts), np.add.reduceat(shares * right, starts)
        slope = standard.T @ (shares / total[owner] - shares * right / good[owner]) + RIDGE * weights
        return float(np.log(total / good).sum() + 0.5 * RIDGE * weights @ weights), slope

    found = scipy.optimize.minimize(loss, np.zeros(rows.shape[1]), jac=True, method="L-BFGS-B")
    weights: Doubles = found.x / scale
    return weights


def main() -> None:
    """Print the weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--songs", type=int, default=300)
    options = parser.parse_args()
    heard = []
    for i in range(options.songs):
        random = np.random.default_rng(FIRST_SEED + i)
        pattern, bpm = random_pattern(random), float(np.exp(random.uniform(np.log(SLOWEST), np.log(FASTEST))))
        HELD_OUT_KITS[f"random {i}"] = random_kit(random)
        heard.append(hear(Song(pattern, bpm, f"random {i}", random_band(random, f"random {i}", pattern.name))))
    possible = [song for song in heard if song.right.any()]
    weights = fit(possible)
    for name, weight in zip(metre.EVIDENCE, weights, strict=True):
        print(f'    "{name}": {weight:.2f},')
    right = sum(bool(song.right[np.argmax(song.evidence @ weights)]) for song in possible)
    print(f"{right} of {len(heard)} read rightly; {len(heard) - len(possible)} have no right reading among their own")


if __name__ == "__main__":
    main()
