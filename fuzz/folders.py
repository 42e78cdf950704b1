"""Work folders as targets: whatever lies in one, a render of its output is whole, or refused by a sentence.

An input is JSON: a list of entries, each with a name, a kind, a text or a size. They are made in the work folder of an
output, a render is begun there, cut short, and finished, with stand-ins for the network, the encoder and the muxer.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
import zlib
from dataclasses import dataclass, field
from fractions import Fraction
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

from audioreactive._support.files import write_new
from audioreactive.chunks import film as film_module
from audioreactive.chunks.film import Film, make_film
from audioreactive.chunks.folder import work_folder
from audioreactive.chunks.making import chunk_name
from audioreactive.chunks.plan import MadeChunk, plan_chunks
from audioreactive.errors import VideoError, printable
from audioreactive.progress import Silent

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path
    from random import Random

    from audioreactive.chunks.plan import Chunk
    from audioreactive.progress import Advance

FRAMES: Final = 12
LENGTH: Final = 4
JOB: Final = {"song": "a", "model": "b"}
NAMES: Final = (
    "lock", "job.json", "chunks.jsonl", "chunk_000000.mov", "chunk_000001.mov", "chunk_000002.mov", "chunk_000009.mov",
    "chunk_000000.mov.partial-12345678", "tags.txt", "sound.mkv", "joined.mkv", "joined", "thumbnails", "head.mkv",
    ".job.partial-0123456789abcdef.json", "chunk_ü.mov", "-rf", "%d",
)  # fmt: skip
KINDS: Final = (
    "file",
    "file",
    "file",
    "pipe",
    "socket",
    "folder",
    "link",
    "endless",
    "circle",
    "twin",
    "sparse",
    "none",
)
MOST_ENTRIES: Final = 12
LARGEST: Final = 1 << 40


def content(index: int) -> bytes:
    """A chunk's bytes as the stand-in makes them."""
    return f"chunk {index}".encode()


def chunk_line(index: int, data: bytes | None = None) -> dict[str, Any]:
    """What the journal states of a chunk."""
    data = content(index) if data is None else data
    name, digest = chunk_name(index, ".mov"), hashlib.sha256(data).hexdigest()
    return {"index": index, "frames": LENGTH, "name": name, "bytes": len(data), "sha256": digest}


@dataclass
class _Executor:
    """Makes chunks of a few bytes; may be interrupted before one."""

    cut: int | None = None
    fail: type[BaseException] = KeyboardInterrupt

    def make(self, chunks: Sequence[Chunk], folder: Path, advance: Advance) -> Generator[MadeChunk, None, None]:
        for chunk in chunks:
            if chunk.index == self.cut:
                raise self.fail
            made = MadeChunk(**chunk_line(chunk.index))
            partial = folder / f"{made.name}.partial-0"
            partial.write_bytes(content(chunk.index))
            partial.replace(folder / made.name)
            yield made


@dataclass
class _Joined:
    """Stands in for `video.chunks.join`; knows what may be joined."""

    planted: dict[str, set[bytes]] = field(default_factory=dict)

    def join(self, encoding: object, parts: Sequence[tuple[str, int]], *, folder: Path, **given: object) -> Path:
        if [count for _, count in parts] != [LENGTH] * (FRAMES // LENGTH):
            raise AssertionError(f"other chunks are joined: {parts}")
        made = folder / "joined.mkv"
        with made.open("xb") as file:
            for index, (name, _) in enumerate(parts):
                data = (folder / name).read_bytes()
                if data != content(index) and data not in self.planted.get(name, ()):
                    raise AssertionError(f"{name} holds {data[:40]!r}")
                file.write(data)
        return made


class _Sound:
    """Stands in for `video.chunks.SoundTrack`."""

    def __init__(self, *arguments: object, **choice: object) -> None:
        self.notes: list[str] = []

    def check(self) -> None:
        pass

    def finish(self) -> None:
        return None

    def abandon(self) -> None:
        pass


class _Watch:
    """Stands in for `light.FlashWatch`: chunks of a few bytes have no light."""

    def __init__(self, *arguments: object) -> None:
        pass

    def accept(self, made: MadeChunk) -> None:
        pass

    def sentence(self) -> None:
        return None


def read_folder(data: bytes, scratch: Path) -> None:
    """Make what the input says, and render there: cut short at first, then to the end."""
    place = scratch / "place"
    shutil.rmtree(place, ignore_errors=True)
    mine = place / "mine"
    mine.mkdir(parents=True)
    (mine / "letter").write_bytes(b"dear")
    (place / "song.wav").write_bytes(b"song")
    output = place / "out.mkv"
    joined, share = _Joined(), zlib.crc32(data)
    _plant(_entries(data), work_folder(output), mine, joined)
    film = Film(
        output=output, encoding=_encoding(), chunks=plan_chunks(0, FRAMES, LENGTH), job=JOB, song=place / "song.wav",
        start=Fraction(0), duration=Fraction(FRAMES, 24), preset="",
    )  # fmt: skip
    try:
        with (
            mock.patch.multiple(film_module, SoundTrack=_Sound, FlashWatch=_Watch, join=joined.join),
            mock.patch("os.fsync"),  # it takes longer than all the rest
        ):
            cut = _Executor(share % 4, (KeyboardInterrupt, SystemExit)[share // 4 % 2])
            with contextlib.suppress(KeyboardInterrupt, SystemExit):
                make_film(film, cut, overwrite=False, fresh=share // 8 % 2 == 0, progress=Silent())
            if not output.exists():
                make_film(film, _Executor(), overwrite=False, fresh=share // 16 % 2 == 0, progress=Silent())
    except VideoError as error:
        raise VideoError(printable(str(error))) from error  # as the command line says it
    else:
        _check_finished(place, output)
    finally:
        _check_untouched(mine)


def _encoding() -> Any:
    """As much of an encoding as a film asks for."""
    kind = SimpleNamespace(animation=False)
    return SimpleNamespace(suffix=".mov", kind=kind, settings=SimpleNamespace(size=(48, 32)))


def _entries(data: bytes) -> list[dict[str, Any]]:
    try:
        entries = json.loads(data)
    except (ValueError, RecursionError):
        entries = [{"name": "job.json", "kind": "file", "text": data.decode("latin-1")}]
    return [entry for entry in entries if isinstance(entry, dict)][:MOST_ENTRIES] if isinstance(entries, list) else []


def _plant(entries: list[dict[str, Any]], work: Path, mine: Path, joined: _Joined) -> None:
    """Make the entries; an entry without a name is the folder itself."""
    for entry in entries:
        name = str(entry.get("name", ""))[:60].replace("/", "_").replace("\0", "_").strip(".")
        path = work / name if name else work
        if work.is_symlink():  # what lies there is somebody else's
            return
        with contextlib.suppress(OSError, ValueError, TypeError, OverflowError):
            path.parent.mkdir(exist_ok=True, mode=0o755)
            data = str(entry.get("text", "")).encode("latin-1", "replace")
            _make(path, str(entry.get("kind")), data, entry.get("size"), mine)
            if path.parent == work and path.is_file() and not path.is_symlink():
                joined.planted.setdefault(name, set()).add(data)


def _make(path: Path, kind: str, data: bytes, size: Any, mine: Path) -> None:
    makers: dict[str, Callable[[], object]] = {
        "pipe": lambda: os.mkfifo(path),
        "socket": lambda: os.mknod(path, stat.S_IFSOCK | 0o600),
        "folder": lambda: _make_folders(path),
        "link": lambda: path.symlink_to(mine / "letter" if size != 1 else mine),
        "endless": lambda: path.symlink_to("/dev/zero"),
        "circle": lambda: path.symlink_to(path.name),
        "twin": lambda: os.link(mine / "letter", path),
        "none": lambda: None,
    }
    if kind in makers:
        makers[kind]()
        return
    write_new(path, data)  # not through what an earlier entry made
    if kind == "sparse":
        with path.open("rb+") as file:
            file.truncate(min(max(int(size), 0), LARGEST))


def _make_folders(path: Path) -> None:
    path.mkdir()  # not through a link that an earlier entry made
    (path / "deep").mkdir()


def _check_finished(place: Path, output: Path) -> None:
    if not stat.S_ISREG(output.lstat().st_mode):
        raise AssertionError("the output is no file")
    if left := {item.name for item in place.iterdir()} - {"mine", "song.wav", "out.mkv"}:
        raise AssertionError(f"stray files: {left}")


def _check_untouched(mine: Path) -> None:
    letter = mine / "letter"
    if [item.name for item in mine.iterdir()] != ["letter"] or letter.read_bytes() != b"dear":
        raise AssertionError("what a link pointed to was touched")


def mutate_folder(data: bytes, draw: Random, change: Callable[[bytes], bytes]) -> bytes:
    """Entries added, taken away and changed, in name, kind and content; a journal's lines in their values."""
    try:
        entries = [entry for entry in json.loads(data) if isinstance(entry, dict)]
    except (ValueError, TypeError, RecursionError):
        return change(data)
    if draw.random() < 0.05:
        return change(data)
    for _ in range(draw.choice((1, 1, 2, 4))):
        case = draw.randrange(5)
        if not entries or case == 0:
            entries.append({"name": draw.choice(NAMES), "kind": draw.choice(KINDS), "text": "x", "size": 1 << 30})
            continue
        entry = draw.choice(entries)
        match case:
            case 1:
                entry["kind"] = draw.choice(KINDS)
            case 2:
                entry["name"] = draw.choice((*NAMES, ""))
            case 3:
                entry["text"] = _changed_text(str(entry.get("text", "")), draw, change)
            case 4 if draw.random() < 0.5:
                entries.remove(entry)
            case _:
                entry["size"] = draw.choice((0, 1, 13, 1 << 20, 1 << 31, 1 << 40, -1, None, "1"))
    return json.dumps(entries[:MOST_ENTRIES]).encode()


def _changed_text(text: str, draw: Random, change: Callable[[bytes], bytes]) -> str:
    lines = text.split("\n")
    place = draw.randrange(len(lines))
    with contextlib.suppress(ValueError, RecursionError):
        stated = json.loads(lines[place])
        if isinstance(stated, dict) and stated and draw.random() < 0.8:
            values: tuple[Any, ...] = (
                0,
                1,
                -1,
                2,
                1e999,
                None,
                [],
                {},
                "x",
                "../../x",
                1 << 62,
                10**400,
                stated.get("index"),
                True,
            )
            stated[draw.choice([*stated, "more"])] = draw.choice(values)
            lines[place] = json.dumps(stated)
            return "\n".join(lines)
    lines[place] = draw.choice(
        (
            change(lines[place].encode("latin-1", "replace")).decode("latin-1"),
            "[" * 5000,
            lines[place] * 2,
            "9" * 5000,
            "",
        )
    )
    return "\n".join(lines)


def seeds() -> dict[str, bytes]:
    """Name -> input: folders as renders leave them, and with what archives may hold."""
    job = {"name": "job.json", "kind": "file", "text": json.dumps(JOB)}
    lines = [json.dumps(chunk_line(index)) for index in range(FRAMES // LENGTH)]
    files = [
        {"name": chunk_name(index, ".mov"), "kind": "file", "text": content(index).decode()}
        for index in range(FRAMES // LENGTH)
    ]
    journal = {"name": "chunks.jsonl", "kind": "file", "text": "\n".join(lines) + "\n"}
    other = {"name": "job.json", "kind": "file", "text": json.dumps({"song": "c"})}
    strange = [{"name": name, "kind": kind} for name, kind in zip(NAMES, KINDS[3:-1], strict=False)]
    endless = {"name": "chunk_000000.mov", "kind": "sparse", "text": "", "size": LARGEST}
    return {
        name: json.dumps(entries).encode()
        for name, entries in {
            "whole": [job, journal, *files],
            "half": [job, {**journal, "text": lines[0] + "\n" + lines[1][:20]}, files[0]],
            "other": [other, journal, *files],
            "strange": strange,
            "endless": [job, {**journal, "text": json.dumps({**chunk_line(0), "bytes": LARGEST}) + "\n"}, endless],
            "link": [{"name": "", "kind": "link", "size": 1}],
        }.items()
    }
