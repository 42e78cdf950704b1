"""`audioreactive model inspect | convert | blend | edit`: model files, without running what is inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from audioreactive.commands import CONTEXT, HelpfulGroup
from audioreactive.commands.options import overwrite_option
from audioreactive.commands.values import PATH, ModelFile, RealNumber
from audioreactive.errors import printable

if TYPE_CHECKING:
    from pathlib import Path


@click.group(cls=HelpfulGroup, context_settings=CONTEXT)
def command() -> None:
    """Inspect, convert, blend and edit model files."""


@command.command(context_settings=CONTEXT)
@click.argument("model", type=ModelFile())
def inspect(model: Path) -> None:
    """Say what MODEL is: format, resolution, layers, classes. Never runs what is inside."""
    from stylegan_ops import inspect_checkpoint

    for line in str(inspect_checkpoint(model)).splitlines():
        click.echo(printable(line))


@command.command(context_settings=CONTEXT)
@click.argument("model", type=ModelFile())
@click.argument("output", type=PATH, metavar="OUTPUT.safetensors")
@overwrite_option
def convert(model: Path, output: Path, overwrite: bool) -> None:
    """Convert MODEL to OUTPUT, a safetensors file: smaller, quick to load, nothing in it can be run."""
    from audioreactive._support.files import check_name
    from stylegan_ops import convert_checkpoint

    check_name(output, (".safetensors",), overwrite=overwrite, inputs=(model,))
    convert_checkpoint(model, output)
    click.echo(output)


@command.command(context_settings=CONTEXT)
@click.argument("first", type=ModelFile())
@click.argument("second", type=ModelFile())
@click.argument("output", type=PATH, metavar="OUTPUT.safetensors")
@click.option(
    "--amount",
    "amounts",
    type=RealNumber(0, 1),
    multiple=True,
    help="Share of SECOND; given several times, of the layers from coarse to fine. [default: 0.5]",
)
@overwrite_option
def blend(first: Path, second: Path, output: Path, amounts: tuple[float, ...], overwrite: bool) -> None:
    """Blend two models of the same architecture into OUTPUT, layer by layer.

    With --amount 0 --amount 1 the coarse layers are FIRST's and the fine ones SECOND's.
    """
    from audioreactive._support.files import check_name
    from stylegan_ops.blending import blended
    from stylegan_ops.checkpoint import read_checkpoint, save_checkpoint

    check_name(output, (".safetensors",), overwrite=overwrite, inputs=(first, second))
    save_checkpoint(blended(read_checkpoint(first), read_checkpoint(second), amounts or (0.5,)), output)
    click.echo(output)


@command.command(context_settings=CONTEXT)
@click.argument("model", type=ModelFile())
@click.argument("edits", type=PATH)
@click.argument("output", type=PATH, metavar="OUTPUT.safetensors")
@click.option("--amount", type=RealNumber(-100, 100), default=1.0, show_default=True, help="Factor of the edits.")
@overwrite_option
def edit(model: Path, edits: Path, output: Path, amount: float, overwrite: bool) -> None:
    """Write MODEL with the rank-one edits of a safetensors file to OUTPUT."""
    from audioreactive._support.files import check_name
    from stylegan_ops.blending import edited
    from stylegan_ops.checkpoint import read_checkpoint, save_checkpoint

    check_name(output, (".safetensors",), overwrite=overwrite, inputs=(model, edits))
    save_checkpoint(edited(read_checkpoint(model), edits, amount), output)
    click.echo(output)
