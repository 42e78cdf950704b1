"""`audioreactive pack VIDEO -o CLIP.arc`: sound and picture in one small network, or as a preset."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from audioreactive.commands import CONTEXT
from audioreactive.commands.bars import progress_for
from audioreactive.commands.options import device_option, overwrite_option, quiet_option, weights_option
from audioreactive.commands.values import PATH, Choice, ModelFile, RealNumber, Time, WholeNumber
from audioreactive.errors import shown

if TYPE_CHECKING:
    from fractions import Fraction
    from pathlib import Path

    from audioreactive.codec.packing import Packed
    from audioreactive.progress import Progress

UNITS = {"": 1, "B": 1, "KB": 1000, "KIB": 1024, "MB": 10**6, "MIB": 1 << 20}
MOST_BYTES = 1 << 30
ARC = (".arc",)


class Bytes(click.ParamType):
    """A size in bytes."""

    name = "BYTES"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Text such as 300KB or 1.5MB -> bytes."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"([0-9]{1,10}(?:\.[0-9]{1,3})?) ?([KM]?i?B?)", str(value).strip(), re.IGNORECASE)
        factor = UNITS.get(found[2].upper()) if found else None
        size = int(float(found[1]) * factor) if found and factor else 0
        if not 0 < size <= MOST_BYTES:
            self.fail(f"{shown(value)} is not a size, such as 300KB or 1.5MB", param, ctx)
        return size


@click.command(context_settings=CONTEXT)
@click.argument("video", type=PATH)
@click.option("-o", "--output", type=PATH, metavar="FILE", help="The .arc file. [default: VIDEO's name in .arc]")
@click.option("--size", type=Bytes(), metavar="BYTES", help="As good as it gets in so many bytes, such as 300KB.")
@click.option("--compare", is_flag=True, help="Print how good H.264, H.265 and AV1 are in as many bytes.")
@click.option("--recipe", is_flag=True, help="Pack a video of this program as its preset and its song.")
@click.option("--song", type=PATH, metavar="FILE", help="With --recipe: the song that the video was rendered from.")
@click.option("--opus", is_flag=True, help="With --recipe: code the song as Opus instead of taking it as it is.")
@click.option("--model", type=ModelFile(), metavar="FILE", help="With --recipe: the model that made the video.")
@weights_option
@click.option("--with-model", is_flag=True, help="With --recipe and --model: put the model into the file.")
@click.option("--start", type=Time(), help="With --recipe: where in the song the video begins, if not at 0.")
@click.option(
    "--side", type=WholeNumber(16, 4096), metavar="PIXELS", help="Shrink pictures whose longer side is longer."
)
@click.option(
    "--effort", type=RealNumber(0.02, 20), default=1.0, show_default=True, help="More steps of the fit, or fewer."
)
@click.option(
    "--codec",
    type=Choice(["grids", "seed"]),
    default="grids",
    show_default=True,
    help="The network: grids with a small decoder, or the sine networks of the thesis (teacher and student).",
)
@click.option(
    "--epochs", type=WholeNumber(1, 100_000), metavar="N", help="Epochs of the thesis' teacher. [default: 7000]"
)
@click.option("--batch", type=WholeNumber(1, 1 << 24), metavar="N", help="Samples in each epoch. [default: 65536]")
@click.option("--bits", type=WholeNumber(1, 32), default=16, show_default=True, help="Bits of the student's weights.")
@device_option
@overwrite_option
@quiet_option
def command(
    video: Path,
    output: Path | None,
    size: int | None,
    compare: bool,
    recipe: bool,
    song: Path | None,
    opus: bool,
    model: Path | None,
    others: tuple[Path, ...],
    with_model: bool,
    start: Fraction | None,
    side: int | None,
    effort: float,
    codec: str,
    epochs: int | None,
    batch: int | None,
    bits: int,
    device: str,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Pack VIDEO, sound and picture, into one small file from which it plays at any size and any rate.

    \b
    audioreactive pack clip.mp4 -o clip.arc
    audioreactive pack clip.mp4 --size 300KB
    audioreactive pack --compare clip.mp4
    audioreactive pack video.mp4 --recipe --song song.mp3

    A network is fitted to loops and teasers of up to a minute. Ctrl-C keeps the best so far, and the same command goes
    on later.
    """
    from audioreactive.codec.packing import begun

    if compare:
        if recipe or output is not None:
            raise click.UsageError("--compare packs, prints a table and writes nothing: leave --recipe and -o out")
        _compare(video, size, side, effort, epochs, progress_for(quiet))
        return
    output = output or video.with_suffix(".arc")
    check_output(output, (video, song, model, *others), overwrite=overwrite or (begun(output) and not recipe))
    progress = progress_for(quiet)
    if not recipe and (song or opus or model or others or with_model or start is not None):
        raise click.UsageError("--song, --opus, --model, --with, --with-model and --start are for --recipe")
    if recipe:
        if size is not None or side is not None or codec == "seed":
            raise click.UsageError("a recipe has no --size, --side and --codec: it is rendered again")
        click.echo(_recipe(video, output, song, model, others, with_model, opus, start, device, progress))
        return
    if codec == "seed":
        packed = _seed(video, output, side, epochs, batch, bits, progress)
    else:
        packed = _network(video, output, size, side, effort, progress)
    click.echo(describe(packed))


def _compare(
    video: Path, size: int | None, side: int | None, effort: float, epochs: int | None, progress: Progress
) -> None:
    from audioreactive.codec.clip import read_clip
    from audioreactive.codec.compare import compare, table
    from audioreactive.codec.packing import PackSettings

    clip = read_clip(video, largest_side=side, with_sound=epochs is not None)
    click.echo(table(compare(clip, PackSettings(size=size, effort=effort), epochs=epochs, progress=progress)))


def _recipe(
    video: Path, output: Path, song: Path | None, model: Path | None, others: tuple[Path, ...], with_model: bool,
    opus: bool, start: Fraction | None, device: str, progress: Progress,
) -> str:  # fmt: skip
    from fractions import Fraction

    from audioreactive.codec.recipe import pack_recipe

    made = pack_recipe(
        video, output, song=song, model=model, weights=others, with_model=with_model, as_opus=opus,
        start=start or Fraction(0), device=device, progress=progress,
    )  # fmt: skip
    likeness = f", as its encoder left them, are {made.psnr:.1f} dB from" if made.psnr < 100 else " are exactly"
    return (
        f"{made.path}: {made.bytes / 1000:.1f} KB, {made.song_bytes / 1000:.1f} KB of it the song; the video has "
        f"{made.video_bytes / 1000:.1f} KB, and its frames{likeness} those that are rendered again"
    )


def check_output(output: Path, inputs: tuple[Path | None, ...], *, overwrite: bool) -> None:
    """Refuse, before any work, a name that cannot be written."""
    from audioreactive._support.files import check_name

    check_name(output, ARC, overwrite=overwrite, inputs=inputs)


def _network(
    video: Path, output: Path, size: int | None, side: int | None, effort: float, progress: Progress
) -> Packed:
    from audioreactive.codec.clip import read_clip
    from audioreactive.codec.packing import PackSettings, pack

    return pack(read_clip(video, largest_side=side), output, PackSettings(size=size, effort=effort), progress)


def _seed(
    video: Path, output: Path, side: int | None, epochs: int | None, batch: int | None, bits: int, progress: Progress
) -> Packed:
    from audioreactive.codec.clip import read_clip
    from audioreactive.codec.distill import BATCH, TEACHER_EPOCHS
    from audioreactive.codec.seed import pack_seed

    clip = read_clip(video, largest_side=side)
    return pack_seed(clip, output, epochs=epochs or TEACHER_EPOCHS, batch=batch or BATCH, bits=bits, progress=progress)


def describe(packed: Packed) -> str:
    """Text for the user: size and quality."""
    sound = "no sound"
    if packed.sound_psnr is not None:
        share = f" in {packed.sound_bytes / 1000:.1f} KB of it" if packed.sound_bytes else ""
        sound = f"sound {packed.sound_psnr:.1f} dB{share}"
    return f"{packed.path}: {packed.bytes / 1000:.1f} KB, picture {packed.psnr:.1f} dB, {sound}"
