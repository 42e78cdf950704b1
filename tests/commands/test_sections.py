"""A preset with sections through the real command: whole, from within, shared out, killed, and limited."""

from __future__ import annotations

import signal
import subprocess
import sys
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from audioreactive.commands import group, run
from audioreactive.patches.preset import preset_of
from audioreactive.patches.presets import load_preset, parse_preset, preset_text
from audioreactive.patches.randomizer import random_patch
from audioreactive.video import read_frames

if TYPE_CHECKING:
    from pathlib import Path

SECTIONS = """
[[sections]]
name = "intro"
start = 0.0

[[sections]]
name = "verse"
start = 0.5
crossfade = 0.3
[sections.patch.noise]
strength = 2.0

[[sections]]
name = "chorus"
start = 1.1
crossfade = 0.4
label = "chorus"
[sections.patch.palette]
seeds = [5, 6, 7]

[[sections]]
start = 1.7
crossfade = 0.2
[sections.patch.latents]
vividness = 1.0

[[sections]]
name = "chorus again"
start = 2.3
label = "chorus"
"""
LOOK = ("--chunk", "0.5", "--batch", "4", "--size", "64x64")


@pytest.fixture(scope="module")
def preset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("preset") / "five.toml"
    text = preset_text(preset_of(random_patch(3))).replace("schema = 1", "schema = 2") + SECTIONS
    assert len(parse_preset(text, "it").sections) == 5
    path.write_text(text, "utf-8")
    return path


def frames_of(path: Path) -> np.ndarray:
    return np.stack(list(read_frames(path)))


@pytest.fixture(scope="module")
def whole(song: Path, model: Path, preset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "out.mkv"
    words = ("render", song, "--model", model, "--preset", preset, *LOOK, "-q", "-o", out)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as done:
        patch.setattr(sys, "argv", ["audioreactive", *map(str, words)])
        run(group, "audioreactive")
    assert done.value.code == 0
    return out


def test_from_within_a_section_every_frame_is_the_same(call, song, model, preset, whole, tmp_path) -> None:
    out = tmp_path / "part.mkv"
    done = call("render", song, "--model", model, "--preset", preset, *LOOK, "--start", "1.25", "-o", out)
    assert done.code == 0, done.err
    np.testing.assert_array_equal(frames_of(out), frames_of(whole)[30:])


@pytest.mark.usefixtures("quick_workers")
def test_two_workers_make_the_same_file(call, song, model, preset, whole, tmp_path) -> None:
    out = tmp_path / "out.mkv"
    done = call("render", song, "--model", model, "--preset", preset, *LOOK, "--workers", 2, "-o", out)
    assert done.code == 0, done.err
    assert out.read_bytes() == whole.read_bytes()


KILLED = """
import os, signal, sys
from audioreactive.chunks.folder import WorkFolder
from audioreactive.commands import main

accept, left = WorkFolder.accept, [2]

def accept_and_die(self, made):
    accept(self, made)
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    WorkFolder.accept = accept_and_die
    main()
"""


def test_killed_it_goes_on_to_the_same_file(call, song, model, preset, whole, tmp_path) -> None:
    out = tmp_path / "out.mkv"
    words = [song, "--model", model, "--preset", preset, *LOOK, "-o", out]
    died = subprocess.run([sys.executable, "-c", KILLED, "render", *map(str, words)], capture_output=True)
    assert died.returncode == -signal.SIGKILL and not out.exists()
    done = call("render", *words)
    assert done.code == 0 and "chunks are there from before" in done.err
    assert out.read_bytes() == whole.read_bytes()


def test_what_names_nothing_moves_like_the_preset_without_it(call, song, model, tmp_path) -> None:
    plain, same = tmp_path / "plain.toml", tmp_path / "same.toml"
    text = preset_text(preset_of(random_patch(3)))
    plain.write_text(text, "utf-8")
    empty = '\n[[sections]]\nstart = 0.0\n\n[[sections]]\nname = "b"\nstart = 1.0\ncrossfade = 0.5\n'
    same.write_text(text.replace("schema = 1", "schema = 2") + empty, "utf-8")
    frames = []
    for preset in (plain, same):
        out = tmp_path / f"{preset.stem}.mkv"
        done = call("render", song, "--model", model, "--preset", preset, *LOOK, "--duration", 1.5, "-o", out)
        assert done.code == 0, done.err
        frames.append(frames_of(out))
    np.testing.assert_array_equal(*frames)


def test_the_sections_are_seen_and_faded(call, song, model, preset, whole, tmp_path) -> None:
    """Each section has another picture than the one before; a fade makes the change at its border smaller."""
    cuts, out = tmp_path / "cuts.toml", tmp_path / "cuts.mkv"
    text = preset.read_text("utf-8")
    cuts.write_text("\n".join(line for line in text.splitlines() if not line.startswith("crossfade")), "utf-8")
    assert call("render", song, "--model", model, "--preset", cuts, *LOOK, "-q", "-o", out).code == 0
    faded, cut = (frames_of(path).astype(float) for path in (whole, out))
    pictures = [faded[round(24 * at)] for at in (0.2, 0.8, 1.4, 2.0, 2.6)]
    assert min(np.abs(a - b).mean() for a, b in pairwise(pictures)) > 3
    border = slice(round(24 * 1.1) - 2, round(24 * 1.1) + 2)
    steps = [np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3))[border].max() for frames in (faded, cut)]
    assert steps[0] < 0.8 * steps[1]


def test_the_video_carries_its_sections_and_can_be_changed_by_name(call, song, model, whole, tmp_path) -> None:
    assert [section.name for section in load_preset(str(whole)).sections] == [
        "intro",
        "verse",
        "chorus",
        "",
        "chorus again",
    ]
    words = ("--set", "sections.verse.noise.strength *= 2", "--duration", 0.2, "-o", tmp_path / "b.mkv")
    done = call("render", song, "--model", model, "--preset", whole, *LOOK, *words)
    assert done.code == 0, done.err
    shown = call("preset", "diff", whole, tmp_path / "b.mkv")
    assert "sections.verse.patch.noise.strength: 2.0 -> 4.0" in shown.out
    asked = call("render", song, "--model", model, "--preset", whole, "--dry-run")
    assert "5 sections" in asked.out


def test_flashes_in_sections_are_limited(call, song, model, preset, tmp_path) -> None:
    out = tmp_path / "safe.mp4"
    look = ("--set", "sections.*.noise.strength = 6", "--chunk", "0.5", "--size", "64x64")
    done = call("render", song, "--model", model, "--preset", preset, *look, "--flash-safe", "-o", out)
    assert done.code == 0, done.err
    assert call("flashes", out, "-q").code == 0


def test_a_video_with_sections_is_scored(call, song, model, preset, tmp_path) -> None:
    sound, rate = soundfile.read(song)
    longer, out = tmp_path / "longer.wav", tmp_path / "out.mp4"
    soundfile.write(longer, np.tile(sound, (4, 1)), rate)
    assert call("render", longer, "--model", model, "--preset", preset, "--size", "64x64", "-q", "-o", out).code == 0
    done = call("score", out)
    assert done.code == 0 and done.out.startswith("score"), done.err


def test_sections_are_drawn_for_a_song(call, song, tmp_path) -> None:
    out = tmp_path / "drawn.toml"
    done = call("preset", "new", "--seed", 4, "--sections", song, "-o", out)
    assert done.code == 0, done.err
    drawn = load_preset(str(out))
    assert drawn.sections and drawn.sections[0].start == 0 and drawn.patch == random_patch(4)
