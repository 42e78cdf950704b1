"""Pages: one file of HTML that holds its script, its data and its sound, and asks nothing of a network.

Bytes stand in the page as characters of windows-1252. HTML changes a few of them (NUL, carriage return) and reads
others (less-than); these, and the equals sign that marks them, become two characters. All bytes are shifted by the
number that makes these rare, so that a song of some megabytes takes about a hundredth more.
"""

from __future__ import annotations

import html
import json
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PAGE: Final = Path(__file__).parent / "page"
MARK: Final = 0x3D
CHANGED: Final = (0x00, 0x0D, 0x3C, MARK)
"""Bytes that are marked: NUL, carriage return, less-than, and the mark."""
MARKED_BY: Final = 64
"""Number that is added to a byte behind a mark, modulo 256."""


def page(
    *, title: str, about: Mapping[str, Any], blobs: Mapping[str, bytes], scripts: Sequence[str], loop: bool,
    form: str = "page",
) -> bytes:  # fmt: skip
    """Make a page.

    Args:
        title: its title.
        about: what the scripts read as `about`, beside `shifts`.
        blobs: name -> bytes that are embedded.
        scripts: names of the scripts in the folder `page`, in order.
        loop: whether it begins again at the end.
        form: name of the page's text and style in the folder `page`.
    """
    shifted = {name: _embedded(data) for name, data in blobs.items()}
    told = {**about, "loop": loop, "shifts": {name: shift for name, (shift, _) in shifted.items()}}
    text = _text(f"{form}.html")
    values = {
        "TITLE": html.escape(title.encode("ascii", "replace").decode()),
        "STYLE": _text(f"{form}.css"),
        "LOOP": "true" if loop else "false",
        "ABOUT": json.dumps(told, separators=(",", ":")).replace("<", "\\u003c"),
        "SCRIPT": "\n".join(map(_text, scripts)),
    }
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    before, after = text.encode("ascii").split(b"@BLOBS@")
    parts = [
        b'<script type="application/octet-stream" id="' + name.encode() + b'">' + data + b"</script>\n"
        for name, (_, data) in shifted.items()
    ]
    return before + b"".join(parts) + after


def deflated(data: bytes) -> bytes:
    """Compress bytes as browsers decompress them."""
    return zlib.compress(data, 9)


def _text(name: str) -> str:
    return (PAGE / name).read_text("ascii")


def _embedded(data: bytes) -> tuple[int, bytes]:
    """The shift that is added to each byte, and the characters."""
    values = np.frombuffer(data, np.uint8)
    counts = np.bincount(values, minlength=256)
    # A byte b becomes b + shift: marked if that is one of CHANGED.
    rare = [int(sum(counts[(byte - shift) % 256] for byte in CHANGED)) for shift in range(256)]
    shift = int(np.argmin(rare))
    made = (values.astype(np.int64) + shift) % 256
    marked = np.isin(made, CHANGED)
    made[marked] = (made[marked] + MARKED_BY) % 256
    places = np.cumsum(marked) + np.arange(len(made))
    out = np.full(len(made) + int(marked.sum()), MARK, np.uint8)
    out[places] = made
    return shift, out.tobytes()
