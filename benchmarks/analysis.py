"""How long does hearing a song take, and how much memory?

Every measurement is a fresh process that hears all default features and all segmentations of a song, mp3 or wav, and
is timed from outside, Python's start included:

first     nothing compiled yet: no .pyc files of ours or of what we import, no cache
cold      as always after that, song not yet in the cache
cached    the song is in the cache
madmom    cold, with madmom's downbeats (only with --madmom)
librosa   librosa's own functions for the same features (only with --librosa)

Targets: 3 minutes cold in 6 s, first in 12 s, cached in 0.5 s; 60 minutes cold in 120 s and 2 GB.

    python benchmarks/analysis.py [--minutes 3 10 60] [--librosa] [--madmom] [--repeat 3] [--songs FOLDER]
        [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile

RATE = 44_100
BPM = 124.0
FORM = "AABACABC"
BARS_PER_SECTION = 8
CHORDS = {
    "A": [(261.6, 329.6, 392.0), (220.0, 261.6, 329.6), (174.6, 220.0, 261.6), (196.0, 246.9, 293.7)],
    "B": [(146.8, 174.6, 220.0), (164.8, 207.7, 246.9), (196.0, 246.9, 293.7), (130.8, 164.8, 196.0)],
    "C": [(233.1, 277.2, 349.2)] * 4,
}

OURS = """
import resource, sys
from fractions import Fraction
from pathlib import Path
from audioreactive.features import analyze_file
analyze_file(Path(sys.argv[1]), fps=Fraction(24), cache_dir=Path(sys.argv[2]), beat_tracker=sys.argv[3])
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_maxrss, used.ru_utime + used.ru_stime)
"""

THEIRS = """
import resource, sys
import librosa
import numpy as np
y, sr = librosa.load(sys.argv[1], sr=24576)
hop = {"sr": sr, "hop_length": 1024}
harmonic, percussive = librosa.effects.hpss(y, margin=8.0)
librosa.feature.mfcc(y=y, **hop)
librosa.feature.spectral_contrast(y=y, **hop)
librosa.feature.spectral_flatness(y=y, hop_length=1024)
chroma = librosa.feature.chroma_cens(y=harmonic, **hop)
librosa.feature.tonnetz(y=harmonic, **hop)
for part in (y, harmonic, percussive):
    librosa.feature.rms(y=part, hop_length=256)
librosa.onset.onset_strength(y=percussive, sr=sr, hop_length=256)
librosa.beat.plp(y=y, sr=sr, hop_length=512)
librosa.beat.beat_track(y=y, sr=sr, hop_length=512)
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_maxrss, used.ru_utime + used.ru_stime)
"""


@dataclass(frozen=True)
class Row:
    """One measurement: the fastest of its repetitions."""

    minutes: float
    what: str
    seconds: float
    cpu_seconds: float
    peak_mb: float


def write_song(path: Path, minutes: float) -> None:
    """Drums, bass, chords and hiss in sections that return, bar by bar."""
    random = np.random.default_rng(0)
    beat = 60 / BPM
    bar = round(4 * beat * RATE)
    times = np.arange(bar) / RATE
    in_beat = times % beat
    with soundfile.SoundFile(path, "w", RATE, 2) as file:
        for number in range(round(minutes * 60 / (4 * beat))):
            section = FORM[number // BARS_PER_SECTION % len(FORM)]
            notes = CHORDS[section][number % 4]
            chord = sum(np.sin(2 * np.pi * hz * h * times + h) / h for hz in notes for h in range(1, 6)) * 0.05
            bass = 0.15 * np.sin(2 * np.pi * notes[0] / 4 * times)
            kick = 0.6 * np.sin(2 * np.pi * 50 * in_beat) * np.exp(-in_beat * 14) * (section != "C")
            hat = 0.1 * random.normal(size=bar) * np.exp(-(times % (beat / 2)) * 70)
            snare = 0.2 * random.normal(size=bar) * np.exp(-((times - beat) % (2 * beat)) * 22) * (section != "C")
            mix = 0.7 * (chord + bass + kick + hat + snare + 0.002 * random.normal(size=bar))
            file.write(np.stack([mix, 0.9 * mix], axis=1).astype(np.float32))


def measure(what: str, minutes: float, code: str, arguments: list[str], environment: dict[str, str]) -> Row:
    """Run a fresh process, timed from outside."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        check=True,
        encoding="utf-8",
        env={**os.environ, **environment},
    )
    seconds = time.perf_counter() - started
    kilobytes, cpu = done.stdout.split()[-2:]
    return Row(minutes, what, round(seconds, 2), round(float(cpu), 2), round(float(kilobytes) / 1024))


def measure_song(song: Path, minutes: float, options: argparse.Namespace) -> list[Row]:
    """All measurements of one song."""
    with tempfile.TemporaryDirectory() as folder:

        def ours(what: str, cache: str, tracker: str = "librosa", **environment: str) -> Row:
            return measure(what, minutes, OURS, [str(song), str(Path(folder, cache)), tracker], environment)

        rows = [
            ours("first", "first", PYTHONPYCACHEPREFIX=str(Path(folder, "pyc"))),
            fastest([ours("cold", f"cold{i}") for i in range(options.repeat)]),
            fastest([ours("cached", "cold0") for _ in range(options.repeat)]),
        ]
        if options.madmom:
            rows.append(ours("madmom", "madmom", "madmom"))
        if options.librosa:
            rows.append(measure("librosa", minutes, THEIRS, [str(song)], {}))
    return rows


def fastest(tries: list[Row]) -> Row:
    """The one that was disturbed least."""
    return min(tries, key=lambda row: row.seconds)


def main() -> None:
    """Measure, print one table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, nargs="+", default=[3, 10, 60])
    parser.add_argument("--suffix", choices=["wav", "mp3", "ogg", "flac"], default="mp3")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--madmom", action="store_true")
    parser.add_argument("--librosa", action="store_true")
    parser.add_argument("--songs", type=Path, help="folder in which the songs are kept, and found again")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    rows: list[Row] = []
    print(f"{'minutes':>8} {'what':8} {'seconds':>8} {'cpu s':>8} {'peak MB':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for minutes in options.minutes:
            song = Path(options.songs or folder, f"{minutes:g} minutes.{options.suffix}")
            if not song.exists():
                write_song(song, minutes)
            for row in measure_song(song, minutes, options):
                rows.append(row)
                print(f"{row.minutes:8g} {row.what:8} {row.seconds:8.2f} {row.cpu_seconds:8.2f} {row.peak_mb:8.0f}")
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
