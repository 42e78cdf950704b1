"""Results that are kept on disk between runs: one file each, read back only if it is whole and ours.

Conventions: an entry is a magic word, the SHA-256 of the rest, and a safetensors file, whose arrays cannot be larger
than its bytes. A bad entry (damaged, of another user, a link, a pipe) counts as missing. If a folder cannot be
written, results are silently not kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from audioreactive._support.files import is_ours, open_regular, write_aside
from audioreactive.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

BAD_ENTRY = (OSError, ValueError, KeyError, TypeError, ArithmeticError, EOFError, SafetensorError)
"""Errors that reading or using an entry raises if it is not what was written."""


def read_entry(path: Path, magic: bytes, largest: int) -> dict[str, np.ndarray] | None:
    """Read the arrays of an entry of at most `largest` bytes; None if it is missing or bad."""
    try:
        with open_regular(path, follow=False) as file:
            status = os.fstat(file.fileno())
            if not is_ours(status, path.parent) or status.st_size > largest or file.read(len(magic)) != magic:
                return None
            digest, body = file.read(32), file.read()
        if digest != hashlib.sha256(body).digest():
            return None
        return load(body)
    except BAD_ENTRY:
        return None


def write_entry(path: Path, magic: bytes, arrays: Mapping[str, np.ndarray]) -> None:
    """Write an entry, if the folder can be written."""
    body = save({name: np.asarray(array, order="C") for name, array in arrays.items()})
    with contextlib.suppress(OSError, OutputError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with write_aside(path) as file:
            file.write(magic + hashlib.sha256(body).digest())
            file.write(body)
