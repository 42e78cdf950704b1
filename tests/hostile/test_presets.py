"""Presets from strangers: a result or one sentence, soon, whatever the text."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support import make_features

from audioreactive.errors import PresetError, RenderError, printable, shown
from audioreactive.patches.latents import latent_weights
from audioreactive.patches.preset import MadeWith, Preset, preset_of
from audioreactive.patches.presets import LARGEST_PRESET, load_preset, parse_preset, preset_text
from audioreactive.patches.randomizer import random_patch
from audioreactive.patches.schema import Patch

if TYPE_CHECKING:
    from pathlib import Path

LEAST = "schema = 1\n[palette]\nseeds = [1]\n[latents]\nbase = [0]\n[noise]\nseeds = [1]\nbase = [0]\n"
HUGE = "0x" + "f" * 50_000
LOUD = "\\u001b[2J\\u009b2J" + "x" * 5000
BOMBS = {
    "a key of a hundred thousand parts": "schema = 1\nname" + ".a" * 100_000 + " = 1",
    "a key of quoted parts": "schema = 1\nname" + '."."' * 50_000 + " = 1",
    "a table of a thousand parts": "schema = 1\n[" + "a." * 1000 + "a]\n" + "b.c = 1\n" * 1000,
    "a table a hundred coarse": "schema = 1\n[name" + ".a" * 100 + "]\nb" + ".c" * 100 + " = 1",
    "arrays a hundred thousand coarse": "schema = 1\nname = " + "[" * 100_000 + "]" * 100_000,
    "arrays nine hundred coarse": "schema = 1\nname = " + "[" * 900 + "]" * 900,
    "tables in a line, three hundred coarse": "schema = 1\nname = " + "{a=" * 300 + "1" + "}" * 300,
    "a hundred thousand tables": "schema = 1\n" + "".join(f"[a.b{i}]\n" for i in range(40_000)),
    "strings that do not end": "schema = 1\n" + '"\\' * 100_000,
    "quotes in threes": "schema = 1\nname = " + '"""\\' * 60_000,
    "a schema of 200 000 bits": f"schema = {HUGE}",
    "a name of 200 000 bits": f"name = {HUGE}\n" + LEAST,
    "a seed of 200 000 bits": LEAST.replace("[1]", f"[{HUGE}]", 1),
    "a truncation of 200 000 bits": LEAST.replace("[latents]", f"truncation = {HUGE}\n[latents]"),
    "a label of 200 000 bits": LEAST.replace("[latents]", f"label = {HUGE}\n[latents]"),
    "a seed of origin of 200 000 bits": LEAST + f"[made_with]\nseed = {HUGE}\n",
    "a decimal number of 5000 digits": "schema = 1\nname = " + "9" * 5000,
    "a schema of words": f'schema = "{LOUD}"',
    "a key that clears the screen": f'schema = 1\n"{LOUD}" = 1',
    "two tables that clear the screen": f'["{LOUD}"]\n["{LOUD}"]',
    "a strategy that clears the screen": LEAST.replace(
        "[noise]", f'[[latents.sequences]]\nstrategy = "{LOUD}"\n[noise]'
    ),
    "a feature that clears the screen": LEAST
    + f'[[noise.sequences]]\nstrategy = "feature"\nfields = [1]\nenvelope = {{ feature = "{LOUD}" }}\n',
    "more text than any preset": "#" * (LARGEST_PRESET + 1),
    "digits of another script": LEAST + '[render]\nfps = "2\u0663"\n',
    "a name that is not written": LEAST.replace("schema = 1", "schema = 1\nname = [[[[[[1]]]]]]"),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_are_one_short_sentence(bomb: str) -> None:
    with pytest.raises(PresetError) as caught:
        parse_preset(BOMBS[bomb], "friend.toml")
    assert len(str(caught.value)) < 1000
    assert str(caught.value).isprintable()


HALF = LARGEST_PRESET // 2
CROWDS = {
    "values": (LEAST.replace("seeds = [1]", f"seeds = [{'-1,' * 100_000}]", 1), "100012 values"),
    "empty tables": ("schema = 1\nlatents = [" + "{}," * 60_000 + "]", "120003 values"),
    "nested arrays": ("schema = 1\nname = [" + "[]," * 60_000 + "]", "120003 values"),
    "keys": ("schema = 1\n" + "".join(f"a{i}=1\n" for i in range(50_000)), "50001 values"),
    "headers": ("schema = 1\n" + "[[a]]\n" * 50_000, "100001 values"),
    "names to weigh": (
        LEAST + "[[synthesizers]]\nkind = 'hippo'\nname = 'a'\nweights = {"
        + ",".join(f"spectral_flat{i}=1" for i in range(15_000)) + "}\n", "names 15000 features, where there are 10",
    ),
    "synthesizers": (LEAST + "[[synthesizers]]\nkind = 'hippo'\n" * 2000, "2000 synthesizers; there can be at most 4"),
    "latents": (
        LEAST.replace("[noise]", "[[latents.sequences]]\n" * 9000 + "[noise]"),
        r"9000 latents\.sequences; there can be at most 64",
    ),
    "noise": (LEAST + "[[noise.sequences]]\n" * 65, r"65 noise\.sequences; there can be at most 64"),
}  # fmt: skip


@pytest.mark.parametrize("crowd", CROWDS)
def test_crowds_are_counted_before_each_is_looked_at(crowd: str) -> None:
    """Each value that is refused once took a kilobyte, and each name a search for similar ones."""
    text, words = CROWDS[crowd]
    with pytest.raises(PresetError, match=words):
        parse_preset(text, "friend.toml")


def test_the_largest_patch_has_room() -> None:
    """All lists as long as the schema takes them: fewer values and fewer bytes than the limits."""
    vectors = ", ".join(["4095"] * 256)
    sequence = '[[{}.sequences]]\nstrategy = "loop"\nbars = 4.5\ndepth = ["coarse", "middle", "fine"]\n{} = [{}]\n'
    text = (
        f"schema = 1\n[palette]\nseeds = [{', '.join(['4294967295'] * 1024)}]\n[latents]\nbase = [{vectors}]\n"
        + sequence.format("latents", "vectors", vectors) * 64
        + f"[noise]\nseeds = [{', '.join(['4294967295'] * 64)}]\nbase = [{vectors}]\n"
        + sequence.format("noise", "fields", "0, 1, 4095") * 64
    )
    preset = parse_preset(text, "it")
    assert len(preset.patch.latents.sequences) == len(preset.patch.noise.sequences) == 64
    assert parse_preset(preset_text(preset), "it") == preset
    assert len(text) < HALF


def test_values_within_strings_and_remarks_are_not_counted() -> None:
    many = "[{=," * 4000
    text = f'# {many}\nname = "{many[:1900]}"\nabout = """{many}"""\n' + LEAST
    assert parse_preset(text, "it").about == many


def test_dots_in_words_are_only_dots() -> None:
    dotted = "... " * 200
    text = (
        "# "
        + dotted
        + '\nabout = """'
        + dotted
        + '"""\n'
        + LEAST.replace("schema = 1", f'schema = 1\nname = "{dotted}"')
    )
    assert parse_preset(text, "it").name == dotted
    assert parse_preset(text, "it").about == dotted


def test_a_name_that_no_folder_can_hold() -> None:
    with pytest.raises(PresetError, match="cannot be read: File name too long"):
        load_preset("x" * 5000 + ".toml")
    with pytest.raises(PresetError, match="there is no preset"):
        load_preset("a\0b.toml")


@pytest.mark.parametrize("name", ["pipe.toml", "pipe.mp4", "pipe"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(PresetError, match="a device or a pipe"):
        load_preset(str(tmp_path / name))


def test_a_device_is_not_read_without_end(tmp_path: Path) -> None:
    (tmp_path / "zero.toml").symlink_to("/dev/zero")
    with pytest.raises(PresetError, match="a device or a pipe"):
        load_preset(str(tmp_path / "zero.toml"))


def test_text_that_a_terminal_would_obey_is_written_in_escapes() -> None:
    strange = "\x1b]0;owned\x07 \x9b31m \u202ereversed \U000e0041 \x85 line\r\nend"
    preset = parse_preset(LEAST, "it").model_copy(update={"name": strange, "about": strange})
    text = preset_text(preset)
    assert all(letter.isprintable() or letter == "\n" for letter in text)
    assert parse_preset(text, "it") == preset


def test_a_model_whose_name_is_no_text_is_written_down() -> None:
    preset = preset_of(random_patch(1), made_with=MadeWith(model=os.fsdecode(b"a\xff.pkl")))
    again = parse_preset(preset_text(preset), "it")
    assert again.made_with is not None and again.made_with.model == "a?.pkl"


def test_a_preset_has_no_key_that_could_name_a_file() -> None:
    """Every text in a preset is a choice from a table, matches a strict pattern, or is only shown to people."""
    told = {("name",), ("about",), ("sections", "name"), ("made_with", "program"), ("made_with", "model")}
    told |= {("made_with", "model_sha256"), ("made_with", "song_sha256")}
    free: set[tuple[str, ...]] = set()

    def look(node: dict[str, Any], path: tuple[str, ...], definitions: dict[str, Any]) -> None:
        if "$ref" in node:
            node = definitions[node["$ref"].rpartition("/")[2]]
        for key, child in node.get("properties", {}).items():
            look(child, (*path, key), definitions)
        for key in ("anyOf", "oneOf"):
            for child in node.get(key, []):
                look(child, path, definitions)
        if "items" in node:
            look(node["items"], path, definitions)
        if node.get("type") == "string" and not {"enum", "const", "pattern"} & set(node):
            free.add(path)

    schema = Preset.model_json_schema()
    look(schema, (), schema["$defs"])
    features = {path for path in free if path[-1] == "feature"}  # checked against the table of features
    assert features and free - features == told


# Sections, each of which may change the patch.

TWO = LEAST.replace("schema = 1", "schema = 2")


def with_section(patch: str, place: str = "start = 1") -> str:
    return f"{TWO}[[sections]]\n{place}\npatch = {patch}\n"


SECTIONS = {
    "coarse tables": (with_section("{ a = " * 200 + "1" + " }" * 200), "is not TOML|nested too deeply|unknown key 'a'"),
    "coarse tables where one is known": (
        with_section("{ latents = { base = " + "{ a = " * 150 + "1" + " }" * 152),
        "nested too deeply|valid|TOML",
    ),
    "coarse arrays": (
        with_section("{ latents = { base = " + "[" * 150 + "]" * 150 + " } }"),
        "nested too deeply|valid",
    ),
    "no table": (with_section("7"), "sections.0.patch = 7: input should be a valid dictionary"),
    "a list": (with_section("[{ palette = 1 }]"), "valid dictionary"),
    "a number for a table": (with_section("{ latents = 7 }"), r"latents = 7"),
    "a table for a number": (with_section("{ noise = { strength = { a = 1 } } }"), "valid number"),
    "text for a list": (with_section("{ palette = { seeds = 'abc' } }"), "seeds = 'abc'"),
    "not a number": (with_section("{ noise = { strength = nan } }"), "strength = nan"),
    "a key that no patch has": (with_section("{ lattents = { base = [0] } }"), "'lattents'.*did you mean 'latents'"),
    "the preset's own keys": (with_section("{ sections = [], name = 'x', schema = 2 }"), "unknown key 'sections'"),
    "a path": (with_section("{ file = '/etc/passwd' }"), "unknown key 'file'"),
    "more sections than there can be": (TWO + "[[sections]]\nstart = 1\n" * 65, "65 sections; there can be at most 64"),
    "a table for the sections": (TWO + "[sections]\nstart = 1\n", "sections"),
    "a label that clears the screen": (with_section("{}", 'label = "\\u001b[2J"'), "label"),
    "a start beyond a day": (with_section("{}", "start = 1e300"), "start = 1e.300: input"),
    "a start that is no number": (with_section("{}", "start = nan"), "start = nan"),
}


@pytest.mark.parametrize("name", SECTIONS)
def test_strange_sections_are_one_short_sentence(name: str) -> None:
    text, words = SECTIONS[name]
    with pytest.raises(PresetError, match=words) as caught:
        parse_preset(text, "friend.toml")
    assert len(str(caught.value)) < 1500 and str(caught.value).isprintable()


def large_patch(sequences: int) -> str:
    vectors = ", ".join(["0"] * 256)
    sequence = f'[[latents.sequences]]\nstrategy = "loop"\nbars = 4.5\nvectors = [{vectors}]\n'
    return TWO.replace("[noise]", sequence * sequences + "[noise]")


def test_sections_of_a_large_patch_are_counted_before_any_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few bytes each, and a copy of the whole patch: a hundred times the text of the file."""
    made: list[object] = []
    validate = Patch.model_validate
    monkeypatch.setattr(Patch, "model_validate", lambda data: made.append(data) or validate(data))
    sections = "".join(f"[[sections]]\nstart = {i}\npatch.noise.strength = 0.{i + 10}\n" for i in range(64))
    with pytest.raises(PresetError, match=r"64 sections of a patch this large come to [0-9]{6} values; up to 250000"):
        parse_preset(large_patch(40) + sections, "it")
    assert not made
    preset = parse_preset(large_patch(2) + sections, "it")
    assert len(preset.section_patches()) == 64 and len(made) == 2 * 64  # when it is read, and when it is asked for
    assert preset.section_patches()[5].latents is not None and preset.section_patches()[5].noise.strength == 0.15


def test_lists_in_a_section_are_counted_too() -> None:
    """What a section's own changes add is bounded by the file; what they replace, by the schema."""
    crowd = "[" + '{ strategy = "loop", vectors = [0], bars = 1 },' * 900 + "]"
    with pytest.raises(PresetError, match="64"):
        parse_preset(with_section("{ latents = { sequences = " + crowd + " } }"), "it")


# Values that are each in range, and too much together.


def test_a_table_beyond_memory_is_refused_before_it_is_made() -> None:
    features = make_features()
    long = type(features)(**{**vars(features), "frames": 6 * 3600 * 240})
    with pytest.raises(RenderError, match=r"5184000 frames of a palette of 1024 vectors need a table of 59\.3 GiB"):
        latent_weights(random_patch(1).latents, long, 1024)


EXTREME = {
    "bars": '{ strategy = "loop", vectors = [0, 1], bars = %s }',
    "seconds": '{ strategy = "loop", vectors = [0, 1], seconds = %s }',
    "release": '{ strategy = "feature", vectors = [0, 1], envelope = { feature = "rms", release = %s } }',
    "smooth": '{ strategy = "feature", vectors = [0, 1], envelope = { feature = "rms", smooth = %s } }',
}


@pytest.mark.parametrize("key", EXTREME)
@pytest.mark.parametrize("value", ["5e-324", "1e-300", "1e-30", "0.001", "600"])
def test_tiny_values_give_numbers_or_a_sentence(key: str, value: str) -> None:
    text = LEAST.replace("[noise]", f"sequences = [{EXTREME[key] % value}]\n[noise]")
    try:
        patch = parse_preset(text, "it").patch.latents
    except PresetError as error:
        assert key in str(error) and float(value) < 0.001
        return
    assert np.isfinite(latent_weights(patch, make_features(), 3)).all()


@pytest.mark.parametrize("change", ["slow = 1e-300", "fast = 5e-324", "sigma = 1e-320", "seconds = 1e-310"])
def test_noise_does_not_leave_the_numbers(change: str) -> None:
    blend = 'strategy = "blend", envelope = { feature = "rms" }, fields = [0, 1]'
    loop = 'strategy = "loop", fields = [0, 1, 2]' + (", bars = 1" if "seconds" not in change else "")
    row = f"{{ {loop if change[:5] in ('sigma', 'secon') else blend}, {change} }}"
    with pytest.raises(PresetError, match=change.split()[0]):
        parse_preset(LEAST + f"sequences = [{row}]\n", "it")


# What messages show.


def test_values_are_shown_short_and_safe() -> None:
    coarse: list[Any] = []
    for _ in range(100_000):
        coarse = [coarse]
    for value in (
        coarse,
        {"a": coarse},
        1 << 100_000,
        "\x1b[2J" * 999,
        "\x9b",
        b"\x1b" * 99,
        {str(i): i for i in range(999)},
    ):
        assert len(shown(value)) < 300
        assert shown(value).isprintable()
    assert shown(3.5) == "3.5" and shown("high") == "'high'"


def test_messages_are_made_fit_for_a_terminal() -> None:
    assert printable("a\nb\x1b[2J\u202e") == r"a\nb\x1b[2J\u202e"
    assert printable("ünï ☃ 'x' \\n") == "ünï ☃ 'x' \\n"
    assert len(printable("x" * 99, 10)) == 10


@pytest.mark.parametrize("text", [LEAST + "[render]\n", LEAST + "[made_with]\n", 'name = ""\n' + LEAST])
def test_an_empty_part_is_written_and_read_again(text: str) -> None:
    """Found by fuzzing: a preset whose `made_with` says nothing came back without one."""
    preset = parse_preset(text, "it")
    assert parse_preset(preset_text(preset), "it") == preset
