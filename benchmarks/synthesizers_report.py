"""What benchmarks/synthesizers.py found: tables, and a figure.

    python benchmarks/synthesizers_report.py benchmarks/results/synthesizers.json [--figure docs/synthesizers.png]

Scores are medians over songs with 95 % intervals, by drawing songs with replacement; a song's score is the mean over
its recipes.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from audioreactive._support.files import write_aside
from audioreactive._support.pictures import ACCENT, FAINT, INK, PAPER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

    Results = Mapping[str, Any]

METHODS = ("Random", "Randomizer", "Supervised", "Self-supervised", "HiPPO")
DRAWS = 2000
COLUMNS = (("raw", 3), ("corrected", 2), ("fed raw", 3), ("fed corrected", 2))
"""Of the table of methods, and their decimals: on rendered frames, then on what the generator is fed."""


@dataclass(frozen=True)
class Median:
    """Over songs, and its 95 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float], seed: int = 0) -> Median:
        """By bootstrap."""
        drawn = np.random.RandomState(seed).randint(0, len(values), (DRAWS, len(values)))
        low, high = np.percentile(np.median(np.array(values)[drawn], axis=1), (2.5, 97.5))
        return cls(float(np.median(values)), float(low), float(high))

    def text(self, decimals: int) -> str:
        """`value [low, high]`."""
        return f"{self.value:.{decimals}f} [{self.low:.{decimals}f}, {self.high:.{decimals}f}]"


def films(results: Results) -> dict[str, list[dict[str, Any]]]:
    """Method -> its films, in the order of METHODS."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for key, value in results.items():
        if key.startswith("film "):
            found[key.split()[1]].append(value)
    return {method: found[method] for method in METHODS if method in found}


def by_song(taken: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    """Means over each song's recipes."""
    songs: dict[str, list[float]] = defaultdict(list)
    for film in taken:
        songs[film["song"]].append(film[key])
    return [float(np.mean(values)) for _, values in sorted(songs.items())]


def report(results: Results) -> None:
    """Print what is there, as tables in Markdown."""
    for table in (_methods, _motions, _variants, _frames, _weighted, _seconds):
        lines = table(results)
        if lines:
            print("\n" + "\n".join(lines))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    cells = [list(head), ["---"] + ["--:"] * (len(head) - 1), *map(list, rows)]
    return ["| " + " | ".join(row) + " |" for row in cells] if rows else []


def _methods(results: Results) -> list[str]:
    rows = []
    for method, taken in films(results).items():
        far = results.get("distances", {}).get(method, {})
        scores = [Median.of(by_song(taken, key)).text(decimals) for key, decimals in COLUMNS]
        rows.append([method, *scores, *(f"{far[key]:.2f}" if far else "" for key in ("pictures", "w", "radius"))])
    if (far := results.get("distances", {}).get("half of the samples")) and rows:
        own = [f"{far[key]:.2f}" for key in ("pictures", "w", "radius")]
        rows.append(["the model itself", *[""] * len(COLUMNS), *own])
    head = ["", "raw", "corrected", "raw, as fed", "corrected, as fed", "pictures", "w", "radius"]
    return _table(head, rows)


def _motions(results: Results) -> list[str]:
    rows = {method: results[f"motion {method}"] for method in METHODS if f"motion {method}" in results}
    head = ["", "change", "change of change", "fast colour", "with onsets"]
    return _table(head, [[method, *(f"{row[name]:.2f}" for name in head[1:])] for method, row in rows.items()])


def _variants(results: Results) -> list[str]:
    rows = []
    for key, value in results.items():
        if key.startswith(("table 5.2", "figure 5.5", "figure 5.6")):
            rows.append([key, Median.of(value["raw"]).text(3), Median.of(value["corrected"]).text(2)])
    return _table(["as fed", "raw", "corrected"], rows)


def _frames(results: Results) -> list[str]:
    rows = []
    for key, value in results.items():
        if key.startswith("frames of "):
            scores = [Median.of(value["raw"]).text(3), Median.of(value["corrected"]).text(2)]
            far = [f"{value[name]:.2f}" for name in ("pictures", "w", "radius")]
            rows.append([key.removeprefix("frames of "), *scores, *far])
    return _table(["on frames", "raw", "corrected", "pictures", "w", "radius"], rows)


def _weighted(results: Results) -> list[str]:
    rows = {key.removeprefix("table 5.3 "): value for key, value in results.items() if key.startswith("table 5.3 ")}
    names = list(rows)
    return _table(
        ["ten times", *names], [[name, *(f"{row.get(other, 0):.3f}" for other in names)] for name, row in rows.items()]
    )


def _seconds(results: Results) -> list[str]:
    rows = {int(key.split()[-1]): value for key, value in results.items() if key.startswith("seconds for ")}
    if not rows:
        return []
    head = ["seconds of song", *next(iter(rows.values()))]
    return _table(
        head, [[str(length), *(f"{value:.2f}" for value in row.values())] for length, row in sorted(rows.items())]
    )


def draw(results: Results, path: Path) -> None:
    """Scores of the methods, and seconds against length."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.8), facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    scores, cost = figure.subplots(1, 2, width_ratios=[1.5, 1])
    _draw_scores(scores, films(results))
    _draw_cost(cost, results)
    with write_aside(path) as file:
        figure.savefig(file, format=path.suffix[1:], dpi=110, facecolor=PAPER)


def _style(axes: Axes) -> None:
    axes.set_facecolor(PAPER)
    axes.tick_params(colors=INK, which="both")
    for spine in axes.spines.values():
        spine.set_color(FAINT)


def _draw_scores(axes: Axes, taken: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    _style(axes)
    for place, several in enumerate(taken.values()):
        values = by_song(several, "corrected")
        middle = Median.of(values)
        axes.plot([place] * len(values), values, "o", color=INK, alpha=0.5, markersize=4)
        axes.errorbar(
            place, middle.value, [[middle.value - middle.low], [middle.high - middle.value]],
            fmt="_", color=ACCENT, markersize=26, capsize=6, linewidth=2,
        )  # fmt: skip
    axes.axhline(0, color=FAINT)
    axes.set_xticks(range(len(taken)), list(taken))
    axes.set_xlim(-0.5, len(taken) - 0.5)
    axes.set_ylabel("corrected score of rendered frames", color=INK)
    axes.set_title("songs held out: each, and the median", color=INK)


def _draw_cost(axes: Axes, results: Results) -> None:
    _style(axes)
    rows = {int(key.split()[-1]): value for key, value in results.items() if key.startswith("seconds for ")}
    lengths = sorted(rows)
    for name, colour in zip(rows[lengths[0]] if rows else (), (INK, ACCENT, "#6fb7d6"), strict=False):
        axes.loglog(lengths, [rows[length][name] for length in lengths], "o-", color=colour, label=name)
    axes.set_xticks(lengths, [f"{n // 60} min" if n >= 60 else f"{n} s" for n in lengths])
    axes.minorticks_off()
    axes.set_xlabel("length of the song", color=INK)
    axes.set_ylabel("seconds", color=INK)
    axes.set_title("from features to motion, two cores", color=INK)
    if rows:
        axes.legend(facecolor=PAPER, labelcolor=INK, edgecolor=FAINT)


def main() -> None:
    """Print tables, draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("results", type=Path, help="what synthesizers.py kept in its folder")
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    results = json.loads(options.results.read_text("utf-8"))
    report(results)
    if options.figure:
        draw(results, options.figure)


if __name__ == "__main__":
    main()
