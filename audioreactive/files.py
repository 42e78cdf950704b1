"""Files that appear under their final name only when they are whole."""

from __future__ import annotations

import contextlib
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def write_aside(path: Path) -> Iterator[Path]:
    """A temporary name in the folder of `path`: renamed to it if the body succeeds, removed if it does not."""
    partial = path.with_name(f".{path.stem[:64]}.partial-{secrets.token_hex(4)}{path.suffix}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
