"""Composes the demo song, and writes it with everything that is true of it into audioreactive/assets.

    python tools/demo_song.py [-o FOLDER]

Conventions: times in seconds from the first sample; steps are sixteenth notes. At 117.6 beats a minute a
sixteenth is exactly 5625 samples, so that every hit stands on a sample and the truth is exact. Two sections return:
A, calm, in A minor; B, with a driving beat and an arpeggio, in C minor.
"""

import argparse
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Signal = NDArray[np.float64]

SAMPLE_RATE: Final = 44100
STEP: Final = 5625
"""Samples in a sixteenth."""
STEPS_IN_BAR: Final = 16
BARS_IN_SECTION: Final = 3
FORM: Final = "ABAB"
BARS: Final = BARS_IN_SECTION * len(FORM)
TEMPO: Final = 60 * SAMPLE_RATE / (4 * STEP)
LEAD_IN: Final = 11025
"""A quarter of a second of silence, so that the first hit has a before."""
RING_OUT: Final = 48510
"""1.1 s for the last chord, which stands on the first beat after the last bar."""
LENGTH: Final = LEAD_IN + BARS * STEPS_IN_BAR * STEP + RING_OUT
GAIN: Final = 0.77
"""Brings the whole to -14 LUFS, where streaming services play it."""
ASSETS: Final = Path(__file__).resolve().parent.parent / "audioreactive" / "assets"


@dataclass(frozen=True)
class Chord:
    """A chord and how long it stands."""

    name: str
    steps: int
    root: int
    """MIDI note of the bass."""
    notes: tuple[int, ...]
    """MIDI notes of the pad."""


CHORDS: Final = {
    "A": (
        Chord("A:min9", 16, 33, (60, 64, 67, 71)),
        Chord("F:maj9", 16, 29, (57, 60, 64, 67)),
        Chord("C:maj", 8, 36, (55, 60, 64, 67)),
        Chord("G:maj", 8, 31, (55, 59, 62, 67)),
    ),
    "B": (
        Chord("Ab:maj7", 16, 32, (56, 60, 63, 67)),
        Chord("Bb:maj", 16, 34, (58, 62, 65, 70)),
        Chord("C:min7", 8, 36, (55, 58, 60, 63)),
        Chord("G:7", 8, 31, (53, 55, 59, 62)),
    ),
}
LAST_CHORD: Final = Chord("C:maj", 0, 36, (55, 60, 64, 67))

# One row a bar of the section; X is an accent, x a plain hit.
DRUMS: Final = {
    "A": {
        "kick": ("X.........x.....", "X.........x.....", "X.........x....."),
        "snare": ("....X.......X...", "....X.......X...", "....X.......X.xX"),
        "hat": ("X.x.x.x.X.x.x.x.", "X.x.x.x.X.x.x.x.", "X.x.x.x.X.x.x.x."),
    },
    "B": {
        "kick": ("X...X...X...X...", "X...X...X...X...", "X...X...X...X..."),
        "snare": ("....X.......X...", "....X.......X...", "....X.......X.Xx"),
        "hat": ("X.xxX.xxX.xxX.xx", "X.xxX.xxX.xxX.xx", "X.xxX.xxX.xxX.xx"),
        "open hat": ("..X...X...X...X.", "..X...X...X...X.", "..X...X...X....."),
        "crash": ("X...............", "................", "................"),
    },
}
ACCENTS: Final = {"X": 1.0, "x": 0.7}
BASS: Final = {"A": "x.........x.x...", "B": "x.x.x.x.x.x.x.x."}
# Section A's tune as MIDI notes on eighths, sung higher when it returns; 0 is a rest.
TUNES: Final = (
    (76, 0, 79, 76, 74, 0, 72, 0, 72, 0, 76, 72, 69, 0, 67, 69, 67, 0, 72, 76, 74, 0, 71, 67),
    (76, 0, 79, 81, 79, 0, 76, 0, 79, 0, 76, 72, 74, 0, 72, 69, 67, 72, 76, 79, 79, 0, 74, 71),
)
ARPEGGIO: Final = {True: (0, 2, 1, 3), False: (3, 1, 2, 0)}


def at_step(step: int) -> int:
    """The sample on which a sixteenth begins."""
    return LEAD_IN + step * STEP


def seconds(samples: int) -> float:
    return round(samples / SAMPLE_RATE, 6)


def first_step(section: int) -> int:
    return section * BARS_IN_SECTION * STEPS_IN_BAR


def hits() -> list[tuple[int, str, float]]:
    """Every stroke of the drums: step, drum, loudness."""
    strokes = [
        (first_step(section) + bar * STEPS_IN_BAR + step, drum, ACCENTS[mark])
        for section, label in enumerate(FORM)
        for drum, rows in DRUMS[label].items()
        for bar, row in enumerate(rows)
        for step, mark in enumerate(row)
        if mark in ACCENTS
    ]
    end = BARS * STEPS_IN_BAR
    return sorted([*strokes, (end, "kick", 1.0), (end, "crash", 1.0)])


def chords() -> list[tuple[int, str, Chord]]:
    """Every chord with the step on which it begins and the label of its section."""
    found = []
    for section, label in enumerate(FORM):
        step = first_step(section)
        for chord in CHORDS[label]:
            found.append((step, label, chord))
            step += chord.steps
    return found


# --- instruments ---------------------------------------------------------------------------------------------------


def frequency(note: float) -> float:
    """Hertz of a MIDI note."""
    return float(440 * 2 ** ((note - 69) / 12))


def seconds_axis(duration: float) -> Signal:
    return np.arange(round(duration * SAMPLE_RATE)) / SAMPLE_RATE


def band(signal: Signal, low: float, high: float) -> Signal:
    """Keep what is between two frequencies, with skirts of 12 dB an octave."""
    spectrum = np.fft.rfft(signal, axis=-1)
    hertz = np.fft.rfftfreq(signal.shape[-1], 1 / SAMPLE_RATE)
    ratio = np.maximum(hertz, 1e-3)
    spectrum *= 1 / (1 + (low / ratio) ** 2) / (1 + (ratio / high) ** 2)
    return np.fft.irfft(spectrum, signal.shape[-1], axis=-1)


def decay(duration: float, half_life: float, attack: float = 0.001) -> Signal:
    """A struck envelope that ends at nothing."""
    t = seconds_axis(duration)
    release = np.minimum(1, (duration - t) / (0.1 * duration))
    return np.minimum(1, t / attack) * 0.5 ** (t / half_life) * release


@cache
def partials(hertz: float, duration: float, brightness: float, count: int = 24) -> Signal:
    """A band-limited saw: partials at 1/n, rounded off above `brightness` times the fundamental."""
    t = seconds_axis(duration)
    tone = np.zeros_like(t)
    for n in range(1, count + 1):
        if n * hertz < 0.4 * SAMPLE_RATE:
            tone += np.sin(2 * np.pi * n * hertz * t + n * n) / n / (1 + (n / brightness) ** 2)
    return tone


def drum_sounds() -> dict[str, Signal]:
    """One stroke of each drum, mono, peak near 1."""
    random = np.random.RandomState(7)
    t = seconds_axis(0.32)
    sweep = 2 * np.pi * (48 * t + 110 * 0.028 * (1 - np.exp(-t / 0.028)))
    beater = band(random.randn(len(t)), 1500, 6000) * decay(0.32, 0.004)
    shell = seconds_axis(0.24)
    wires = band(random.randn(len(shell)), 900, 9000) * decay(0.24, 0.035)
    skin = np.sin(2 * np.pi * 190 * shell) * decay(0.24, 0.03)

    def cymbal(duration: float, half_life: float) -> Signal:
        return band(random.randn(round(duration * SAMPLE_RATE)), 7500, 15000) * decay(duration, half_life)

    sounds = {
        "kick": np.sin(sweep) * decay(0.32, 0.07) + 0.5 * beater,
        "snare": wires + 0.6 * skin,
        "hat": cymbal(0.09, 0.012),
        # The pedal closes on the next sixteenth.
        "open hat": cymbal(STEP / SAMPLE_RATE, 0.05),
        "crash": cymbal(1.1, 0.2),
    }
    return {name: sound / np.abs(sound).max() for name, sound in sounds.items()}


def pad_note(note: int, duration: float, brightness: float) -> Signal:
    """(2, N): two slightly detuned saws a side, with a soft beginning and end."""
    t = seconds_axis(duration)
    envelope: Signal = np.minimum(1, t / 0.06) * np.clip((duration - t) / 0.12, 0, 1)
    left, right = (
        partials(frequency(note + low / 100), duration, brightness, 16)
        + partials(frequency(note + high / 100), duration, brightness, 16)
        for low, high in ((-6, 3), (-3, 6))
    )
    both: Signal = np.stack([left, right])
    return both * envelope


def bass_note(note: int, duration: float) -> Signal:
    t = seconds_axis(duration)
    body = np.sin(2 * np.pi * frequency(note) * t) + 0.35 * partials(frequency(note), duration, 6, 12)
    return body * np.minimum(1, t / 0.004) * 0.5 ** (t / 0.3) * np.clip((duration - t) / 0.02, 0, 1)


def pluck_note(note: int, duration: float, half_life: float, brightness: float) -> Signal:
    return partials(frequency(note), duration, brightness, 12) * decay(duration, half_life, 0.003)


# --- the mix -------------------------------------------------------------------------------------------------------


def place(track: Signal, sound: Signal, start: int, gain: float = 1.0, pan: float = 0.0) -> None:
    """Add a mono or stereo sound to a stereo track; pan goes from -1, left, to 1, right, at equal power."""
    angle = (pan + 1) * np.pi / 4
    sides = np.array([np.cos(angle), np.sin(angle)])[:, None] * np.sqrt(2)
    part = (sides * sound)[:, : track.shape[1] - start]
    track[:, start : start + part.shape[1]] += gain * part


def drums_track() -> Signal:
    track, sounds = np.zeros((2, LENGTH)), drum_sounds()
    gains = {"kick": 0.85, "snare": 0.55, "hat": 0.3, "open hat": 0.26, "crash": 0.3}
    pans = {"kick": 0.0, "snare": 0.0, "hat": 0.25, "open hat": 0.25, "crash": -0.3}
    for step, drum, loudness in hits():
        place(track, sounds[drum], at_step(step), gains[drum] * loudness, pans[drum])
    return track


def pad_track() -> Signal:
    track = np.zeros((2, LENGTH))
    for step, label, chord in chords():
        # A is dark and soft, B is open.
        brightness, gain = (3.0, 0.05) if label == "A" else (7.0, 0.06)
        for note in chord.notes:
            place(track, pad_note(note, chord.steps * STEP / SAMPLE_RATE, brightness), at_step(step), gain)
    last = RING_OUT / SAMPLE_RATE
    fade = np.linspace(1, 0, RING_OUT) ** 2
    for note in LAST_CHORD.notes:
        place(track, pad_note(note, last, 4.0) * fade, at_step(BARS * STEPS_IN_BAR), 0.06)
    return track


def bass_track() -> Signal:
    track = np.zeros((2, LENGTH))
    for step, label, chord in chords():
        for offset in range(chord.steps):
            if BASS[label][(step + offset) % STEPS_IN_BAR] == "x":
                octave = 12 if label == "B" and offset % 4 == 2 else 0
                length = 0.36 if label == "A" else 0.22
                place(track, bass_note(chord.root + octave, length), at_step(step + offset), 0.3)
    place(track, bass_note(LAST_CHORD.root, 1.0), at_step(BARS * STEPS_IN_BAR), 0.32)
    return track


def lead_track() -> Signal:
    """Section A's tune on eighths, section B's arpeggio where the drums play."""
    track = np.zeros((2, LENGTH))
    for section, label in enumerate(FORM):
        if label == "A":
            for eighth, note in enumerate(TUNES[section // 2]):
                if note:
                    sound = pluck_note(note, 0.5, 0.11, 3.0)
                    place(track, sound, at_step(first_step(section) + 2 * eighth), 0.16, 0.3 * (-1) ** eighth)
    for step, label, chord in chords():
        if label == "B":
            pattern = ARPEGGIO[step % (2 * STEPS_IN_BAR) < STEPS_IN_BAR]
            for beat_part in (s for s in range(chord.steps) if s % 4 != 1):
                note = chord.notes[pattern[beat_part % 4]] + 12
                sound = pluck_note(note, 0.3, 0.06, 6.0)
                place(track, sound, at_step(step + beat_part), 0.14, 0.5 * (-1) ** beat_part)
    return track


def ducking() -> Signal:
    """The pad and the bass give way to each kick, and come back within a beat."""
    gain = np.ones(LENGTH)
    shape = 1 - 0.55 * np.exp(-seconds_axis(0.5) / 0.11)
    for step, drum, _ in hits():
        if drum == "kick":
            part = gain[at_step(step) : at_step(step) + len(shape)]
            np.minimum(part, shape[: len(part)], out=part)
    return gain


def reverb(signal: Signal) -> Signal:
    """A small hall: noise that dies by 60 dB in 1.2 s, another one a side."""
    random = np.random.RandomState(11)
    t = seconds_axis(1.2)
    response = band(random.randn(2, len(t)), 250, 5000) * 10 ** (-3 * t / 1.2) * np.minimum(1, t / 0.012)
    response /= np.sqrt((response**2).sum(1, keepdims=True))
    size = 1 << (signal.shape[1] + len(t)).bit_length()
    wet = np.fft.irfft(np.fft.rfft(signal, size) * np.fft.rfft(response, size), size)
    return wet[:, : signal.shape[1]]


def compose() -> NDArray[np.float32]:
    """The song: (N, 2) float32, within ±0.9."""
    drums, pad, bass, lead = drums_track(), pad_track(), bass_track(), lead_track()
    duck = ducking()
    dry = drums + duck * (pad + bass) + lead
    wet = reverb(0.10 * drums + 0.25 * duck * pad + 0.45 * lead)
    mix = GAIN * (dry + band(wet, 150, 20000))
    fade = np.clip((LENGTH - np.arange(LENGTH)) / (0.25 * SAMPLE_RATE), 0, 1)
    # Peaks are rounded, not clipped: nothing passes 0.89, -1 dB.
    return np.ascontiguousarray((0.89 * np.tanh(mix / 0.89) * fade).T.astype(np.float32))


def truth() -> dict[str, Any]:
    """Everything that is known of the song, as it is written to demo.json."""
    beats = [seconds(at_step(4 * beat)) for beat in range(4 * BARS + 1)]
    drums: dict[str, list[float]] = {}
    for step, drum, _ in hits():
        drums.setdefault(drum, []).append(seconds(at_step(step)))
    starts = [seconds(at_step(first_step(section))) for section in range(len(FORM))]
    ends = [*starts[1:], seconds(LENGTH)]
    return {
        "title": "Two Rooms",
        "duration": seconds(LENGTH),
        "sample_rate": SAMPLE_RATE,
        "tempo": TEMPO,
        "beats": beats,
        "downbeats": beats[::4],
        "drums": drums,
        "sections": [
            {"label": label, "start": start, "end": end} for label, start, end in zip(FORM, starts, ends, strict=True)
        ],
        "chords": [
            {"label": chord.name, "start": seconds(at_step(step)), "end": seconds(at_step(step + chord.steps))}
            for step, _, chord in chords()
        ]
        + [{"label": LAST_CHORD.name, "start": beats[-1], "end": seconds(LENGTH)}],
    }


def write(folder: Path) -> None:
    """Write demo.ogg and demo.json, each whole or not at all."""
    import soundfile

    song, words = folder / ".demo.partial.ogg", folder / ".demo.partial.json"
    soundfile.write(song, compose(), SAMPLE_RATE, format="OGG", subtype="VORBIS", compression_level=0.4)
    words.write_text(json.dumps(truth(), indent=1) + "\n", encoding="utf-8")
    song.replace(folder / "demo.ogg")
    words.replace(folder / "demo.json")


def main() -> None:
    parser = argparse.ArgumentParser(description="Compose the demo song and write it with its ground truth.")
    parser.add_argument("-o", "--output", type=Path, default=ASSETS, help="the folder (default: the package's assets)")
    folder = parser.parse_args().output
    write(folder)
    print(f"{folder / 'demo.ogg'}: {(folder / 'demo.ogg').stat().st_size / 1000:.0f} kB, {LENGTH / SAMPLE_RATE:.2f} s")


if __name__ == "__main__":
    main()
