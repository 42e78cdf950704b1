"""Videos that break the rules keep to them afterwards, as an independent checker says; others are left alone."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from flashes import videos
from flashes.checker import breaks_the_rules
from hypothesis import given, settings
from hypothesis import strategies as st

from audioreactive.flashes import Plan, Thumbnails, measure, plan, summary
from audioreactive.flashes.definition import luminance, to_light

FPS = Fraction(24)
NTSC, FAST = Fraction(30000, 1001), Fraction(60)
CASES = [(name, FPS) for name in videos.BAD] + [("in turn", NTSC), ("red and dark", NTSC), ("four unaligned", FAST)]


def planned(frames: np.ndarray, fps: Fraction = FPS) -> Plan:
    return plan(Thumbnails([measure(frames)], (frames.shape[2], frames.shape[1])), fps)


@pytest.mark.parametrize(("name", "fps"), CASES)
def test_each_broken_rule_is_kept_afterwards(name, fps) -> None:
    make, kinds = videos.BAD[name]
    frames = make(fps)
    assert breaks_the_rules(frames, fps) == kinds
    made = planned(frames, fps)
    assert made.remaining == 0 and (made.general_excess > 0, made.red_excess > 0) == tuple(
        kind in kinds for kind in ("general", "red")
    )
    corrected = made.apply(frames, 0)
    assert not breaks_the_rules(corrected, fps)
    assert planned(corrected, fps).passages == ()
    outside = np.array([not made.changes(i, i + 1) for i in range(len(frames))])
    np.testing.assert_array_equal(corrected[outside], frames[outside])
    assert not outside.all()


@pytest.mark.parametrize("name", videos.COLOURS)
def test_strong_colours_in_all_phases(name) -> None:
    """What the checker calls a flash is one here, and is none afterwards."""
    one, other = videos.COLOURS[name]
    for period, phase in [(2, 0), (2, 1), (4, 0), (4, 1), (4, 2), (6, 0), (6, 1), (6, 2), (6, 3)]:
        frames = videos.two_colours(one, other, period=period, phase=phase)
        broken = breaks_the_rules(frames, FPS)
        made = planned(frames)
        assert broken and made.remaining == 0
        assert broken == {kind for kind, n in (("general", made.general_excess), ("red", made.red_excess)) if n}
        assert not breaks_the_rules(made.apply(frames, 0), FPS), (period, phase)


@pytest.mark.parametrize("name", videos.GOOD)
def test_what_is_within_the_rules_is_left_alone(name) -> None:
    frames = videos.GOOD[name](FPS)
    assert not breaks_the_rules(frames, FPS)
    made = planned(frames)
    assert made.passages == () and made.least_gain == 1 and made.changed_frames == 0
    assert made.apply(frames, 0) is frames


LEVELS = st.integers(0, 14).map(lambda step: step * 0.07)
TRACE = st.lists(st.tuples(LEVELS, st.integers(1, 6)), min_size=12, max_size=30)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.lists(TRACE, min_size=4, max_size=4), st.sampled_from([Fraction(24), Fraction(25), Fraction(30)]))
def test_whatever_the_light_does(traces, fps) -> None:
    """Four quarters of a picture, each with random steps at random times."""
    held = [np.repeat([level for level, _ in trace], [frames for _, frames in trace]) for trace in traces]
    length = min(map(len, held))
    light = np.zeros((length, 8, 8))
    for trace, (row, column) in zip(held, ((0, 0), (0, 4), (4, 0), (4, 4)), strict=True):
        light[:, row : row + 4, column : column + 4] = trace[:length, None, None]
    frames = np.repeat(videos.code(light)[..., None], 3, axis=3)
    made = planned(frames, fps)
    assert made.remaining == 0
    corrected = made.apply(frames, 0)
    assert not breaks_the_rules(corrected, fps)
    assert (corrected <= frames).all()
    if made.passages == ():
        assert corrected is frames


def test_in_pieces_as_in_one() -> None:
    """Chunks of a render are measured and corrected apart, and give the same."""
    frames = videos.faster_and_faster(FPS)
    size = (videos.SIDE, videos.SIDE)
    parts = [measure(frames[first : first + 17]) for first in range(0, len(frames), 17)]
    whole, pieces = planned(frames), plan(Thumbnails(parts, size), FPS)
    corrected = whole.apply(frames, 0)
    for first in range(0, len(frames), 17):
        part = pieces.apply(frames[first : first + 17], first)
        np.testing.assert_array_equal(part, corrected[first : first + 17])
        assert pieces.changes(first, first + 17) == (part != frames[first : first + 17]).any()


def test_what_a_person_is_told() -> None:
    def told(frames: np.ndarray, left: int = 0) -> str:
        return summary([planned(frames)], left, FPS)

    assert told(videos.one_cut(FPS)) == "no second has more than three flashes: nothing was changed"
    assert "at 0:00-0:04: dimmed by up to 93 % (" in told(videos.strobe(FPS))
    red = told(videos.red_strobe(FPS))
    assert "0:00-0:04: its reds made paler (" in red and "dimmed" not in red
    assert told(videos.strobe(FPS), 7).endswith("; 7 frames still end a second with more")


def test_only_what_flashes_is_dimmed() -> None:
    frames = videos.quarter_area(FPS)
    corrected = planned(frames).apply(frames, 0)
    # The region ends at 29 rows and 31 columns; the knots around it reach less than two knot distances further.
    np.testing.assert_array_equal(corrected[:, 45:], frames[:, 45:])
    np.testing.assert_array_equal(corrected[:, :, 47:], frames[:, :, 47:])
    assert (corrected[:, 10:20, 12:22] < frames[:, 10:20, 12:22]).any()


def test_dimming_keeps_the_colour_and_is_smooth_over_the_picture() -> None:
    frames = videos.texture_strobe(FPS)
    made = planned(frames)
    bright = next(i for i in range(made.passages[0].start, made.passages[0].stop) if frames[i].mean() > 150)
    before, after = to_light(frames[bright]), to_light(made.apply(frames[bright : bright + 1], bright)[0])
    share = after.sum(-1) / before.sum(-1)
    assert share.max() < 0.8
    # Half a step of 8 bits beside the darkest colour here is a tenth of it.
    assert np.abs(after / before / share[..., None] - 1).max() < 0.1
    assert max(np.abs(np.diff(share, axis=axis)).max() for axis in (0, 1)) < 0.05


def test_pale_reds_keep_their_luminance() -> None:
    frames = videos.red_strobe(FPS)
    corrected = planned(frames).apply(frames, 0)
    np.testing.assert_allclose(luminance(to_light(corrected)), luminance(to_light(frames)), atol=0.004)
    light = to_light(corrected[60])
    assert (light[..., 0] <= 0.77 * light.sum(-1)).all()


def test_light_comes_and_goes_slowly() -> None:
    """No step of the correction is itself a flash: a steady light beside a strobe changes slowly."""
    frames = videos.region(videos.square_wave(FPS, 10, 0.0, 1.0, rest=0.6), (0.6, 0.6), base=0.6)
    corrected = planned(frames).apply(frames, 0)
    steady = luminance(to_light(corrected[:, 36, :]))
    assert steady.min() < 0.58
    for lag in range(1, 4):
        assert np.abs(steady[lag:] - steady[:-lag]).max() < 0.1


def test_no_step_where_a_passage_begins_and_ends() -> None:
    """Light that is steady goes down and comes back slowly, though the passage beside it is solved more strictly."""
    frames = videos.three_in_turn(FPS)[:, ::2, ::2]
    made = planned(frames)
    assert made.remaining == 0 and made.passages[0].start > 0 and made.passages[-1].stop < len(frames)
    after = luminance(to_light(made.apply(frames, 0)[:, 22]))
    assert after.min() < 0.2
    for lag in range(1, 4):
        assert np.abs(after[lag:] - after[:-lag]).max() < 0.085


def test_a_legitimate_cut_near_a_strobe_stays() -> None:
    trace = np.concatenate([np.full(48, 0.05), np.full(30, 0.7), np.tile([0.1, 0.8], 12), np.full(60, 0.7)])
    frames = videos.flat(trace)
    corrected = luminance(to_light(planned(frames).apply(frames, 0)))[:, 0, 0]
    assert corrected[48] - corrected[47] > 0.5


def test_a_long_strobe_is_solved_in_windows() -> None:
    """Longer than a window; the borders of windows are as safe as the rest."""
    fps = Fraction(12)
    frames = videos.flat(np.tile([0.1, 0.7, 0.2, 0.9], 100), side=8)
    made = planned(frames, fps)
    assert made.remaining == 0 and len(made.passages) == 1
    assert not breaks_the_rules(made.apply(frames, 0), fps)
