"""Sections: where they are, how they are faded, and that nothing happens where nothing is said."""

from __future__ import annotations

import numpy as np
import pytest
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from support import make_features

from audioreactive.errors import RenderError
from audioreactive.features.form import SHORTEST_BARS, song_form
from audioreactive.patches.motion import motion
from audioreactive.patches.noise import MOST_FIELDS
from audioreactive.patches.randomizer import draw_sections, random_patch
from audioreactive.patches.schema import Patch
from audioreactive.patches.sections import Section, changes_between, check_sections, merged, section_patches, spans

FEATURES = make_features(20)  # 480 frames at 120 beats a minute: a bar is 48 frames
PATCH = random_patch(3)
LOUD = {"noise": {"strength": 2.0}}


def starts(*sections: Section) -> list[tuple[int, int]]:
    return [(span.start, span.stop) for span in spans(PATCH, sections, FEATURES)]


def test_seconds_bars_and_the_preset_before_the_first() -> None:
    assert starts() == [(0, 480)]
    assert starts(Section(start=5, patch=LOUD)) == [(0, 120), (120, 480)]
    assert starts(Section(start_bar=1, patch=LOUD)) == [(0, 480)]
    assert starts(Section(start_bar=3, patch=LOUD)) == [(0, 96), (96, 480)]
    assert starts(Section(start=50, patch=LOUD)) == [(0, 480)], "beyond the song"
    backwards = (Section(start=10, patch=LOUD), Section(start=5, patch={"noise": {"strength": 3.0}}))
    assert [span.patch.noise.strength for span in spans(PATCH, backwards, FEATURES)] == [1.0, 3.0, 2.0]


def test_a_fade_lies_about_the_start_and_takes_no_more_than_there_is() -> None:
    first, second = spans(PATCH, (Section(start=10, crossfade=2, patch=LOUD),), FEATURES)
    assert (first.stop, second.start) == (264, 217)  # within a second of frame 240 on both sides
    np.testing.assert_allclose(first.share[216:264] + np.pad(second.share[:47], (1, 0)), 1, atol=1e-6)
    assert second.share[240 - 217] == pytest.approx(0.5)
    steps = np.diff(second.share[:48])
    assert (steps >= 0).all() and steps.max() < 2 * steps.mean()
    bars = spans(PATCH, (Section(start=10, crossfade_bars=1, patch=LOUD),), FEATURES)
    np.testing.assert_array_equal(bars[1].share, second.share)  # a bar of 120 beats a minute
    crowded = (Section(start=10, crossfade=60, patch=LOUD), Section(start=11, crossfade=60))
    total = np.zeros(480)
    for span in spans(PATCH, crowded, FEATURES):
        total[span.start : span.stop] += span.share
    np.testing.assert_allclose(total, 1, atol=1e-6)


@settings(max_examples=examples(20, 60), deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 25), st.floats(0, 30), st.sampled_from([0.5, 1.0, 2.0])), min_size=0, max_size=8)
)
def test_shares_always_sum_to_one(drawn: list[tuple[float, float, float]]) -> None:
    sections = [Section(start=at, crossfade=fade, patch={"noise": {"strength": s}}) for at, fade, s in drawn]
    total = np.zeros(480)
    for span in spans(PATCH, sections, FEATURES):
        assert span.share.min() > 0
        total[span.start : span.stop] += span.share
    np.testing.assert_allclose(total, 1, atol=1e-5)


def test_what_names_nothing_changes_nothing() -> None:
    whole = motion(PATCH, FEATURES)
    same = motion(PATCH, FEATURES, sections=(Section(start=0), Section(start=5, crossfade=1), Section(start_bar=6)))
    np.testing.assert_array_equal(whole.latents, same.latents)
    np.testing.assert_array_equal(whole.noise.weights, same.noise.weights)
    np.testing.assert_array_equal(whole.noise.gain, same.noise.gain)
    assert whole.palettes == same.palettes


def test_each_section_moves_by_its_own_patch() -> None:
    other = random_patch(4).model_dump(mode="json", exclude_none=True)
    found = motion(PATCH, FEATURES, sections=(Section(start=10, crossfade=1, patch=other),))
    assert found.latents.shape == (480, 3, 48) and len(found.palettes) == 2
    np.testing.assert_allclose(found.latents.sum(axis=2), 1, atol=1e-5)
    assert not found.latents[:228, :, 24:].any() and not found.latents[252:, :, :24].any()
    # In fades nothing jumps: the largest step is no larger than within the sections.
    steps = np.abs(np.diff(found.latents, axis=0)).sum(axis=2).max(axis=1)
    assert steps[226:254].max() < max(steps[:226].max(), steps[254:].max()) + 0.3


def test_the_second_section_alone_is_what_it_is_in_the_whole() -> None:
    """Where nothing is faded, a section's rows are those of its patch over its own span."""
    found = motion(PATCH, FEATURES, sections=(Section(start=10, patch=LOUD),))
    np.testing.assert_array_equal(found.noise.gain[:240], motion(PATCH, FEATURES).noise.gain[:240])
    np.testing.assert_allclose(found.noise.gain[240:], 2 * motion(PATCH, FEATURES).noise.gain[240:], rtol=1e-6)
    assert found.latents.shape[2] == len(PATCH.palette.seeds), "one palette serves both"


def test_sections_of_a_label_share_a_patch_and_follow_the_song() -> None:
    sections = (Section(start=0, label="A"), Section(start=5, label="B", patch=LOUD), Section(start=10, label="A"),
                Section(start=15, label="B"))  # fmt: skip
    assert [patch.noise.strength for patch in section_patches(PATCH, sections)] == [1, 2, 1, 2]
    assert [(s.start, s.patch.noise.strength) for s in spans(PATCH, sections, FEATURES)] == [
        (0, 1), (120, 2), (240, 1), (360, 2),
    ]  # fmt: skip
    halves = planted_form()
    found = spans(PATCH, (Section(label="B", patch=LOUD),), halves)
    assert [(s.start, s.stop, s.patch.noise.strength) for s in found] == [(0, 384, 1), (384, 768, 2), (768, 1152, 1)]


def planted_form():
    """48 s in which eight bars of one sound come before and after eight of another."""
    from dataclasses import replace

    features = make_features(48)
    kind = np.repeat([0, 1, 0], 384)
    stream = np.random.RandomState(1)
    envelopes = {
        name: (0.3 + 0.4 * kind[:, None] + 0.05 * stream.random_sample(table.shape)).astype(np.float32)
        for name, table in features.items()
    }
    labels = np.repeat(kind[:, None], 15, axis=1).astype(np.uint8)
    labels[100:110] = 1  # too short to be a section
    return replace(features, envelopes=envelopes, segmentations=dict.fromkeys(features.segmentations, labels))


def test_the_form_of_a_song() -> None:
    form = song_form(planted_form())
    assert [(part.label, part.start, part.stop) for part in form] == [("A", 0, 384), ("B", 384, 768), ("A", 768, 1152)]
    assert all(part.stop - part.start >= SHORTEST_BARS * 48 for part in form)
    flat = song_form(make_features(20))
    assert (flat[0].start, flat[-1].stop) == (0, 480)
    assert [a.stop for a in flat[:-1]] == [b.start for b in flat[1:]]


def test_drawn_sections_are_of_the_seed_and_return_with_their_label() -> None:
    form = song_form(planted_form())
    drawn = draw_sections(PATCH, form, FEATURES.fps, seed=7)
    assert [(s.name, s.label, s.start) for s in drawn] == [("A", "A", 0.0), ("B", "B", 16.0), ("A2", "A", 32.0)]
    assert drawn == draw_sections(PATCH, form, FEATURES.fps, seed=7) != draw_sections(PATCH, form, FEATURES.fps, seed=8)
    patches = section_patches(PATCH, drawn)
    assert patches[0] == patches[2] == PATCH != patches[1]


@settings(max_examples=examples(15, 60), deadline=None)
@given(st.integers(0, 40), st.integers(0, 40))
def test_changes_merge_back(one: int, other: int) -> None:
    base, whole = (random_patch(seed).model_dump(mode="json", exclude_none=True) for seed in (one, other))
    changes = changes_between(base, whole)
    assert Patch.model_validate(merged(base, changes)) == random_patch(other)
    assert (changes == {}) == (one == other)


def test_contradictions_are_said() -> None:
    for fields, sentence in (
        ({}, "needs start"),
        ({"start": 1, "start_bar": 2}, "give one of the two"),
        ({"start": 1, "crossfade": 1, "crossfade_bars": 1}, "give one of the two"),
        ({"start": -1}, "greater than or equal to 0"),
        ({"start": 1, "fade": 2}, "unknown key"),
        ({"label": "no spaces"}, "pattern"),
    ):
        with pytest.raises(ValueError, match=sentence):
            Section(**fields)
    with pytest.raises(ValueError, match="they share one"):
        check_sections(
            [Section(start=0, label="A", patch=LOUD), Section(start=1, label="A", patch={"noise": {}, "x": 1})]
        )
    with pytest.raises(ValueError, match="same name"):
        check_sections([Section(start=0, name="a"), Section(start=1, name="a")])
    with pytest.raises(ValueError, match="same label"):
        check_sections([Section(label="A"), Section(label="A")])


def test_all_sections_together_are_bounded() -> None:
    many = [Section(start=i / 4, patch={"noise": {"seeds": list(range(60 * i, 60 * i + 60))}}) for i in range(8)]
    with pytest.raises(RenderError, match=f"up to {MOST_FIELDS} can be used"):
        motion(PATCH, FEATURES, sections=many)
