"""A page through which people in one network hand files to one another, from browser to browser (WebRTC).

The program keeps the list of those who have the page open, and passes on the signals by which two browsers find one
another. A file goes straight from one browser to the other, with its SHA-256. No server elsewhere is asked, so both
have to be in one network.

Source: section 8.5.3 of the thesis on the codec, without its public STUN server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import socket
import tempfile
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import Field, TypeAdapter, ValidationError
from starlette.applications import Starlette
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocketDisconnect

from audioreactive.codec.container import open_archive
from audioreactive.codec.pages import write_page
from audioreactive.errors import AudioReactiveError, printable
from audioreactive.patches.fields import Part
from audioreactive.studio.safety import LONGEST_MESSAGE, LOOPBACK, Guard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence

    from starlette.requests import Request
    from starlette.types import ASGIApp
    from starlette.websockets import WebSocket

PAGE: Final = Path(str(files("audioreactive"))) / "studio" / "page"
MOST_PEOPLE: Final = 32
"""Most pages that are open at once."""
FULL: Final = 4429
"""Code with which one page too many is refused."""
MOST_WAITING: Final = 256
"""Most messages that wait for a page; what comes on top of them is dropped."""
PACKED: Final = ".arc"
SHOWN: Final = (".mp4", ".webm", ".gif", ".webp")
"""Endings of files that a browser shows as they are."""
PLAYER_POLICY: Final = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; media-src data: blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
"""What the page of a packed clip may do: it has no access to this page, nor to the network."""

Identity = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class Rename(Part):
    """Tells the others by which name to show this page."""

    type: Literal["name"]
    name: Annotated[str, Field(min_length=1, max_length=40)]


class Signal(Part):
    """Is passed on to another page as it is; that page checks it."""

    type: Literal["signal"]
    to: Identity
    signal: dict[str, Any]


_MESSAGES: Final[TypeAdapter[Rename | Signal]] = TypeAdapter(Annotated[Rename | Signal, Field(discriminator="type")])


@dataclass
class Person:
    """Somebody who has the page open."""

    identity: str
    name: str
    waiting: asyncio.Queue[dict[str, Any]] = field(default_factory=lambda: asyncio.Queue(MOST_WAITING))
    """Messages for the page."""

    def tell(self, message: dict[str, Any]) -> None:
        """Hand a message to the page, unless it does not take its messages."""
        with contextlib.suppress(asyncio.QueueFull):
            self.waiting.put_nowait(message)


class Sharing:
    """The web application.

    Args:
        offered: files that everybody with the page may save or watch.
        token: secret of the address.
        port: port on which it listens.
        host: address on which it listens.
    """

    def __init__(self, offered: Sequence[Path], token: str, port: int, host: str = LOOPBACK[0]) -> None:
        self._offered = tuple(offered)
        self._people: dict[str, Person] = {}
        self._arrivals = 0
        self._made = asyncio.Lock()
        self._pages = Path()
        """Folder for the pages of packed clips, while it serves."""
        routes = [
            Route("/", self._index),
            Route("/offered", self._list),
            Route("/file/{number:int}", self._file),
            Route("/watch/{number:int}", self._watch),
            WebSocketRoute("/socket", self._socket),
            Mount("/page", StaticFiles(directory=PAGE)),
        ]
        names: Collection[str] = LOOPBACK if host in LOOPBACK else (host,)
        self.app: ASGIApp = Guard(Starlette(routes=routes, lifespan=self._life), token, port, names)

    @contextlib.asynccontextmanager
    async def _life(self, app: Starlette) -> AsyncIterator[None]:
        with tempfile.TemporaryDirectory(prefix="audioreactive-share-") as folder:
            self._pages = Path(folder)
            yield

    async def _index(self, request: Request) -> Response:
        return FileResponse(PAGE / "share.html")

    async def _list(self, request: Request) -> Response:
        described = [
            {"number": number, "name": printable(path.name), "size": path.stat().st_size, "watched": _is_watched(path)}
            for number, path in enumerate(self._offered)
            if path.is_file()
        ]
        return JSONResponse(described)

    def _found(self, request: Request) -> Path | None:
        number = request.path_params["number"]
        path = self._offered[number] if number < len(self._offered) else None
        return path if path is not None and path.is_file() else None

    async def _file(self, request: Request) -> Response:
        path = self._found(request)
        if path is None:
            return PlainTextResponse("there is no such file", 404)
        return FileResponse(path, filename=path.name)

    async def _watch(self, request: Request) -> Response:
        """Answer with a video as it is, or with the page that plays a packed clip."""
        path = self._found(request)
        if path is None or not _is_watched(path):
            return PlainTextResponse("there is no such file", 404)
        if path.suffix.lower() in SHOWN:
            return FileResponse(path, filename=path.name, content_disposition_type="inline")
        page = self._pages / f"{self._offered.index(path)}.html"
        try:
            async with self._made:
                if not page.exists():
                    await asyncio.get_running_loop().run_in_executor(None, _make_page, path, page)
        except AudioReactiveError as error:
            reason = str(error).replace(str(path), path.name)  # where it lies is nobody's business
            return PlainTextResponse(f"{path.name} cannot be shown: {printable(reason, 500)}", 409)
        headers = {"content-security-policy": PLAYER_POLICY}
        return FileResponse(page, media_type="text/html; charset=windows-1252", headers=headers)

    async def _socket(self, connection: WebSocket) -> None:
        await connection.accept()
        if len(self._people) >= MOST_PEOPLE:
            await connection.close(FULL, f"{MOST_PEOPLE} pages are the most")
            return
        self._arrivals += 1
        person = Person(secrets.token_hex(8), f"guest {self._arrivals}")
        self._people[person.identity] = person
        person.tell({"type": "welcome", "you": person.identity})
        self._tell_all()
        reading = asyncio.create_task(self._read(connection, person))
        try:
            while not reading.done():
                message = asyncio.create_task(person.waiting.get())
                await asyncio.wait({reading, message}, return_when=asyncio.FIRST_COMPLETED)
                if not message.done():
                    message.cancel()
                    break
                await connection.send_text(json.dumps(message.result(), separators=(",", ":")))
        except (WebSocketDisconnect, RuntimeError):
            pass
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            del self._people[person.identity]
            self._tell_all()

    async def _read(self, connection: WebSocket, person: Person) -> None:
        while True:
            try:
                told = read_message(await connection.receive_text())
            except KeyError:  # a binary message
                told = None
            if isinstance(told, Rename):
                person.name = printable(told.name.strip(), 40) or person.name
                self._tell_all()
            elif isinstance(told, Signal) and told.to in self._people:
                self._people[told.to].tell({"type": "signal", "from": person.identity, "signal": told.signal})
            elif isinstance(told, Signal):
                person.tell({"type": "gone", "who": told.to})
            else:
                person.tell({"type": "error", "message": "this message cannot be read"})

    def _tell_all(self) -> None:
        people = [{"id": one.identity, "name": one.name} for one in self._people.values()]
        for person in self._people.values():
            person.tell({"type": "people", "people": people})


def read_message(text: str) -> Rename | Signal | None:
    """Read a page's message; None if it is none."""
    if len(text) > LONGEST_MESSAGE:
        return None
    try:
        return _MESSAGES.validate_json(text)
    except (ValidationError, RecursionError):
        return None


def lan_address() -> str:
    """Return the address of this computer in its network, or 127.0.0.1 if it is in none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address for examples; this sends nothing, and only finds the way out
        except OSError:
            return LOOPBACK[0]
        return str(probe.getsockname()[0])


def _is_watched(path: Path) -> bool:
    """Whether a browser can play a file."""
    return path.suffix.lower() in (PACKED, *SHOWN)


def _make_page(path: Path, page: Path) -> None:
    write_page(open_archive(path), page)
