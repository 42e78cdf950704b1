"""`audioreactive score VIDEO`: how audio-reactive is it?"""

from __future__ import annotations

from dataclasses import asdict
from statistics import NormalDist
from typing import TYPE_CHECKING

import click

from audioreactive.commands import CONTEXT
from audioreactive.commands.bars import progress_for
from audioreactive.commands.options import overwrite_option, quiet_option
from audioreactive.commands.reports import check_reports, json_option, plot_option, write_numbers
from audioreactive.commands.values import PATH

if TYPE_CHECKING:
    from pathlib import Path

    from audioreactive.correlation import ScoreCard


@click.command(context_settings=CONTEXT)
@click.argument("video", type=PATH)
@click.option("--audio", type=PATH, metavar="FILE", help="The song. [default: the sound inside the video]")
@plot_option("which sound moves what")
@json_option
@overwrite_option
@quiet_option
def command(
    video: Path, audio: Path | None, plot: Path | None, numbers: Path | None, overwrite: bool, quiet: bool
) -> None:
    """Measure how audio-reactive VIDEO is, in deviations above chance.

    \b
    audioreactive score video.mp4 --audio song.mp3 --plot score.png
    audioreactive score video.mp4                 the sound inside the video
    """
    check_reports(plot, numbers, overwrite=overwrite, inputs=(video, audio))
    from audioreactive.correlation import score

    card = score(video, audio, progress=progress_for(quiet))
    click.echo(describe(card))
    if numbers is not None:
        write_numbers(as_json(card), numbers)
    if plot is not None:
        from audioreactive.commands.plots import plot_score

        plot_score(card, plot, title=video.name)
        click.echo(plot)


CLEAR_PEAK = 0.001
"""Largest `ScoreCard.lag_p` of a clear peak; random pictures reach it once in 240."""
STRONGEST = 6
"""Number of pairs of features that the text shows; the plot shows all."""
BY_CHANCE = 0.05
"""Probability that chance alone brings a pair into the text, for independent, normally distributed scores."""


WORDS = (
    (2.0, "no more than chance: the picture would fit other moments of the song as well"),
    (4.0, "a faint reaction: beyond chance, and hardly to be seen"),
    (8.0, "a clear reaction: a viewer sees that the picture follows the song"),
    (float("inf"), "a strong reaction: the picture follows the song throughout"),
)
"""(largest score, words for it). A film without any reaction exceeds 2 in one of forty cases."""


def in_words(z: float) -> str:
    """Words for a score."""
    return next(words for most, words in WORDS if z <= most)


def describe(card: ScoreCard) -> str:
    """Text for the user about the score."""
    total = card.total
    # The best of many pairs has a high score by chance alone (Šidák, 1967).
    least = NormalDist().inv_cdf((1 - BY_CHANCE) ** (1 / len(card.cells)))
    moved = [cell for cell, score in card.cells.items() if score.z > least]
    strongest = sorted(moved, key=lambda cell: -card.cells[cell].z)[:STRONGEST]
    return "\n".join(
        [
            f"score   {total.z:+.1f} deviations above chance: {in_words(total.z)} (p = {total.p:.3f})",
            f"raw     {total.raw:.4f}; {len(card.shifts)} shifts give {total.mean:.4f} ± {total.deviation:.4f}",
            f"lag     {_lag(card)}",
            f"length  {card.frames} frames at {card.fps} a second",
            "",
            "what moves what",
            *(f"  {card.cells[cell].z:+6.1f}  {cell[0]:20} {cell[1]}" for cell in strongest),
            *([] if strongest else [f"  none of {len(card.cells)} pairs is beyond what chance gives the best of them"]),
        ]
    )


def _lag(card: ScoreCard) -> str:
    """Sentence about the lag, and whether its peak is clear."""
    away = f"{abs(card.lag)} frame{'s' if abs(card.lag) != 1 else ''}"
    where = (
        "in step" if card.lag == 0 else f"the sound comes {away} {'after' if card.lag > 0 else 'before'} what it moves"
    )
    if card.lag_p > CLEAR_PEAK:
        reach = float(max(card.lags) / card.fps)
        return f"no clear peak within {reach:.2g} seconds; the best fit is {where} (p = {card.lag_p:.2g})"
    if card.lag == 0:
        return "0 frames: sound and picture are in step"
    return f"{where}; there, {card.peak:+.1f} deviations"


def as_json(card: ScoreCard) -> dict[str, object]:
    """All numbers of the score card, for JSON."""
    return {
        "fps": str(card.fps),
        "frames": card.frames,
        **asdict(card.total),
        "lag": card.lag,
        "lag_p": card.lag_p,
        "lags": {str(lag): value for lag, value in card.lags.items()},
        "shifts": list(card.shifts),
        "cells": [{"heard": a, "seen": b, **asdict(score)} for (a, b), score in card.cells.items()],
    }
