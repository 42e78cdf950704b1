"""Small films with sound whose offset is known: the events of MathAV-Net's data set, as far as shapes can draw them.

A scene is a list of events in time; the same list draws the pictures and makes the sound. Complexity adds, from 1 to 5:

1. one object, a still background, one offset within 0.4 s
2. noise in both, a trembling camera
3. things that move without a sound, sounds without a picture, reverberation (T60 = 0.5 s)
4. an occlusion of 1 to 1.5 s, more reverberation (0.9 s), changes of light, a smooth warp of up to 20 ms
5. a jump cut in the picture of 0.15 to 0.5 s, and cuts that sound does not follow

Conventions: T frames at `FPS`, (T, HEIGHT, WIDTH, 3) uint8; a frame shows what happens during all of the time for which
it is shown, as a camera with an open shutter does. Sound at `ANALYSIS_RATE`. The truth is the offset of each frame:
positive, the sound is early.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final, Literal, get_args

import numpy as np

from audioreactive.media.audio import ANALYSIS_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]

Kind = Literal["impact", "footstep", "speech", "explosion", "applause", "rain", "music", "silence"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
FPS: Final = Fraction(30)
WIDTH, HEIGHT = 64, 36
SECONDS: Final = 10.0
EXPOSURES: Final = 4
"""Moments that are averaged in a frame."""
LARGEST_OFFSET: Final = 0.4
LARGEST_WARP: Final = 0.02
_RATES: Final = {
    "impact": 1.6, "footstep": 2.0, "speech": 3.5, "explosion": 0.4, "applause": 25.0, "rain": 40.0, "music": 2.5,
}  # fmt: skip
"""Kind -> events a second."""


@dataclass(frozen=True, eq=False)
class Scene:
    """A made film."""

    kind: Kind
    complexity: int
    frames: NDArray[np.uint8]
    """(T, HEIGHT, WIDTH, 3)."""
    sound: FloatArray
    truth: NDArray[np.float64]
    """(T,) offset in seconds; not a number where nothing could tell it."""

    @property
    def times(self) -> NDArray[np.float64]:
        """(T,) seconds at which the frames are shown."""
        return np.arange(len(self.frames)) / float(FPS)


def make_scene(
    kind: Kind, complexity: int, seed: int, *, seconds: float = SECONDS, offset: float | None = None
) -> Scene:
    """A scene; equal arguments make equal scenes.

    Args:
        kind: what happens.
        complexity: 1 to 5.
        seed: seed of everything that is drawn by chance.
        seconds: length.
        offset: offset at the beginning in seconds; None: drawn.
    """
    stream = np.random.RandomState([seed, KINDS.index(kind), complexity])
    offset = stream.uniform(-LARGEST_OFFSET, LARGEST_OFFSET) if offset is None else offset
    times = np.arange(round(seconds * FPS)) / float(FPS)
    jump, cut = 0.0, seconds + 1
    if complexity >= 5:
        jump = stream.choice([-1, 1]) * stream.uniform(0.15, 0.5)
        cut = stream.uniform(0.35, 0.65) * seconds
    events = _events(kind, seconds + 1.5, stream)
    warp = stream.uniform(0.3, 1) * LARGEST_WARP if complexity >= 4 else 0.0
    phase = stream.uniform(0, 2 * np.pi)

    def heard_at(moment: NDArray[np.float64]) -> NDArray[np.float64]:
        """Second at which what happens at a moment is heard."""
        smooth = warp * np.sin(2 * np.pi * moment / seconds + phase) if warp else 0.0
        return np.asarray(moment - offset + smooth)

    def happens(shown: NDArray[np.float64]) -> NDArray[np.float64]:
        """Moment that is shown at a second."""
        return shown + np.where(shown >= cut, jump, 0.0)

    sound = _sound(kind, events, heard_at, seconds, complexity, stream)
    frames = _film(kind, events, happens, times, complexity, stream)
    truth = times - heard_at(happens(times))
    if kind == "silence":
        truth = np.full(len(times), np.nan)
    return Scene(kind, complexity, frames, sound, truth)


def _events(kind: Kind, seconds: float, stream: np.random.RandomState) -> NDArray[np.float64]:
    """(n, 3): moment, strength in [0.4, 1], place in [0, 1]."""
    if kind == "silence":
        return np.zeros((0, 3))
    rate = _RATES[kind]
    gaps = stream.gamma(4.0, 1 / (4 * rate), int(2 * rate * seconds) + 8)
    moments = np.cumsum(gaps) - 0.5
    if kind in ("applause", "rain"):
        # Gusts: the rate itself swells and falls.
        swell = 0.5 + 0.5 * np.sin(2 * np.pi * moments / stream.uniform(2.0, 4.0) + stream.uniform(0, 6))
        moments = moments[stream.random_sample(len(moments)) < 0.15 + 0.85 * swell**2]
    moments = moments[moments < seconds]
    if not len(moments):
        moments = np.array([seconds / 2])
    return np.stack([moments, stream.uniform(0.4, 1, len(moments)), stream.random_sample(len(moments))], axis=1)


def _burst(kind: Kind, strength: float, stream: np.random.RandomState) -> FloatArray:
    """Sound of one event."""
    seconds, decay, low = {
        "impact": (0.12, 0.02, 0.5), "footstep": (0.08, 0.012, 0.8), "speech": (0.22, 0.08, 0.0),
        "explosion": (1.2, 0.3, 0.9), "applause": (0.02, 0.004, 0.0), "rain": (0.012, 0.003, 0.0),
        "music": (0.5, 0.15, 0.0),
    }[kind]  # fmt: skip
    count = round(seconds * ANALYSIS_RATE)
    time = np.arange(count) / ANALYSIS_RATE
    if kind == "speech":
        pitch = stream.uniform(100, 220)
        tone = sum(np.sin(2 * np.pi * pitch * h * time) / h for h in range(1, 12))
        return np.asarray(strength * 0.25 * tone * np.sin(np.pi * time / seconds) ** 1.5, np.float32)
    if kind == "music":
        pitch = 220 * 2 ** (stream.randint(0, 24) / 12)
        tone = sum(np.sin(2 * np.pi * pitch * h * time) / h for h in range(1, 6))
        return np.asarray(strength * 0.25 * tone * np.exp(-time / decay), np.float32)
    noise = stream.standard_normal(count)
    if low:
        dull = np.convolve(noise, np.ones(24) / 24**0.5, mode="same")
        noise = low * dull + (1 - low) * noise
    return np.asarray(strength * 0.4 * noise * np.exp(-time / decay), np.float32)


def _sound(
    kind: Kind,
    events: NDArray[np.float64],
    heard_at: object,
    seconds: float,
    complexity: int,
    stream: np.random.RandomState,
) -> FloatArray:
    count = round(seconds * ANALYSIS_RATE)
    sound = np.zeros(count + 2 * ANALYSIS_RATE, np.float32)
    assert callable(heard_at)
    for (_, strength, _), at in zip(events, heard_at(events[:, 0]), strict=True):
        _mix(sound, _burst(kind, strength, stream), at)
    if complexity >= 3 and kind != "silence":
        for at in stream.uniform(0, seconds, 3):  # sounds without a picture
            _mix(sound, 0.6 * _burst("impact", 0.7, stream), at)
        tail = 0.5 if complexity == 3 else 0.9
        time = np.arange(round(tail * ANALYSIS_RATE)) / ANALYSIS_RATE
        echo = stream.standard_normal(len(time)) * 10 ** (-3 * time / tail) * (0.02 if complexity == 3 else 0.025)
        echo[0] = 1
        size = 1 << (len(sound) + len(echo)).bit_length()
        sound = np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(echo, size), size)[: len(sound)].astype(np.float32)
    if complexity >= 2 and kind != "silence":
        sound += (0.004 * stream.standard_normal(len(sound))).astype(np.float32)
    return np.asarray(sound[:count], np.float32)


def _mix(sound: FloatArray, burst: FloatArray, at: float) -> None:
    first = round(at * ANALYSIS_RATE)
    start, stop = max(first, 0), min(first + len(burst), len(sound))
    if stop > start:
        sound[start:stop] += burst[start - first : stop - first]


def _film(
    kind: Kind,
    events: NDArray[np.float64],
    happens: object,
    times: NDArray[np.float64],
    complexity: int,
    stream: np.random.RandomState,
) -> NDArray[np.uint8]:
    assert callable(happens)
    paint = _Painting(kind, events, complexity, stream)
    frames = np.zeros((len(times), HEIGHT, WIDTH, 3), np.float32)
    for part in range(EXPOSURES):
        shown = times + (part + 0.5) / EXPOSURES / float(FPS)
        for i, moment in enumerate(happens(times) + (shown - times)):
            frames[i] += paint.at(float(moment), float(times[i])) / EXPOSURES
    if complexity >= 2:
        frames += 0.012 * stream.standard_normal(frames.shape).astype(np.float32)
    return np.asarray(np.rint(np.clip(frames, 0, 1) * 255), np.uint8)


class _Painting:
    """The pictures of a scene as a function of the moment."""

    def __init__(self, kind: Kind, events: NDArray[np.float64], complexity: int, stream: np.random.RandomState) -> None:
        self._kind, self._events, self._complexity = kind, events, complexity
        self._y, self._x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
        coarse = stream.random_sample((2, 6, 10, 3)).astype(np.float32)
        tiles = [np.kron(c, np.ones((6, 7, 1), np.float32))[:HEIGHT, :WIDTH] for c in coarse]
        self._grounds: list[FloatArray] = [np.asarray(0.25 + 0.3 * tile, np.float32) for tile in tiles]
        self._colour = stream.uniform(0.5, 1, 3).astype(np.float32)
        self._shake = stream.uniform(0, 2 * np.pi, 6)
        self._walker = stream.uniform(0.1, 0.3), stream.uniform(0, 6)
        self._light = stream.uniform(0.15, 0.4), stream.uniform(0, 6)
        self._hidden = stream.uniform(2, 6)
        self._hidden_for = stream.uniform(1.0, 1.5)
        self._cuts = np.sort(stream.uniform(1, 9, 3)) if complexity >= 5 else np.zeros(0)

    def at(self, moment: float, shown: float) -> FloatArray:
        """The picture (HEIGHT, WIDTH, 3) of a moment that is shown at a second."""
        ground = self._grounds[int(np.searchsorted(self._cuts, shown)) % 2]
        picture: FloatArray = np.array(ground, np.float32)
        if self._kind != "silence":
            self._draw(picture, moment)
        level = self._complexity if self._kind != "silence" else 1
        if level >= 3:
            speed, phase = self._walker
            self._disc(
                picture, (0.5 + 0.45 * np.sin(2 * np.pi * speed * moment + phase)) * WIDTH, 7, 4, self._colour[::-1]
            )
        if level >= 4:
            rate, phase = self._light
            picture *= np.float32(1) + np.float32(0.15) * np.sin(2 * np.pi * rate * shown + phase)
            if self._hidden <= shown < self._hidden + self._hidden_for:
                picture[:, WIDTH // 8 :] = 0.2
        if level >= 2:
            a = self._shake
            shift = round(0.8 * np.sin(9 * shown + a[0]) + 0.5 * np.sin(23 * shown + a[1]))
            picture = np.roll(picture, shift, axis=1)
        return np.asarray(picture, np.float32)

    def _disc(self, picture: FloatArray, x: float, y: float, radius: float, colour: FloatArray) -> None:
        inside = np.clip(radius + 0.5 - np.hypot(self._x - x, self._y - y), 0, 1)[..., None]
        picture[:] = picture * (1 - inside) + colour * inside

    def _glow(self, picture: FloatArray, x: float, y: float, radius: float, share: float) -> None:
        inside = share * np.clip(radius + 0.5 - np.hypot(self._x - x, self._y - y), 0, 1)[..., None]
        picture[:] = picture * (1 - inside) + inside * (0.3 + 0.7 * self._colour)

    def _draw(self, picture: FloatArray, moment: float) -> None:
        kind, events = self._kind, self._events
        since = moment - events[:, 0]
        if kind == "impact":
            self._disc(picture, 0.5 * WIDTH, self._bounce(moment), 5, self._colour)
        elif kind == "footstep":
            self._feet(picture, moment)
        elif kind == "speech":
            near = (since >= 0) & (since < 0.22)
            opening = float((events[near, 1] * np.sin(np.pi * since[near] / 0.22) ** 1.5).max(initial=0))
            self._disc(picture, WIDTH / 2, HEIGHT / 2, 13, self._colour)
            mouth = np.clip(1.5 - np.hypot((self._x - WIDTH / 2) / 6, (self._y - 24) / (0.8 + 5 * opening)), 0, 1)
            picture *= (1 - np.minimum(mouth, 1))[..., None]
        elif kind == "explosion":
            for age, strength, place in zip(since, events[:, 1], events[:, 2], strict=True):
                if 0 <= age < 1.2:
                    glow = strength * np.exp(-age / 0.25)
                    radius = 4 + 14 * min(age / 0.3, 1)
                    self._glow(picture, (0.3 + 0.4 * place) * WIDTH, 18, radius, float(glow))
        elif kind in ("applause", "rain"):
            length = 0.08 if kind == "applause" else 0.05
            for age, strength, place in zip(since, events[:, 1], events[:, 2], strict=True):
                if -length < age < length:
                    x, y = place * WIDTH, (place * 7919) % 1 * HEIGHT
                    size = 2.2 * strength * (1 - abs(age) / length if kind == "applause" or age < 0 else 1)
                    bright = 1.0 if age >= 0 else 0.4
                    self._disc(picture, x, y, size, np.float32(bright) * self._colour)
        else:  # music: bars that each note strikes and that fade
            for age, strength, place in zip(since, events[:, 1], events[:, 2], strict=True):
                if 0 <= age < 0.6:
                    column = int(place * 8) * (WIDTH // 8)
                    height = round(HEIGHT * strength * np.exp(-age / 0.2))
                    picture[HEIGHT - height :, column : column + WIDTH // 8 - 1] = self._colour

    def _bounce(self, moment: float) -> float:
        """Height of a ball that touches the floor at each event, in pixels from the top."""
        moments = self._events[:, 0]
        after = int(np.searchsorted(moments, moment, side="right"))
        start = moments[after - 1] if after else moment - 0.5
        stop = moments[after] if after < len(moments) else start + 0.6
        share = (moment - start) / max(stop - start, 1e-6)
        rise = min(26.0, 45 * (stop - start))
        return float(HEIGHT - 6 - rise * 4 * share * (1 - share))

    def _feet(self, picture: FloatArray, moment: float) -> None:
        moments = self._events[:, 0]
        after = int(np.searchsorted(moments, moment, side="right"))
        for side in (0, 1):
            # A foot is down from its own step to the next one of the other foot, and swings in between.
            own = after if after % 2 == side else after + 1
            start = moments[own - 2] if own >= 2 else moment - 1
            stop = moments[own] if own < len(moments) else start + 1
            share = np.clip((moment - start) / max(stop - start, 1e-6), 0, 1)
            lift = 9 * np.sin(np.pi * np.clip(2 * share - 1, 0, 1))
            x, y = 20 + 16 * side, HEIGHT - 5 - lift
            box = (np.abs(self._x - x) < 5) & (np.abs(self._y - y) < 3)
            picture[box] = self._colour
