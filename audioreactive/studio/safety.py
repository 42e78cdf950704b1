"""Who may ask: only pages that this program has sent, opened by whoever has its address.

A web page that a person visits elsewhere can make their browser send requests to 127.0.0.1, and a name server can
claim that 127.0.0.1 is the address of its own site. So every request must name this program as its host and, where it
tells one, as its origin; and it must bring the token of the address that was printed.
"""

from __future__ import annotations

import hmac
import socket
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from audioreactive.errors import RenderError

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
"""Names of this computer that no other one can use."""
LONGEST_MESSAGE: Final = 1 << 17
"""Most characters of a message."""
LONGEST_PASSAGE: Final = 300
"""Most seconds of sound that are sent at once."""
OPEN_PATHS: Final = ("/page/",)
"""Paths without secrets, which need no token."""
HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; style-src 'self' 'unsafe-inline'; "
        b"connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    (b"cache-control", b"no-store"),
)


def listening_socket(port: int, host: str = LOOPBACK[0]) -> socket.socket:
    """Open a socket, by default on this computer alone; port 0 takes a free one.

    Raises:
        RenderError: another program uses the port, or this computer has no such address.
    """
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
        found.listen(64)  # a browser that is opened at once waits until there is a page
    except OSError as error:
        found.close()
        at = "" if host in LOOPBACK else f" of {host}"
        raise RenderError(
            f"the port {port}{at} cannot be used ({error.strerror}): choose another with --port"
        ) from error
    return found


class Guard:
    """Refuses requests that do not come from the program's own page.

    Args:
        app: the application behind it.
        token: the secret of the address.
        port: port on which the program listens.
        names: names and addresses by which it is asked.
    """

    def __init__(self, app: ASGIApp, token: str, port: int, names: Collection[str] = LOOPBACK) -> None:
        self._app, self._token = app, token
        self._hosts = {f"{name}:{port}" for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it with 403."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        if not self._allowed(scope):
            await _refuse(scope, receive, send)
            return

        async def with_headers(message):  # type: ignore[no-untyped-def]
            if message["type"] == "http.response.start":
                own = list(message.get("headers", ()))
                named = {name.lower() for name, _ in own}
                message["headers"] = [*own, *(each for each in HEADERS if each[0] not in named)]
            await send(message)

        await self._app(scope, receive, with_headers)

    def _allowed(self, scope: Scope) -> bool:
        headers: dict[bytes, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.lower(), []).append(value.decode("latin-1"))
        host = headers.get(b"host", [])
        if len(host) != 1 or host[0].lower() not in self._hosts:
            return False
        for origin in headers.get(b"origin", []):
            if origin.lower() != f"http://{host[0].lower()}":
                return False
        if scope["type"] == "websocket" and b"origin" not in headers:
            return False
        asked_by = headers.get(b"sec-fetch-site", ["same-origin"])[0]
        if asked_by not in ("same-origin", "none") and scope["path"] != "/":  # a link may lead to the page itself
            return False
        if scope["type"] == "http" and scope["path"].startswith(OPEN_PATHS):
            return scope["method"] in ("GET", "HEAD")
        given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [])
        return len(given) == 1 and hmac.compare_digest(given[0].encode(), self._token.encode())


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 4403})
        return
    text = b"This page is opened by the whole address that the program has printed.\n"
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(text))]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": text})
