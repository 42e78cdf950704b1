"""Pieces and a sound become one mp4 or mov, sample by sample as they are, with the index before the samples.

A muxer that is fed packets keeps a record of each until the end, 80 bytes or so, and then moves the whole file to put
the index in front. Here all is known beforehand: the tables are read from the pieces' own, eight bytes for a picture
and four for a packet of sound; the index is made of them, and the samples are copied behind it, once.

Conventions: those of `isobmff`. A piece is a file with some successive pictures of the video. Pictures last equally: of
`step` ticks each, the i-th in the order of decoding is decoded at i · step, the i-th to be shown is shown at
delay + i · step, and the presentation begins at `delay`.
"""

from __future__ import annotations

import contextlib
import math
from array import array
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, BinaryIO, Final

import numpy as np

from audioreactive.errors import VideoError
from audioreactive.video.isobmff import Movie, box, boxes, full_box, need

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

    from audioreactive.video.isobmff import Parts, Track

_FURTHEST: Final = 64
"""Pictures between a picture's places in the orders of decoding and of showing; H.264 allows 16."""
_LARGEST: Final = 2**32 - 1
_BUFFER: Final = 1 << 20
_PICTURE_ENTRY: Final = 8 + 8 + 78
"""Bytes of the body of `stsd`, before the boxes in its one entry, of pictures."""
_SPAN: Final = np.dtype([("source", "i8"), ("place", "i8"), ("size", "i8"), ("samples", "i8"), ("begin", "f8")])
"""Successive samples that lie together in a file, and will in the video: a chunk, in the standard's sense."""


def mux(head: Path, pieces: Sequence[tuple[Path, int]], fps: Fraction, sound: Path | None, made: Path) -> None:
    """Write a video; about a second of sound follows each second of pictures.

    Args:
        head: a file of the same kind, with the tags that the video shall have.
        pieces: files of pictures alone, and how many each has; in order, one at least.
        fps: pictures a second.
        sound: a file of sound alone.
        made: the video.

    Raises:
        VideoError: a file is not what it should be.
        OSError: the disk is full, or a file cannot be read.
    """
    with _blamed(head):
        movie = Movie.read(head)
    pictures = _Pictures(fps)
    for path, count in pieces:
        with _blamed(path):
            pictures.append(Movie.read(path), count)
    tracks = [pictures.finished()]
    sources = [path for path, _ in pieces]
    if sound is not None:
        with _blamed(sound):
            tracks.append(_sound(Movie.read(sound), source=len(sources)))
        sources.append(sound)
    spans = np.concatenate([track.spans for track in tracks])
    order = np.argsort(spans["begin"], kind="stable")
    with _blamed(pieces[0][0]):
        beginning = _before_samples(movie, tracks, order)
    with made.open("wb") as file:
        file.writelines(beginning)
        _copy(spans[order], sources, file)


@dataclass(frozen=True)
class _Track:
    """A track of the video."""

    like: Track
    """Its first piece, of which it has all that does not change with its length."""
    tables: Parts
    """Boxes of its `stbl`, but for those that tell the places of samples."""
    duration: int
    """Ticks of its media."""
    start: int
    """Tick of the media at which the presentation begins."""
    length: int
    """Ticks of the presentation."""
    spans: NDArray[np.void]
    """(n,) `_SPAN`s."""


class _Pictures:
    """The tables of the pieces, one after the other."""

    def __init__(self, fps: Fraction) -> None:
        self._fps = fps
        self._first: Track | None = None
        self._step = self._delay = 0
        self._sizes, self._keys = array("I"), array("I")
        self._moves = array("b")  # pictures by which each is shown later than it is decoded, but for the delay
        self._dependencies: bytearray | None = bytearray()
        self._spans: list[NDArray[np.void]] = []

    def append(self, movie: Movie, count: int) -> None:
        """Take in a piece of so many pictures. Raises ValueError where it does not fit."""
        track, before = movie.track, len(self._sizes)
        if track.handler != b"vide" or len(track) != count or not track.sizes().all():
            raise ValueError(f"it has not the {count} pictures that it should")
        if self._first is None:
            step = track.timescale / self._fps
            if step.denominator != 1 or step * 2 * _FURTHEST > _LARGEST:
                raise ValueError(f"its clock of {track.timescale} ticks cannot count {self._fps} pictures a second")
            self._first, self._step = track, int(step)
        if track.timescale != self._first.timescale or _coding(track) != _coding(self._first):
            raise ValueError("it is not coded as the pieces before it")
        shown = track.presentation_times()
        if (np.sort(shown) != np.arange(count) * self._step).any():
            raise ValueError("its pictures do not follow each other at equal times")
        moves = shown // self._step - np.arange(count)
        if moves[0] or abs(moves).max() > _FURTHEST or track.media_start > _FURTHEST * self._step:
            raise ValueError("its pictures are decoded in an order that is none of ours")
        self._delay = max(self._delay, track.media_start, -int(moves.min()) * self._step)
        self._moves.extend(moves.tolist())
        self._sizes.extend(track.sizes().tolist())
        self._keys.extend((track.sync_samples() + before + 1).tolist())
        dependencies = track.dependencies()
        if dependencies is None or self._dependencies is None:
            self._dependencies = None
        else:
            self._dependencies += dependencies
        self._spans.append(_spans(track, self._fps, before, source=len(self._spans)))

    def finished(self) -> _Track:
        """The track of them all."""
        assert self._first is not None
        count, spans = len(self._sizes), np.concatenate(self._spans)
        tables = [
            *_description(self._first, spans, count / self._fps),
            *_table(b"stts", [[count, self._step]]),
            *_table(b"stsz", self._sizes, before=bytes(4)),
        ]
        if len(self._keys) < count:
            tables += _table(b"stss", self._keys)
        if self._delay:
            moved = _runs(np.asarray(self._moves))
            tables += _table(b"ctts", moved * [1, self._step] + [0, self._delay])
        if self._dependencies is not None:
            tables += full_box(b"sdtp", bytes(self._dependencies))
        return _Track(self._first, tables, count * self._step, self._delay, count * self._step, spans)


def _sound(movie: Movie, *, source: int) -> _Track:
    """The track of a file of sound: as it is, but for the places of its samples. Raises ValueError."""
    track, places = movie.track, (b"stsc", b"stco", b"co64")
    if track.handler != b"soun" or track.media_start >= track.duration:
        raise ValueError("it holds no sound")
    rate = Fraction(len(track) * track.timescale, track.duration)
    spans = _spans(track, rate, 0, source=source)
    length = track.duration - track.media_start
    return _Track(track, _others(track.samples, *places), track.duration, track.media_start, length, spans)


def _spans(track: Track, rate: Fraction, before: int, *, source: int) -> NDArray[np.void]:
    """(n,) `_SPAN`s of a second or less, of a track of so many samples a second that has others before it."""
    first, samples, place, size = track.spans(longest=max(round(rate), 1)).T
    spans = np.empty(len(first), _SPAN)
    spans["source"], spans["place"], spans["size"], spans["samples"] = source, place, size, samples
    spans["begin"] = (before + first) / float(rate)
    return spans


def _coding(track: Track) -> bytes:
    """What a decoder must know of the pictures, without what is said of their bit rate."""
    entry = track.description
    return bytes(entry[12:_PICTURE_ENTRY]) + b"".join(_others(entry[_PICTURE_ENTRY:], b"btrt"))


def _description(track: Track, spans: NDArray[np.void], seconds: Fraction) -> Parts:
    """The `stsd` of all pictures; their bit rate, where the first piece tells its own, is that of them all."""
    coding, rate = _coding(track), []
    if any(kind == b"btrt" for kind, _ in boxes(track.description[_PICTURE_ENTRY:])):
        in_each_second = 8 * np.bincount(spans["begin"].astype(np.int64), spans["size"])
        rates = (0, int(in_each_second.max()), round(int(in_each_second.sum()) / seconds))
        rate = box(b"btrt", *(min(number, _LARGEST).to_bytes(4) for number in rates))
    return full_box(b"stsd", (1).to_bytes(4), box(coding[:4], coding[4:], rate))


def _before_samples(movie: Movie, tracks: Sequence[_Track], order: NDArray[np.int64]) -> Parts:
    """All that comes before the samples, when the spans of all tracks lie in this order."""
    sizes = np.concatenate([track.spans["size"] for track in tracks])
    total = int(sizes.sum())
    places = np.empty_like(sizes)
    places[order] = np.cumsum(sizes[order]) - sizes[order]
    data = (8 + total).to_bytes(4) + b"mdat" if 8 + total <= _LARGEST else b"\0\0\0\1mdat" + (16 + total).to_bytes(8)
    for wide in (False, True):
        before = [*box(b"ftyp", movie.file_type), *_index(movie, tracks, places, wide=wide), data]
        first = sum(map(len, before))
        if first + total <= _LARGEST:
            break
    # Places are numbers of a fixed length: the true ones take as many bytes.
    return [*box(b"ftyp", movie.file_type), *_index(movie, tracks, first + places, wide=wide), data]


def _index(movie: Movie, tracks: Sequence[_Track], places: NDArray[np.int64], *, wide: bool) -> Parts:
    """The `moov`; places of all spans in the file are told in 64 bits where they are wide."""
    clock = tracks[0].like.timescale
    lengths = [math.ceil(Fraction(track.length * clock, track.like.timescale)) for track in tracks]
    header = need(movie.index, b"mvhd")[-80:-4]
    parts = _header(b"mvhd", [clock], max(lengths), header, (len(tracks) + 1).to_bytes(4))
    of_each = np.split(places, np.cumsum([len(track.spans) for track in tracks])[:-1])
    for number, (track, length, own) in enumerate(zip(tracks, lengths, of_each, strict=True), 1):
        parts += _trak(track, number, length, _table(b"co64", own, ">u8") if wide else _table(b"stco", own))
    return box(b"moov", parts, _others(movie.index, b"mvhd", b"trak"))


def _trak(track: _Track, number: int, length: int, places: Parts) -> Parts:
    """The `trak` of this number, which lasts so many ticks of the movie."""
    body, clock = track.like.body, track.like.timescale
    media, information = need(body, b"mdia"), need(body, b"mdia", b"minf")
    in_spans = track.spans["samples"]
    firsts = np.flatnonzero(np.diff(in_spans, prepend=0))  # of those that hold equally many
    counts = _table(b"stsc", np.stack([firsts + 1, in_spans[firsts], np.ones_like(firsts)], axis=1))
    width = 4 if max(length, track.start) < 2**31 else 8
    edit = length.to_bytes(width) + track.start.to_bytes(width) + b"\0\1\0\0"
    return box(
        b"trak",
        _header(b"tkhd", [number, 0], length, need(body, b"tkhd")[-60:], flags=3),
        box(b"edts", full_box(b"elst", (1).to_bytes(4), edit, version=width // 8)),
        _others(body, b"tkhd", b"edts", b"mdia"),
        box(
            b"mdia",
            _header(b"mdhd", [clock], track.duration, need(media, b"mdhd")[-4:]),
            _others(media, b"mdhd", b"minf"),
            box(b"minf", _others(information, b"stbl"), box(b"stbl", track.tables, counts, places)),
        ),
    )


def _header(kind: bytes, numbers: Sequence[int], duration: int, *rest: bytes | memoryview, flags: int = 0) -> Parts:
    """A header without the times of its making, of some numbers and a duration, which has 64 bits where it must."""
    width = 4 if duration <= _LARGEST else 8
    words = b"".join(number.to_bytes(4) for number in numbers)
    return full_box(kind, bytes(2 * width), words, duration.to_bytes(width), *rest, version=width // 8, flags=flags)


def _others(body: memoryview, *kinds: bytes) -> Parts:
    """All boxes but those of these kinds."""
    return [part for kind, content in boxes(body) if kind not in kinds for part in box(kind, content)]


def _table(kind: bytes, rows: ArrayLike, number: str = ">u4", *, before: bytes = b"") -> Parts:
    """A box with the number of rows, and the rows."""
    table = np.asarray(rows).astype(number)
    return full_box(kind, before, len(table).to_bytes(4), table.tobytes())


def _runs(values: NDArray[np.int8]) -> NDArray[np.int64]:
    """(n,) -> (k, 2): how often a value comes in a row, and the value."""
    firsts = np.flatnonzero(np.append(True, values[1:] != values[:-1]))
    return np.stack([np.diff(firsts, append=len(values)), values[firsts]], axis=1)


def _copy(spans: NDArray[np.void], sources: Sequence[Path], video: BinaryIO) -> None:
    """The samples, through a buffer."""
    buffer = memoryview(bytearray(_BUFFER))
    for number, place, left in zip(*(map(int, spans[name]) for name in ("source", "place", "size")), strict=True):
        with sources[number].open("rb", buffering=0) as source:
            source.seek(place)
            while left:
                count = source.readinto(buffer[:left])
                if not count:
                    raise VideoError(f"{sources[number].name} became shorter while it was joined")
                video.write(buffer[:count])
                left -= count


@contextlib.contextmanager
def _blamed(path: Path) -> Iterator[None]:
    """What is wrong in the body is wrong with this file."""
    try:
        yield
    except ValueError as error:
        raise VideoError(
            f"{path.name} cannot be joined: {error}; with --fresh, the same command makes all pieces anew"
        ) from error
