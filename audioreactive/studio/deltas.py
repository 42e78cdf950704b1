"""The difference between two values of plain data (as of JSON), small enough to keep one for every edit.

A difference is None where nothing changed, else one of
    ["=", value]              another value
    ["{", {key: difference}]  some keys of a table differ; ["-"] removes a key
    ["[", {index: difference}]  some items of a list of the same length differ
"""

from __future__ import annotations

from typing import Any

from audioreactive.errors import PresetError

Delta = list[Any] | None


def difference(old: Any, new: Any) -> Delta:
    """Find what must change in `old` to make it `new`."""
    if type(old) is type(new) and isinstance(old, dict):
        changes = {key: ["-"] for key in old if key not in new}
        for key, value in new.items():
            found = difference(old[key], value) if key in old else ["=", value]
            if found is not None:
                changes[key] = found
        return ["{", changes] if changes else None
    if type(old) is type(new) and isinstance(old, list) and len(old) == len(new):
        items = {str(i): found for i, pair in enumerate(zip(old, new, strict=True)) if (found := difference(*pair))}
        if len(items) > len(old) // 2 and not any(isinstance(item, dict | list) for item in new):
            return ["=", new]
        return ["[", items] if items else None
    same = old == new and isinstance(old, bool) == isinstance(new, bool)
    return None if same else ["=", new]


def changed(old: Any, delta: Delta) -> Any:
    """Apply a difference; `old` is not modified.

    Raises:
        PresetError: the difference does not fit.
    """
    if delta is None:
        return old
    try:
        kind = delta[0]
        if kind == "=":
            return delta[1]
        if kind == "{":
            result = dict(old)
            for key, inner in delta[1].items():
                if inner == ["-"]:
                    del result[key]
                else:
                    result[key] = changed(result.get(key), inner)
            return result
        if kind == "[":
            items = list(old)
            for index, inner in delta[1].items():
                items[int(index)] = changed(items[int(index)], inner)
            return items
    except (TypeError, KeyError, IndexError, ValueError, AttributeError) as error:
        raise PresetError(f"an edit in the journal does not fit the document ({type(error).__name__})") from None
    raise PresetError(f"an edit in the journal is of no known kind: {str(delta[0])[:20]!r}")
