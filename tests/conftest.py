"""What every room's tests share."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from support import make_features

if TYPE_CHECKING:
    from collections.abc import Iterator

    from audioreactive.features import Features


# The training and the fuzzer are not installed; they are found beside the tests, after everything that is.
sys.path.append(str(Path(__file__).parents[1]))

# Programs in the background are started deaf to interrupts; some tests send them.
signal.signal(signal.SIGINT, signal.default_int_handler)


# A busy machine takes its time for an example.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture
def features() -> Features:
    """Eight seconds at 24 frames a second and 120 bpm."""
    return make_features()


@pytest.fixture
def tiny_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A disk of 200 KiB or as many as asked for, where this user may make one."""
    size = getattr(request, "param", 200)
    disk = tmp_path / "disk"
    disk.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", os.fsencode(disk), b"tmpfs", 0, f"size={size}k".encode()):
        pytest.skip("no right to mount a small disk")
    yield disk
    assert libc.umount(os.fsencode(disk)) == 0
