"""`audioreactive studio [SONG]`: shape a video section by section, in a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from audioreactive._support.files import described
from audioreactive.commands import CONTEXT
from audioreactive.commands.bars import progress_for
from audioreactive.commands.options import (
    device_option,
    model_option,
    quiet_option,
    stem_table,
    track_option,
    weights_option,
)
from audioreactive.commands.values import PATH, FrameRate, Stem, WholeNumber
from audioreactive.errors import AudioReactiveError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from fractions import Fraction

    from audioreactive.generators import LoadedGenerator, WeightFile
    from audioreactive.progress import Progress
    from audioreactive.studio.bench import Bench
    from audioreactive.studio.projects import Opening

LACKING = "the studio needs a few more packages: pip install 'audioreactive[studio]'"


@click.command(context_settings=CONTEXT)
@click.argument("song", type=PATH, required=False)
@model_option
@weights_option
@click.option("--preset", metavar="NAME|FILE", help="Begin with this preset, or with the one inside a video.")
@click.option("--fps", type=FrameRate(), help="Frames a second. [default: the project's, else 24]")
@track_option
@click.option(
    "--stem", "stems", type=Stem(), multiple=True, help="A stem as a source of features, such as drums=drums.wav."
)
@click.option(
    "--folder", "folders", type=PATH, multiple=True, metavar="FOLDER",
    help="Folder in which the page opens songs and saves videos, besides the song's; more than one can be given. "
    "[default without a song: this one]",
)  # fmt: skip
@click.option(
    "--port", type=WholeNumber(0, 65535), default=0, metavar="N", help="Port on this computer. [default: free]"
)
@click.option("--no-browser", is_flag=True, help="Print the address, and open no browser.")
@device_option
@quiet_option
def command(
    song: Path | None, model: Path | str | None, preset: str | None, fps: Fraction | None, track: int | None,
    stems: tuple[tuple[str, Path], ...], folders: tuple[Path, ...], port: int, no_browser: bool, device: str,
    quiet: bool, others: tuple[Path, ...],
) -> None:  # fmt: skip
    """Open SONG in a page on this computer, to shape its video section by section; without SONG, choose one there.

    \b
    audioreactive studio song.mp3
    audioreactive studio song.mp3 --preset pulse --no-browser
    audioreactive studio --folder ~/Music

    What you make is a preset beside the song, song.studio.toml; render SONG --preset song.studio.toml gives the video.
    """
    import secrets
    import webbrowser

    try:
        from audioreactive.studio.server import App, serve
    except ModuleNotFoundError as error:
        if error.name in ("starlette", "uvicorn", "websockets", "anyio"):
            raise AudioReactiveError(LACKING) from None
        raise
    from audioreactive.media.audio import check_file
    from audioreactive.patches.presets import load_preset
    from audioreactive.pipeline.weights import folder_of, given_files, weight_files
    from audioreactive.studio.projects import Opening, Projects
    from audioreactive.studio.safety import listening_socket

    if song is not None:
        check_file(song)
    elif preset is not None or stems or track is not None:
        raise click.UsageError("--preset, --stem and --track are for a song: name it")
    given = load_preset(preset) if preset is not None else None
    files = given_files(others)
    if given is not None and model is not None:
        files = weight_files(given, others, folder_of(preset), files)
    allowed = _folders(song, folders)
    listening = listening_socket(port)
    token = secrets.token_urlsafe(24)
    address = f"http://127.0.0.1:{listening.getsockname()[1]}/?token={token}"
    click.echo(address)
    if not quiet:
        click.echo("Ctrl-C ends it", err=True)
    projects = Projects(_maker(model, files, device, fps, allowed), allowed, progress_for(quiet))
    app = App(projects, token, listening.getsockname()[1])
    if song is not None:
        projects.open(Opening(song, given, fps, stem_table(stems), track), needed=True)
    try:
        if not no_browser:
            webbrowser.open(address)
        serve(app, listening, projects)
    except KeyboardInterrupt:  # the way in which it usually ends
        if not quiet:
            click.echo("closed; every edit is saved", err=True)
    finally:
        projects.close()
    if projects.needed_failed is not None:
        raise projects.needed_failed


def _folders(song: Path | None, folders: tuple[Path, ...]) -> tuple[Path, ...]:
    """Return the folders in which the page may open and save, each once."""
    named = [song.parent] if song is not None else []
    named += folders or ([] if song is not None else [Path()])
    found: dict[Path, None] = {}
    for folder in named:
        try:
            there = folder.resolve(strict=True)
        except OSError as error:
            raise AudioReactiveError(f"the folder {str(folder)!r} cannot be used: {described(error)}") from error
        if not there.is_dir():
            raise AudioReactiveError(f"{str(folder)!r} is not a folder: --folder names one")
        found[there] = None
    return tuple(found)


def _maker(
    model: Path | str | None,
    weights: Sequence[WeightFile],
    device: str,
    fps: Fraction | None,
    folders: tuple[Path, ...],
) -> Callable[[Opening, Progress], Bench]:
    """Make the function that opens projects, all with one generator."""
    loaded: list[LoadedGenerator] = []

    def make(opening: Opening, progress: Progress) -> Bench:
        from dataclasses import replace

        from audioreactive.generators import open_generator
        from audioreactive.studio.bench import Bench
        from audioreactive.studio.studio import Studio

        if not loaded:
            with progress.track("loading the model", 1, "model") as advance:
                loaded.append(open_generator(model, device=device, weights=weights))
                advance(1)
        opening = opening if opening.fps is not None else replace(opening, fps=fps)
        return Bench(Studio(opening, loaded[0], progress), folders)

    return make
