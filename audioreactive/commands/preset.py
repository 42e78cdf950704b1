"""`audioreactive preset new | show | diff`: draw, read and compare presets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from audioreactive.commands import CONTEXT, HelpfulGroup
from audioreactive.commands.options import knob_options, overwrite_option, set_option, wild_option
from audioreactive.commands.values import PATH, Model, Seed, model_file

if TYPE_CHECKING:
    from pathlib import Path


@click.group(cls=HelpfulGroup, context_settings=CONTEXT)
def command() -> None:
    """Draw, show and compare presets."""


@command.command(context_settings=CONTEXT)
@click.option("--seed", type=Seed(), metavar="N|random", help="Draw a preset from this seed.")
@click.option("--preset", metavar="NAME|FILE", help="Start from this preset instead of a seed.")
@wild_option
@click.option("--model", type=Model(), metavar="FILE", help="With --wild: the model, for what only it has.")
@knob_options
@set_option
@click.option(
    "--sections",
    type=PATH,
    metavar="SONG",
    help="Give each part of this song motion of its own; a part that returns, the same.",
)
@click.option("-o", "--output", type=PATH, metavar="FILE", help="Write a .toml file. [default: to the terminal]")
@overwrite_option
def new(
    seed: int | None,
    preset: str | None,
    wild: bool,
    model: Path | str | None,
    overrides: tuple[str, ...],
    sections: Path | None,
    output: Path | None,
    overwrite: bool,
    **knobs: float,
) -> None:
    """Draw a preset from a seed, or change one, and write it.

    \b
    audioreactive preset new --seed 42 -o mine.toml
    audioreactive preset new --preset pulse --motion 0.5 --texture 2 -o calm.toml
    audioreactive preset new --seed 42 --sections song.mp3 -o song.toml
    """
    from audioreactive._support.files import check_name
    from audioreactive.features.form import song_form
    from audioreactive.generators import open_generator
    from audioreactive.generators.moves import abilities
    from audioreactive.patches.knobs import Knobs
    from audioreactive.patches.overrides import override
    from audioreactive.patches.preset import MadeWith, preset_of
    from audioreactive.patches.presets import load_preset, preset_path, preset_text, save_preset
    from audioreactive.patches.randomizer import draw_sections, random_patch
    from audioreactive.patches.wild import EVERY_NETWORK, Wild
    from audioreactive.pipeline.listening import DEFAULT_FPS, listen

    if (seed is None) == (preset is None):
        raise click.UsageError("give --seed N, --seed random or --preset NAME")
    if wild and seed is None:
        raise click.UsageError("a preset says how everything moves, and --wild draws that: leave one of them out")
    if model is not None and not wild:
        raise click.UsageError("a preset is drawn for every model; --model is for --wild")
    if output is not None:
        check_name(output, (".toml",), overwrite=overwrite, inputs=(preset_path(preset), sections, model_file(model)))
    if seed is not None:
        patch = random_patch(seed)
        if wild:
            able = EVERY_NETWORK if model is None else abilities(open_generator(model, device="cpu").generator)
            patch = Wild(able)(patch, seed)
        start = preset_of(patch, made_with=MadeWith(seed=seed))
    else:
        start = load_preset(str(preset))
    made = override(start, overrides).mapped(Knobs(**knobs))
    if sections is not None:
        features = listen(sections, fps=DEFAULT_FPS)
        drawn = draw_sections(made.patch, song_form(features), features.fps, seed=seed or 0)
        made = made.model_copy(update={"sections": drawn, "schema_version": 2})
    if output is None:
        click.echo(preset_text(made), nl=False)
        return
    save_preset(made, output)
    click.echo(output)


@command.command(context_settings=CONTEXT)
@click.argument("preset", metavar="NAME|FILE", required=False)
def show(preset: str | None) -> None:
    """Print a preset, or the one inside a video; without a name, list the presets that ship."""
    from audioreactive.patches.presets import load_preset, network_presets, preset_text, shipped_presets

    if preset is not None:
        click.echo(preset_text(load_preset(preset)), nl=False)
        return
    for name in shipped_presets():
        click.echo(f"{name:12} {_first_sentence(load_preset(name).about)}")
    click.echo("\nfor StyleGANs, not for the painter:")
    for name in network_presets():
        preset_of_networks = load_preset(name)
        only = "" if preset_of_networks.patch.camera is None else " StyleGAN3 and StyleGAN-XL alone."
        click.echo(f"{name:12} {_first_sentence(preset_of_networks.about)}{only}")


def _first_sentence(text: str) -> str:
    return " ".join(text.split()).partition(". ")[0].removesuffix(".") + "."


@command.command(context_settings=CONTEXT)
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
def diff(first: str, second: str) -> int:
    """Print what differs between two presets; exits with 1 if anything does, like diff."""
    from audioreactive.patches.overrides import difference
    from audioreactive.patches.presets import load_preset

    changes = difference(load_preset(first), load_preset(second))
    for key, old, new in changes:
        click.echo(f"{key}: {_shown(old)} -> {_shown(new)}")
    return 1 if changes else 0


def _shown(value: object) -> str:
    return "(absent)" if value is None else repr(value)
