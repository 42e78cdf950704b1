"""Find, read, write and change presets: TOML files that hold a `Patch`, and say where it came from.

A preset never names a path, neither to read nor to write: it can be opened from a stranger.
"""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from audioreactive.errors import PresetError, did_you_mean, printable, shown
from audioreactive.files import is_web_address, open_regular, write_aside
from audioreactive.patches.schema import LatentPatch, NoisePatch, Palette, Part, Patch, check_keys
from audioreactive.patches.sections import MOST_SECTIONS, Section, changes_between, check_sections, section_patches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pydantic_core import ErrorDetails

LARGEST_PRESET = 1 << 19
"""Bytes, most of them of a synthesizer; a patch of the largest size that the schema allows takes half of it."""
MOST_VALUES = 40_000
"""Commas, equals signs and opening brackets outside strings; a patch of the largest size has half as many. Each value
may take a microsecond of the TOML reader, and a kilobyte where it is refused."""
MOST_DOTS = 128
"""In a line, strings and remarks left out. The time that the TOML reader takes for a dotted key grows with the square
of its parts, and no preset has more than a few."""

LARGEST_NUMBER = 1e100
"""Of those that `override` computes with."""


def _writable(text: object) -> object:
    """Names of files may hold bytes that are no text; TOML has no way to write them."""
    return text.encode(errors="replace").decode() if isinstance(text, str) else text


Text = Annotated[str, Field(max_length=2000), BeforeValidator(_writable)]


class RenderDefaults(Part):
    """Settings that the preset was rendered with; a flag on the command line wins over them."""

    fps: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,5}(/[1-9][0-9]{0,5})?$")] | None = None
    size: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,4}x[1-9][0-9]{0,4}$")] | None = None
    fit: Literal["widen", "crop", "pad", "stretch"] | None = None


class MadeWith(Part):
    """Where a rendered preset came from, for people to read; nothing depends on it."""

    program: Text | None = None
    model: Text | None = None
    model_sha256: Text | None = None
    song_sha256: Text | None = None
    seed: Annotated[int, Field(ge=0, le=2**64)] | None = None


PATCH_KEYS: Final = tuple(Patch.model_fields)
"""Keys of the patch, which stand at the top level of a preset file."""


class Preset(Part):
    """A patch, its sections, and what people say about it. In a file, the patch's keys stand at the top level."""

    patch: Patch
    sections: Annotated[tuple[Section, ...], Field(max_length=MOST_SECTIONS)] = ()
    schema_version: Annotated[Literal[1, 2], Field(alias="schema")] = 1
    """2 where there are sections."""
    name: Text = ""
    about: Annotated[str, Field(max_length=20_000)] = ""
    render: RenderDefaults = RenderDefaults()
    made_with: MadeWith | None = None

    @model_validator(mode="before")
    @classmethod
    def _patch_at_the_top(cls, data: object) -> object:
        """Gather the patch's keys, as they stand in a file."""
        if not isinstance(data, dict) or isinstance(data.get("patch"), Patch):
            return data
        known = [*PATCH_KEYS, *(field.alias or name for name, field in cls.model_fields.items() if name != "patch")]
        check_keys(data, known)
        patch = {key: data[key] for key in PATCH_KEYS if key in data}
        return {"patch": patch, **{key: value for key, value in data.items() if key not in PATCH_KEYS}}

    @model_validator(mode="after")
    def _sections_fit(self) -> Preset:
        if self.sections and self.schema_version == 1:
            raise ValueError("sections need schema = 2 at the head of the preset")
        check_sections(self.sections)
        self.section_patches()
        return self

    def section_patches(self) -> list[Patch]:
        """The whole patch of each section."""
        return section_patches(self.patch, self.sections)

    def feature_names(self) -> tuple[str, ...]:
        """Names of the features that must be heard, those of all sections included, sorted."""
        return tuple(sorted({name for patch in self._patches() for name in patch.feature_names()}))

    def segmentation_names(self) -> tuple[str, ...]:
        """Names of the features that must be segmented, those of all sections included, sorted."""
        return tuple(sorted({name for patch in self._patches() for name in patch.segmentation_names()}))

    def palettes(self) -> tuple[Palette, ...]:
        """The palettes of the patch and of all sections, each once."""
        return tuple(dict.fromkeys(patch.palette for patch in self._patches()))

    def mapped(self, change: Callable[[Patch], Patch]) -> Preset:
        """The preset with the change made to its patch and to that of every section."""
        patch = change(self.patch)
        base = patch.model_dump(mode="json", by_alias=True, exclude_none=True)
        sections = tuple(
            section.model_copy(
                update={"patch": changes_between(base, change(own).model_dump(mode="json", exclude_none=True))}
            )
            for section, own in zip(self.sections, self.section_patches(), strict=True)
        )
        return self.model_copy(update={"patch": patch, "sections": sections})

    def data(self) -> dict[str, Any]:
        """The preset as it stands in a file: the patch's keys at the top level."""
        data = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        flat = {**data.pop("patch"), **data}
        flat["schema"] = 2 if self.sections else 1
        if not self.sections:
            flat.pop("sections")
        return flat

    def _patches(self) -> list[Patch]:
        return [self.patch, *self.section_patches()]


def preset_of(patch: Patch, *, render: RenderDefaults | None = None, made_with: MadeWith | None = None) -> Preset:
    """A preset around a patch."""
    return Preset(patch=patch, render=render or RenderDefaults(), made_with=made_with)


def shipped_presets() -> dict[str, Path]:
    """Name -> file of the presets that ship with the program."""
    installed = Path(str(files("audioreactive"))) / "assets" / "presets"
    checkout = Path(str(files("audioreactive"))).parent / "presets"
    folder = installed if installed.is_dir() else checkout
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def preset_path(name: str | None) -> Path | None:
    """The file or folder in which the preset of this name would be looked for; None without a name."""
    if name is None:
        return None
    shipped = shipped_presets()
    return shipped[name] if name in shipped and not Path(name).is_file() else Path(name)


def load_preset(name: str) -> Preset:
    """The preset of this name: one that ships, a TOML file, or the one inside a video or a folder of frames.

    Raises:
        PresetError: there is no such preset, or it does not hold what a preset holds.
    """
    shipped = shipped_presets()
    try:
        path = preset_path(name) or Path(name)
        there = path.exists()
        strange = there and not path.is_file() and not path.is_dir()
    except OSError as error:
        raise PresetError(f"the preset {shown(name)} cannot be read: {error.strerror}") from None
    if not there:
        if is_web_address(name):
            raise PresetError(
                f"the preset {shown(name)} is a web address: download it, and give the file on this computer"
            )
        close = did_you_mean(name, shipped)
        raise PresetError(
            f"there is no preset {shown(name)}{close or ':'} give a .toml file, a video rendered by this program, "
            f"or one of {', '.join(shipped)}"
        )
    if strange:
        raise PresetError(f"the preset {name!r} is a device or a pipe, not a file")
    return parse_preset(_preset_text(path), name)


def _preset_text(path: Path) -> str:
    if path.suffix.lower() != ".toml":
        from audioreactive.video import read_preset

        text = read_preset(path)
        if text is None:
            raise PresetError(f"{str(path)!r} carries no preset; videos rendered by this program do, and .toml files")
        return text
    try:
        with open_regular(path) as file:
            content = file.read(LARGEST_PRESET + 1)
        if len(content) > LARGEST_PRESET:
            raise PresetError(f"{str(path)!r} has {path.stat().st_size} bytes; a preset has at most {LARGEST_PRESET}")
        return content.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PresetError(f"the preset {str(path)!r} cannot be read: {error}") from None


def parse_preset(text: str, name: str) -> Preset:
    """Read TOML text; `name` is what messages call it."""
    if len(text) > LARGEST_PRESET:
        raise PresetError(f"the preset {name!r} has {len(text)} characters; a preset has at most {LARGEST_PRESET}")
    bare = _STRINGS.sub("", text)
    if (count := sum(map(bare.count, ",=[{"))) > MOST_VALUES:
        raise PresetError(f"the preset {name!r} has {count} values; a preset has at most {MOST_VALUES}")
    if max(map(_count_dots, bare.split("\n"))) > MOST_DOTS:
        raise PresetError(f"the preset {name!r} has a line with more than {MOST_DOTS} dots, which no preset needs")
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise PresetError(f"the preset {name!r} is not TOML: {printable(str(error), 200)}") from None
    version = data.get("schema")
    if version not in (1, 2):
        raise PresetError(f"the preset {name!r} has schema = {shown(version)}; this program reads schema = 1 and 2")
    _refuse_crowds(data, name)
    return _validate(data, f"the preset {name!r}")


def _refuse_crowds(data: Mapping[str, Any], name: str) -> None:
    """Refuse lists of more tables than the schema takes, before each table is looked at."""
    for path, most in _CROWDS.items():
        node: Any = data
        for key in path:
            node = node.get(key) if isinstance(node, dict) else None
        if isinstance(node, list) and len(node) > most:
            raise PresetError(f"the preset {name!r} has {len(node)} {'.'.join(path)}; there can be at most {most}")


def _most(part: type[Part], field: str) -> int:
    """The longest list that the schema takes."""
    return next(int(rule.max_length) for rule in part.model_fields[field].metadata if hasattr(rule, "max_length"))


_CROWDS = {
    ("sections",): MOST_SECTIONS,
    ("synthesizers",): _most(Patch, "synthesizers"),
    ("latents", "sequences"): _most(LatentPatch, "sequences"),
    ("noise", "sequences"): _most(NoisePatch, "sequences"),
}
"""Lists of tables, and how many each may have."""


_STRINGS = re.compile(
    r'''"""(?:[^"\\]|\\[\s\S]|"(?!""))*+(?:""")?'''
    r"""|'''(?:[^']|'(?!''))*+(?:''')?"""
    r"""|"(?:[^"\\\n]|\\.)*+"?|'[^'\n]*+'?|\#[^\n]*+"""
)
"""TOML's four kinds of strings, and remarks; one that is not closed ends with its line, or with the text. The pattern
never goes back over what it took."""


def _count_dots(line: str) -> int:
    return line.count(".")


def _validate(data: Mapping[str, Any], what: str) -> Preset:
    try:
        return Preset.model_validate(data)
    except ValidationError as error:
        raise PresetError(f"{what}: {_describe(error)}") from None
    except RecursionError:
        raise PresetError(f"{what} is nested too deeply") from None


def _describe(error: ValidationError) -> str:
    """The first problems as "key = value: what is allowed"."""
    problems = error.errors(include_url=False)
    lines = []
    for problem in problems[:3]:
        location = problem["loc"]
        # Beside a list's index pydantic also names the strategy that it took; that is no key of the file.
        keys = [
            str(key)
            for i, key in enumerate(location)
            if i < 2 or location[i - 2] == "sections" or not isinstance(location[i - 1], int)
        ]
        keys = keys[1:] if keys[:1] == ["patch"] else keys  # in a file, the patch stands at the top level
        message = printable(problem["msg"].removeprefix("Value error, "), 400)
        # Of a whole table the message already names the key at fault.
        whole = problem["type"] == "missing" or isinstance(problem["input"], dict)
        value = "" if whole else f" = {shown(problem['input'])}"
        close = _close_choice(problem)
        lines.append(f"{'.'.join(keys) or 'top level'}{value}: {message[:1].lower() + message[1:]}{close}")
    more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
    return "; ".join(lines) + more


def _close_choice(problem: ErrorDetails) -> str:
    """A guess at what was meant, where one of a few words was wanted and another one was written."""
    context = problem.get("ctx", {})
    if problem["type"] == "literal_error":
        return did_you_mean(str(problem["input"]), _QUOTED.findall(str(context.get("expected", ""))))
    if problem["type"] == "union_tag_invalid":
        return did_you_mean(str(context.get("tag", "")), _QUOTED.findall(str(context.get("expected_tags", ""))))
    return ""


_QUOTED = re.compile(r"'([^']*)'")


def preset_text(preset: Preset) -> str:
    """The preset as TOML."""
    import tomli_w

    data = preset.data()
    for empty in [key for key in ("name", "about", "render", "synthesizers") if not data.get(key)]:
        data.pop(empty, None)
    if data["tempo_factor"] == 1:
        del data["tempo_factor"]
    for synthesizer in data.get("synthesizers", ()):
        if not synthesizer.get("weights"):
            synthesizer.pop("weights", None)
    if preset.patch.latents.reach == type(preset.patch.latents).model_fields["reach"].default:
        data["latents"].pop("reach")
    for sequence in (*data["latents"]["sequences"], *data["noise"]["sequences"]):
        for key in ("depth", "merge", "modulator", "intensity"):  # what it does comes before how it joins
            if key in sequence:
                sequence[key] = sequence.pop(key)
    text = _ONE_A_LINE.sub(_on_one_line, tomli_w.dumps({"schema": data.pop("schema"), **data}))
    return _UNPRINTABLE.sub(_escaped, text)


_UNPRINTABLE = re.compile(r"[^\n -~]")


def _escaped(character: re.Match[str]) -> str:
    """What a terminal might obey, in TOML's notation; it can only stand in a string."""
    letter = character[0]
    return letter if letter.isprintable() else f"\\U{ord(letter):08x}"


_ONE_A_LINE = re.compile(r"\[\n((?:    [^\[\]{}\n]+,\n)+)\]")


def _on_one_line(array: re.Match[str]) -> str:
    """A list of numbers or words, which the TOML writer spreads over as many lines."""
    return f"[{array[1].replace(chr(10), ' ').replace('    ', '').rstrip(', ')}]"


def save_preset(preset: Preset, path: Path) -> None:
    """Write the preset as a TOML file, aside first, then renamed."""
    with write_aside(path) as partial:
        partial.write_bytes(preset_text(preset).encode())


def override(preset: Preset, expressions: Iterable[str]) -> Preset:
    """Change values by expressions such as `noise.strength *= 0.5` or `latents.sequences.*.intensity *= 0.5`.

    `=` sets, `*=` multiplies, `+=` adds (or extends a list); `*` stands for every item of a list, and leaves alone
    those that have no such key. Values are TOML; a bare word is text.

    Raises:
        PresetError: an expression is none, changes nothing anywhere, or asks for what a preset cannot hold.
    """
    for expression in expressions:
        keys, operator, value = _parse_override(expression)
        if keys[0] == "sections" and len(keys) > 2 and keys[2] not in Section.model_fields:
            preset = _override_section(preset, expression)
            continue
        data = preset.data()
        if not _assign(data, keys, operator, value):
            raise PresetError(f"--set {shown(expression)} matches nothing in the preset{_what_there_is(data, keys)}")
        preset = _validate(data, f"--set {shown(expression)}")
    return preset


def _override_section(preset: Preset, expression: str) -> Preset:
    """Change what a section's patch comes to; what equals the preset's own patch afterwards is inherited again."""
    (_, chosen, *keys), operator, value = _parse_override(expression)
    base = preset.patch.model_dump(mode="json", exclude_none=True)
    sections, found = list(preset.sections), 0
    named = [s for i, s in enumerate(sections) if chosen in ("*", str(i), s.name)]
    labels = {section.label for section in named if section.label is not None}
    for index, (section, own) in enumerate(zip(preset.sections, preset.section_patches(), strict=True)):
        if section not in named and section.label not in labels:  # those of one label share a patch
            continue
        whole = own.model_dump(mode="json", exclude_none=True)
        found += _assign(whole, keys, operator, value)
        sections[index] = section.model_copy(update={"patch": changes_between(base, whole)})
    if not found:
        names = ", ".join(section.name or str(index) for index, section in enumerate(preset.sections))
        there = f"the sections are {names}" if names else "the preset has no sections"
        raise PresetError(f"--set {shown(expression)} matches nothing: {there}")
    changed = preset.model_copy(update={"sections": tuple(sections)})
    return _validate(changed.data(), f"--set {shown(expression)}")


def _what_there_is(data: Any, keys: list[str]) -> str:
    """The keys at the place where a path through lists finds nothing, and the one that may have been meant."""
    nodes = [data]
    for depth, key in enumerate(keys):
        below = [child for node in nodes for child in _children(node, key)]
        if not below:
            place = ".".join(keys[:depth])
            known = list(dict.fromkeys(name for node in nodes if isinstance(node, dict) for name in node))
            if not known:
                return f": {place} has no items here"
            close = did_you_mean(key, known)
            return f": no item of {place} has {shown(key)}{close or ';'} there are {', '.join(known)}"
        nodes = below
    return ""


def _children(node: Any, key: str) -> list[Any]:
    if key == "*":
        return node if isinstance(node, list) else []
    place = _place(node, key, may_be_new=False)
    return [] if place is None else [node[place]]


def _parse_override(expression: str) -> tuple[list[str], str, Any]:
    left, equals, right = expression.partition("=")
    operator = left[-1:] + "=" if left[-1:] in ("*", "+") else "="
    keys = [key.strip() for key in left.removesuffix(operator[:-1]).split(".")]
    if not equals or not all(keys) or not right.strip():
        raise PresetError(f"--set {shown(expression)} is not of the form KEY = VALUE, KEY *= NUMBER or KEY += NUMBER")
    try:
        value = tomllib.loads(f"value = {right}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError, ValueError):
        value = right.strip()
    return keys, operator, value


def _assign(node: Any, keys: list[str], operator: str, value: Any, *, optional: bool = False) -> int:
    """Assign below `node`; the number of places assigned. `optional`: below a `*`, where a missing key is passed by."""
    key, *rest = keys
    if key == "*":
        if not isinstance(node, list):
            if optional:
                return 0
            raise PresetError("in --set, * stands for the items of a list, and there is none at that place")
        if rest:
            return sum(_assign(item, rest, operator, value, optional=True) for item in node)
        node[:] = [_combine(item, operator, value, key) for item in node]
        return len(node)
    place = _place(node, key, may_be_new=not rest and operator == "=" and not optional)
    if place is None:
        if optional:
            return 0
        raise PresetError(f"in --set, there is no {shown(key)} at that place{_listed(node, key)}")
    if rest:
        return _assign(node[place], rest, operator, value, optional=optional)
    node[place] = _combine(node[place], operator, value, key) if operator != "=" else value
    return 1


def _listed(node: Any, key: str) -> str:
    """What there is instead of the key, as the end of a sentence."""
    if isinstance(node, dict) and node:
        return f"{did_you_mean(key, node) or ';'} there are {', '.join(node)}"
    return f"; there are 0 to {len(node) - 1}" if isinstance(node, list) and node else ""


def _place(node: Any, key: str, *, may_be_new: bool) -> str | int | None:
    if isinstance(node, list):
        return int(key) if key.isdecimal() and len(key) < 10 and int(key) < len(node) else None
    if isinstance(node, dict) and (key in node or may_be_new):
        return key
    return None


def _combine(old: Any, operator: str, value: Any, key: str) -> Any:
    if operator == "=":
        return value
    if operator == "+=" and isinstance(old, list) and isinstance(value, list):
        return old + value
    if not _is_number(old) or not _is_number(value):
        raise PresetError(f"--set {key} {operator} needs numbers, and this is {shown(old)} {operator} {shown(value)}")
    return old * value if operator == "*=" else old + value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST_NUMBER


def difference(first: Preset, second: Preset) -> list[tuple[str, Any, Any]]:
    """What differs between two recipes: (key, value in the first, value in the second), None where one lacks it.

    Sections are told by their names, or by their numbers where they have none.
    """
    old, new = dict(_told(first)), dict(_told(second))
    keys = [*old, *(key for key in new if key not in old)]
    return [(key, old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)]


def _told(preset: Preset) -> Iterable[tuple[str, Any]]:
    yield from _flatten(preset.patch.model_dump(mode="json", exclude_none=True))
    for index, section in enumerate(preset.sections):
        yield from _flatten(section.model_dump(mode="json", exclude_none=True), f"sections.{section.name or index}")


def _flatten(node: Any, prefix: str = "") -> Iterable[tuple[str, Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _flatten(value, f"{prefix}.{key}" if prefix else key)
    elif isinstance(node, list) and any(isinstance(item, dict) for item in node):
        for index, item in enumerate(node):
            yield from _flatten(item, f"{prefix}.{index}")
    else:
        yield prefix, node
