"""Every edit of a project, in a file that only grows, so that undo and redo have no end and survive a restart.

A line is a checksum and JSON: the first holds a whole document, the others an edit (what changed, forwards and
backwards), a step back or forward, or a remark that the preset was saved. A line that was cut short by a crash fails
its checksum; it and what follows are dropped.
"""

from __future__ import annotations

import json
import os
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

from audioreactive._support.files import create, is_plain, open_regular, write_aside
from audioreactive.errors import PresetError
from audioreactive.studio.deltas import Delta, changed, difference
from audioreactive.studio.document import Document, document_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import BinaryIO

LONGEST_LINE: Final = 1 << 24
"""Most bytes of a line; a document with 64 sections and 256 takes has a third of it."""
MOST_BYTES: Final = 1 << 28
"""Most bytes of a journal that are read."""
COMPACTED: Final = 1 << 26
"""Bytes beyond which a journal is begun anew when it is opened; the older edits stay in a file beside it."""


@dataclass(frozen=True)
class Edit:
    """One edit, which can be undone."""

    label: str
    """Words for the person who made it."""
    forwards: Delta
    backwards: Delta


@dataclass
class History:
    """Edits in order, and how many of them are done."""

    data: dict[str, Any]
    """The document as it is now, as plain data."""
    edits: list[Edit] = field(default_factory=list)
    done: int = 0
    saved: set[str] = field(default_factory=set)
    """Digests of the preset files that were written from this history."""

    @property
    def undoable(self) -> str | None:
        """Label of the edit that would be undone."""
        return self.edits[self.done - 1].label if self.done else None

    @property
    def redoable(self) -> str | None:
        """Label of the edit that would be done again."""
        return self.edits[self.done].label if self.done < len(self.edits) else None

    def replay(self, entry: dict[str, Any]) -> None:
        """Take over one line of the journal.

        Raises:
            PresetError: the line does not fit.
        """
        if "do" in entry:
            edit = Edit(str(entry["label"])[:200], entry["do"], entry["undo"])
            self.data = changed(self.data, edit.forwards)
            self.edits[self.done :] = [edit]
            self.done += 1
        elif entry.get("step") == "undo" and self.done:
            self.done -= 1
            self.data = changed(self.data, self.edits[self.done].backwards)
        elif entry.get("step") == "redo" and self.done < len(self.edits):
            self.data = changed(self.data, self.edits[self.done].forwards)
            self.done += 1
        elif isinstance(entry.get("saved"), str):
            self.saved.add(entry["saved"])
        else:
            raise PresetError("the journal has a line that says nothing")


class Journal:
    """The journal of one project, open for writing.

    Args:
        path: the file; it is created if it is missing.
        first: makes the document to begin with, if there is no journal that can be read.
    """

    def __init__(self, path: Path, first: Callable[[], Document]) -> None:
        self._path = path
        found = read_history(path)
        self.recovered = found is not None
        """Whether there was a journal to go on with."""
        if found is not None:
            history, length, size = found
            self.history = history
            self.document = document_of(history.data)
            if size <= COMPACTED and is_plain(path):  # else it is written anew, and its other name keeps what it has
                if length < size:  # a line that was cut short
                    os.truncate(path, length)
                self._file = _open_to_append(path)
                return
        else:
            self.document = first()
            self.history = History(self.document.data())
        if os.path.lexists(path):
            path.replace(path.with_name(f"{path.stem}.old{path.suffix}"))
        with write_aside(path) as file:
            file.write(_line({"base": self.history.data}))
        self.history = History(self.history.data, saved=self.history.saved)
        self._file = _open_to_append(path)

    def record(self, label: str, document: Document) -> bool:
        """Add an edit; returns whether it changed anything."""
        data = document.data()
        forwards = difference(self.history.data, data)
        if forwards is None:
            return False
        self._write({"label": label, "do": forwards, "undo": difference(data, self.history.data)})
        self.document = document
        return True

    def undo(self) -> bool:
        """Go back by one edit; returns whether there was one."""
        return self.history.done > 0 and self._step("undo")

    def redo(self) -> bool:
        """Do an undone edit again; returns whether there was one."""
        return self.history.done < len(self.history.edits) and self._step("redo")

    def note_saved(self, digest: str) -> None:
        """Remember that a preset file with this digest is ours."""
        if digest not in self.history.saved:
            self._write({"saved": digest})

    def sync(self) -> None:
        """Flush the file to the disk, against a power cut; against a crash of the program nothing needs to be done."""
        os.fsync(self._file.fileno())

    def exists(self) -> bool:
        """Whether the file is still where it was opened."""
        try:
            return os.path.samestat(self._path.lstat(), os.fstat(self._file.fileno()))
        except OSError:
            return False

    def restore(self) -> None:
        """Write the file again, with every edit, where somebody has deleted it."""
        history = self.history
        data = history.data
        for edit in reversed(history.edits[: history.done]):
            data = changed(data, edit.backwards)
        entries: list[dict[str, Any]] = [{"base": data}]
        entries += [{"label": one.label, "do": one.forwards, "undo": one.backwards} for one in history.edits]
        entries += [{"step": "undo"}] * (len(history.edits) - history.done)
        entries += [{"saved": digest} for digest in sorted(history.saved)]
        with write_aside(self._path) as file:
            file.writelines(map(_line, entries))
        self._file.close()
        self._file = _open_to_append(self._path)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _step(self, step: str) -> bool:
        self._write({"step": step})
        self.document = document_of(self.history.data)
        return True

    def _write(self, entry: dict[str, Any]) -> None:
        self._file.write(_line(entry))
        self._file.flush()
        self.history.replay(entry)


def read_history(path: Path) -> tuple[History, int, int] | None:
    """Read a journal: (history, bytes that could be read, bytes of the file); None if not even its start can be."""
    try:
        with open_regular(path, follow=False) as file:
            size = os.fstat(file.fileno()).st_size
            if size > MOST_BYTES:
                return None
            history: History | None = None
            length = 0
            while line := file.readline(LONGEST_LINE):
                entry = _entry(line)
                if entry is None:
                    break
                if history is None:
                    history = History(document_of(entry["base"]).data())
                else:
                    history.replay(entry)
                length += len(line)
            if history is not None:
                document_of(history.data)
    except (OSError, PresetError, KeyError, TypeError, AttributeError):
        return None
    return None if history is None else (history, length, size)


def _line(entry: dict[str, Any]) -> bytes:
    text = json.dumps(entry, separators=(",", ":"), allow_nan=False).encode()
    return b"%08x %b\n" % (zlib.crc32(text), text)


def _entry(line: bytes) -> dict[str, Any] | None:
    """Read one line; None if it is damaged or cut short."""
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text):
        return None
    try:
        entry = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def _open_to_append(path: Path) -> BinaryIO:
    if not path.exists():
        create(path).close()
    return path.open("ab")
