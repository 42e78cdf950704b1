"""How many examples a property is tried on: few in each run of the tests, many with `HYPOTHESIS_PROFILE=thorough`."""

from __future__ import annotations

import os

PROFILE = "thorough" if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else "patient"
"""Profile of Hypothesis, both of which `conftest.py` describes."""


def examples(few: int, many: int) -> int:
    """Return the number for this run; what is tried is drawn anew each time, so that runs add up."""
    return many if PROFILE == "thorough" else few
