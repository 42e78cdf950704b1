"""The project that is open, the one that is being opened, and the songs that could be: all inside named folders."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from audioreactive.errors import AudioReactiveError, Cancelled, printable
from audioreactive.progress import Progress, Silent
from audioreactive.studio.project import project_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from fractions import Fraction

    from audioreactive.patches.preset import Preset
    from audioreactive.progress import Advance
    from audioreactive.studio.bench import Bench

SOUNDS: Final = frozenset(
    (".aac", ".aif", ".aiff", ".flac", ".m4a", ".mp3", ".oga", ".ogg", ".opus", ".wav", ".wma", ".mp4", ".mka")
)
"""Endings of files that are looked for."""
MOST_LOOKED: Final = 20_000
"""Most files that are looked at."""
DEEPEST: Final = 4
"""Folders within folders that are looked into."""
MOST_FOUND: Final = 200
"""Most songs that a page is told of."""
ENDING: Final = 60.0
"""Most seconds for which the end of the opening is waited for: a step of the analysis takes some."""
READING: Final = 0.5
"""Seconds in which a page is told why the studio ends."""


@dataclass(frozen=True)
class Opening:
    """A song, and how its project is opened."""

    song: Path
    preset: Preset | None = None
    fps: Fraction | None = None
    stems: Mapping[str, Path] | None = None
    track: int | None = None


@dataclass(frozen=True)
class Found:
    """A song inside the named folders."""

    song: Path
    place: str
    """Its folder, as a person reads it."""
    edited: float | None
    """When its project was saved, in seconds since 1970; None if it has none."""

    def described(self) -> dict[str, Any]:
        """Return the song for the page."""
        return {"name": printable(self.song.name, 200), "place": printable(self.place, 200), "edited": self.edited}


def found_songs(folders: Sequence[Path]) -> list[Found]:
    """Look for songs in folders: those with a project first, the one that was saved last at the head."""
    found: dict[Path, Found] = {}
    for folder in folders:
        for song in _songs(folder):
            within = song.parent.relative_to(folder)
            place = folder.name if within == Path() else f"{folder.name}/{within.as_posix()}"
            found.setdefault(song, Found(song, place or "/", _saved(song)))
    return sorted(found.values(), key=lambda one: (-(one.edited or 0), one.place, one.song.name))[:MOST_FOUND]


def _songs(folder: Path) -> Iterator[Path]:
    waiting, looked = deque([(folder, 0)]), 0
    while waiting:
        here, depth = waiting.popleft()
        try:
            with os.scandir(here) as entries:
                for entry in entries:
                    looked += 1
                    if looked > MOST_LOOKED:
                        return
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        if depth < DEEPEST:
                            waiting.append((here / entry.name, depth + 1))
                    elif Path(entry.name).suffix.lower() in SOUNDS and entry.is_file():
                        yield here / entry.name
        except OSError:  # a folder that may not be read, or that has gone meanwhile
            continue


def _saved(song: Path) -> float | None:
    try:
        return project_file(song).stat().st_mtime
    except (OSError, ValueError):
        return None


class Projects:
    """The one project that is open, or is being opened in a thread of its own.

    Args:
        make: opens a project, with progress; called in that thread.
        folders: folders inside which a page may choose songs, the first one at the head.
        shown: receives the progress, too.
    """

    def __init__(
        self, make: Callable[[Opening, Progress], Bench], folders: Sequence[Path], shown: Progress | None = None
    ) -> None:
        self._make, self._shown = make, shown or Silent()
        self.folders = tuple(folders)
        self.bench: Bench | None = None
        """The open project."""
        self.failure: Exception | None = None
        """Why the last song could not be opened."""
        self.needed_failed: Exception | None = None
        """Why the song that was needed could not be opened."""
        self.changed: Callable[[], None] = lambda: None
        """Called from any thread whenever something has changed."""
        self.give_up: Callable[[], None] = lambda: None
        """Called once a song that is needed could not be opened."""
        self._song: Path | None = None
        self._stage, self._share = "", 0.0
        self._cancelled = threading.Event()
        self._closing = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def opening(self) -> bool:
        """Whether a project is being opened."""
        return self._song is not None

    def open(self, opening: Opening, *, needed: bool = False) -> None:
        """Begin to open a project, unless there is one.

        Args:
            opening: the song.
            needed: give up if it cannot be opened.
        """
        if self.opening or self.bench is not None:
            return
        self._song, self.failure = opening.song, None
        self._stage, self._share = "beginning", 0.0
        self._thread = threading.Thread(target=self._open, args=(opening, needed), name="opening", daemon=True)
        self._thread.start()
        self.changed()

    def leave(self) -> None:
        """Close the project, so that another can be opened."""
        with self._closing:  # who comes second waits until it is closed
            bench, self.bench = self.bench, None
            if bench is not None:
                bench.close()

    def close(self) -> None:
        """Close the project, or stop opening it."""
        self._cancelled.set()
        if self._thread is not None:
            self._thread.join(timeout=ENDING)
        self.leave()

    def described(self) -> dict[str, Any]:
        """Return how far the opening is, for the page."""
        song, failure = self._song, self.failure
        told = None
        if isinstance(failure, AudioReactiveError | OSError):
            told = printable(str(failure), 500)
        elif failure is not None:
            told = f"the project cannot be opened ({type(failure).__name__})"
        return {
            "opening": song and {"song": printable(song.name, 200), "stage": self._stage, "share": self._share},
            "failed": told,
        }

    def _open(self, opening: Opening, needed: bool) -> None:
        try:
            bench = self._make(opening, Relayed(self._shown, self._tell, self._cancelled.is_set))
            if self._cancelled.is_set():
                bench.close()
            else:
                self.bench = bench
        except Exception as error:  # told to the page, or raised by the command
            self.failure = error
        self._song = None
        self.changed()
        if self.failure is not None and needed and not self._cancelled.is_set():
            self.needed_failed = self.failure
            time.sleep(READING)
            self.give_up()

    def _tell(self, stage: str, share: float) -> None:
        self._stage, self._share = stage, share
        self.changed()


class Relayed:
    """Progress that is shown where it was, and told as (stage, share); the work ends when it is cancelled.

    Args:
        shown: receives all of it.
        tell: receives the stage and the share of it that is done.
        cancelled: whether the work is to end.
    """

    def __init__(
        self, shown: Progress, tell: Callable[[str, float], None], cancelled: Callable[[], bool] = lambda: False
    ) -> None:
        self._shown, self._tell, self._cancelled = shown, tell, cancelled

    def say(self, message: str) -> None:
        """Pass a message on."""
        self._shown.say(message)

    @contextlib.contextmanager
    def track(self, stage: str, total: int, unit: str) -> Iterator[Advance]:
        """Track a stage.

        Raises:
            Cancelled: the work is to end.
        """
        done = 0
        self._tell(stage, 0.0)
        with self._shown.track(stage, total, unit) as advance:

            def both(count: int) -> None:
                nonlocal done
                if self._cancelled():
                    raise Cancelled(f"cancelled while {stage}")
                done += count
                advance(count)
                self._tell(stage, min(done / max(total, 1), 1.0))

            yield both
