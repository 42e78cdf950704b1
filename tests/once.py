"""What takes long to make, and is made once for a run of the tests, by whichever process asks for it first."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

try:
    import fcntl
except ImportError:  # elsewhere than on Unix: two processes may both make it
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = "AUDIOREACTIVE_TESTS_FOLDER"
"""Environment variable that names a folder which all processes of a run have in common; `conftest.py` sets it."""


def made_once(name: str, make: Callable[[Path], None]) -> Path:
    """Return the file of this name in the common folder; `make` writes it if it is not there yet."""
    path = Path(os.environ[FOLDER], name)
    with path.with_name(f"{name}.lock").open("wb") as lock:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)  # until it is closed
        if not path.exists():
            aside = path.with_name(f"{os.getpid()}-{name}")
            make(aside)
            aside.replace(path)
    return path
