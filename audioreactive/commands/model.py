"""`audioreactive model inspect | convert`: look inside model files, without running what is inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from audioreactive.commands import CONTEXT, HelpfulGroup
from audioreactive.commands.options import PATH, ModelFile, overwrite_option
from audioreactive.errors import printable

if TYPE_CHECKING:
    from pathlib import Path


@click.group(cls=HelpfulGroup, context_settings=CONTEXT)
def command() -> None:
    """Inspect and convert model files."""


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
