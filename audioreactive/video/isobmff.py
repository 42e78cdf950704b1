"""The ISO base media file format (ISO/IEC 14496-12), as far as it says where a track's samples are.

Conventions: a file is boxes of a size, a kind of four characters and a body; numbers are big-endian. A sample is what
has a time of its own: a coded picture, a packet of coded sound, an instant of PCM. Its decoding time, and from that its
presentation time, are in ticks of the track's timescale. Files come from our own ffmpeg: anything but one track in
one `mdat` is refused, and so is every table that does not fit the others.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, BinaryIO, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_PARTS: Final = frozenset((b"ftyp", b"moov", b"mdat"))
_LARGEST_INDEX: Final = 1 << 26
"""Bytes of a `moov`; a day of sound has 30 MB."""


Parts = list[bytes | memoryview]
"""What a box is made of, one after the other: tables are large, and copied by nothing but the file."""


def box(kind: bytes, *content: bytes | memoryview | Parts) -> Parts:
    """A box of 32-bit size, which may hold others."""
    parts = [part for each in content for part in (each if isinstance(each, list) else [each])]
    return [(8 + sum(map(len, parts))).to_bytes(4) + kind, *parts]


def full_box(kind: bytes, *content: bytes | memoryview | Parts, version: int = 0, flags: int = 0) -> Parts:
    """A box that begins with a version and flags."""
    return box(kind, (version << 24 | flags).to_bytes(4), *content)


def boxes(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Kinds and bodies of the boxes that data is made of.

    Raises:
        ValueError: it is not.
    """
    while data:
        size = int.from_bytes(data[:4])
        if len(data) < 8 or not 8 <= size <= len(data):
            raise ValueError(f"a box claims {size} bytes where {len(data)} are")
        yield bytes(data[4:8]), data[8:size]
        data = data[size:]


def find(data: memoryview, *path: bytes) -> memoryview | None:
    """Body of the box at the end of a path of kinds; None where there is none.

    Raises:
        ValueError: there are several.
    """
    for kind in path:
        found = [body for each, body in boxes(data) if each == kind]
        if len(found) > 1:
            raise ValueError(f"it has {len(found)} boxes {kind.decode()}")
        if not found:
            return None
        data = found[0]
    return data


def need(data: memoryview, *path: bytes) -> memoryview:
    """Like `find`, of a box that must be there."""
    found = find(data, *path)
    if found is None:
        raise ValueError(f"it has no box {b'/'.join(path).decode()}")
    return found


@dataclass(frozen=True)
class Movie:
    """A file, but for its samples."""

    file_type: memoryview
    """Body of its `ftyp`."""
    index: memoryview
    """Body of its `moov`."""
    data: range
    """Bytes of the file that are the body of its `mdat`."""

    @classmethod
    def read(cls, path: Path) -> Movie:
        """Raises ValueError: the file is no such movie; OSError: it cannot be read."""
        found: dict[bytes, range] = {}
        with path.open("rb") as file:
            for kind, place in _outline(file):
                if found.setdefault(kind, place) is not place and kind in _PARTS:
                    raise ValueError(f"it has several boxes {kind.decode()}")
            if missing := _PARTS - found.keys():
                raise ValueError(f"it has no box {b', '.join(sorted(missing)).decode()}")
            if len(found[b"moov"]) > _LARGEST_INDEX:
                raise ValueError(
                    f"its index has {len(found[b'moov'])} bytes; no video of ours has more than {_LARGEST_INDEX}"
                )
            return cls(_content(file, found[b"ftyp"]), _content(file, found[b"moov"]), found[b"mdat"])

    @cached_property
    def track(self) -> Track:
        """The only one. Raises ValueError: there is none, or there are several."""
        return Track(need(self.index, b"trak"), self.data)


@dataclass(frozen=True)
class Track:
    """The tables of a track; each raises ValueError where it does not fit the others."""

    body: memoryview
    """Of its `trak`."""
    data: range
    """See `Movie`."""

    @property
    def handler(self) -> bytes:
        """What kind of media it is: `vide` or `soun`."""
        return bytes(need(self.body, b"mdia", b"hdlr")[8:12])

    @cached_property
    def timescale(self) -> int:
        """Ticks a second."""
        header = need(self.body, b"mdia", b"mdhd")
        timescale = int.from_bytes(header[20:24] if header[0] else header[12:16])
        if not timescale:
            raise ValueError("its clock stands still")
        return timescale

    @cached_property
    def samples(self) -> memoryview:
        """Body of its `stbl`."""
        return need(self.body, b"mdia", b"minf", b"stbl")

    @cached_property
    def description(self) -> memoryview:
        """Body of its `stsd`: what a decoder must know before the first sample."""
        return need(self.samples, b"stsd")

    @cached_property
    def media_start(self) -> int:
        """The tick of the media at which the presentation begins, from the edit list: what lies before is the delay of
        pictures that are decoded in another order than shown, or of sound that sets the decoder up.
        """
        edits = find(self.body, b"edts", b"elst")
        if edits is None:
            return 0
        time = 8 if edits[0] else 4
        if int.from_bytes(edits[4:8]) != 1 or len(edits) != 12 + 2 * time:
            raise ValueError("it is not one stretch of its media")
        start = int.from_bytes(edits[8 + time : 8 + 2 * time], signed=True)
        if start < 0 or bytes(edits[8 + 2 * time :]) != b"\0\1\0\0":
            raise ValueError("its media does not begin at once, or not at its own speed")
        return start

    @cached_property
    def _sizes(self) -> tuple[int, int, NDArray[np.uint32]]:
        """(number of samples, bytes of each, or 0, and then those of each in a table)."""
        table = need(self.samples, b"stsz")
        constant, count = int.from_bytes(table[4:8]), int.from_bytes(table[8:12])
        each = np.frombuffer(table[12:], ">u4")
        if len(each) != (0 if constant else count) or not count:
            raise ValueError(f"its table of {count} sizes holds {len(each)}")
        return count, constant, each

    def __len__(self) -> int:
        """Number of samples."""
        return self._sizes[0]

    @property
    def constant_size(self) -> int:
        """Bytes of every sample; 0 where they differ."""
        return self._sizes[1]

    def sizes(self) -> NDArray[np.int64]:
        """(n,) bytes of each sample."""
        count, constant, each = self._sizes
        return np.full(count, constant, np.int64) if constant else each.astype(np.int64)

    @cached_property
    def durations(self) -> NDArray[np.int64]:
        """(k, 2): successive samples, and how many ticks each of them lasts (`stts`)."""
        runs = _table(need(self.samples, b"stts"), 2)
        if int(runs[:, 0].sum()) != len(self):
            raise ValueError("its durations are not as many as its samples")
        return runs

    @property
    def duration(self) -> int:
        """Ticks of the media."""
        return sum(count * ticks for count, ticks in self.durations.tolist())

    def decoding_times(self) -> NDArray[np.int64]:
        """(n,) ticks."""
        ticks = np.repeat(self.durations[:, 1], self.durations[:, 0])
        return np.cumsum(ticks) - ticks

    def presentation_times(self) -> NDArray[np.int64]:
        """(n,) ticks, from the one at which the presentation begins."""
        times = self.decoding_times() - self.media_start
        offsets = find(self.samples, b"ctts")
        if offsets is not None:
            runs = _table(offsets, 2)
            if int(runs[:, 0].sum()) != len(self):
                raise ValueError("its composition offsets are not as many as its samples")
            times += np.repeat(runs[:, 1].astype(np.int32), runs[:, 0])  # negative ones in version 1
        return times

    def sync_samples(self) -> NDArray[np.int64]:
        """Indices of the samples at which decoding can begin: all, where no table says which."""
        table = find(self.samples, b"stss")
        if table is None:
            return np.arange(len(self))
        numbers = _table(table, 1)[:, 0]
        if not (len(numbers) and numbers[0] == 1 and (np.diff(numbers) > 0).all() and numbers[-1] <= len(self)):
            raise ValueError("it does not begin with a key frame, or has some that are not there")
        return numbers - 1

    def dependencies(self) -> bytes | None:
        """A byte for each sample, which says what needs it (`sdtp`); None where it is not told."""
        table = find(self.samples, b"sdtp")
        if table is not None and len(table) != 4 + len(self):
            raise ValueError("its dependencies are not as many as its samples")
        return None if table is None else bytes(table[4:])

    def spans(self, longest: int) -> NDArray[np.int64]:
        """(m, 4): stretches of the file with successive samples, as first sample, samples, place and bytes.

        Args:
            longest: samples of a stretch, at most.
        """
        places, counts = self._chunks()
        ends = np.cumsum(counts)
        before = np.concatenate([[0], np.cumsum(self._sizes[2], dtype=np.int64)])

        def bytes_before(sample: NDArray[np.int64]) -> NDArray[np.int64]:
            return sample * self.constant_size if self.constant_size else before[sample]

        lengths = bytes_before(ends) - bytes_before(ends - counts)
        if not ((places >= self.data.start) & (places <= self.data.stop - lengths)).all():
            raise ValueError("samples lie outside of its data")
        begins = np.flatnonzero(
            np.append(True, places[1:] != places[:-1] + lengths[:-1])
        )  # the rest goes on from there
        spans = []
        for place, first, stop in zip(
            places[begins], (ends - counts)[begins], ends[np.append(begins[1:], 0) - 1], strict=True
        ):
            edges = np.append(np.arange(first, stop, longest), stop)
            at = place + bytes_before(edges) - bytes_before(edges[:1])
            spans.append(np.stack([edges[:-1], np.diff(edges), at[:-1], np.diff(at)], axis=1))
        return np.concatenate(spans)

    def _chunks(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(places, samples) of its chunks, in the standard's sense of the word (`stsc`, `stco` or `co64`)."""
        long = find(self.samples, b"co64")
        table = _table(need(self.samples, b"stco"), 1) if long is None else _table(long, 1, ">u8")
        places = table[:, 0]
        runs = _table(need(self.samples, b"stsc"), 3)
        firsts = np.append(runs[:, 0], len(places) + 1)
        if not (len(runs) and firsts[0] == 1 and (np.diff(firsts) > 0).all() and (runs[:, 2] == 1).all()):
            raise ValueError("its chunks do not follow each other")
        counts = np.repeat(runs[:, 1], np.diff(firsts))
        if int(counts.sum()) != len(self) or not (counts > 0).all():
            raise ValueError("its chunks do not hold its samples")
        return places, counts


def _table(body: memoryview, columns: int, number: str = ">u4") -> NDArray[np.int64]:
    """(rows, columns) of a table that begins with the number of its rows."""
    count, content = int.from_bytes(body[4:8]), body[8:]
    if len(content) != count * columns * np.dtype(number).itemsize:
        raise ValueError(f"a table of {count} rows has {len(content)} bytes")
    return np.frombuffer(content, number).astype(np.int64).reshape(count, columns)


def _outline(file: BinaryIO) -> Iterator[tuple[bytes, range]]:
    """Kinds of a file's boxes, and where their bodies are."""
    end, place = file.seek(0, io.SEEK_END), 0
    while place < end:
        file.seek(place)
        header = file.read(16)
        size, body = int.from_bytes(header[:4]), place + 8
        if size == 1:
            size, body = int.from_bytes(header[8:]), place + 16
        elif size == 0:  # the last one
            size = end - place
        if not body - place <= size <= end - place:
            raise ValueError(f"a box claims {size} bytes where {end - place} are")
        yield header[4:8], range(body, place + size)
        place += size


def _content(file: BinaryIO, place: range) -> memoryview:
    file.seek(place.start)
    return memoryview(file.read(len(place)))
