"""`render SONG`: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from audioreactive.commands import CONTEXT
from audioreactive.commands.bars import progress_for
from audioreactive.commands.options import (
    PATH,
    FrameRate,
    SeedList,
    Size,
    Stem,
    Time,
    device_option,
    model_option,
    motion_seed_option,
    overwrite_option,
    quiet_option,
    seed_option,
    stem_table,
    synthesizer_option,
    weight_option,
)

if TYPE_CHECKING:
    from fractions import Fraction

    from audioreactive.pipeline import BeatTracker, Production
    from audioreactive.renderer import Precision
    from audioreactive.sizes import Fit


@click.command(context_settings=CONTEXT)
@click.argument("song", type=PATH, required=False)
@click.option("--demo", is_flag=True, help="Render the song that ships with the program, to demo.mp4.")
@click.option(
    "-o",
    "--output",
    type=PATH,
    metavar="FILE",
    help="Video to write: .mp4, .webm, .mov, .mkv (lossless), or a folder (PNG). [default: SONG.mp4]",
)
@model_option
@click.option(
    "--preset", metavar="NAME|FILE", help="Recipe: one that ships, a .toml file, or a video rendered by this program."
)
@seed_option
@click.option(
    "--best-of",
    type=click.IntRange(1, 1024),
    metavar="N",
    help="Draw N recipes, from the seed upwards, and render the most audio-reactive one.",
)
@synthesizer_option
@motion_seed_option
@weight_option
@click.option("--palette", type=SeedList(), help="Seeds of the pictures to move between, such as 66,230,389-400.")
@click.option(
    "--truncation",
    type=click.FloatRange(-2, 2),
    metavar="PSI",
    help="1 the model's whole variety, 0 its average picture.",
)
@click.option("--label", type=click.IntRange(min=0), metavar="N", help="Class of a conditional model.")
@click.option("--fps", type=FrameRate(), help="Frames a second. [default: the preset's, else 24]")
@click.option("--size", type=Size(), metavar="WxH", help="Size of the video. [default: the preset's, else the model's]")
@click.option(
    "--fit",
    type=click.Choice(["widen", "crop", "pad", "stretch"]),
    help="How the model fills another aspect ratio. [default: the preset's, else widen]",
)
@click.option("--start", type=Time(), default="0", help="Begin here in the song.")
@click.option("--duration", type=Time(), help="Render so much. [default: to the end]")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change the recipe: 'noise.sequences.*.sigma *= 2'. Can be repeated.",
)
@click.option(
    "--stem",
    "stems",
    type=Stem(),
    multiple=True,
    help="A stem as a source of features, such as drums=drums.wav. Can be repeated.",
)
@click.option(
    "--beats",
    type=click.Choice(["librosa", "madmom"]),
    default="librosa",
    show_default=True,
    help="Beat tracker; madmom needs pip install 'audioreactive[madmom]'.",
)
@device_option
@click.option("--precision", type=click.Choice(["auto", "fp32", "bf16", "fp16"]), default="auto", show_default=True)
@click.option("--batch", type=click.IntRange(1, 64), metavar="N", help="Frames rendered at once.")
@click.option(
    "--crf",
    type=click.IntRange(1, 51),
    default=18,
    show_default=True,
    help="Quality of H.264 and VP9: 1 best, 18 transparent, 28 small.",
)
@overwrite_option
@click.option("--save-preset", type=PATH, metavar="FILE", help="Also write the recipe as a .toml file.")
@click.option("--dry-run", is_flag=True, help="Show what would be rendered, and stop.")
@quiet_option
def command(
    song: Path | None, demo: bool, output: Path | None, model: Path | None, preset: str | None, seed: int | None,
    best_of: int | None, synthesizer: str | None, motion_seed: int | None, weights: tuple[tuple[str, float], ...],
    palette: tuple[int, ...] | None, truncation: float | None, label: int | None, fps: Fraction | None,
    size: tuple[int, int] | None, fit: Fit | None, start: Fraction, duration: Fraction | None,
    overrides: tuple[str, ...], stems: tuple[tuple[str, Path], ...], beats: BeatTracker, device: str,
    precision: Precision, batch: int | None, crf: int, overwrite: bool, save_preset: Path | None, dry_run: bool,
    quiet: bool,
) -> None:  # fmt: skip
    r"""Render SONG to a video in which every motion can be traced to something heard.

    \b
    render song.mp3
    render song.mp3 --model abstract.pkl --seed 42 --fps 30 --size 1920x1080 -o out.mp4
    render song.mp3 --preset pulse
    render song.mp3 --best-of 32              the most audio-reactive of 32 recipes
    render song.mp3 --synthesizer hippo       motion fitted to this song
    render other.flac --preset out.mp4        a video carries its recipe inside
    """
    from audioreactive.commands.synthesizer import choose_synthesizer, motion_overrides
    from audioreactive.files import check_name
    from audioreactive.pipeline import Recipe, RenderSettings, prepare, produce
    from audioreactive.presets import load_preset
    from audioreactive.presets import save_preset as write_preset
    from audioreactive.video import check_output

    song, output = _input_and_output(song, demo, output)
    if preset is not None and seed is not None:
        raise click.UsageError("--preset and --seed both choose the recipe: give one of them")
    if preset is not None and best_of is not None:
        raise click.UsageError("--best-of draws recipes, and --preset gives one: leave one of them out")
    if synthesizer is not None and best_of is not None:
        raise click.UsageError(
            "--best-of draws the Randomizer's recipes, and --synthesizer makes the motion: choose one"
        )
    overwrite = overwrite or (demo and output == Path("demo.mp4"))
    check_output(output, overwrite)
    if save_preset is not None:
        check_name(save_preset, (".toml",), overwrite=overwrite)
    recipe = Recipe(
        preset=load_preset(preset) if preset is not None else None,
        seed=seed,
        palette=palette,
        truncation=truncation,
        label=label,
        overrides=(*motion_overrides(preset, motion_seed, weights), *overrides),
        best_of=best_of,
        synthesizer=choose_synthesizer(synthesizer, preset, motion_seed, weights),
    )
    settings = RenderSettings(
        fps=fps, size=size, fit=fit, start=start, duration=duration, device=device, precision=precision,
        batch=batch, crf=crf, beat_tracker=beats,
    )  # fmt: skip
    progress = progress_for(quiet)
    production = prepare(
        song, output, model=model, recipe=recipe, settings=settings, stems=stem_table(stems), progress=progress
    )
    if save_preset is not None:
        write_preset(production.preset, save_preset)
    if dry_run:
        click.echo(describe(production, output))
        return
    from stylegan_ops import keep_freed_memory

    keep_freed_memory()  # this process has nothing left to do but to ask for the same blocks again and again
    rendered = produce(production, output, overwrite=overwrite, progress=progress)
    if not quiet:
        click.echo(rendered.path)


def _input_and_output(song: Path | None, demo: bool, output: Path | None) -> tuple[Path, Path]:
    if demo == (song is not None):
        raise click.UsageError("give a song, or --demo" if song is None else "give either a song or --demo")
    if song is None:
        from audioreactive.demo import DEMO_SONG

        return DEMO_SONG, output or Path("demo.mp4")
    if output is None:
        output = song.with_suffix(".mp4")
        if output == song:
            raise click.UsageError(f"{str(song)!r} is an mp4 itself: name the new video with -o")
    return song, output


def describe(production: Production, output: Path) -> str:
    """What would be rendered, for a person."""
    features, canvas, preset = production.features, production.canvas, production.preset
    seed = preset.made_with.seed if preset.made_with else None
    recipe = "preset" if seed is None else f"seed {seed}"
    rows = {
        "song": f"{production.song}, {float(features.duration):.2f} s, {features.tempo:.1f} bpm",
        "recipe": f"{recipe}: {len(preset.latents.sequences)} latent and {len(preset.noise.sequences)} noise sequences",
        "hears": ", ".join((*preset.feature_names(), *(f"sections of {n}" for n in preset.segmentation_names()))),
        "palette": f"{len(preset.palette.seeds)} vectors, truncation {preset.palette.truncation:g}",
        "model": f"{preset.made_with.model if preset.made_with else ''}, {production.generator.img_resolution}²",
        "picture": f"{canvas.size[0]}x{canvas.size[1]} from {canvas.frame_size[0]}x{canvas.frame_size[1]}",
        "frames": f"{production.start} to {production.stop - 1} at {features.fps} a second",
        "output": str(output),
    }
    return "\n".join(f"{key:8} {value}" for key, value in rows.items())
