"""The studio behind HTTP and a WebSocket, for one page at a time.

What this module imports is light, so that the page opens before a project is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

import uvicorn
from starlette.applications import Starlette
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocketDisconnect

from audioreactive.errors import AudioReactiveError, RenderError, printable
from audioreactive.studio.lobby import Lobby
from audioreactive.studio.safety import LONGEST_MESSAGE, LONGEST_PASSAGE, Guard

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable

    from starlette.requests import Request
    from starlette.types import ASGIApp
    from starlette.websockets import WebSocket

    from audioreactive.studio.bench import Bench
    from audioreactive.studio.projects import Projects

PAGE: Final = Path(str(files("audioreactive"))) / "studio" / "page"
MOST_UPLOAD: Final = 512 << 20
"""Most bytes of an uploaded file."""
BUSY: Final = 4409
"""Code with which a second page is refused."""
TAKEN_OVER: Final = 4410


class App:
    """The web application of the studio.

    Args:
        projects: the open project, or those that could be.
        token: secret of the address.
        port: port on which it listens.
    """

    def __init__(self, projects: Projects, token: str, port: int) -> None:
        self._projects = projects
        self._lobby: Lobby | None = None
        self._page: asyncio.Event | None = None
        """The page that is connected: set when it has to go."""
        projects.changed = self._tell
        routes = [
            Route("/", self._index),
            Route("/peaks", self._peaks),
            Route("/curves", self._curves),
            Route("/sound", self._sound),
            Route("/preset", self._preset),
            Route("/video/{number:int}", self._video),
            Route("/open", self._open, methods=["POST"]),
            Route("/stem", self._stem, methods=["POST"]),
            WebSocketRoute("/socket", self._socket),
            Mount("/page", StaticFiles(directory=PAGE)),
        ]
        handlers = {Nothing: lambda request, error: PlainTextResponse("no project is open", 409)}
        self.app: ASGIApp = Guard(
            Starlette(routes=routes, lifespan=self._life, exception_handlers=handlers), token, port
        )

    @contextlib.asynccontextmanager
    async def _life(self, app: Starlette) -> AsyncIterator[None]:
        yield
        if self._page is not None:
            self._page.set()
        await asyncio.get_running_loop().run_in_executor(None, self._projects.close)

    @property
    def _bench(self) -> Bench:
        if self._projects.bench is None:
            raise Nothing
        return self._projects.bench

    async def _index(self, request: Request) -> Response:
        return FileResponse(PAGE / "index.html")

    async def _peaks(self, request: Request) -> Response:
        return Response(self._bench.studio.song.playback.peaks.tobytes(), media_type="application/octet-stream")

    async def _curves(self, request: Request) -> Response:
        return Response(self._bench.studio.song.curves().tobytes(), media_type="application/octet-stream")

    async def _sound(self, request: Request) -> Response:
        playback = self._bench.studio.song.playback
        try:
            start, stop = int(request.query_params["start"]), int(request.query_params["stop"])
        except (KeyError, ValueError):
            return PlainTextResponse("start and stop are numbers of samples", 400)
        if not 0 <= start < stop <= playback.length or stop - start > LONGEST_PASSAGE * playback.rate:
            return PlainTextResponse(f"up to {LONGEST_PASSAGE} s within the song can be had at once", 400)
        data = await asyncio.get_running_loop().run_in_executor(None, playback.passage, start, stop)
        return Response(data, media_type="application/octet-stream")

    async def _preset(self, request: Request) -> Response:
        name = self._bench.studio.path.name.replace('"', "").encode("ascii", "replace").decode()
        return PlainTextResponse(
            self._bench.preset(), headers={"content-disposition": f'attachment; filename="{name}"'}
        )

    async def _video(self, request: Request) -> Response:
        path = self._bench.renders.video(request.path_params["number"])
        if path is None or not path.is_file():
            return PlainTextResponse("there is no such video", 404)
        inline = "download" not in request.query_params
        kind = "inline" if inline else "attachment"
        return FileResponse(path, filename=path.name, content_disposition_type=kind)

    async def _open(self, request: Request) -> Response:
        """Take the recipe of a preset or a video that was dropped into the page."""
        return await self._upload(request, self._bench.take_recipe)

    async def _stem(self, request: Request) -> Response:
        """Take a stem that was dropped into the page."""
        return await self._upload(request, self._bench.take_stem)

    async def _upload(self, request: Request, take: Callable[[Path, str], bool]) -> Response:
        loop, bench = asyncio.get_running_loop(), self._bench
        name = _plain_name(request.query_params.get("name", ""))
        try:
            if name is None:
                raise RenderError("the file has no name that can be used: rename it with letters and digits")
            length = request.headers.get("content-length", "")
            if length.isdecimal() and int(length) > MOST_UPLOAD:
                raise RenderError(f"the file has more than {MOST_UPLOAD >> 20} MB, which is the most")
            path = bench.studio.project.folder / f"upload-{secrets.token_hex(4)}-{name}"
            kept = False
            try:
                with path.open("xb") as file:
                    size = 0
                    async for piece in request.stream():
                        size += len(piece)
                        if size > MOST_UPLOAD:
                            raise RenderError(f"the file has more than {MOST_UPLOAD >> 20} MB, which is the most")
                        file.write(piece)
                kept = await loop.run_in_executor(bench.planner, take, path, name)
            finally:
                if not kept:
                    path.unlink(missing_ok=True)
        except AudioReactiveError as error:
            return JSONResponse({"error": printable(str(error), 500)}, 400)
        except OSError as error:
            return JSONResponse({"error": printable(f"the file cannot be kept: {error.strerror}", 500)}, 400)
        bench.refresh()
        return JSONResponse({"done": name})

    async def _socket(self, socket: WebSocket) -> None:
        await socket.accept()
        before = self._page
        if before is not None and not before.is_set():
            if "take" not in socket.query_params:
                await socket.close(BUSY, "another page has this project open")
                return
            before.set()
            while self._page is before:
                await asyncio.sleep(0.02)
        gone = self._page = asyncio.Event()
        try:
            while not gone.is_set():
                if self._projects.bench is None:
                    self._lobby = Lobby(self._projects, socket, gone)
                    await self._lobby.run()
                elif await self._projects.bench.serve(socket, gone):
                    await asyncio.get_running_loop().run_in_executor(None, self._projects.leave)
                else:
                    gone.set()
        except WebSocketDisconnect:
            pass
        finally:
            if self._page is gone:  # the next page may be there already
                self._page = None
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await socket.close(TAKEN_OVER, "another page has taken over")

    def _tell(self) -> None:
        lobby = self._lobby
        if lobby is not None:
            with contextlib.suppress(RuntimeError):
                lobby.tell()


class Nothing(Exception):
    """No project is open."""


def _plain_name(text: str) -> str | None:
    """Return the name of an uploaded file with letters, digits and dots alone; None if nothing is left."""
    letters = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in text[-80:])
    letters = letters.lstrip("._-")
    return letters if letters and any(c.isalnum() for c in letters) else None


def server_of(app: ASGIApp) -> uvicorn.Server:
    """Make the server of an application."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        ws="auto",
        ws_max_size=LONGEST_MESSAGE,
        ws_per_message_deflate=False,
        ws_ping_interval=20,
        timeout_graceful_shutdown=2,
        server_header=False,
    )
    return uvicorn.Server(config)


def serve(app: App, listening: socket.socket, projects: Projects) -> None:
    """Serve until an interrupt, or until the studio gives up."""
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # it warns of each frame to a page that was closed
    server = server_of(app.app)

    def end() -> None:
        server.should_exit = True

    projects.give_up = end
    server.run(sockets=[listening])
