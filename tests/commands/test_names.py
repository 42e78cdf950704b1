"""Any name is just a name, for whatever kind of file; and what a name holds does nothing to the terminal."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import audioreactive
from audioreactive.patches.preset import preset_of
from audioreactive.patches.presets import load_preset, save_preset
from audioreactive.patches.randomizer import random_patch
from audioreactive.video import probe

ROOT = Path(__file__).parent.parent.parent
NAMES = {
    "quotes and signs of percent": 'it\'s a "name" `%d` %05d %s',
    "a dash": "-rf",
    "lines": "two\nlines\r",
    "a shell's words": "$(touch owned); touch owned | touch owned & #",
    "another script": "ünï ☃ 夜 \U0001f389",
    "a protocol": "http:x",
    "a drive": "concat:a|b",
    "a terminal's words": "\x1b[2J\x9b2J\u202e\x07",
    "bytes that are no text": os.fsdecode(b"caf\xe9 \xff"),
    "the longest": "x" * 230,
}


@pytest.mark.parametrize("name", NAMES)
def test_every_file_of_a_render_may_have_any_name(call, song, model, tmp_path, monkeypatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    stem = NAMES[name]
    shutil.copy(song, f"{stem}.wav")
    is_text = stem.encode(errors="replace").decode() == stem
    called = stem if is_text else "plain"  # safetensors' own reader takes no other names
    shutil.copy(model, f"{called}.safetensors")
    save_preset(preset_of(random_patch(1)), Path(f"{stem}.toml"))
    result = call(
        "render", f"--model={called}.safetensors", f"--preset={stem}.toml", f"--stem=drums={stem}.wav",
        f"--save-preset={stem}.saved.toml", "--duration=0.1", "-q", f"--output={stem}.mkv", "--", f"{stem}.wav",
    )  # fmt: skip
    assert result.code == 0, result.err
    there = {item.name for item in tmp_path.iterdir()}
    assert there == {f"{called}.safetensors", *(f"{stem}{end}" for end in (".wav", ".toml", ".saved.toml", ".mkv"))}
    assert probe(tmp_path / f"{stem}.mkv").width == 32
    carried = load_preset(str(tmp_path / f"{stem}.mkv"))
    assert carried.made_with is not None
    assert carried.made_with.model == f"{called}.safetensors"
    shown = call("patch", "show", f"./{stem}.mkv")
    assert shown.code == 0
    assert all(letter.isprintable() or letter == "\n" for letter in shown.out)


def test_home_is_found_in_every_option_that_names_a_file(call, song, model, tmp_path, monkeypatch) -> None:
    """Shells do not open `~` within quotes, behind an equals sign, or in Python."""
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copy(song, tmp_path / "SONG.WAV")
    shutil.copy(model, tmp_path / "model.safetensors")
    save_preset(preset_of(random_patch(1)), tmp_path / "a.toml")
    words = ("--model", "~/model.safetensors", "--preset=~/a.toml", "--stem=drums=~/SONG.WAV", "--duration", 0.1)
    done = call("render", "~/SONG.WAV", *words, "-q", "-o", "~/out.MKV")
    assert done.code == 0, done.err
    assert audioreactive.render("~/SONG.WAV", "~/b.mkv", model="~/model.safetensors", duration=0.1).path.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"SONG.WAV", "model.safetensors", "a.toml", "out.MKV", "b.mkv"}


@pytest.mark.parametrize("words", [("",), ("song.wav", "-o", ""), ("song.wav", "--model", "")])
def test_an_empty_name_is_a_sentence(call, words) -> None:
    done = call("render", *words)
    assert done.code == 2 and "the name of a file is empty" in done.err


@pytest.mark.parametrize("ending", [".wav", ".toml", ".safetensors", ".mkv"])
def test_messages_do_nothing_to_the_terminal(call, song, model, tmp_path, monkeypatch, ending: str) -> None:
    monkeypatch.chdir(tmp_path)
    name = NAMES["a terminal's words"] + NAMES["lines"] + ending
    words = {
        ".wav": ["render", name, "--model", model],
        ".toml": ["render", song, "--model", model, "--preset", name, "-o", "out.mkv"],
        ".safetensors": ["model", "inspect", name],
        ".mkv": ["score", name],
    }
    (tmp_path / name).write_bytes(b"\x1b[2J not what it should be \x9b" * 9)
    result = call(*words[ending])
    assert result.code == 2
    last = result.err.strip("\n").splitlines()[-1]
    assert last.startswith(("error: ", "Error: ")) and r"\x1b[2J" in last
    assert last.isprintable() and "\x1b" not in result.err + result.out


def test_a_model_whose_name_is_no_text_is_refused_by_that(call, model, tmp_path) -> None:
    path = tmp_path / f"{NAMES['bytes that are no text']}.safetensors"
    shutil.copy(model, path)
    result = call("model", "inspect", path)
    assert result.code == 2
    assert "bytes that are no text, which safetensors cannot open: rename it" in result.err


def test_a_name_of_any_bytes_is_printed_as_it_is(tmp_path) -> None:
    """For the scripts that read it."""
    goal = os.fsencode(tmp_path) + b"/caf\xe9 \xff.toml"
    command = [sys.executable, ROOT / "cli.py", "patch", "new", "--seed", "1", "-o", goal]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
    done = subprocess.run(command, capture_output=True, env=environment)
    assert (done.returncode, done.stdout) == (0, goal + b"\n"), done.stderr


@pytest.mark.parametrize("ending", [".wav", ".toml", ".safetensors", ".mkv"])
def test_a_name_that_no_folder_can_hold_is_a_sentence(call, song, model, tmp_path, monkeypatch, ending: str) -> None:
    monkeypatch.chdir(tmp_path)
    name = "x" * 5000 + ending
    for words in (
        ["render", name, "--model", model],
        ["render", song, "--model", model, "--preset", name, "-o", "out.mkv"],
        ["render", song, "--model", name, "-o", "out.mkv", "--duration", 0.1],
        ["model", "inspect", name],
        ["score", name],
    ):
        result = call(*words)
        assert result.code == 2, words
        assert "Traceback" not in result.err
        assert len(result.err.strip().splitlines()[-1]) < 2100
    assert not list(tmp_path.iterdir())
