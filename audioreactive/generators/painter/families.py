"""The families that the painter can paint: the texts in `shaders` that have a function of their own name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

SHADERS: Final = Path(__file__).parent / "shaders"


def _families() -> dict[str, str]:
    found = {}
    for path in sorted(SHADERS.glob("*.glsl")):
        text = path.read_text("utf-8")
        if f"\nVec3 {path.stem}(Place p, Latents z)" in text:
            comment = re.match(r"(// .*\n)+", text)
            found[path.stem] = comment[0].replace("// ", "").replace("\n", " ").strip() if comment else path.stem
    return found


FAMILIES: Final[dict[str, str]] = _families()
"""Name, in alphabetical order -> what it shows, the first comment of its text."""
