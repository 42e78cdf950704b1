"""Chunks become one video whose every picture has its exact time, beside its sound; what does not fit is told."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from crews import SIZE, Painter, alone, make_film_of, tone

from audioreactive.chunks.film import make_film
from audioreactive.chunks.folder import work_folder
from audioreactive.chunks.making import ChunkMaker
from audioreactive.chunks.plan import Chunk
from audioreactive.errors import VideoError
from audioreactive.progress import Silent
from audioreactive.video import VideoSettings, chunks, ffmpeg_path, output_format, read_frames, read_preset
from audioreactive.video.chunks import Encoding, SoundTrack
from audioreactive.video.formats import FORMATS, SPEEDS

FILM = Fraction(24000, 1001)
ODD = Fraction(999_983, 40_000)
"""Its ticks are hardly longer than a microsecond."""
RATES = [
    *(Fraction(24), FILM, Fraction(60), Fraction(2997, 100), Fraction(1000, 7), ODD),
]
PRESET = "b = '=\\'\n"


def ffmpeg(*arguments: object) -> tuple[bytes, str]:
    """What ffmpeg says on its two outputs."""
    command = [str(ffmpeg_path()), "-hide_banner", "-v", "warning", *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    return done.stdout, done.stderr.decode()


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


def join(encoding: Encoding, folder: Path, pieces: list, sound: Path | None = None) -> Path:
    return chunks.join(encoding, pieces, folder=folder, sound=sound, title="a; title", preset=PRESET)


def times(path: Path, stream: str = "v") -> tuple[Fraction, np.ndarray, str]:
    """(seconds of a tick, (n, 3) when each packet is decoded, shown and how long it lasts, what ffmpeg warns of)."""
    listing, said = ffmpeg("-copyts", "-i", path, "-map", f"0:{stream}", "-c", "copy", "-f", "framecrc", "-")
    lines = listing.decode().splitlines()
    tick = Fraction(next(line for line in lines if line.startswith("#tb")).split()[-1])
    return tick, np.array([line.split(",")[1:4] for line in lines if line[0] != "#"]).astype(int), said


def check_times(path: Path, fps: Fraction, count: int) -> None:
    """Every picture is shown at its time, none is decoded after it, and all last equally."""
    tick, table, said = times(path)
    step = 1 / (fps * tick)
    assert said == "" and step.denominator == 1 and table[0, 0] <= 0
    np.testing.assert_array_equal(table[:, 0], table[0, 0] + int(step) * np.arange(count))
    np.testing.assert_array_equal(np.sort(table[:, 1]), int(step) * np.arange(count))
    assert (table[:, 0] <= table[:, 1]).all() and (table[:, 2] == int(step)).all()


@dataclass
class Join:
    folder: Path
    encoding: Encoding
    pieces: list
    sound: Path | None
    made: Path


CASES = [
    *((".mp4", fps, True) for fps in RATES),
    (".mp4", FILM, False),
    (".mov", FILM, True),
    (".mov", RATES[3], False),
]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: " ".join(map(str, case)))
def joined(request, tmp_path_factory) -> Join:
    extension, fps, with_sound = request.param
    folder = tmp_path_factory.mktemp("join")
    encoding, pieces = make_pieces(folder, extension, fps, [6, 12, 12, 10])
    sound = make_sound(folder, encoding, 40 / fps) if with_sound else None
    return Join(folder, encoding, pieces, sound, join(encoding, folder, pieces, sound))


def test_every_picture_has_its_exact_time(joined: Join) -> None:
    check_times(joined.made, joined.encoding.settings.fps, 40)


def test_pictures_are_those_of_the_pieces(joined: Join) -> None:
    apart = list(chunks.read_chunks(joined.encoding, joined.folder, [name for name, _ in joined.pieces]))
    np.testing.assert_array_equal(np.stack(list(read_frames(joined.made))), np.stack(apart))


def test_sound_is_that_of_its_file_and_begins_with_the_picture(joined: Join) -> None:
    if joined.sound is None:
        assert b"soun" not in joined.made.read_bytes()
        return
    made, alone = (ffmpeg("-i", path, "-map", "0:a", "-f", "s16le", "-")[0] for path in (joined.made, joined.sound))
    # Where the two clocks have no common one of 31 bits, the last millisecond may go.
    lost = 2 * 44 if joined.encoding.settings.fps == ODD else 0
    assert alone.startswith(made) and len(alone) - len(made) <= lost
    # An encoder's delay lies before 0, and is not heard.
    begins = [times(path, "a")[1][0, 1] for path in (joined.made, joined.sound)]
    assert begins[0] == begins[1] and begins[0] == (-1024 if joined.made.suffix == ".mp4" else 0)


def test_its_index_comes_first_and_it_carries_its_tags(joined: Join) -> None:
    data = joined.made.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")
    assert b"title=a\\; title" in ffmpeg("-i", joined.made, "-f", "ffmetadata", "-")[0]
    assert read_preset(joined.made) == PRESET


@pytest.mark.parametrize("frame", [3, 17, 31])
def test_it_can_be_entered_anywhere(joined: Join, listing: list[bytes], frame: int) -> None:
    at = float((frame - Fraction(1, 2)) / joined.encoding.settings.fps)
    assert len(listing) == 40 and digests(joined.made, "-ss", at) == listing[frame:]


def test_the_same_bytes_every_time(joined: Join) -> None:
    first = joined.made.read_bytes()
    assert join(joined.encoding, joined.folder, joined.pieces, joined.sound).read_bytes() == first


@pytest.mark.parametrize("lengths", [[1, 12, 3, 1, 2, 12], [12, 2, 1, 1, 3, 12], [2, 1]], ids=str)
def test_the_shortest_pieces_and_other_delays_leave_no_seam(tmp_path: Path, lengths: list[int]) -> None:
    """A piece of one picture needs no delay, one of three another than one of twelve; x264 tells them as it likes."""
    encoding, pieces = make_pieces(tmp_path, ".mp4", FILM, lengths)
    made = join(encoding, tmp_path, pieces)
    check_times(made, FILM, sum(lengths))
    apart = list(chunks.read_chunks(encoding, tmp_path, [name for name, _ in pieces]))
    np.testing.assert_array_equal(np.stack(list(read_frames(made))), np.stack(apart))


def test_an_hour_later_the_time_is_as_exact(tmp_path: Path) -> None:
    """Pieces of a length that is no whole number of milliseconds or microseconds: no rounding adds up."""
    slow = Fraction(24000, 2003)
    encoding, pieces = make_pieces(tmp_path, ".mp4", slow, [492, 10])
    check_times(join(encoding, tmp_path, pieces * 86), slow, 502 * 86)
    assert 502 * 86 / slow > 3600


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, Encoding, list]:
    """Three pieces of twelve pictures, and one of eight."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, *make_pieces(folder, ".mp4", FILM, [12, 12, 12, 8])


@pytest.fixture(scope="module")
def listing(joined: Join) -> list[bytes]:
    """The digests of a video's pictures."""
    return digests(joined.made)


def digests(path: Path, *enter: object) -> list[bytes]:
    lines = ffmpeg(*enter, "-i", path, "-map", "0:v", "-f", "framemd5", "-")[0].splitlines()
    return [line.rpartition(b",")[2] for line in lines if not line.startswith(b"#")]


@pytest.mark.parametrize("fault", ["cut", "noise", "empty", "missing", "other"])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_damaged_piece_is_told(tmp_path: Path, whole: tuple[Path, Encoding, list], fault: str, which: int) -> None:
    folder, encoding, (*pieces, other) = whole
    for name, _ in pieces:
        shutil.copy(folder / name, tmp_path)
    wrong = tmp_path / pieces[which][0]
    data = wrong.read_bytes()
    wrong.unlink()
    if fault != "missing":
        short = (folder / other[0]).read_bytes()
        bodies = {"cut": data[: len(data) // 2], "noise": bytes(len(data)), "empty": b"", "other": short}
        wrong.write_bytes(bodies[fault])
    with pytest.raises(VideoError, match=r"the same command|ffmpeg stopped before the video was whole"):
        join(encoding, tmp_path, pieces)


# --- cut short -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["interrupt", "shorter"])
def test_a_join_that_is_cut_short_costs_no_chunk(tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    film = make_film_of(tmp_path / "out.mp4", tone(tmp_path / "song.wav", 3), frames=50)
    start = chunks._Run.__init__

    def cut_short(self: chunks._Run, arguments: list[str], folder: Path, **options: int | None) -> None:
        if "joined.mp4" not in arguments:
            return start(self, arguments, folder, **options)
        if fault == "shorter":
            piece = sorted(folder.glob("*.mp4"))[1]
            piece.write_bytes(piece.read_bytes()[:100])
        start(self, arguments, folder, **options)
        if fault == "interrupt":
            self.abandon()
            raise KeyboardInterrupt

    told = {"interrupt": "5 of 5 chunks are kept", "shorter": "a chunk was damaged"}[fault]
    with monkeypatch.context() as patch, pytest.raises((VideoError, KeyboardInterrupt), match=told):
        patch.setattr(chunks._Run, "__init__", cut_short)
        make_film(film, alone(film), overwrite=False, fresh=False, progress=Silent())
    assert not film.output.exists() and work_folder(film.output).exists()
    painter = Painter()
    make_film(film, alone(film, painter), overwrite=False, fresh=False, progress=Silent())
    assert painter.rendered == (12 if fault == "shorter" else 0)
    assert {item.name for item in tmp_path.iterdir()} == {"out.mp4", "song.wav"}
    np.testing.assert_array_equal(len(list(read_frames(film.output))), 50)


@pytest.mark.parametrize("speed", SPEEDS[1:])
def test_chunks_of_all_qualities_and_in_a_hurry_have_one_header(tmp_path: Path, speed: str) -> None:
    """What players read once for the whole file (ISO/IEC 14496-15, `avcC`) fits all chunks."""
    headers = set()
    for crf, hurried in ((18, False), (30.5, False), (18, True), (51, True)):
        settings = VideoSettings(
            fps=Fraction(24), size=(64, 48), layout="yuv420p", threads=4, speed=speed, crf=crf, hurried=hurried
        )
        encoder = Encoding(FORMATS[".mp4"], settings, (64, 48)).open(tmp_path, "a.mp4")
        encoder.write(np.random.RandomState(0).randint(0, 255, (8, 64 * 48 * 3 // 2)).astype(np.uint8))
        encoder.close()
        encoder.finish()
        encoder.abandon()
        data = (tmp_path / "a.mp4").read_bytes()
        at = data.index(b"avcC")
        (tmp_path / "a.mp4").unlink()
        headers.add(data[at : at + int.from_bytes(data[at - 4 : at], "big") - 4])
    assert len(headers) == 1
