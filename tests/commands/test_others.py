"""The other commands, end to end."""

from __future__ import annotations

import json
import re
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
from compilers import needs_compiler
from PIL import Image
from support import GOLDEN

if TYPE_CHECKING:
    from pathlib import Path

from audioreactive.commands import COMMANDS
from audioreactive.commands.bars import Bars
from audioreactive.patches.presets import load_preset
from audioreactive.video import probe
from audioreactive.video.sound import SoundTrack


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_analyze_tells_and_plots(call, song, tmp_path) -> None:
    plot = tmp_path / "song.png"
    result = call("analyze", song, "--plot", plot)
    assert result.code == 0, result.err
    assert "3.00 s, 72 frames at 24 a second" in result.out
    assert "bpm" in result.out and "onsets" in result.out and "by chroma" in result.out
    assert picture(plot).shape[1] > 1000
    refused = call("analyze", song, "--plot", plot)
    assert refused.code == 2 and "--overwrite" in refused.err
    assert call("analyze", song, "--plot", tmp_path / "plot.gif").code == 2


def test_analyze_takes_stems(call, song) -> None:
    result = call("analyze", song, "--stem", f"drums={song}", "-q")
    assert result.code == 0, result.err
    assert "drums.onsets" in result.out


def test_palette_is_a_grid(call, model, tmp_path) -> None:
    out = tmp_path / "grid.png"
    assert call("palette", model, "--seeds", "0-7", "-o", out).code == 0
    grid = picture(out)
    assert grid.shape[0] > 2 * 32 and grid.shape[1] > 3 * 32
    assert grid.std() > 5


@pytest.mark.parametrize("name", ["sheet.mp4", "sheet.png"])
def test_sheet_is_a_grid_over_the_song(call, song, model, tmp_path, name: str) -> None:
    out = tmp_path / name
    result = call("sheet", song, "--model", model, "--seeds", "1-3", "--preset", "pulse", "--duration", 0.5, "-o", out)
    assert result.code == 0, result.err
    width = probe(out).width if name.endswith("mp4") else picture(out).shape[1]
    assert width > 2 * 32  # two by two tiles
    assert call("sheet", song, "-o", tmp_path / "none.mp4").code == 2


def test_a_sheet_says_what_is_to_be_said_of_its_sound(call, song, model, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(SoundTrack, "_compared", lambda *given: "the sound is another one")
    done = call("sheet", song, "--model", model, "--seeds", 1, "--duration", 0.2, "-o", tmp_path / "a.mkv")
    assert done.code == 0 and "the sound is another one" in done.err


def test_patches_are_drawn_shown_and_compared(call, tmp_path) -> None:
    out = tmp_path / "a.toml"
    assert call("patch", "new", "--seed", 42, "-o", out).code == 0
    shown = call("patch", "show", out)
    assert shown.out == out.read_text() == call("patch", "new", "--seed", 42).out
    other = tmp_path / "b.toml"
    assert call("patch", "new", "--preset", out, "--set", "palette.truncation = 0.5", "-o", other).code == 0
    assert load_preset(str(other)).patch.palette.truncation == 0.5
    differs = call("patch", "diff", out, other)
    assert (differs.code, differs.out) == (1, "palette.truncation: 1.0 -> 0.5\n")
    same = call("patch", "diff", out, out)
    assert (same.code, same.out) == (0, "")
    assert call("patch", "new").code == 2
    listed = call("patch", "show").out
    assert listed.count("\n") >= 8 and "pulse" in listed


def test_models_are_inspected_and_converted(call, tmp_path) -> None:
    source = GOLDEN / "nvidia_skip64.pkl"
    shown = call("model", "inspect", source)
    assert shown.code == 0, shown.err
    assert "64" in shown.out and "StyleGAN2" in shown.out
    out = tmp_path / "m.safetensors"
    assert call("model", "convert", source, out).code == 0
    header = out.read_bytes()
    assert json.loads(header[8 : 8 + int.from_bytes(header[:8], "little")])
    assert call("model", "inspect", out).code == 0
    assert call("model", "convert", source, out).code == 2
    assert call("model", "convert", source, tmp_path / "m.pkl").code == 2
    assert call("model", "inspect", tmp_path / "none.pkl").code == 2


def test_the_doctor_checks_every_compiled_op(call, monkeypatch: pytest.MonkeyPatch) -> None:
    from audioreactive.generators.painter import proven
    from stylegan_ops import selfcheck

    needs_compiler()
    monkeypatch.setattr(proven, "FAMILIES", ["ink"])  # all of them take half a minute
    result = call("doctor", "--check")
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    assert sum("agrees" in line for line in lines) == len(lines) - 1
    assert any(line.startswith("painter ink") for line in lines)
    assert lines[-1] == f"{len(lines) - 1} compiled ops were compared with plain PyTorch; 0 of them are wrong"

    def wrong(trial: selfcheck.Trial) -> None:
        trial.compare(trial.normal(3), trial.normal(3))

    monkeypatch.setitem(selfcheck.OPS, "another", selfcheck.Compiled("another", ("cpu",), wrong, precise=True))
    result = call("doctor", "--check")
    assert result.code == 1
    assert "another                  float32   CPU: WRONG: " in result.out
    assert result.out.splitlines()[-1].endswith("; 1 of them is wrong: another; it is not used")


def test_the_doctor_reports(call) -> None:
    result = call("doctor")
    assert result.code == 0, result.err
    for word in ("torch", "ffmpeg", ".mp4", "cpu:", "conv2d", "madmom", "CC BY-NC-SA"):
        assert word in result.out


@pytest.mark.parametrize(
    ("wanted", "found", "told"),
    [
        ("auto", object(), r"painter +compiled +CPU"),
        ("auto", "there is no C++ compiler", r"painter +reference .* slower: there is no C\+\+ compiler"),
        ("reference", object(), r"painter +reference .* slower: STYLEGAN_OPS asks for it"),
    ],
)
def test_the_doctor_tells_whether_the_painter_is_compiled(
    call, monkeypatch, wanted: str, found: object, told: str
) -> None:
    monkeypatch.setenv("STYLEGAN_OPS", wanted)
    monkeypatch.setattr("audioreactive.generators.painter.kernels.cpu_kernels", lambda: found)
    assert re.search(told, call("doctor").out)


def test_help_lists_every_command(call) -> None:
    shown = call("--help").out
    for name in COMMANDS:
        assert f"  {name}" in shown
        help = call(name, "--help").out
        assert "Usage" in help and "\\b" not in help


def test_bars_take_no_thread(capsys) -> None:
    before = set(threading.enumerate())
    with Bars().track("watching", 3, "frame") as advance:
        advance(3)
        assert set(threading.enumerate()) <= before
    assert "100%" in capsys.readouterr().err
