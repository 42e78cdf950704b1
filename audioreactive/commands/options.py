"""Options that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from audioreactive.commands.values import (
    LARGEST_SEED,
    PATH,
    Choice,
    FeatureWeight,
    Model,
    RealNumber,
    Seed,
    TempoRange,
    WholeNumber,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def stem_table(stems: tuple[tuple[str, Path], ...]) -> dict[str, Path]:
    """The stems by name; a name given twice is refused."""
    table = dict(stems)
    if len(table) != len(stems):
        raise click.UsageError("two stems have the same name")
    return table


def check_tempo(tempo: float | None, tempo_range: tuple[float, float] | None) -> None:
    """Refuse a tempo together with a range of tempi."""
    if tempo is not None and tempo_range is not None:
        raise click.UsageError("--tempo gives one tempo, --tempo-range several: give one of the two")


model_option = click.option(
    "--model",
    type=Model(),
    metavar="FILE|painter[:FAMILY]",
    help="StyleGAN model (.pkl, .pt or .safetensors), or a generator by name: painter, painter:silk, stylegan2. "
    "[default: painter]",
)
seed_option = click.option(
    "--seed", type=Seed(), metavar="N|random", help="Draw a preset from this seed. [default: from the song's content]"
)
set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change any key of the preset: 'latents.sequences.*.intensity *= 0.5', 'noise.strength *= 0.5'. "
    "Can be repeated.",
)

KNOBS = {
    "motion": "How far everything moves.",
    "beat": "How strongly it answers hits and the pulse.",
    "texture": "How much fine grain there is.",
    "colour": "How far colours and fine details move.",
    "speed": "How fast loops turn and slow curves run.",
}
"""Name -> help of the options that change a preset."""


def knob_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of `KNOBS`; the command gets each as a number."""
    for name, text in reversed(KNOBS.items()):
        low, high = (0.1, 10) if name == "speed" else (0, 4)
        spellings = ("--colour", "--color") if name == "colour" else (f"--{name}",)
        command = click.option(
            *spellings,
            name,
            type=RealNumber(low, high),
            default=1.0,
            metavar="FACTOR",
            help=f"{text} 1 leaves it as it is.",
        )(command)
    return command


synthesizer_option = click.option(
    "--synthesizer",
    metavar="hippo|FILE",
    help="What makes the motion: hippo fits it to this song, a FILE is of 'audioreactive train'. "
    "[default: the Randomizer]",
)
motion_seed_option = click.option(
    "--motion-seed",
    type=WholeNumber(0, LARGEST_SEED),
    metavar="N",
    help="Another seed, another motion by the same synthesizer.",
)
weight_option = click.option(
    "--weight",
    "weights",
    type=FeatureWeight(),
    multiple=True,
    help="How much more than others a feature counts, such as onsets=10. Can be repeated.",
)
beats_option = click.option(
    "--beats",
    type=Choice(["librosa", "madmom"]),
    default="librosa",
    show_default=True,
    help="Beat tracker; madmom needs pip install 'audioreactive[madmom]'.",
)
tempo_option = click.option(
    "--tempo",
    type=RealNumber(30, 300),
    metavar="BPM",
    help="Tempo, if it is known; beats are still placed by what is heard. [default: as heard]",
)
tempo_range_option = click.option(
    "--tempo-range", type=TempoRange(), help="Look for the tempo between these, such as 100-180."
)
device_option = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, ...")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="No progress bars, no remarks.")
track_option = click.option(
    "--track",
    type=click.IntRange(1, 64),
    metavar="N",
    help="Which of several sounds in SONG, as of a film. [default: the default one, unless it is silent]",
)
weights_option = click.option(
    "--with",
    "others",
    type=PATH,
    multiple=True,
    metavar="FILE",
    help="A second model, or edits, that the preset's [[weights]] name. Can be repeated. [default: beside the preset]",
)
wild_option = click.option(
    "--wild", is_flag=True, help="Also draw bends, directions, a camera and weights, as far as the model has them."
)
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace an existing output file.")
