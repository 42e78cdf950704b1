r"""Embed a preset in a video's comment tag, without any loss; any tool that shows comments can read it.

The comment is the preset's TOML after a line that marks it as ours. That line is a TOML comment, so the whole comment
is a valid preset file. It is passed to ffmpeg as a metadata file, in which `=`, `;`, `#`, `\\` and line ends are
escaped (https://ffmpeg.org/ffmpeg-formats.html#Metadata-2).
"""

import re
from typing import Final

from audioreactive.errors import VideoError

HEADER: Final = "# audioreactive preset\n"
LONGEST_PRESET: Final = 1 << 20
"""Most bytes of an embedded preset, in UTF-8."""


def check_preset(text: str) -> None:
    """Raise VideoError if a preset cannot be embedded: over 1 MiB, or with characters that TOML does not allow."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise VideoError(
            f"the preset has the lone surrogate {text[error.start]!r}, which no text file can hold"
        ) from None
    if size > LONGEST_PRESET:
        raise VideoError(f"the preset is {size} bytes long; a video carries up to {LONGEST_PRESET}")
    if "\0" in text:
        raise VideoError("the preset has a NUL character, which no text file may hold; remove it")


def metadata_file(*, title: str, preset: str | None) -> bytes:
    """Make an ffmetadata file with a title and a preset."""
    # ffmpeg treats a line end after any backslash as escaped, even after an escaped one: no value may end in one.
    tags = {"title": title.rstrip("\\")}
    if preset is not None:
        tags["comment"] = HEADER + preset + "\n"
    lines = [f"{name}={_escape(value)}\n" for name, value in tags.items()]
    return b";FFMETADATA1\n" + "".join(lines).encode(errors="replace")


def preset_in(metadata: bytes) -> str | None:
    """Extract our preset from ffmpeg's ffmetadata output; None if there is none."""
    text = metadata.decode(errors="replace")
    # A value ends at the first unescaped line end; the possessive pattern never backtracks.
    found = re.search(r"^comment=((?:[^\\\n]|\\[\s\S])*+)$", text, re.MULTILINE | re.IGNORECASE)
    if not found:
        return None
    value = re.sub(r"\\([\s\S])", r"\1", found[1])
    return value.removeprefix(HEADER).removesuffix("\n") if value.startswith(HEADER) else None


def _escape(value: str) -> str:
    return re.sub(r"([=;#\\\n\r])", r"\\\1", value)
