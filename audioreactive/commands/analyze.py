"""`audioreactive analyze SONG`: look at what was heard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from audioreactive.commands import CONTEXT
from audioreactive.commands.bars import progress_for
from audioreactive.commands.options import (
    beats_option,
    check_tempo,
    overwrite_option,
    quiet_option,
    stem_table,
    tempo_option,
    tempo_range_option,
    track_option,
)
from audioreactive.commands.reports import check_reports, plot_option
from audioreactive.commands.values import PATH, FrameRate, Stem

if TYPE_CHECKING:
    from fractions import Fraction
    from pathlib import Path

    from audioreactive.features import Features
    from audioreactive.features.names import BeatTracker


@click.command(context_settings=CONTEXT)
@click.argument("song", type=PATH)
@plot_option("all features over time")
@click.option("--fps", type=FrameRate(), default="24", show_default=True, help="Frame grid of the features.")
@click.option("--stem", "stems", type=Stem(), multiple=True, help="A stem as a source of features.")
@beats_option
@tempo_option
@tempo_range_option
@track_option
@overwrite_option
@quiet_option
def command(
    song: Path,
    plot: Path | None,
    fps: Fraction,
    stems: tuple[tuple[str, Path], ...],
    beats: BeatTracker,
    tempo: float | None,
    tempo_range: tuple[float, float] | None,
    track: int | None,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Show what is heard in SONG: tempo, beats, sections, and every feature."""
    from audioreactive.pipeline.listening import listen
    from audioreactive.pipeline.production import RenderSettings

    check_tempo(tempo, tempo_range)
    table = stem_table(stems)
    check_reports(plot, overwrite=overwrite, inputs=(song, *table.values()))
    names = tuple(f"{stem}.{feature}" for stem in table for feature in ("rms", "onsets", "chroma"))
    features = listen(
        song,
        fps=fps,
        stems=table,
        settings=RenderSettings(beat_tracker=beats, tempo=tempo, tempo_range=tempo_range, track=track),
        progress=progress_for(quiet),
        names=names,
    )
    click.echo(describe(features))
    if plot is not None:
        from audioreactive.commands.plots import plot_features

        plot_features(features, plot, title=song.name)
        click.echo(plot)


SHOWN_SECTIONS = 4
"""Number of kinds of section in the segmentation that the text shows; the plot shows more."""


def describe(features: Features) -> str:
    """Text that describes the analysis of a song."""
    from audioreactive.commands.plots import sparkline

    seconds = float(features.duration)
    rows = [
        f"duration  {seconds:.2f} s, {features.frames} frames at {features.fps} a second",
        f"tempo     {features.tempo:.1f} bpm ({features.tempo_confidence:.0%} sure), "
        f"{len(features.beats)} beats, {len(features.downbeats)} bars",
        *(f"sections  {_sections(features, name)}  (by {name})" for name in features.segmentations),
        "",
        f"{'feature':20} {'channels':>8} {'mean':>6} {'peak':>6}  {'over time'}",
    ]
    for name in features:
        envelope = features[name]
        peak = f"{envelope.max():6.2f}" if envelope.size else "     -"
        rows.append(
            f"{name:20} {envelope.shape[1]:8} {envelope.mean():6.2f} {peak}  {sparkline(envelope.mean(axis=1))}"
        )
    return "\n".join(rows)


def _sections(features: Features, name: str) -> str:
    """Sections as text, for example "A 0:00  B 0:17  A 0:34"."""
    from audioreactive.commands.plots import run_lengths

    def clock(frame: int) -> str:
        minutes, seconds = divmod(int(frame / features.fps), 60)
        return f"{minutes}:{seconds:02}"

    runs = run_lengths(features.segmentation(name, SHOWN_SECTIONS))
    return "  ".join(f"{chr(ord('A') + label)} {clock(first)}" for label, first, _ in runs)
