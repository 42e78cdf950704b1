"""Files of people and of strangers: read without waiting, written without harm.

A file has its name only when it is whole. It is created exclusively, never through a link that somebody has put in its
place. Inputs of a command are never overwritten, whatever was asked for. What is read is a regular file: a pipe would
be waited for, a device may have no end.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from audioreactive.errors import OutputError, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from io import BufferedReader

_NO_FOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT: Final = getattr(os, "O_NONBLOCK", 0)
_BINARY: Final = getattr(os, "O_BINARY", 0)
"""Flags that some systems lack."""
LONGEST_STEM: Final = 64
"""Bytes of a file's name that its temporary name repeats: names have 255 bytes at most."""


def shortened(name: str, most: int) -> str:
    """The beginning of a name that has at most so many bytes, whole characters alone: some disks take no others."""
    while len(os.fsencode(name)) > most:
        name = name[: min(len(name) - 1, most)]
    return name


def kind_of(mode: int) -> str:
    """What a file is, for a person, from its mode."""
    kinds = {stat.S_ISREG: "file", stat.S_ISDIR: "folder", stat.S_ISLNK: "link", stat.S_ISFIFO: "pipe",
             stat.S_ISSOCK: "socket"}  # fmt: skip
    return next((name for test, name in kinds.items() if test(mode)), "device")


def open_regular(path: Path, *, follow: bool = True) -> BufferedReader:
    """Open a file to read it; never waits, whatever has the name.

    Args:
        path: the file.
        follow: links, too.

    Raises:
        OSError: there is none, it cannot be read, or it is not a regular file.
    """
    _check_regular(path.stat() if follow else path.lstat(), path)
    descriptor = os.open(path, os.O_RDONLY | _NO_WAIT | _BINARY | (0 if follow else _NO_FOLLOW))
    try:
        _check_regular(os.fstat(descriptor), path)  # another may have its name by now
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _check_regular(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, f"it is a {kind_of(status.st_mode)}, not a file", str(path))


def read_regular(path: Path, most: int, *, follow: bool = True) -> bytes:
    """The content of a regular file of at most `most` bytes.

    Raises:
        OSError: as `open_regular`; or it is longer.
    """
    with open_regular(path, follow=follow) as file:
        content = bytearray()
        while piece := file.read(1 << 20):  # sizes of files that the system makes up may be 0
            content += piece
            if len(content) > most:
                raise OSError(errno.EFBIG, f"it has more than {most} bytes", str(path))
        return bytes(content)


def create(path: Path) -> BinaryIO:
    """Open a new file to write to.

    Raises:
        FileExistsError: something has the name, be it a link to nowhere.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW | _BINARY
    return os.fdopen(os.open(path, flags, 0o666), "wb")


def write_new(path: Path, data: bytes) -> None:
    """Write a file in place of what has the name, which is not written to."""
    path.unlink(missing_ok=True)
    with create(path) as file:
        file.write(data)


@contextlib.contextmanager
def write_aside(path: Path) -> Iterator[Path]:
    """A new and empty file in the folder of `path`: renamed to it if the body succeeds, removed if it does not.

    Its bytes are on the disk before it has the name: a power cut leaves what was there before, or all of the new.

    Raises:
        OutputError: the system cannot write it.
    """
    partial = path.with_name(f".{shortened(path.stem, LONGEST_STEM)}.partial-{secrets.token_hex(8)}{path.suffix}")
    try:
        create(partial).close()
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise OutputError(
            f"{str(path)!r} cannot be written ({error.strerror or error}); make room, or choose another place"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def check_name(path: Path, suffixes: Sequence[str], *, overwrite: bool, inputs: Iterable[Path | None] = ()) -> None:
    """Refuse early, before any work, a name under which the result could not be written.

    Args:
        path: the file that will be written.
        suffixes: it must end in one of them.
        overwrite: replace a file that has the name.
        inputs: files of the same command, which are never replaced; None stands for one that was not given.

    Raises:
        OutputError: the name is none for such a file, is that of an input, cannot be written, or is taken.
    """
    if path.suffix.lower() not in suffixes:
        raise OutputError(f"{str(path)!r} should end in {' or '.join(suffixes)}")
    keep_apart(path, inputs)
    check_folder(path.parent)
    with contextlib.suppress(FileNotFoundError):
        if not overwrite and path.lstat():
            raise OutputError(f"{str(path)!r} exists; choose another name or give --overwrite")
        if not stat.S_ISREG(mode := path.stat().st_mode):
            raise OutputError(f"{str(path)!r} is a {kind_of(mode)}, not a file; choose another name")


def check_folder(folder: Path) -> None:
    """Refuse a folder in which no file can be made.

    Raises:
        OutputError: it is not there, is none, or is not writable.
    """
    if not folder.is_dir():
        raise OutputError(f"the folder {str(folder)!r} does not exist; create it, or choose another")
    try:
        # Tried, not asked: permissions do not tell of read-only disks, nor the whole truth to an administrator.
        tempfile.TemporaryDirectory(prefix=".", dir=folder).cleanup()
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"the folder {str(folder)!r} is not writable ({reason}); choose another") from error


def keep_apart(output: Path, inputs: Iterable[Path | None], *, cleared: Sequence[Path] = ()) -> None:
    """Refuse an output that is one of the inputs, by whatever name or link, or a folder with one of them inside.

    Args:
        output: what will be written.
        inputs: what will be read; None stands for one that was not given.
        cleared: folders that will be emptied.

    Raises:
        OutputError: writing the output would destroy an input.
    """
    for file in inputs:
        if file is None:
            continue
        if _is_same(output, file):
            raise OutputError(
                f"{str(output)!r} is an input of this command, {str(file)!r}: inputs are never overwritten; "
                "choose another name for the output"
            )
        for folder in (output, *cleared):
            if _is_inside(file, folder):
                raise OutputError(
                    f"the input {str(file)!r} lies in {str(folder)!r}, whose content would be replaced; move it, or "
                    "choose another name for the output"
                )


def _is_same(first: Path, second: Path) -> bool:
    """Whether two names lead to one file, by links of any kind, or in letters of another case where those are one."""
    with contextlib.suppress(OSError, ValueError):
        if first.samefile(second):
            return True
    with contextlib.suppress(OSError, ValueError, RuntimeError):  # RuntimeError: links in a circle
        return first.resolve() == second.resolve()
    return False


def _is_inside(file: Path, folder: Path) -> bool:
    """Whether a file lies in a folder, at any depth, by its name or by where its name leads."""
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        if folder.is_dir():
            there = folder.stat()
            above = {*file.absolute().parents, *file.resolve().parents}
            return any(os.path.samestat(there, parent.stat()) for parent in above if parent.is_dir())
    return False


def is_ours(status: os.stat_result, folder: Path) -> bool:
    """Whether something in a folder belongs to this user; True where the system has no owners.

    Disks of networks and of containers may give all files an owner of their own: then whatever has the same owner as
    a file that is made now counts.
    """
    if not hasattr(os, "geteuid") or status.st_uid == os.geteuid():
        return True
    with contextlib.suppress(OSError), tempfile.TemporaryDirectory(prefix=".", dir=folder) as probe:
        return Path(probe).lstat().st_uid == status.st_uid
    return False


class PrivateFolder:
    """A folder that nobody else can write to, made if need be, and held.

    Raises:
        OSError: it belongs to another user, is a link or no folder, or cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        self._descriptor: int | None = None
        if hasattr(os, "O_DIRECTORY") and os.name == "posix":
            _check_folder(path.lstat(), path)
            self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | _NO_FOLLOW)
        try:
            self._status = path.lstat() if self._descriptor is None else os.fstat(self._descriptor)
            _check_folder(self._status, path)
            if self._descriptor is not None and stat.S_IMODE(self._status.st_mode) != 0o700:
                with contextlib.suppress(OSError):  # disks that keep no permissions refuse, or do not listen
                    os.fchmod(self._descriptor, 0o700)
        except BaseException:
            self.close()
            raise

    def check(self) -> None:
        """See that the name still is this folder's.

        Raises:
            OSError: another folder, or nothing, has it.
        """
        status = self.path.lstat()
        if not (stat.S_ISDIR(status.st_mode) and os.path.samestat(status, self._status)):
            raise OSError(errno.ESTALE, "another folder has taken its place", str(self.path))

    def close(self) -> None:
        """Let go of it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _check_folder(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISDIR(status.st_mode):
        raise OSError(errno.ENOTDIR, f"it is a {kind_of(status.st_mode)}, not a folder", str(path))
    if not is_ours(status, path.parent):
        raise OSError(errno.EPERM, "it belongs to another user", str(path))


def is_plain(path: Path) -> bool:
    """Whether a name is that of a regular file which has no other name."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_nlink <= 1


def described(error: OSError) -> str:
    """An error of the system as a clause, with the file where it tells of one."""
    reason = error.strerror or str(error) or type(error).__name__
    return f"{reason}: {shown(os.fspath(error.filename))}" if isinstance(error.filename, str | bytes) else reason


def make_folder(path: Path) -> None:
    """Make a folder, and those that it lies in.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"the folder {str(path)!r} cannot be made ({error.strerror}): choose another with -o"
        ) from None


_WEB_ADDRESS = re.compile(
    r"(https?|ftp|spotify):/?/?\S|www\.\S+\.|([\w-]+\.)+(com|be|org|net|io|fm|tv)/\S", re.IGNORECASE
)


def is_web_address(name: str | os.PathLike[str]) -> bool:
    """Whether a name reads like a page or a file on the internet, and no file on this computer has it.

    `Path` makes one slash of two, so that both are known.
    """
    name = os.fspath(name)
    return _WEB_ADDRESS.match(name) is not None and not os.path.lexists(name)
