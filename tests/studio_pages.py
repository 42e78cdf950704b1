"""A running studio as tests see it: its port, a page's end of the connection, and a short song."""

from __future__ import annotations

import contextlib
import json
import struct
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
from sounds import music

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from audioreactive.studio.projects import Projects
    from audioreactive.studio.studio import Studio

SECONDS = 12
PATIENCE = 900
"""Seconds for which what must come is waited for: a busy machine may take its time."""
RATE = 24_576


@dataclass
class Running:
    """A studio behind a port."""

    studio: Studio
    projects: Projects
    port: int
    token: str
    song: Path
    stop: Callable[[], None]
    """Ends the server and closes the project; harmless the second time."""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/?token={self.token}"


@dataclass
class Page:
    """A page's end of the connection."""

    socket: Any
    frames: list[tuple[int, int, bytes]] = field(default_factory=list)

    def send(self, **message: Any) -> None:
        self.socket.send(json.dumps(message))

    def until(self, kind: str, seconds: float = PATIENCE, **values: Any) -> dict[str, Any]:
        """Take messages until one of a kind, with these values, arrives; frames are collected."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            told = self.socket.recv(timeout=left)
            if isinstance(told, bytes):
                clip, frame = struct.unpack("<II", told[:8])
                self.frames.append((clip, frame, told[8:]))
                if kind == "frame":
                    return {"clip": clip, "frame": frame}
                continue
            message = json.loads(told)
            if message["type"] == kind and all(message.get(key) == value for key, value in values.items()):
                return message
        raise TimeoutError(f"no {kind} came")

    def until_frames(self, count: int) -> None:
        """Take messages until so many frames are there, and a little longer, in case there are more."""
        while len(self.frames) < count:
            self.until("frame")
        self.quiet(0.2)

    def quiet(self, seconds: float = PATIENCE) -> None:
        """Take what comes for a while, or until the connection ends."""
        with contextlib.suppress(TimeoutError):
            self.until("nothing", seconds)


def write_song(path: Path, seconds: float = SECONDS) -> Path:
    """Two kinds of part in turn: chords with a beat, and calm noise with a tone."""
    sound = music(seconds)
    third = len(sound) // 3
    sound[third : 2 * third] *= 0.25
    soundfile.write(path, np.stack([sound, sound[::-1]], axis=1), RATE, subtype="PCM_16")
    return path


@contextlib.contextmanager
def connected(running: Running, **query: str) -> Iterator[Page]:
    """Connect as a page does; the page before may still be on its way out."""
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    asked = "&".join(f"{key}={value}" for key, value in {"token": running.token, **query}.items())
    origin = f"http://127.0.0.1:{running.port}"
    end = time.monotonic() + PATIENCE
    while True:
        with connect(f"ws://127.0.0.1:{running.port}/socket?{asked}", origin=origin, max_size=1 << 24) as socket:
            page = Page(socket)
            try:
                page.until("renders")
            except ConnectionClosed:
                if time.monotonic() > end or "once" in query:
                    raise
                time.sleep(0.05)
                continue
            yield page
            return


class FakeBench:
    """A project that tells its page so, and that the page leaves at once."""

    def __init__(self) -> None:
        self.closed = False

    async def serve(self, socket: Any, gone: asyncio.Event) -> bool:
        await socket.send_text('{"type": "song"}')
        await socket.receive_text()
        return True

    def close(self) -> None:
        self.closed = True
