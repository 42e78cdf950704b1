"""A project: the preset file beside a song, with its journal, its earlier generations and its uploads in a folder.

`song.studio.toml` is an ordinary preset. `.song.studio/` beside it holds `journal.jsonl`, five earlier generations of
the preset, and what was dropped into the page. The folder is locked while a studio has the project open.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from filelock import FileLock, Timeout

from audioreactive._support.files import (
    PrivateFolder,
    described,
    is_plain,
    read_regular,
    remove,
    shortened,
    write_aside,
)
from audioreactive.errors import AudioReactiveError, PresetError, RenderError
from audioreactive.patches.own_pictures import accompany, adopt
from audioreactive.patches.presets import LARGEST_PRESET, parse_preset, preset_text
from audioreactive.studio.document import Document
from audioreactive.studio.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable

    from audioreactive.patches.preset import Preset

GENERATIONS: Final = 5
"""Earlier versions of the preset file that are kept."""
STEMS: Final = "stems.json"
MOST_STEMS_BYTES: Final = 1 << 16
_LONGEST_NAME: Final = 200
"""Bytes of the song's name that the project's names repeat."""


def project_file(song: Path) -> Path:
    """Return the path of a song's project: the preset file beside it."""
    return song.with_name(f"{shortened(song.stem, _LONGEST_NAME)}.studio.toml")


def project_folder(path: Path) -> Path:
    """Return the folder beside a project's preset file."""
    return path.with_name(f".{path.name.removesuffix('.toml')}")


def kept_stems(folder: Path) -> dict[str, Path]:
    """Return the stems that were dropped into the page before, name -> file; what cannot be read is left out."""
    try:
        told = json.loads(read_regular(folder / STEMS, MOST_STEMS_BYTES, follow=False))
    except (OSError, ValueError, RecursionError):
        return {}
    found = {}
    for name, file in told.items() if isinstance(told, dict) else ():
        if name.isidentifier() and isinstance(file, str) and file == Path(file).name and is_plain(folder / file):
            found[name] = folder / file
    return found


def keep_stem(folder: Path, name: str, path: Path) -> None:
    """Remember a stem that lies in the project's folder."""
    told = {**{known: file.name for known, file in kept_stems(folder).items()}, name: path.name}
    with write_aside(folder / STEMS) as file:
        file.write(json.dumps(told).encode() + b"\n")


class Project:
    """An open project; a context manager.

    Args:
        path: the preset file.
        first: makes the preset of a project that is new.

    Raises:
        AudioReactiveError: another studio has the project open, or its folder cannot be used.
        PresetError: there is a preset file that cannot be read, and no journal.
    """

    def __init__(self, path: Path, first: Callable[[], Preset]) -> None:
        self.path = path
        self.folder = project_folder(path)
        self._take()
        try:
            self._open(first)
        except BaseException:
            self._let_go()
            raise

    def _take(self) -> None:
        """Open the folder, made if it is missing, and lock it."""
        try:
            self._folder = PrivateFolder(self.folder)
        except OSError as error:
            raise AudioReactiveError(
                f"the project's folder {str(self.folder)!r} cannot be used: {described(error)}"
            ) from error
        lock = self.folder / "lock"
        self._lock = FileLock(lock, blocking=False, thread_local=False)  # closed by any thread
        try:
            if not is_plain(lock):  # a link that came with an archive: some versions of filelock empty what it leads to
                remove(lock)
            self._lock.acquire()
        except Timeout:
            self._folder.close()
            raise AudioReactiveError(
                f"another studio has {str(self.path)!r} open: use its page, or stop it first"
            ) from None
        except OSError as error:
            self._folder.close()
            raise AudioReactiveError(
                f"the project's folder {str(self.folder)!r} cannot be used: {described(error)}"
            ) from error

    def _open(self, first: Callable[[], Preset]) -> None:
        text = self._text()
        given: Preset | None = None
        problem: PresetError | RenderError | None = None
        if text is not None:
            try:
                given = parse_preset(text, str(self.path))
                adopt((given.patch, *given.section_patches()), self.path.absolute().parent)
            except (PresetError, RenderError) as error:
                problem = error

        def begin() -> Document:
            if problem is not None:
                raise problem
            return Document(first() if given is None else given)

        self.journal = Journal(self.folder / "journal.jsonl", begin)
        if text is not None and given is not None and self.journal.recovered and not self._is_ours(text):
            document = self.journal.document
            self.journal.record("opened the changed file", Document(given, document.takes, document.favourites))

    @property
    def document(self) -> Document:
        """The document as it is now."""
        return self.journal.document

    def save(self) -> bool:
        """Write the preset file aside and rename it, if it has changed; returns whether it was written.

        A folder that was deleted meanwhile is made again, with every edit.
        """
        if not self.journal.exists():
            self._let_go()
            self._take()
            self.journal.restore()
        text = preset_text(self.document.preset)
        old = self._text()
        if old == text:
            return False
        self.journal.note_saved(_digest(text))
        self.journal.sync()
        if old is not None:
            self._keep(old)
        with write_aside(self.path) as file:
            file.write(text.encode())
        preset = self.document.preset
        accompany((preset.patch, *preset.section_patches()), self.path.absolute().parent)
        return True

    def close(self) -> None:
        """Save and close."""
        try:
            self.save()
        finally:
            self.journal.close()
            self._let_go()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _keep(self, text: str) -> None:
        """Keep an earlier version as the first generation; the oldest one goes."""
        for number in range(GENERATIONS - 1, 0, -1):
            earlier = self._generation(number)
            if earlier.exists():
                earlier.replace(self._generation(number + 1))
        with write_aside(self._generation(1)) as file:
            file.write(text.encode())

    def _generation(self, number: int) -> Path:
        return self.folder / f"generation-{number}.toml"

    def _is_ours(self, text: str) -> bool:
        return text == preset_text(self.document.preset) or _digest(text) in self.journal.history.saved

    def _text(self) -> str | None:
        try:
            return read_regular(self.path, LARGEST_PRESET).decode("utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise PresetError(f"the project {str(self.path)!r} cannot be read: {error}") from None

    def _let_go(self) -> None:
        self._lock.release()
        self._folder.close()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
