"""The `.arc` file: a header in canonical JSON and some sections, each with its size and digest.

Layout, whole numbers little-endian:

- 8 bytes: `MAGIC`, whose control characters show transfers in text mode;
- 2 bytes: version, now 1; 2 bytes: zero;
- 4 bytes: N, the length of the header, at most `LONGEST_HEADER`;
- 32 bytes: SHA-256 of the header;
- N bytes: the header, JSON in ASCII with sorted keys and without spaces, so that equal headers are equal bytes;
- the sections one after the other, in the order of the header's list `sections`, up to the end of the file.

All sizes are checked against the length of the file before anything is read, and a section's digest when it is read.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from audioreactive._support.files import open_regular, write_aside
from audioreactive.errors import CodecError, shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from io import BufferedReader
    from pathlib import Path

MAGIC: Final = b"\x8aARC\r\n\x1a\n"
VERSION: Final = 1
LONGEST_HEADER: Final = 1 << 16
"""Most bytes of a header: a hundred times what one has."""
MOST_SECTIONS: Final = 16
LARGEST_FILE: Final = 4 << 30
_HEAD: Final = struct.Struct("<8sHHI32s")
_NAME: Final = re.compile(r"[a-z_]{1,24}")


@dataclass(frozen=True)
class Section:
    """Place of a section in the file."""

    name: str
    offset: int
    size: int
    sha256: str


@dataclass(frozen=True)
class Archive:
    """A file whose header has been read and checked; sections are read on request."""

    path: Path
    header: Mapping[str, Any]
    sections: tuple[Section, ...]

    def has(self, name: str) -> bool:
        """Whether there is a section of this name."""
        return any(section.name == name for section in self.sections)

    def read(self, name: str, most: int) -> bytes:
        """Read a section of at most `most` bytes.

        Raises:
            CodecError: it is missing, longer, or damaged.
        """
        section = self._section(name)
        if section.size > most:
            raise CodecError(
                f"{str(self.path)!r} has a section {name!r} of {section.size} bytes; it has at most {most}"
            )
        with _opened(self.path) as file:
            file.seek(section.offset)
            data = file.read(section.size)
        if hashlib.sha256(data).hexdigest() != section.sha256:
            raise CodecError(f"{str(self.path)!r} is damaged: its section {name!r} has another digest; get it again")
        return data

    def copy(self, name: str, goal: Path) -> None:
        """Write a section of any length to a new file, a piece at a time.

        Raises:
            CodecError: as `read`; then no file is left.
        """
        section = self._section(name)
        digest, left = hashlib.sha256(), section.size
        with write_aside(goal) as out, _opened(self.path) as file:
            file.seek(section.offset)
            while left and (piece := file.read(min(left, 1 << 20))):
                digest.update(piece)
                out.write(piece)
                left -= len(piece)
            if digest.hexdigest() != section.sha256:
                raise CodecError(
                    f"{str(self.path)!r} is damaged: its section {name!r} has another digest; get it again"
                )

    def _section(self, name: str) -> Section:
        for section in self.sections:
            if section.name == name:
                return section
        raise CodecError(f"{str(self.path)!r} has no section {name!r}, which its kind needs: it was not made by pack")


def archive_bytes(header: Mapping[str, Any], sections: Mapping[str, bytes]) -> bytes:
    """Make the content of a file; the header must not have a key `sections`."""
    listed = [
        {"bytes": len(data), "name": name, "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in sections.items()
    ]
    text = _canonical({**header, "sections": listed})
    if len(text) > LONGEST_HEADER or len(sections) > MOST_SECTIONS:
        raise ValueError(f"a header of {len(text)} bytes and {len(sections)} sections is too large")
    head = _HEAD.pack(MAGIC, VERSION, 0, len(text), hashlib.sha256(text).digest())
    return b"".join([head, text, *sections.values()])


def write_archive(path: Path, header: Mapping[str, Any], sections: Mapping[str, bytes]) -> int:
    """Write a file, which gets its name only when it is whole; returns its size in bytes."""
    data = archive_bytes(header, sections)
    with write_aside(path) as file:
        file.write(data)
    return len(data)


def open_archive(path: Path) -> Archive:
    """Read and check a file's header.

    Raises:
        CodecError: it is missing, is no such file, is cut off, or its header does not fit it.
    """
    with _opened(path) as file:
        total = os.fstat(file.fileno()).st_size
        head = file.read(_HEAD.size)
        if not head.startswith(MAGIC):
            raise CodecError(
                f"{str(path)!r} is no .arc file: it does not begin as one; 'audioreactive pack' makes them"
            )
        if len(head) < _HEAD.size:
            raise CodecError(f"{str(path)!r} is cut off after {len(head)} bytes; get it again")
        _, version, zero, length, digest = _HEAD.unpack(head)
        if version != VERSION or zero:
            raise CodecError(f"{str(path)!r} has version {version}; this program reads version {VERSION}: update it")
        if length > LONGEST_HEADER or _HEAD.size + length > total or total > LARGEST_FILE:
            raise CodecError(f"{str(path)!r} has {total} bytes and claims a header of {length}; get it again")
        text = file.read(length)
    if hashlib.sha256(text).digest() != digest:
        raise CodecError(f"{str(path)!r} is damaged: its header has another digest; get it again")
    header = _parsed(text, path)
    return Archive(path, header, _placed(header, _HEAD.size + length, total, path))


def _parsed(text: bytes, path: Path) -> dict[str, Any]:
    try:
        header = json.loads(text)
        if isinstance(header, dict) and _canonical(header) == text:
            return header
    except (ValueError, RecursionError):
        pass
    raise CodecError(f"the header of {str(path)!r} is no canonical JSON: it was not made by pack")


def whole(*numbers: object) -> bool:
    """Whether all of these are whole numbers; truth values are none, though Python counts them among them."""
    return all(type(number) is int for number in numbers)


def _placed(header: Mapping[str, Any], start: int, total: int, path: Path) -> tuple[Section, ...]:
    listed = header.get("sections")
    if not isinstance(listed, list) or len(listed) > MOST_SECTIONS:
        raise CodecError(f"the header of {str(path)!r} lists no sections, or more than {MOST_SECTIONS}")
    placed: list[Section] = []
    for entry in listed:
        match entry:
            case {"name": str(name), "bytes": int(size), "sha256": str(digest), **rest} if (
                not rest and whole(size) and 0 <= size <= total and _NAME.fullmatch(name)
            ):
                placed.append(Section(name, start, size, digest))
                start += size
            case _:
                raise CodecError(f"the header of {str(path)!r} lists a section {shown(entry)}, which is none")
    if start != total or len({section.name for section in placed}) != len(placed):
        raise CodecError(f"{str(path)!r} has {total} bytes and should have {start}: it is cut off or was changed")
    return tuple(placed)


def _canonical(header: Mapping[str, Any]) -> bytes:
    return json.dumps(header, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def _opened(path: Path) -> BufferedReader:
    try:
        return open_regular(path)
    except OSError as error:
        raise CodecError(f"{str(path)!r} cannot be read: {error.strerror}") from None
