"""What the documents show can be done."""

from __future__ import annotations

import dataclasses
import re
import shlex
from pathlib import Path

import click
import pytest

from audioreactive.commands import COMMANDS, group
from audioreactive.features import EVERY_FEATURE
from audioreactive.generators.painter import FAMILIES
from audioreactive.patches.knobs import Knobs
from audioreactive.patches.overrides import override
from audioreactive.patches.preset import preset_of
from audioreactive.patches.presets import load_preset, parse_preset, shipped_presets
from audioreactive.patches.randomizer import draw_around, random_patch
from audioreactive.patches.schema import Hippo
from audioreactive.patches.sections import Section

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


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


def inline_commands() -> list[str]:
    """Commands between single backticks, but for those that are only named."""
    spans = [span for document in DOCUMENTS for span in re.findall(r"`([^`\n]+)`", document.read_text("utf-8"))]
    whole = [span for span in spans if re.match(r"(render|audioreactive) -?\w", span) and "..." not in span]
    return [span for span in whole if not re.search(r"\b[A-Z]{2,}\b", span) and span.split()[1:] != [span.split()[-1]]]


def every_command(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, click.Command]]:
    """(name, command) of all commands, and of those inside."""
    if not isinstance(command, click.Group):
        return [(" ".join(path), command)]
    context = click.Context(command)
    names = command.list_commands(context)
    return [found for name in names for found in every_command(command.get_command(context, name), (*path, name))]


def helped_commands() -> list[str]:
    """The examples that commands give in their help; what is said about them stands after two spaces."""
    lines = [line.strip() for _, command in every_command(group) for line in (command.help or "").splitlines()]
    return [line.split("  ")[0] for line in lines if re.match(r"(render|audioreactive) -?\w", line)]


def parse(line: str) -> None:
    """Let click understand a line, without doing what it says."""
    words = shlex.split(line, comments=True)
    if words[0] == "render":
        words.insert(0, "audioreactive")
    command: click.Command = group
    context = click.Context(group)
    arguments = words[1:]
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        name, command, arguments = command.resolve_command(context, arguments)
        context = click.Context(command, info_name=name, parent=context)
    if "--help" not in arguments:
        command.make_context(words[1], arguments)


@pytest.mark.parametrize("line", [*shown_commands(), *inline_commands(), *helped_commands()])
def test_commands_are_understood(line: str) -> None:
    parse(line)


def test_there_are_commands_to_understand() -> None:
    assert len(shown_commands()) > 30 and len(inline_commands()) > 2 and len(helped_commands()) > 15
    assert {line.split()[1] for line in shown_commands() if line.startswith("audioreactive")} <= set(COMMANDS)
    with pytest.raises(click.UsageError):
        parse("render song.mp3 --no-such-option")


def shown_changes() -> list[str]:
    """Every KEY=VALUE of `--set` in documents and help."""
    texts = [document.read_text("utf-8") for document in DOCUMENTS]
    texts += [parameter.get_help_record(click.Context(command))[1] for _, command in every_command(group)
              for parameter in command.params if parameter.name == "overrides"]  # fmt: skip
    found = [change for text in texts for change in re.findall(r"'([a-z_]+\.[^'\n]* [*+]?= [^']+)'", text)]
    return list(dict.fromkeys(found))


def shown_knobs() -> list[list[str]]:
    """The knobs of every command that is shown, as `--motion 0.5 --beat 2`."""
    lines = [*shown_commands(), *inline_commands(), *helped_commands()]
    names = "|".join(field.name for field in dataclasses.fields(Knobs))
    found = [re.findall(rf"--({names}) ([0-9.]+)", line) for line in lines]
    return [turned for turned in found if turned]


SOME_PRESETS = [
    *(load_preset(name) for name in shipped_presets()),
    *(preset_of(random_patch(seed)) for seed in range(40)),
    preset_of(draw_around(Hippo(kind="hippo", name="hippo"), 5)),
]


@pytest.mark.parametrize("change", shown_changes())
def test_every_change_that_is_shown_works_for_every_preset(change: str) -> None:
    for preset in SOME_PRESETS:
        if change.startswith("sections."):
            parts = (Section(start=0, name="A"), Section(start=8, name="B"))
            preset = preset.model_copy(update={"sections": parts, "schema_version": 2})
        assert override(preset, [change]) != preset or change in (
            "palette.truncation = 0.7",
            'palette.family = "metal"',
        )


def test_there_are_changes_to_show() -> None:
    assert len(shown_changes()) >= 3


@pytest.mark.parametrize("turned", shown_knobs(), ids=str)
def test_every_knob_that_is_shown_works_for_every_preset(turned) -> None:
    for preset in SOME_PRESETS:
        assert preset.mapped(Knobs(**{name: float(factor) for name, factor in turned})) != preset


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    text = re.sub(r"^```.*?^```", "", document.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(\s*([^)\s]+)\s*\)", text):
        if not re.match(r"[a-z]+:", target):
            assert (document.parent / target.partition("#")[0]).exists(), target


def test_the_readme_leads_through_a_day_and_every_document_is_linked() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    day = ("first-video", "own-model", "presets", "sharing", "rendering", "score", "how-it-works")
    places = [readme.index(f"(docs/{name}.md)") for name in day]
    assert places == sorted(places)
    linked: set[Path] = set()
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(\s*([^)\s#]+\.md)", document.read_text("utf-8")):
            linked.add((document.parent / target).resolve())
    assert {document.resolve() for document in DOCUMENTS[1:]} <= linked


def test_users_read_one_word_for_a_preset() -> None:
    """Help and the documents of a person's day say preset, and neither recipe nor patch."""
    texts = {name: command.get_help(click.Context(command)) for name, command in every_command(group)}
    texts |= {path.name: path.read_text("utf-8") for path in DOCUMENTS if path.parent.name != "lab"}
    del texts["architecture.md"]  # of the code, in which there are patches
    for name, text in texts.items():
        prose = re.sub(r"```(py(thon)?|toml)\n.*?```|`[^`\n]*`|--recipe\b", "", text, flags=re.DOTALL)
        assert not re.search(r"\brecipes?\b|\bpatch(es)?\b", prose, re.IGNORECASE), name


@pytest.mark.parametrize("text", blocks("toml"))
def test_presets_are_sound(text: str) -> None:
    parse_preset(text, "the document's")


def test_every_feature_is_documented() -> None:
    text = (ROOT / "docs" / "presets.md").read_text("utf-8")
    for name, feature in EVERY_FEATURE.items():
        assert f"| `{name}` | {feature.channels} |" in text


def test_every_family_of_the_painter_is_documented() -> None:
    text = (ROOT / "docs" / "painter.md").read_text("utf-8")
    shown = re.findall(r"^\| `([a-z]+)` \| (.+) \|$", text, flags=re.MULTILINE)
    assert dict(shown) == FAMILIES


def test_the_gallery_shows_every_preset_and_what_it_was_made_for() -> None:
    text = (ROOT / "docs" / "gallery.md").read_text("utf-8")
    assert re.findall(r"^## (.+)$", text, flags=re.MULTILINE) == list(shipped_presets())
    for name in shipped_presets():
        about = " ".join(load_preset(name).about.split())
        assert f"{about}\n\n![four moments of the demo song in {name}](gallery/{name}.jpg)" in text, name
        assert "ade for " in about, "each has a use"
        assert (ROOT / "docs" / "gallery" / f"{name}.jpg").is_file()
