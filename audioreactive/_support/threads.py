"""The number of threads that PyTorch uses."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def at_most_threads(count: int) -> Iterator[None]:
    """Limit PyTorch to `count` threads while the context lasts; a lower limit stays."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(min(before, count))
    try:
        yield
    finally:
        torch.set_num_threads(before)
