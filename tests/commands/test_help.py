"""Help in sections, and guesses at what was mistyped."""

from __future__ import annotations

from importlib.metadata import version

import click
import pytest

from audioreactive.commands import COMMANDS, group
from audioreactive.commands.render import SECTIONS, command


def help_of(name: str, call, monkeypatch) -> str:
    monkeypatch.setenv("COLUMNS", "80")
    return call(*name.split(), "--help").out


def test_the_help_of_render_is_in_sections_with_what_most_need_first(call, monkeypatch) -> None:
    text = help_of("render", call, monkeypatch)
    headings = [line for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == [*(f"{heading}:" for heading in SECTIONS), "Other options:"]
    first = text[text.index(headings[0]) : text.index(headings[1])]
    options = [line.split()[0].strip(",") for line in first.splitlines() if line.startswith("  -")]
    assert options == ["-o", "--model", "--preset", "--seed", "--size"]


def test_every_option_of_render_has_a_section(call, monkeypatch) -> None:
    text = help_of("render", call, monkeypatch)
    rest = text[text.index("Other options:") :]
    assert [line.split()[0] for line in rest.splitlines()[1:]] == ["--version", "-h,"]
    shown = {name for names in SECTIONS.values() for name in names}
    assert {parameter.name for parameter in command.params if isinstance(parameter, click.Option)} <= {
        *shown,
        "version",
    }


@pytest.mark.parametrize("words", [["--version"], ["render", "--version"]])
def test_the_version_is_told_by_both_commands(call, words: list[str]) -> None:
    done = call(*words)
    assert (done.code, done.out) == (0, f"audioreactive, version {version('audioreactive')}\n")


@pytest.mark.parametrize("name", ["", *COMMANDS, "preset new", "preset show", "model inspect"])
def test_help_fits_a_terminal_of_eighty_columns(call, monkeypatch, name: str) -> None:
    text = help_of(name, call, monkeypatch)
    assert max(map(len, text.splitlines())) <= 80, max(text.splitlines(), key=len)


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["rendr", "song.mp3"], "'render'"),
        (["preset", "shw"], "'show'"),
        (["model", "inspct"], "'inspect'"),
        (["render", "--demo", "--preset", "puls"], "'pulse'"),
        (["render", "--demo", "--preset", "Pulse"], "'pulse'"),
        (["sheet", "a.wav", "--preset", "emberr", "-o", "x.png"], "'ember'"),
        (["render", "--demo", "--fit", "widn"], "'widen'"),
        (["render", "--demo", "--beats", "librossa"], "'librosa'"),
        (["render", "--demo", "--precision", "fp61"], "'fp16'"),
        (["render", "--demo", "--encoder", "x246"], "'x264'"),
        (["render", "--demo", "--size", "1080"], "'1080p'"),
        (["render", "--demo", "--size", "vertcal"], "'vertical'"),
        (["render", "--demo", "--weight", "onset=2", "--synthesizer", "hippo"], "'onsets'"),
        (["render", "--demo", "--seed", "1", "--set", "palete.truncation *= 2"], "'palette'"),
        (["render", "--demo", "--seed", "1", "--set", "latents.sequences.*.intensty *= 0.5"], "'intensity'"),
        (["render", "--demo", "--preset", "pulse", "--set", "noise.amplitude.envelope.feature = onset"], "'onsets'"),
        (["render", "--demo", "--preset", "pulse", "--set", "latents.sequences.0.strategy = lop"], "'loop'"),
        (["render", "--demo", "--preset", "pulse", "--set", "latents.sequences.0.depth = [\"fien\"]"], "'fine'"),
        (["render", "--demo", "-o", "x.mp5"], "'.mp4'"),
        (["render", "--demo", "--presets", "pulse"], "--preset"),
        (["train", "--music", ".", "-o", "a.safetensors", "--generator", "grru"], "'gru'"),
    ],
)  # fmt: skip
def test_what_was_meant_is_guessed(call, tmp_path, monkeypatch, words: list[str], meant: str) -> None:
    monkeypatch.chdir(tmp_path)
    done = call(*words)
    assert done.code == 2
    assert "did you mean" in done.err.lower() and meant in done.err, done.err
    assert "Traceback" not in done.err
    assert list(tmp_path.iterdir()) == []


def test_the_earlier_name_of_a_command_still_works(call) -> None:
    assert call("patch", "show").out == call("preset", "show").out
    assert "patch" not in group.list_commands(click.Context(group))


def test_options_after_two_dashes_are_no_command(call) -> None:
    done = call("--", "-q")
    assert done.code == 2 and "-q" in done.err and "Traceback" not in done.err
