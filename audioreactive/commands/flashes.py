"""`audioreactive flashes VIDEO`: is it safe for photosensitive viewers?"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from audioreactive.commands import CONTEXT
from audioreactive.commands.bars import progress_for
from audioreactive.commands.options import overwrite_option, quiet_option
from audioreactive.commands.reports import check_reports, json_option, plot_option, write_numbers
from audioreactive.commands.values import PATH

if TYPE_CHECKING:
    from pathlib import Path

    from audioreactive.flashes import FlashReport

BEYOND = 1
"""Exit code for a video that flashes too often, for scripts."""


@click.command(context_settings=CONTEXT)
@click.argument("video", type=PATH)
@plot_option("the flashes over time")
@json_option
@overwrite_option
@quiet_option
def command(video: Path, plot: Path | None, numbers: Path | None, overwrite: bool, quiet: bool) -> int:
    """Count the flashes of VIDEO by the rules of WCAG 2.2 and ITU-R BT.1702, which protect photosensitive viewers.

    \b
    audioreactive flashes video.mp4 --plot flashes.png

    Ends with exit code 1 where there are more than three flashes in any one second.
    """
    check_reports(plot, numbers, overwrite=overwrite, inputs=(video,))
    from audioreactive.flashes import find_flashes

    report = find_flashes(video, progress=progress_for(quiet))
    click.echo(describe(report, video.name))
    if numbers is not None:
        write_numbers(as_json(report), numbers)
    if plot is not None:
        from audioreactive.commands.plots import plot_flashes

        plot_flashes(report, plot, title=video.name)
        click.echo(plot)
    return 0 if report.within else BEYOND


def describe(report: FlashReport, name: str) -> str:
    """Text for the user: one sentence, and one line for each stretch that breaks the rules."""
    from audioreactive.flashes import sentence

    rows = [
        f"  {_clock(stretch.start)} to {_clock(stretch.stop)}   {stretch.kind:7}   up to {stretch.most:g} in a second"
        for stretch in report.stretches
    ]
    return "\n".join([sentence(report, name), *rows])


def as_json(report: FlashReport) -> dict[str, object]:
    """All numbers of the report, for JSON."""
    return {
        "within": report.within,
        "most": {kind: report.most(kind) for kind in report.flashes},
        "stretches": [asdict(stretch) for stretch in report.stretches],
        "times": report.times.tolist(),
        "brightness": report.brightness.tolist(),
        "flashes": {kind: values.tolist() for kind, values in report.flashes.items()},
    }


def _clock(seconds: float) -> str:
    minutes, hundredths = divmod(round(100 * seconds), 6000)
    return f"{minutes}:{hundredths / 100:05.2f}"
