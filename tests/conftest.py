"""What every room's tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support import make_features

if TYPE_CHECKING:
    from audioreactive.features import Features


@pytest.fixture
def features() -> Features:
    """Eight seconds at 24 frames a second and 120 bpm."""
    return make_features()
