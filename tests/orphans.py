"""A worker whose main process is killed; both start without PyTorch, which takes longer than what they do."""

from __future__ import annotations

import multiprocessing
import threading
import time
from typing import TYPE_CHECKING

from audioreactive.chunks import workers

if TYPE_CHECKING:
    from multiprocessing.connection import Connection


def parent_of_a_worker(pipe: Connection) -> None:
    """A main process that waits for its worker, and says which it is."""
    child = multiprocessing.get_context("spawn").Process(target=_idle_worker)
    child.start()
    pipe.send(child.pid)
    child.join()


def _idle_worker() -> None:
    threading.Thread(target=workers._end_with_parent, daemon=True).start()
    time.sleep(600)
