"""Words of error messages for Python: options of the command line become the parameters of the function called.

Every message of the program names options as they are typed (`--best-of`). Whoever calls a function typed none.
"""

from __future__ import annotations

import functools
import inspect
import re
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from audioreactive.errors import AudioReactiveError

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")

OTHER_NAMES = {"set": "overrides", "stem": "stems", "beats": "beat_tracker"}
"""Option of the command line -> parameter, where they have different names."""

_OPTION = re.compile(r"--([a-z][a-z-]*)(?: (\w+)=FILE)?|(?<= )-o\b")


def with_keywords(function: Callable[P, R]) -> Callable[P, R]:
    """Let the errors of a public function name its own parameters."""
    parameters = inspect.signature(function).parameters

    def named(option: re.Match[str]) -> str:
        word, stem = option[1] or "output", option[2]
        name = OTHER_NAMES.get(word, word.replace("-", "_"))
        if name not in parameters:
            return option[0]
        if stem is not None:
            return f"{name}={{{stem!r}: FILE}}"
        return f"{name}=True" if parameters[name].default is False else name

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except AudioReactiveError as error:
            error.args = tuple(_OPTION.sub(named, part) if isinstance(part, str) else part for part in error.args)
            raise

    return called
