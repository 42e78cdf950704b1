"""`audioreactive share [FILE]...`: hand clips to others in the same network, from browser to browser."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from audioreactive.commands import CONTEXT
from audioreactive.commands.values import PATH, WholeNumber
from audioreactive.errors import AudioReactiveError

if TYPE_CHECKING:
    from pathlib import Path

LACKING = "sharing needs a few more packages: pip install 'audioreactive[studio]'"


@click.command(context_settings=CONTEXT)
@click.argument("files", type=PATH, nargs=-1, metavar="[FILE]...")
@click.option("--host", metavar="ADDRESS", help="Address on which to listen. [default: this computer's in its network]")
@click.option("--port", type=WholeNumber(0, 65535), default=0, metavar="N", help="Port. [default: free]")
@click.option("--no-browser", is_flag=True, help="Print the address, and open no browser.")
def command(files: tuple[Path, ...], host: str | None, port: int, no_browser: bool) -> None:
    """Open a page through which people in one network hand files to one another.

    \b
    audioreactive share
    audioreactive share clip.arc video.mp4

    Whoever opens the printed address sees who else is there, and can send them a file, straight from browser to
    browser; FILEs can be watched and saved by all. Ctrl-C ends it.
    """
    import secrets
    import webbrowser

    from audioreactive.media.audio import check_file

    try:
        from audioreactive.studio.server import server_of
        from audioreactive.studio.sharing import Sharing, lan_address
    except ModuleNotFoundError as error:
        if error.name in ("starlette", "uvicorn", "websockets", "anyio"):
            raise AudioReactiveError(LACKING) from None
        raise
    from audioreactive.studio.safety import LOOPBACK, listening_socket

    for file in files:
        check_file(file)
    host = host or lan_address()
    listening = listening_socket(port, host)
    number = listening.getsockname()[1]
    token = secrets.token_urlsafe(24)
    address = f"http://{host}:{number}/?token={token}"
    click.echo(address)
    if host in LOOPBACK:
        click.echo("this computer is in no network: only its own browsers can open the page", err=True)
    if not no_browser:
        webbrowser.open(address)
    click.echo("Ctrl-C ends it", err=True)
    with contextlib.suppress(KeyboardInterrupt):
        server_of(Sharing(files, token, number, host).app).run(sockets=[listening])
