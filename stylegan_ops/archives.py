"""Zip archives, as views of a file. torch writes such files since version 1.6, and NumPy its .npz.

Nothing is copied that is not compressed, and nothing that an archive claims of itself is believed: every offset and
length is checked against the file, so that memory and time depend on the directory's own bytes alone. Python's
`zipfile` copies each entry, and makes room for what the directory says before it looks.

Source: PKWARE's APPNOTE.TXT, sections 4.3.7 (local headers), 4.3.12 (directory), 4.3.14 to 4.3.16 (its end), 4.5.3
(numbers of 64 bits).
"""

import struct
import zlib
from dataclasses import dataclass

from stylegan_ops.budget import Damaged

MAX_ENTRIES = 50_000
"""Most entries of an archive, far more than any network has; torch writes one for each storage."""

LONGEST_NAME = 1024
"""Most bytes of an entry's name."""

MOST_FIELDS = 16
"""Most extra fields of an entry that are read; torch writes one."""

_STORED, _DEFLATED = 0, 8
_ENCRYPTED = 1
_LONG = 0xFFFF_FFFF
"""Value that marks a number of more than 32 bits, which is stored in an extra field."""
_LOCAL = struct.Struct("<4s5H3I2H")
_DIRECTORY = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_LONG_LOCATOR = struct.Struct("<4sIQI")
_LONG_END = struct.Struct("<4sQ2H2I4Q")


@dataclass(frozen=True)
class Entry:
    """An entry as the directory describes it; `content` checks the description."""

    name: str
    method: int
    flags: int
    checksum: int
    length: int
    """Number of bytes in the file."""
    size: int
    """Number of bytes when unpacked."""
    offset: int
    """Position of the local header in the file."""

    @property
    def is_stored(self) -> bool:
        """Whether the entry is stored without compression."""
        return self.method == _STORED and self.length == self.size

    def content(self, data: memoryview) -> memoryview:
        """The bytes of an entry that is stored, as a view of the file.

        Raises:
            Damaged: they do not lie in the file, or do not have the checksum that the directory gives.
        """
        if not self.is_stored:
            raise Damaged(f"the entry {self.name[:80]!r} is not whole")
        return self._checked(self._packed(data))

    def unpacked(self, data: memoryview) -> memoryview:
        """The bytes of an entry that is stored or deflated; no more are made than the directory says.

        Raises:
            Damaged: they do not lie in the file, or are not those that the directory describes.
        """
        if self.method != _DEFLATED:
            return self.content(data)
        unpacking = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            content = unpacking.decompress(self._packed(data), self.size + 1)
        except zlib.error as error:
            raise Damaged(f"the entry {self.name[:80]!r} is damaged") from error
        if len(content) != self.size:
            raise Damaged(f"the entry {self.name[:80]!r} is not whole")
        return self._checked(memoryview(content))

    def _packed(self, data: memoryview) -> memoryview:
        fields = _unpack(_LOCAL, data, self.offset, b"PK\3\4")
        start = self.offset + _LOCAL.size + fields[9] + fields[10]
        content = data[start : start + self.length]
        if self.flags & _ENCRYPTED or len(content) != self.length:
            raise Damaged(f"the entry {self.name[:80]!r} is not whole")
        return content

    def _checked(self, content: memoryview) -> memoryview:
        if zlib.crc32(content) != self.checksum:
            raise Damaged(f"the entry {self.name[:80]!r} is damaged")
        return content


def read_directory(data: memoryview) -> dict[str, Entry]:
    """The entries of an archive by name; if a name occurs several times, the last one.

    Raises:
        Damaged: there is no directory, it does not lie in the file, or it has more entries than any network.
    """
    position, end, count = _find_directory(data)
    if count > MAX_ENTRIES:
        raise Damaged(f"the zip archive has {count} entries")
    entries: dict[str, Entry] = {}
    for _ in range(count):
        entry, position = _read_entry(data[:end], position)
        entries[entry.name] = entry
    return entries


def _find_directory(data: memoryview) -> tuple[int, int, int]:
    """(offset of the directory, offset of its end, number of entries)."""
    tail = bytes(data[-_END.size - 0xFFFF :])  # a remark of up to 64 KiB may stand behind the end record
    place = tail.rfind(b"PK\5\6")
    if place < 0:
        raise Damaged("the zip archive is not whole: its directory is missing")
    end = len(data) - len(tail) + place
    _, _, _, _, count, size, offset, _ = _unpack(_END, data, end, b"PK\5\6")
    locator = end - _LONG_LOCATOR.size
    if locator >= 0 and bytes(data[locator : locator + 4]) == b"PK\6\7":
        fields = _unpack(_LONG_END, data, _unpack(_LONG_LOCATOR, data, locator, b"PK\6\7")[2], b"PK\6\6")
        count, size, offset = fields[7:]
    if offset + size > end:
        raise Damaged("the zip archive's directory does not lie in the file")
    return offset, offset + size, count


def _read_entry(data: memoryview, position: int) -> tuple[Entry, int]:
    fields = _unpack(_DIRECTORY, data, position, b"PK\1\2")
    _, _, _, flags, method, _, _, checksum, length, size, name_length, extra_length, remark_length, *_, offset = fields
    position += _DIRECTORY.size
    if name_length > LONGEST_NAME:
        raise Damaged(f"the zip archive has an entry whose name takes {name_length} bytes")
    name = str(data[position : position + name_length], "utf-8", "replace")
    position += name_length
    extra = data[position : position + extra_length]
    size, length, offset = _long_numbers(extra, (size, length, offset))
    return Entry(name, method, flags, checksum, length, size, offset), position + extra_length + remark_length


def _long_numbers(extra: memoryview, numbers: tuple[int, int, int]) -> tuple[int, ...]:
    """The numbers, with 64-bit values taken from extra field 1, which holds them in this order."""
    position = 0
    for _ in range(MOST_FIELDS):
        if position + 4 > len(extra):
            break
        kind, size = struct.unpack_from("<2H", extra, position)
        if kind == 1:
            field = extra[position + 4 : position + 4 + size]
            wanted = [place for place, number in enumerate(numbers) if number == _LONG]
            if len(field) != size or size < 8 * len(wanted):
                raise Damaged("an entry of the zip archive lacks its numbers of 64 bits")
            told = dict(zip(wanted, struct.unpack(f"<{len(wanted)}Q", field[: 8 * len(wanted)]), strict=True))
            return tuple(told.get(place, number) for place, number in enumerate(numbers))
        position += 4 + size
    return numbers


def _unpack(layout: struct.Struct, data: memoryview, position: int, magic: bytes) -> tuple[int, ...]:
    try:
        fields = layout.unpack_from(data, position)
    except (struct.error, OverflowError):
        fields = (b"",)
    if fields[0] != magic:
        raise Damaged(f"the zip archive is damaged near byte {position}")
    return fields
