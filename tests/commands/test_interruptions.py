"""Renders that are cut short, go on, are shared out, and come in albums: the real command, the real files."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from audioreactive.chunks.folder import WorkFolder
from audioreactive.chunks.light import light_name
from audioreactive.commands import group, run
from audioreactive.video import probe, read_frames

if TYPE_CHECKING:
    from pathlib import Path

# Half a second a chunk.
LOOK = ("--seed", "3", "--fps", "24", "--chunk", "0.5", "--size", "64x64", "--batch", "4")


def frames_of(path: Path) -> np.ndarray:
    return np.stack(list(read_frames(path)))


def chunks_in(folder: Path) -> set[str]:
    """Names of whole chunks in the work folders below."""
    return {path.name for path in folder.glob(".*.render/chunk_*") if ".partial-" not in path.name}


@pytest.fixture(scope="module")
def expected(song: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """The frames of an uninterrupted render."""
    out = tmp_path_factory.mktemp("whole") / "out.mkv"
    arguments = ("render", song, "--model", model, *LOOK, "-q", "-o", out)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as done:
        patch.setattr(sys, "argv", ["audioreactive", *map(str, arguments)])
        run(group, "audioreactive")
    assert done.value.code == 0
    return frames_of(out)


def held(chunks: int, *arguments: object) -> subprocess.Popen:
    """A render that waits when so many chunks are whole, until it is written to; given back when it waits.

    However busy the machine is, it neither ends too soon nor is anything waited for that depends on a clock.
    """
    command = [sys.executable, "-c", HELD, str(chunks), "render", *map(str, arguments)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "waiting\n", child.communicate()
    except BaseException:
        child.kill()
        raise
    return child


HELD = """
import sys
from audioreactive.chunks.folder import WorkFolder
from audioreactive.commands import main

accept, left = WorkFolder.accept, [int(sys.argv.pop(1))]

def accept_and_wait(self, made):
    accept(self, made)
    left[0] -= 1
    if not left[0]:
        print("waiting", flush=True)
        sys.stdin.readline()

if __name__ == "__main__":
    WorkFolder.accept = accept_and_wait
    main()
"""


def cut_short(song: Path, model: Path, out: Path, signum: int) -> subprocess.Popen:
    """Begin a render, and send a signal once a chunk is whole."""
    child = held(1, song, "--model", model, *LOOK, "-o", out)
    try:
        child.send_signal(signum)
        child.err = child.communicate(timeout=600)[1]
    finally:
        child.kill()
    return child


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_render_keeps_whole_chunks_and_tells(call, song, model, tmp_path, monkeypatch, signum) -> None:
    """An interrupt comes from outside, the system's wish to end from within."""
    out, accept = tmp_path / "out.mkv", WorkFolder.accept
    if signum == signal.SIGINT:
        child = cut_short(song, model, out, signum)
        code, err = child.returncode, child.err
    else:
        monkeypatch.setattr(WorkFolder, "accept", lambda *given: accept(*given) or signal.raise_signal(signum))
        done = call("render", song, "--model", model, *LOOK, "-o", out)
        code, err = done.code, done.err
    assert code == (130 if signum == signal.SIGINT else 143), err
    assert "Traceback" not in err
    told = err.splitlines()[-1]
    assert told.startswith("interrupted; ") and "chunks are kept in" in told and "the same command again" in told
    assert err.count("interrupted; ") == err.count("are kept") == 1, "one message, which is true"
    assert int(told.split()[1]) == len(chunks_in(tmp_path))
    (work,) = tmp_path.iterdir()
    light = {light_name(int(name[6:12])) for name in chunks_in(tmp_path)}
    assert {path.name for path in work.iterdir()} == chunks_in(tmp_path) | light | {"job.json", "chunks.jsonl", "lock"}


def test_a_killed_render_goes_on_with_the_same_frames(call, song, model, tmp_path, expected) -> None:
    """While it is at work, it cannot be begun a second time, which does it no harm. Without workers: test_sections."""
    out = tmp_path / "out.mkv"
    child = held(2, song, "--model", model, *LOOK, "-o", out, "--workers", 2)
    try:
        refused = call("render", song, "--model", model, *LOOK, "-o", out)
        assert refused.code == 2 and "another render is making" in refused.err
        assert len(chunks_in(tmp_path)) >= 2
    finally:
        child.kill()
        child.communicate()
    assert child.returncode == -signal.SIGKILL and not out.exists()
    done = call("render", song, "--model", model, *LOOK, "-o", out)
    assert done.code == 0, done.err
    assert "chunks are there from before" in done.err
    np.testing.assert_array_equal(frames_of(out), expected)
    assert list(tmp_path.iterdir()) == [out], "no stray files"


def test_another_song_or_model_is_told(call, song, model, tmp_path, monkeypatch) -> None:
    mine, out = tmp_path / "song.wav", tmp_path / "out.mkv"
    shutil.copy(song, mine)
    arguments = ("render", mine, "--model", model, *LOOK, "-o", out)
    accept = WorkFolder.accept
    with monkeypatch.context() as patch:
        patch.setattr(WorkFolder, "accept", lambda *given: accept(*given) or signal.raise_signal(signal.SIGINT))
        assert call(*arguments).code == 130
    assert len(chunks_in(tmp_path)) == 1
    sound, rate = soundfile.read(mine)
    soundfile.write(mine, sound * 0.9, rate)
    refused = call(*arguments)
    assert refused.code == 2 and "not with the same motion, preset, song" in refused.err and "--fresh" in refused.err
    other = call("render", song, *LOOK, "--duration", 0.2, "--size", "64x64", "-o", out)
    assert other.code == 2 and "model" in other.err
    assert call(*arguments, "--fresh", "--duration", 0.2, "-q").code == 0
    assert set(tmp_path.iterdir()) == {mine, out}


def album(folder: Path, song: Path, count: int) -> list[Path]:
    """Songs of half a second and one that is none."""
    sound, rate = soundfile.read(song)
    songs = [folder / f"{number}.flac" for number in range(count)]
    for number, path in enumerate(songs):
        soundfile.write(path, sound[number * 2000 : number * 2000 + rate // 2], rate)
    songs[1].write_text("words")
    return songs


def test_many_songs_and_a_bad_one(call, song, model, tmp_path, monkeypatch) -> None:
    import stylegan_ops

    loads = []
    load = stylegan_ops.load_generator
    monkeypatch.setattr(
        stylegan_ops, "load_generator", lambda *path, **where: loads.append(path) or load(*path, **where)
    )
    songs = album(tmp_path, song, 4)
    result = call("render", *songs, "--model", model, "--preset", "pulse", "-q")
    assert result.code == 1
    told = [line for line in result.err.splitlines() if "1.flac" in line]
    assert len(told) == 2 and told[0].startswith("error: ") and told[1].startswith("3 of 4 songs were rendered")
    assert len(loads) == 1, "one model load"
    videos = {path.with_suffix(".mp4") for path in songs if path != songs[1]}
    assert set(tmp_path.iterdir()) == {*songs, *videos}
    assert all(probe(video).frames == 12 for video in videos)


def test_bad_songs_of_any_name_stop_nothing_and_move_no_cursor(call, song, model, tmp_path) -> None:
    good, *_ = album(tmp_path, song, 2)
    rude, endless = tmp_path / "\x1b[2J\rbad.flac", tmp_path / f"{'x' * 300}.flac"
    rude.write_text("words")
    result = call("render", rude, endless, good, "--model", model, "--preset", "pulse", "-q")
    assert result.code == 1 and good.with_suffix(".mp4").exists()
    assert "1 of 3 songs were rendered" in result.err
    lines = result.err.splitlines()
    assert len(lines) == 3 and all(line.isprintable() for line in lines)


def test_videos_of_many_songs_go_where_they_are_wanted(call, song, model, tmp_path) -> None:
    songs = album(tmp_path, song, 3)[::2]
    common = ("render", *songs, "--model", model, "--seed", 1, "--duration", 0.2, "-q")
    (tmp_path / "videos").mkdir()
    assert call(*common, "-o", tmp_path / "videos").code == 0
    assert {path.name for path in (tmp_path / "videos").iterdir()} == {"0.mp4", "2.mp4"}
    assert call(*common, "-o", tmp_path / "new").code == 0
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"0.mp4", "2.mp4"}
    refused = call(*common, "-o", tmp_path / "one.mp4")
    assert refused.code == 2 and "names a folder" in refused.err
    other = songs[1].with_suffix(".flac")
    twice = call("render", songs[0], songs[1], other, "--model", model)
    assert twice.code == 2 and f"'{songs[1]}' and '{other}' would give a video of the same name" in twice.err
    saved = call(*common, "--save-preset", tmp_path / "x.toml")
    assert saved.code == 2 and "--save-preset" in saved.err


def test_nothing_is_rendered_where_the_model_is_none(call, song, tmp_path) -> None:
    songs = album(tmp_path, song, 3)
    (tmp_path / "no.pkl").write_text("words")
    before = set(tmp_path.iterdir())
    result = call("render", *songs, "--model", tmp_path / "no.pkl")
    assert result.code == 2 and "no.pkl" in result.err
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--encoder", "nvenc"), "--encoder nvenc cannot be used"),
        (("--encoder", "x264", "-o", "out.webm"), "makes H.264"),
        (("--workers", "0"), "0"),
        (("--workers", "2", "--cluster", "auto"), "give one of them"),
    ],
)
def test_what_cannot_be_had_is_a_sentence(call, song, model, tmp_path, monkeypatch, arguments, words: str) -> None:
    monkeypatch.chdir(tmp_path)
    result = call("render", song, "--model", model, "--seed", 1, "--duration", 0.2, "-o", "out.mp4", *arguments)
    assert result.code == 2 and words in result.err and "Traceback" not in result.err
    assert not list(tmp_path.iterdir())
