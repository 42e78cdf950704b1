"""A studio that is running, with a short song."""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest
from studio_pages import Page, Running, connected, write_song

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from audioreactive.studio.projects import Projects

pytest.importorskip("starlette", reason="the studio's packages are not installed")
pytest.importorskip("uvicorn", reason="the studio's packages are not installed")


@pytest.fixture(scope="session")
def run_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Running]]:
    """`run_studio(song)` opens a project and serves it."""
    from audioreactive.generators import open_generator
    from audioreactive.pipeline import choose
    from audioreactive.studio import painting, session
    from audioreactive.studio.bench import Bench
    from audioreactive.studio.projects import Opening, Projects
    from audioreactive.studio.safety import listening_socket
    from audioreactive.studio.server import App, server_of
    from audioreactive.studio.studio import Studio

    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    stack = contextlib.ExitStack()
    small = stack.enter_context(pytest.MonkeyPatch.context())  # what is shown is painted all the time
    small.setattr(painting, "HEIGHTS", (144,))
    small.setattr(painting, "FINE", 1)
    small.setattr(session, "TILE_HEIGHT", 72)
    loaded = open_generator(None, device="cpu")

    def run(song: Path) -> Running:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(choose, "CANDIDATES", 2)  # of the first recipe, which the tests replace
            studio = Studio(Opening(song), loaded)
        listening = listening_socket(0)
        port = listening.getsockname()[1]
        projects = Projects(lambda opening, progress: Bench(Studio(opening, loaded, progress)), [song.parent])
        projects.bench = Bench(studio)
        app = App(projects, "secret", port)
        server = server_of(app.app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()

        stopped = threading.Event()

        def stop() -> None:
            if stopped.is_set():
                return
            stopped.set()
            server.should_exit = True
            thread.join()
            listening.close()
            projects.close()

        stack.callback(stop)
        return Running(studio, projects, port, "secret", song, stop)

    with stack:
        yield run


@pytest.fixture(scope="session")
def running(run_studio: Callable[..., Running], tmp_path_factory: pytest.TempPathFactory) -> Running:
    """A studio that this process' tests share."""
    return run_studio(write_song(tmp_path_factory.mktemp("studio") / "song.wav"))


@pytest.fixture
def page(running: Running) -> Iterator[Page]:
    """A page that is connected."""
    with connected(running) as page:
        yield page


@pytest.fixture
def serve_projects() -> Any:
    """`serve_projects(projects)` returns the address of their WebSocket, and its origin."""
    from audioreactive.studio.safety import listening_socket
    from audioreactive.studio.server import App, server_of

    ends: list[Callable[[], None]] = []

    def serve(projects: Projects) -> tuple[str, str]:
        listening = listening_socket(0)
        port = listening.getsockname()[1]
        server = server_of(App(projects, "secret", port).app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()

        def end() -> None:
            server.should_exit = True
            thread.join()
            listening.close()

        ends.append(end)
        return f"ws://127.0.0.1:{port}/socket?token=secret", f"http://127.0.0.1:{port}"

    yield serve
    for end in ends:
        end()
