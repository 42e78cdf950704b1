"""Safe file access: reading never blocks, and writing never destroys an input or leaves half a file.

A file gets its final name only when it is complete. It is created exclusively, so that a link which somebody has put in
its place is never followed. Inputs of a command are never overwritten, not even with --overwrite. Only regular files
are read: a pipe could block, and a device may have no end.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
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
"""Flags of `os.open`; 0 on systems that lack them."""
LONGEST_STEM: Final = 64
"""Most bytes of a file's stem that its temporary name repeats; a whole name may have 255 bytes."""


def shortened(name: str, most: int) -> str:
    """Cut a name to at most `most` bytes, between characters: some disks refuse names with half a character."""
    while len(os.fsencode(name)) > most:
        name = name[: min(len(name) - 1, most)]
    return name


def kind_of(mode: int) -> str:
    """Name the kind of a file (file, folder, link, ...) from its mode, for a message."""
    kinds = {stat.S_ISREG: "file", stat.S_ISDIR: "folder", stat.S_ISLNK: "link", stat.S_ISFIFO: "pipe",
             stat.S_ISSOCK: "socket"}  # fmt: skip
    return next((name for test, name in kinds.items() if test(mode)), "device")


def open_regular(path: Path, *, follow: bool = True) -> BufferedReader:
    """Open a regular file for reading, without blocking on a pipe or a device of that name.

    Args:
        path: the file.
        follow: whether to follow a symbolic link.

    Raises:
        OSError: the file is missing, cannot be read, or is not a regular file.
    """
    _check_regular(path.stat() if follow else path.lstat(), path)
    descriptor = os.open(path, os.O_RDONLY | _NO_WAIT | _BINARY | (0 if follow else _NO_FOLLOW))
    try:
        _check_regular(os.fstat(descriptor), path)  # it may have been replaced since the first check
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
        OSError: as `open_regular`, or the file is longer.
    """
    with open_regular(path, follow=follow) as file:
        content = bytearray()
        while piece := file.read(1 << 20):  # not by its size: files in /proc say 0
            content += piece
            if len(content) > most:
                raise OSError(errno.EFBIG, f"it has more than {most} bytes", str(path))
        return bytes(content)


def create(path: Path) -> BinaryIO:
    """Open a new file to write to.

    Raises:
        FileExistsError: something has this name already, even if it is a broken link.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW | _BINARY
    return os.fdopen(os.open(path, flags, 0o666), "wb")


def write_new(path: Path, data: bytes) -> None:
    """Write a new file under this name; a file that had the name is unlinked first, not written into."""
    path.unlink(missing_ok=True)
    with create(path) as file:
        file.write(data)


@contextlib.contextmanager
def write_aside(path: Path) -> Iterator[BinaryIO]:
    """Yield a new file beside `path`, to write to; rename it to `path` if the body succeeds, remove it otherwise.

    The bytes are flushed to the disk before the rename, so a power cut leaves either the old file or the whole new one.
    It is never opened by its name: whoever may rename files in the folder could have put a link there.

    Raises:
        OutputError: the file cannot be written.
    """
    partial = path.with_name(f".{shortened(path.stem, LONGEST_STEM)}.partial-{secrets.token_hex(8)}{path.suffix}")
    try:
        with create(partial) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            _check_same(partial, os.fstat(file.fileno()))
        partial.replace(path)
    except OSError as error:
        raise _not_written(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def make_aside(path: Path) -> Iterator[Path]:
    """As `write_aside`, for programs that want a name: yield one of a file to be made, in a folder of this user alone.

    Raises:
        OutputError: the file cannot be written.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=".", dir=path.parent, ignore_cleanup_errors=True) as name:
            folder = PrivateFolder(Path(name))
            try:
                made = folder.inside / f"made{path.suffix}"
                yield made
                with made.open("rb+") as file:
                    os.fsync(file.fileno())
                made.replace(path)
            finally:
                folder.close()
    except OSError as error:
        raise _not_written(path, error) from error


def _check_same(path: Path, status: os.stat_result) -> None:
    if not os.path.samestat(path.lstat(), status):
        raise OSError(errno.ESTALE, "another file has taken its place", str(path))


def _not_written(path: Path, error: OSError) -> OutputError:
    reason = error.strerror or error
    return OutputError(f"{str(path)!r} cannot be written ({reason}); make room, or choose another place")


def check_name(path: Path, suffixes: Sequence[str], *, overwrite: bool, inputs: Iterable[Path | None] = ()) -> None:
    """Check, before any work is done, that a result can be written under this name.

    Args:
        path: the file that will be written.
        suffixes: the endings that are allowed.
        overwrite: whether an existing file may be replaced.
        inputs: input files of the same command, which are never replaced; None for an input that was not given.

    Raises:
        OutputError: the name has another ending, is an input, cannot be written, or exists already.
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
    """Check that files can be created in a folder.

    Raises:
        OutputError: the folder does not exist, is not a folder, or is not writable.
    """
    if not folder.is_dir():
        raise OutputError(f"the folder {str(folder)!r} does not exist; create it, or choose another")
    try:
        # Try it: permission bits say nothing about read-only disks, and do not apply to an administrator.
        tempfile.TemporaryDirectory(prefix=".", dir=folder).cleanup()
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"the folder {str(folder)!r} is not writable ({reason}); choose another") from error


def keep_apart(output: Path, inputs: Iterable[Path | None], *, cleared: Sequence[Path] = ()) -> None:
    """Check that the output neither is an input (under any name or link) nor is a folder that contains one.

    Args:
        output: the file or folder that will be written.
        inputs: the files that will be read; None for an input that was not given.
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
    """Whether two names lead to one file, through links or on a disk that ignores the case of letters."""
    with contextlib.suppress(OSError, ValueError):
        if first.samefile(second):
            return True
    with contextlib.suppress(OSError, ValueError, RuntimeError):  # RuntimeError: a loop of links
        return first.resolve() == second.resolve()
    return False


def _is_inside(file: Path, folder: Path) -> bool:
    """Whether a file lies in a folder at any depth, by its own path or by the path that its links lead to."""
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        if folder.is_dir():
            there = folder.stat()
            above = {*file.absolute().parents, *file.resolve().parents}
            return any(os.path.samestat(there, parent.stat()) for parent in above if parent.is_dir())
    return False


def is_ours(status: os.stat_result, folder: Path) -> bool:
    """Whether an entry of a folder belongs to this user; True on systems without file owners.

    Network disks and container mounts may give all files one fixed owner. There, an entry counts as ours if a file
    created now gets the same owner.
    """
    if not hasattr(os, "geteuid") or status.st_uid == os.geteuid():
        return True
    with contextlib.suppress(OSError), tempfile.TemporaryDirectory(prefix=".", dir=folder) as probe:
        return Path(probe).lstat().st_uid == status.st_uid
    return False


class PrivateFolder:
    """A folder that only this user can write to; created if it is missing, and kept open until `close`.

    Raises:
        OSError: the folder belongs to another user, is a link, is not a folder, or cannot be created.
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
                with contextlib.suppress(OSError):  # disks without permissions refuse
                    os.fchmod(self._descriptor, 0o700)
        except BaseException:
            self.close()
            raise

    @property
    def inside(self) -> Path:
        """A path that leads into this folder wherever it is moved, until `close`; on Linux, elsewhere its name."""
        known = Path(f"/proc/{os.getpid()}/fd/{self._descriptor}")
        return known if self._descriptor is not None and known.is_dir() else self.path

    def check(self) -> None:
        """Check that the path still leads to this folder.

        Raises:
            OSError: the folder was removed or replaced.
        """
        status = self.path.lstat()
        if not (stat.S_ISDIR(status.st_mode) and os.path.samestat(status, self._status)):
            raise OSError(errno.ESTALE, "another folder has taken its place", str(self.path))

    def close(self) -> None:
        """Close the handle of the folder."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _check_folder(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISDIR(status.st_mode):
        raise OSError(errno.ENOTDIR, f"it is a {kind_of(status.st_mode)}, not a folder", str(path))
    if not is_ours(status, path.parent):
        raise OSError(errno.EPERM, "it belongs to another user", str(path))


def is_plain(path: Path) -> bool:
    """Whether a path is a regular file without further hard links."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_nlink <= 1


def remove(item: Path) -> None:
    """Remove a file, a link (not what it leads to), or a folder with all that is in it; nothing if it is gone."""
    if item.is_dir() and not item.is_symlink():
        shutil.rmtree(item, ignore_errors=True)
    else:
        item.unlink(missing_ok=True)


def described(error: OSError) -> str:
    """Format an operating system's error for a message: the reason, and the file if the error names one."""
    reason = error.strerror or str(error) or type(error).__name__
    return f"{reason}: {shown(os.fspath(error.filename))}" if isinstance(error.filename, str | bytes) else reason


def make_folder(path: Path) -> None:
    """Create a folder and its missing parents.

    Raises:
        OutputError: the folder cannot be created.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"the folder {str(path)!r} cannot be made ({error.strerror}): choose another with -o"
        ) from None


def as_path(name: str | os.PathLike[str]) -> Path:
    """Path of a file that a person names: `~` is the home folder, and `file://` the address of a file on this computer.

    A file that has such a name itself comes first.
    """
    text = os.fspath(name)
    if text.startswith("~") and not os.path.lexists(Path(text).parts[0]):
        with contextlib.suppress(RuntimeError):  # there is no such user, or no home
            return Path(text).expanduser()
    if text.startswith("file:///") and not os.path.lexists(text):
        from urllib.request import url2pathname

        return Path(url2pathname(text.removeprefix("file://")))
    return Path(name)


_WEB_ADDRESS = re.compile(
    r"(https?|ftp):/\S|spotify:\S|www\.\S+\.|([\w-]+\.)+(com|be|org|net|io|fm|tv)/\S", re.IGNORECASE
)


def is_web_address(name: str | os.PathLike[str]) -> bool:
    """Whether a name looks like a web address and is not an existing file.

    One slash after the colon is accepted too, because `Path` turns `//` into `/`.
    """
    name = os.fspath(name)
    return _WEB_ADDRESS.match(name) is not None and not os.path.lexists(name)
