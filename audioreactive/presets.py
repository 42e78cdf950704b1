"""Find, read, write and change presets: TOML files that hold a `Patch`, and say where it came from.

A preset never names a path, neither to read nor to write: it can be opened from a stranger.
"""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError

from audioreactive.errors import PresetError, printable, shown
from audioreactive.files import open_regular, write_aside
from audioreactive.patches.schema import Part, Patch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LARGEST_PRESET = 1 << 19
"""Bytes; a patch of the largest size that the schema allows takes half of it."""
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


class Preset(Patch):
    """What a preset file holds: a patch at the top level, beside what people say about it."""

    schema_version: Annotated[Literal[1], Field(alias="schema")] = 1
    name: Text = ""
    about: Annotated[str, Field(max_length=20_000)] = ""
    render: RenderDefaults = RenderDefaults()
    made_with: MadeWith | None = None

    @property
    def patch(self) -> Patch:
        """The recipe alone."""
        return Patch(palette=self.palette, latents=self.latents, noise=self.noise, synthesizers=self.synthesizers)


def preset_of(patch: Patch, *, render: RenderDefaults | None = None, made_with: MadeWith | None = None) -> Preset:
    """A preset around a patch."""
    return Preset(
        palette=patch.palette,
        latents=patch.latents,
        noise=patch.noise,
        synthesizers=patch.synthesizers,
        render=render or RenderDefaults(),
        made_with=made_with,
    )


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
        raise PresetError(
            f"there is no preset {name!r}: give a .toml file, a video rendered by this program, "
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
    if max(map(_count_dots, _STRINGS.sub("", text).split("\n"))) > MOST_DOTS:
        raise PresetError(f"the preset {name!r} has a line with more than {MOST_DOTS} dots, which no preset needs")
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise PresetError(f"the preset {name!r} is not TOML: {printable(str(error), 200)}") from None
    version = data.get("schema")
    if version != 1:
        raise PresetError(f"the preset {name!r} has schema = {shown(version)}; this program reads schema = 1")
    return _validate(data, f"the preset {name!r}")


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
        keys = [str(key) for i, key in enumerate(location) if not (i and isinstance(location[i - 1], int))]
        message = printable(problem["msg"].removeprefix("Value error, "), 400)
        # Of a whole table the message already names the key at fault.
        whole = problem["type"] == "missing" or isinstance(problem["input"], dict)
        value = "" if whole else f" = {shown(problem['input'])}"
        lines.append(f"{'.'.join(keys) or 'top level'}{value}: {message[:1].lower() + message[1:]}")
    more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
    return "; ".join(lines) + more


def preset_text(preset: Preset) -> str:
    """The preset as TOML."""
    import tomli_w

    data = preset.model_dump(mode="json", by_alias=True, exclude_none=True)
    for empty in [key for key in ("name", "about", "render", "synthesizers") if not data.get(key)]:
        data.pop(empty, None)
    for synthesizer in data.get("synthesizers", ()):
        if not synthesizer.get("weights"):
            synthesizer.pop("weights", None)
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
    """Change values by expressions such as `noise.sequences.*.sigma *= 2` or `latents.sequences.1.intensity = 0.5`.

    `=` sets, `*=` multiplies, `+=` adds (or extends a list); `*` stands for every item of a list, and leaves alone
    those that have no such key. Values are TOML; a bare word is text.
    """
    data = preset.model_dump(mode="json", by_alias=True, exclude_none=True)
    for expression in expressions:
        keys, operator, value = _parse_override(expression)
        if not _assign(data, keys, operator, value):
            raise PresetError(f"--set {expression!r} matches nothing in the preset")
        data = _validate(data, f"--set {expression!r}").model_dump(mode="json", by_alias=True, exclude_none=True)
    return Preset.model_validate(data)


def _parse_override(expression: str) -> tuple[list[str], str, Any]:
    left, equals, right = expression.partition("=")
    operator = left[-1:] + "=" if left[-1:] in ("*", "+") else "="
    keys = [key.strip() for key in left.removesuffix(operator[:-1]).split(".")]
    if not equals or not all(keys) or not right.strip():
        raise PresetError(f"--set {expression!r} is not of the form KEY = VALUE, KEY *= NUMBER or KEY += NUMBER")
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
            raise PresetError("in --set, * stands for the items of a list, and there is none at that place")
        if rest:
            return sum(_assign(item, rest, operator, value, optional=True) for item in node)
        node[:] = [_combine(item, operator, value, key) for item in node]
        return len(node)
    place = _place(node, key, may_be_new=not rest and operator == "=" and not optional)
    if place is None:
        if optional:
            return 0
        known = ", ".join(node) if isinstance(node, dict) else f"0 to {len(node) - 1}" if isinstance(node, list) else ""
        raise PresetError(f"in --set, there is no {key!r} at that place{'; there are ' + known if known else ''}")
    if rest:
        return _assign(node[place], rest, operator, value, optional=optional)
    node[place] = _combine(node[place], operator, value, key) if operator != "=" else value
    return 1


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


def difference(first: Patch, second: Patch) -> list[tuple[str, Any, Any]]:
    """What differs between two patches: (key, value in the first, value in the second), None where one lacks it."""
    old, new = (dict(_flatten(patch.model_dump(mode="json", exclude_none=True))) for patch in (first, second))
    keys = [*old, *(key for key in new if key not in old)]
    return [(key, old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)]


def _flatten(node: Any, prefix: str = "") -> Iterable[tuple[str, Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _flatten(value, f"{prefix}.{key}" if prefix else key)
    elif isinstance(node, list) and any(isinstance(item, dict) for item in node):
        for index, item in enumerate(node):
            yield from _flatten(item, f"{prefix}.{index}")
    else:
        yield prefix, node
