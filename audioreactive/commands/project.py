"""`audioreactive project PICTURE`: latents of a model whose picture is close to a given one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from audioreactive.commands import CONTEXT
from audioreactive.commands.bars import progress_for
from audioreactive.commands.options import device_option, overwrite_option, quiet_option
from audioreactive.commands.values import PATH, Model, WholeNumber, model_file
from audioreactive.learn.picture_fit import STEPS

if TYPE_CHECKING:
    from pathlib import Path


@click.command(context_settings=CONTEXT)
@click.argument("picture", type=PATH)
@click.option("--model", type=Model(), metavar="FILE", required=True, help="StyleGAN model, or stylegan2.")
@click.option("-o", "--output", type=PATH, metavar="FILE.npz", required=True, help="Latents to write.")
@click.option("--steps", type=WholeNumber(1, 100_000), default=STEPS, show_default=True, help="Steps of the optimiser.")
@click.option("--label", type=WholeNumber(min=0), metavar="N", help="Class of a conditional model.")
@click.option("--preview", type=PATH, metavar="FILE", help="Also write the picture of the latents, .png or .jpg.")
@device_option
@overwrite_option
@quiet_option
def command(
    picture: Path,
    model: Path | str,
    output: Path,
    steps: int,
    label: int | None,
    preview: Path | None,
    device: str,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Find the latents of MODEL whose picture is as close as possible to PICTURE.

    \b
    audioreactive project cat.jpg --model abstract.pkl -o cat.npz
    audioreactive palette import cat.npz

    Two minutes for 256x256 on two cores. Ctrl-C keeps the best so far.
    """
    from audioreactive._support.files import check_name
    from audioreactive._support.pictures import save_picture
    from audioreactive.generators import to_uint8
    from audioreactive.generators.sources import plain_network
    from audioreactive.learn.picture_fit import PictureFitter, read_target
    from audioreactive.patches.own_pictures import save_latents

    inputs = (picture, model_file(model))
    check_name(output, (".npz",), overwrite=overwrite, inputs=inputs)
    if preview is not None:
        check_name(preview, (".png", ".jpg"), overwrite=overwrite, inputs=inputs)
    progress = progress_for(quiet)
    network = plain_network(model, device=device)
    fitter = PictureFitter(network, read_target(picture, network.img_size), label=label)
    try:
        fitter.run(steps, progress)
    except KeyboardInterrupt as interrupt:
        save_latents(fitter.best.ws.cpu().numpy(), output)
        interrupt.add_note(f"the best latents of {fitter.best.steps} steps are in {str(output)!r}")
        raise
    finally:
        if preview is not None:
            save_picture(to_uint8(fitter.best.picture.float())[0].cpu().numpy(), preview)
    save_latents(fitter.best.ws.cpu().numpy(), output)
    if not quiet:
        (psnr, far), (first, away) = fitter.after(), fitter.best.before
        progress.say(
            f"{psnr:.1f} dB and {far:.3f} by features after {fitter.best.steps} steps; "
            f"the mean picture has {first:.1f} dB and {away:.3f}"
        )
        click.echo(output)
