"""Small films of plain signs that light up or go dark with a sound and fade: what a picture made by a program shows.

Each film has one sign (a rectangle, a disc, a ring, a bar, the whole picture) of one colour, on one ground, with one
attack and one fall; all of it is drawn by chance from wide ranges. An event begins where its attack does.

Conventions: T frames, (T, H, W, 3) uint8, at `fps`; a frame shows what happens around the middle of the time for which
it is shown, so that the offset is 0. Sound at `ANALYSIS_RATE`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, get_args

import numpy as np

from audioreactive.media.audio import ANALYSIS_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]

Fall = Literal["rectangular", "linear", "exponential", "squared", "held"]
FALLS: Final[tuple[Fall, ...]] = get_args(Fall)
Voice = Literal["click", "burst", "tone", "kick"]
VOICES: Final[tuple[Voice, ...]] = get_args(Voice)
RATES: Final = (15.0, 20.0, 24.0, 25.0, 30.0, 48.0, 50.0, 60.0)
SIZES: Final = ((36, 64), (48, 64), (64, 64), (64, 36), (27, 64))
SECONDS: Final = 10.0
FALL_SECONDS: Final = (0.03, 0.6)
HELD: Final = 0.5
"""Share of a fall that is held before it falls linearly."""
MOST_ATTACK: Final = 2.0
"""Frames of the longest attack."""
_LEAST_CONTRAST: Final = 0.08
_MOMENTS: Final = 6
"""Moments that are averaged in a frame."""


@dataclass(frozen=True, eq=False)
class SignFilm:
    """A made film of a sign, in sync."""

    frames: NDArray[np.uint8]
    fps: float
    sound: FloatArray
    fall: Fall
    voice: Voice

    @property
    def middles(self) -> NDArray[np.float64]:
        """(T,) middle of the time for which each frame is shown."""
        middles: NDArray[np.float64] = np.divide(np.arange(len(self.frames)) + 0.5, self.fps, dtype=np.float64)
        return middles


def make_signs(seed: int, *, seconds: float = SECONDS) -> SignFilm:
    """The film of a seed; falls, sounds and rates take turns, all else is drawn."""
    stream = np.random.RandomState([seed, 77])
    fps = float(RATES[stream.randint(len(RATES))]) if stream.random_sample() < 0.7 else stream.uniform(14, 62)
    fall, voice = FALLS[seed % len(FALLS)], VOICES[seed // len(FALLS) % len(VOICES)]
    moments = sign_moments(seconds, stream)
    strengths = stream.uniform(0.4, 1, len(moments)) if stream.random_sample() < 0.4 else np.ones(len(moments))
    length = float(np.exp(stream.uniform(*np.log(FALL_SECONDS))))
    attack = stream.uniform(0, MOST_ATTACK) / fps if stream.random_sample() < 0.6 else 0.0
    shutter = stream.uniform(0, 1)
    shown = (np.arange(round(seconds * fps)) + 0.5)[:, None] / fps
    shown = shown + (np.arange(_MOMENTS) + 0.5 - _MOMENTS / 2) / _MOMENTS * shutter / fps
    levels = sign_levels(
        shown.ravel(), moments, strengths, fall, length, attack, str(stream.choice(["newest", "most"]))
    )
    share = levels.reshape(len(shown), _MOMENTS).mean(1)
    return SignFilm(_painted(share, stream), fps, _voiced(voice, moments, strengths, seconds, stream), fall, voice)


def sign_moments(seconds: float, stream: np.random.RandomState) -> NDArray[np.float64]:
    """Moments of the events: irregular, or on a grid of which some places are empty."""
    gap = float(np.exp(stream.uniform(np.log(0.3), np.log(1.6))))
    count = int(3 * seconds / gap) + 4
    how = stream.random_sample()
    if how < 0.45:
        moments = np.cumsum(gap * stream.uniform(0.5, 1.5, count))
    elif how < 0.7:
        moments = np.cumsum(gap * stream.gamma(4.0, 0.25, count))
    else:
        grid = np.arange(count) * gap / 2 + stream.uniform(0, gap)
        moments = grid[stream.random_sample(count) < stream.uniform(0.4, 0.8)] if how < 0.93 else grid[::2]
    inside = moments[moments < seconds - 0.2]
    return inside if len(inside) else np.array([seconds / 2])


def sign_levels(
    shown: NDArray[np.float64],
    moments: NDArray[np.float64],
    strengths: NDArray[np.float64],
    fall: Fall,
    length: float,
    attack: float,
    overlap: str,
) -> NDArray[np.float64]:
    """How far the sign has come out at each moment that is shown, in [0, 1].

    Args:
        shown: moments in seconds.
        moments: those of the events.
        strengths: how far each event brings it out.
        fall: form of the fall.
        length: seconds of the fall.
        attack: seconds of the attack.
        overlap: what shows of several events: the `newest`, or the `most` of all.
    """
    age = shown[:, None] - moments
    rise = np.clip(age / attack, 0, 1) if attack else np.ones_like(age)
    since = np.maximum(age - attack, 0)
    rest = np.clip(1 - since / length, 0, 1)
    falls = {
        "rectangular": (since < length).astype(np.float64), "linear": rest, "squared": rest**2,
        "held": np.minimum(rest / (1 - HELD), 1),
        "exponential": np.exp(-3 * since / length),
    }[fall]  # fmt: skip
    values = np.where(age >= 0, strengths * rise * falls, 0.0)
    if overlap == "most":
        return np.asarray(values.max(1))
    newest = np.searchsorted(moments, shown, side="right") - 1
    return np.where(newest >= 0, values[np.arange(len(shown)), np.maximum(newest, 0)], 0.0)


def _painted(share: NDArray[np.float64], stream: np.random.RandomState) -> NDArray[np.uint8]:
    """Frames in which the sign has come out so far."""
    height, width = SIZES[stream.randint(len(SIZES))]
    ground, colour = _colours(stream)
    texture: NDArray[np.floating] = np.ones((height, width, 1))
    if stream.random_sample() < 0.3:
        coarse = stream.uniform(0.7, 1, (4, 4, 3))
        texture = np.kron(coarse, np.ones((-(-height // 4), -(-width // 4), 1)))[:height, :width]
    mask = _mask(height, width, stream)[..., None]
    picture = ground * texture
    change = (mask * (colour - picture)).astype(np.float32)
    frames: FloatArray = picture.astype(np.float32) + share[:, None, None, None].astype(np.float32) * change
    if stream.random_sample() < 0.5:
        grain = np.float32(stream.uniform(0.001, 0.012))
        frames += grain * stream.standard_normal(frames.shape).astype(np.float32)
    return np.asarray(np.rint(np.clip(frames, 0, 1) * 255), np.uint8)


def _colours(stream: np.random.RandomState) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(of the ground, of the sign), greys in half of the films."""
    while True:
        pair = stream.uniform(0, 1, (2, 3))
        if stream.random_sample() < 0.5:
            pair[:] = pair[:, :1]
        if np.abs(pair[0] - pair[1]).mean() > _LEAST_CONTRAST:
            return pair[0], pair[1]


def _mask(height: int, width: int, stream: np.random.RandomState) -> NDArray[np.float64]:
    """Where the sign is, (height, width) in [0, 1]."""
    y, x = np.mgrid[0:height, 0:width] + 0.5
    kind = stream.choice(["rectangle", "disc", "ring", "bar", "whole"])
    size = float(np.exp(stream.uniform(np.log(3.0), np.log(0.5 * min(height, width)))))
    down, right = stream.uniform(size, height - size), stream.uniform(size, width - size)
    away = np.hypot(y - down, x - right)
    if kind == "rectangle":
        wide = stream.uniform(0.6, 1) * size
        return np.asarray((np.abs(y - down) <= size) & (np.abs(x - right) <= wide), np.float64)
    if kind == "disc":
        return np.asarray(np.clip(size + 0.5 - away, 0, 1))
    if kind == "ring":
        return np.asarray(np.clip(size / 3 + 0.5 - np.abs(away - 2 * size / 3), 0, 1))
    if kind == "bar":
        return np.asarray(np.abs(y - down) <= size / 2, np.float64)
    return np.ones((height, width))


def _voiced(
    voice: Voice,
    moments: NDArray[np.float64],
    strengths: NDArray[np.float64],
    seconds: float,
    stream: np.random.RandomState,
) -> FloatArray:
    """A sound of the same kind at each event, on a little noise."""
    count = round(seconds * ANALYSIS_RATE)
    sound = 10 ** stream.uniform(-5, -2.3) * stream.standard_normal(count)
    decay = float(np.exp(stream.uniform(np.log(0.01), np.log(0.25))))
    pitch = float(np.exp(stream.uniform(np.log(110), np.log(1760))))
    for moment, strength in zip(moments, strengths, strict=True):
        time = np.arange(round(min(6 * decay, 1.2) * ANALYSIS_RATE)) / ANALYSIS_RATE
        if voice == "click":
            made = np.repeat(stream.choice([-1.0, 1.0]), stream.randint(1, 60))
        elif voice == "burst":
            made = stream.standard_normal(len(time)) * np.exp(-time / decay)
        elif voice == "tone":
            note = pitch * 2 ** (stream.randint(0, 13) / 12)
            made = sum(np.sin(2 * np.pi * note * h * time) / h**1.5 for h in range(1, 5)) * np.exp(-time / decay)
        else:
            low = 45 + 110 * np.exp(-time / 0.03)
            made = np.sin(2 * np.pi * np.cumsum(low) / ANALYSIS_RATE) * np.exp(-time / max(decay, 0.06))
        first = round(moment * ANALYSIS_RATE)
        stop = min(first + len(made), count)
        sound[first:stop] += 0.5 * strength * made[: stop - first]
    return np.asarray(sound, np.float32)
