"""Presets: round trips, changes, and sentences for mistakes."""

from __future__ import annotations

import pytest
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from audioreactive.errors import PresetError
from audioreactive.patches.knobs import Knobs
from audioreactive.patches.overrides import difference, override
from audioreactive.patches.preset import MadeWith, RenderDefaults, preset_of
from audioreactive.patches.presets import load_preset, parse_preset, preset_text, save_preset, shipped_presets
from audioreactive.patches.randomizer import random_patch

PRESET = preset_of(random_patch(1), made_with=MadeWith(seed=1), render=RenderDefaults(fps="24000/1001"))
LOOPS = [i for i, s in enumerate(PRESET.patch.noise.sequences) if s.strategy == "loop"]


@given(seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=examples(12, 100))
def test_text_and_preset_are_the_same(seed: int) -> None:
    preset = preset_of(random_patch(seed), made_with=MadeWith(seed=seed))
    assert parse_preset(preset_text(preset), "it") == preset


def test_the_text_reads_well() -> None:
    text = preset_text(PRESET)
    assert text.startswith("schema = 1\n")
    assert "    " not in text  # lists of numbers stay on their line
    table = text[text.index("[[latents.sequences]]") :].splitlines()
    assert table[1].startswith("strategy = ")


def test_a_file_is_written_whole_and_read_again(tmp_path) -> None:
    path = tmp_path / 'it\'s a "preset" %d.toml'
    save_preset(PRESET, path)
    assert load_preset(str(path)) == PRESET
    assert list(tmp_path.iterdir()) == [path]


def test_every_shipped_preset_is_sound_and_says_what_to_watch_for() -> None:
    presets = shipped_presets()
    assert len(presets) >= 8
    for name, path in presets.items():
        preset = load_preset(name)
        assert len(preset.about) > 40, name
        assert path.read_text("utf-8").startswith("#"), name


def test_shipped_presets_differ_in_what_they_hear_or_do() -> None:
    patches = [load_preset(name).patch for name in shipped_presets()]
    assert len({patch.model_dump_json() for patch in patches}) == len(patches)


@pytest.mark.parametrize(
    ("expression", "check"),
    [
        ("latents.sequences.1.intensity = 0.5", lambda p: p.patch.latents.sequences[1].intensity == 0.5),
        ("palette.seeds += [66, 230]", lambda p: p.patch.palette.seeds[-2:] == (66, 230)),
        ("palette.seeds = [7]", lambda p: p.patch.palette.seeds == (7,)),
        ("palette.truncation *= 0.5", lambda p: p.patch.palette.truncation == 0.5 * PRESET.patch.palette.truncation),
        ("palette.truncation=-0.25", lambda p: p.patch.palette.truncation == -0.25),
        ("noise.strength += 1", lambda p: p.patch.noise.strength == 2),
        ('noise.amplitude = {envelope = {feature = "onsets"}}', lambda p: p.patch.noise.amplitude.high == 1.5),
        (
            "latents.sequences.0.envelope.feature = bass.rms",
            lambda p: p.patch.latents.sequences[0].envelope.feature == "bass.rms",
        ),
        (
            "noise.sequences.*.sigma *= 2",
            lambda p: (
                [p.patch.noise.sequences[i].sigma for i in LOOPS]
                == [2 * PRESET.patch.noise.sequences[i].sigma for i in LOOPS]
            ),
        ),
        ("latents.sequences.*.intensity = 0.1", lambda p: {s.intensity for s in p.patch.latents.sequences} == {0.1}),
        ("latents.base.* += 1", lambda p: p.patch.latents.base == tuple(b + 1 for b in PRESET.patch.latents.base)),
    ],
)
def test_set_changes_what_it_names(expression: str, check) -> None:
    assert check(override(PRESET, [expression]))


def test_set_applies_in_order_and_leaves_the_rest() -> None:
    changed = override(PRESET, ["palette.truncation = 0.5", "palette.truncation *= 0.5"])
    assert difference(PRESET, changed) == [("palette.truncation", 1.0, 0.25)]


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("palette.truncation", "not of the form"),
        ("= 3", "not of the form"),
        ("palette.truncation =", "not of the form"),
        ("palette.truncaton = 1", "did you mean 'truncation'"),
        ("palette.truncation = 3", "palette.truncation = 3: input should be less than or equal to 2"),
        ("palette.truncation = maybe", "valid number"),
        ("palette.seeds *= 2", "needs numbers"),
        ("latents.sequences.99.intensity = 1", "no '99' at that place; there are 0 to"),
        ("latents.sequences.1.sigma *= 2", "no 'sigma' at that place"),
        ("latents.sequences.*.sigma *= 2", "matches nothing"),
        ("palette.*.x = 2", r"\* stands for the items of a list"),
        ("latents.sequences.0.envelope.feature = loud", "there is no feature 'loud'"),
        ('palette.seeds += [1, "x"]', "palette.seeds"),
        ("schema = 3", "schema"),
    ],
)
def test_set_says_what_is_wrong(expression: str, message: str) -> None:
    with pytest.raises(PresetError, match=message):
        override(PRESET, [expression])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<html>", "is not TOML"),
        ("schema = 1", "palette: field required; latents: field required; noise: field required"),
        ("", "is no whole preset: it says no schema"),
        ("schema = 9", "schema = 9; this program reads"),
        ("schema = 1\nx = " + "[" * 30_000, "is not TOML"),
        (preset_text(PRESET).replace("merge =", "merg ="), "unknown key 'merg' .did you mean 'merge'"),
        (preset_text(PRESET) + "\n[section]\n", "top level: unknown key 'section' .did you mean 'sections'"),
        (preset_text(PRESET) + "\n[sections]\n", "sections: input should be a valid tuple"),
        (preset_text(PRESET) + "\n[[sections]]\nstart = 1\n", "sections need schema = 2"),
        (preset_text(PRESET).replace("truncation = 1.0", 'truncation = "high"'), "palette.truncation = 'high'"),
        (preset_text(PRESET).replace("fps = ", 'fps = "0/0" #'), "render.fps = '0/0'"),
    ],
)
def test_a_broken_preset_is_explained(text: str, message: str) -> None:
    with pytest.raises(PresetError, match=message):
        parse_preset(text, "friend.toml")


def test_files_that_are_no_presets(tmp_path) -> None:
    with pytest.raises(PresetError, match=r"there is no preset 'nowhere': give a \.toml file"):
        load_preset("nowhere")
    large = tmp_path / "large.toml"
    large.write_bytes(b"#" * (2 << 20))
    with pytest.raises(PresetError, match="at most"):
        load_preset(str(large))
    latin = tmp_path / "latin.toml"
    latin.write_bytes("schema = 1 # é".encode("latin-1"))
    with pytest.raises(PresetError, match="cannot be read"):
        load_preset(str(latin))
    with pytest.raises(PresetError, match="cannot be read"):
        (tmp_path / "folder.toml").mkdir()
        load_preset(str(tmp_path / "folder.toml"))


def test_difference_names_added_and_missing_keys() -> None:
    other = override(PRESET, ['noise.amplitude = {envelope = {feature = "onsets"}, high = 2}'])
    keys = {key: (old, new) for key, old, new in difference(PRESET, other)}
    assert keys["noise.amplitude.high"] == (None, 2.0)
    assert difference(PRESET, PRESET) == []


@given(st.text(max_size=200))
@settings(deadline=None, max_examples=examples(50, 500))
def test_no_text_does_worse_than_an_error(text: str) -> None:
    with pytest.raises(PresetError):
        parse_preset(text, "it")
    with pytest.raises(PresetError):
        override(PRESET, [f"x.{text}"])


def test_an_expression_that_matches_nothing_says_what_there_is() -> None:
    """The blends of `pulse` have no sigma: what they have is told, and nothing is changed in silence."""
    with pytest.raises(PresetError, match=r"no item of noise\.sequences\.\* has 'sigma'; there are .*slow, fast"):
        override(load_preset("pulse"), ["noise.sequences.*.sigma *= 2"])
    with pytest.raises(PresetError, match=r"has 'intensty': did you mean 'intensity'"):
        override(load_preset("pulse"), ["latents.sequences.*.intensty *= 2"])
    with pytest.raises(PresetError, match="has no items here"):
        override(load_preset("pulse"), ["noise.sequences = []", "noise.sequences.*.fast *= 2"])


def test_a_star_passes_by_items_without_the_key() -> None:
    for name in shipped_presets():
        preset = load_preset(name)
        changed = override(preset, ["latents.sequences.*.envelope.release = 0.25"])
        for before, after in zip(preset.patch.latents.sequences, changed.patch.latents.sequences, strict=True):
            if getattr(before, "envelope", None) is None:
                assert after == before
            else:
                assert after.envelope.release == 0.25


def test_the_reach_is_written_where_it_is_not_the_usual() -> None:
    assert "reach" not in preset_text(PRESET)
    changed = override(PRESET, ["latents.reach = [1, 1, 0.5]"])
    assert "reach = [1.0, 1.0, 0.5]" in preset_text(changed)
    assert parse_preset(preset_text(changed), "it") == changed


SECTIONED = parse_preset(
    preset_text(PRESET).replace("schema = 1", "schema = 2")
    + """
[[sections]]
name = "verse"
start = 0.0

[[sections]]
name = "drop"
start_bar = 9
crossfade = 1.0
label = "B"
[sections.patch.noise]
strength = 2.0

[[sections]]
start = 40.5
crossfade_bars = 1
label = "B"
""",
    "it",
)


def test_sections_are_written_and_read_again() -> None:
    text = preset_text(SECTIONED)
    assert text.startswith("schema = 2\n") and parse_preset(text, "it") == SECTIONED
    assert preset_text(PRESET).startswith("schema = 1\n") and "sections" not in preset_text(PRESET)
    assert [patch.noise.strength for patch in SECTIONED.section_patches()] == [1, 2, 2]
    assert SECTIONED.section_patches()[0] == PRESET.patch


@pytest.mark.parametrize(
    ("expression", "strengths"),
    [
        ("sections.drop.noise.strength *= 2", [1, 4, 4]),
        ("sections.1.noise.strength = 0.5", [1, 0.5, 0.5]),
        ("sections.verse.noise.strength *= 3", [3, 2, 2]),
        ("sections.*.noise.strength *= 2", [2, 4, 4]),
        ("sections.drop.noise.strength = 1.0", [1, 1, 1]),
        ("noise.strength = 3.0", [3, 2, 2]),
    ],
)
def test_set_changes_sections_by_number_and_name(expression: str, strengths: list[float]) -> None:
    changed = override(SECTIONED, [expression])
    assert [patch.noise.strength for patch in changed.section_patches()] == strengths
    assert parse_preset(preset_text(changed), "it") == changed


def test_what_a_section_says_is_changed_too() -> None:
    assert override(SECTIONED, ["sections.1.crossfade = 2.5"]).sections[1].crossfade == 2.5
    for expression, sentence in (
        ("sections.bridge.noise.strength = 1", "the sections are verse, drop, 2"),
        ("sections.drop.noise.strenth = 1", "did you mean 'strength'"),
        ("sections.drop.noise.strength = 99", "less than or equal to 10"),
        ("sections.0.start_bar = 3", "give one of the two"),
    ):
        with pytest.raises(PresetError, match=sentence):
            override(SECTIONED, [expression])
    with pytest.raises(PresetError, match="the preset has no sections"):
        override(PRESET, ["sections.0.noise.strength = 1"])


def test_differences_name_sections() -> None:
    changed = override(SECTIONED, ["sections.drop.noise.strength = 3.0"])
    assert difference(SECTIONED, changed) == [
        ("sections.drop.patch.noise.strength", 2.0, 3.0),
        ("sections.2.patch.noise.strength", None, 3.0),
    ]


def test_knobs_turn_every_section() -> None:
    turned = SECTIONED.mapped(Knobs(texture=2))
    assert turned.patch.noise.strength == 2
    assert [patch.noise.strength for patch in turned.section_patches()] == [2, 4, 4]
    assert parse_preset(preset_text(turned), "it") == turned


def test_what_a_section_needs_is_heard() -> None:
    text = preset_text(SECTIONED) + (
        '[[sections]]\nstart = 50\n[sections.patch.noise.amplitude]\nenvelope = { feature = "hits" }\n'
    )
    assert "hits" in parse_preset(text, "it").feature_names()


def test_schema_2_without_sections_stays_so() -> None:
    preset = parse_preset(preset_text(PRESET).replace("schema = 1", "schema = 2"), "it")
    assert parse_preset(preset_text(preset), "it") == preset
