"""Edits of sections: what they give, what they leave alone, and that a preset says the same."""

from __future__ import annotations

from fractions import Fraction

import pytest
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from support import make_features

from audioreactive.errors import PresetError
from audioreactive.features.form import FormSection, song_form
from audioreactive.patches.arrangement import ArrangedPart, Arrangement, arranged
from audioreactive.patches.preset import Preset, preset_of
from audioreactive.patches.presets import parse_preset, preset_text
from audioreactive.patches.randomizer import random_patch, with_lead
from audioreactive.patches.sections import Section

FEATURES = make_features(20)
FIRST, SECOND, THIRD = (with_lead(random_patch(seed), seed) for seed in (3, 4, 5))
PARTS = (
    ArrangedPart(0.0, "A", FIRST),
    ArrangedPart(5.0, "B", SECOND, crossfade_bars=0.5),
    ArrangedPart(10.0, "A", FIRST, crossfade_bars=0.5),
)
SONG = Arrangement(PARTS, 20.0)
PRESET = preset_of(FIRST)


def written(arrangement: Arrangement) -> Preset:
    """The preset of an arrangement as its file is read again."""
    return parse_preset(preset_text(arrangement.preset(PRESET)), "test")


def test_a_preset_says_what_an_arrangement_means() -> None:
    again = arranged(written(SONG), FEATURES)
    assert again == SONG
    assert [section.patch == {} for section in written(SONG).sections] == [True, False, True], "A is told once"


def test_optional_keys_of_the_first_section_do_not_reach_the_others() -> None:
    bare = FIRST.model_copy(update={"palette": FIRST.palette.model_copy(update={"family": None})})
    parts = (ArrangedPart(0.0, "A", FIRST), ArrangedPart(5.0, "B", bare))
    again = arranged(written(Arrangement(parts, 20.0)), FEATURES)
    assert [part.patch.palette.family for part in again.parts] == [FIRST.palette.family, None]


def test_borders_move_between_their_neighbours_alone() -> None:
    assert [part.start for part in SONG.moved(1, 7.25).parts] == [0, 7.25, 10]
    assert SONG.moved(1, 40).parts[1].start == 9.5
    assert SONG.moved(1, 0).parts[1].start == 0.5
    with pytest.raises(PresetError, match="starts with the song"):
        SONG.moved(0, 3)


def test_split_and_merge_undo_each_other() -> None:
    halves = SONG.split(1, 7.5)
    assert [(part.start, part.label) for part in halves.parts] == [(0, "A"), (5, "B"), (7.5, "B"), (10, "A")]
    assert halves.merged(1) == SONG
    with pytest.raises(PresetError, match="too close"):
        SONG.split(1, 5.2)
    with pytest.raises(PresetError, match="no section follows"):
        SONG.merged(2)


def test_sections_that_return_share_a_patch_until_they_are_unlinked() -> None:
    assert [part.patch for part in SONG.patched(0, THIRD).parts] == [THIRD, SECOND, THIRD]
    apart = SONG.unlinked(2)
    assert apart.parts[2].label == "C"
    assert [part.patch for part in apart.patched(0, THIRD).parts] == [THIRD, SECOND, FIRST]
    assert apart.patched(0, THIRD).linked(2, "A").parts[2].patch == THIRD
    with pytest.raises(PresetError, match="no section has the label 'Z'"):
        SONG.linked(0, "Z")


def test_names_are_one_line_and_not_given_twice() -> None:
    named = SONG.renamed(0, "  the\nverse ")
    assert named.parts[0].name == "the verse"
    with pytest.raises(PresetError, match="another section is called"):
        named.renamed(1, "the verse")
    with pytest.raises(PresetError, match="there is no section 3"):
        SONG.renamed(3, "x")


def test_a_new_form_keeps_the_patch_that_was_there_for_longest() -> None:
    form = (FormSection("A", 0, 96), FormSection("B", 96, 240), FormSection("C", 240, 480))
    made = SONG.reformed(form, Fraction(24), lambda label: THIRD)
    # A has 10 of 15 s of C's time, B most of what is left of B's; the third kind is drawn.
    assert [part.start for part in made.parts] == [0, 4, 10]
    assert made.parts[0].patch == FIRST and made.parts[1].patch == SECOND and made.parts[2].patch == THIRD


def test_presets_of_every_kind_are_arranged() -> None:
    assert arranged(PRESET, FEATURES) == Arrangement((ArrangedPart(0.0, "A", FIRST),), 20.0)
    loud = {"noise": {"strength": 2.0}}
    late = Preset(patch=FIRST, schema=2, sections=(Section(start_bar=3, patch=loud),))
    assert [(part.start, part.patch.noise.strength) for part in arranged(late, FEATURES).parts] == [(0, 1), (4, 2)]
    labels = {part.label for part in song_form(FEATURES)}
    form = Preset(patch=FIRST, schema=2, sections=tuple(Section(label=name, patch={}) for name in sorted(labels)))
    assert len(arranged(form, FEATURES)) == len(song_form(FEATURES))


@settings(max_examples=examples(20, 200), deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["moved", "split", "merged", "unlinked", "linked"]), st.integers(0, 6),
                          st.floats(0, 20)), max_size=12))  # fmt: skip
def test_any_edits_leave_sections_in_order_without_gaps(edits: list[tuple[str, int, float]]) -> None:
    now = SONG
    for kind, index, at in edits:
        edit = getattr(now, kind)
        try:
            now = edit(index) if kind in ("merged", "unlinked") else edit(index, "A" if kind == "linked" else at)
        except PresetError:
            continue
    starts = [part.start for part in now.parts]
    assert starts[0] == 0 and all(b - a >= 0.499 for a, b in zip(starts, [*starts[1:], 20.0], strict=True))
    assert arranged(written(now), FEATURES) == now


@pytest.mark.parametrize(
    "edits",
    [[(1, 8.21875), (1, 8.0)], [(2, 40)], [(2, 8.219), (1, 40)]],
    ids=["between", "at the end", "before another"],
)
def test_the_shortest_sections_are_read_again(edits: list[tuple[int, float]]) -> None:
    """A border at the least distance from the next one, as floats have it."""
    now = SONG
    for index, at in edits:
        now = now.moved(index, at)
    assert len(arranged(written(now), FEATURES)) == len(now)
    now = SONG.moved(1, 8.21875).split(0, 1.0).moved(1, 8.0)
    assert arranged(written(now), FEATURES) == now


def test_as_many_sections_as_are_asked_for() -> None:
    counts = [len(song_form(FEATURES, count)) for count in (1, 2, 3)]
    assert counts == [1, 2, 3]
    assert len(song_form(FEATURES, 30)) <= 10, "no section is shorter than some bars"
