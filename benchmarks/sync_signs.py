"""Sync of signs that flash with a sound and fade: how many are told, and how far off, by the kind of fall and the rate.

Two sets that nothing was fitted to: `alike` is drawn as the training's signs are, of other seeds; `other` has falls,
shapes, rhythms and sounds that training has not, and shows each frame as it is at its beginning, as programs do, so
that its picture is half a frame late on average. An offset is right within 40 ms of the truth.

    python benchmarks/sync_signs.py [--films 96] [--first 1000]
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from audioreactive.media.audio import ANALYSIS_RATE
from audioreactive.sync.heard import band_levels
from audioreactive.sync.measure import by_changes
from audioreactive.sync.research.signs import SECONDS, make_signs
from audioreactive.sync.seen import measure_changes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]
    Film = tuple[NDArray[np.uint8], float, FloatArray, float, str]

RIGHT = 0.04
RATES = (12.5, 18.0, 23.976, 29.97, 36.0, 59.94)
FALLS = ("rectangular", "linear", "exponential", "cosine", "root", "late")


def alike(seed: int) -> Film:
    """(frames, rate, sound, lag, kind of fall) of a film drawn as those of the training are."""
    film = make_signs(seed)
    return film.frames, film.fps, film.sound, 0.0, film.fall


def other(seed: int) -> Film:
    """The same with falls, shapes, rhythms and sounds that the training has not."""
    stream = np.random.RandomState([seed, 555])
    fps, fall = RATES[seed % len(RATES)], FALLS[seed // len(RATES) % len(FALLS)]
    moments = np.cumsum(stream.choice([1, 2, 3, 5], 40) * stream.uniform(0.2, 0.4)) + stream.uniform(0, 0.5)
    moments = moments[moments < SECONDS - 0.3]
    length, attack = stream.uniform(0.06, 0.5), stream.choice([0, 0, 1, 2]) / fps
    age = np.arange(round(SECONDS * fps))[:, None] / fps - moments
    age = np.where(age >= 0, age, np.inf).min(1)
    x = np.clip((age - attack) / length, 0, 1)
    share = {
        "rectangular": (x < 1) * 1.0, "linear": 1 - x, "exponential": np.exp(-4 * x) * (x < 1),
        "cosine": 0.5 + 0.5 * np.cos(np.pi * x), "root": np.sqrt(1 - x),
        "late": 1 - x**3,
    }[fall] * (np.clip(age / attack, 0, 1) if attack else 1)  # fmt: skip
    frames = np.rint(255 * np.clip(_shown(share, moments, fps, stream), 0, 1)).astype(np.uint8)
    return frames, fps, _struck(moments, stream), -0.5 / fps, fall


def _shown(
    share: NDArray[np.float64], moments: NDArray[np.float64], fps: float, stream: np.random.RandomState
) -> NDArray[np.float64]:
    """Frames with a diamond, a checkerboard, a frame around the picture, or a square that changes its place."""
    y, x = np.mgrid[0:45, 0:60]
    ground, colour = stream.permutation(np.stack([stream.uniform(0, 0.3, 3), stream.uniform(0.4, 1, 3)]))
    down, right = stream.uniform(12, 33), stream.uniform(12, 48)
    kind = stream.choice(["diamond", "checkerboard", "frame", "moving"])
    masks = {
        "diamond": abs(y - down) + abs(x - right) < stream.uniform(5, 18),
        "checkerboard": (y // 9 + x // 12) % 2 == 0,
        "frame": (abs(y - 22) > 17) | (abs(x - 30) > 25),
    }
    if kind != "moving":
        where = np.broadcast_to(masks[str(kind)], (len(share), 45, 60))
    else:
        newest = np.searchsorted(moments, np.arange(len(share)) / fps, side="right")
        places = stream.uniform(8, 37, (len(moments) + 1, 2))[newest]
        where = (abs(y - places[:, :1, None]) < 7) & (abs(x - places[:, 1:, None]) < 7)
    weight = (share[:, None, None] * where)[..., None]
    return np.asarray(ground + weight * (colour - ground))


def _struck(moments: NDArray[np.float64], stream: np.random.RandomState) -> FloatArray:
    """A clap, a bell, a plucked saw or a dull knock at each moment."""
    sound = 1e-4 * stream.standard_normal(round(SECONDS * ANALYSIS_RATE))
    time = np.arange(round(0.25 * ANALYSIS_RATE)) / ANALYSIS_RATE
    voice = stream.choice(["clap", "bell", "saw", "knock"])
    decay, pitch = stream.uniform(0.02, 0.15), stream.uniform(90, 900)
    for moment in moments:
        noise = stream.standard_normal(len(time))
        made = {
            "clap": noise * np.exp(-(time % 0.012) / 0.003) * np.exp(-time / 0.03),
            "bell": sum(np.sin(2 * np.pi * pitch * h * time) for h in (1, 2.76, 5.4)) * np.exp(-time / decay),
            "saw": ((pitch * time) % 1 - 0.5) * np.exp(-time / decay),
            "knock": np.convolve(noise, np.hanning(60), "same") * np.exp(-time / 0.04) / 5,
        }[str(voice)]
        first = round(moment * ANALYSIS_RATE)
        sound[first : first + len(made)] += (0.3 * made)[: len(sound) - first]
    return np.asarray(sound, np.float32)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=96)
    parser.add_argument("--first", type=int, default=1000, help="seed of the first film")
    options = parser.parse_args()
    for name, make in (("alike", alike), ("other", other)):
        errors: dict[str, list[float]] = defaultdict(list)
        for seed in range(options.first, options.first + options.films):
            frames, fps, sound, lag, fall = make(seed)
            found = by_changes(
                measure_changes(frames),
                np.divide(np.arange(len(frames)) + 0.5, fps, dtype=np.float64),
                band_levels(sound),
            )
            error = found.estimate.lag - lag if found.is_clear else np.nan
            for key in ("all", fall, "under 28 a second" if fps < 28 else "28 a second and more"):
                errors[key].append(error)
        print(f"{name}: | | films | told | right | wrong | median of the error's size in ms |")
        for key, values in errors.items():
            told = np.abs([value for value in values if not np.isnan(value)])
            right = int((told < RIGHT).sum())
            middle = f"{1e3 * np.median(told):.0f}" if len(told) else "-"
            print(f"| {key} | {len(values)} | {len(told)} | {right} | {len(told) - right} | {middle} |", flush=True)


if __name__ == "__main__":
    main()
