"""A film of chunks is one video: to a player, to the frame, to the bit; and one that was cut short goes on."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import resource
import shutil
import signal
import stat
import subprocess
import time
import tracemalloc
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from crews import SIZE, Ears, Painter, alone, make_film_of, picture, tone

from audioreactive.chunks import film as film_module
from audioreactive.chunks.film import Revised, make_film
from audioreactive.chunks.folder import WorkFolder, work_folder
from audioreactive.chunks.making import ChunkMaker, LocalExecutor, encoders_at_once
from audioreactive.chunks.plan import MadeChunk
from audioreactive.errors import OutputError, VideoError
from audioreactive.video import VideoWriter, ffmpeg_path, frame_times, probe, read_frames, read_preset
from audioreactive.video.chunks import Encoding, read_chunks
from audioreactive.video.encoder import explained

FILM, ODD = Fraction(24000, 1001), Fraction(2997, 100)


def ffmpeg(*arguments: object) -> str:
    command = [str(ffmpeg_path()), "-v", "error", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL, text=True).stdout


def make(film, executor=None, *, overwrite: bool = False, fresh: bool = False) -> list[str]:
    ears = Ears()
    make_film(film, executor or alone(film), overwrite=overwrite, fresh=fresh, progress=ears)
    return ears.said


def frames_of(path: Path) -> np.ndarray:
    return np.stack(list(read_frames(path)))


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tone(tmp_path_factory.mktemp("song") / "song.wav", 3)


# --- one video -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("extension", "fps"),
    [*((extension, FILM) for extension in (".mp4", ".webm", ".mov", ".mkv", "")), (".mp4", ODD), (".mkv", ODD)],
    ids=str,
)
def test_chunks_make_the_video_that_one_go_makes(tmp_path: Path, song: Path, extension: str, fps: Fraction) -> None:
    whole, parts = tmp_path / f"whole{extension}", tmp_path / f"parts{extension}"
    film = make_film_of(parts, song, frames=40, start=6, fps=fps)
    assert [len(chunk) for chunk in film.chunks] == [6, 12, 12, 10]
    make(film)
    settings, duration = film.encoding.settings, film.duration
    with VideoWriter(
        whole, settings, frame_size=SIZE, sound=song, start=film.start, duration=duration, preset="a = 1"
    ) as writer:
        writer.write(np.stack([picture(index) for index in range(6, 46)]))
    assert probe(parts) == probe(whole)
    assert read_preset(parts) == "a = 1"
    for name in ("frames", "sound_start"):
        np.testing.assert_array_equal(getattr(frame_times(parts), name), getattr(frame_times(whole), name))
    assert {item.name for item in tmp_path.iterdir()} == {whole.name, parts.name}
    if extension in (".mkv", ".mov", ""):  # every frame stands for itself: the same bits
        np.testing.assert_array_equal(frames_of(parts), frames_of(whole))
    if extension:
        sounds = [ffmpeg("-i", path, "-map", "0:a", "-f", "md5", "-") for path in (whole, parts)]
        assert sounds[0] == sounds[1]
        heads = [ffmpeg("-i", path, "-f", "ffmetadata", "-") for path in (whole, parts)]
        assert heads[0].replace("whole", "parts") == heads[1]
    else:
        assert sorted(item.name for item in parts.iterdir()) == sorted(item.name for item in whole.iterdir())


def packet_table(path: Path) -> list[list[int]]:
    """(dts, pts, duration) of each picture, in the order of the file."""
    lines = ffmpeg("-i", path, "-map", "0:v", "-c", "copy", "-f", "framecrc", "-").splitlines()
    return [[int(value) for value in line.split(",")[1:4]] for line in lines if line.startswith("0,")]


def test_an_mp4_of_many_chunks_has_no_seam(tmp_path: Path, song: Path) -> None:
    """Every picture has its time to the clock's tick, nothing jumps in the order of decoding, parameters stand once.

    Other frame rates: `test_join.py`.
    """
    path = tmp_path / "out.mp4"
    film = make_film_of(path, song, frames=80, fps=FILM, length=4)
    make(film)
    table = np.array(packet_table(path))
    step = table[0, 2]
    np.testing.assert_array_equal(np.sort(table[:, 1]), np.arange(80) * step)
    np.testing.assert_array_equal(np.diff(table[:, 0]), step)
    assert (table[:, 2] == step).all()
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat"), "faststart puts the index before the data"
    assert data.count(b"avcC") == 1 and data.count(b"elst") == 2  # one for the picture's order, one for the sound
    command = [str(ffmpeg_path()), "-hide_banner", "-i", str(path), "-f", "null", "-"]
    said = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL).stderr
    assert "h264" in said and "yuv420p(tv, bt709" in said and "aac (LC)" in said
    assert "error" not in said.lower() and "non-monoton" not in said.lower()


def test_two_runs_give_the_same_bytes(tmp_path: Path, song: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        make(make_film_of(tmp_path / name, song, frames=30))
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


@pytest.mark.parametrize("encoders", [1, 2, 5])
def test_several_encoders_share_one_network(tmp_path: Path, song: Path, encoders: int) -> None:
    film, alive = make_film_of(tmp_path / "out.mkv", song, frames=50), []

    class Many(LocalExecutor):
        def make(self, chunks, folder, advance):
            maker = ChunkMaker(Painter(), self.encoding, folder, encoders=encoders)
            return maker.make(chunks, lambda frames: alive.append(len(maker._alive)))

    make(film, Many(Painter, film.encoding))
    assert max(alive) == encoders, "chunks that a kill would cost"
    np.testing.assert_array_equal(frames_of(film.output), [picture(index) for index in range(50)])


def test_encoders_keep_the_cores_busy_that_the_network_leaves() -> None:
    assert [encoders_at_once(cores, on_gpu=True) for cores in (1, 2, 4, 16, 256)] == [1, 1, 1, 4, 8]
    assert encoders_at_once(64, on_gpu=False) == 1


def test_frames_can_be_treated_on_their_way(tmp_path: Path, song: Path) -> None:
    film = make_film_of(tmp_path / "out.mkv", song, frames=20)
    seen = []

    def treat(first: int, frames: np.ndarray) -> np.ndarray:
        seen.extend(range(first, first + len(frames)))
        return 255 - frames

    class Treating(LocalExecutor):
        def make(self, chunks, folder, advance):
            return ChunkMaker(Painter(), self.encoding, folder, treat=treat).make(chunks, advance)

    make(film, Treating(Painter, film.encoding))
    assert seen == list(range(20))
    np.testing.assert_array_equal(frames_of(film.output), [255 - picture(index) for index in range(20)])


@pytest.mark.parametrize("extension", [".mkv", ".mp4"])
def test_chunks_can_be_looked_at_and_made_anew_before_they_are_joined(
    tmp_path: Path, song: Path, extension: str
) -> None:
    film = make_film_of(tmp_path / f"out{extension}", song, frames=40, start=6)
    looked = []

    def revise(film, made, folder):
        for chunk in made:
            looked.extend(read_chunks(film.encoding, folder, [chunk.name]))
        maker = ChunkMaker(Painter(), film.encoding, folder, treat=lambda first, frames: 255 - frames, kind="revised")
        for chunk in maker.make([film.chunks[2]], lambda frames: None):
            yield Revised(chunk.index, ((chunk.name, chunk.frames),))

    make(with_changes(film, revise=revise))
    assert len(looked) == 40 and list(tmp_path.iterdir()) == [film.output]
    pictures = np.stack([picture(index) for index in range(6, 46)])
    found = frames_of(film.output)
    if extension == ".mkv":
        np.testing.assert_array_equal(np.stack(looked), pictures)
        pictures[18:30] = 255 - pictures[18:30]
        np.testing.assert_array_equal(found, pictures)
    else:
        assert np.abs(found[:18].astype(int) - looked[:18]).mean() < 0.1
        assert np.abs(found[18:30] - (255.0 - np.stack(looked[18:30]))).mean() < 8


# --- cut short -----------------------------------------------------------------------------------------------------


def cut_short(film, at: int = 24) -> Painter:
    """Begin a film, and be interrupted before a frame."""
    painter = Painter(fail_at=at)
    with pytest.raises(KeyboardInterrupt):
        make(film, alone(film, painter))
    return painter


def whole_chunks(film) -> int:
    """In the journal."""
    return len((work_folder(film.output) / "chunks.jsonl").read_text().splitlines())


def said_of(kept: int) -> list[str]:
    return [f"{kept} of 4 chunks are there from before"]


@pytest.mark.parametrize("extension", [".mp4", ".mkv", ""])
def test_a_film_goes_on_where_it_was_cut(tmp_path: Path, song: Path, extension: str) -> None:
    film, other = (make_film_of(tmp_path / f"{name}{extension}", song, frames=38) for name in ("a", "b"))
    cut_short(film, 28)
    assert not film.output.exists()
    assert (kept := whole_chunks(film)) == 2, "the third was being rendered"
    rest = Painter()
    assert make(film, alone(film, rest)) == said_of(kept)
    assert rest.rendered == (3 - kept) * 12 + 4, "and two frames in a batch of four"
    make(other)
    np.testing.assert_array_equal(frames_of(film.output), frames_of(other.output))
    assert {item.name for item in tmp_path.iterdir()} == {film.output.name, other.output.name}


def test_what_is_cut_before_a_chunk_is_whole_leaves_nothing(tmp_path: Path, song: Path) -> None:
    cut_short(make_film_of(tmp_path / "out.mp4", song, frames=38), 8)
    assert not list(tmp_path.iterdir())


def test_an_interrupt_while_a_chunk_is_written_down_loses_no_other(tmp_path: Path, song: Path, monkeypatch) -> None:
    film, fsync = make_film_of(tmp_path / "out.mkv", song, frames=38), os.fsync

    def interrupted(descriptor: int) -> None:
        fsync(descriptor)
        if Path(f"/proc/self/fd/{descriptor}").readlink().name == "chunks.jsonl":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "fsync", interrupted)
        make(film)
    assert make(film) == said_of(1)


def test_a_torn_line_does_not_cost_the_next(tmp_path: Path, song: Path) -> None:
    film = make_film_of(tmp_path / "out.mkv", song, frames=38)
    cut_short(film, 28)
    journal = work_folder(film.output) / "chunks.jsonl"
    journal.write_bytes(journal.read_bytes().splitlines(keepends=True)[0] + b'{"index": 1, "fra')
    with pytest.raises(KeyboardInterrupt):
        make(film, alone(film, Painter(fail_at=36)))
    assert (kept := whole_chunks(film)) in (2, 3) and make(film) == said_of(kept)


def test_the_person_is_told_how_to_go_on(tmp_path: Path, song: Path) -> None:
    film, ears = make_film_of(tmp_path / "out.mkv", song, frames=38), Ears()
    with pytest.raises(KeyboardInterrupt) as interrupt:
        make_film(film, alone(film, Painter(fail_at=28)), overwrite=False, fresh=False, progress=ears)
    (note,) = interrupt.value.__notes__
    assert f"{whole_chunks(film)} of 4 chunks are kept" in note and "the same command again" in note
    assert not ears.said, "whoever ends the program says it, once"


HUGE = '{"index": 1e999, "frames": 12, "name": "chunk_000000.mov", "bytes": 1, "sha256": "0"}'


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("fault", ["damaged", "cut", "gone", "torn journal", "foreign journal", "stray files"])
def test_whatever_happened_between_two_runs_is_mended(tmp_path: Path, song: Path, fault: str) -> None:
    film = make_film_of(tmp_path / "out.mkv", song, frames=38)
    cut_short(film, 36)
    work = work_folder(film.output)
    first, journal = work / "chunk_000000.mov", work / "chunks.jsonl"
    kept = whole_chunks(film) - (fault != "stray files")
    match fault:
        case "damaged":
            damage(first)
        case "cut":
            first.write_bytes(first.read_bytes()[:100])
        case "gone":
            first.unlink()
        case "torn journal":
            journal.write_bytes(journal.read_bytes()[:-20])
        case "foreign journal":
            lines = journal.read_text().splitlines()
            strange = [
                *lines[1:],
                '{"index": 0}',
                "[]",
                "\x00",
                '{"index": 0, "name": "../../etc/passwd"}',
                "[" * 9999,
                HUGE,
            ]
            journal.write_text("\n".join(strange) + "\n")
        case "stray files":
            (work / "chunk_000003.mov.partial-1234").write_bytes(b"half")
            (work / "joined").mkdir()
            (work / "chunk_000009.mov").write_bytes(b"of another plan")
    assert kept and make(film) == said_of(kept)
    np.testing.assert_array_equal(frames_of(film.output), [picture(index) for index in range(38)])
    assert list(tmp_path.iterdir()) == [film.output]


def test_a_work_folder_that_points_elsewhere_is_left_alone(tmp_path: Path, song: Path) -> None:
    """In a stranger's album: what a link points to would be emptied."""
    film = make_film_of(tmp_path / "out.mkv", song, frames=20)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "letter").write_text("dear")
    work_folder(film.output).symlink_to(mine)
    with pytest.raises(VideoError, match="it is a link, not a folder"):
        make(film, fresh=True)
    assert [item.name for item in mine.iterdir()] == ["letter"] and (mine / "letter").read_text() == "dear"


def test_a_folder_that_cannot_be_cleared_up_is_let_go(tmp_path: Path, song: Path, monkeypatch) -> None:
    """The next song, or the next call, may have it."""
    film = make_film_of(tmp_path / "out.mkv", song, frames=38)
    sweep, swept = WorkFolder._sweep, []

    def fail_at_the_end(self) -> None:
        swept.append(self)
        if len(swept) == 2:
            raise PermissionError(1, "Operation not permitted")
        sweep(self)

    with monkeypatch.context() as patch, pytest.raises(VideoError, match="Operation not permitted"):
        patch.setattr(WorkFolder, "_sweep", fail_at_the_end)
        make(film, alone(film, Painter(fail_at=28)))
    assert not swept[0]._lock.is_locked
    make(film)


def test_another_job_is_told_and_begun_on_request(tmp_path: Path, song: Path) -> None:
    film = make_film_of(tmp_path / "out.mkv", song, frames=38)
    cut_short(film)
    kept = whole_chunks(film)
    changed = with_changes(film, job={"song": "other", "model": "b", "kernels": "new"})
    with pytest.raises(VideoError, match=r"not with the same kernels, song; .*--fresh"):
        make(changed)
    assert make(film) == said_of(kept), "nothing was lost by asking"
    cut_short(film_again := with_changes(film, output=tmp_path / "again.mkv"))
    assert make(with_changes(changed, output=film_again.output), fresh=True) == []
    assert {item.name for item in tmp_path.iterdir()} == {"out.mkv", "again.mkv"}


def with_changes(film, **changes):
    import dataclasses

    return dataclasses.replace(film, **changes)


def test_a_job_that_cannot_be_read_is_another(tmp_path: Path, song: Path) -> None:
    film = make_film_of(tmp_path / "out.mkv", song, frames=38)
    cut_short(film)
    for job in ("", "[1]", "\x00\xff", '{"song": 7}'):
        (work_folder(film.output) / "job.json").write_text(job)
        with pytest.raises(VideoError, match="--fresh"):
            make(film)
    make(film, fresh=True)
    assert probe(film.output).frames == 38


def test_two_renders_of_one_output_do_not_meet(tmp_path: Path, song: Path) -> None:
    film = make_film_of(tmp_path / "out.mkv", song, frames=38)
    with (
        WorkFolder(film.output, film.job),
        pytest.raises(VideoError, match=r"another render is making .*out\.mkv at this moment"),
    ):
        make(film)
    make(film)
    assert list(tmp_path.iterdir()) == [film.output]


def test_a_clock_that_goes_backwards_changes_nothing(tmp_path: Path, song: Path, monkeypatch) -> None:
    film = make_film_of(tmp_path / "out.mkv", song, frames=38)
    cut_short(film)
    now, kept = iter(range(10**9, 0, -3600)), whole_chunks(film)
    monkeypatch.setattr(time, "time", lambda: next(now))
    assert make(film) == said_of(kept)
    np.testing.assert_array_equal(frames_of(film.output), [picture(index) for index in range(38)])


def test_an_encoder_that_is_killed_costs_its_chunk(tmp_path: Path, song: Path) -> None:
    film = make_film_of(tmp_path / "out.mkv", song, frames=38)

    alive = []

    class Murderous(LocalExecutor):
        def make(self, chunks, folder, advance):
            maker = ChunkMaker(Painter(), self.encoding, folder, treat=self.kill)
            alive.append(maker._alive)
            yield from maker.make(chunks, advance)

        def kill(self, first, frames):
            if first >= 25:  # in the midst of the third chunk, whose encoder waits for more
                for slot in alive[0]:
                    slot.encoder.process.kill()
            return frames

    with pytest.raises(VideoError, match="killed by SIGKILL"):
        make(film, Murderous(Painter, film.encoding))
    # Of the encoders before it, some had come to their ends.
    assert 1 <= (kept := whole_chunks(film)) < 4 and make(film) == said_of(kept)
    np.testing.assert_array_equal(frames_of(film.output), [picture(index) for index in range(38)])


def test_an_interrupt_while_an_encoder_starts_leaves_no_encoder(tmp_path: Path, song: Path, monkeypatch) -> None:
    film = make_film_of(tmp_path / "out.mkv", song, frames=38)

    opened, encoders = Encoding.open, []

    def open_and_interrupt(self, folder: Path, name: str):
        encoders.append(opened(self, folder, name))
        if len(encoders) == 4:
            signal.raise_signal(signal.SIGINT)
        return encoders[-1]

    monkeypatch.setattr(Encoding, "open", open_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        make(film)
    assert len(encoders) == 4 and all(encoder.process.returncode is not None for encoder in encoders)
    (work,) = tmp_path.iterdir()
    assert whole_chunks(film) and not list(work.glob("*.partial-*"))


def test_a_name_taken_meanwhile_costs_no_video(tmp_path: Path, song: Path) -> None:
    film = make_film_of(tmp_path / "out.mkv", song, frames=20)

    class Slow(LocalExecutor):
        def make(self, chunks, folder, advance):
            film.output.write_text("mine")
            return super().make(chunks, folder, advance)

    with pytest.raises(VideoError, match="the finished video is"):
        make(film, Slow(Painter, film.encoding))
    assert film.output.read_text() == "mine"
    (kept,) = set(tmp_path.iterdir()) - {film.output}
    assert probe(kept).frames == 20


def test_a_song_without_sound_is_noticed_at_once(tmp_path: Path) -> None:
    (tmp_path / "words.mp3").write_text("no sound at all, only words")
    film = make_film_of(tmp_path / "out.mp4", tmp_path / "words.mp3", frames=2000)
    painter = Painter()
    with pytest.raises(VideoError):
        make(film, alone(film, painter))
    assert painter.rendered < 2000


def resize(disk: Path, kilobytes: int) -> None:
    remount = 32
    options = f"size={kilobytes}k".encode()
    assert ctypes.CDLL(None).mount(b"tmpfs", os.fsencode(disk), b"tmpfs", remount, options) == 0


# Too small for the chunks (260 kB; 40 in mp4) and their light (230 kB); large enough for them and the sound, but not
# for the video beside them.
@pytest.mark.parametrize(
    ("tiny_disk", "extension"), [(200, ".mkv"), (700, ".mkv"), (390, ".mp4")], indirect=["tiny_disk"]
)
def test_a_disk_that_fills_costs_nothing_that_was_whole(tiny_disk: Path, extension: str, song: Path) -> None:
    film = make_film_of(tiny_disk / f"out{extension}", song, frames=50)
    ears = Ears()
    with pytest.raises(VideoError, match="is full"):
        make_film(film, alone(film), overwrite=False, fresh=False, progress=ears)
    assert not film.output.exists()
    kept = int(ears.said[-1].split()[0])
    assert "chunks are kept" in ears.said[-1] and 0 < kept <= 5
    resize(tiny_disk, 4000)
    assert make(film) == [f"{kept} of 5 chunks are there from before"]
    made = frames_of(film.output)
    assert len(made) == 50
    if extension == ".mkv":  # lossless
        np.testing.assert_array_equal(made, [picture(index) for index in range(50)])
    assert list(tiny_disk.iterdir()) == [film.output]


@pytest.mark.parametrize("tiny_disk", [100], indirect=True)
def test_a_disk_without_a_byte_keeps_no_work_folder(tiny_disk: Path, song: Path) -> None:
    """The folder was made and locked, and stayed when its first file found no room."""
    with pytest.raises(OSError, match="No space left"), (fill := tiny_disk / "fill").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    film = make_film_of(tiny_disk / "out.mkv", song, frames=10)
    with pytest.raises(OutputError, match="make room"):
        make(film)
    assert list(tiny_disk.iterdir()) == [fill]


def test_a_disk_that_is_full_of_arrays_is_called_full(tiny_disk: Path) -> None:
    """NumPy says how many numbers it wrote, and not why they are not more."""
    with pytest.raises(OSError) as full, (tiny_disk / "a.npy").open("wb") as file:
        np.save(file, np.zeros(1 << 20, np.uint8))
    assert full.value.errno is None
    assert "is full" in explained(str(full.value), "the output cannot be completed", tiny_disk)


def test_the_disk_is_full_in_a_chunk_and_in_the_join(tmp_path: Path, song: Path, monkeypatch) -> None:
    film = make_film_of(tmp_path / "out.mkv", song, frames=38)
    full = OSError(28, "No space left on device")

    def fail(*arguments: object, **options: object) -> None:
        raise full

    for place, name in ((WorkFolder, "accept"), (film_module, "join")):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, fail)
            with pytest.raises(VideoError, match="is full"):
                make(film)
    assert make(film) == said_of(4), "the room made, all is there but the join"
    assert list(tmp_path.iterdir()) == [film.output]


def test_a_read_only_folder_is_refused_before_anything_is_made(song: Path) -> None:
    film = make_film_of(Path("/proc/out.mkv"), song, frames=50)
    painter = Painter()
    with pytest.raises(VideoError, match="not writable"):
        make(film, alone(film, painter))
    assert painter.rendered == 0


def test_the_work_folder_of_a_long_name_fits(tmp_path: Path, song: Path) -> None:
    film = make_film_of(tmp_path / ("ü" * 120 + ".mkv"), song, frames=14)
    cut_short(film, 12)
    make(film)
    assert list(tmp_path.iterdir()) == [film.output]


def test_the_journal_is_read_by_people_too(tmp_path: Path, song: Path) -> None:
    film = make_film_of(tmp_path / "out.mkv", song, frames=38)
    cut_short(film)
    lines = (work_folder(film.output) / "chunks.jsonl").read_text().splitlines()
    assert next(json.loads(line)["name"] for line in lines) == "chunk_000000.mov"
    assert {json.loads(line)["frames"] for line in lines} == {12}


# --- folders that others have left -----------------------------------------------------------------------------------


STRANGE = {
    "a pipe": lambda path, mine: os.mkfifo(path),
    "a socket": lambda path, mine: os.mknod(path, stat.S_IFSOCK | 0o600),
    "a folder": lambda path, mine: (path / "deep").mkdir(parents=True),
    "a link to a file": lambda path, mine: path.symlink_to(mine / "letter"),
    "a link without end": lambda path, mine: path.symlink_to("/dev/zero"),
    "a link to itself": lambda path, mine: path.symlink_to(path.name),
    "another name of a file": lambda path, mine: os.link(mine / "letter", path),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_what_no_render_leaves_is_taken_away_unread(tmp_path: Path, song: Path, kind: str) -> None:
    """An archive may hold it beside a song: a pipe would be waited for, a link written through."""
    film, mine = make_film_of(tmp_path / "out.mkv", song, frames=12), tmp_path / "mine"
    mine.mkdir()
    (mine / "letter").write_text("dear")
    work = work_folder(film.output)
    for names in (
        ("lock",),
        ("job.json",),
        ("chunks.jsonl", "chunk_000000.mov"),
        ("tags.txt", "sound.mkv", "joined.mkv"),
    ):
        work.mkdir()
        (work / "job.json").write_text(json.dumps(film.job))
        for name in names:
            (work / name).unlink(missing_ok=True)
            STRANGE[kind](work / name, mine)
        if names == ("lock",):
            make(film)
            assert probe(film.output).frames == 12
            film.output.unlink()
        else:
            with WorkFolder(film.output, film.job) as folder:
                assert not folder.finished(film.chunks, ".mov", most_bytes=lambda frames: 1 << 20)
                assert {item.name for item in work.iterdir()} == {"lock", "job.json", "chunks.jsonl"}
    assert (mine / "letter").read_text() == "dear" and (mine / "letter").stat().st_nlink == 1
    assert [item.name for item in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("kind", ["a pipe", "a socket", "a link to a file"])
def test_a_work_folder_that_is_no_folder_is_a_sentence(tmp_path: Path, song: Path, kind: str) -> None:
    film = make_film_of(tmp_path / "out.mkv", song, frames=12)
    (tmp_path / "letter").write_text("dear")
    STRANGE[kind](work_folder(film.output), tmp_path)
    with pytest.raises(VideoError, match="delete it, or choose another name"):
        make(film, fresh=True)
    assert (tmp_path / "letter").read_text() == "dear" and not film.output.exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="makes folders of other users")
@pytest.mark.parametrize("mode", [0o700, 0o755, 0o777, 0o1777])
def test_a_folder_of_another_user_is_not_worked_in(tmp_path: Path, song: Path, mode: int) -> None:
    film = make_film_of(tmp_path / "out.mkv", song, frames=12)
    work = work_folder(film.output)
    work.mkdir()
    work.chmod(mode)
    os.chown(work, 65534, 65534)
    with pytest.raises(VideoError, match="belongs to another user"):
        make(film, fresh=True)
    assert work.is_dir() and not list(work.iterdir())


def test_nobody_else_can_write_to_a_work_folder(tmp_path: Path, song: Path) -> None:
    film, modes = make_film_of(tmp_path / "out.mkv", song, frames=12), []
    work = work_folder(film.output)
    work.mkdir()
    work.chmod(0o777)

    class Watching(LocalExecutor):
        def make(self, chunks, folder, advance):
            modes.append(stat.S_IMODE(folder.stat().st_mode))
            return super().make(chunks, folder, advance)

    make(film, Watching(Painter, film.encoding))
    with VideoWriter(tmp_path / "frames", film.encoding.settings, frame_size=SIZE, sound=None) as writer:
        modes += [stat.S_IMODE(item.stat().st_mode) for item in tmp_path.glob(".frames.partial-*")]
        writer.write(np.stack([picture(0)]))
    assert modes == [0o700, 0o700]
    umask = os.umask(0o077)
    os.umask(umask)
    assert stat.S_IMODE((tmp_path / "frames").stat().st_mode) == 0o777 & ~umask, "a finished folder is like any other"


def test_a_work_folder_that_was_put_in_place_of_ours_is_noticed(tmp_path: Path, song: Path) -> None:
    film = make_film_of(tmp_path / "out.mkv", song, frames=38)
    work = work_folder(film.output)

    class Moved(LocalExecutor):
        def make(self, chunks, folder, advance):
            for made in super().make(chunks, folder, advance):
                if made.index == 2:
                    work.rename(tmp_path / "ours")
                    shutil.copytree(tmp_path / "ours", work)
                yield made

    with pytest.raises(VideoError, match="another folder has taken its place"):
        make(film, Moved(Painter, film.encoding))
    assert not film.output.exists()


def sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


@pytest.mark.parametrize("name", ["job.json", "chunks.jsonl", "chunk_000000.mov", "tags.txt"])
def test_endless_files_are_not_read(tmp_path: Path, song: Path, name: str, monkeypatch) -> None:
    film = make_film_of(tmp_path / "out.mkv", song, frames=38)
    cut_short(film)
    work = work_folder(film.output)
    sparse(work / name, 1 << 42)
    monkeypatch.setattr("audioreactive.chunks.folder._MOST_LINES", 1 << 10)
    if name.startswith("chunk_"):
        line = {"index": 0, "frames": 12, "name": name, "bytes": 1 << 42, "sha256": "0" * 64}
        (work / "chunks.jsonl").write_text(json.dumps(line) + "\n")
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, resource.RLIM_INFINITY))
    try:
        make(film, fresh=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert probe(film.output).frames == 38 and list(tmp_path.iterdir()) == [film.output]


def test_a_journal_of_endless_lines_states_nothing(tmp_path: Path, song: Path) -> None:
    film = make_film_of(tmp_path / "out.mkv", song, frames=38)
    cut_short(film)
    journal = work_folder(film.output) / "chunks.jsonl"
    first = journal.read_bytes().splitlines(keepends=True)[0]
    journal.write_bytes(b"[" * 500_000 + b"\n" + b'{"index":' + b"9" * 500_000 + b"}\n" + first)
    assert make(film) == said_of(1)


@pytest.mark.parametrize("content", [b"\n" * 30_000, b"\0" * 300_000], ids=["empty lines", "one line"])
def test_a_long_journal_does_not_fill_the_memory(tmp_path: Path, content: bytes) -> None:
    folder = WorkFolder(tmp_path / "out.mkv", {})
    folder.path.mkdir(mode=0o700)
    (folder.path / "chunks.jsonl").write_bytes(content)
    tracemalloc.start()
    try:
        assert folder.kept == 0
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()


def test_a_playlist_that_calls_itself_a_chunk_opens_no_other_file(tmp_path: Path, song: Path) -> None:
    """Its digest may be right: whoever packed the folder wrote the journal, too."""
    film = make_film_of(tmp_path / "out.mkv", song, frames=12)
    secret = tmp_path / "secret.mkv"
    make(with_changes(film, output=secret))
    work = work_folder(film.output)
    for list_ in (f"ffconcat version 1.0\nfile {secret}\n", f"#EXTM3U\n#EXTINF:1,\n{secret}\n"):
        with WorkFolder(film.output, film.job) as folder:
            chunk = work / "chunk_000000.mov"
            chunk.write_text(list_)
            digest = hashlib.sha256(chunk.read_bytes()).hexdigest()
            folder.accept(MadeChunk(0, 12, chunk.name, len(list_), digest))
            shutil.copytree(work, tmp_path / "copy")
        (tmp_path / "copy").rename(work)
        with pytest.raises(VideoError):
            make(film)
        assert not film.output.exists()
        shutil.rmtree(work)


def test_long_names_that_begin_alike_have_folders_of_their_own(tmp_path: Path) -> None:
    names = ["x" * 240 + end for end in ("a.mkv", "b.mkv")] + ["ü" * 120 + "a.mkv", "ü" * 120 + "b.mkv"]
    folders = {work_folder(tmp_path / name).name for name in names}
    assert len(folders) == 4 and all(len(os.fsencode(name)) <= 255 for name in folders)
    assert all(name.encode() for name in folders), "no half of a letter"


def test_an_output_that_is_a_link_to_an_empty_folder_leaves_no_link(tmp_path: Path, song: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("out", "out.mkv"):
        film = make_film_of(tmp_path / name, song, frames=12)
        film.output.symlink_to("empty")
        make(film)
        assert {item.name for item in tmp_path.iterdir()} == {"empty", name} and not film.output.is_symlink()
        assert probe(film.output).frames == 12 and not list((tmp_path / "empty").iterdir())
        shutil.rmtree(film.output) if film.output.is_dir() else film.output.unlink()


@pytest.mark.parametrize("kind", ["a pipe", "a link without end", "a socket"])
def test_outputs_that_are_no_files_are_left_alone(tmp_path: Path, song: Path, kind: str) -> None:
    film = make_film_of(tmp_path / "out.mkv", song, frames=12)
    STRANGE[kind](film.output, tmp_path)
    with pytest.raises(VideoError, match="not a video"):
        make(film, overwrite=True)
    assert os.path.lexists(film.output) and len(list(tmp_path.iterdir())) == 1
