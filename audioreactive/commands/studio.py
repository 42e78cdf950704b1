"""`audioreactive studio SONG`: shape a video section by section, in a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from audioreactive.commands import CONTEXT
from audioreactive.commands.bars import progress_for
from audioreactive.commands.options import (
    PATH,
    FrameRate,
    Stem,
    WholeNumber,
    device_option,
    model_option,
    quiet_option,
    stem_table,
    track_option,
    weights_option,
)
from audioreactive.errors import AudioReactiveError

if TYPE_CHECKING:
    from fractions import Fraction
    from pathlib import Path

LACKING = "the studio needs a few more packages: pip install 'audioreactive[studio]'"


@click.command(context_settings=CONTEXT)
@click.argument("song", type=PATH)
@model_option
@weights_option
@click.option("--preset", metavar="NAME|FILE", help="Begin with this preset, or with the one inside a video.")
@click.option("--fps", type=FrameRate(), help="Frames a second. [default: the project's, else 24]")
@track_option
@click.option(
    "--stem", "stems", type=Stem(), multiple=True, help="A stem as a source of features, such as drums=drums.wav."
)
@click.option(
    "--port", type=WholeNumber(0, 65535), default=0, metavar="N", help="Port on this computer. [default: free]"
)
@click.option("--no-browser", is_flag=True, help="Print the address, and open no browser.")
@device_option
@quiet_option
def command(
    song: Path, model: Path | str | None, preset: str | None, fps: Fraction | None, track: int | None,
    stems: tuple[tuple[str, Path], ...], port: int, no_browser: bool, device: str, quiet: bool,
    others: tuple[Path, ...],
) -> None:  # fmt: skip
    """Open SONG in a page on this computer, to shape its video section by section.

    \b
    audioreactive studio song.mp3
    audioreactive studio song.mp3 --preset pulse --no-browser

    What you make is a preset beside the song, song.studio.toml; render SONG --preset song.studio.toml gives the video.
    """
    import secrets
    import webbrowser

    try:
        from audioreactive.studio.server import App, listening_socket, serve
    except ModuleNotFoundError as error:
        if error.name in ("starlette", "uvicorn", "websockets", "anyio"):
            raise AudioReactiveError(LACKING) from None
        raise
    from audioreactive.generators import open_generator
    from audioreactive.media.audio import check_file
    from audioreactive.patches.presets import load_preset
    from audioreactive.pipeline.weights import folder_of, given_files, weight_files
    from audioreactive.studio.studio import Opening, Studio

    check_file(song)
    started = load_preset(preset) if preset is not None else None
    listening = listening_socket(port)
    token = secrets.token_urlsafe(24)
    address = f"http://127.0.0.1:{listening.getsockname()[1]}/?token={token}"
    click.echo(address)
    files = given_files(others)
    if started is not None and model is not None:
        files = weight_files(started, others, folder_of(preset), files)
    loaded = open_generator(model, device=device, weights=files)
    opening = Opening(song, started, fps, stem_table(stems), track)
    studio = Studio(opening, loaded, progress_for(quiet))
    try:
        if not no_browser:
            webbrowser.open(address)
        serve(App(studio, token, listening.getsockname()[1]), listening)
    finally:
        studio.close()
