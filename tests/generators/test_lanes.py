"""Functions of 16 pixels at a time, `lanes.h`: against NumPy, with the widest instructions of this chip and without."""

from __future__ import annotations

import ctypes
import platform
from typing import TYPE_CHECKING

import numpy as np
import pytest
from compilers import needs_compiler

from audioreactive.generators.painter import kernels
from audioreactive.generators.painter.families import SHADERS
from stylegan_ops import build

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Values = NDArray[np.float32]

POSITIVE = np.geomspace(1e-6, 1e6, 4096, dtype=np.float32)
SIGNED = np.linspace(-40, 40, 4096, dtype=np.float32)
SMALL = np.linspace(-3, 3, 4096, dtype=np.float32)

FUNCTIONS: dict[str, tuple[Callable[[Values], Values], Values, float]] = {
    "floor": (np.floor, SIGNED, 0.0),
    "fract": (lambda x: x - np.floor(x), SIGNED, 0.0),
    "abs": (np.abs, SIGNED, 0.0),
    "sqrt": (np.sqrt, POSITIVE, 3e-7),
    "inversesqrt": (lambda x: 1 / np.sqrt(x), POSITIVE, 3e-7),
    "exp2": (np.exp2, SIGNED, 1e-5),
    "exp": (np.exp, SIGNED, 1e-5),
    "log2": (np.log2, POSITIVE, 1e-5),
    "sin": (np.sin, SIGNED, 2e-5),
    "cos": (np.cos, SIGNED, 2e-5),
    "tanh": (np.tanh, SMALL, 1e-5),
}
"""Name -> the same in NumPy, values to try, and the largest error, relative where the result exceeds 1."""

PROBE = """
#include "lanes.h"
using namespace painter;
#define PROBED(name) \\
    EXPORT void paint_##name(const float *from, float *to, int64_t count) { \\
        for (int64_t at = 0; at < count; at += 16) { \\
            Float x; \\
            std::memcpy(&x, from + at, 64); \\
            const Float y = name(x); \\
            std::memcpy(to + at, &y, 64); \\
        } \\
    }
INLINE Float extremes(Float x) { return min(x, 2.0f) + max(x, -3.0f); }
INLINE Float powers(Float x) { return pow(x, 0.4166667f); }
INLINE Float angles(Float x) { return atan(sin(x), cos(x)); }
INLINE Float means(Float x) { return mean(x.v); }
"""
NAMES = (*FUNCTIONS, "extremes", "powers", "angles", "means")


@pytest.fixture(scope="module", params=["widest", "narrower"])
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    needs_compiler()
    narrower = request.param == "narrower"
    if narrower and platform.machine() != "x86_64":
        pytest.skip("this chip has vectors of one width")
    source: Path = tmp_path_factory.mktemp("lanes") / "probe.cpp"
    source.write_text(PROBE + "".join(f"PROBED({name})\n" for name in NAMES), "utf-8")
    flags = (*kernels.FLAGS, f"-I{SHADERS}", *(["-mno-avx512f"] if narrower else []))
    path, _ = build.native_library("lanes", (build.Unit(source, "probe"),), [SHADERS / "lanes.h"], flags)
    return ctypes.CDLL(str(path))


def called(library: ctypes.CDLL, name: str, values: Values) -> Values:
    made = np.empty_like(values)
    getattr(library, f"paint_{name}")(
        ctypes.c_void_p(values.ctypes.data), ctypes.c_void_p(made.ctypes.data), ctypes.c_int64(len(values))
    )
    return made


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_pixels(library: ctypes.CDLL, name: str) -> None:
    function, values, error = FUNCTIONS[name]
    expected = function(values.astype(np.float64))
    found = called(library, name, values)
    assert (np.abs(found - expected) / np.maximum(np.abs(expected), 1)).max() <= error + 1e-7


def test_functions_of_two_values_and_of_a_block(library: ctypes.CDLL) -> None:
    extremes = np.minimum(SIGNED, 2) + np.maximum(SIGNED, -3)
    np.testing.assert_array_equal(called(library, "extremes", SIGNED), extremes)
    np.testing.assert_allclose(called(library, "powers", POSITIVE), POSITIVE.astype(np.float64) ** 0.4166667, rtol=2e-5)
    np.testing.assert_allclose(called(library, "angles", SMALL), SMALL, atol=3e-5)
    blocks = SIGNED.astype(np.float64).reshape(-1, 16).mean(1).repeat(16)
    np.testing.assert_allclose(called(library, "means", SIGNED), blocks, atol=1e-5)


def test_at_the_ends_of_their_ranges(library: ctypes.CDLL) -> None:
    zeros = np.zeros(16, np.float32)
    assert not called(library, "sqrt", zeros).any() and not called(library, "powers", zeros + 1e-45).max() > 1e-12
    assert called(library, "log2", zeros + 1).tolist() == [0] * 16
    large = np.full(16, 1e4, np.float32)
    assert np.isfinite(called(library, "exp", large)).all() and called(library, "exp", -large).max() < 1e-30
    assert called(library, "tanh", large).tolist() == [1] * 16
