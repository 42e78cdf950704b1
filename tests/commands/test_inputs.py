"""Inputs are never overwritten, by whatever name they are called, whatever the flags."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import click
import pytest

from audioreactive._support.files import keep_apart
from audioreactive.commands import COMMANDS, group

READ = {"songs", "song", "model", "video", "audio", "music", "preset", "presets", "stems", "synthesizer", "sections",
        "first", "second", "file", "other", "follow", "mapping", "edits", "others", "picture", "files"}  # fmt: skip
WRITTEN = {"output", "plot", "numbers", "save_preset", "repair", "report", "record", "html", "preview"}
FOLDERS = {"folder", "folders"}
"""Parameters of the commands that are files, or may be; in folders, files get names by what is in them."""

# The file `x.…` is an input, and the output has its name.
CASES = {
    "render output": "render {x.mp4} -o {X.mp4}",
    "render output of a stem": "render {song.wav} --stem drums={x.mp4} -o {X.mp4}",
    "render output of the model": "render {song.wav} --model {x.mp4} -o {X.mp4}",
    "render output of the preset": "render {song.wav} --preset {x.mp4} -o {X.mp4}",
    "render output of the synthesizer": "render {song.wav} --synthesizer {x.mp4} -o {X.mp4}",
    "render save_preset": "render {song.wav} --preset {x.toml} --save-preset {X.toml} -o {out.mp4}",
    "render save_preset of the song": "render {x.toml} --save-preset {X.toml} -o {out.mp4}",
    "render save_preset of the model": "render {song.wav} --model {x.toml} --save-preset {X.toml} -o {out.mp4}",
    "sheet output": "sheet {x.mp4} --seeds 1 -o {X.mp4}",
    "sheet output of the model": "sheet {song.wav} --seeds 1 --model {x.png} -o {X.png}",
    "sheet output of the preset": "sheet {song.wav} --preset {x.png} -o {X.png}",
    "sheet output of a second model": "sheet {song.wav} --seeds 1 --with {x.png} -o {X.png}",
    "render output of a second model": "render {song.wav} --with {x.mp4} -o {X.mp4}",
    "palette output": "palette {x.png} -o {X.png}",
    "palette show output": "palette show {x.png} -o {X.png}",
    "project output": "project {x.npz} --model stylegan2 -o {X.npz}",
    "project output of the model": "project {song.wav} --model {x.npz} -o {X.npz}",
    "project preview": "project {x.png} --model stylegan2 -o {out.npz} --preview {X.png}",
    "live report": "live --input {x.json} --report {X.json} --headless --clock simulated",
    "live report of the mapping": "live --input {song.wav} --mapping {x.json} --report {X.json} --headless",
    "live record": "live --input {x.mp4} --record {X.mp4} --headless --clock simulated",
    "live record of the model": "live --input {song.wav} --model {x.mp4} --record {X.mp4} --headless",
    "live record of the preset": "live --input {song.wav} --preset {x.mp4} --record {X.mp4} --headless",
    "score plot": "score {x.png} --plot {X.png}",
    "score plot of the sound": "score {song.wav} --audio {x.png} --plot {X.png}",
    "score numbers": "score {x.json} --json {X.json}",
    "flashes plot": "flashes {x.png} --plot {X.png}",
    "flashes numbers": "flashes {x.json} --json {X.json}",
    "sync repair": "sync {x.mp4} --repair {X.mp4}",
    "sync plot": "sync {x.png} --plot {X.png}",
    "sync plot of a take": "sync {song.wav} {x.png} --plot {X.png}",
    "sync numbers": "sync {x.json} --json {X.json}",
    "analyze plot": "analyze {x.png} --plot {X.png}",
    "analyze plot of a stem": "analyze {song.wav} --stem drums={x.png} --plot {X.png}",
    "model convert output": "model convert {x.safetensors} {X.safetensors}",
    "model blend output": "model blend {x.safetensors} {song.wav} {X.safetensors}",
    "model blend output of the second": "model blend {song.wav} {x.safetensors} {X.safetensors}",
    "model edit output": "model edit {x.safetensors} {song.wav} {X.safetensors}",
    "model edit output of the edits": "model edit {song.wav} {x.safetensors} {X.safetensors}",
    "directions output": "directions {x.png} -o {X.png}",
    "pack output": "pack {x.arc} -o {X.arc}",
    "pack output of the song": "pack {song.wav} --recipe --song {x.arc} -o {X.arc}",
    "pack output of the model": "pack {song.wav} --recipe --model {x.arc} -o {X.arc}",
    "unpack output": "unpack {x.mp4} -o {X.mp4}",
    "unpack output of the model": "unpack {song.wav} --model {x.mp4} -o {X.mp4}",
    "unpack html": "unpack {x.html} --html {X.html}",
    "unpack html of the model": "unpack {song.wav} --model {x.html} --html {X.html}",
    "unpack html of a second model": "unpack {song.wav} --with {x.html} --html {X.html}",
    "preset new output": "preset new --preset {x.toml} -o {X.toml}",
    "preset new output of the song": "preset new --seed 1 --sections {x.toml} -o {X.toml}",
    "train output": "train --music {music} --model {x.safetensors} -o {X.safetensors}",
    "train output's picture": "train --music {music} --model {x.png} -o {X.safetensors}",
}
WAYS = ("the name", "a detour", "a symbolic link", "a hard link")


def same(way: str, path: Path, folder: Path) -> Path:
    """Another name of the file."""
    other = folder / f"other{path.suffix}"
    match way:
        case "the name":
            return path
        case "a detour":
            return folder / "music" / ".." / path.name
        case "a symbolic link":
            other.symlink_to(path.name)
        case "a hard link":
            os.link(path, other)
    return other


@pytest.mark.parametrize("case", CASES)
def test_no_command_overwrites_what_it_reads(call, song, tmp_path, case: str) -> None:
    (tmp_path / "music").mkdir()
    shutil.copy(song, tmp_path / "music" / "song.wav")
    shutil.copy(song, tmp_path / "song.wav")
    words = CASES[case].split()
    (name,) = {word.strip("{}") for word in CASES[case].replace("=", " ").split() if word.startswith("{x.")}
    path = tmp_path / name
    for number, way in enumerate(WAYS):
        folder = tmp_path / str(number)
        (folder / "music").mkdir(parents=True)
        path = folder / name
        path.write_bytes(b"precious")
        output = next(word.strip("{}") for word in words if word.startswith("{X."))
        if Path(output).suffix != path.suffix and "link" in way:
            continue
        written = same(way, path, folder).with_suffix(Path(output).suffix)
        arguments = [
            str(written) if word.startswith("{X.")
            else word.replace("{x", "{").replace(f"{{{path.suffix}}}", str(path)) if "{x" in word
            else str(tmp_path / word.strip("{}")) if word.startswith("{")
            else word
            for word in words
        ]  # fmt: skip
        before = {item.name: item.lstat().st_ino for item in folder.iterdir()}
        result = call(*arguments, "--overwrite")
        assert result.code == 2 and "inputs are never overwritten" in result.err, (way, result)
        assert path.read_bytes() == b"precious"
        assert {item.name: item.lstat().st_ino for item in folder.iterdir()} == before


def commands(command: click.Command, name: str = "") -> dict[str, click.Command]:
    if not isinstance(command, click.Group):
        return {name: command}
    context = click.Context(command)
    found: dict[str, click.Command] = {}
    for word in command.list_commands(context):
        found |= commands(command.get_command(context, word), f"{name} {word}".strip())
    return found


def test_every_command_that_writes_is_among_them() -> None:
    assert set(COMMANDS) == set(group.list_commands(click.Context(group)))
    written = {
        (name, parameter.name) for name, command in commands(group).items() for parameter in command.params
        if isinstance(parameter.type, click.Path)
    }  # fmt: skip
    assert {parameter for _, parameter in written} <= READ | WRITTEN | FOLDERS
    for name, parameter in written:
        if parameter in WRITTEN:
            assert any(case.startswith(f"{name} {parameter}") for case in CASES), f"{name} writes {parameter}"


def test_songs_of_an_album_are_no_videos_of_it(call, song, tmp_path) -> None:
    """The file beside is harmless; the one that is a song and another's video, or its own, is not."""
    (tmp_path / "out").mkdir()
    first, second = tmp_path / "a.wav", tmp_path / "out" / "b.mp4"
    for path in (first, second):
        shutil.copy(song, path)
    before = second.read_bytes()
    result = call("render", first, second, "-o", tmp_path / "out", "--overwrite", "-q")
    assert result.code == 2 and "inputs are never overwritten" in result.err
    os.link(first, tmp_path / "out" / "a.mp4")
    shutil.copy(song, tmp_path / "c.wav")
    result = call("render", first, tmp_path / "c.wav", "-o", tmp_path / "out", "--overwrite", "-q")
    assert result.code == 2 and "inputs are never overwritten" in result.err
    assert second.read_bytes() == before == first.read_bytes()


@pytest.mark.parametrize("place", ["frames", ".out.mp4.render"])
def test_inputs_in_a_folder_that_is_emptied_are_kept(call, song, tmp_path, place: str) -> None:
    folder = tmp_path / place
    folder.mkdir()
    inner = folder / "sound.wav"
    shutil.copy(song, inner)
    output = folder if place == "frames" else tmp_path / "out.mp4"
    result = call("render", inner, "-o", output, "--overwrite", "--fresh", "-q")
    assert result.code == 2 and "whose content would be replaced" in result.err
    link = tmp_path / "link.wav"
    link.symlink_to(inner)
    assert call("render", link, "-o", output, "--overwrite", "--fresh", "-q").code == 2
    assert inner.exists()


def test_the_library_keeps_inputs_too(song, tmp_path) -> None:
    import audioreactive
    from audioreactive.errors import OutputError

    mine = tmp_path / "song.mp4"
    shutil.copy(song, mine)
    with pytest.raises(OutputError, match="never overwritten"):
        audioreactive.render(mine, mine, overwrite=True)
    with pytest.raises(OutputError, match="never overwritten"):
        audioreactive.render(song, mine, stems={"drums": mine}, overwrite=True)


def test_names_that_lead_nowhere_are_compared_by_where_they_lead(tmp_path: Path) -> None:
    from audioreactive.errors import OutputError

    loop, missing = tmp_path / "loop", tmp_path / "missing"
    loop.symlink_to(loop)
    keep_apart(tmp_path / "a", [loop, missing, None, Path("x" * 5000)])
    with pytest.raises(OutputError):
        keep_apart(missing, [tmp_path / "." / "missing"])


@pytest.mark.parametrize("words", ["render .", "render / {song}", "train --music . -o ."])
def test_folders_are_no_files(call, song, words: str) -> None:
    result = call(*(str(song) if word == "{song}" else word for word in words.split()))
    assert result.code == 2 and "Traceback" not in result.err


@pytest.mark.parametrize("option", ["--follow", "--with", "--synthesizer", "--preset", "--model", "--stem"])
@pytest.mark.parametrize("what", ["missing", "pipe", "folder"])
def test_other_files_are_checked_before_anything_is_heard(call, song, tmp_path, option: str, what: str) -> None:
    other = tmp_path / ("a.toml" if option == "--preset" else "a.safetensors")
    if what == "pipe":
        os.mkfifo(other)
    elif what == "folder":
        other.mkdir()
    value = f"drums={other}" if option == "--stem" else other
    result = call("render", song, option, value, "-o", tmp_path / "out.mp4")
    assert result.code == 2 and "Traceback" not in result.err and "listening" not in result.err
    assert other.name in result.err and not (tmp_path / "out.mp4").exists()


def test_a_synthesizer_of_nearly_that_name_is_suggested(call, song) -> None:
    assert "did you mean 'hippo'?" in call("render", song, "--synthesizer", "hipo").err
