"""Change a preset by expressions such as `noise.strength *= 0.5`, and list the differences between two presets."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from audioreactive.errors import PresetError, did_you_mean, shown
from audioreactive.patches.presets import validated
from audioreactive.patches.sections import Section, changes_between

if TYPE_CHECKING:
    from collections.abc import Iterable

    from audioreactive.patches.preset import Preset
    from audioreactive.patches.schema import Patch

LARGEST_NUMBER = 1e100
"""Limit of the numbers with which `*=` and `+=` compute."""


def override(preset: Preset, expressions: Iterable[str]) -> Preset:
    """Change values by expressions such as `noise.strength *= 0.5` or `latents.sequences.*.intensity *= 0.5`.

    `=` sets, `*=` multiplies, `+=` adds (or extends a list). `*` stands for every item of a list; items that lack the
    next key are skipped. Values are TOML; a bare word is text.

    Raises:
        PresetError: an expression is malformed, matches nothing, or gives a value that a preset does not allow.
    """
    for expression in expressions:
        keys, operator, value = _parse_override(expression)
        if keys[0] == "sections" and len(keys) > 2 and keys[2] not in Section.model_fields:
            preset = _override_section(preset, expression)
            continue
        data = preset.data()
        if not _assign(data, keys, operator, value):
            raise PresetError(f"--set {shown(expression)} matches nothing in the preset{_existing_keys(data, keys)}")
        preset = validated(data, f"--set {shown(expression)}")
    return preset


def _override_section(preset: Preset, expression: str) -> Preset:
    """Change a section's complete patch; values that then equal the preset's patch are inherited again."""
    (_, chosen, *keys), operator, value = _parse_override(expression)
    base = preset.patch.model_dump(mode="json", exclude_none=True)
    sections, found = list(preset.sections), 0
    named = [s for i, s in enumerate(sections) if chosen in ("*", str(i), s.name)]
    labels = {section.label for section in named if section.label is not None}
    for index, (section, own) in enumerate(zip(preset.sections, preset.section_patches(), strict=True)):
        if section not in named and section.label not in labels:  # sections with the same label share a patch
            continue
        whole = own.model_dump(mode="json", exclude_none=True)
        found += _assign(whole, keys, operator, value)
        sections[index] = section.model_copy(update={"patch": changes_between(base, whole)})
    if not found:
        names = ", ".join(section.name or str(index) for index, section in enumerate(preset.sections))
        there = f"the sections are {names}" if names else "the preset has no sections"
        raise PresetError(f"--set {shown(expression)} matches nothing: {there}")
    changed = preset.model_copy(update={"sections": tuple(sections)})
    return validated(changed.data(), f"--set {shown(expression)}")


def _existing_keys(data: Any, keys: list[str]) -> str:
    """List, for an error message, the keys at the place where a path matches nothing, and the most similar one."""
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
    """Assign a value below `node`, and return how many places were changed.

    `optional` is True below a `*`, where items that lack the key are skipped.
    """
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
    """List the existing keys or indices, as the end of an error message."""
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
    """List the differences of two presets: (key, value in the first, value in the second), None for a missing value.

    Sections are identified by their names, or by their numbers if they have none.
    """
    old, new = dict(_flat_items(first)), dict(_flat_items(second))
    keys = [*old, *(key for key in new if key not in old)]
    return [(key, old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)]


def _flat_items(preset: Preset) -> Iterable[tuple[str, Any]]:
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


def with_value(patch: Patch, path: str, value: Any) -> Patch:
    """Set one value of a patch, such as `noise.strength` or `latents.sequences.3.intensity`; None removes a key.

    Raises:
        PresetError: there is no such place, or a patch does not allow the value.
    """
    data = patch.model_dump(mode="json", exclude_none=True)
    *places, last = path.split(".")
    node: Any = data
    for key in places:
        found = _place(node, key, may_be_new=False)
        if found is None:
            raise PresetError(f"a patch has no {shown(path)}{_listed(node, key)}")
        node = node[found]
    found = _place(node, last, may_be_new=True)
    if found is None:
        raise PresetError(f"a patch has no {shown(path)}{_listed(node, last)}")
    if value is None and isinstance(node, dict):
        node.pop(found, None)
    else:
        node[found] = value
    return validated({**data, "schema": 1}, f"{path} = {shown(value)}").patch
