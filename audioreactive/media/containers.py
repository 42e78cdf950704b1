"""Read a container's own length, to find out whether bytes are missing and where files were joined.

Conventions: only chunk headers are read, at most `MOST_CHUNKS` of them; no allocation depends on a size in the file.
An unknown or inconsistent container gives no answer (None, or an empty result).

A recorder that crashes leaves a header whose lengths were never filled in: 0, the largest number, or the length of the
empty file with which it began. `Lengths.edits` says what it would have written; module `heads` makes that header.
"""

from __future__ import annotations

import mmap
import os
import re
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import TYPE_CHECKING, BinaryIO, Final

from audioreactive._support.files import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_CHUNKS: Final = 10_000
MOST_PARTS: Final = 200
"""Most joined files within one file that are decoded one by one."""
UNKNOWN_32: Final = 0x7FFF_0000
"""Bytes from which a 32-bit length means "unknown": a program that writes to a pipe puts the largest number there, or
nearly."""
_UNKNOWN_64: Final = 1 << 48
"""Bytes from which a 64-bit length means "unknown"; no file is as long, and sums of such numbers cannot overflow."""
_LARGEST_32: Final = b"\xff" * 4
"""32-bit length that every reader takes for "to the end of the file"."""
_LARGEST_AIFF: Final = 0xFFFF_FF00
"""Largest length that is written to an AIFF header: 4 GB, less than what its other chunks take."""
_WAVE64_NAME: Final = b"\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
"""End of the 16-byte name that all but the first chunk of a Wave64 file have."""
_OGG_TAIL: Final = 1 << 17
"""Bytes at the end of an Ogg file that must contain its last page, which has 65,307 bytes at most."""
_CODINGS_IN_OGG: Final = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex   ")
_WAVPACK_BLOCK: Final = re.compile(rb"wvpk.{4}[\x02-\x10]\x04", re.DOTALL)
_FIRST_OF_CHANNELS: Final = 1 << 11
"""Flag of the first of the WavPack blocks that hold the channels of the same samples."""
_JOINT: Final = re.compile(
    rb"ID3[\x02-\x04]\x00[\x00-\xf0][\x00-\x7f]{4}|TAG[\x20-\x7e\x00]{30}|APETAGEX|(?:Xing|Info)\x00\x00\x00[\x00-\x0f]"
)
"""Tags at the beginning or the end of an mp3 file; inside a file, they show where two files were joined."""
_TAG_HEAD: Final = 10
"""Bytes of the head of an ID3 tag."""
_LONGEST_TAG: Final = 1 << 24
"""Bytes of the longest ID3 tag that is looked for; it may contain a picture."""
_TRIES: Final = 16
"""Most places at which the beginning of a tag is tried, since its content may look like one."""
_FIRST_FRAMES: Final = 1024
"""Bytes after the ID3 tag that contain the file's own Xing or Info header, which is not a join."""


@dataclass(frozen=True)
class CutOff:
    """Sizes of a file that is shorter than its container says."""

    there: int
    """Bytes that the file has."""
    promised: int
    """Bytes that it should have."""


@dataclass(frozen=True)
class Lengths:
    """Lengths that a container states."""

    end: int | None = None
    """Byte at which the file should end; None if it is not stated."""
    sound: int | None = None
    """Stated number of bytes of samples; None if it is not stated."""
    sound_at: int = 0
    """First byte of the samples; 0 if there are none."""
    edits: tuple[tuple[int, bytes], ...] = ()
    """(first byte, bytes) to write over a header that was never finished, so that it states what is there."""


def cut_off(path: Path) -> CutOff | None:
    """Find out how much is missing at the end of a file; None if nothing is, or if its length is not stated."""
    lengths, there = lengths_of(path)
    # A missing byte is no loss: chunks of odd length should be padded, and some programs forget it.
    if lengths.end is not None and lengths.end - 1 > there:
        return CutOff(there, lengths.end)
    return None


def parts(path: Path) -> tuple[tuple[int, int], ...]:
    """Find Ogg, FLAC or WavPack files joined in this one: (first, one past the last) byte of each; empty for one."""
    with open_regular(path) as file:
        head = file.read(4)
        if (starts_in := _STARTS.get(head)) is None or not (size := os.fstat(file.fileno()).st_size):
            return ()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            starts = list(starts_in(data))
            if not 1 < len(starts) <= MOST_PARTS:
                return ()
            ends = [_without_tag(data, first, start) for first, start in pairwise(starts)]
    return tuple(zip(starts, [*ends, size], strict=True))


def whole_fragments(path: Path) -> int | None:
    """Find where the last whole fragment of an MP4 file ends that is cut off within the head of the next.

    ffmpeg refuses such a file altogether. A recorder writes fragments so that what it has written can be played.

    Returns:
        Number of bytes that can be read; None if ffmpeg reads the file as it is.
    """
    with open_regular(path) as file:
        there = os.fstat(file.fileno()).st_size
        if read_at(file, 4, 4) != b"ftyp":
            return None
        *before, (kind, first, end) = [(b"", 0, 0), *_boxes(file, there)]
    return first if kind == b"moof" and end > there and any(kind == b"moov" for kind, _, _ in before) else None


def _without_tag(data: mmap.mmap, first: int, start: int) -> int:
    """Find the end of the file that begins at `first`: before the ID3 tag of the next one, if that has one in front of
    its first byte `start`.
    """
    at = start
    for _ in range(_TRIES):
        if (at := data.rfind(b"ID3", max(start - _LONGEST_TAG, first), at)) < 0:
            break
        if at + _TAG_HEAD + _seven_bits(data[at + 6 : at + _TAG_HEAD]) == start:
            return at
    return start


def _seven_bits(size: bytes) -> int:
    """The size of an ID3 tag, without its head: four bytes, seven bits in each."""
    return sum((byte & 0x7F) << shift for byte, shift in zip(size.ljust(4, b"\0"), (21, 14, 7, 0), strict=True))


def joints(path: Path) -> int:
    """Count the places in an mp3 where files may have been joined; a decoder may lose a packet or two at each."""
    with open_regular(path) as file:
        head = file.read(10)
        if not _is_mp3(head):
            return 0
        begin = 0
        if head[:3] == b"ID3" and len(head) == _TAG_HEAD:
            begin = _TAG_HEAD + _seven_bits(head[6:])
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            found = _JOINT.finditer(data, min(begin + _FIRST_FRAMES, len(data)), max(len(data) - 160, 0))
            return sum(1 for _ in islice(found, MOST_CHUNKS))


def _is_mp3(head: bytes) -> bool:
    return head[:3] == b"ID3" or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 in (0xE2, 0xE4, 0xE6))


def lengths_of(path: Path) -> tuple[Lengths, int]:
    with open_regular(path) as file:
        there = os.fstat(file.fileno()).st_size
        head = file.read(16)
        if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64"):
            return _riff(file, head, there), there
        if head[:4] == b"FORM" and len(head) >= 12:
            return _form(file, head, there), there
        if head[:4] == b"riff":
            return _wave64(file, there), there
        if head[:4] == b".snd":
            return _au(head, there), there
        if head[:4] == b"caff":
            return _caf(file, there), there
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
            return Lengths(_isobmff(file, there)), there
        if head[:4] == b"\x1a\x45\xdf\xa3":
            return Lengths(_matroska(file)), there
        if head[:4] == b"OggS":
            return Lengths(_ogg_end(file, there)), there
    return Lengths(), there


def read_at(file: BinaryIO, at: int, count: int) -> bytes:
    """Read bytes at an offset that the file states; b"" beyond its end, where some file systems refuse to seek."""
    if at >= os.fstat(file.fileno()).st_size:
        return b""
    file.seek(at)
    return file.read(count)


def chunks_of(file: BinaryIO, at: int, *, order: str, pad: int = 2) -> Iterator[tuple[bytes, int, int]]:
    """Iterate over chunks with 32-bit sizes: (kind, stated size, first byte of the body)."""
    for _ in range(MOST_CHUNKS):
        head = read_at(file, at, 8)
        if len(head) < 8:
            return
        size = int.from_bytes(head[4:], "little" if order == "little" else "big")
        yield head[:4], size, at + 8
        at += 8 + size + size % pad


def _are_chunks(chunks: Iterator[tuple[bytes, int, int]], there: int) -> bool:
    """Whether the rest of a file is a chain of named chunks up to its end: then no samples are there."""
    end = None
    for kind, size, at in chunks:
        if not re.fullmatch(rb"[\x20-\x7e\xa9]{4}", kind):
            return False
        end = at + size
    return end is not None and there - 1 <= end <= there + 1


def _riff(file: BinaryIO, head: bytes, there: int) -> Lengths:
    order = "big" if head[:4] == b"RIFX" else "little"
    size = int.from_bytes(head[4:8], "big" if order == "big" else "little")
    end = size + 8 if 0 < size < UNKNOWN_32 and head[:4] in (b"RIFF", b"RIFX") else None
    told: int | None = None
    is_long = head[:4] in (b"RF64", b"BW64")
    for kind, length, at in chunks_of(file, 12, order=order):
        if kind == b"ds64":
            sizes = read_at(file, at, 16).ljust(16, b"\0")
            whole, told = int.from_bytes(sizes[:8], "little"), int.from_bytes(sizes[8:], "little")
            end = whole + 8 if 0 < whole < _UNKNOWN_64 else None
        elif kind == b"data" and head[8:12] == b"WAVE":
            sound = length if told is None else told
            # As plain WAV, whose length of 0xFFFFFFFF means "to the end", it may be longer than 4 GB, too.
            edits = ((0, head[:4] if order == "big" else b"RIFF"), (at - 4, _LARGEST_32))
            if sound >= (UNKNOWN_32 if told is None else _UNKNOWN_64):
                return Lengths(end, None, at, edits if is_long else ())
            if sound == 0:
                is_empty = _are_chunks(chunks_of(file, at, order=order), there)
                return Lengths(None, 0, at, () if is_empty else edits)
            return Lengths(max(end or 0, at + sound), sound, at)
    return Lengths(end)


def _form(file: BinaryIO, head: bytes, there: int) -> Lengths:
    size = int.from_bytes(head[4:8], "big")
    end = size + 8 if 0 < size < UNKNOWN_32 else None
    whole = (4, min(there - 8, _LARGEST_AIFF).to_bytes(4))
    frames: tuple[tuple[int, bytes], ...] = ()
    told = frames_at = 0
    for kind, length, at in chunks_of(file, 12, order="big"):
        if kind == b"COMM":
            told, frames_at = int.from_bytes(read_at(file, at + 2, 4)), at + 2
        elif kind == b"SSND":
            is_empty = length <= 8 and _are_chunks(chunks_of(file, at + length, order="big"), there)
            if told > max(there, length if length < UNKNOWN_32 else 0):  # more than were ever written
                frames = ((frames_at, bytes(4)),)  # 0 lets ffmpeg read all of the samples
            if length >= UNKNOWN_32 or (length <= 8 and not is_empty):
                edits = (whole, *frames, (at - 4, min(there - at, _LARGEST_AIFF - at).to_bytes(4)))
                return Lengths(None, None if length > 8 else 0, at + 8, edits)
            # The sound has its length, but ffmpeg does not read a file that states none, or one that ends before it.
            needed = (whole, *frames) if length > 8 and ((end or 0) < at or frames) else ()
            return Lengths(max(end or 0, at + length) if length > 8 else None, max(length - 8, 0), at + 8, needed)
    return Lengths(end)


def _wave64(file: BinaryIO, there: int) -> Lengths:
    """Read Sony Wave64: chunks with 16-byte names and 8-byte sizes that include this header, aligned to 8 bytes."""
    file.seek(16)
    stated = int.from_bytes(file.read(8), "little")
    end = stated if 40 < stated < _UNKNOWN_64 else None
    whole = (16, there.to_bytes(8, "little"))
    for kind, size, at in _wave64_chunks(file, 40):
        if kind == b"data":
            is_empty = size == 0 and _are_chunks(_wave64_chunks(file, at), there)
            if (size <= 0 and not is_empty) or size >= _UNKNOWN_64:
                edits = (whole, (at - 8, (there - at + 24).to_bytes(8, "little")))
                return Lengths(None, None if size > 0 else 0, at, edits)
            needed = (whole,) if size > 0 and (end or 0) < at else ()
            return Lengths(max(end or 0, at + size) if size > 0 else None, max(size, 0), at, needed)
    return Lengths(end)


def _wave64_chunks(file: BinaryIO, at: int) -> Iterator[tuple[bytes, int, int]]:
    """Iterate over chunks: (first 4 bytes of the name, stated size of the body, first byte of the body)."""
    for _ in range(MOST_CHUNKS):
        head = read_at(file, at, 24)
        size = int.from_bytes(head[16:], "little") - 24
        if len(head) < 24:
            return
        yield (head[:4] if head[4:16] == _WAVE64_NAME else b""), size, at + 24
        if size < 0:
            return
        at += 24 + size + -size % 8


def _au(head: bytes, there: int) -> Lengths:
    at, size = int.from_bytes(head[4:8], "big"), int.from_bytes(head[8:12], "big")
    if size == 0xFFFFFFFF:
        return Lengths()
    if size == 0 or (size >= UNKNOWN_32 and at + size > there):
        return Lengths(None, size or None, at, ((8, _LARGEST_32),))
    return Lengths(at + size, size, at)


def _caf(file: BinaryIO, there: int) -> Lengths:
    end, has_sound = 8, False
    for kind, size, at in _caf_chunks(file, 8):
        if kind == b"data" and not has_sound and size != -1:  # -1: the samples go on to the end
            has_sound = True
            is_empty = 0 <= size <= 4 and _are_chunks(_caf_chunks(file, at + size), there)
            if (size <= 4 and not is_empty) or size >= _UNKNOWN_64:
                body = at + 4  # after the edit count
                return Lengths(None, None if size > 4 else 0, body, ((at - 8, b"\xff" * 8),))
        if size < 0 or size >= _UNKNOWN_64:
            return Lengths()
        end = at + size
    return Lengths(end)


def _caf_chunks(file: BinaryIO, at: int) -> Iterator[tuple[bytes, int, int]]:
    """Iterate over chunks with 64-bit sizes: (kind, stated size, first byte of the body)."""
    for _ in range(MOST_CHUNKS):
        head = read_at(file, at, 12)
        if len(head) < 12:
            return
        size = int.from_bytes(head[4:], "big", signed=True)
        yield head[:4], size, at + 12
        if size < 0:
            return
        at += 12 + size


def _isobmff(file: BinaryIO, there: int) -> int | None:
    """Find the byte after the last top-level box."""
    ends = [end for _, _, end in _boxes(file, there)]
    return ends[-1] if ends and ends[-1] >= there else None  # or a box states no end, or other data follows


def _boxes(file: BinaryIO, there: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield (kind, first byte, one past the last) of top-level boxes, while they state their ends."""
    at = 0
    for _ in range(MOST_CHUNKS):
        head = read_at(file, at, 16)
        size = int.from_bytes(head[:4], "big")
        if size == 1 and len(head) == 16:
            size = int.from_bytes(head[8:], "big")
        if at >= there or len(head) < 8 or size < 8 or not re.fullmatch(rb"[\x20-\x7e\xa9]{4}", head[4:8]):
            return
        yield head[4:8], at, at + size
        at += size


def _matroska(file: BinaryIO) -> int | None:
    """Find the byte after the segment."""
    file.seek(4)
    length = _vint(file)
    if length is None or length > 1 << 16:
        return None
    file.seek(length, os.SEEK_CUR)
    if file.read(4) != b"\x18\x53\x80\x67":
        return None
    size = _vint(file)
    return None if size is None else file.tell() + size


def _vint(file: BinaryIO) -> int | None:
    """Read a variable-length integer; None if it is the reserved value "unknown", or invalid."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    width = 9 - first[0].bit_length()
    rest = file.read(width - 1)
    value = int.from_bytes(bytes([first[0] & (0xFF >> width)]) + rest, "big")
    return None if len(rest) < width - 1 or value == (1 << (7 * width)) - 1 else value


def _ogg_end(file: BinaryIO, there: int) -> int | None:
    """Find the byte at which the last page should end."""
    start = max(there - _OGG_TAIL, 0)
    file.seek(start)
    tail = file.read(_OGG_TAIL)
    at = tail.rfind(b"OggS\0")
    if at < 0:
        return None
    if len(tail) < at + 27 or len(tail) < at + 27 + tail[at + 26]:
        return there + 2  # cut off within the page's header
    return start + at + 27 + tail[at + 26] + sum(tail[at + 27 : at + 27 + tail[at + 26]])


def _ogg_starts(data: mmap.mmap) -> Iterator[int]:
    """Find the first bytes of chained logical streams, each of which begins after the previous ones have ended."""
    at, end_of_last = 0, -1
    for _ in range(MOST_CHUNKS):
        at = data.find(b"OggS\0\x02", at)
        if at < 0 or at + 28 > len(data):
            return
        body = at + 27 + data[at + 26]
        if data[at + 18 : at + 22] == bytes(4) and data[body : body + 8].startswith(_CODINGS_IN_OGG):
            if at != end_of_last:
                yield at
            end_of_last = body + sum(data[at + 27 : body])
        at += 1


def _flac_starts(data: mmap.mmap) -> Iterator[int]:
    """Find the first bytes of FLAC files by the STREAMINFO block that each begins with."""
    for match in re.finditer(rb"fLaC[\x00\x80]\x00\x00\x22", data):
        at = match.start()
        rate = int.from_bytes(data[at + 18 : at + 21], "big") >> 4
        if at == 0 or 0 < rate <= 655_350:
            yield at


def _wavpack_starts(data: mmap.mmap) -> Iterator[int]:
    """Find the first bytes of WavPack files by the block of sample 0 and the first channels."""
    for match in _WAVPACK_BLOCK.finditer(data):
        at = match.start()
        index, samples, flags = (int.from_bytes(data[at + place : at + place + 4], "little") for place in (16, 20, 24))
        if at == 0 or (index == data[at + 10] == 0 and samples and flags & _FIRST_OF_CHANNELS):
            yield at


_STARTS: Final = {b"OggS": _ogg_starts, b"fLaC": _flac_starts, b"wvpk": _wavpack_starts}
"""What finds the files joined in one, by its first bytes."""
