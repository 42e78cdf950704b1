"""Does what is heard move what is seen? The score of drawn recipes and presets on songs, with lags and flashes.

For a passage of each song and each recipe, frames are rendered small, and measured: the corrected score, the lag, the
most flashes in a second, how much the picture changes from frame to frame, and how much this change changes (in levels
of 255), and how far a hit moves the picture: the mean change of a frame at the onsets of the bass and of the highs, in
units of the mean change of all frames.

    python benchmarks/reactivity.py SONG...                                 the recipe that is drawn for each song
    python benchmarks/reactivity.py SONG... --presets pulse mine.toml       presets
    python benchmarks/reactivity.py SONG... --presets all --model stylegan2
    python benchmarks/reactivity.py SONG... --presets all --model small     in a sixteenth of that time
    python benchmarks/reactivity.py SONG... --presets random drawn evolve hippo hippo-inputs all
    python benchmarks/reactivity.py SONG... --command                       by the real command, at its own size
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from common import save_small_builtin_model

import audioreactive as ar
from audioreactive._support.pictures import save_picture, tile
from audioreactive.commands.plots import plot_score
from audioreactive.correlation import score_features, sound_tables, watch
from audioreactive.errors import ScoreError
from audioreactive.features.names import USUAL_FEATURES
from audioreactive.flashes import find_flashes
from audioreactive.flashes.detect import most_flashes
from audioreactive.learn.named import named_synthesizer
from audioreactive.media.demo import DEMO_SONG
from audioreactive.patches.presets import shipped_presets
from audioreactive.pipeline.choose import chosen_seed
from audioreactive.pipeline.evolve import evolve
from audioreactive.pipeline.fitted import better
from audioreactive.pipeline.recipe import Recipe, song_seed
from audioreactive.progress import Silent
from audioreactive.rendering.previews import pictures_at
from audioreactive.video import read_frames

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from audioreactive.features import Features
    from audioreactive.generators import Generator
    from audioreactive.patches.preset import Preset

    Frame = NDArray[np.uint8]

FPS = 24
SHEET = 24
"""Frames of each half of a sheet."""
EVOLVED = 64
"""Number of presets that are scored while they evolve."""
SMALL = "small"
"""Name of the network that ships with the middle of its learned constant alone: it makes pictures of 64², with the same
layers."""
MADE = ("random", "drawn", "evolve", "hippo", "hippo-inputs")
"""Names of recipes that are made for a song."""
HITS = {"bass": "bass.onsets", "high": "high.onsets"}
HEAD = (
    f"{'song':>22} {'recipe':>12} {'score':>6} {'raw':>6} {'lag':>4} {'flash':>5} {'bass':>6} {'high':>5} "
    f"{'change':>6} {'bend':>5}"
)
STRONG = 0.5
"""Height of an onset's envelope, of 1, from which it counts as a hit."""


@dataclass(frozen=True)
class Row:
    """Score, lag, flashes and motion at strokes of one recipe on one song."""

    song: str
    recipe: str
    z: float
    raw: float
    lag: int
    p: float
    flashes: float
    bass: float
    high: float
    change: float
    bend: float
    seed: int | None = None

    def __str__(self) -> str:
        lag = f"{self.lag:3d}{' ' if self.p < 0.01 else '?'}"
        seed = f"   seed {self.seed}" if self.seed is not None else ""
        return (
            f"{self.song[:22]:>22} {self.recipe:>12} {self.z:+6.1f} {self.raw:6.3f} {lag} {self.flashes:5.1f} "
            f"{self.bass:6.2f} {self.high:5.2f} {self.change:6.2f} {self.bend:5.2f}{seed}"
        )


def generator_named(model: str) -> Generator:
    """Load a generator by name or file, or the small network."""
    if model != SMALL:
        return ar.load_generator(model)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "small.safetensors"
        save_small_builtin_model(path)
        return ar.load_generator(path)


def passage(features: Features, start: float, seconds: float) -> range:
    """Frames of a passage of a song, moved to the front where the song ends before it does."""
    length = min(round(seconds * FPS), features.frames)
    first = min(round(start * FPS), features.frames - length)
    return range(first, first + length)


def made(name: str, features: Features, generator: Generator, chosen: dict[str, int]) -> tuple[Preset, int | None]:
    """Make the preset of a name in `MADE` for a song, and its seed; or load a preset.

    `chosen` keeps the seed that was chosen for each song.
    """
    if name not in MADE:
        return ar.load_preset(name), None
    first = song_seed(features.digest)
    if name == "random":
        return Recipe(seed=first).make(), first
    if name in ("drawn", "evolve", "hippo"):
        if features.digest not in chosen:
            chosen[features.digest] = chosen_seed(Recipe(leads=True), features, generator)
        seed = chosen[features.digest]
    if name == "drawn":
        return Recipe(seed=seed, leads=True).make(), seed
    if name == "evolve":
        preset = Recipe(seed=seed, leads=True).make()
        evolved = evolve(preset.patch, features, generator, count=EVOLVED, seed=seed)
        return preset.model_copy(update={"patch": evolved.patch}), seed
    if name == "hippo":
        recipe = Recipe(seed=seed, synthesizer=named_synthesizer(name))
        return better(recipe, features, generator, Silent())[0], seed
    return Recipe(seed=first, synthesizer=named_synthesizer(name)).make(), first


def measure(
    song: str, features: Features, shown: range, name: str, preset: Preset, generator: Generator, seed: int | None,
    looks: Path | None,
) -> Row:  # fmt: skip
    """Render a passage small, and measure; with a folder, also draw what moves what, and a sheet of frames."""
    moving = ar.motion(preset, features, generator=generator)
    frames = list(pictures_at(moving, generator.sketching(), np.arange(shown.start, shown.stop)))
    kept = Kept(1)
    seen = watch(kept.passing(frames))
    if looks is not None:
        save_picture(sheet(frames), looks / f"{song}-{name}.png")
    return row_of(song, features, shown, name, seen, most_flashes(frames, FPS), kept, seed, looks)


def sheet(frames: list[Frame]) -> Frame:
    """Arrange frames all over a passage, and below them successive ones of its middle."""
    spread = np.linspace(0, len(frames) - 1, SHEET).astype(int)
    middle = len(frames) // 2 + np.arange(SHEET)
    places = [*spread, *np.minimum(middle, len(frames) - 1)]
    labels = [f"{place / FPS:.2f} s" for place in places]
    return tile(np.stack([np.kron(frames[place], np.ones((3, 3, 1), np.uint8)) for place in places]), labels, columns=8)


def by_command(song: Path, features: Features, shown: range, name: str, preset: str | None, folder: Path) -> Row:
    """Render a passage by the real command at its default size, and measure the file."""
    video = folder / f"{song.stem}-{name}.mp4"
    if not video.exists():
        times = ("--start", shown.start / FPS, "--duration", len(shown) / FPS, "--fps", FPS)
        words = ["render", song, "-o", video, "--quiet", *times, *(("--preset", preset) if preset else ())]
        subprocess.run([sys.executable, "-m", "audioreactive", *map(str, words)], check=True)
    kept = Kept(32)
    seen = watch(kept.passing(read_frames(video)))
    report = find_flashes(video)
    most = max(report.most("general"), report.most("red"))
    return row_of(song.stem, features, shown, name, seen, most, kept, None)


@dataclass
class Kept:
    """Keeps some pixels of the frames that pass, in grey."""

    step: int
    grey: list[Frame] = field(default_factory=list)

    def passing(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Yield the frames, one by one."""
        for frame in frames:
            self.grey.append(frame[:: self.step, :: self.step].mean(2).astype(np.uint8))
            yield frame

    def changes(self) -> NDArray[np.float32]:
        """Mean change of each frame against the one before, the first 0."""
        frames = np.stack(self.grey).astype(np.float32)
        return np.concatenate([[0], np.abs(np.diff(frames, axis=0)).mean((1, 2))]).astype(np.float32)

    def bend(self) -> float:
        """Mean change of the change of a pixel from frame to frame."""
        return float(np.abs(np.diff(np.stack(self.grey).astype(np.float32), 2, axis=0)).mean())


def row_of(
    song: str, features: Features, shown: range, name: str, seen: dict[str, NDArray[np.float32]], flashes: float,
    kept: Kept, seed: int | None, looks: Path | None = None,
) -> Row:  # fmt: skip
    """Compare what is seen with what is heard."""
    tables, more = sound_tables(features)
    change = kept.changes()
    frames = min(len(change), len(shown))
    heard = slice(shown.start, shown.start + frames)
    cut = [{key: table[part] for key, table in some.items()} for some, part in (
        (tables, heard), (more, heard), (seen, slice(frames)),
    )]  # fmt: skip
    reach = {}
    for band, feature in HITS.items():
        envelope = features[feature][heard].reshape(frames, -1)[:, 0]
        inner = envelope[1:-1]
        hits = 1 + np.flatnonzero((inner > STRONG) & (inner >= envelope[:-2]) & (inner >= envelope[2:]))
        after = [change[hit : hit + 4].max() for hit in hits if hit + 4 <= frames]
        reach[band] = float(np.mean(after) / change.mean()) if after and change.mean() > 0 else float("nan")
    try:
        card = score_features(cut[0], cut[2], fps=Fraction(FPS), more=cut[1])
        found = (card.total.z, card.total.raw, card.lag, card.lag_p)
        if looks is not None:
            plot_score(card, looks / f"{song}-{name}-score.png", title=f"{song}, {name}")
    except ScoreError:
        found = (0.0, 0.0, 0, 1.0)
    return Row(song, name, *found, flashes, reach["bass"], reach["high"], float(change[1:].mean()), kept.bend(), seed)


def main() -> None:
    """Measure, print a table, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("songs", type=Path, nargs="+", metavar="SONG", help="sound files, or demo")
    parser.add_argument(
        "--presets", nargs="+", default=[], help=f"names or files, all, or {', '.join(MADE)}; else what is drawn"
    )
    parser.add_argument("--model", default="painter", help=f"name or file, or {SMALL}: the network that ships at 64²")
    parser.add_argument("--start", type=float, default=0.0)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--command", type=Path, metavar="FOLDER", help="render by the real command, into this folder")
    parser.add_argument(
        "--looks", type=Path, metavar="FOLDER", help="draw what moves what, and sheets of frames, there"
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    names = [name for one in options.presets for name in (shipped_presets() if one == "all" else [one])]
    if options.looks:
        options.looks.mkdir(parents=True, exist_ok=True)
    generator = None if options.command else generator_named(options.model)
    rows: list[Row] = []
    chosen: dict[str, int] = {}
    print(HEAD)
    for song in [DEMO_SONG if str(song) == "demo" else song for song in options.songs]:
        features = ar.analyze_file(song, fps=FPS, names=[*USUAL_FEATURES, *HITS.values()])
        shown = passage(features, options.start, options.seconds)
        for name in names or ["drawn"]:
            label = Path(name).stem
            if generator is None:
                row = by_command(song, features, shown, label, None if name == "drawn" else name, options.command)
            else:
                preset, seed = made(name, features, generator, chosen)
                row = measure(song.stem, features, shown, label, preset, generator, seed, options.looks)
            rows.append(row)
            print(row, flush=True)
    print(summary(rows))
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", "utf-8")


def summary(rows: list[Row]) -> str:
    """Lines for each recipe over all songs."""
    lines = []
    for recipe in dict.fromkeys(row.recipe for row in rows):
        own = [row for row in rows if row.recipe == recipe]
        scores = [row.z for row in own]
        steady = sum(abs(row.lag) <= 1 for row in own)
        calm = sum(row.flashes <= 3 for row in own)
        lines.append(
            f"{recipe:>12}: median {_interval(scores, '+.1f')}, least {min(scores):+.1f}, "
            f"median raw {_interval([row.raw for row in own], '.3f')}, "
            f"{sum(z >= 5 for z in scores)} of {len(own)} at least +5; lag 0 ± 1 in {steady}; "
            f"at most 3 flashes in {calm}"
        )
    return "\n".join(lines)


def _interval(values: list[float], form: str) -> str:
    """Median of the songs' values, with a 95 % interval by drawing songs with replacement."""
    drawn = np.random.RandomState(0).choice(values, (4096, len(values)))
    low, high = np.quantile(np.median(drawn, axis=1), (0.025, 0.975))
    return f"{statistics.median(values):{form}} [{low:{form}}, {high:{form}}]"


if __name__ == "__main__":
    main()
