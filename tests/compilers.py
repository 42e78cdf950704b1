"""Whether this machine can compile C++: what is compiled is left out of the tests where it cannot, and only there."""

from __future__ import annotations

import os
import shutil

import pytest


def compiler() -> str | None:
    """Find the C++ compiler that the program would take."""
    wanted = [os.environ["CXX"]] if os.environ.get("CXX") else ["c++", "g++", "clang++"]
    return next(filter(shutil.which, wanted), None)


def has_compiler() -> bool:
    """Whether kernels must be there; a build that fails beside a compiler fails the tests, and does not skip them."""
    return os.environ.get("STYLEGAN_OPS") != "reference" and compiler() is not None


def needs_compiler() -> None:
    """Skip the test without one."""
    if not has_compiler():
        pytest.skip("there is no compiler here")
