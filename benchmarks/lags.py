"""Is every preset in step with its song, and is a lag never found where there is none?

Renders a passage of each song with each preset and the built-in model, by the real command, and scores the file: the
lag should be 0 ± 1 frame, and LATE frames more where the sound is late by that much. A lag that is not clear
(`audioreactive score`) says nothing: a calm preset may react too little in a short passage. An encoder wipes away fine
grain, which moves with the sound too, so CALM presets are rendered once more at the best quality. Then what cannot have
a lag: every video with the sound of every other song, and random pictures with passages of all songs.

    python benchmarks/lags.py SONG... [--start 20] [--seconds 24] [--presets NAME ...] [--videos FOLDER]
        [--random 240] [--json FILE]

`--videos` keeps what was rendered, and renders nothing that is there already.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from audioreactive.commands.score import CLEAR_PEAK
from audioreactive.correlation import ScoreCard, score_features, sound_tables, watch
from audioreactive.features import analyze_file
from audioreactive.patches.presets import shipped_presets
from audioreactive.patches.tables import smooth
from audioreactive.video import read_frames

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]

FPS, LATE = 24, 10
CRF, BEST_CRF = 18, 1
"""Quality of the encoder: what `render` takes by default, and the best."""
CALM = ("chords", "tides")
WIDTHS = (1, 3, 8, 24)
"""Frames: how smooth random pictures are."""
LENGTHS = (20, 30)
"""Seconds of random pictures."""


def run(*arguments: object) -> None:
    """The program, as a person calls it."""
    subprocess.run([sys.executable, "-m", "audioreactive", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


@dataclass(frozen=True)
class Heard:
    """What `audioreactive score` hears in a sound."""

    tables: dict[str, FloatArray]
    more: dict[str, FloatArray]

    @classmethod
    def of(cls, sound: Path) -> Heard:
        """From a file."""
        return cls(*sound_tables(analyze_file(sound, fps=FPS)))

    @property
    def frames(self) -> int:
        """How long it is."""
        return len(self.tables["rms"])

    def cut(self, first: int, stop: int) -> Heard:
        """A passage, from a frame to another."""
        return Heard(*({name: table[first:stop] for name, table in some.items()} for some in (self.tables, self.more)))

    def against(self, seen: dict[str, FloatArray]) -> ScoreCard:
        """The score of these two, of equal length."""
        return score_features(self.tables, seen, fps=Fraction(FPS), more=self.more)


def write_passages(song: Path, folder: Path, start: float, seconds: float) -> tuple[Path, Path]:
    """A passage of a song, and the same with silence before it."""
    sound, late = (folder / f"{song.stem}{end}.wav" for end in ("", "-late"))
    samples, rate = soundfile.read(song, dtype="float32", always_2d=True)
    first = round(start * rate)
    passage = samples[first : first + round(seconds * rate)]
    silence = np.zeros((round(LATE / FPS * rate), passage.shape[1]), np.float32)
    soundfile.write(sound, passage, rate)
    soundfile.write(late, np.concatenate([silence, passage])[: len(passage)], rate)
    return sound, late


def measure(
    songs: Sequence[Path], presets: Sequence[str], folder: Path, start: float, seconds: float
) -> tuple[list[dict[str, Any]], list[float]]:
    """Each preset over every song, in step and late; and the p of each with the sound of each other song."""
    rows, strangers = [], []
    passages = {song: write_passages(song, folder, start, seconds) for song in songs}
    heard = {song: [Heard.of(sound) for sound in sounds] for song, sounds in passages.items()}
    kinds = [(preset, CRF) for preset in presets] + [(preset, BEST_CRF) for preset in CALM if preset in presets]
    for song in songs:
        for preset, crf in kinds:
            video = folder / f"{song.stem}-{preset}-{crf}.mp4"
            if not video.exists():
                quality = ("--fps", FPS, "--crf", crf)
                run(
                    "render",
                    passages[song][0],
                    "--preset",
                    preset,
                    "--model",
                    "stylegan2",
                    *quality,
                    "-o",
                    video,
                    "--quiet",
                )
            seen = watch(read_frames(video))
            frames = len(seen["rgb_histogram"])
            before, after = (sound.cut(0, frames).against(seen) for sound in heard[song])
            others = [heard[other][0] for other in songs if other != song]
            strangers += [other.cut(0, frames).against(seen).lag_p for other in others if other.frames >= frames]
            row = {
                "song": song.stem,
                "preset": preset,
                "crf": crf,
                "z": before.total.z,
                "lag": before.lag,
                "p": before.lag_p,
            }
            row |= {"late_lag": after.lag, "late_p": after.lag_p}
            rows.append(row)
            numbers = f"{row['z']:6.1f} {row['lag']:4d} {row['p']:8.2g}"
            late = f"{row['late_lag']:4d} {row['late_p']:8.2g}"
            print(f"{song.stem:>12} {preset:>10} {crf:4d} {numbers}   {'':15} {late}", flush=True)
    return rows, strangers


def random_picture(stream: np.random.RandomState, frames: int, width: float) -> dict[str, FloatArray]:
    """A smooth random walk through eight pictures, seen through some features."""
    walk = smooth(stream.randn(frames, 8).astype(np.float32), width)
    walk /= walk.std()
    change = np.abs(np.diff(walk, axis=0, prepend=walk[:1])).mean(1, keepdims=True)
    tables = {"histogram": walk @ stream.randn(8, 20), "edges": np.abs(walk[:, :3]), "difference": change}
    return {name: table.astype(np.float32) for name, table in tables.items()}


def random_pictures(songs: Sequence[Path], count: int) -> list[float]:
    """The p of the lag of random pictures with passages of the songs."""
    found = []
    heard = [Heard.of(song) for song in songs]
    for number in range(count):
        stream = np.random.RandomState(number)
        frames = LENGTHS[number % len(LENGTHS)] * FPS
        sound = heard[stream.randint(len(heard))]
        first = stream.randint(0, sound.frames - frames)
        picture = random_picture(stream, frames, WIDTHS[number // len(LENGTHS) % len(WIDTHS)])
        found.append(sound.cut(first, first + frames).against(picture).lag_p)
    return found


def summary(values: Sequence[float]) -> dict[str, int]:
    """How many there are, and how many are as small as this."""
    return {"count": len(values)} | {f"p <= {p}": sum(value <= p for value in values) for p in (0.05, 0.01, CLEAR_PEAK)}


def main() -> None:
    """Measure, print tables, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("songs", type=Path, nargs="+", metavar="SONG")
    parser.add_argument("--start", type=float, default=20.0)
    parser.add_argument("--seconds", type=float, default=24.0)
    parser.add_argument("--presets", nargs="+", default=[*shipped_presets()])
    parser.add_argument("--videos", type=Path, help="a folder for what is rendered")
    parser.add_argument("--random", type=int, default=240, help="random pictures")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    facts: dict[str, Any] = {"start": options.start, "seconds": options.seconds, "late": LATE}
    columns = f"{'song':>12} {'preset':>10} {'crf':>4} {'score':>6} {'lag':>4} {'p':>8}"
    print(f"{columns}   {LATE} frames late: {'lag':>4} {'p':>8}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.videos or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        facts["rows"], strangers = measure(options.songs, options.presets, folder, options.start, options.seconds)
    facts["other songs"] = summary(strangers)
    facts["random pictures"] = summary(random_pictures(options.songs, options.random))
    for name in ("other songs", "random pictures"):
        print(f"\n{name}: {facts[name]}")
    if options.json:
        options.json.write_text(json.dumps(facts, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
