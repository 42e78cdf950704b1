"""What every room's tests share."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from support import make_features

if TYPE_CHECKING:
    from audioreactive.features import Features


# Programs in the background are started deaf to interrupts; some tests send them.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def features() -> Features:
    """Eight seconds at 24 frames a second and 120 bpm."""
    return make_features()
