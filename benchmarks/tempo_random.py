"""Songs of random patterns, drum sounds and accompaniments: what the reading of the tempo is learned from.

None of them is one of benchmarks/tempo_songs.py. All chance comes from a song's number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from tempo_songs import HELD_OUT_KITS, Band, Kit, Pattern, Song

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Random = np.random.Generator

SLOWEST, FASTEST = 64.0, 186.0
STYLES = {
    "four": 0.22, "back": 0.2, "half": 0.12, "break": 0.12, "dembow": 0.07, "waltz": 0.07, "latin": 0.06,
    "every": 0.05, "triplet": 0.06, "melodic": 0.03,
}  # fmt: skip
FAIR: dict[str, tuple[float, ...]] = {"half": (1, 0.5), "break": (1, 0.5), "latin": (1, 0.5, 2)}
BASS = (
    "..x...x...x...x.", "x.x.x.x.x.x.x.x.", "x.......x.......", "x..x..x.x..x..x.", "x...x...x...x...",
    ".xxx.xxx.xxx.xxx", "xxxx", "x...............", "x.....x...x..x..",
)  # fmt: skip


def chosen(random: Random, *choices: str) -> str:
    """One of several."""
    return str(random.choice(choices))


def struck(random: Random, chances: NDArray[np.floating], soft: float = 0.15) -> str:
    """A pattern whose steps are struck with these probabilities, some of them softly."""
    return "".join(("o" if random.random() < soft else "x") if random.random() < p else "." for p in chances)


def with_strokes(pattern: str, places: NDArray[np.signedinteger]) -> str:
    """A pattern with full strokes at these steps."""
    steps = list(pattern)
    for place in places.astype(int):
        steps[place] = "x"
    return "".join(steps)


def hats(random: Random, steps: int, length: int) -> str:
    """Hi-hats on eighths, sixteenths, off-beats or beats, or none."""
    if steps == 3:
        return chosen(random, "x.x", "xxx", "x..x.x", "...") * (length // 3)
    bar = chosen(random, "x.x.", "xxxx", "xoxo", "xooo", "..x.", "x...", "....", "x.xx", "xxx.", "..xo", "ooxo")
    return bar * (length // 4)


@dataclass(frozen=True)
class Grid:
    """Steps of a pattern, by what they are in a bar."""

    count: NDArray[np.signedinteger]
    on: NDArray[np.signedinteger]
    """Beats."""
    ones: NDArray[np.signedinteger]
    back: NDArray[np.signedinteger]
    """Second and fourth beats."""
    threes: NDArray[np.signedinteger]
    between: NDArray[np.bool_]
    """Which steps are no beats."""
    syncopated: NDArray[np.floating]
    """Chances of a bass drum."""


def grid(steps: int, beats: int, bars: int) -> Grid:
    """All steps of some bars."""
    count = np.arange(steps * beats * bars)
    place, on = count % (steps * beats), count % steps == 0
    even = on | (2 * count % steps == 0)
    back = count[on & (place % (2 * steps) == steps)]
    ones = count[place == 0]
    return Grid(count, count[on], ones, back, ones + 2 * steps, ~on, np.where(even, 0.25, 0.07))


def random_pattern(random: Random) -> Pattern:
    """What a drummer of a random style might play."""
    style = str(random.choice(list(STYLES), p=list(STYLES.values())))
    steps = 3 if style == "triplet" or (style == "waltz" and random.random() < 0.4) else 4
    of = grid(steps, 3 if style == "waltz" else 4, int(random.choice([1, 1, 2])))
    second = str(random.choice(["snare", "clap", "rim"], p=[0.6, 0.3, 0.1]))
    voices = {"hat": "." * len(of.count) if style == "melodic" else hats(random, steps, len(of.count))}
    if style == "triplet":
        voices |= _with_snares(random, of, second, of.back)
    elif style != "melodic":
        voices |= DRUMMERS[style](random, of, second)
    swing = float(random.choice([0, 0, 0.2, 0.33])) if style == "back" else 0.0
    return Pattern(style, steps, voices, FAIR.get(style, (1,)), swing)


def _four(random: Random, of: Grid, second: str) -> dict[str, str]:
    """A bass drum on every beat, often snares on every second one, open hats half way, or more percussion."""
    length = len(of.count)
    voices = {"kick": with_strokes(struck(random, np.full(length, 0.02)), of.on)}
    if random.random() < 0.65:
        voices[second] = with_strokes(struck(random, 0.08 * of.between * (random.random() < 0.4), 1), of.back)
    if random.random() < 0.5:
        voices["open"] = "..x." * (length // 4)
    if random.random() < 0.3:
        other = "rim" if second != "rim" and random.random() < 0.6 else "snare"
        voices.setdefault(other, struck(random, np.where(of.between, 0.3, 0.05)))
    return voices


def _with_snares(random: Random, of: Grid, second: str, snares: NDArray[np.signedinteger]) -> dict[str, str]:
    """Snares at these steps and a syncopated bass drum that avoids them."""
    loose = random.uniform(0.4, 1.3) * np.where(np.isin(of.count, snares), random.choice([0, 0, 0.3]), of.syncopated)
    ghosts = 0.08 * of.between * (random.random() < 0.4)
    return {
        "kick": with_strokes(struck(random, loose), of.ones),
        second: with_strokes(struck(random, ghosts, float(random.choice([1, 0.4]))), snares),
    }


def _back(random: Random, of: Grid, second: str) -> dict[str, str]:
    voices = _with_snares(random, of, second, of.back)
    if random.random() < 0.4:
        voices["kick"] = with_strokes(voices["kick"], of.threes)
    return voices


def _half(random: Random, of: Grid, second: str) -> dict[str, str]:
    """A snare on the third beat; the last one may be late or early."""
    snares = of.threes.copy()
    if len(snares) > 1 and random.random() < 0.3:
        snares[-1] += random.choice([-2, 2, 4])
    voices = _with_snares(random, of, second, snares)
    return voices | {"hat": "x..x..x." * (len(of.count) // 8)} if random.random() < 0.3 else voices


def _break(random: Random, of: Grid, second: str) -> dict[str, str]:
    """Snares on second beats and around them; the last one may be moved."""
    snares = of.back.copy()
    if len(snares) > 2 and random.random() < 0.4:
        snares[-1] += random.choice([-2, 2])
    voices = _with_snares(random, of, "snare", snares)
    around = struck(random, random.choice([0.1, 0.2, 0.3]) * of.between, float(random.choice([1, 0.5, 0.1])))
    return voices | {"snare": with_strokes(around, snares)}


def _dembow(random: Random, of: Grid, second: str) -> dict[str, str]:
    """A snare in threes over a straight bass drum."""
    voices = {
        "kick": with_strokes("." * len(of.count), of.on if random.random() < 0.8 else of.on[::2]),
        second: chosen(random, "...x..x.", "...x..x.", "..xx..x.", "...x.xx.", "x..x..x.") * (len(of.count) // 8),
    }
    if random.random() < 0.25:
        voices["clap" if second != "clap" else "snare"] = with_strokes("." * len(of.count), of.back)
    return voices


def _waltz(random: Random, of: Grid, second: str) -> dict[str, str]:
    steps = int(of.on[1])
    offs = ((1, 2), (1, 2), (2,), (1,))[random.integers(4)]
    strokes = np.concatenate([of.ones + k * steps for k in offs])
    light = struck(random, 0.15 * of.between * (random.random() < 0.4))
    return {
        "kick": with_strokes(struck(random, 0.1 * of.syncopated), of.ones),
        second: with_strokes(light, strokes),
    }


def _latin(random: Random, of: Grid, second: str) -> dict[str, str]:
    """A clave over a bass drum in dotted notes."""
    claves = ("x.....x.....x.......x.....x.....", "x..x..x...x.x...", "x.....x...x.x...", "x..x...x..x.x...")
    return {
        "kick": chosen(random, "x..x..x.", "x.....x.", "x..x...x", "x.....x.x.....x.") * (len(of.count) // 8),
        "rim": chosen(random, *claves),
    }


def _every(random: Random, of: Grid, second: str) -> dict[str, str]:
    """Snares on all beats."""
    kicks = with_strokes(struck(random, of.syncopated * 0.5), of.ones)
    kicks = with_strokes(kicks, of.threes) if random.random() < 0.5 else kicks
    return {"kick": kicks, "snare": with_strokes("." * len(of.count), of.on)}


DRUMMERS = {
    "four": _four, "back": _back, "half": _half, "break": _break, "dembow": _dembow, "waltz": _waltz,
    "latin": _latin, "every": _every,
}  # fmt: skip


def random_kit(random: Random) -> Kit:
    """Drums between the extremes of what is heard in records."""
    between = random.uniform
    return Kit(
        (between(40, 75), between(30, 300), between(0.05, 0.3), between(0, 0.5)),
        (between(150, 260), between(0, 1), between(0.04, 0.16), between(400, 2600)),
        (between(0.012, 0.06), between(3500, 9000)),
        (between(0.4, 1), between(0.25, 0.6), between(0.05, 0.35)),
    )


def random_band(random: Random, name: str, style: str) -> Band:
    """Some accompaniment; the whole song where nobody drums."""
    bass = chosen(random, *BASS) if random.random() < 0.8 else struck(random, np.tile([0.6, 0.15, 0.4, 0.15], 4))
    return Band(
        name,
        pad=float(random.choice([0, 0.03, 0.06, 0.12])),
        bass=bass if random.random() < 0.55 else "",
        arpeggio=float(random.choice([0, 0, 0, 0.06, 0.12])),
        noise=10 ** random.uniform(-4, -1.5),
        without=tuple(voice for voice in ("hat", "open") if random.random() < 0.15),
        silent_drums=float(random.choice([0, 0, 0, 4])),
        jitter=float(random.choice([0, 0.003, 0.006, 0.009])),
        melody=0.2 if style == "melodic" else float(random.choice([0, 0, 0.15])),
    )


def random_song(seed: int, number: int) -> Song:
    """One of many songs."""
    random, name = np.random.default_rng(seed), f"random {number}"
    pattern, bpm = random_pattern(random), float(np.exp(random.uniform(np.log(SLOWEST), np.log(FASTEST))))
    HELD_OUT_KITS[name] = random_kit(random)
    return Song(pattern, bpm, name, random_band(random, name, pattern.name))
