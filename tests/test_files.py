"""Files that have their name only when they are whole."""

from __future__ import annotations

import os
import stat
import tracemalloc
from pathlib import Path

import pytest

from audioreactive._support import files
from audioreactive._support.files import (
    PrivateFolder,
    as_path,
    check_name,
    create,
    make_aside,
    open_regular,
    read_regular,
    shortened,
    write_aside,
    write_new,
)
from audioreactive.errors import OutputError


@pytest.mark.parametrize("stem", ["a" * 250, "ü" * 120, "🎵" * 62], ids=["ascii", "two bytes", "four bytes"])
def test_the_longest_names_can_be_written(tmp_path: Path, stem: str) -> None:
    path = tmp_path / f"{stem}.svg"
    with write_aside(path) as file:
        file.write(b"whole")
        assert not path.exists() and [item.suffix for item in tmp_path.iterdir()] == [".svg"]
    assert [item.read_text() for item in tmp_path.iterdir()] == ["whole"] and path.exists()


def test_bytes_are_on_the_disk_before_they_have_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a power cut leaves the name, and nothing in it, where an older file was."""
    path, brought = tmp_path / "journal", []
    path.write_text("old")
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        brought.append((os.fstat(descriptor).st_size, path.read_text()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    with write_aside(path) as file:
        file.write(b"newer")
    assert brought == [(5, "old")] and path.read_text() == "newer"


def test_a_body_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), write_aside(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == [path] and path.read_text() == "old"


# --- special files, links, folders of others -------------------------------------------------------------------------


KINDS = {
    "a pipe": os.mkfifo,
    "a socket": lambda path: os.mknod(path, stat.S_IFSOCK | 0o600),
    "a folder": lambda path: path.mkdir(),
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to itself": lambda path: path.symlink_to(path.name),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("follow", [True, False])
def test_what_is_no_file_is_never_waited_for(tmp_path: Path, kind: str, follow: bool) -> None:
    path = tmp_path / "x"
    KINDS[kind](path)
    with pytest.raises(OSError):
        open_regular(path, follow=follow)


def test_a_pipe_that_takes_the_place_of_a_file_is_not_waited_for(tmp_path: Path, monkeypatch) -> None:
    path, opened = tmp_path / "x", os.open
    path.write_text("file")

    def swapped(name, flags, *more):
        path.unlink()
        os.mkfifo(path)
        return opened(name, flags, *more)

    monkeypatch.setattr(os, "open", swapped)
    with pytest.raises(OSError, match="it is a pipe"):
        open_regular(path)


def test_what_is_read_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"12345")
    assert read_regular(path, 5) == b"12345"
    with pytest.raises(OSError, match="more than 4 bytes"):
        read_regular(path, 4)
    os.truncate(path, 1 << 40)
    tracemalloc.start()
    with pytest.raises(OSError, match="more than"):
        read_regular(path, 1 << 20)
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
    assert read_regular(Path("/proc/self/status"), 1 << 16), "a file whose size the system does not tell"


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_but_a_file_is_replaced(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.toml"
    KINDS[kind](path)
    with pytest.raises((OutputError, OSError)):
        check_name(path, (".toml",), overwrite=True)
    assert os.path.lexists(path)


def test_a_link_that_leads_nowhere_has_the_name(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.symlink_to("gone")
    with pytest.raises(OutputError, match="exists"):
        check_name(path, (".toml",), overwrite=False)
    check_name(path, (".toml",), overwrite=True)
    with write_aside(path) as file:
        file.write(b"whole")
    assert not path.is_symlink() and not (tmp_path / "gone").exists()


def test_a_folder_that_cannot_be_written_is_told_early() -> None:
    with pytest.raises(OutputError, match="not writable"):
        check_name(Path("/proc/x.toml"), (".toml",), overwrite=False)
    with pytest.raises(OutputError, match="cannot be written"), write_aside(Path("/proc/x.toml")) as file:
        file.write(b"x")


@pytest.mark.parametrize("tiny_disk", [40], indirect=True)
def test_a_full_disk_is_a_sentence_and_leaves_what_was_there(tiny_disk: Path) -> None:
    path = tiny_disk / "x.json"
    path.write_text("old")
    with pytest.raises(OutputError, match="No space left on device"), write_aside(path) as file:
        file.write(bytes(100_000))
    assert path.read_text() == "old" and list(tiny_disk.iterdir()) == [path]


@pytest.mark.parametrize("kind", ["link", "hard link"])
def test_nothing_is_written_through_a_link_in_the_temporary_place(tmp_path: Path, kind: str) -> None:
    """As somebody puts it there who may rename files in the folder."""
    (tmp_path / "letter").write_text("dear")
    with pytest.raises(OutputError, match="another file has taken its place"), write_aside(tmp_path / "x.toml") as file:
        (partial,) = tmp_path.glob(".x.partial-*")
        partial.unlink()
        partial.symlink_to("letter") if kind == "link" else os.link(tmp_path / "letter", partial)
        file.write(b"mine")
    assert (tmp_path / "letter").read_text() == "dear" and [item.name for item in tmp_path.iterdir()] == ["letter"]


def test_what_a_program_makes_aside_lies_where_only_this_user_writes(tmp_path: Path) -> None:
    """Also if somebody moves the folder away meanwhile, and puts a link there."""
    (tmp_path / "place").mkdir()
    (tmp_path / "letters").mkdir()
    letter = tmp_path / "letters" / "made.mkv"
    letter.write_text("dear")
    with make_aside(tmp_path / "place" / "x.mkv") as made:
        (folder,) = (tmp_path / "place").iterdir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700 and made.name == letter.name
        folder.rename(tmp_path / "place" / "taken")
        folder.symlink_to(tmp_path / "letters")
        made.write_bytes(b"whole")
    assert (tmp_path / "place" / "x.mkv").read_bytes() == b"whole" and letter.read_text() == "dear"


def test_what_could_not_be_made_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), make_aside(tmp_path / "x.mkv") as made:
        made.write_bytes(b"half")
        raise KeyboardInterrupt
    with pytest.raises(OutputError, match="cannot be written"), make_aside(tmp_path / "x.mkv"):
        pass
    assert not list(tmp_path.iterdir())


def test_new_files_are_not_written_through_links(tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("dear")
    for number, make in enumerate((lambda p: p.symlink_to("letter"), lambda p: os.link(tmp_path / "letter", p))):
        path = tmp_path / f"x{number}"
        make(path)
        with pytest.raises(FileExistsError):
            create(path)
        write_new(path, b"mine")
        assert path.read_text() == "mine" and not path.is_symlink()
    (tmp_path / "nowhere").symlink_to("made")
    with pytest.raises(FileExistsError):
        create(tmp_path / "nowhere")
    assert (tmp_path / "letter").read_text() == "dear" and not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("name", "most"),
    [("a" * 300, 64), ("ü" * 120, 200), ("🎵" * 90, 201), (os.fsdecode(b"\xff" * 99), 63), ("", 5)],
)
def test_shortened_names_are_beginnings_of_whole_letters(name: str, most: int) -> None:
    short = shortened(name, most)
    assert (name.startswith(short) and most - 4 < len(os.fsencode(short)) <= most) or short == name == ""
    assert os.fsdecode(os.fsencode(short)) == short


def test_systems_without_owners_or_descriptors_can_do_it_too(tmp_path: Path, monkeypatch) -> None:
    """Windows has neither `geteuid` nor `O_NOFOLLOW`, `O_NONBLOCK` and `O_DIRECTORY`."""
    for name in ("geteuid", "O_DIRECTORY"):
        monkeypatch.delattr(os, name)
    for name in ("_NO_FOLLOW", "_NO_WAIT"):
        monkeypatch.setattr(files, name, 0)
    folder = PrivateFolder(tmp_path / "work")
    folder.check()
    (tmp_path / "work").rmdir()
    (tmp_path / "work").symlink_to(tmp_path)
    with pytest.raises(OSError, match="another folder"):
        folder.check()
    with pytest.raises(OSError, match="it is a link"):
        PrivateFolder(tmp_path / "work")
    folder.close()
    write_new(tmp_path / "x", b"1")
    assert read_regular(tmp_path / "x", 1) == b"1"


def test_disks_that_give_all_files_one_owner_are_worked_on(tmp_path: Path, monkeypatch) -> None:
    """Of networks and containers: what we make belongs to somebody else, too."""
    (tmp_path / "work").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    PrivateFolder(tmp_path / "work").close()


def test_home_and_addresses_of_files_are_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert as_path("~/song.mp3") == tmp_path / "home" / "song.mp3"
    assert as_path("~nobody-of-this-name/a") == Path("~nobody-of-this-name/a")
    assert as_path(f"file://{tmp_path}/a%20song.mp3") == tmp_path / "a song.mp3"
    for plain in ("song.mp3", "a~b", "./~/a", "file:a", "files/~"):
        assert as_path(plain) == Path(plain)
    (tmp_path / "~").mkdir()
    assert as_path("~/song.mp3") == Path("~/song.mp3"), "a folder of this name comes first"
