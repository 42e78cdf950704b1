"""The list of free music: told as it is, parts that share nothing, and packages that are read as they should be."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tools import free_music
from tools.free_music import PACKAGES, PARTS, FreeMusicError, Package, fetch

DOCUMENT = Path(__file__).parent.parent / "docs" / "lab" / "music.md"


def test_the_document_has_the_table() -> None:
    text = DOCUMENT.read_text("utf-8")
    assert free_music.table() in text
    assert f"**train**: {sum(len(package.songs('train')) for package in PACKAGES)} songs" in text


def test_nothing_that_is_judged_on_is_learned_from() -> None:
    names = [package.name for package in PACKAGES]
    assert names == sorted(set(names))
    songs = [(package.name, song) for package in PACKAGES for part in PARTS for song in package.songs(part)]
    assert len(songs) == len(set(songs))
    judges = [package for package in PACKAGES if package.test]
    assert [len(package.songs("test")) for package in judges] == [1] * 10
    assert not any(package.train or package.validation for package in judges)
    most = max(len(package.songs("train")) for package in PACKAGES)
    assert most * 5 < sum(len(package.songs("train")) for package in PACKAGES)


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="reads packages of Debian")
def test_songs_are_taken_out_of_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tmp_path / "tree"
    music = tree / "usr" / "share" / "game" / "music"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text(
        "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: A <a@b>\nDescription: x\n"
    )
    for name in ("copyright", "A - Song.ogg", "LoveSong.ogg", "Song.ogg.txt", "deep/song.ogg", "flat/song.ogg"):
        path = (tree / "usr" / "share" / "doc" / "x" if name == "copyright" else music) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    shutil.make_archive(str(music / "base"), "zip", music, "deep")
    (music / "base.zip").rename(music / "base.love")
    (music / "flat" / "gone.ogg").symlink_to("/etc/hostname")
    subprocess.run(["dpkg-deb", "--build", "-Znone", tree, tmp_path / "x_1.deb"], check=True, capture_output=True)
    monkeypatch.setattr(free_music, "download", lambda name, folder: tmp_path / "x_1.deb")

    kept = tmp_path / "kept"
    fetch(Package("x", "", "", train="Song", test="flat/song|base.love/deep/song"), kept)
    contents = {path.relative_to(kept).as_posix(): path.read_text() for path in kept.rglob("*") if path.is_file()}
    assert contents == {
        "licences/x": "copyright",
        "train/x/Song.ogg": "A - Song.ogg",
        "test/x/flat song.ogg": "flat/song.ogg",
        "test/x/base.love deep song.ogg": "deep/song.ogg",
    }
    for end, words in (("flat/gone", "holds no flat/gone.ogg"), ("song", "name 'song.ogg' in full")):
        with pytest.raises(FreeMusicError, match=words):
            fetch(Package("x", "", "", train=end), tmp_path / "other")
