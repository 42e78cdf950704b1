"""Files that appear under their final name only when they are whole."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from typing import TYPE_CHECKING

from audioreactive.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


@contextlib.contextmanager
def write_aside(path: Path) -> Iterator[Path]:
    """A temporary name in the folder of `path`: renamed to it if the body succeeds, removed if it does not.

    Its bytes are on the disk before it has the name: a power cut leaves what was there before, or all of the new.
    """
    # A name may have 255 bytes; ours adds some to it.
    stem = os.fsdecode(os.fsencode(path.stem)[:64])
    partial = path.with_name(f".{stem}.partial-{secrets.token_hex(4)}{path.suffix}")
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def check_name(path: Path, suffixes: Sequence[str], *, overwrite: bool) -> None:
    """Refuse early, before any work, a name under which the result could not be written.

    Raises:
        OutputError: it ends in none of the suffixes, its folder is missing, or it is taken and not to be replaced.
    """
    if path.suffix.lower() not in suffixes:
        raise OutputError(f"{str(path)!r} should end in {' or '.join(suffixes)}")
    if not path.parent.is_dir():
        raise OutputError(f"the folder {str(path.parent)!r} does not exist")
    if path.exists() and not overwrite:
        raise OutputError(f"{str(path)!r} exists; choose another name or give --overwrite")


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
