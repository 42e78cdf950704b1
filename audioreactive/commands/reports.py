"""Files that commands write besides their text: a plot, and all numbers as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from audioreactive.commands.values import PATH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

json_option = click.option("--json", "numbers", type=PATH, metavar="FILE", help="Write all numbers into a .json file.")


def plot_option(what: str) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """The option `--plot FILE`; `what` is named in its help."""
    return click.option("--plot", type=PATH, metavar="FILE", help=f"Draw {what}: a .png, .pdf or .svg file.")


def check_reports(
    plot: Path | None, numbers: Path | None = None, *, overwrite: bool, inputs: Iterable[Path | None]
) -> None:
    """Refuse, before any work, names that cannot be written, and the names of the command's inputs.

    Raises:
        OutputError: an ending is unknown, a folder is missing, or a name is taken and not to be replaced.
    """
    from audioreactive._support.files import check_name
    from audioreactive._support.pictures import PICTURES

    if plot is not None:
        check_name(plot, PICTURES, overwrite=overwrite, inputs=inputs)
    if numbers is not None:
        check_name(numbers, (".json",), overwrite=overwrite, inputs=inputs)


def write_numbers(values: Mapping[str, object], path: Path) -> None:
    """Write numbers as JSON and print the path."""
    from audioreactive._support.files import write_aside

    with write_aside(path) as file:
        file.write(json.dumps(values, indent=2).encode() + b"\n")
    click.echo(path)
