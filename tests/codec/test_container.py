"""The file: what is written is read, and nothing else is."""

from __future__ import annotations

import hashlib
import json
import struct
from typing import TYPE_CHECKING, Any

import pytest

from audioreactive.codec.container import MAGIC, archive_bytes, open_archive, write_archive
from audioreactive.errors import CodecError

if TYPE_CHECKING:
    from pathlib import Path

HEADER = {"kind": "network", "picture": {"width": 3}}
SECTIONS = {"first": b"abc" * 1000, "empty": b"", "second": b"xyz"}


def test_sections_come_back(tmp_path: Path) -> None:
    size = write_archive(tmp_path / "a.arc", HEADER, SECTIONS)
    archive = open_archive(tmp_path / "a.arc")
    assert size == (tmp_path / "a.arc").stat().st_size
    assert archive.header["kind"] == "network" and archive.header["picture"] == {"width": 3}
    assert {name: archive.read(name, 3000) for name in SECTIONS} == SECTIONS
    archive.copy("first", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == SECTIONS["first"]


def test_equal_contents_are_equal_bytes() -> None:
    assert archive_bytes({"a": 1, "b": 2}, SECTIONS) == archive_bytes({"b": 2, "a": 1}, SECTIONS)


def test_every_bit_counts(tmp_path: Path) -> None:
    data = archive_bytes(HEADER, {"first": b"abc", "second": b"xyz"})
    path = tmp_path / "a.arc"
    for place in range(8 * len(data)):
        changed = bytearray(data)
        changed[place // 8] ^= 1 << place % 8
        path.write_bytes(changed)
        with pytest.raises(CodecError):
            archive = open_archive(path)
            for section in archive.sections:
                archive.read(section.name, 100)


def test_no_part_of_a_file_passes_as_one(tmp_path: Path) -> None:
    data = archive_bytes(HEADER, {"first": b"abc"})
    for length in range(len(data)):
        (tmp_path / "a.arc").write_bytes(data[:length])
        with pytest.raises(CodecError):
            open_archive(tmp_path / "a.arc")
    (tmp_path / "a.arc").write_bytes(data + b"x")
    with pytest.raises(CodecError, match="cut off or was changed"):
        open_archive(tmp_path / "a.arc")


def made(header: Any, rest: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    return struct.pack("<8sHHI32s", MAGIC, 1, 0, len(text), hashlib.sha256(text).digest()) + text + rest


@pytest.mark.parametrize(
    "header",
    [
        [], {}, {"sections": {}}, {"sections": [{}]}, {"sections": ["x"]}, {"sections": [{"name": "a"}] * 20},
        {"sections": [{"name": "a", "bytes": -1, "sha256": ""}]},
        {"sections": [{"name": "a", "bytes": True, "sha256": ""}]},
        {"sections": [{"name": "a", "bytes": 10**30, "sha256": ""}]},
        {"sections": [{"name": "../a", "bytes": 0, "sha256": ""}]},
        {"sections": [{"name": "a", "bytes": 0, "sha256": "", "more": 1}]},
        {"sections": [{"name": "a", "bytes": 0, "sha256": ""}] * 2},
        b'{"sections": []}', b'{"sections":[],"sections":[]}', b"[" * 60_000, b'{"a":NaN,"sections":[]}', b"\xff",
    ],
)  # fmt: skip
def test_headers_of_strangers(tmp_path: Path, header: Any) -> None:
    (tmp_path / "a.arc").write_bytes(made(header))
    with pytest.raises(CodecError):
        open_archive(tmp_path / "a.arc")


def test_a_section_is_not_read_beyond_its_bound(tmp_path: Path) -> None:
    write_archive(tmp_path / "a.arc", HEADER, SECTIONS)
    archive = open_archive(tmp_path / "a.arc")
    with pytest.raises(CodecError, match="3000 bytes; it has at most 2999"):
        archive.read("first", 2999)
    with pytest.raises(CodecError, match="no section 'third'"):
        archive.read("third", 1)


def test_files_of_other_kinds(tmp_path: Path) -> None:
    with pytest.raises(CodecError, match="cannot be read"):
        open_archive(tmp_path / "none.arc")
    with pytest.raises(CodecError, match="folder"):
        open_archive(tmp_path)
    (tmp_path / "a.arc").write_bytes(b"RIFF0000WAVE")
    with pytest.raises(CodecError, match=r"no \.arc file"):
        open_archive(tmp_path / "a.arc")
