"""Find, read and write presets: TOML files with a `Preset`.

A preset contains no paths, neither to read nor to write, so that untrusted presets are safe to open.
"""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from audioreactive._support.files import as_path, is_web_address, open_regular, write_aside
from audioreactive.errors import PresetError, did_you_mean, printable, shown
from audioreactive.patches.move_schema import Camera
from audioreactive.patches.own_pictures import accompany, adopt
from audioreactive.patches.preset import Preset
from audioreactive.patches.schema import LatentPatch, NoisePatch, Patch
from audioreactive.patches.sections import MOST_SECTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

    from audioreactive.patches.fields import Part

LARGEST_PRESET = 1 << 19
"""Most bytes of a preset: twice as many as the largest patch that the schema allows; most of them are a synthesizer's.
"""
MOST_VALUES = 40_000
"""Most commas, equals signs and opening brackets outside strings; the largest patch has half as many. The limit bounds
time and memory: the TOML reader takes up to a microsecond per value, and an error report a kilobyte."""
MOST_DOTS = 128
"""Most dots in a line, outside strings and comments. The TOML reader's time grows with the square of a dotted key's
parts, and no preset needs more than a few."""


def shipped_presets() -> dict[str, Path]:
    """List the included presets: name -> file."""
    return {path.stem: path for path in sorted(_folder().glob("*.toml"))}


def network_presets() -> dict[str, Path]:
    """List the included presets that only networks can follow, not the painter: name -> file."""
    return {path.stem: path for path in sorted((_folder() / "networks").glob("*.toml"))}


def _folder() -> Path:
    installed = Path(str(files("audioreactive"))) / "assets" / "presets"
    checkout = Path(str(files("audioreactive"))).parent / "presets"
    return installed if installed.is_dir() else checkout


def preset_path(name: str | None) -> Path | None:
    """Return the path at which `load_preset` looks for a preset; None without a name."""
    if name is None:
        return None
    shipped = shipped_presets() | network_presets()
    return shipped[name] if name in shipped and not Path(name).is_file() else as_path(name)


def load_preset(name: str) -> Preset:
    """Load a preset: an included one, a TOML file, or the one embedded in a video or a folder of frames.

    Raises:
        PresetError: there is no such preset, or its content is not valid.
    """
    shipped = shipped_presets() | network_presets()
    try:
        path = preset_path(name) or as_path(name)
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
    preset = parse_preset(_preset_text(path), name)
    adopt((preset.patch, *preset.section_patches()), path.absolute().parent)
    return preset


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
    """Read a preset from TOML text; error messages call it `name`."""
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
    if version is None:
        raise PresetError(
            f"{name!r} is no whole preset: it says no schema; begin with one that is, such as "
            "'audioreactive preset show pulse' prints, and change that"
        )
    if version not in (1, 2):
        raise PresetError(f"the preset {name!r} has schema = {shown(version)}; this program reads schema = 1 and 2")
    _check_list_lengths(data, name)
    return validated(data, f"the preset {name!r}")


def _check_list_lengths(data: Mapping[str, Any], name: str) -> None:
    """Refuse lists with more tables than the schema allows, before each table is validated."""
    for path, most in _MOST_TABLES.items():
        node: Any = data
        for key in path:
            node = node.get(key) if isinstance(node, dict) else None
        if isinstance(node, list) and len(node) > most:
            raise PresetError(f"the preset {name!r} has {len(node)} {'.'.join(path)}; there can be at most {most}")


def _most(part: type[Part], field: str) -> int:
    """Return the largest length that the schema allows for a list."""
    return next(int(rule.max_length) for rule in part.model_fields[field].metadata if hasattr(rule, "max_length"))


_MOST_TABLES = {
    ("sections",): MOST_SECTIONS,
    ("synthesizers",): _most(Patch, "synthesizers"),
    ("latents", "sequences"): _most(LatentPatch, "sequences"),
    ("noise", "sequences"): _most(NoisePatch, "sequences"),
    ("camera", "moves"): _most(Camera, "moves"),
    ("bends",): _most(Patch, "bends"),
    ("weights",): _most(Patch, "weights"),
}
"""Path of each list of tables -> most tables that it may have."""


_STRINGS = re.compile(
    r'''"""(?:[^"\\]|\\[\s\S]|"(?!""))*+(?:""")?'''
    r"""|'''(?:[^']|'(?!''))*+(?:''')?"""
    r"""|"(?:[^"\\\n]|\\.)*+"?|'[^'\n]*+'?|\#[^\n]*+"""
)
"""TOML's four kinds of strings, and comments; an unclosed one ends with its line, or with the text. All quantifiers are
possessive, so the pattern never backtracks."""


def _count_dots(line: str) -> int:
    return line.count(".")


def validated(data: Mapping[str, Any], what: str) -> Preset:
    try:
        return Preset.model_validate(data)
    except ValidationError as error:
        raise PresetError(f"{what}: {_describe(error)}") from None
    except RecursionError:
        raise PresetError(f"{what} is nested too deeply") from None


def _describe(error: ValidationError) -> str:
    """Format the first problems of a validation error as "key = value: what is allowed"."""
    problems = error.errors(include_url=False)
    lines = []
    for problem in problems[:3]:
        location = problem["loc"]
        # After a list's index, pydantic also gives the strategy, which is not a key of the file.
        keys = [
            str(key)
            for i, key in enumerate(location)
            if i < 2 or location[i - 2] in ("sections", "bends", "weights") or not isinstance(location[i - 1], int)
        ]
        keys = keys[1:] if keys[:1] == ["patch"] else keys  # in a file, the patch is at the top level
        message = printable(problem["msg"].removeprefix("Value error, "), 400)
        # For a whole table, the message already names the key.
        whole = problem["type"] == "missing" or isinstance(problem["input"], dict)
        value = "" if whole else f" = {shown(problem['input'])}"
        close = _close_choice(problem)
        lines.append(f"{'.'.join(keys) or 'top level'}{value}: {message[:1].lower() + message[1:]}{close}")
    more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
    return "; ".join(lines) + more


def _close_choice(problem: ErrorDetails) -> str:
    """Suggest the most similar allowed word, if the problem is an unknown word."""
    context = problem.get("ctx", {})
    if problem["type"] == "literal_error":
        return did_you_mean(str(problem["input"]), _QUOTED.findall(str(context.get("expected", ""))))
    if problem["type"] == "union_tag_invalid":
        return did_you_mean(str(context.get("tag", "")), _QUOTED.findall(str(context.get("expected_tags", ""))))
    return ""


_QUOTED = re.compile(r"'([^']*)'")


def preset_text(preset: Preset) -> str:
    """Write a preset as TOML text, without default values that say nothing."""
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
    if preset.patch.noise.reach == 1:
        data["noise"].pop("reach")
    for sequence in (*data["latents"]["sequences"], *data["noise"]["sequences"]):
        for key in ("depth", "merge", "modulator", "intensity", "muted"):  # move the keys of merging to the end
            if key in sequence:
                sequence[key] = sequence.pop(key)
    text = _ONE_ITEM_PER_LINE.sub(_on_one_line, tomli_w.dumps({"schema": data.pop("schema"), **data}))
    return _UNPRINTABLE.sub(_escaped, text)


_UNPRINTABLE = re.compile(r"[^\n -~]")


def _escaped(character: re.Match[str]) -> str:
    """Escape an unprintable character, which a terminal might interpret; it can only be inside a string."""
    letter = character[0]
    return letter if letter.isprintable() else f"\\U{ord(letter):08x}"


_ONE_ITEM_PER_LINE = re.compile(r"\[\n((?:    [^\[\]{}\n]+,\n)+)\]")


def _on_one_line(array: re.Match[str]) -> str:
    """Write a list of numbers or words on one line; the TOML writer gives each item its own line."""
    return f"[{array[1].replace(chr(10), ' ').replace('    ', '').rstrip(', ')}]"


def save_preset(preset: Preset, path: Path) -> None:
    """Write a preset to a TOML file, which is replaced only when the new one is complete."""
    with write_aside(path) as file:
        file.write(preset_text(preset).encode())
    accompany((preset.patch, *preset.section_patches()), path.absolute().parent)
