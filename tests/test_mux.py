"""Pieces joined by their tables are the video that ffmpeg joins, packet by packet; what does not fit is told."""

from __future__ import annotations

import re
import resource
import struct
import subprocess
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from crews import SIZE, Painter, alone, make_film_of, tone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audioreactive.chunks.film import make_film
from audioreactive.chunks.folder import work_folder
from audioreactive.chunks.making import ChunkMaker
from audioreactive.chunks.plan import Chunk
from audioreactive.errors import VideoError
from audioreactive.progress import Silent
from audioreactive.video import VideoSettings, chunks, ffmpeg_path, mux, output_format, read_frames
from audioreactive.video.chunks import Encoding, SoundTrack

FILM = Fraction(24000, 1001)
RATES = [Fraction(24), FILM, Fraction(30000, 1001), Fraction(60), Fraction(2997, 100), Fraction(1000, 7)]


def ffmpeg(*arguments: object) -> tuple[str, str]:
    """What ffmpeg says on its two outputs."""
    command = [str(ffmpeg_path()), "-hide_banner", *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL, text=True)
    return done.stdout, done.stderr


def make_pieces(folder: Path, extension: str, fps: Fraction, lengths: list[int]) -> tuple[Encoding, list]:
    """Pieces of so many pictures each, coded slowly enough to have B-frames."""
    look = VideoSettings(fps=fps, size=SIZE, threads=4)
    encoding = Encoding(output_format(Path(f"x{extension}")), look, SIZE)
    starts = np.cumsum([0, *lengths])
    plan = [Chunk(i, int(starts[i]), int(starts[i + 1])) for i in range(len(lengths))]
    made = ChunkMaker(Painter(), encoding, folder).make(plan, lambda frames: None)
    return encoding, [(chunk.name, chunk.frames) for chunk in made]


def make_sound(folder: Path, encoding: Encoding, seconds: Fraction) -> Path:
    sound = SoundTrack(encoding.kind, tone(folder / "song.wav", float(seconds) + 1), Fraction(0), seconds, folder)
    try:
        return sound.finish()
    finally:
        sound.abandon()


@dataclass
class Joins:
    """The same pieces joined in two ways."""

    ours: Path
    theirs: Path
    fps: Fraction


CASES = [
    *((".mp4", fps, True) for fps in RATES),
    (".mp4", FILM, False),
    (".mov", FILM, True),
    (".mov", RATES[4], False),
]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: " ".join(map(str, case)))
def joins(request, tmp_path_factory) -> Joins:
    extension, fps, with_sound = request.param
    folder = tmp_path_factory.mktemp("join")
    encoding, pieces = make_pieces(folder, extension, fps, [6, 12, 12, 10])
    sound = make_sound(folder, encoding, 40 / fps) if with_sound else None
    made = chunks.join(encoding, pieces, folder=folder, sound=sound, title="a; title", preset="b = '=\\'\n")
    ours = made.rename(folder / f"ours{extension}")
    theirs = chunks._remux(encoding, pieces, folder, sound, None).rename(folder / f"theirs{extension}")
    return Joins(ours, theirs, fps)


def packets(path: Path) -> tuple[list[str], list[str]]:
    """(heads, packets) of all streams, each packet as its stream, times, length and checksum."""
    lines = ffmpeg("-xerror", "-v", "warning", "-i", path, "-map", "0", "-c", "copy", "-f", "framecrc", "-")[
        0
    ].splitlines()
    return [line for line in lines if line[0] == "#"], sorted(line for line in lines if line[0] != "#")


def test_packets_are_those_of_ffmpegs_join(joins: Joins) -> None:
    (heads, ours), (expected, theirs) = packets(joins.ours), packets(joins.theirs)
    assert heads == expected
    if joins.ours.suffix == ".mov":  # ffmpeg cuts PCM into packets as it pleases
        ours, theirs = ([line for line in lines if line[0] == "0"] for lines in (ours, theirs))
    assert len(ours) == len(theirs)
    step = int(ours[0].split(",")[3])
    for mine, other in zip(ours, theirs, strict=True):
        number, _, shown, *_ = mine.split(",")
        if number == "0" and int(shown) in {step * first for first in (0, 6, 18, 30)}:
            # ffmpeg may repeat a piece's parameters in its first packet.
            assert mine.split(",")[:4] == other.split(",")[:4]
        else:
            assert mine == other


def test_what_is_seen_and_heard_is_that_of_ffmpegs_join(joins: Joins) -> None:
    decoded = [
        ffmpeg("-xerror", "-v", "warning", "-i", path, "-f", "streamhash", "-") for path in (joins.ours, joins.theirs)
    ]
    assert decoded[0] == decoded[1] and decoded[0][1] == ""


def test_it_looks_the_same_from_outside(joins: Joins) -> None:
    said = [ffmpeg("-i", path, "-f", "ffmetadata", "-") for path in (joins.ours, joins.theirs)]
    assert said[0][0] == said[1][0] and "a\\; title" in said[0][0]
    for a, b in zip(*(re.findall(r"^ *(?:Stream|Duration).*$", err, re.M) for _, err in said), strict=True):
        assert re.sub(r"\d+ kb/s", "", a) == re.sub(r"\d+ kb/s", "", b)
    data = joins.ours.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("frame", [3, 17, 31])
def test_it_can_be_entered_anywhere(joins: Joins, frame: int) -> None:
    at = float((frame - Fraction(1, 2)) / joins.fps)
    entered = ["-v", "error", "-ss", at, "-i"]
    found = [ffmpeg(*entered, path, "-f", "framemd5", "-map", "0:v", "-")[0] for path in (joins.ours, joins.theirs)]
    assert found[0] == found[1] and found[0].count("\n0,") == 40 - frame


def test_the_shortest_pieces_and_other_delays_leave_no_seam(tmp_path: Path) -> None:
    """A piece of one picture needs no delay, one of three another than one of twelve; x264 tells them as it likes."""
    lengths = [1, 12, 3, 1, 2, 12]
    encoding, pieces = make_pieces(tmp_path, ".mp4", FILM, lengths)
    made = chunks.join(encoding, pieces, folder=tmp_path, sound=None, title="", preset=None)
    table = [[int(field) for field in line.split(",")[1:4]] for line in packets(made)[1]]
    times = np.array(sorted(table))
    np.testing.assert_array_equal(np.diff(times[:, 0]), 1001)
    np.testing.assert_array_equal(np.sort(times[:, 1]), 1001 * np.arange(31))
    assert (times[:, 2] == 1001).all() and (times[:, 1] >= times[:, 0]).all()
    apart = list(chunks.read_chunks(encoding, tmp_path, [name for name, _ in pieces]))
    np.testing.assert_array_equal(np.stack(list(read_frames(made))), np.stack(apart))


# --- arithmetic ----------------------------------------------------------------------------------------------------


def atom(kind: str, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), kind.encode()) + body


def numbers(*values: int) -> bytes:
    return struct.pack(f">{len(values)}I", *values)


@dataclass(frozen=True)
class Medium:
    """Samples of a made-up file."""

    samples: list[bytes]
    shown: list[int]
    """Places in the order of showing."""
    keys: list[int]
    groups: list[int]
    """Samples of each of the file's chunks."""
    step: int = 10
    delay: int = 0
    handler: bytes = b"vide"
    coding: bytes = b"avcC"
    gap: int = 3
    """Bytes between chunks."""

    def write(self, path: Path, **changes: bytes) -> Path:
        """The file; changes are other bodies of its tables."""
        begin = 24
        places, data, at = [], b"", 0
        for group in self.groups:
            places.append(begin + len(data))
            data += b"".join(self.samples[at : at + group]) + b"." * self.gap
            at += group
        count, delay = len(self.samples), self.delay
        offsets = [self.step * (shown - i) + delay for i, shown in enumerate(self.shown)]
        entry = bytes(78) + atom(self.coding.decode(), b"parameters") + atom("btrt", numbers(0, 7, 7))
        tables = {
            "stsd": numbers(0, 1) + atom("avc1", entry),
            "stts": numbers(0, 1, count, self.step),
            "ctts": numbers(0, count, *(number for offset in offsets for number in (1, offset))),
            "stss": numbers(0, len(self.keys), *(key + 1 for key in self.keys)),
            "stsc": numbers(
                0, len(self.groups), *(n for i, group in enumerate(self.groups) for n in (i + 1, group, 1))
            ),
            "stsz": numbers(0, 0, count, *map(len, self.samples)),
            "stco": numbers(0, len(places), *places),
            "elst": numbers(0, 1, count * self.step, delay, 1 << 16),
            "mdhd": numbers(0, 0, 0, 240, count * self.step, 0),
            "hdlr": numbers(0, 0) + self.handler + bytes(13),
        } | changes
        table = {kind: atom(kind, body) for kind, body in tables.items() if body is not None}
        samples = atom(
            "stbl", *(table.get(kind, b"") for kind in ("stsd", "stts", "ctts", "stss", "stsc", "stsz", "stco"))
        )
        media = atom("mdia", table["mdhd"], table["hdlr"], atom("minf", samples))
        track = atom("trak", atom("tkhd", bytes(84)), atom("edts", table["elst"]), media)
        index = atom("moov", atom("mvhd", bytes(100)), track)
        path.write_bytes(atom("ftyp", b"isom" + bytes(4)) + atom("mdat", data) + index)
        return path


def naive(path: Path) -> list[list[tuple[int, int, bool, bytes]]]:
    """(decoded at, shown at, key, bytes) of each sample of each track, by the standard's letter."""
    data = path.read_bytes()
    tracks: list[dict[str, bytes]] = []

    def walk(begin: int, end: int) -> None:
        while begin < end:
            size, kind = struct.unpack(">I4s", data[begin : begin + 8])
            name = kind.decode()
            if name == "trak":
                tracks.append({})
            if name in ("moov", "trak", "mdia", "minf", "stbl", "edts"):
                walk(begin + 8, begin + size)
            elif tracks:
                tracks[-1][name] = data[begin + 8 : begin + size]
            assert size >= 8
            begin += size

    walk(0, len(data))
    found = []
    for track in tracks:

        def words(name: str, skip: int = 8, track: dict[str, bytes] = track) -> list[int]:
            return [word for (word,) in struct.iter_unpack(">I", track[name][skip:])] if name in track else []

        sizes = words("stsz", 12)
        times = [
            word for count, word in zip(words("stts")[::2], words("stts")[1::2], strict=True) for _ in range(count)
        ]
        offsets = [
            word for count, word in zip(words("ctts")[::2], words("ctts")[1::2], strict=True) for _ in range(count)
        ]
        start = struct.unpack(">i", track["elst"][12:16])[0]
        runs = [tuple(words("stsc")[i : i + 3]) for i in range(0, len(words("stsc")), 3)]
        sample, now, table = 0, 0, []
        for number, place in enumerate(words("stco"), 1):
            in_chunk = [run for run in runs if run[0] <= number][-1][1]
            for _ in range(in_chunk):
                content = data[place : place + sizes[sample]]
                key = not words("stss") or sample + 1 in words("stss")
                table.append((now, now + (offsets or [0] * len(sizes))[sample] - start, key, content))
                place, now, sample = place + sizes[sample], now + times[sample], sample + 1
        assert sample == len(sizes) == len(times)
        found.append(table)
    return found


@st.composite
def media(draw: st.DrawFn, first: int = 0) -> Medium:
    """A piece of pictures, in groups in which later ones are needed by earlier ones."""
    count = draw(st.integers(1, 14))
    shown = list(range(count))
    for begin in range(1, count - 1, 3):
        if draw(st.booleans()):
            shown[begin : begin + 2] = shown[begin : begin + 2][::-1]
    groups, left = [], count
    while left:
        groups.append(draw(st.integers(1, left)))
        left -= groups[-1]
    samples = [draw(st.binary(min_size=1, max_size=6)) for _ in range(count)]
    keys = sorted({0, *draw(st.lists(st.integers(0, count - 1), max_size=2))})
    return Medium(samples, shown, keys, groups, delay=draw(st.sampled_from([10, 20])), gap=draw(st.integers(0, 2)))


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(pieces=st.lists(media(), min_size=1, max_size=5), heard=media(), with_sound=st.booleans())
def test_samples_keep_their_bytes_times_and_keys(
    tmp_path: Path, pieces: list[Medium], heard: Medium, with_sound: bool
) -> None:
    files = [(piece.write(tmp_path / f"{i}.mp4"), len(piece.samples)) for i, piece in enumerate(pieces)]
    sound = replace(
        heard, handler=b"soun", keys=list(range(len(heard.samples))), shown=list(range(len(heard.samples))), step=7
    )
    sound = replace(sound, delay=0)
    track = sound.write(tmp_path / "sound.mp4") if with_sound else None
    mux.mux(files[0][0], files, Fraction(24), track, tmp_path / "made.mp4")
    pictures, *sounds = naive(tmp_path / "made.mp4")
    delay = max(piece.delay for piece in pieces)
    expected, before = [], 0
    for piece in pieces:
        for i, (content, shown) in enumerate(zip(piece.samples, piece.shown, strict=True)):
            expected.append((10 * (before + i), 10 * (before + shown), i in piece.keys, content))
        before += len(piece.samples)
    assert pictures == expected and all(shown >= decoded - delay for decoded, shown, _, _ in pictures)
    if with_sound:
        assert sounds == [[(7 * i, 7 * i, True, content) for i, content in enumerate(sound.samples)]]
    else:
        assert not sounds


PIECE = Medium([b"abc", b"de", b"fgh", b"i"], [0, 2, 1, 3], [0], [3, 1], delay=10)
TALL = 3 << 30


def test_places_beyond_four_gigabytes_have_64_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three gigabytes in each of three pieces, on the disk as holes: only the copying is left out."""
    sizes = numbers(0, 0, 4, *[TALL // 4] * 4)
    files = []
    for i in range(3):
        path = PIECE.write(tmp_path / f"{i}.mp4", stsz=sizes, stsc=numbers(0, 1, 1, 4, 1), stco=numbers(0, 1, 32))
        index = path.read_bytes()[path.read_bytes().index(b"moov") - 4 :]
        with path.open("wb") as file:
            file.write(atom("ftyp", b"isom" + bytes(4)) + struct.pack(">I4sQ", 1, b"mdat", 16 + TALL))
            file.seek(TALL, 1)
            file.write(index)
        files.append((path, 4))
    copied: list[tuple[int, int]] = []
    monkeypatch.setattr(mux, "_copy", lambda spans, *_: copied.extend(spans[["place", "size"]].tolist()))
    made = tmp_path / "made.mp4"
    mux.mux(files[0][0], files, Fraction(24), None, made)
    data = made.read_bytes()
    at = data.index(b"co64") + 8
    places = [place for (place,) in struct.iter_unpack(">Q", data[at + 4 : at + 4 + 8 * 3])]
    assert copied == [(32, TALL)] * 3 and struct.unpack(">I", data[at : at + 4]) == (3,)
    assert places == [len(data) + i * TALL for i in range(3)]
    assert data[-16:] == struct.pack(">I4sQ", 1, b"mdat", 16 + 3 * TALL)


# --- what does not fit ---------------------------------------------------------------------------------------------

FAULTS = {
    "other coding": (replace(PIECE, coding=b"hvcC"), {}),
    "sound": (replace(PIECE, handler=b"soun"), {}),
    "too few": (Medium([b"a", b"b", b"c"], [0, 1, 2], [0], [3]), {}),
    "no key frame": (replace(PIECE, keys=[1]), {}),
    "a picture twice": (replace(PIECE, shown=[0, 2, 2, 3]), {}),
    "a picture missing": (replace(PIECE, shown=[0, 2, 1, 4]), {}),
    "another speed": (replace(PIECE, step=11, delay=22), {}),
    "the first not first": (replace(PIECE, shown=[1, 0, 2, 3]), {}),
    "an empty picture": (replace(PIECE, samples=[b"abc", b"", b"fgh", b"i"]), {}),
    "another clock": (PIECE, {"mdhd": numbers(0, 0, 0, 120, 40, 0)}),
    "no clock": (PIECE, {"mdhd": numbers(0, 0, 0, 0, 40, 0)}),
    "all of 2^32 samples": (PIECE, {"stsz": numbers(0, 1, 2**32 - 1)}),
    "more sizes than bytes": (PIECE, {"stsz": numbers(0, 0, 2**32 - 1, 3, 2, 3, 1)}),
    "more durations": (PIECE, {"stts": numbers(0, 1, 2**32 - 1, 10)}),
    "more offsets": (PIECE, {"ctts": numbers(0, 1, 2**31, 10)}),
    "more chunks": (PIECE, {"stsc": numbers(0, 1, 1, 2**31, 1)}),
    "chunks in disorder": (PIECE, {"stsc": numbers(0, 2, 2, 3, 1, 1, 1, 1)}),
    "another description": (PIECE, {"stsc": numbers(0, 2, 1, 3, 1, 2, 1, 2)}),
    "outside of its data": (PIECE, {"stco": numbers(0, 2, 24, 2**32 - 1)}),
    "in its header": (PIECE, {"stco": numbers(0, 2, 0, 36)}),
    "two edits": (PIECE, {"elst": numbers(0, 2, 20, 10, 1 << 16, 20, 30, 1 << 16)}),
    "begins later": (PIECE, {"elst": numbers(0, 1, 40, 2**32 - 1, 1 << 16)}),
    "too long a delay": (PIECE, {"elst": numbers(0, 1, 40, 10_000, 1 << 16)}),
    "half speed": (PIECE, {"elst": numbers(0, 1, 40, 10, 1 << 15)}),
    "a table cut short": (PIECE, {"stsz": numbers(0)}),
    "no table": (PIECE, {"stsz": None}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_piece_that_does_not_fit_is_told(tmp_path: Path, fault: str) -> None:
    whole = PIECE.write(tmp_path / "whole.mp4")
    piece, changes = FAULTS[fault]
    wrong = piece.write(tmp_path / "wrong.mp4", **changes)
    with pytest.raises(VideoError, match=r"^wrong\.mp4 cannot be joined: .*--fresh"):
        mux.mux(whole, [(whole, 4), (wrong, 4)], Fraction(24), None, tmp_path / "made.mp4")
    assert not (tmp_path / "made.mp4").exists()


@pytest.mark.parametrize("kind", [b"tkhd", b"mdhd", b"stsd", b"hdlr", b"minf", b"mdat", b"ftyp"])
def test_a_first_piece_without_one_of_its_boxes_is_told(tmp_path: Path, kind: bytes) -> None:
    wrong = PIECE.write(tmp_path / "wrong.mp4")
    wrong.write_bytes(wrong.read_bytes().replace(kind, b"free"))
    with pytest.raises(VideoError, match=r"^wrong\.mp4 cannot be joined: it has no box"):
        mux.mux(PIECE.write(tmp_path / "head.mp4"), [(wrong, 4)], Fraction(24), None, tmp_path / "made.mp4")
    assert not (tmp_path / "made.mp4").exists()


@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(place=st.integers(0, 10_000), value=st.integers(0, 255), cut=st.booleans())
def test_damage_is_told_and_nothing_else_happens(tmp_path: Path, place: int, value: int, cut: bool) -> None:
    whole = PIECE.write(tmp_path / "whole.mp4")
    data = bytearray(whole.read_bytes())
    place %= len(data)
    data[place] = value
    wrong = tmp_path / "wrong.mp4"
    wrong.write_bytes(data[:place] if cut else data)
    for pieces, sound in (([(wrong, 4)], None), ([(whole, 4)], wrong)):
        try:
            mux.mux(whole, pieces, Fraction(24), sound, tmp_path / "made.mp4")
        except VideoError as error:
            assert "\n" not in str(error)
        else:
            assert (tmp_path / "made.mp4").stat().st_size < 2 * len(data) + 1000


# --- cut short -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["interrupt", "full disk", "shorter"])
def test_a_join_that_is_cut_short_costs_no_chunk(tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    film = make_film_of(tmp_path / "out.mp4", tone(tmp_path / "song.wav", 3), frames=50)
    copy = mux._copy

    def cut_short(spans: np.ndarray, sources: list[Path], video: BinaryIO) -> None:
        if fault == "interrupt":
            copy(spans[:3], sources, video)
            raise KeyboardInterrupt
        if fault == "shorter":
            sources[1].write_bytes(sources[1].read_bytes()[:100])
            copy(spans, sources, video)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (video.tell() + 5000, limits[1]))
        try:
            copy(spans, sources, video)
            video.flush()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    told = {"interrupt": "^$", "full disk": "is full", "shorter": "became shorter"}[fault]
    with monkeypatch.context() as patch, pytest.raises((VideoError, KeyboardInterrupt), match=told):
        patch.setattr(mux, "_copy", cut_short)
        make_film(film, alone(film), overwrite=False, fresh=False, progress=Silent())
    work = work_folder(film.output)
    assert not film.output.exists() and not list(work.glob("joined*"))
    painter = Painter()
    make_film(film, alone(film, painter), overwrite=False, fresh=False, progress=Silent())
    assert painter.rendered == (12 if fault == "shorter" else 0)
    assert {item.name for item in tmp_path.iterdir()} == {"out.mp4", "song.wav"}
    np.testing.assert_array_equal(len(list(read_frames(film.output))), 50)
