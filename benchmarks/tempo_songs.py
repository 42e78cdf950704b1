"""Songs of drum patterns and simple accompaniment, whose tempo and beats are known.

Conventions: a pattern is one bar or several, a letter for each step: x a full stroke, o a soft one, anything else a
rest. `fair` lists the readings of the tempo that a listener may choose: 0.5 half of it, 2 twice. All chance comes from
a seed.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.signal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Sound = NDArray[np.float64]

RATE = 24_576
TEMPI = (70.0, 85.0, 100.0, 112.0, 125.0, 140.0, 160.0, 180.0)
SECONDS = 30.0
FIRST_BEAT = 0.35


@dataclass(frozen=True)
class Pattern:
    """What the drummer plays."""

    name: str
    steps: int
    """Steps in a beat."""
    voices: dict[str, str]
    """Instrument -> strokes."""
    fair: tuple[float, ...] = (1,)
    swing: float = 0.0
    """How late every second step is, in steps."""


@dataclass(frozen=True)
class Kit:
    """How the drums sound."""

    kick: tuple[float, float, float, float]
    """Hz at the end, Hz above it at the start, seconds of decay, level of the click."""
    snare: tuple[float, float, float, float]
    """Hz of the body, level of the body, seconds of decay, Hz above which its noise lies."""
    hat: tuple[float, float]
    """Seconds of decay, Hz above which its noise lies."""
    levels: tuple[float, float, float]
    """Levels of kick, snare and hat."""


@dataclass(frozen=True)
class Band:
    """Instruments that sound besides the drums."""

    name: str
    pad: float = 0.0
    bass: str = ""
    """Pattern of bass notes over steps of a quarter of a beat; "" none."""
    arpeggio: float = 0.0
    """Level of plucked notes on quarters of a beat."""
    noise: float = 0.001
    without: tuple[str, ...] = ()
    """Instruments that are silent."""
    silent_drums: float = 0.0
    """Seconds at the start without drums."""
    jitter: float = 0.0
    """Seconds of deviation of every stroke."""
    melody: float = 0.0


PATTERNS = (
    Pattern("house", 4, {"kick": "x...x...x...x...", "clap": "....x.......x...", "open": "..x...x...x...x."}),
    Pattern("techno", 4, {"kick": "x...x...x...x...", "hat": "x.xxx.xxx.xxx.xx", "open": "..x...x...x...x."}),
    Pattern("trance", 4, {"kick": "x...x...x...x...", "clap": "....x.......x...", "hat": "ooxoooxoooxoooxo"}),
    Pattern(
        "drum and bass",
        4,
        {"kick": "x.........x.....", "snare": "....x.......x...", "hat": "x.x.x.x.x.x.x.x."},
        (1, 0.5),
    ),
    Pattern(
        "breakbeat",
        4,
        {
            "kick": "x.x.......xx....x.x.......x.....",
            "snare": "....x..o.o..x..o....x..o.o....x.",
            "hat": "x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.",
        },
        (1, 0.5),
    ),
    Pattern(
        "trap",
        4,
        {
            "kick": "x.......x.....x.x.....x...x.....",
            "snare": "........x...............x.......",
            "hat": "x.x.x.x.xxx.x.x.",
        },
        (1, 0.5),
    ),
    Pattern(
        "hip-hop", 4, {"kick": "x......x..x.....", "snare": "....x.......x..o", "hat": "x.x.x.x.x.x.x.x."}, swing=0.2
    ),
    Pattern("rock", 4, {"kick": "x.......x.x.....", "snare": "....x.......x...", "hat": "x.x.x.x.x.x.x.x."}),
    Pattern("rock straight", 4, {"kick": "x.......x.......", "snare": "....x.......x...", "hat": "x.x.x.x.x.x.x.x."}),
    Pattern("dembow", 4, {"kick": "x...x...x...x...", "snare": "...x..x....x..x.", "hat": "x.x.x.x.x.x.x.x."}),
    Pattern("waltz", 4, {"kick": "x...........", "snare": "....x...x...", "hat": "x...x...x..."}),
    Pattern(
        "dubstep", 4, {"kick": "x.............x.", "snare": "........x.......", "hat": "x..x..x.x..x..x."}, (1, 0.5)
    ),
    Pattern(
        "garage",
        4,
        {"kick": "x.........x.....", "snare": "....x.......x...", "hat": "..x...x...x...xo"},
        (1,),
        swing=0.3,
    ),
    Pattern(
        "bossa",
        4,
        {"kick": "x.....x.x.....x.", "rim": "x.....x.....x.......x.....x.....", "hat": "xoxoxoxoxoxoxoxo"},
        (1, 0.5, 2),
    ),
)
HELD_OUT_PATTERNS = (
    Pattern("electro", 4, {"kick": "x.....x...x.....", "snare": "....x.......x...", "hat": "xxxxxxxxxxxxxxxx"}),
    Pattern(
        "disco",
        4,
        {
            "kick": "x...x...x...x...",
            "snare": "....x.......x...",
            "hat": "x.xxx.xxx.xxx.xx",
            "open": "..x...x...x...x.",
        },
    ),
    Pattern("punk", 4, {"kick": "x.....x.x.......", "snare": "....x.......x...", "open": "x.x.x.x.x.x.x.x."}),
    Pattern("motown", 4, {"kick": "x.......x.......", "snare": "x...x...x...x...", "hat": "x.x.x.x.x.x.x.x."}),
    Pattern(
        "amen",
        4,
        {
            "kick": "x.x.......xx....x.x.......xx....",
            "snare": "....x..x.x..x..x....x..x.x..x..x",
            "hat": "x.x.x.x.x.x.x.x.",
        },
        (1, 0.5),
    ),
    Pattern("shuffle", 3, {"kick": "x.....x.....", "snare": "...x.....x..", "hat": "x.xx.xx.xx.x"}),
    Pattern("minimal", 4, {"kick": "x...x...x...x...", "hat": "..x...x...x...x.", "rim": "...x..x....x...."}),
    Pattern("afrobeat", 4, {"kick": "x.....x...x...x.", "snare": "....x.......x..x", "hat": "x.xxx.xxx.xxx.xx"}),
    Pattern("funk", 4, {"kick": "x.x.......x..x..", "snare": "....x..o.o..x...", "hat": "xxxxxxxxxxxxxxxx"}),
    Pattern(
        "drill",
        4,
        {
            "kick": "x.....x.........x.....x...x.....",
            "snare": "........x.............x.........",
            "hat": "x..x..x.x..x..x.",
        },
        (1, 0.5),
    ),
    Pattern(
        "soca",
        4,
        {
            "kick": "x...x...x...x...",
            "snare": "...x..x....x..x.",
            "hat": "..x...x...x...x.",
            "clap": "....x.......x...",
        },
    ),
    Pattern("jazz waltz", 3, {"kick": "x........", "rim": "...x..x..", "hat": "x..x.xx.."}),
)

KITS = {
    "deep": Kit((48, 160, 0.09, 0.15), (185, 0.5, 0.07, 900), (0.02, 7000), (0.9, 0.45, 0.12)),
    "long": Kit((42, 60, 0.28, 0.05), (210, 0.3, 0.10, 1500), (0.03, 8000), (0.8, 0.5, 0.18)),
    "live": Kit((65, 90, 0.07, 0.3), (200, 0.6, 0.09, 500), (0.045, 5000), (0.6, 0.5, 0.22)),
}
HELD_OUT_KITS = {
    "hard": Kit((52, 260, 0.12, 0.4), (240, 0.2, 0.12, 2200), (0.025, 9000), (0.9, 0.35, 0.25)),
    "dull": Kit((58, 40, 0.10, 0.0), (170, 0.9, 0.05, 700), (0.06, 3500), (0.5, 0.45, 0.10)),
}
BANDS = (
    Band("alone", noise=1e-4),
    Band("pads", pad=0.06),
    Band("offbeat bass", pad=0.03, bass="..x...x...x...x."),
    Band("running bass", bass="x.x.x.x.x.x.x.x.", noise=0.004),
    Band("no hats", pad=0.04, without=("hat", "open"), bass="x.......x......."),
    Band("intro", pad=0.08, silent_drums=7.0, jitter=0.004),
    Band("arpeggio", pad=0.02, arpeggio=0.12, jitter=0.003),
    Band("noisy", noise=0.03, jitter=0.006, bass="x..x..x.x..x..x."),
)
HELD_OUT_BANDS = (
    Band("strings", pad=0.12, jitter=0.005),
    Band("tune", pad=0.02, melody=0.15, bass="x...x...x...x..."),
    Band("rolling bass", bass=".xxx.xxx.xxx.xxx", pad=0.02),
    Band("sparse", noise=0.01, without=("hat",), jitter=0.008),
)


@dataclass(frozen=True)
class Song:
    """A pattern at a tempo, with a kit and a band, and how it sounds."""

    pattern: Pattern
    bpm: float
    kit: str
    band: Band

    @property
    def name(self) -> str:
        """Such as "house 125"."""
        return f"{self.pattern.name} {self.bpm:g}"

    @property
    def beat(self) -> float:
        """Seconds."""
        return 60 / self.bpm

    def sound(self, seconds: float = SECONDS) -> NDArray[np.float32]:
        """(n,) samples at RATE."""
        random = np.random.default_rng(zlib.crc32(f"{self.name} {self.kit} {self.band.name}".encode()))
        song = random.standard_normal(int(seconds * RATE)) * self.band.noise
        kit = {**KITS, **HELD_OUT_KITS}[self.kit]
        for voice, strokes in self.pattern.voices.items():
            if voice in self.band.without and not {"kick", "snare", "clap", "rim"}.isdisjoint(self.pattern.voices):
                continue
            for step, letter in _strokes(strokes, seconds, self.beat / self.pattern.steps):
                late = self.pattern.swing * (step % 2) + random.normal() * self.band.jitter / self.beat
                time = FIRST_BEAT + (step + late) * self.beat / self.pattern.steps
                if time >= self.band.silent_drums:
                    _add(song, _stroke(voice, kit, random), time, 1.0 if letter == "x" else 0.4)
        _accompany(song, self, seconds, random)
        level = float(0.8 / np.abs(song).max())
        return np.asarray(song * level, np.float32)

    def verdict(self, tempo: float, beats: NDArray[np.float64]) -> Verdict:
        """How the heard tempo and beats compare with the truth."""
        ratio = tempo / self.bpm
        reading = min(self.pattern.fair, key=lambda fair: abs(np.log(max(ratio, 1e-9) / fair)))
        grid = self.beat / max(reading, 1)
        distance = (beats - FIRST_BEAT) / grid
        off = np.abs(distance - np.round(distance)) * grid
        late = float(np.percentile(off, 90)) if len(off) else float("inf")
        return Verdict(abs(ratio / reading - 1) <= 0.02, abs(ratio - 1) <= 0.02, late, ratio)


@dataclass(frozen=True)
class Verdict:
    """What came of one song."""

    tempo_right: bool
    """One of the fair readings, within 2 %."""
    tempo_exact: bool
    """The tempo as written."""
    off: float
    """Seconds from the true beats, at the 90th percentile."""
    ratio: float

    @property
    def right(self) -> bool:
        """Tempo right, and beats within 70 ms."""
        return self.tempo_right and self.off <= 0.07


def _strokes(pattern: str, seconds: float, step: float) -> list[tuple[int, str]]:
    count = int((seconds - FIRST_BEAT - 0.3) / step)
    return [(i, pattern[i % len(pattern)]) for i in range(count) if pattern[i % len(pattern)] in "xo"]


def _add(song: Sound, stroke: Sound, time: float, gain: float) -> None:
    start = int(time * RATE)
    part = song[max(start, 0) : start + len(stroke)]
    part += gain * stroke[: len(part)]


def _stroke(voice: str, kit: Kit, random: np.random.Generator) -> Sound:
    """One stroke of an instrument."""
    if voice == "kick":
        end, sweep, decay, click = kit.kick
        t = np.arange(int(min(6 * decay, 0.6) * RATE)) / RATE
        tone = np.sin(2 * np.pi * (end * t + sweep * 0.03 * (1 - np.exp(-t / 0.03)))) * np.exp(-t / decay)
        return kit.levels[0] * (tone + click * random.standard_normal(len(t)) * np.exp(-t / 0.003))
    if voice in ("hat", "open"):
        decay, low = kit.hat[0] * (5 if voice == "open" else 1), kit.hat[1]
        return kit.levels[2] * _noise(decay, low, 12_000, random)
    body, level, decay, low = kit.snare
    if voice == "rim":
        t = np.arange(int(0.08 * RATE)) / RATE
        return kit.levels[1] * 0.8 * np.sin(2 * np.pi * 1700 * t) * np.exp(-t / 0.012)
    noise = _noise(decay, low, 10_000, random)
    if voice == "clap":
        return kit.levels[1] * noise
    t = np.arange(len(noise)) / RATE
    return kit.levels[1] * (noise + level * np.sin(2 * np.pi * body * t) * np.exp(-t / decay))


def _noise(decay: float, low: float, high: float, random: np.random.Generator) -> Sound:
    length = int(min(6 * decay, 0.5) * RATE)
    sos = scipy.signal.butter(2, [low, high], "bandpass", fs=RATE, output="sos")
    noise: Sound = scipy.signal.sosfilt(sos, random.standard_normal(length))
    faded: Sound = noise / noise.std() * np.exp(-np.arange(length) / RATE / decay)
    return faded


CHORDS = ((110.0, 130.8, 164.8), (87.3, 110.0, 130.8), (98.0, 123.5, 146.8), (82.4, 98.0, 123.5))


def _accompany(song: Sound, what: Song, seconds: float, random: np.random.Generator) -> None:
    """Pads, bass, arpeggio and melody of a chord for each bar."""
    band, beat = what.band, what.beat
    strokes = len(next(iter(what.pattern.voices.values())))
    bar = beat * (3 if strokes % 9 == 0 or (strokes == 12 and what.pattern.steps == 4) else 4)
    for i in range(int((seconds - FIRST_BEAT) / bar) + 1):
        chord = CHORDS[i % 4]
        for note in chord if band.pad else ():
            t = np.arange(int(bar * RATE)) / RATE
            swell = np.minimum(1, np.minimum(t / 0.2, (bar - t) / 0.1)).clip(0)
            pad = sum(np.sin(2 * np.pi * 2 * note * h * t) / h for h in (1, 2, 3))
            _add(song, band.pad * swell * pad, FIRST_BEAT + i * bar, 1)
    for level, pattern, octave, decay in (
        (0.35, band.bass, 0.5, 0.25),
        (band.arpeggio, "x", 4.0, 0.08),
        (band.melody, _melody(random), 4.0, 0.3),
    ):
        if not level or not pattern:
            continue
        for step, _ in _strokes(pattern, seconds, beat / 4):
            time = step * beat / 4
            chord = CHORDS[int(time / bar) % 4]
            note = chord[0] if octave < 1 else chord[step % 3]
            t = np.arange(int(min(decay * 4, 0.8) * RATE)) / RATE
            tone = sum(np.sin(2 * np.pi * octave * note * h * t) / h**1.5 for h in (1, 2, 3, 4))
            _add(song, tone * np.exp(-t / decay) * np.minimum(t / 0.005, 1), FIRST_BEAT + time, level)


def _melody(random: np.random.Generator) -> str:
    """Four bars of notes, most of them on beats and halves of them."""
    chance = np.tile([0.7, 0.05, 0.4, 0.1], 16)
    return "".join("x" if random.random() < p else "." for p in chance)


def songs(*, held_out: bool = False) -> list[Song]:
    """Every pattern at every tempo; kits and bands take turns, so that each pattern meets all of them."""
    patterns = HELD_OUT_PATTERNS if held_out else PATTERNS
    kits, bands = (HELD_OUT_KITS, HELD_OUT_BANDS) if held_out else (KITS, BANDS)
    return [
        Song(pattern, bpm, list(kits)[(i + j) % len(kits)], bands[(3 * i + j) % len(bands)])
        for i, pattern in enumerate(patterns)
        for j, bpm in enumerate(TEMPI)
    ]
