"""A plot of the losses of a training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from audioreactive._support.files import write_aside
from audioreactive._support.pictures import ACCENT, FAINT, INK, PAPER

if TYPE_CHECKING:
    from pathlib import Path

    from audioreactive.learn.training import Curves

SMOOTHED = 50
"""Steps in the running mean of the bold line."""


def plot_losses(curves: Curves, path: Path, *, title: str) -> None:
    """Plot the losses over the steps: of each batch, their running mean, and of held-out songs."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.5), facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_facecolor(PAPER)
    values = np.array(curves.learned)
    axes.plot(values, color=FAINT, linewidth=0.6)
    width = min(SMOOTHED, len(values))
    smooth = np.convolve(values, np.ones(width) / width, mode="valid")
    axes.plot(np.arange(len(smooth)) + width / 2, smooth, color=ACCENT, label="songs that are learned from")
    if curves.held:
        axes.plot(
            list(curves.held),
            list(curves.held.values()),
            color=INK,
            marker=".",
            label="songs held out, self-supervised",
        )
    axes.set_xlabel("step", color=INK)
    axes.set_ylabel("loss", color=INK)
    axes.tick_params(colors=INK)
    axes.set_title(title, color=INK)
    axes.legend(facecolor=PAPER, labelcolor=INK, edgecolor=FAINT)
    with write_aside(path) as file:
        figure.savefig(file, format=path.suffix[1:], dpi=110, facecolor=PAPER)
