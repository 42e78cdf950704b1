"""How many flashes are counted in signals whose number is known."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from flashes import videos
from hypothesis import given, settings
from hypothesis import strategies as st

from audioreactive.flashes.definition import (
    RED_PRIMARY,
    ROUNDING,
    SATURATED,
    TRANSITIONS,
    Geometry,
    chromaticity,
    is_saturated_red,
    luminance,
    to_light,
)
from audioreactive.flashes.detect import FlashMeter
from audioreactive.flashes.measure import Thumbnails, measure
from audioreactive.flashes.transitions import RedSwings, Swings, _distance

FPS = Fraction(24)


def counted(frames: np.ndarray, fps: Fraction = FPS) -> tuple[np.ndarray, np.ndarray]:
    """(general, red): transitions in the second up to each frame."""
    meter = FlashMeter(Geometry.of(frames.shape[2], frames.shape[1]))
    moments = meter.push(to_light(measure(frames)), [float(i / fps) for i in range(len(frames))])
    return np.array([m.general.transitions for m in moments]), np.array([m.red.transitions for m in moments])


@pytest.mark.parametrize("hertz", [1, 2, 3, 4, 6, 12])
def test_a_square_wave_has_two_transitions_a_period(hertz) -> None:
    general, red = counted(videos.flat(np.tile(np.repeat([0.1, 0.9], 12 // hertz), hertz * 3), side=8))
    assert general[-1] == 2 * hertz and general.max() == 2 * hertz and red.max() == 0


def test_a_second_is_neither_closed_nor_whole() -> None:
    # Transitions in frames 30, 34, ... 54: the first and the last are exactly one second apart.
    trace = np.where(np.isin((np.arange(80) - 30) // 4, (0, 2, 4, 6)), 0.9, 0.1)
    assert counted(videos.flat(trace[:58], side=8))[0].max() == 6
    faster = np.where(np.isin((np.arange(80) - 30) // 3, (0, 2, 4, 6)), 0.9, 0.1)
    assert counted(videos.flat(faster, side=8))[0].max() == 8


def test_each_threshold() -> None:
    def most(low: float, high: float) -> int:
        return int(counted(videos.flat(np.tile([low, high], 24), side=8))[0].max())

    assert most(0.3, 0.385) == 0 and most(0.3, 0.405) == 24
    assert most(0.82, 1.0) == 0 and most(0.78, 1.0) == 24


def test_wriggles_do_not_count_and_ramps_count_once() -> None:
    ramp = np.linspace(0.1, 0.9, 20) + 0.04 * (-1) ** np.arange(20)
    assert counted(videos.flat(np.concatenate([ramp, ramp[::-1]]), side=8))[0].max() == 2


def test_area_is_of_any_ten_degrees() -> None:
    trace = videos.square_wave(FPS, 6, 0.0, 1.0)
    # Ten degrees are 16 x 21 of these pixels; a quarter of them is 84.
    for rows, columns, most in ((9, 9, 0), (12, 7, 0), (17, 5, 0), (9, 10, 12), (16, 6, 12), (40, 5, 0), (40, 6, 12)):
        share = (rows / videos.SIDE, columns / videos.SIDE)
        assert counted(videos.region(trace, share))[0].max() == most, (rows, columns)


def test_places_that_flash_in_turn_add_up() -> None:
    assert counted(videos.in_turn(FPS))[0].max() == 12
    one_only = videos.in_turn(FPS)
    one_only[:, :, : videos.SIDE // 2] = one_only[0, 0, 0]
    assert counted(one_only)[0].max() == 6


def test_a_change_of_picture_is_no_flash() -> None:
    """Half the cells rise while the others fall, over five frames: one transition, however it is spread."""
    random = np.random.RandomState(0)
    one, other = (random.uniform(0, 1, (48, 48)) for _ in range(2))
    share = np.clip(np.arange(40) / 5 - 2, 0, 1)[:, None, None]
    frames = np.repeat(videos.code(one * (1 - share) + other * share)[..., None], 3, axis=3)
    assert counted(frames)[0].max() == 1


def test_red_needs_saturation_and_distance() -> None:
    def most(a, b) -> int:
        frames = np.zeros((48, 8, 8, 3), np.uint8)
        frames[::2], frames[1::2] = a, b
        return int(counted(frames)[1].max())

    assert most((255, 0, 0), (0, 0, 0)) == 24
    assert most((255, 0, 0), (127, 127, 127)) == 24
    assert most((255, 0, 0), (0, 0, 255)) == 24
    assert most((255, 0, 0), (120, 0, 0)) == 0  # brighter and darker, the same red
    assert most((255, 110, 110), (127, 127, 127)) == 0  # pale
    assert most((255, 0, 0), (255, 120, 40)) == 0  # not far enough
    assert most((40, 0, 0), (0, 0, 0)) == 24  # dark, and red to the eye
    assert most((20, 0, 0), (0, 0, 0)) == 0  # black to the eye


@pytest.mark.parametrize("fps", [Fraction(24), Fraction(30000, 1001), Fraction(60)])
@pytest.mark.parametrize("name", videos.GOOD)
def test_what_is_within_the_rules(name, fps) -> None:
    general, red = counted(videos.GOOD[name](fps), fps)
    assert general.max() <= 6 and red.max() <= 6


STILL = st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
"""A colour."""


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 0.01, 0.05, 0.3]),
    st.lists(st.tuples(STILL, st.integers(1, 40)), min_size=2, max_size=12),
    st.sampled_from([Fraction(24), Fraction(30000, 1001), Fraction(60)]),
    st.sampled_from([2, 7, 32, 1000]),
)
def test_cells_that_cannot_flash_are_rightly_passed_over(seed, noise, scenes, fps, block) -> None:
    """Blocks of any length, in which only cells are followed that could flash, and every cell from frame to frame.

    Scenes between which colours glide or jump, each cell a little apart from the others, reds among them.
    """
    random = np.random.RandomState(seed)
    colours = np.repeat([colour for colour, _ in scenes], [frames for _, frames in scenes], axis=0)[:120]
    reds = random.uniform(size=(len(scenes),)) < 0.5
    light = colours[:, None, None, :] * random.uniform(0.5, 1, (1, 6, 6, 1))
    light[..., 1:] *= np.where(np.repeat(reds, [frames for _, frames in scenes])[:120], 0.1, 1)[:, None, None, None]
    if seed % 2:
        light = np.stack([light[max(i - 7, 0) : i + 1].mean(axis=0) for i in range(len(light))])
    light = np.clip(light + random.normal(0, noise, light.shape), 0, 1).astype(np.float32)
    cells = light.reshape(len(light), 36, 3)
    parts = [cells[i : i + block] for i in range(0, len(cells), block)]
    brightness, redness = Swings(36, ROUNDING), RedSwings(36, ROUNDING)
    found = np.concatenate([brightness.push(luminance(part)) for part in parts])
    found_red = np.concatenate([redness.push(part) for part in parts])
    everyone = np.arange(36)
    np.testing.assert_array_equal(found, Swings(36, ROUNDING)._follow(luminance(cells), everyone))
    colour = chromaticity(cells)
    reds = is_saturated_red(cells, SATURATED - ROUNDING)
    followed = RedSwings(36, ROUNDING)._follow(reds, colour, _distance(colour, RED_PRIMARY[:, None, None]), everyone)
    np.testing.assert_array_equal(found_red, followed)
    times = [float(i / fps) for i in range(len(light))]
    one, several, asked = (FlashMeter(Geometry.of(6, 6)) for _ in range(3))
    whole = [moment for i in range(len(light)) for moment in one.push(light[i : i + 1], times[i : i + 1])]
    begins = range(0, len(light), block)
    pieces = [moment for i in begins for moment in several.push(light[i : i + block], times[i : i + block])]
    excesses = [pair for i in begins for pair in asked.excesses(light[i : i + block], times[i : i + block])]
    for a, b, (general, red) in zip(whole, pieces, excesses, strict=True):
        assert (a.general.transitions, a.red.transitions) == (b.general.transitions, b.red.transitions)
        for mine, *others in ((a.general.excess, b.general.excess, general), (a.red.excess, b.red.excess, red)):
            for other in others:
                assert (mine is None) == (other is None)
                if mine and other:
                    assert (mine.since, mine.until) == (other.since, other.until)
                    np.testing.assert_array_equal(mine.cells, other.cells)
        assert all((kind.transitions > TRANSITIONS) == (kind.excess is not None) for kind in (a.general, a.red))


def test_uneven_frames_are_counted_by_their_times() -> None:
    """The same strobe, its frames shown at half the speed: half as many in a second."""
    frames = measure(videos.flat(np.tile([0.1, 0.9], 24), side=8))
    for speed, most in ((1, 24), (2, 12), (4, 6)):
        moments = FlashMeter(Geometry.of(8, 8)).push(to_light(frames), [i * speed / 24 for i in range(len(frames))])
        assert max(moment.general.transitions for moment in moments) == most


def test_thumbnails_keep_the_mean_light() -> None:
    random = np.random.RandomState(1)
    frames = random.randint(0, 256, (2, 100, 150, 3)).astype(np.uint8)
    small = to_light(measure(frames)).mean(axis=(1, 2))
    np.testing.assert_allclose(small, to_light(frames).mean(axis=(1, 2)), atol=0.002)


def test_thumbnails_in_parts_are_those_of_the_whole() -> None:
    whole = np.random.RandomState(2).randint(0, 256, (700, 8, 8, 3)).astype(np.uint8)
    parts = Thumbnails([whole[:3], whole[3:3], whole[3:400], whole[400:]], (8, 8))
    assert len(parts) == 700
    np.testing.assert_array_equal(np.concatenate(list(parts.blocks())), whole)
    for first, stop in ((0, 700), (2, 5), (3, 400), (399, 401), (650, 900), (700, 800)):
        np.testing.assert_array_equal(parts[first:stop], whole[first:stop])
    with pytest.raises(ValueError, match="thumbnails of"):
        Thumbnails([whole], (9, 8))
