"""Make headers with which ffmpeg reads files rightly whose own would mislead it; the files are not touched.

A recorder that crashes leaves a header whose lengths were never filled in, and ffmpeg takes RIFX, the WAV whose numbers
have their highest byte first, for such with their lowest byte first. No allocation depends on a size in the file beyond
`LONGEST_HEAD`.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final

from audioreactive._support.files import open_regular
from audioreactive.errors import AudioError
from audioreactive.media.containers import UNKNOWN_32, chunks_of, lengths_of, read_at, whole_fragments

if TYPE_CHECKING:
    from pathlib import Path

LONGEST_HEAD: Final = 1 << 24
"""Most bytes before the samples of a file whose header is mended."""


@dataclass(frozen=True)
class MendedHead:
    """Header that ffmpeg can read, instead of a file's own; the samples follow in the file itself."""

    content: bytes
    """What replaces the bytes before the samples."""
    demuxer: str
    """Name of ffmpeg's reader for this kind of file."""
    replaced: int
    """Number of bytes of the file that it stands for; the samples follow."""


def unfinished(path: Path) -> bool:
    """Whether ffmpeg cannot read a file as it is, because the program that wrote it never finished."""
    return mended_head(path) is not None or whole_fragments(path) is not None


def mended_head(path: Path) -> MendedHead | None:
    """Make the header that a file should have which was never finished; None if it needs none."""
    lengths, there = lengths_of(path)
    if not lengths.edits:
        return None
    least = max(first + len(content) for first, content in lengths.edits)  # a hostile header may end before its lengths
    if not least <= lengths.sound_at < min(there, LONGEST_HEAD):
        return None
    with open_regular(path) as file:
        head = bytearray(file.read(lengths.sound_at))
    if len(head) < lengths.sound_at:
        return None
    kind = bytes(head[:4])
    for first, content in lengths.edits:
        head[first : first + len(content)] = content
    return MendedHead(bytes(head), _DEMUXERS[kind], len(head))


_DEMUXERS: Final = {
    **dict.fromkeys((b"RIFF", b"RIFX", b"RF64", b"BW64"), "wav"),
    b"FORM": "aiff",
    b"riff": "w64",
    b".snd": "au",
    b"caff": "caf",
}


def readable_head(path: Path) -> MendedHead | None:
    """Make the header with which ffmpeg reads a file rightly; None if it does so as it is.

    It is the mended one of a file that was never finished, and that of a Core Audio file for RIFX, the WAV whose
    numbers have their highest byte first: ffmpeg takes them for such that have their lowest byte first, which is noise.

    Raises:
        AudioError: the file is RIFX in an unknown coding.
    """
    with open_regular(path) as file:
        is_rifx = file.read(4) == b"RIFX" and read_at(file, 8, 4) == b"WAVE"
        other = _as_core_audio(file, path) if is_rifx else None
    return other or mended_head(path)


_CODINGS: Final = {(1, 2): b"lpcm", (1, 3): b"lpcm", (1, 4): b"lpcm", (3, 4): b"lpcm", (3, 8): b"lpcm",
                   (6, 1): b"alaw", (7, 1): b"ulaw"}  # fmt: skip
"""(number of the coding in WAV, bytes of a sample) -> its name in Core Audio files."""
_EXTENSIBLE: Final = 0xFFFE
"""Number that stands for a coding further behind, after the places of the loudspeakers."""


def _as_core_audio(file: BinaryIO, path: Path) -> MendedHead | None:
    """Make the header of a Core Audio file for a RIFX file; None if it has no samples, or such of one byte.

    Raises:
        AudioError: ffmpeg would make noise of it.
    """
    there, form = os.fstat(file.fileno()).st_size, b""
    for kind, length, at in chunks_of(file, 12, order="big"):
        if kind == b"fmt ":
            form = read_at(file, at, min(length, 40))
        if kind == b"data":
            break
    else:
        return None
    if not at < min(there, LONGEST_HEAD) or (length == 0 and mended_head(path) is None):
        return None
    coding, channels, rate, _, block, _ = struct.unpack(">HHIIHH", form[:16].ljust(16, b"\0"))
    places = 0
    if coding == _EXTENSIBLE:
        places, name = int.from_bytes(form[20:24], "big"), form[24:28]
        coding = int.from_bytes(name, "big" if name[:1] == b"\0" else "little")
    width = block // channels if channels else 0
    if (coding, width) == (1, 1):
        return None
    if (coding, width) not in _CODINGS or block % channels:
        raise AudioError(
            f"{str(path)!r} is RIFX, a WAV with the highest byte first, in a coding ({coding}, {width} bytes a sample) "
            "that is not known here: convert it to WAV or FLAC"
        )
    described = struct.pack(">d4sIIIII", rate, _CODINGS[coding, width], int(coding == 3), block, 1, channels, 8 * width)
    layout = struct.pack(">4sqIII", b"chan", 12, _BY_BITS, places, 0) if places else b""
    size = length + 4 if 0 < length < UNKNOWN_32 else -1
    head = struct.pack(">4sHH4sq", b"caff", 1, 0, b"desc", len(described)) + described + layout
    return MendedHead(head + struct.pack(">4sqI", b"data", size, 0), "caf", at)


_BY_BITS: Final = 1 << 16
"""Kind of a layout of channels in Core Audio files that has a bit for each place, as in WAV."""
