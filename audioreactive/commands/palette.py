"""`audioreactive palette MODEL | import`: the pictures of a model's seeds, to choose from; own pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from audioreactive.commands import CONTEXT, HelpfulGroup
from audioreactive.commands.options import device_option, overwrite_option, quiet_option
from audioreactive.commands.values import PATH, Model, PaletteList, RealNumber, WholeNumber, model_file

if TYPE_CHECKING:
    from pathlib import Path


class _Palettes(HelpfulGroup):
    """Group whose usual command needs no name."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the usual command's name before its arguments."""
        return super().parse_args(ctx, args if args and args[0] in self.commands else ["show", *args])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first word names; the usual one for any other word."""
        return super().resolve_command(ctx, args if args[0] in self.commands else ["show", *args])


@click.group(cls=_Palettes, context_settings=CONTEXT)
def command() -> None:
    """Show the pictures of a model's seeds, or import own ones."""


@command.command("import", context_settings=CONTEXT)
@click.argument("files", type=PATH, nargs=-1, required=True, metavar="FILE...")
@click.option("-o", "--output", "folder", type=PATH, metavar="FOLDER", help="Also write the sidecar there.")
def import_pictures(files: tuple[Path, ...], folder: Path | None) -> None:
    """Import the latents of own pictures, and print the entries of a palette.

    \b
    audioreactive palette import projected_w.npz
    render song.mp3 --model abstract.pkl --palette 7,12,w:0123456789abcdef/0

    FILE is what 'audioreactive project' wrote, or another projector or encoder: .npz, .npy, .pt, .pkl or .safetensors.
    Nothing in it is run.
    """
    from audioreactive.patches.own_pictures import import_latents

    for file in files:
        for entry in import_latents(file, folder):
            click.echo(entry)


@command.command("show", context_settings=CONTEXT)
@click.argument("model", type=Model(), required=False)
@click.option("--seeds", type=PaletteList(), default="0-35", show_default=True, help="Seeds to show.")
@click.option("-o", "--output", type=PATH, metavar="FILE", required=True, help="Picture to write, .png or .jpg.")
@click.option("--truncation", type=RealNumber(-2, 2), metavar="PSI", default=1.0, show_default=True)
@click.option("--label", type=WholeNumber(min=0), metavar="N", help="Class of a conditional model.")
@click.option("--height", type=WholeNumber(32, 1024), default=192, show_default=True, help="Pixels of a tile.")
@device_option
@overwrite_option
@quiet_option
def show(
    model: Path | str | None,
    seeds: tuple[int | str, ...],
    output: Path,
    truncation: float,
    label: int | None,
    height: int,
    device: str,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Show the pictures of MODEL's seeds in a grid (without MODEL, of the painter).

    Choose from it with render --palette 66,230,389-400. Own pictures are imported with 'audioreactive palette import
    FILE'.
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
