"""`audioreactive train`: a synthesizer that learns from music."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from audioreactive.commands import CONTEXT
from audioreactive.commands.bars import progress_for
from audioreactive.commands.options import model_option, overwrite_option, quiet_option, weight_option
from audioreactive.commands.values import PATH, Choice, RealNumber, WholeNumber, model_file

if TYPE_CHECKING:
    from pathlib import Path


@click.command(context_settings=CONTEXT)
@click.option("--music", type=PATH, metavar="FOLDER", required=True, help="Music to learn from, at any depth.")
@click.option("-o", "--output", type=PATH, metavar="FILE", required=True, help="A .safetensors file to write.")
@click.option("--supervised", is_flag=True, help="Imitate the Randomizer's best, rather than fit the sound.")
@click.option(
    "--presets",
    "targets",
    type=WholeNumber(1, 100_000),
    default=200,
    show_default=True,
    metavar="N",
    help="Presets to imitate, with --supervised.",
)
@click.option("--patches", "targets_before", type=WholeNumber(1, 100_000), hidden=True, help="The earlier name.")
@click.option(
    "--best-of",
    type=WholeNumber(1, 256),
    default=4,
    show_default=True,
    metavar="N",
    help="Presets drawn for each that is imitated.",
)
@click.option(
    "--generator",
    "kind",
    default="gru",
    show_default=True,
    type=Choice(["gru", "lstm", "mlp_asr", "convnext", "transformer", "sashimi"]),
    help="Sequence model that makes the envelopes.",
)
@click.option("--depth", type=WholeNumber(1, 32), default=4, show_default=True, metavar="N", help="Its layers.")
@click.option(
    "--decoder",
    type=Choice(["parameter-free", "learned"]),
    default="parameter-free",
    show_default=True,
    help="learned is for one model, and for comparison: it cannot be rendered.",
)
@click.option("--residual/--no-residual", default=True, show_default=True, help="Learn deviations from a mean.")
@click.option(
    "--examples",
    type=WholeNumber(1, 100_000_000),
    default=128_000,
    show_default=True,
    metavar="N",
    help="Clips of 8 seconds to learn from, with repetitions.",
)
@click.option(
    "--batch", type=WholeNumber(1, 4096), default=32, show_default=True, metavar="N", help="Clips in each step."
)
@click.option(
    "--learning-rate",
    type=RealNumber(0, 1, min_open=True),
    default=1e-3,
    show_default=True,
    metavar="RATE",
    help="Largest step of the optimiser.",
)
@click.option(
    "--correction",
    type=RealNumber(0, 1),
    default=0.5,
    show_default=True,
    metavar="SHARE",
    help="How much of what fits the same sound at other times is held against the motion; 0 as in the thesis.",
)
@click.option(
    "--calm",
    type=RealNumber(0, 100),
    default=0.15,
    show_default=True,
    metavar="WEIGHT",
    help="How much the way that the motion goes counts against it; 0 as in the thesis.",
)
@click.option(
    "--pace",
    type=RealNumber(0, 100),
    default=1.0,
    show_default=True,
    metavar="WEIGHT",
    help="How much it counts that the motion is fast where the sound is; 0 as in the thesis.",
)
@weight_option
@click.option(
    "--seed",
    type=WholeNumber(0, 2**32 - 1),
    default=0,
    show_default=True,
    metavar="N",
    help="Another seed, another network of the same music.",
)
@model_option
@overwrite_option
@quiet_option
def command(
    music: Path, output: Path, supervised: bool, targets: int, targets_before: int | None, best_of: int,
    kind: str, depth: int, decoder: str, residual: bool, examples: int, batch: int, learning_rate: float,
    correction: float, calm: float, pace: float, weights: tuple[tuple[str, float], ...], seed: int,
    model: Path | str | None, overwrite: bool, quiet: bool,
) -> None:  # fmt: skip
    """Train a synthesizer on a folder of music.

    \b
    audioreactive train --music ~/Music -o mine.safetensors
    audioreactive train --music ~/Music -o taught.safetensors --supervised
    render song.mp3 --synthesizer mine.safetensors --motion-seed 7

    Interrupted, it goes on where it was when it is called again. Beside the file, its losses are drawn as a .png.
    """
    from audioreactive._support.files import check_name, keep_apart
    from audioreactive.learn.dataset import find_music, hear_music, why_none_is_held_out
    from audioreactive.learn.model_file import SUFFIX, write_model
    from audioreactive.learn.plot import plot_losses
    from audioreactive.learn.training import Plan, gather, train

    check_name(output, (SUFFIX,), overwrite=overwrite, inputs=(model_file(model),))
    picture, state = output.with_suffix(".png"), output.with_name(f"{output.name}.training")
    check_name(picture, (".png",), overwrite=overwrite, inputs=(model_file(model),))
    if supervised and weights:
        raise click.UsageError("--weight is for what fits the sound; --supervised imitates presets: leave one out")
    inputs = (*find_music(music), model_file(model))  # before anything is loaded
    for path in (output, picture, state):
        keep_apart(path, inputs)
    progress = progress_for(quiet)
    plan = Plan(
        kind=kind,  # type: ignore[arg-type]
        depth=depth, learned_decoder=decoder == "learned", residual=residual, supervised=supervised,
        targets=targets_before or targets, best_of=best_of, examples=examples, batch=batch,
        learning_rate=learning_rate, correction=correction, calm=calm, pace=pace, weights=dict(weights), seed=seed,
    )  # fmt: skip
    mapper = None
    if plan.learned_decoder:
        from audioreactive.generators import open_generator
        from audioreactive.generators.sources import NETWORK_NAME

        mapper = open_generator(model or NETWORK_NAME, device="cpu", precision="fp32").generator
    songs = hear_music(music, progress)
    if (reason := why_none_is_held_out(songs)) is not None:
        progress.say(reason)
    material = gather(plan, songs, mapper, progress)
    training = train(plan, material, state=state, progress=progress)
    write_model(training.network, output)
    plot_losses(training.curves, picture, title=output.name)
    state.unlink(missing_ok=True)
    click.echo(output)
