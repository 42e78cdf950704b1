"""An open project and all that works on it: a queue of videos, threads of edits and of slow questions, a page."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from audioreactive.patches.presets import preset_text
from audioreactive.studio.queue_file import keep_jobs, kept_jobs
from audioreactive.studio.renders import Renders
from audioreactive.studio.session import Session

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence
    from pathlib import Path

    from starlette.websockets import WebSocket

    from audioreactive.studio.studio import Studio

QUEUE: Final = "queue.json"


class Bench:
    """An open project at work.

    Args:
        studio: the project.
        folders: folders in which videos may be saved, besides the song's.
    """

    def __init__(self, studio: Studio, folders: Sequence[Path] = ()) -> None:
        self.studio = studio
        self.planner = ThreadPoolExecutor(1, "planner")
        self._thinker = ThreadPoolExecutor(1, "thinker")
        self._session: Session | None = None
        home = studio.path.parent
        allowed = (home, *(folder for folder in folders if folder != home))
        queue = studio.project.folder / QUEUE
        self.renders = Renders(
            allowed, self._tell_renders, jobs=kept_jobs(queue, allowed), keep=lambda jobs: keep_jobs(queue, jobs)
        )
        self.renders.use(lambda: (studio.song.path, studio.song.track, studio.song.stems, studio.loaded, studio.fps))

    async def serve(self, socket: WebSocket, gone: asyncio.Event) -> bool:
        """Serve a page until it goes; returns whether it wants another project."""
        session = self._session = Session(self.studio, self.renders, socket, self.planner, self._thinker, gone)
        try:
            await session.run()
        finally:
            if self._session is session:  # the next page may be there already
                self._session = None
        return session.left

    def refresh(self) -> None:
        """Tell the page about the song and the document anew."""
        if self._session is not None:
            self._session.refresh()

    def preset(self) -> str:
        """Return the text of the preset as it is."""
        return preset_text(self.studio.state.document.preset)

    def take_recipe(self, path: Path, name: str) -> bool:
        """Take the recipe of an uploaded preset or video; returns whether the file is kept."""
        self.studio.open_recipe(path, name)
        return False

    def take_stem(self, path: Path, name: str) -> bool:
        """Take an uploaded stem; returns whether the file is kept."""
        self.studio.add_stem(path, name)
        return True

    def close(self) -> None:
        """End all work, save and close the project."""
        self.renders.stop()
        self.planner.shutdown(wait=True)
        self._thinker.shutdown(wait=False, cancel_futures=True)
        self.studio.close()

    def _tell_renders(self) -> None:
        session = self._session
        if session is not None:
            with contextlib.suppress(RuntimeError):
                session.tell_renders()
