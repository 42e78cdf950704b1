"""`audioreactive sheet SONG`: previews of many seeds or presets in one grid."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import click

from audioreactive.commands import CONTEXT
from audioreactive.commands.bars import progress_for
from audioreactive.commands.options import device_option, model_option, overwrite_option, quiet_option, weights_option
from audioreactive.commands.values import PATH, FrameRate, SeedList, Time, WholeNumber, model_file

if TYPE_CHECKING:
    from fractions import Fraction
    from pathlib import Path

    from audioreactive.generators import WeightFile
    from audioreactive.patches.schema import Patch

MOST_TILES = 64
STILLS = (".png", ".jpg")


@click.command(context_settings=CONTEXT)
@click.argument("song", type=PATH)
@click.option("--seeds", type=SeedList(), help="Seeds to preview, such as 1-12.")
@click.option(
    "--preset",
    "presets",
    multiple=True,
    metavar="NAME|FILE",
    help="A preset to preview; 'all' for those that ship. Can be repeated.",
)
@click.option(
    "-o",
    "--output",
    type=PATH,
    metavar="FILE",
    required=True,
    help="A video (.mp4, .webm, .mov, .mkv), or a picture of one moment (.png, .jpg).",
)
@model_option
@weights_option
@click.option("--start", type=Time(), help="Begin here in the song. [default: a third into it]")
@click.option("--duration", type=Time(), default="8", show_default=True, help="Length of a video.")
@click.option("--fps", type=FrameRate(), default="24", show_default=True)
@click.option("--height", type=WholeNumber(32, 1024), default=192, show_default=True, help="Pixels of a tile.")
@device_option
@overwrite_option
@quiet_option
def command(
    song: Path, seeds: tuple[int, ...] | None, presets: tuple[str, ...], output: Path, model: Path | str | None,
    start: Fraction | None, duration: Fraction, fps: Fraction, height: int, device: str, overwrite: bool, quiet: bool,
    others: tuple[Path, ...],
) -> None:  # fmt: skip
    """Preview many seeds or presets for SONG in one grid. The full render of a seed moves identically.

    \b
    audioreactive sheet song.mp3 --seeds 1-12 -o sheet.mp4
    audioreactive sheet song.mp3 --preset all -o sheet.png
    """
    from audioreactive._support.files import check_name
    from audioreactive._support.pictures import save_picture
    from audioreactive.generators import open_generator
    from audioreactive.generators.devices import default_batch
    from audioreactive.patches.presets import load_preset, preset_path
    from audioreactive.pipeline.listening import frame_range, listen
    from audioreactive.pipeline.preparing import make_motion
    from audioreactive.pipeline.weights import folder_of, weight_files
    from audioreactive.rendering.previews import Preview, sheet_frames
    from audioreactive.video import VideoSettings, VideoWriter, check_output
    from stylegan_ops import keep_freed_memory

    inputs = (song, model_file(model), *map(preset_path, presets), *others)
    still = output.suffix.lower() in STILLS
    if still:
        check_name(output, STILLS, overwrite=overwrite, inputs=inputs)
    else:
        check_output(output, overwrite, inputs=inputs)
    patches = _patches(seeds, presets)
    progress = progress_for(quiet)
    names = tuple({name for _, patch in patches for name in patch.feature_names()})
    features = listen(song, fps=fps, progress=progress, names=names)
    first, stop = frame_range(features, features.duration / 3 if start is None else start, duration)
    files: tuple[WeightFile, ...] = ()
    for name in presets if model is not None else ():
        if name != "all":
            files = weight_files(load_preset(name), others, folder_of(name), files)
    generator = open_generator(model, device=device, weights=files).generator
    previews = [
        Preview(label, make_motion(patch, features, generator, progress).on(generator)) for label, patch in patches
    ]
    batch = default_batch(generator.device)
    keep_freed_memory()
    if still:
        frames = sheet_frames(generator, previews, height=height, batch=batch, start=first, stop=first + 1)
        save_picture(next(frames)[0], output)
    else:
        frames = sheet_frames(generator, previews, height=height, batch=batch, start=first, stop=stop)
        opening = next(frames)
        size = (opening.shape[2], opening.shape[1])
        writer = VideoWriter(
            output,
            VideoSettings(fps=fps, size=size),
            frame_size=size,
            sound=song,
            start=first / fps,
            duration=(stop - first) / fps,
            overwrite=overwrite,
        )
        with writer, progress.track("rendering", stop - first, "frame") as advance:
            for grids in chain([opening], frames):
                writer.write(grids)
                advance(len(grids))
        for note in writer.notes:
            progress.say(note)
    if not quiet:
        click.echo(output)


def _patches(seeds: tuple[int, ...] | None, presets: tuple[str, ...]) -> list[tuple[str, Patch]]:
    from audioreactive.patches.presets import load_preset, shipped_presets
    from audioreactive.patches.randomizer import random_patch

    names = [name for preset in presets for name in (shipped_presets() if preset == "all" else [preset])]
    patches = [(name, load_preset(name).patch) for name in names]
    patches += [(str(seed), random_patch(seed)) for seed in seeds or ()]
    if not 1 <= len(patches) <= MOST_TILES:
        raise click.UsageError(f"give --seeds or --preset, 1 to {MOST_TILES} of them together, not {len(patches)}")
    return patches
