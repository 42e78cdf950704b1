"""What the processes of a run share is made by the first that asks, and by the next if that one failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from once import FOLDER, made_once

if TYPE_CHECKING:
    from pathlib import Path


def test_it_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    calls: list[Path] = []

    def make(path: Path) -> None:
        calls.append(path)
        path.write_text("half")
        if len(calls) == 1:
            raise KeyboardInterrupt
        path.write_text("whole")

    with pytest.raises(KeyboardInterrupt):
        made_once("a", make)
    for _ in range(2):
        assert made_once("a", make).read_text() == "whole"
    assert len(calls) == 2
