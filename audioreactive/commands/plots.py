"""Plots of features, scores and flashes."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from audioreactive._support.files import write_aside
from audioreactive._support.pictures import ACCENT, FAINT, INK, PAPER
from audioreactive.features.names import EVERY_FEATURE

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from audioreactive.correlation import ScoreCard
    from audioreactive.features import Features
    from audioreactive.flashes import FlashReport
    from audioreactive.sync import SyncReport
    from audioreactive.sync.takes import TakesReport

SECTION_COLOURS = "tab20"
NOTES = ("C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B")
WIDEST_PLOT = 4000
"""Most columns of a plot. For longer songs a column shows the maximum of its frames, so that no onset is lost."""


def plot_features(features: Features, path: Path, *, title: str) -> None:
    """All features over time, one row each, with beats and sections."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = list(features)
    heights = [_row_height(features[name].shape[1]) for name in names] + [0.35] * len(features.segmentations)
    figure = Figure(figsize=(16, 1.2 + sum(heights) * 0.62), facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    seconds = float(features.duration)
    for axes, name in zip(rows, names, strict=False):
        _style(axes, name)
        _draw_envelope(axes, features, name, seconds)
    for axes, name in zip(rows[len(names) :], features.segmentations, strict=True):
        _style(axes, f"sections\n({name})")
        labels = np.stack([features.segmentation(name, k) / (k - 1) for k in (3, 5, 8)])
        axes.imshow(labels, aspect="auto", extent=(0, seconds, 3, 0), cmap=SECTION_COLOURS, interpolation="nearest")
        axes.set_yticks([0.5, 1.5, 2.5], ["3", "5", "8"], fontsize=6)
    rows[-1].set_xlim(0, seconds)
    rows[-1].set_xlabel("seconds", color=INK)
    figure.suptitle(f"{title}   {features.tempo:.1f} bpm, {len(features.beats)} beats", color=INK)
    with write_aside(path) as file:
        figure.savefig(file, format=path.suffix[1:], dpi=110, facecolor=PAPER)


def plot_score(card: ScoreCard, path: Path, *, title: str) -> None:
    """Plot the corrected scores of all pairs of features as a heat map, and below it the fit at each lag."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    heard, seen = card.heard, card.seen
    scores = np.array([[card.cells[a, b].z for b in seen] for a in heard])
    figure = Figure(figsize=(11, 2.6 + 0.38 * len(heard)), facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    cells, lags = figure.subplots(2, 1, height_ratios=[0.38 * len(heard), 1.6])
    most = max(float(scores.max(initial=0)), 6.0)
    image = cells.imshow(scores, aspect="auto", vmin=0, vmax=most, cmap="magma", interpolation="nearest")
    _style(cells, "")
    cells.set_xticks(range(len(seen)), [name.replace("_", "\n") for name in seen], fontsize=7)
    cells.set_yticks(range(len(heard)), heard, fontsize=8)
    for (row, column), value in np.ndenumerate(scores):
        ink = PAPER if value > 0.6 * most else INK
        cells.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize=7, color=ink)
    bar = figure.colorbar(image, ax=cells, pad=0.01)
    bar.ax.tick_params(colors=INK, labelsize=7)
    bar.set_label("deviations above chance", color=INK, fontsize=8)
    _style(lags, "changes")
    seconds = np.array(list(card.lags)) / float(card.fps)
    lags.axhspan(-2, 2, color=FAINT)
    lags.plot(seconds, list(card.lags.values()), color=ACCENT, linewidth=1.2)
    lags.axvline(0, color=INK, linewidth=0.5)
    lags.set_xlim(seconds[0], seconds[-1])
    lags.set_xlabel("seconds by which the sound comes after the picture; the band is chance, ± 2 deviations", color=INK)
    figure.suptitle(f"{title}   {card.total.z:+.1f} deviations above chance, peak at lag {card.lag} frames", color=INK)
    with write_aside(path) as file:
        figure.savefig(file, format=path.suffix[1:], dpi=110, facecolor=PAPER)


def plot_flashes(report: FlashReport, path: Path, *, title: str) -> None:
    """Plot the brightness over time, and below it the flashes of each kind in the last second, with the limit."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from audioreactive.flashes import FLASHES, sentence

    figure = Figure(figsize=(14, 5), facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    light, *rows = figure.subplots(1 + len(report.flashes), 1, sharex=True, height_ratios=[1, 1.4, 1.4])
    times, brightness = _columns(report.times[:, None].astype(np.float32)), _columns(report.brightness[:, None])
    _style(light, "mean\nluminance")
    light.fill_between(times[:, 0], brightness[:, 0], color=INK, linewidth=0)
    light.set_ylim(0, 1)
    for axes, (kind, flashes) in zip(rows, report.flashes.items(), strict=True):
        _style(axes, f"{kind}\nflashes\na second")
        for stretch in report.stretches:
            if stretch.kind == kind:
                axes.axvspan(stretch.start, stretch.stop, color=FAINT, linewidth=0)
        colour = ACCENT if kind == "general" else "#ff3344"
        axes.fill_between(times[:, 0], _columns(flashes[:, None])[:, 0], step="post", color=colour, linewidth=0)
        axes.axhline(FLASHES, color=INK, linewidth=0.8, linestyle="--")
        axes.set_ylim(0, max(FLASHES + 1.5, report.most(kind) * 1.08))
    rows[-1].set_xlim(float(report.times[0]), float(report.times[-1]))
    rows[-1].set_xlabel("seconds; the dashed line is the limit, a shaded stretch is beyond it", color=INK)
    figure.suptitle(sentence(report, title), color=INK)
    with write_aside(path) as file:
        figure.savefig(file, format=path.suffix[1:], dpi=110, facecolor=PAPER)


def plot_sync(report: SyncReport, path: Path, *, title: str) -> None:
    """Plot the fit at each offset, with the tolerance, and below it the offset of each passage over time."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    told = report.offset is not None and len(report.times) > 0
    figure = Figure(figsize=(12, 7 if told else 4), facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    fit, *below = figure.subplots(2 if told else 1, 1, squeeze=False)[:, 0]
    early, late = report.tolerance.early * 1e3, report.tolerance.late * 1e3
    _style(fit, "fit")
    fit.axvspan(-late, early, color=FAINT, linewidth=0)
    fit.axvline(0, color=INK, linewidth=0.5)
    if len(report.curve):
        fit.plot(report.curve[:, 0] * 1e3, report.curve[:, 1], color=ACCENT, linewidth=1.2)
        fit.set_xlim(report.curve[0, 0] * 1e3, report.curve[-1, 0] * 1e3)
    else:
        fit.set_yticks([])
    fit.set_xlabel(
        f"offset in ms, positive: the sound is early; shaded: {report.tolerance.name}. Fit in deviations above chance",
        color=INK,
    )
    if told:
        (over,) = below
        _style(over, "offset\nin ms")
        over.axhspan(-late, early, color=FAINT, linewidth=0)
        over.axhline(0, color=INK, linewidth=0.5)
        over.plot(report.times, report.measured * 1e3, "o", color=INK, markersize=3, alpha=0.7)
        parts = np.flatnonzero(np.abs(np.diff(report.offsets)) > 0.02) + 1
        for times, offsets in zip(np.split(report.times, parts), np.split(report.offsets, parts), strict=True):
            over.plot(times, offsets * 1e3, color=ACCENT, linewidth=1.8, solid_capstyle="round")
            if len(times) == 1:
                part = next((p for p in report.passages if p.start <= times[0] < p.stop), None)
                start, stop = (part.start, part.stop) if part else (0.0, 2 * float(times[0]))
                over.hlines(offsets * 1e3, start, stop, color=ACCENT, linewidth=1.8)
        shown = np.concatenate([report.offsets, report.measured[np.isfinite(report.measured)]]) * 1e3
        low, high = float(shown.min()), float(shown.max())
        over.set_ylim(min(low, -late) - 40, max(high, early) + 40)
        over.set_xlim(left=0)
        over.set_xlabel("seconds; points: each passage by itself; line: offset, drift and jumps", color=INK)
    figure.suptitle(f"{title}: {report.verdict}\n{report.reason}", color=INK, fontsize=11, wrap=True)
    with write_aside(path) as file:
        figure.savefig(file, format=path.suffix[1:], dpi=110, facecolor=PAPER)


def plot_takes(report: TakesReport, path: Path, *, title: str) -> None:
    """Plot the path between two takes, and below it how far the second one is behind the first."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 9), facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    way, behind = figure.subplots(2, 1, height_ratios=[2.4, 1], sharex=True)
    _style(way, "second\ntake\nin s")
    _style(behind, "behind\nin s")
    way.plot([0, report.durations[0]], [0, report.durations[0]], color=FAINT, linewidth=1, linestyle="--")
    for part in report.paths:
        way.plot(part[:, 0], part[:, 1], color=ACCENT, linewidth=1.8)
        behind.plot(part[:, 0], part[:, 1] - part[:, 0], color=ACCENT, linewidth=1.5)
    way.set_xlim(0, report.durations[0])
    way.set_ylim(0, report.durations[1])
    behind.axhline(0, color=INK, linewidth=0.5)
    behind.set_xlabel("seconds of the first take; dashed: both at the same speed", color=INK)
    figure.suptitle(f"{title}: {report.verdict}\n{report.reason}", color=INK, fontsize=11, wrap=True)
    with write_aside(path) as file:
        figure.savefig(file, format=path.suffix[1:], dpi=110, facecolor=PAPER)


def _row_height(channels: int) -> float:
    return 1.0 if channels == 1 else 1.8 if channels > 8 else 1.3


def _style(axes: Axes, name: str) -> None:
    axes.set_facecolor(PAPER)
    axes.set_ylabel(name.replace(".", "\n"), rotation=0, ha="right", va="center", fontsize=8, color=INK)
    axes.tick_params(colors=INK, labelsize=7)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _draw_envelope(axes: Axes, features: Features, name: str, seconds: float) -> None:
    values = features[name]
    channels = values.shape[1]
    if channels > 1:
        extent = (0, seconds, 0, channels)
        axes.imshow(
            _columns(values).T, aspect="auto", origin="lower", extent=extent, vmin=0, vmax=1, cmap="magma",
            interpolation="nearest",
        )  # fmt: skip
        axes.set_yticks([])
        if name.endswith("chroma"):
            axes.set_yticks(np.arange(12) + 0.5, NOTES, fontsize=5)
        return
    envelope = _columns(values)[:, 0]
    times = np.linspace(0, seconds, len(envelope), endpoint=False)
    if EVERY_FEATURE[name.rpartition(".")[2]].kind == "rhythmic" and len(features.beats) < WIDEST_PLOT / 8:
        axes.vlines(features.beats, 0, 1, color=FAINT, linewidth=0.5)
        axes.vlines(features.downbeats, 0, 1, color=INK, linewidth=0.5, alpha=0.6)
    axes.fill_between(times, envelope, color=ACCENT, linewidth=0, alpha=0.9)
    axes.set_ylim(0, 1.02)
    axes.set_yticks([])


def _columns(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Reduce values (T, C) to at most WIDEST_PLOT rows, each the maximum of its frames."""
    if len(values) <= WIDEST_PLOT:
        return values
    starts = np.linspace(0, len(values), WIDEST_PLOT, endpoint=False).astype(int)
    columns: NDArray[np.float32] = np.maximum.reduceat(values, starts, axis=0)
    return columns


def sparkline(values: NDArray[np.float32], width: int = 40) -> str:
    """A curve in [0, 1] as a line of text."""
    if not len(values):
        return ""
    starts = np.linspace(0, len(values), min(width, len(values)), endpoint=False).astype(int)
    levels = np.clip(np.maximum.reduceat(values, starts) * 8, 0, 7).astype(int)
    return "".join("▁▂▃▄▅▆▇█"[level] for level in levels)


def run_lengths(labels: NDArray[np.uint8]) -> list[tuple[int, int, int]]:
    """Runs of equal labels as (label, first frame, one past the last)."""
    edges = [0, *(np.flatnonzero(np.diff(labels)) + 1), len(labels)]
    return [(int(labels[a]), int(a), int(b)) for a, b in itertools.pairwise(edges) if b > a]
