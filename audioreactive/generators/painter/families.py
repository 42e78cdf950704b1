"""The families that the painter can paint."""

from __future__ import annotations

from typing import Final

FAMILIES: Final[dict[str, str]] = {
    "ink": "Ink on dark water, marbled.",
}
"""Name, which is also the name of the text in `shaders` and of its function, and what it shows."""
