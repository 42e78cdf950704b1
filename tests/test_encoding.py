"""Texts have the same bytes everywhere: every file names its encoding, and messages fit any terminal's."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PACKAGES = ("audioreactive", "stylegan_ops", "training", "benchmarks", "fuzz", "tools")
POSITION = {"read_text": 0, "write_text": 1, "open": 2, "NamedTemporaryFile": 2, "TemporaryFile": 2, "fdopen": 3}
"""Where a call's encoding stands among its arguments without names."""


def calls_without_encoding(source: str) -> Iterator[int]:
    """Lines of calls that read or write text in whatever encoding the machine happens to have."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or any(keyword.arg in ("encoding", None) for keyword in node.keywords):
            continue
        is_method = isinstance(node.func, ast.Attribute)
        name = node.func.attr if is_method else getattr(node.func, "id", "")
        if name in ("run", "Popen", "check_output"):
            if any(keyword.arg in ("text", "universal_newlines") for keyword in node.keywords):
                yield node.lineno
        elif name in POSITION and len(node.args) <= POSITION[name]:
            words = [*node.args, *(keyword.value for keyword in node.keywords if keyword.arg == "mode")]
            modes = [word.value for word in words if isinstance(word, ast.Constant) and isinstance(word.value, str)]
            is_text = name.endswith("text") or not any(set("b") & set(mode) for mode in modes if len(mode) < 4)
            binary_by_default = name in ("NamedTemporaryFile", "TemporaryFile") and not modes
            if is_text and not binary_by_default and _opens_a_file(node, is_method):
                yield node.lineno


def _opens_a_file(node: ast.Call, is_method: bool) -> bool:
    """Not `os.open` or `tarfile.open`, and not `encoding.open(folder, name)` of ours."""
    if is_method and node.func.attr == "open":  # type: ignore[union-attr]
        owner = node.func.value  # type: ignore[union-attr]
        is_path = not node.args or (isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str))
        return is_path and not (isinstance(owner, ast.Name) and owner.id in ("os", "Image", "tarfile", "webbrowser"))
    return True


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("path.read_text()", 1),
        ("path.read_text('utf-8')", 0),
        ("path.write_text(text)", 1),
        ("path.write_text(text, 'utf-8')", 0),
        ("path.open()", 1),
        ("path.open('a')", 1),
        ("path.open('rb')", 0),
        ("open(name)", 1),
        ("open(name, 'w', encoding='utf-8')", 0),
        ("tempfile.NamedTemporaryFile('w')", 1),
        ("tempfile.TemporaryFile()", 0),
        ("subprocess.run(words, text=True)", 1),
        ("os.open(path, flags)", 0),
    ],
)
def test_calls_without_an_encoding_are_found(source: str, count: int) -> None:
    assert len(list(calls_without_encoding(source))) == count


def test_every_text_file_has_its_encoding() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        for line in calls_without_encoding(path.read_text("utf-8"))
    ]
    assert not found


ASCII = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize(
    "environment",
    [ASCII, {**ASCII, "PYTHONIOENCODING": "ascii"}, {**ASCII, "PYTHONUTF8": "1", "PYTHONIOENCODING": "ascii:strict"}],
    ids=["locale", "streams", "streams alone"],
)
def test_names_of_any_script_are_told_in_ascii(tmp_path: Path, environment: dict[str, str]) -> None:
    goal = tmp_path / "夜 ü.toml"
    calls = [(["patch", "new", "--seed", "1", "-o", goal], 0), (["render", tmp_path / "ä☃.wav"], 2)]
    if environment is ASCII:
        calls += [(["patch", "show", goal], 0), (["patch", "show", tmp_path / "ä☃"], 2)]
    for words, code in calls:
        command = [sys.executable, "-m", "audioreactive", *map(str, words)]
        done = subprocess.run(command, capture_output=True, env=environment, cwd=tmp_path)
        assert done.returncode == code, done.stderr
        assert b"Traceback" not in done.stderr
        if words[1] == "new":
            assert done.stdout.strip() in (os.fsencode(goal), str(goal).encode("ascii", "backslashreplace"))
    assert goal.exists()
