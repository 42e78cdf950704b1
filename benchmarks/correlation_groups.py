"""Does the measure tell audio-reactive videos from others? The experiment of section 3.4 of the thesis.

Groups of snippets over real songs: None (every frame another random picture), Random (smoothed random latents and
noise), Onsets, Chroma, Onset+Chroma (section 3.4.1), and Manual (the presets that ship, in turn). Prints the medians of
the four matrix correlations on all features, of the orthogonal Procrustes correlation and of the corrected score by
audio feature, and the smoothness sweep of section 3.4.4; draws one figure each. Songs: Debian's wesnoth-1.16-music, or
any folder.

    python benchmarks/correlation_groups.py [--music DIR] [--snippets 30] [--json FILE] [--figures DIR]
    python benchmarks/correlation_groups.py --again FILE [--figures DIR]     draws once more what --json wrote
    python benchmarks/correlation_groups.py --full            500 snippets a group at 256², as in the thesis
"""

from __future__ import annotations

import argparse
import json
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from common import save_small_model

from audioreactive.correlation import CORRELATIONS, score_total, sound_tables, watch
from audioreactive.errors import AudioReactiveError
from audioreactive.features import Features, analyze_file
from audioreactive.generators import open_generator
from audioreactive.generators.sources import NETWORK_NAME
from audioreactive.patches.motion import Fed, motion
from audioreactive.patches.noise import draw_field
from audioreactive.patches.presets import load_preset, shipped_presets
from audioreactive.patches.tables import smooth
from audioreactive.rendering.renderer import iter_frames

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from audioreactive.generators import Generator

    FloatArray = NDArray[np.float32]

FPS = Fraction(24)
SECONDS = 16
FRAMES = int(SECONDS * FPS)
GROUPS = ("None", "Random", "Onsets", "Chroma", "Onset+Chroma", "Manual")
RANDOM_SIGMA = 12.0
"""Frames: the smoothness of the group Random, and of the noise of the group Onsets."""
WIDTHS = (1, 2, 4, 8, 16, 32, 64)
"""Frames: the sweep's Gaussian widths."""
FIRST_OTHER = 1000
"""Number of the first snippet of other songs: another passage, another draw."""
BY_FEATURE = ("rms", "onsets", "chroma")
"""The panels of Figure 3.2, beside all features."""
MUSIC = Path("/usr/share/games/wesnoth/1.16/data/core/music")


@dataclass(frozen=True)
class Fixed:
    """Latents and noise of a snippet, written out: both are small here."""

    ws: torch.Tensor
    """(T, L, W)."""
    maps: tuple[torch.Tensor, ...]
    """For each noise map, (T, 1, h, w)."""

    def __len__(self) -> int:
        """T."""
        return len(self.ws)

    def frames(self, start: int, stop: int) -> Fed:
        """(B, L, W), and (B, 1, h, w) for each map; the last frame is held."""
        held = torch.arange(start, stop).clamp(max=len(self) - 1)
        return Fed(self.ws[held], [one[held] for one in self.maps])


def rows(values: torch.Tensor, sigma: float) -> torch.Tensor:
    """(T, N) filtered along time and brought back to the spread of single rows."""
    filtered = torch.from_numpy(smooth(values.numpy(), sigma))
    return filtered / filtered.std() * values.std()


def random_inputs(generator: Generator, stream: np.random.RandomState, sigma: float) -> Fixed:
    """Random latents and noise, smoothed in time; 0 leaves every frame on its own."""
    z = torch.from_numpy(stream.randn(FRAMES, generator.z_dim)).float()
    ws = generator.mapping(z)
    shape = ws.shape
    if sigma:
        mean = ws.mean(0, keepdim=True)
        ws = rows((ws - mean).flatten(1), sigma).view(shape) + mean
    return Fixed(ws, random_maps(generator, stream, sigma))


def random_maps(generator: Generator, stream: np.random.RandomState, sigma: float) -> tuple[torch.Tensor, ...]:
    """Noise of unit variance, smoothed in time."""
    maps = []
    for height, width in generator.noise_sizes:
        values = torch.from_numpy(stream.randn(FRAMES, height * width).astype(np.float32))
        maps.append((rows(values, sigma) if sigma else values).view(FRAMES, 1, height, width))
    return tuple(maps)


def vectors(generator: Generator, stream: np.random.RandomState, count: int) -> torch.Tensor:
    """(count, L, W) random pictures."""
    return generator.mapping(torch.from_numpy(stream.randn(count, generator.z_dim)).float())


def onset_inputs(generator: Generator, stream: np.random.RandomState, onsets: FloatArray) -> Fixed:
    """Latents bounce between two pictures; smooth noise is 0.5 to 1.5 times as strong. `onsets` is (T, 1)."""
    strength = torch.from_numpy(onsets.copy())
    low, high = vectors(generator, stream, 2)
    ws = torch.lerp(low[None], high[None], strength[:, :, None])
    maps = random_maps(generator, stream, RANDOM_SIGMA)
    return Fixed(ws, tuple(one * (0.5 + strength)[:, :, None, None] for one in maps))


def chroma_inputs(generator: Generator, stream: np.random.RandomState, chroma: FloatArray) -> Fixed:
    """Latents and noise are averages of twelve, weighted by the notes. `chroma` is (T, 12)."""
    weights = torch.from_numpy(chroma / np.maximum(chroma.sum(1, keepdims=True), 1e-6)).float()
    ws = torch.einsum("tc,clw->tlw", weights, vectors(generator, stream, 12))
    unit = weights / weights.norm(dim=1, keepdim=True).clamp(min=1e-6)
    maps = []
    for layer, (height, width) in enumerate(generator.noise_sizes):
        seeds = stream.randint(0, 2**31 - 1, 12)
        fields = torch.from_numpy(np.stack([draw_field(int(seed), layer, (height, width)) for seed in seeds]))
        maps.append(torch.einsum("tc,chw->thw", unit, fields)[:, None])
    return Fixed(ws, tuple(maps))


def averaged(first: Fixed, second: Fixed) -> Fixed:
    """Halfway between both."""
    maps = tuple((a + b) / 2 for a, b in zip(first.maps, second.maps, strict=True))
    return Fixed((first.ws + second.ws) / 2, maps)


def manual_inputs(generator: Generator, number: int, features: Features, start: int) -> Fixed:
    """One of the presets that ship, on the whole song, cut to the snippet."""
    names = sorted(shipped_presets())
    preset = load_preset(names[number % len(names)])
    fed = motion(preset.patch, features).on(generator).frames(start, start + FRAMES)
    return Fixed(fed.ws, tuple(fed.noise))


def inputs_of(group: str, generator: Generator, number: int, features: Features, start: int) -> Fixed:
    """The snippet's latents and noise in this group."""
    stream = np.random.RandomState([number, GROUPS.index(group)])
    cut = slice(start, start + FRAMES)
    match group:
        case "None":
            return random_inputs(generator, stream, 0)
        case "Random":
            return random_inputs(generator, stream, RANDOM_SIGMA)
        case "Onsets":
            return onset_inputs(generator, stream, features["onsets"][cut])
        case "Chroma":
            return chroma_inputs(generator, stream, features["chroma"][cut])
        case "Onset+Chroma":
            onsets = onset_inputs(generator, stream, features["onsets"][cut])
            return averaged(onsets, chroma_inputs(generator, stream, features["chroma"][cut]))
        case _:
            return manual_inputs(generator, number, features, start)


def beside(tables: dict[str, FloatArray]) -> torch.Tensor:
    """(T, C): features beside each other, each of norm 1, as for the thesis' concatenated correlation."""
    parts = []
    for table in tables.values():
        centred = torch.from_numpy(np.asarray(table, np.float64) - table.mean(0, dtype=np.float64))
        parts.append(centred / centred.norm().clamp(min=1e-9))
    return torch.cat(parts, 1)


def measured(generator: Generator, inputs: Fixed, heard: dict[str, FloatArray], *, fully: bool) -> dict[str, float]:
    """Every number of one snippet."""
    with torch.inference_mode():
        batches = iter_frames(generator, inputs, batch=16, stop=FRAMES)
        seen = watch(frame for batch in batches for frame in batch)
    found = {"corrected": score_total(heard, seen, fps=FPS).z}
    pictures = beside(seen)
    for name, correlation in CORRELATIONS.items():
        found[name] = float(correlation(beside(heard), pictures))
    if fully:
        for feature in BY_FEATURE:
            alone = {feature: heard[feature]}
            found[f"raw {feature}"] = float(CORRELATIONS["orthogonal Procrustes"](beside(alone), pictures))
            try:
                found[f"corrected {feature}"] = score_total(alone, seen, fps=FPS).z
            except AudioReactiveError:  # a passage without a single stroke
                found[f"corrected {feature}"] = 0.0
    return found


def snippet(task: tuple[int, Path, Path, int, tuple[str, ...]]) -> list[dict[str, Any]]:
    """All groups, and the sweep where this snippet takes part, on one passage of one song."""
    number, song, model, sweeps, groups = task
    torch.set_num_threads(1)
    generator = open_generator(model or NETWORK_NAME, device="cpu", precision="fp32").generator
    features = analyze_file(song, fps=FPS)
    start = int(np.random.RandomState(number).randint(0, features.frames - FRAMES))
    heard = {name: table[start : start + FRAMES] for name, table in sound_tables(features)[0].items()}
    found: list[dict[str, Any]] = []
    with torch.inference_mode():
        for group in groups:
            inputs = inputs_of(group, generator, number, features, start)
            values = measured(generator, inputs, heard, fully=True)
            found.append({"snippet": number, "song": song.stem, "group": group, **values})
        for width in WIDTHS if number < sweeps else ():
            inputs = random_inputs(generator, np.random.RandomState([number, 100 + width]), width)
            values = measured(generator, inputs, heard, fully=False)
            found.append({"snippet": number, "song": song.stem, "width": width, **values})
    return found


def table(found: list[dict[str, Any]], key: str, columns: list[str]) -> str:
    """Medians over the snippets, one row for each value of the key, as Markdown."""
    values = list(dict.fromkeys(row[key] for row in found if key in row))
    lines = [f"| {key} | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for value in values:
        of = [row for row in found if row.get(key) == value]
        medians = [float(np.median([row[column] for row in of])) for column in columns]
        cells = [
            f"{m:+.2f}" if c.startswith("corrected") else f"{m:.3f}" for m, c in zip(medians, columns, strict=True)
        ]
        lines.append(f"| {value} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


INK, FAINT, ACCENT = "#1b1f24", "#b9c0c8", "#e4572e"
COLOURS = dict(zip(GROUPS, ("#b9c0c8", "#8d99a6", "#e4a11b", "#2e86ab", "#6a994e", "#e4572e"), strict=True))
PANELS = {
    "orthogonal Procrustes": "all features, raw",
    "corrected": "all features, corrected",
    "raw rms": "loudness, raw",
    "raw onsets": "onsets, raw",
    "raw chroma": "chroma, raw",
    "corrected rms": "loudness, corrected",
    "corrected onsets": "onsets, corrected",
    "corrected chroma": "chroma, corrected",
}
"""Column -> title."""


def draw(found: list[dict[str, Any]], key: str, rows: list[list[str]], path: Path) -> None:
    """Box plots over the snippets, a panel for each column; the band of a corrected score is chance, ± 2 deviations."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    values = list(dict.fromkeys(row[key] for row in found if key in row))
    width = len(rows[0])
    figure = Figure(figsize=(3.1 * width, 3.3 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(rows), width, squeeze=False)
    for axes, panel in zip(grid.ravel(), [panel for row in rows for panel in row], strict=True):
        if panel.startswith("corrected"):
            axes.axhspan(-2, 2, color="#eef1f4", zorder=0)
            axes.axhline(0, color=FAINT, linewidth=0.8, zorder=0)
        boxes = axes.boxplot(
            [[row[panel] for row in found if row.get(key) == value] for value in values],
            showfliers=False,
            patch_artist=True,
            widths=0.62,
            medianprops={"color": INK, "linewidth": 1.6},
            whiskerprops={"color": FAINT},
            capprops={"color": FAINT},
        )
        for box, value in zip(boxes["boxes"], values, strict=True):
            box.set(facecolor=COLOURS.get(str(value), "#2e86ab"), edgecolor="none")
        labels = [str(value).replace("+", "+\n") for value in values]
        axes.set_xticks(range(1, len(values) + 1), labels, fontsize=7.5, color=INK)
        axes.set_title(PANELS[panel], fontsize=10, color=INK)
        axes.tick_params(axis="both", length=0, labelsize=7.5, labelcolor=INK)
        axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
        axes.grid(axis="y", color="#e3e7eb", linewidth=0.6)
        axes.set_axisbelow(True)
    if key == "width":
        figure.supxlabel("width of the Gaussian filter in frames", fontsize=8.5, color=INK)
    figure.savefig(path, dpi=110)


def report(found: list[dict[str, Any]], figures: Path | None) -> None:
    """Print the tables, draw the figures."""
    names = list(CORRELATIONS)
    by_feature = [f"{kind} {feature}" for kind in ("raw", "corrected") for feature in BY_FEATURE]
    print(table(found, "group", [*names, "corrected"]), "\n")
    print(table(found, "group", by_feature), "\n")
    print(table(found, "width", [*names, "corrected"]))
    if figures:
        panels = [[f"{kind} {feature}" for feature in BY_FEATURE] for kind in ("raw", "corrected")]
        totals = ("orthogonal Procrustes", "corrected")
        draw(
            found,
            "group",
            [[total, *row] for total, row in zip(totals, panels, strict=True)],
            figures / "correlation-groups.png",
        )
        draw(found, "width", [list(totals)], figures / "correlation-smoothness.png")


def main() -> None:
    """Measure, print the tables, draw, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--music", type=Path, default=MUSIC, help="folder of .ogg songs")
    parser.add_argument("--songs", type=int, default=12)
    parser.add_argument("--snippets", type=int, default=30)
    parser.add_argument("--sweeps", type=int, default=30, help="snippets that take part in the smoothness sweep")
    parser.add_argument("--model", type=Path, help="a model file; without it, a random one of 64²")
    parser.add_argument("--full", action="store_true", help="500 snippets, 100 in the sweep, at 256², all songs")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--figures", type=Path, help="a folder for correlation-groups.png and correlation-smoothness.png"
    )
    parser.add_argument("--others", action="store_true", help="passages of all songs but those, and no sweep")
    parser.add_argument("--only", choices=GROUPS, help="measure this group anew; of --json's file, keep the others")
    parser.add_argument("--again", type=Path, help="print and draw what --json wrote, and measure nothing")
    options = parser.parse_args()
    if options.again:
        report(json.loads(options.again.read_text("utf-8")), options.figures)
        return
    count, sweeps, songs = (500, 100, 1000) if options.full else (options.snippets, options.sweeps, options.songs)
    with tempfile.TemporaryDirectory() as folder:
        model = options.model or Path(folder) / "small.safetensors"
        if options.model is None:
            save_small_model(model, img_resolution=256 if options.full else 64)
        # Every passage must fit, and stray into no silence of a jingle.
        music = [path for path in sorted(options.music.glob("*.ogg")) if path.stat().st_size > 2_000_000]
        chosen = music[:: max(len(music) // songs, 1)][:songs]
        music = [path for path in music if path not in chosen] if options.others else chosen
        groups = (options.only,) if options.only else GROUPS
        first = FIRST_OTHER if options.others else 0
        sweeps = 0 if options.only or options.others else sweeps
        tasks = [(i, music[i % len(music)], model, sweeps, groups) for i in range(first, first + count)]
        found: list[dict[str, Any]] = []
        if options.only and options.json and options.json.exists():
            found = [row for row in json.loads(options.json.read_text("utf-8")) if row.get("group") != options.only]
        with ProcessPoolExecutor(options.workers, get_context("spawn")) as pool:
            for rows_of_snippet in pool.map(snippet, tasks):
                found += rows_of_snippet
                if options.json:
                    options.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    print(f"{count} snippets of {SECONDS} s from {len(music)} songs, medians\n")
    report(found, options.figures)


if __name__ == "__main__":
    main()
