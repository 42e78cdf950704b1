"""`audioreactive unpack CLIP.arc -o VIDEO`: a packed clip at any size and rate, or as a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from audioreactive.commands import CONTEXT
from audioreactive.commands.bars import progress_for
from audioreactive.commands.options import device_option, overwrite_option, quiet_option, weights_option
from audioreactive.commands.values import PATH, FrameRate, ModelFile, OutputPath, Size

if TYPE_CHECKING:
    from fractions import Fraction
    from pathlib import Path


@click.command(context_settings=CONTEXT)
@click.argument("file", type=PATH)
@click.option("-o", "--output", type=OutputPath(), metavar="VIDEO", help="The video. [default: FILE's name in .mp4]")
@click.option("--html", type=PATH, metavar="FILE", help="Write a page that plays it in a browser, offline too.")
@click.option("--size", type=Size(), help="Width and height, such as 1920x1080. [default: as packed]")
@click.option("--fps", type=FrameRate(), help="Frames per second. [default: as packed]")
@click.option("--model", type=ModelFile(), metavar="FILE", help="Model of a packed preset, if it is not in FILE.")
@weights_option
@device_option
@overwrite_option
@quiet_option
def command(
    file: Path,
    output: Path | None,
    html: Path | None,
    size: tuple[int, int] | None,
    fps: Fraction | None,
    model: Path | None,
    others: tuple[Path, ...],
    device: str,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Decode FILE, which 'audioreactive pack' made, to a video.

    \b
    audioreactive unpack clip.arc -o clip.mp4 --size 1920x1080 --fps 60
    audioreactive unpack clip.arc --html page.html
    """
    from audioreactive.codec.container import open_archive
    from audioreactive.video import check_output

    progress = progress_for(quiet)
    if html is not None:
        from audioreactive._support.files import check_name
        from audioreactive.codec.pages import write_page

        if output is not None:
            raise click.UsageError("-o writes a video and --html a page: give one of the two")
        check_name(html, (".html", ".htm"), overwrite=overwrite, inputs=(file, model, *others))
        archive = open_archive(file)
        if archive.header.get("kind") != "recipe" and (size is not None or fps is not None):
            raise click.UsageError("the page of a network fills its window at any rate: leave --size and --fps out")
        count = write_page(archive, html, size=size, fps=fps, progress=progress)
        click.echo(f"{html}: {count / 1000:.1f} KB")
        return
    if output is not None:
        check_output(output, overwrite, inputs=(file, model, *others))
    archive = open_archive(file)
    if output is None:  # what is no archive is told before what lies beside it
        output = file.with_suffix(".mp4")
        check_output(output, overwrite, inputs=(file, model, *others))
    if archive.header.get("kind") == "recipe":
        from audioreactive.codec.recipe import unpack_recipe

        made = unpack_recipe(
            archive, output, model=model, weights=others, size=size, fps=fps, device=device, overwrite=overwrite,
            progress=progress,
        )  # fmt: skip
        click.echo(f"{output}: {made.frames} frames; {made.verdict}")
        return
    from audioreactive.codec.unpacking import unpack_network

    frames = unpack_network(archive, output, size=size, fps=fps, overwrite=overwrite, progress=progress)
    click.echo(f"{output}: {frames} frames")
