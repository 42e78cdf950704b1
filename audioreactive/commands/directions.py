"""`audioreactive directions MODEL`: strips of what changes along the directions of a model's latents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from audioreactive.commands import CONTEXT
from audioreactive.commands.options import device_option, overwrite_option, quiet_option
from audioreactive.commands.values import PATH, Model, RealNumber, WholeNumber, model_file
from audioreactive.errors import RenderError

if TYPE_CHECKING:
    from pathlib import Path

    from audioreactive.generators.directions import Method

STEPS = 7
"""Pictures of a strip."""


@click.command(context_settings=CONTEXT)
@click.argument("model", type=Model())
@click.option("-o", "--output", type=PATH, metavar="FILE", required=True, help="Picture to write, .png or .jpg.")
@click.option(
    "--method", type=click.Choice(["sefa", "ganspace"]), default="sefa", show_default=True, help="Way to find them."
)
@click.option("--count", type=WholeNumber(1, 32), default=8, show_default=True, help="Directions to show.")
@click.option("--seed", type=WholeNumber(min=0), default=0, show_default=True, help="Picture in the middle.")
@click.option(
    "--reach", type=RealNumber(0, 20), default=3.0, show_default=True, help="Standard deviations to each side."
)
@click.option("--truncation", type=RealNumber(-2, 2), metavar="PSI", default=0.7, show_default=True)
@click.option("--height", type=WholeNumber(32, 1024), default=128, show_default=True, help="Pixels of a tile.")
@device_option
@overwrite_option
@quiet_option
def command(
    model: Path | str,
    output: Path,
    method: Method,
    count: int,
    seed: int,
    reach: float,
    truncation: float,
    height: int,
    device: str,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Show what changes along the first directions of MODEL's latents, one strip each.

    A preset moves along them with strategy = "direction" (docs/models.md).
    """
    from audioreactive._support.files import check_name
    from audioreactive._support.pictures import save_picture, tile
    from audioreactive.generators import open_generator
    from audioreactive.generators.moves import NEEDS, abilities
    from audioreactive.rendering.previews import direction_pictures

    check_name(output, (".png", ".jpg"), overwrite=overwrite, inputs=(model_file(model),))
    generator = open_generator(model, device=device).generator
    if "directions" not in abilities(generator):
        raise RenderError(f"{NEEDS['directions']}: give a model file, or stylegan2")
    steps = [reach * (2 * at / (STEPS - 1) - 1) for at in range(STEPS)]
    pictures = direction_pictures(generator, method, count, steps, seed=seed, truncation=truncation, height=height)
    labels = [f"{index}: {step:+.1f}" for index in range(count) for step in steps]
    save_picture(tile(pictures, labels, columns=STEPS), output)
    if not quiet:
        click.echo(output)
