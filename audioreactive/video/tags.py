r"""The preset inside a video: exact to the character, and readable by any tool that shows a comment.

The comment is the preset's TOML after one line that marks it as ours; that line is a TOML comment, so the whole
is a preset file still. It travels through ffmpeg as a metadata file, in which `=`, `;`, `#`, `\\` and line ends
are escaped (https://ffmpeg.org/ffmpeg-formats.html#Metadata-2).
"""

import re
from typing import Final

from audioreactive.errors import VideoError

HEADER: Final = "# audioreactive preset\n"
LONGEST_PRESET: Final = 1 << 20
"""Bytes of UTF-8."""


def check_preset(text: str) -> None:
    """Raise VideoError if the text cannot be carried: longer than 1 MiB, or with characters that no TOML has."""
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
    """An ffmetadata file with these tags."""
    # ffmpeg takes a line end for escaped after any backslash, even one that is escaped itself: no value ends in one.
    tags = {"title": title.rstrip("\\")}
    if preset is not None:
        tags["comment"] = HEADER + preset + "\n"
    lines = [f"{name}={_escape(value)}\n" for name, value in tags.items()]
    return b";FFMETADATA1\n" + "".join(lines).encode(errors="replace")


def preset_in(metadata: bytes) -> str | None:
    """The preset in what ffmpeg prints as ffmetadata; None where there is none of ours."""
    text = metadata.decode(errors="replace")
    # A value runs to the first line end that no backslash escapes; the pattern never goes back over what it took.
    found = re.search(r"^comment=((?:[^\\\n]|\\[\s\S])*+)$", text, re.MULTILINE | re.IGNORECASE)
    if not found:
        return None
    value = re.sub(r"\\([\s\S])", r"\1", found[1])
    return value.removeprefix(HEADER).removesuffix("\n") if value.startswith(HEADER) else None


def _escape(value: str) -> str:
    return re.sub(r"([=;#\\\n\r])", r"\\\1", value)
