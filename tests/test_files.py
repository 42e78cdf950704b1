"""Files that have their name only when they are whole."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from audioreactive.files import write_aside

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("stem", ["a" * 250, "ü" * 120, "🎵" * 62], ids=["ascii", "two bytes", "four bytes"])
def test_the_longest_names_can_be_written(tmp_path: Path, stem: str) -> None:
    path = tmp_path / f"{stem}.svg"
    with write_aside(path) as partial:
        partial.write_text("whole")
        assert not path.exists() and partial.suffix == ".svg"
    assert [item.read_text() for item in tmp_path.iterdir()] == ["whole"] and path.exists()


def test_bytes_are_on_the_disk_before_they_have_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a power cut leaves the name, and nothing in it, where an older file was."""
    path, brought = tmp_path / "journal", []
    path.write_text("old")
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        brought.append((os.fstat(descriptor).st_size, path.read_text()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    with write_aside(path) as partial:
        partial.write_text("newer")
    assert brought == [(5, "old")] and path.read_text() == "newer"


def test_a_body_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), write_aside(path) as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == [path] and path.read_text() == "old"
