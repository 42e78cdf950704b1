"""The hidden folder beside the output, in which an interrupted render keeps its chunks.

Only this user can write to it: it must belong to the user, with mode 0700, or it is refused. Its content may still come
from a stranger, for instance from an archive with a song. So everything that is not a regular file with one name
(links, pipes, devices, folders) is removed unread, and the size of what is read is bounded.

It holds `job.json`, which describes the render; `chunks.jsonl`, a journal with a line for each finished chunk; the
chunks; and a lock, which the system releases when a program dies. A chunk is used if the journal names it and its bytes
have the digest in the journal; all others are made again. Only the main process writes the journal.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
from itertools import islice
from typing import TYPE_CHECKING, Final, Self

from filelock import FileLock, Timeout

from audioreactive._support.files import (
    PrivateFolder,
    is_plain,
    open_regular,
    read_regular,
    remove,
    shortened,
    write_aside,
)
from audioreactive.chunks.light import LIGHT
from audioreactive.chunks.making import CHUNK, chunk_name
from audioreactive.chunks.plan import MadeChunk
from audioreactive.errors import VideoError
from audioreactive.video.chunks import SPARE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path
    from types import TracebackType

    from audioreactive.chunks.plan import Chunk

_JOB_FILE: Final = "job.json"
_JOURNAL: Final = "chunks.jsonl"
_LOCK_FILE: Final = "lock"
_LONGEST_JOB: Final = 1 << 20
"""Most bytes of the job file that are read."""
_KEPT: Final = (f"{CHUNK}_", f"{LIGHT}_")
"""Prefixes of the files that are kept for the next run."""
_MOST_LINES: Final = 1 << 15
"""Most lines of the journal that are read; a line is a chunk of some seconds, and a song has at most six hours."""
_LONGEST_LINE: Final = 1 << 10
"""Most bytes of a line of the journal; a usual line has 150."""
_LONGEST_NAME: Final = 200
"""Bytes of the output's name that the name of the work folder repeats; file systems allow 255 bytes in all."""


class WorkFolder:
    """The folder of one render; a context manager that locks it for this process.

    After success it is removed. After an error it stays if it holds a finished chunk.

    Args:
        output: the video that is being made.
        job: description of the render, name -> value.
        fresh: throw away the chunks of another job.

    Raises:
        VideoError: another program uses the folder, or it holds the chunks of another job.
    """

    def __init__(self, output: Path, job: Mapping[str, str], *, fresh: bool = False) -> None:
        self.path = work_folder(output)
        self._output, self._job, self._fresh = output, dict(job), fresh
        self._lock = FileLock(self.path / _LOCK_FILE, blocking=False)
        self._folder: PrivateFolder | None = None

    def __enter__(self) -> Self:
        self._claim()
        try:
            self._remove_strange()
            self._check_job()
            self._sweep()
        except BaseException:
            self._let_go()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None or not self.kept:
                shutil.rmtree(self.path, ignore_errors=True)
            else:
                self._sweep()
        finally:
            self._let_go()

    @property
    def kept(self) -> int:
        """Number of chunks that the journal names."""
        return len(self._read_journal())

    def finished(
        self, chunks: Iterable[Chunk], suffix: str, *, most_bytes: Callable[[int], int]
    ) -> dict[int, MadeChunk]:
        """Find the chunks that exist and are intact; all others are removed from the journal.

        Args:
            chunks: all chunks of the render.
            suffix: suffix of their files.
            most_bytes: number of frames -> most bytes of a chunk with so many; longer files are not read.
        """
        stated = self._read_journal()
        found = {}
        for chunk in chunks:
            made = stated.get(chunk.index)
            if (
                made
                and made.frames == len(chunk)
                and made.name in (chunk_name(chunk.index, suffix), chunk_name(chunk.index, suffix, SPARE))
                and self._holds(made, most_bytes(len(chunk)))
            ):
                found[chunk.index] = made
        with write_aside(self.path / _JOURNAL) as file:
            file.writelines(map(_line, found.values()))
        return found

    def accept(self, made: MadeChunk) -> None:
        """Write a chunk into the journal and flush it to the disk."""
        self.check()
        with (self.path / _JOURNAL).open("ab") as journal:
            journal.write(_line(made))
            journal.flush()
            os.fsync(journal.fileno())

    def check(self) -> None:
        """Raise OSError if the folder was replaced by another one."""
        assert self._folder is not None
        self._folder.check()

    def _claim(self) -> None:
        for _ in range(10):
            try:
                self._folder = PrivateFolder(self.path)
            except FileNotFoundError:  # another render has just finished and removed the folder
                continue
            except OSError as error:
                if not os.path.lexists(self.path):
                    raise
                raise VideoError(
                    f"{self.path} cannot be used to work in ({error.strerror}); delete it, or choose another name "
                    "with -o"
                ) from error
            try:
                if self._acquire():
                    return
            except BaseException:
                self._let_go()
                raise
            self._let_go()
        raise VideoError(f"the folder {self.path} comes and goes; is something else cleaning up there?")

    def _acquire(self) -> bool:
        """Take the lock; return False if it was removed meanwhile, with the folder."""
        lock = self.path / _LOCK_FILE
        if os.path.lexists(lock) and not is_plain(lock):
            remove(lock)  # not a lock file of ours; locking it would write to its target
        try:
            self._lock.acquire()
        except Timeout:
            raise VideoError(
                f"another render is making {self._output} at this moment; wait for it, or choose another name"
            ) from None
        except FileNotFoundError:
            return False
        return lock.exists()

    def _let_go(self) -> None:
        self._lock.release()
        if self._folder is not None:
            self._folder.close()

    def _check_job(self) -> None:
        stated = self._read_job()
        if stated == self._job:
            return
        if stated is not None and not self._fresh:
            names = sorted(name for name in {*stated, *self._job} if stated.get(name) != self._job.get(name))
            raise VideoError(
                f"{self._output} was begun before, and not with the same {', '.join(names) or 'program'}; "
                f"finish it as it was begun, or begin anew with --fresh (what is there lies in {self.path})"
            )
        self._empty()
        try:
            with write_aside(self.path / _JOB_FILE) as file:
                file.write(json.dumps(self._job, indent=1).encode() + b"\n")
        except BaseException:  # a full disk: nothing is in the folder that a later render could use
            shutil.rmtree(self.path, ignore_errors=True)
            raise

    def _read_job(self) -> dict[str, str] | None:
        """The job in the folder; None if there is none, and an empty one if it cannot be read."""
        try:
            job = json.loads(read_regular(self.path / _JOB_FILE, _LONGEST_JOB, follow=False))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError):
            return {}
        return job if isinstance(job, dict) else {}

    def _read_journal(self) -> dict[int, MadeChunk]:
        """Chunks in the journal, by index; incomplete or malformed lines are skipped."""
        stated = {}
        with contextlib.suppress(OSError), open_regular(self.path / _JOURNAL, follow=False) as journal:
            # line by line: whoever packed the folder may have written a journal that fills the memory
            for line in islice(iter(lambda: journal.readline(_LONGEST_LINE), b""), _MOST_LINES):
                with contextlib.suppress(ValueError, TypeError, OverflowError, RecursionError):
                    made = MadeChunk(**json.loads(line))
                    stated[int(made.index)] = made
        return stated

    def _holds(self, made: MadeChunk, most_bytes: int) -> bool:
        path = self.path / made.name
        try:
            with open_regular(path, follow=False) as file:
                size = os.fstat(file.fileno()).st_size
                if size != made.bytes or size > most_bytes:
                    return False
                return hashlib.file_digest(file, "sha256").hexdigest() == made.sha256
        except OSError:
            return False

    def _remove_strange(self) -> None:
        """Remove links, pipes, devices, and files with a second name elsewhere; a render leaves none of these."""
        for item in self.path.iterdir():
            if item.name != _LOCK_FILE and not is_plain(item):
                remove(item)

    def _sweep(self) -> None:
        """Remove everything that an earlier run left, except finished chunks and the files about them."""
        keep = {_JOB_FILE, _JOURNAL, _LOCK_FILE}
        for item in self.path.iterdir():
            if item.name not in keep and not (item.name.startswith(_KEPT) and ".partial-" not in item.name):
                remove(item)

    def _empty(self) -> None:
        for item in self.path.iterdir():
            if item.name != _LOCK_FILE:
                remove(item)


def work_folder(output: Path) -> Path:
    """Path of the work folder of this output.

    Raises:
        VideoError: the output is the folder of all folders.
    """
    output = output.absolute()
    name = output.name
    if not name:
        raise VideoError(f"{output} holds all other folders; choose a name in it for the video")
    if len(os.fsencode(name)) > _LONGEST_NAME:  # a digest keeps long names apart that begin alike
        name = shortened(name, _LONGEST_NAME - 9) + "-" + hashlib.sha256(os.fsencode(name)).hexdigest()[:8]
    return output.with_name(f".{name}.render")


def _line(made: MadeChunk) -> bytes:
    return json.dumps(dataclasses.asdict(made)).encode() + b"\n"
