"""The studio behind HTTP and a WebSocket, for one page at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocketDisconnect

from audioreactive.errors import AudioReactiveError, RenderError, printable
from audioreactive.patches.presets import preset_text
from audioreactive.studio.messages import LONGEST_MESSAGE
from audioreactive.studio.queue_file import keep_jobs, kept_jobs
from audioreactive.studio.renders import Renders
from audioreactive.studio.safety import Guard
from audioreactive.studio.session import Session
from audioreactive.studio.song import LONGEST_PASSAGE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.types import ASGIApp
    from starlette.websockets import WebSocket

    from audioreactive.studio.studio import Studio

PAGE: Final = Path(str(files("audioreactive"))) / "studio" / "page"
MOST_UPLOAD: Final = 512 << 20
"""Most bytes of an uploaded file."""
QUEUE: Final = "queue.json"
BUSY: Final = 4409
"""Code with which a second page is refused."""
TAKEN_OVER: Final = 4410


class App:
    """The web application of one studio.

    Args:
        studio: the open project.
        token: secret of the address.
        port: port on which it listens.
    """

    def __init__(self, studio: Studio, token: str, port: int) -> None:
        self._studio = studio
        self._session: Session | None = None
        self._planner = ThreadPoolExecutor(1, "planner")
        self._thinker = ThreadPoolExecutor(1, "thinker")
        queue = studio.project.folder / QUEUE
        self.renders = Renders(
            studio.path.parent,
            self._tell_renders,
            jobs=kept_jobs(queue, studio.path.parent),
            keep=lambda jobs: keep_jobs(queue, jobs),
        )
        self.renders.use(lambda: (studio.song.path, studio.song.track, studio.song.stems, studio.loaded, studio.fps))
        routes = [
            Route("/", self._page),
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
        self.app: ASGIApp = Guard(Starlette(routes=routes, lifespan=self._life), token, port)

    @contextlib.asynccontextmanager
    async def _life(self, app: Starlette) -> AsyncIterator[None]:
        yield
        if self._session is not None:
            self._session.ended.set()
        await asyncio.get_running_loop().run_in_executor(None, self.renders.stop)
        self._planner.shutdown(wait=True)
        self._thinker.shutdown(wait=False, cancel_futures=True)

    async def _page(self, request: Request) -> Response:
        return FileResponse(PAGE / "index.html")

    async def _peaks(self, request: Request) -> Response:
        return Response(self._studio.song.playback.peaks.tobytes(), media_type="application/octet-stream")

    async def _curves(self, request: Request) -> Response:
        return Response(self._studio.song.curves().tobytes(), media_type="application/octet-stream")

    async def _sound(self, request: Request) -> Response:
        playback = self._studio.song.playback
        try:
            start, stop = int(request.query_params["start"]), int(request.query_params["stop"])
        except (KeyError, ValueError):
            return PlainTextResponse("start and stop are numbers of samples", 400)
        if not 0 <= start < stop <= playback.length or stop - start > LONGEST_PASSAGE * playback.rate:
            return PlainTextResponse(f"up to {LONGEST_PASSAGE} s within the song can be had at once", 400)
        data = await asyncio.get_running_loop().run_in_executor(None, playback.passage, start, stop)
        return Response(data, media_type="application/octet-stream")

    async def _preset(self, request: Request) -> Response:
        text = preset_text(self._studio.state.document.preset)
        name = self._studio.path.name.replace('"', "").encode("ascii", "replace").decode()
        return PlainTextResponse(text, headers={"content-disposition": f'attachment; filename="{name}"'})

    async def _video(self, request: Request) -> Response:
        path = self.renders.video(request.path_params["number"])
        if path is None or not path.is_file():
            return PlainTextResponse("there is no such video", 404)
        inline = "download" not in request.query_params
        kind = "inline" if inline else "attachment"
        return FileResponse(path, filename=path.name, content_disposition_type=kind)

    async def _open(self, request: Request) -> Response:
        """Take the recipe of a preset or a video that was dropped into the page."""
        return await self._upload(request, self._take_recipe)

    async def _stem(self, request: Request) -> Response:
        """Take a stem that was dropped into the page."""
        return await self._upload(request, self._take_stem)

    async def _upload(self, request: Request, take: Any) -> Response:
        loop = asyncio.get_running_loop()
        name = _plain_name(request.query_params.get("name", ""))
        try:
            if name is None:
                raise RenderError("the file has no name that can be used: rename it with letters and digits")
            length = request.headers.get("content-length", "")
            if length.isdecimal() and int(length) > MOST_UPLOAD:
                raise RenderError(f"the file has more than {MOST_UPLOAD >> 20} MB, which is the most")
            path = self._studio.project.folder / f"upload-{secrets.token_hex(4)}-{name}"
            kept = False
            try:
                with path.open("xb") as file:
                    size = 0
                    async for piece in request.stream():
                        size += len(piece)
                        if size > MOST_UPLOAD:
                            raise RenderError(f"the file has more than {MOST_UPLOAD >> 20} MB, which is the most")
                        file.write(piece)
                kept = await loop.run_in_executor(self._planner, take, path, name)
            finally:
                if not kept:
                    path.unlink(missing_ok=True)
        except AudioReactiveError as error:
            return JSONResponse({"error": printable(str(error), 500)}, 400)
        except OSError as error:
            return JSONResponse({"error": printable(f"the file cannot be kept: {error.strerror}", 500)}, 400)
        if self._session is not None:
            self._session.refresh()
        return JSONResponse({"done": name})

    def _take_recipe(self, path: Path, name: str) -> bool:
        self._studio.open_recipe(path, name)
        return False

    def _take_stem(self, path: Path, name: str) -> bool:
        self._studio.add_stem(path, name)
        return True

    async def _socket(self, socket: WebSocket) -> None:
        await socket.accept()
        if self._session is not None and not self._session.ended.is_set():
            if "take" not in socket.query_params:
                await socket.close(BUSY, "another page has this project open")
                return
            before = self._session
            before.ended.set()
            while self._session is before:
                await asyncio.sleep(0.02)
        session = self._session = Session(self._studio, self.renders, socket, self._planner, self._thinker)
        try:
            await session.run()
        except WebSocketDisconnect:
            pass
        finally:
            if self._session is session:  # the next page may be there already
                self._session = None
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await socket.close(TAKEN_OVER, "another page has taken over")

    def _tell_renders(self) -> None:
        session = self._session
        if session is not None:
            with contextlib.suppress(RuntimeError):
                session.tell_renders()


def _plain_name(text: str) -> str | None:
    """Return the name of an uploaded file with letters, digits and dots alone; None if nothing is left."""
    letters = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in text[-80:])
    letters = letters.lstrip("._-")
    return letters if letters and any(c.isalnum() for c in letters) else None


def listening_socket(port: int) -> socket.socket:
    """Open a socket on this computer alone; port 0 takes a free one.

    Raises:
        RenderError: another program uses the port.
    """
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind(("127.0.0.1", port))
        found.listen(64)  # a browser that is opened at once waits until the song was listened to
    except OSError as error:
        found.close()
        raise RenderError(f"the port {port} cannot be used ({error.strerror}): choose another with --port") from error
    return found


def server_of(app: App) -> uvicorn.Server:
    """Make the server of an application."""
    config = uvicorn.Config(
        app.app,
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


def serve(app: App, listening: socket.socket) -> None:
    """Serve until an interrupt."""
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # it warns of each frame to a page that was closed
    server_of(app).run(sockets=[listening])
