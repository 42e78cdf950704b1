"""Names that are nearly right, or look like something else: each works, or is answered with what to write instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

QUICK = ("--size", "32x32", "--fps", 10, "--duration", 0.2, "-q")


def frames_in(folder: Path) -> int:
    return len(list(folder.glob("*.png")))


@pytest.mark.parametrize("name", ["pics.d", "pics.mp4"])
def test_a_slash_behind_a_name_makes_it_a_folder(call, song, model, tmp_path, name: str) -> None:
    words = ("render", song, "--model", model, *QUICK, "-o", f"{tmp_path / name}/")
    assert call(*words, "--seed", "x").code == 2 and call(*words, "--dry-run").code == 0
    assert not list(tmp_path.iterdir()), "no empty folder"
    assert call(*words).code == 0 and frames_in(tmp_path / name) == 2
    again = call(*words)
    assert again.code == 2 and "exists already" in again.err
    assert call(*words, "--overwrite").code == 0 and frames_in(tmp_path / name) == 2
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_slash_behind_a_file_or_in_no_folder_is_a_sentence(call, song, model, tmp_path) -> None:
    (tmp_path / "out.mp4").write_text("mine")
    words = ("render", song, "--model", model, *QUICK, "--overwrite", "-o")
    taken = call(*words, f"{tmp_path / 'out.mp4'}/")
    assert taken.code == 2 and "is a file" in taken.err and (tmp_path / "out.mp4").read_text() == "mine"
    nowhere = call(*words, f"{tmp_path / 'none' / 'pics.d'}/")
    assert nowhere.code == 2 and "does not exist; create it" in nowhere.err
    root = call(*words, "/")
    assert root.code == 2 and "/ holds all other folders" in root.err


def test_videos_of_many_songs_go_to_a_folder_with_a_dot(call, song, model, tmp_path) -> None:
    other = tmp_path / "other.wav"
    other.write_bytes(song.read_bytes())
    folder = tmp_path / "my.mp4"
    assert call("render", song, other, "--model", model, *QUICK, "-o", f"{folder}/").code == 0
    assert {path.name for path in folder.iterdir()} == {"song.mp4", "other.mp4"}


@pytest.mark.parametrize("name", ["-song.wav", "-q.wav", "--seed"])
def test_a_name_that_begins_as_options_do(call, song, tmp_path, monkeypatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(song.read_bytes())
    refused = call("render", name)
    assert refused.code == 2 and f"give it as './{name}'" in refused.err
    assert "give it as" not in call("render", "--nosuch").err


@pytest.mark.parametrize(
    ("given", "meant"), [("PAINTER", "painter"), ("Painter:Silk", "painter:silk"), ("stylgan2", "stylegan2")]
)
def test_the_name_of_a_generator_that_is_nearly_right(call, song, tmp_path, given: str, meant: str) -> None:
    refused = call("render", song, "--model", given, "-o", tmp_path / "out.mp4")
    assert refused.code == 2 and f"did you mean '{meant}'?" in refused.err
    refused = call("render", song, "--model", "painting.pkl", "-o", tmp_path / "out.mp4")
    assert refused.code == 2 and refused.err.endswith("there is no model file painting.pkl; check the name\n")


def test_a_generator_has_no_file(call, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("painter", "painter:silk"):
        refused = call("model", "inspect", name)
        assert refused.code == 2 and f"'{name}' is a generator of the program itself, not a file" in refused.err
    assert "256 × 256" in call("model", "inspect", "stylegan2").out
    refused = call("model", "inspect", "X")
    assert (refused.code, refused.err) == (2, "error: there is no model file X; check the name\n")
    (tmp_path / "painter").write_text("words")
    assert "is a generator" not in call("model", "inspect", "painter").err
