"""A page's connection while no project is open: how far the opening is, and songs to choose from."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

from audioreactive.studio.messages import next_text
from audioreactive.studio.projects import Opening, found_songs

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

    from audioreactive.studio.projects import Found, Projects

TOLD_EVERY: Final = 0.1
"""Seconds between two reports of the progress, at least."""
LONGEST_CHOICE: Final = 1000
"""Most characters of a message."""


class Lobby:
    """A page that waits for a project, or chooses one.

    Args:
        projects: what could be opened.
        socket: connection to the page.
        gone: set when the page has to go.
    """

    def __init__(self, projects: Projects, socket: WebSocket, gone: asyncio.Event) -> None:
        self._projects, self._socket, self._gone = projects, socket, gone
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._found: list[Found] | None = None

    def tell(self) -> None:
        """Take note that something has changed; may be called from any thread."""
        self._loop.call_soon_threadsafe(self._changed.set)

    async def run(self) -> None:
        """Serve the page until a project is open or the page goes."""
        reader = asyncio.create_task(self._read())
        gone = asyncio.create_task(self._gone.wait())
        try:
            while self._projects.bench is None and not self._gone.is_set():
                self._changed.clear()
                await self._say(await self._described())
                changed = asyncio.create_task(self._changed.wait())
                await asyncio.wait({reader, gone, changed}, return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
                if reader.done():
                    self._gone.set()
                elif self._projects.opening:
                    await asyncio.sleep(TOLD_EVERY)
        finally:
            for task in (reader, gone):
                task.cancel()
            await asyncio.gather(reader, gone, return_exceptions=True)

    async def _described(self) -> dict[str, Any]:
        projects = self._projects
        if not projects.opening:
            self._found = await self._loop.run_in_executor(None, found_songs, projects.folders)
        return {
            "type": "lobby",
            **projects.described(),
            "folders": [folder.name or "/" for folder in projects.folders],
            "songs": [] if projects.opening else [one.described() for one in self._found or ()],
        }

    async def _read(self) -> None:
        while True:
            chosen = _choice(await next_text(self._socket))
            found = self._found or []
            if chosen is None or not 0 <= chosen < len(found):
                await self._say({"type": "error", "message": "this message cannot be read: no project is open"})
            else:
                self._projects.open(Opening(found[chosen].song))

    async def _say(self, message: dict[str, Any]) -> None:
        await self._socket.send_text(json.dumps(message, separators=(",", ":")))


def _choice(text: str) -> int | None:
    """Read the number of the song that a page has chosen; None if it says something else."""
    try:
        told = json.loads(text) if len(text) <= LONGEST_CHOICE else None
    except (ValueError, RecursionError):
        return None
    number = told.get("song") if isinstance(told, dict) and told.get("type") == "open" else None
    return number if isinstance(number, int) and not isinstance(number, bool) else None
