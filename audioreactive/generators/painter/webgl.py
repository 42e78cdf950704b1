"""The form of the painter for browsers: the shaders' text as fragment shaders of WebGL 2."""

from __future__ import annotations

from typing import Final

from audioreactive.generators.painter.families import FAMILIES, SHADERS
from audioreactive.generators.painter.plain import text

VERSION: Final = "#version 300 es\n"


def painting(family: str) -> str:
    """Assemble the fragment shader that paints a family."""
    if family not in FAMILIES:
        raise ValueError(f"{family!r} is not one of {', '.join(FAMILIES)}")
    return _assembled("common", "finish", family, main="family", macros=f"#define FAMILY {family}\n")


def revealing() -> str:
    """Assemble the fragment shader that lets one painted family grow through another."""
    return _assembled("common", "finish", "reveal", main="reveal")


def finishing() -> str:
    """Assemble the fragment shader that makes a picture of linear light and its bloom."""
    return _assembled("common", "finish", main="finish")


def _assembled(*texts: str, main: str, macros: str = "") -> str:
    prelude, end = ((SHADERS / f"{name}.frag").read_text("utf-8") for name in ("prelude", main))
    return "\n".join([VERSION + macros + prelude, *map(text, texts), end])
