"""`audioreactive palette MODEL`: the pictures of a model's seeds, to choose from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from audioreactive.commands import CONTEXT
from audioreactive.commands.options import (
    PATH,
    Model,
    RealNumber,
    SeedList,
    WholeNumber,
    device_option,
    model_file,
    overwrite_option,
    quiet_option,
)

if TYPE_CHECKING:
    from pathlib import Path


@click.command(context_settings=CONTEXT)
@click.argument("model", type=Model(), required=False)
@click.option("--seeds", type=SeedList(), default="0-35", show_default=True, help="Seeds to show.")
@click.option("-o", "--output", type=PATH, metavar="FILE", required=True, help="Picture to write, .png or .jpg.")
@click.option("--truncation", type=RealNumber(-2, 2), metavar="PSI", default=1.0, show_default=True)
@click.option("--label", type=WholeNumber(min=0), metavar="N", help="Class of a conditional model.")
@click.option("--height", type=WholeNumber(32, 1024), default=192, show_default=True, help="Pixels of a tile.")
@device_option
@overwrite_option
@quiet_option
def command(
    model: Path | str | None,
    seeds: tuple[int, ...],
    output: Path,
    truncation: float,
    label: int | None,
    height: int,
    device: str,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Show the pictures of MODEL's seeds in a grid (without MODEL, of the painter).

    Choose from it with render --palette 66,230,389-400.
    """
    from audioreactive._support.files import check_name
    from audioreactive._support.pictures import save_picture, tile
    from audioreactive.generators import open_generator
    from audioreactive.patches.schema import Palette
    from audioreactive.rendering.previews import palette_pictures

    check_name(output, (".png", ".jpg"), overwrite=overwrite, inputs=(model_file(model),))
    generator = open_generator(model, device=device).generator
    palette = Palette(seeds=seeds, truncation=truncation, label=label)
    pictures = palette_pictures(generator, palette, height=height)
    save_picture(tile(pictures, [str(seed) for seed in seeds]), output)
    if not quiet:
        click.echo(output)
