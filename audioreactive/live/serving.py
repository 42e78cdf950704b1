"""A page on this computer that shows the picture, for OBS or a browser: MJPEG behind the studio's guard."""

from __future__ import annotations

import asyncio
import secrets
import threading
from typing import TYPE_CHECKING, Any, Final

from audioreactive.errors import LiveError
from audioreactive.live.window import with_word

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import numpy as np
    from numpy.typing import NDArray

    from audioreactive.live.deck import Deck

LACKING: Final = "a page needs a few more packages: pip install 'audioreactive[studio]'"
QUALITY: Final = 85
"""Quality of JPEG pictures."""
BOUNDARY: Final = "picture"
MOST_VIEWERS: Final = 8
ON_PAGE: Final = ("next", "reroll", "black", "freeze")
"""Actions that the page has buttons for."""
PAGE: Final = """<!doctype html><meta charset="utf-8"><title>audioreactive live</title>
<style>
html, body {{ margin: 0; height: 100%; background: #000; }}
img {{ width: 100%; height: 100%; object-fit: contain; }}
nav {{ position: fixed; left: 0; bottom: 0; opacity: 0; }}
body:hover nav, nav:focus-within {{ opacity: 0.9; }}
button {{ font: 16px sans-serif; margin: 4px; }}
</style>
<img src="/stream?token={token}" alt="The picture that is played now">
<nav>{buttons}</nav>
<script src="/remote.js?token={token}"></script>
"""
SCRIPT: Final = """for (const button of document.querySelectorAll("button"))
  button.addEventListener("click", () => fetch(`/act/${button.value}${location.search}`, { method: "POST" }));
"""


class Served:
    """A screen in pages; `close` must follow.

    Args:
        port: port of 127.0.0.1; 0 takes a free one.
        deck: carries out what the page asks for.

    Raises:
        LiveError: a package is missing.
        RenderError: another program has the port.
    """

    def __init__(self, port: int, deck: Deck) -> None:
        try:
            import uvicorn

            from audioreactive.studio.safety import listening_socket
        except ModuleNotFoundError as error:
            if error.name in ("starlette", "uvicorn", "websockets", "anyio"):
                raise LiveError(LACKING) from None
            raise
        self._deck = deck
        self._latest: tuple[int, bytes] = (0, b"")
        self._pending: tuple[NDArray[np.uint8], str] | None = None
        self._news = threading.Condition()
        self._over = False
        self._viewers = 0
        self._socket = listening_socket(port)
        self.token = secrets.token_urlsafe(24)
        number = self._socket.getsockname()[1]
        self.address = f"http://127.0.0.1:{number}/?token={self.token}"
        """Address of the page."""
        config = uvicorn.Config(
            self._app(number), log_level="warning", access_log=False, timeout_graceful_shutdown=1, server_header=False
        )
        self._server = uvicorn.Server(config)
        sockets = [self._socket]
        self._threads = [
            threading.Thread(target=self._server.run, kwargs={"sockets": sockets}, daemon=True, name="page"),
            threading.Thread(target=self._encode, daemon=True, name="pictures"),
        ]
        for thread in self._threads:
            thread.start()

    def show(self, pixels: NDArray[np.uint8], word: str) -> None:
        """Hand a picture over; only the latest is encoded, and only if somebody looks."""
        with self._news:
            self._pending = (pixels, word)
            self._news.notify_all()

    def closed(self) -> bool:
        """Never: the page is not the one who ends."""
        return False

    def close(self) -> None:
        """Stop serving."""
        self._server.should_exit = True
        with self._news:
            self._over = True
            self._news.notify_all()
        for thread in self._threads:
            thread.join(timeout=3)
        self._socket.close()

    def _encode(self) -> None:
        import cv2

        while True:
            with self._news:
                while not self._over and (self._pending is None or not self._viewers):
                    self._news.wait(0.5)
                if self._over:
                    return
                assert self._pending is not None
                (pixels, word), self._pending = self._pending, None
            picture = cv2.cvtColor(with_word(pixels, word), cv2.COLOR_RGB2BGR)
            done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
            if done:
                self._latest = (self._latest[0] + 1, data.tobytes())

    def _app(self, port: int) -> Any:
        from starlette.applications import Starlette
        from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
        from starlette.routing import Route

        from audioreactive.studio.safety import Guard

        async def page(request: Any) -> Any:
            buttons = "".join(f'<button value="{name}">{name}</button>' for name in ON_PAGE)
            return HTMLResponse(PAGE.format(token=self.token, buttons=buttons))

        async def script(request: Any) -> Any:
            return Response(SCRIPT, media_type="text/javascript")

        async def stream(request: Any) -> Any:
            if self._viewers >= MOST_VIEWERS:
                return PlainTextResponse(f"{MOST_VIEWERS} viewers are the most", 503)
            return StreamingResponse(self._pictures(), media_type=f"multipart/x-mixed-replace; boundary={BOUNDARY}")

        async def act(request: Any) -> Any:
            name = request.path_params["name"]
            if name not in ON_PAGE:
                return PlainTextResponse("there is no such action", 404)
            self._deck.ask(name)
            return PlainTextResponse("done")

        routes = [
            Route("/", page),
            Route("/remote.js", script),
            Route("/stream", stream),
            Route("/act/{name}", act, methods=["POST"]),
        ]
        return Guard(Starlette(routes=routes), self.token, port)

    async def _pictures(self) -> AsyncIterator[bytes]:
        self._viewers += 1
        seen = 0
        try:
            while not self._over and not self._server.should_exit:
                number, data = self._latest
                if number == seen:
                    await asyncio.sleep(0.004)
                    continue
                seen = number
                head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                yield head.encode() + data + b"\r\n"
        finally:
            self._viewers -= 1
