"""`audioreactive sync VIDEO`: are sound and picture together?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from audioreactive.commands import CONTEXT
from audioreactive.commands.bars import progress_for
from audioreactive.commands.options import overwrite_option, quiet_option, weights_option
from audioreactive.commands.reports import check_reports, json_option, plot_option, write_numbers
from audioreactive.commands.values import PATH, Choice, ModelFile
from audioreactive.errors import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from audioreactive.features import Features
    from audioreactive.features.types import FloatArray
    from audioreactive.generators import Generator, WeightFile
    from audioreactive.patches.preset import Preset
    from audioreactive.patches.schema import Patch
    from audioreactive.progress import Progress
    from audioreactive.sync import SyncReport, Tolerance
    from audioreactive.sync.foretell import RecipeForetold
    from audioreactive.sync.takes import TakesReport

EXIT_CODES = {"in sync": 0, "out of sync": 1, "cannot tell": 3}
"""Verdict -> exit code, for scripts; 2 is bad input, as everywhere."""
SOUNDS = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac", ".aiff", ".aif")
"""Endings of files that have no picture but, perhaps, a cover."""
LARGEST_TOLERANCE = 5000.0
"""Milliseconds."""


class ToleranceOption(click.ParamType):
    """Offsets that count as in sync: a standard, or milliseconds."""

    name = "NAME|MS|MS/MS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Tolerance:
        """Text -> Tolerance."""
        from audioreactive.sync.report import BT1359, R37, Tolerance

        if isinstance(value, Tolerance):
            return value
        named = {"r37": R37, "bt1359": BT1359}
        if value.lower() in named:
            return named[value.lower()]
        found = re.fullmatch(r"(\d{1,5}(?:\.\d{1,3})?)(?:/(\d{1,5}(?:\.\d{1,3})?))?", value)
        limits = [float(number or found[1]) for number in found.groups()] if found else []
        if not limits or not all(0 < limit <= LARGEST_TOLERANCE for limit in limits):
            self.fail(
                f"{shown(value)} is no tolerance: give r37, bt1359, milliseconds such as 40, "
                f"or early/late such as 40/60, up to {LARGEST_TOLERANCE:g}",
                param,
                ctx,
            )
        early, late = limits
        return Tolerance(f"{early:g}/{late:g} ms", early / 1e3, late / 1e3)


@click.command(context_settings=CONTEXT)
@click.argument("file", type=PATH)
@click.argument("other", type=PATH, required=False)
@click.option("--audio", type=PATH, metavar="FILE", help="The sound that the video should have. [default: its own]")
@click.option(
    "--model",
    type=ModelFile(),
    metavar="FILE",
    help="Model file that the video was made with: its pictures are foretold from the preset in the video.",
)
@weights_option
@click.option("--repair", type=PATH, metavar="FILE", help="Write the video with offset and drift taken out.")
@click.option(
    "--retime",
    type=Choice(["sound", "picture"]),
    default="sound",
    show_default=True,
    help="What a repair of drift changes: the sound is resampled, or the picture shown a little faster or slower.",
)
@click.option(
    "--tolerance",
    type=ToleranceOption(),
    default="r37",
    show_default=True,
    help="Offsets that count as in sync: r37 (EBU: 40 ms early to 60 ms late), bt1359 (ITU-R: what viewers detect, "
    "45 to 125 ms), or milliseconds, as early/late.",
)
@plot_option("the fit at each offset, and the offset over time")
@json_option
@overwrite_option
@quiet_option
def command(
    file: Path,
    other: Path | None,
    audio: Path | None,
    model: Path | None,
    others: tuple[Path, ...],
    repair: Path | None,
    retime: str,
    tolerance: Tolerance,
    plot: Path | None,
    numbers: Path | None,
    overwrite: bool,
    quiet: bool,
) -> int:
    """Tell whether the sound and the picture of FILE are together; or where in OTHER what is heard in FILE is heard.

    \b
    audioreactive sync video.mp4 --plot sync.png
    audioreactive sync video.mp4 --audio master.wav --repair fixed.mp4
    audioreactive sync first.wav second.wav       two takes or edits of one song

    Ends with exit code 0 in sync, 1 out of sync, 3 if it cannot be told: silence and a still picture have no offset.
    """
    check_reports(plot, numbers, overwrite=overwrite, inputs=(file, other, audio, model, *others))
    progress = progress_for(quiet)
    if other is not None:
        if audio is not None or repair is not None or model is not None:
            raise click.UsageError("two sounds are compared as they are: --audio, --model and --repair are for a video")
        return _compare_takes(file, other, tolerance, plot, numbers, progress)
    if file.suffix.lower() in SOUNDS:
        raise click.UsageError(f"{shown(str(file))} is a sound: give a video, or a second sound to compare it with")
    if repair is not None:
        from audioreactive.sync.repair import check_repair

        check_repair(file, repair, overwrite=overwrite, inputs=(audio, model, plot, numbers, *others))
    from audioreactive.sync import measure

    recipe = _recipe(file, model, others, progress)
    report = measure(file, audio, tolerance=tolerance, recipe=recipe, progress=progress)
    click.echo(describe(report, file.name))
    if numbers is not None:
        write_numbers(report.as_json(), numbers)
    if plot is not None:
        from audioreactive.commands.plots import plot_sync

        plot_sync(report, plot, title=file.name)
        click.echo(plot)
    if repair is None:
        return EXIT_CODES[report.verdict]
    return _repair(file, audio, repair, report, retime, tolerance, recipe, progress)


def _recipe(video: Path, model: Path | None, others: tuple[Path, ...], progress: Progress) -> RecipeForetold | None:
    """The recipe that the video carries; the files of its weights are given, or lie beside the video."""
    from audioreactive.sync.foretell import recipe_of

    def made(patch: Patch, features: Features, generator: Generator | None) -> Mapping[str, FloatArray]:
        from audioreactive.learn.synthesize import synthesize  # with PyTorch, which most videos do without

        return synthesize(patch, features, generator, progress)

    def weights(preset: Preset) -> Sequence[WeightFile]:
        from audioreactive.pipeline.weights import weight_files

        return weight_files(preset, others, video.parent)

    return recipe_of(video, model, synthesize=made, weights=weights, say=progress.say)


def _repair(
    video: Path,
    audio: Path | None,
    output: Path,
    report: SyncReport,
    retime: str,
    tolerance: Tolerance,
    recipe: RecipeForetold | None,
    progress: Progress,
) -> int:
    """Write the repaired video and measure it again; the exit code is that of what was written."""
    from audioreactive.sync import measure
    from audioreactive.sync.repair import repair

    done = repair(video, audio, output, report, retime_picture=retime == "picture", progress=progress)
    click.echo(done.sentence)
    again = measure(output, tolerance=tolerance, recipe=recipe, progress=progress)
    click.echo(describe(again, output.name))
    return EXIT_CODES[again.verdict]


def describe(report: SyncReport, name: str) -> str:
    """Text for the user about the sync of a video."""
    from audioreactive.sync.report import STANDARDS

    lines = [f"{name}: {report.verdict}; {report.reason}"]
    container = -report.container
    if abs(container) >= 0.001:
        when = "after" if container > 0 else "before"
        lines.append(f"container  the sound begins {abs(container) * 1e3:.0f} ms {when} the picture")
    else:
        lines.append("container  sound and picture begin together")
    if report.offset is not None and report.deviation is not None:
        lines.append(f"offset     {report.offset * 1e3:+.1f} ± {report.deviation * 1e3:.1f} ms (+: the sound is early)")
        if report.drift is not None and report.drift_deviation is not None:
            lines.append(f"drift      {report.drift * 1e6:+.1f} ± {report.drift_deviation * 1e6:.1f} ppm")
        if report.jitter is not None:
            lines.append(f"jitter     {report.jitter * 1e3:.1f} ms")
        if len(report.passages) > 1:
            lines.append("passages")
            lines += [
                f"  {_clock(part.start)} to {_clock(part.stop)}   "
                f"{part.offset * 1e3:+.0f} ± {part.deviation * 1e3:.0f} ms"
                for part in report.passages
            ]
        words = {True: "kept", False: "broken", None: "not known"}
        for standard in STANDARDS:
            limits = f"+{standard.early * 1e3:.0f} to -{standard.late * 1e3:.0f} ms"
            lines.append(f"{standard.name:14} {limits:16} {words[report.within(standard)]}")
    return "\n".join([*lines, *report.notes])


def _compare_takes(
    first: Path, second: Path, tolerance: Tolerance, plot: Path | None, numbers: Path | None, progress: Progress
) -> int:
    from audioreactive.sync.takes import compare_takes

    report = compare_takes(first, second, tolerance=tolerance, progress=progress)
    click.echo(describe_takes(report, first.name, second.name))
    if numbers is not None:
        write_numbers(report.as_json(), numbers)
    if plot is not None:
        from audioreactive.commands.plots import plot_takes

        plot_takes(report, plot, title=f"{first.name} and {second.name}")
        click.echo(plot)
    return EXIT_CODES[report.verdict]


def describe_takes(report: TakesReport, first: str, second: str) -> str:
    """Text for the user about two takes."""
    lines = [f"{first} and {second}: {report.verdict}; {report.reason}"]
    lines += [
        f"  {_clock(part.start)} to {_clock(part.stop)} of {first} are {_clock(part.other_start)} to "
        f"{_clock(part.other_stop)} of {second}, {part.speed:.4g} times as fast"
        for part in report.parts
    ]
    return "\n".join(lines)


def _clock(seconds: float) -> str:
    minutes, hundredths = divmod(round(100 * max(seconds, 0)), 6000)
    return f"{minutes}:{hundredths / 100:05.2f}"
