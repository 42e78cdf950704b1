"""What the documents show can be done."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from audioreactive.commands import COMMANDS, group
from audioreactive.features import FEATURES
from audioreactive.presets import parse_preset

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(language: str) -> list[str]:
    """Fenced blocks of a language, or of none."""
    found: list[str] = []
    for document in DOCUMENTS:
        # Between fences, every second piece is inside; its first line is the language.
        pieces = re.split(r"^```", document.read_text("utf-8"), flags=re.MULTILINE)
        found += [body for name, _, body in (piece.partition("\n") for piece in pieces[1::2]) if name == language]
    return found


def shown_commands() -> list[str]:
    lines = [line for block in blocks("") + blocks("console") for line in block.splitlines()]
    return [line for line in lines if line.split(" ")[0] in ("render", "audioreactive")]


@pytest.mark.parametrize("line", shown_commands())
def test_commands_are_understood(line: str) -> None:
    words = shlex.split(line, comments=True)
    if words[0] == "render":
        words.insert(0, "audioreactive")
    command: click.Command = group
    context = click.Context(group)
    arguments = words[1:]
    while isinstance(command, click.Group):
        name, command, arguments = command.resolve_command(context, arguments)
        context = click.Context(command, info_name=name, parent=context)
    command.make_context(words[1], arguments)


def test_there_are_commands_to_understand() -> None:
    assert len(shown_commands()) > 10
    assert {line.split()[1] for line in shown_commands() if line.startswith("audioreactive")} <= set(COMMANDS)


@pytest.mark.parametrize("text", blocks("toml"))
def test_presets_are_sound(text: str) -> None:
    parse_preset(text, "the document's")


def test_every_feature_is_documented() -> None:
    text = (ROOT / "docs" / "presets.md").read_text("utf-8")
    for name, feature in FEATURES.items():
        assert f"| `{name}` | {feature.channels} |" in text
