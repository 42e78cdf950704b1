"""Find, read and write presets: TOML files that hold a `Preset`.

A preset never names a path, neither to read nor to write: it can be opened from a stranger.
"""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from audioreactive._support.files import is_web_address, open_regular, write_aside
from audioreactive.errors import PresetError, did_you_mean, printable, shown
from audioreactive.patches.preset import Preset
from audioreactive.patches.schema import LatentPatch, NoisePatch, Part, Patch
from audioreactive.patches.sections import MOST_SECTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

LARGEST_PRESET = 1 << 19
"""Bytes, most of them of a synthesizer; a patch of the largest size that the schema allows takes half of it."""
MOST_VALUES = 40_000
"""Commas, equals signs and opening brackets outside strings; a patch of the largest size has half as many. Each value
may take a microsecond of the TOML reader, and a kilobyte where it is refused."""
MOST_DOTS = 128
"""In a line, strings and remarks left out. The time that the TOML reader takes for a dotted key grows with the square
of its parts, and no preset has more than a few."""


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
    return validated(data, f"the preset {name!r}")


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


def validated(data: Mapping[str, Any], what: str) -> Preset:
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
