"""`render SONG`: makes a video."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from audioreactive._support.amounts import parse_bytes, parse_deadline, parse_rate
from audioreactive.commands import CONTEXT, sentence_for
from audioreactive.commands.bars import progress_for
from audioreactive.commands.dry_run import describe_plan
from audioreactive.commands.options import (
    beats_option,
    check_tempo,
    device_option,
    knob_options,
    model_option,
    motion_seed_option,
    overwrite_option,
    quiet_option,
    seed_option,
    set_option,
    stem_table,
    synthesizer_option,
    tempo_option,
    tempo_range_option,
    track_option,
    weight_option,
    weights_option,
    wild_option,
)
from audioreactive.commands.sections import SectionedCommand
from audioreactive.commands.values import (
    FOLDER,
    PATH,
    Amount,
    Choice,
    FrameRate,
    OutputPath,
    PaletteList,
    RealNumber,
    Size,
    Stem,
    Time,
    WholeNumber,
    model_file,
)
from audioreactive.errors import AudioReactiveError, printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction

    from audioreactive.chunks.workers import WorkerPool
    from audioreactive.features.names import BeatTracker
    from audioreactive.generators import Fit, LoadedGenerator
    from audioreactive.generators.devices import Precision
    from audioreactive.pipeline.production import RenderSettings
    from audioreactive.pipeline.recipe import Recipe
    from audioreactive.video import VideoEncoder


SECTIONS = {
    "What most people need": ("output", "model", "preset", "seed", "size"),
    "What is rendered": ("demo", "start", "duration", "follow", "track", "stems", "beats", "tempo", "tempo_range"),
    "How it looks": (
        "palette", "truncation", "label", "others", "fit", "texture", "colour", "flash_safe", "loop",
    ),
    "How it moves": (
        "motion", "beat", "speed", "best_of", "evolve", "wild", "synthesizer", "motion_seed", "weights", "overrides",
    ),
    "Output": (
        "fps", "crf", "max_size", "max_bitrate", "encoder", "encoder_speed", "overwrite", "fresh", "save_preset",
        "quiet",
    ),
    "Speed": ("draft", "deadline", "dry_run", "device", "precision", "batch"),
    "Many processes and machines": ("workers", "cluster", "chunk"),
}  # fmt: skip
"""Heading of the help -> parameters of the options below it."""


@click.command(cls=SectionedCommand, sections=SECTIONS, context_settings=CONTEXT)
@click.version_option(package_name="audioreactive", prog_name="audioreactive", help="Show the version.")
@click.argument("songs", type=PATH, nargs=-1, metavar="SONG...")
@click.option(
    "-o",
    "--output",
    type=OutputPath(),
    metavar="FILE",
    help="Video to write: .mp4, .webm, .mov, .mkv (lossless), .gif or .webp (no sound), or a folder (PNG); of several "
    "songs, the folder for their videos. [default: SONG.mp4]",
)
@model_option
@click.option(
    "--preset", metavar="NAME|FILE", help="One that ships, a .toml file, or a video rendered by this program."
)
@seed_option
@click.option(
    "--size",
    type=Size(),
    metavar="NAME|WxH",
    help="1080p, 720p, 4k, square, vertical, or 1920x1080. [default: the preset's, else 1080p; a model file's own]",
)
@click.option("--demo", is_flag=True, help="Render the song that ships with the program, to demo.mp4.")
@click.option("--start", type=Time(), default="0", help="Begin here in the song.")
@click.option("--duration", type=Time(), help="Render so much. [default: to the end]")
@click.option(
    "--follow",
    type=PATH,
    metavar="FILE",
    help="Another take of the song, for which the preset was made: its sections, bars and beats are moved along.",
)
@track_option
@click.option(
    "--stem",
    "stems",
    type=Stem(),
    multiple=True,
    help="A stem as a source of features, such as drums=drums.wav. Can be repeated.",
)
@beats_option
@tempo_option
@tempo_range_option
@click.option("--palette", type=PaletteList(), help="Seeds of the pictures to move between, such as 66,230,389-400.")
@click.option(
    "--truncation",
    type=RealNumber(-2, 2),
    metavar="PSI",
    help="1 the model's whole variety, 0 its average picture.",
)
@click.option("--label", type=WholeNumber(min=0), metavar="N", help="Class of a conditional model.")
@click.option(
    "--fit",
    type=Choice(["widen", "crop", "pad", "stretch"]),
    help="How the model fills another aspect ratio. [default: the preset's, else widen]",
)
@click.option(
    "--flash-safe", is_flag=True, help="Limit flashes to three a second, for photosensitive viewers; say what changed."
)
@click.option("--loop", is_flag=True, help="Let the end lead on to the beginning, for a video that is repeated.")
@knob_options
@click.option(
    "--best-of",
    type=WholeNumber(1, 1024),
    metavar="N",
    help="Draw N presets, from the seed upwards, and render the most audio-reactive one.",
)
@click.option(
    "--evolve",
    type=WholeNumber(8, 4096),
    metavar="N",
    help="Let presets evolve: of N that are drawn and then changed step by step, render the one that reacts most.",
)
@wild_option
@synthesizer_option
@weights_option
@motion_seed_option
@weight_option
@set_option
@click.option("--fps", type=FrameRate(), help="Frames a second. [default: the preset's, else 30; of a model file, 24]")
@click.option(
    "--crf",
    type=WholeNumber(1, 51),
    default=18,
    show_default=True,
    help="Quality of .mp4, .webm and .webp: 1 best, 18 transparent, 28 small.",
)
@click.option(
    "--max-size",
    type=Amount("SIZE", parse_bytes),
    help="Keep the file to at most this, such as 25MB or 8MiB, and not far below; .mp4 and .webm.",
)
@click.option(
    "--max-bitrate",
    type=Amount("BITS", parse_rate),
    help="Keep every chunk to at most so many bits a second, such as 4M, with the sound; .mp4 and .webm.",
)
@click.option(
    "--encoder",
    type=Choice(["auto", "x264", "nvenc"]),
    default="auto",
    show_default=True,
    help="Encoder of .mp4; auto takes NVENC where the GPU has it.",
)
@click.option(
    "--encoder-speed",
    type=Choice(["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"]),
    metavar="NAME",
    help="Speed of .mp4 and .webm's encoder, ultrafast to veryslow; by default medium, from 1080p on veryfast.",
)
@overwrite_option
@click.option("--fresh", is_flag=True, help="Begin anew where an unfinished render of another kind is found.")
@click.option("--save-preset", type=PATH, metavar="FILE", help="Also write the preset as a .toml file.")
@quiet_option
@click.option("--draft", is_flag=True, help="Small and rough, with half the frames, quickly coded; the same motion.")
@click.option(
    "--deadline",
    type=Amount("TIME", parse_deadline),
    help="Be finished in so long, such as 10m, if encoding faster can do it; say in time if not.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be rendered, and stop.")
@device_option
@click.option(
    "--precision",
    type=Choice(["auto", "fp32", "bf16", "fp16"]),
    default="auto",
    show_default=True,
    help="Numbers that the network computes in.",
)
@click.option("--batch", type=WholeNumber(1, 64), metavar="N", help="Frames rendered at once.")
@click.option(
    "--workers", type=WholeNumber(1, 256), metavar="N", help="Render in so many processes; on GPUs, one each."
)
@click.option("--cluster", metavar="ADDRESS", help="Render on a Ray cluster: auto, or ray://host:port.")
@click.option(
    "--chunk",
    type=Time(),
    default="5",
    show_default=True,
    help="Length of the pieces that are made one by one; what a crash costs at most.",
)
def command(
    songs: tuple[Path, ...], demo: bool, output: Path | None, model: Path | str | None, preset: str | None,
    seed: int | None, best_of: int | None, evolve: int | None, synthesizer: str | None, motion_seed: int | None,
    weights: tuple[tuple[str, float], ...], palette: tuple[int | str, ...] | None, truncation: float | None,
    label: int | None, fps: Fraction | None, size: tuple[int, int] | None, fit: Fit | None, start: Fraction,
    duration: Fraction | None, overrides: tuple[str, ...], stems: tuple[tuple[str, Path], ...], beats: BeatTracker,
    tempo: float | None, tempo_range: tuple[float, float] | None, track: int | None,
    device: str, precision: Precision, batch: int | None, crf: int, encoder: VideoEncoder, chunk: Fraction,
    encoder_speed: str | None,
    workers: int | None, cluster: str | None, flash_safe: bool, loop: bool, follow: Path | None, draft: bool,
    overwrite: bool, fresh: bool, save_preset: Path | None, dry_run: bool, quiet: bool,
    max_size: int | None, max_bitrate: int | None, deadline: Fraction | None, others: tuple[Path, ...], wild: bool,
    **knobs: float,
) -> int:  # fmt: skip
    """Render each SONG to a video in which every motion can be traced to something heard.

    \b
    render song.mp3
    render song.mp3 --preset pulse --size 1080p
    render song.mp3 --model abstract.pkl --seed 42 -o out.mp4
    render song.mp3 --draft                  a quick, small look at it first
    render song.mp3 --motion 0.5 --beat 2    calmer, but for the hits
    render song.mp3 --best-of 32             the most audio-reactive one of 32
    render song.mp3 --evolve 64              the best of 64 that evolve for it
    render song.mp3 --synthesizer hippo      the motion fitted to this song
    render song.mp3 --duration 6 -o song.gif
    render other.flac --preset out.mp4       a video carries its preset inside
    render live.wav --preset out.mp4 --follow song.mp3    the same on another take
    render album/*.flac -o videos            many songs; a bad one stops nothing

    A render that was cut short goes on when the same command is given again.
    """
    from audioreactive._support.files import check_name, keep_apart
    from audioreactive.chunks.folder import work_folder
    from audioreactive.commands.synthesizer import choose_synthesizer, motion_overrides, synthesizer_path
    from audioreactive.patches.knobs import Knobs
    from audioreactive.patches.presets import load_preset, preset_path
    from audioreactive.pipeline.production import RenderSettings
    from audioreactive.pipeline.recipe import Recipe
    from audioreactive.pipeline.weights import folder_of, wild_of
    from audioreactive.video import check_output

    check_tempo(tempo, tempo_range)
    jobs = _inputs_and_outputs(songs, demo, output, ending=".draft.mp4" if draft else ".mp4")
    context = click.get_current_context()
    if FOLDER in context.meta and len(jobs) == 1:
        context.with_resource(_folder_of_frames(jobs[0][1]))
    if workers is not None and cluster is not None:
        raise click.UsageError("--workers are of this machine, --cluster is of many: give one of them")
    if save_preset is not None and len(jobs) > 1:
        raise click.UsageError("--save-preset names one file, and each song gets a preset: their videos carry them")
    overwrite = overwrite or (demo and jobs[0][1] == Path("demo.mp4"))
    table = stem_table(stems)
    files = (model_file(model), preset_path(preset), synthesizer_path(synthesizer), *others)
    inputs = (*(song for song, _ in jobs), *table.values(), *files, follow)
    for _, video in jobs:
        keep_apart(video, inputs, cleared=(work_folder(video),))
    if save_preset is not None:
        check_name(save_preset, (".toml",), overwrite=overwrite, inputs=inputs)
    given = load_preset(preset) if preset is not None else None
    if given is not None and not given.patch.synthesizers and (motion_seed is not None or weights):
        option = "--motion-seed" if motion_seed is not None else "--weight"
        raise click.UsageError(f"{option} is for a synthesizer, and the preset {preset!r} has none: leave it out")
    order = _Order(
        model=model,
        recipe=Recipe(
            preset=given,
            seed=seed,
            palette=palette,
            truncation=truncation,
            label=label,
            overrides=(*motion_overrides(preset, motion_seed, weights), *overrides),
            best_of=best_of,
            evolve=evolve,
            wild=wild_of(others) if wild else None,
            synthesizer=choose_synthesizer(synthesizer, preset, motion_seed, weights),
            knobs=Knobs(**knobs),
        ),
        settings=RenderSettings(
            fps=fps, size=size, fit=fit, start=start, duration=duration, track=track, device=device,
            precision=precision, batch=batch, crf=crf, encoder=encoder, encoder_speed=encoder_speed, chunk=chunk,
            beat_tracker=beats,
            tempo=tempo, tempo_range=tempo_range, flash_safe=flash_safe, loop=loop, draft=draft, follow=follow,
            max_size=max_size, max_bitrate=max_bitrate, deadline=deadline, weights=others,
            folder=folder_of(preset),
        ),
        stems=table,
        workers=workers,
        cluster=cluster,
        overwrite=overwrite,
        fresh=fresh,
        save_preset=save_preset,
        dry_run=dry_run,
        quiet=quiet,
    )  # fmt: skip
    if len(jobs) == 1:
        order.recipe.make()  # what does not go together is told before what is in the way
        if not dry_run:
            check_output(jobs[0][1], overwrite)
        _render(*jobs[0], order.model, order)
        return 0
    return _render_all(jobs, order)


@dataclass(frozen=True)
class _Order:
    """Options that are the same for every song."""

    model: Path | str | None
    recipe: Recipe
    settings: RenderSettings
    stems: dict[str, Path]
    workers: int | None
    cluster: str | None
    overwrite: bool
    fresh: bool
    save_preset: Path | None
    dry_run: bool
    quiet: bool


def _render(
    song: Path, output: Path, model: Path | str | LoadedGenerator | None, order: _Order, pool: WorkerPool | None = None
) -> None:
    from audioreactive.patches.presets import save_preset
    from audioreactive.pipeline.deciding import decide
    from audioreactive.pipeline.planning import plan_render
    from audioreactive.pipeline.preparing import prepare
    from audioreactive.pipeline.production import produce
    from audioreactive.video import check_output

    progress = progress_for(order.quiet)
    plan = plan_render(
        song,
        output,
        model=model,
        recipe=order.recipe,
        settings=order.settings,
        stems=order.stems,
        progress=progress,
    )
    if order.dry_run:
        click.echo(describe_plan(plan, output))
        try:
            check_output(output, order.overwrite)
        except AudioReactiveError as error:  # a real run would say so
            progress.say(str(error))
        if order.save_preset is not None:
            preset, chosen = decide(plan, progress)
            if order.recipe.evolve is not None and chosen is not None:  # others have said it during the search
                progress.say(chosen)
            save_preset(preset, order.save_preset)
        return
    production = prepare(plan, progress)
    if order.save_preset is not None:
        save_preset(production.preset, order.save_preset)
    from stylegan_ops import keep_freed_memory

    keep_freed_memory()  # rendering requests the same blocks of memory again and again
    rendered = produce(
        production,
        output,
        workers=order.workers,
        pool=pool,
        cluster=order.cluster,
        overwrite=order.overwrite,
        fresh=order.fresh,
        progress=progress,
    )
    if not order.quiet:
        if rendered.chosen is not None:
            progress.say(rendered.chosen)
        click.echo(rendered.path)


def _render_all(jobs: list[tuple[Path, Path]], order: _Order) -> int:
    """Render one song after another with one model; a song that fails is reported, and the others are rendered."""
    from audioreactive._support.files import make_folder
    from audioreactive.chunks.workers import WorkerPool
    from audioreactive.pipeline.planning import open_for
    from audioreactive.video import check_output

    preset = order.recipe.make()  # an error in the recipe shows before the first song
    model = open_for(order.model, preset, order.settings, every=order.recipe.wild is not None)
    bad = []
    folder = jobs[0][1].parent
    is_new = not folder.exists() and not order.dry_run
    if is_new:
        make_folder(folder)
    with WorkerPool() as pool:
        for song, output in jobs:
            try:
                if not order.dry_run or folder.is_dir():
                    check_output(output, order.overwrite)
                _render(song, output, model, order, pool)
            except Exception as error:
                if (sentence := sentence_for(error)) is None:
                    raise
                bad.append(printable(str(song)))
                click.echo(f"error: {bad[-1]}: {sentence}", err=True)
    if is_new:
        with contextlib.suppress(OSError):  # it is not empty
            folder.rmdir()
    if bad:
        click.echo(f"{len(jobs) - len(bad)} of {len(jobs)} songs were rendered; not {', '.join(bad)}", err=True)
    return 1 if bad else 0


@contextlib.contextmanager
def _folder_of_frames(path: Path) -> Iterator[None]:
    """An empty folder, which is a folder of frames whatever its name; it does not stay if it stays empty."""
    from audioreactive._support.files import check_folder

    if path.exists() and not path.is_dir():
        raise click.UsageError(f"{str(path)!r} is a file, and a name that ends in a slash is of a folder")
    if not path.exists():
        check_folder(path.absolute().parent)
        path.mkdir()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # it is not empty
            path.rmdir()


def _inputs_and_outputs(
    songs: tuple[Path, ...], demo: bool, output: Path | None, *, ending: str
) -> list[tuple[Path, Path]]:
    from audioreactive.video.formats import FORMATS

    if demo == bool(songs):
        raise click.UsageError("give either a song or --demo" if songs else "give a song, or --demo")
    if demo:
        from audioreactive.media.demo import DEMO_SONG

        return [(DEMO_SONG, output or Path("demo.mp4"))]
    for song in songs:
        if not song.name:
            raise click.UsageError(f"{str(song)!r} is a folder; give the songs in it")
    if len(songs) > 1:
        if (
            output is not None
            and not output.is_dir()
            and FOLDER not in click.get_current_context().meta
            and (output.exists() or output.suffix.lower() in {*FORMATS} - {""})
        ):
            raise click.UsageError(f"of {len(songs)} songs, -o names a folder for the videos; {str(output)!r} is none")
        outputs = [(output / song.name if output else song).with_suffix(ending) for song in songs]
        for number, video in enumerate(outputs):
            if (first := outputs.index(video)) < number:
                names = f"{str(songs[first])!r} and {str(songs[number])!r}"
                raise click.UsageError(f"{names} would give a video of the same name: render one by itself")
    else:
        outputs = [output or songs[0].with_suffix(ending)]
    for song, video in zip(songs, outputs, strict=True):
        if output is None and video == song:
            raise click.UsageError(f"{str(song)!r} is an mp4 itself: name the new video with -o")
    return list(zip(songs, outputs, strict=True))
