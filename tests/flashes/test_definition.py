"""The numbers of the standards, against values that can be looked up."""

from __future__ import annotations

import numpy as np
import pytest

from audioreactive.flashes.definition import Geometry, chromaticity, is_saturated_red, luminance, to_codes, to_light


def test_every_code_survives_the_way_to_light_and_back() -> None:
    codes = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(to_codes(to_light(codes)), codes)


def test_light_of_known_codes() -> None:
    # sRGB 188 is half the light, 119 (a grey of 18 %) is photographers' middle grey.
    np.testing.assert_allclose(to_light(np.array([0, 119, 188, 255], np.uint8)), [0, 0.184, 0.503, 1], atol=5e-4)
    assert luminance(np.ones(3, np.float32)) == pytest.approx(1)


@pytest.mark.parametrize(
    ("colour", "u", "v"),
    [
        ((1, 1, 1), 0.1978, 0.4683),
        ((1, 0, 0), 0.4507, 0.5229),
        ((0, 1, 0), 0.1250, 0.5625),
        ((0, 0, 1), 0.1754, 0.1579),
    ],
)
def test_chromaticity_of_the_primaries(colour, u, v) -> None:
    """CIE 1976 u', v' of the sRGB primaries and of D65, as tables have them; a hundredth for the light of the room."""
    np.testing.assert_allclose(chromaticity(np.array(colour, np.float32)), [u, v], atol=0.01)


def test_black_has_the_colour_of_white() -> None:
    np.testing.assert_allclose(chromaticity(np.zeros(3, np.float32)), chromaticity(np.ones(3, np.float32)), atol=1e-4)


def test_saturated_red() -> None:
    colours = np.array([(0.8, 0.2, 0), (0.79, 0.21, 0), (0.4, 0.05, 0.05), (0, 0, 0), (0, 1, 0)], np.float32)
    assert is_saturated_red(colours).tolist() == [True, False, True, False, False]


def test_geometry() -> None:
    whole = Geometry.of(1024, 768)
    assert whole == Geometry((48, 64), (16, 21))
    assert Geometry.of(2048, 1536) == whole
    # A wide picture is less high on the same screen, so ten degrees are a larger share of it.
    assert Geometry.of(1920, 1080) == Geometry((36, 64), (16, 21))
    assert Geometry.of(512, 512) == Geometry((48, 48), (16, 21))
    assert Geometry.of(24, 24) == Geometry((24, 24), (8, 10))
    assert Geometry.of(1, 1) == Geometry((1, 1), (1, 1))
