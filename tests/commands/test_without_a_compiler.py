"""A machine without a compiler, as a person meets it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from audioreactive.video import probe

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("model", "cost"), [("stylegan2", "half the speed"), ("painter:ink", "some twenty times slower")]
)
def test_a_song_is_rendered_and_one_warning_says_what_it_costs(
    song: Path, tmp_path: Path, model: str, cost: str
) -> None:
    video, programs = tmp_path / "out.mp4", tmp_path / "programs"
    programs.mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in ("CXX", "STYLEGAN_OPS")}
    environment |= {"PATH": str(programs), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    look = [
        "--model",
        model,
        "--duration",
        "0.1",
        "--fps",
        "24",
        *(["--size", "64x36"] if model != "stylegan2" else []),
    ]
    command = [sys.executable, "-m", "audioreactive", "render", str(song), "-o", str(video), *look]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    warnings = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1 and "Warning" not in done.stderr
    for words in ("no C++ compiler was found", "install g++ or clang++", "plain PyTorch", cost):
        assert words in warnings[0]
    assert probe(video).frames == 3
    assert not (tmp_path / "cache" / "stylegan_ops").exists()
