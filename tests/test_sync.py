"""The frame that shows a click is the frame in which a decoder of the finished video hears it."""

import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audioreactive.video import VideoSettings, VideoWriter, ffmpeg_path, probe, read_frames

SAMPLE_RATE = 44100
RATES = (Fraction(24), Fraction(30000, 1001), Fraction(60))
CLICKS = (0.5, 1.25, 37.8, 38.55, 40.0)
SONG_SECONDS = 42
LOSSY = {".mp3": ["-c:a", "libmp3lame", "-b:a", "192k"], ".m4a": ["-c:a", "aac"], ".ogg": ["-c:a", "libvorbis"]}
SOURCES = (".wav", ".flac", *LOSSY)


def ffmpeg(*arguments: object) -> bytes:
    command = [str(ffmpeg_path()), "-v", "error", "-y", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL).stdout


def click_track(times: tuple[float, ...], seconds: float) -> np.ndarray:
    """(N,) float32: at each time a 3 kHz burst, loudest at its very first sample."""
    track = np.zeros(round(seconds * SAMPLE_RATE), np.float32)
    sample = np.arange(400)
    burst = 0.8 * np.exp(-sample / 60) * np.cos(2 * np.pi * 3000 / SAMPLE_RATE * sample)
    for time in times:
        first = round(time * SAMPLE_RATE)
        track[first : first + 400] = burst
    return track


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The click track in each format, by extension."""
    folder = tmp_path_factory.mktemp("songs")
    soundfile.write(folder / "song.wav", np.repeat(click_track(CLICKS, SONG_SECONDS)[:, None], 2, 1), SAMPLE_RATE)
    for extension in SOURCES[1:]:
        ffmpeg("-i", folder / "song.wav", *LOSSY.get(extension, []), folder / f"song{extension}")
    return {extension: folder / f"song{extension}" for extension in SOURCES}


def heard_at(video: Path, expected: list[float]) -> list[float]:
    """Seconds after the first frame's time stamp at which clicks are loudest, within 0.1 s of where they should be."""
    sound = np.frombuffer(
        ffmpeg("-i", video, "-map", "0:a", "-ac", 1, "-ar", SAMPLE_RATE, "-f", "f32le", "-"), np.float32
    )
    stamps = ffmpeg(
        "-copyts", "-i", video, "-map", "0:v", "-map", "0:a", "-c:v", "rawvideo", "-c:a", "pcm_f32le",
        "-enc_time_base", "demux", "-f", "framecrc", "-",
    ).decode().splitlines()  # fmt: skip
    bases = {line[4]: Fraction(line.split()[-1]) for line in stamps if line.startswith("#tb")}
    first = {k: next(int(line.split(",")[2]) * bases[k] for line in stamps if line.startswith(f"{k},")) for k in "01"}
    times = []
    for time in expected:
        start = max(0, round((time - 0.1) * SAMPLE_RATE))
        stop = round((time + 0.1) * SAMPLE_RATE)
        times.append((start + int(np.argmax(np.abs(sound[start:stop])))) / SAMPLE_RATE + float(first["1"] - first["0"]))
    return times


def flashes(count: int, lit: set[int]) -> np.ndarray:
    frames = np.zeros((count, 32, 32, 3), np.uint8)
    frames[sorted(lit)] = 255
    return frames


def render(
    path: Path, song: Path, fps: Fraction, start: Fraction, seconds: Fraction, clicks: tuple[float, ...]
) -> list[float]:
    """A video that is white in the frame of each click; returns when the clicks come, in the video's time."""
    expected = [time - float(start) for time in clicks if start <= time < start + seconds]
    count = int(seconds * fps)
    settings = VideoSettings(fps=fps, size=(32, 32), speed="ultrafast")
    with VideoWriter(
        path, settings, frame_size=(32, 32), sound=song, start=start, duration=count / fps, overwrite=True
    ) as writer:
        writer.write(flashes(count, {int(time * fps) for time in expected}))
    return expected


def shown_in(video: Path) -> list[int]:
    return [number for number, frame in enumerate(read_frames(video)) if frame.mean() > 128]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("extension", [".mp4", ".webm", ".mov", ".mkv"])
def test_sound_stays_in_its_place(tmp_path: Path, songs: dict[str, Path], source: str, extension: str) -> None:
    """Encoder delays are undone, and a start is kept to the sample."""
    video = tmp_path / f"out{extension}"
    for start in (Fraction(0), Fraction(373, 10)):
        expected = render(video, songs[source], Fraction(24), start, Fraction(4), CLICKS)
        assert len(expected) == (3 if start else 2)
        # A lossy coder may move the loudest sample of a burst by some samples; Matroska's clock ticks in milliseconds.
        np.testing.assert_allclose(heard_at(video, expected), expected, rtol=0, atol=1e-3)
        assert shown_in(video) == [int(time * 24) for time in expected]


def test_time_stamps_with_a_gap_are_not_believed(tmp_path: Path, songs: dict[str, Path]) -> None:
    """The analysis counts samples; so does the video."""
    song, video = tmp_path / "song.mkv", tmp_path / "out.mp4"
    ffmpeg("-i", songs[".wav"], "-af", "asetpts='PTS+gt(N,44100)*0.5/TB'", "-c:a", "flac", song)
    for start in (Fraction(0), Fraction(373, 10)):
        expected = render(video, song, Fraction(24), start, Fraction(4), CLICKS)
        np.testing.assert_allclose(heard_at(video, expected), expected, rtol=0, atol=1e-3)


def packets(path: Path) -> bytes:
    return ffmpeg("-i", path, "-map", "0:a", "-c", "copy", "-f", "adts", "-")


def test_the_songs_own_aac_is_kept_and_in_sync(tmp_path: Path, songs: dict[str, Path]) -> None:
    video = tmp_path / "out.mp4"
    expected = render(video, songs[".m4a"], Fraction(24), Fraction(0), Fraction(SONG_SECONDS), CLICKS)
    assert packets(video) == packets(songs[".m4a"])
    np.testing.assert_allclose(heard_at(video, expected), expected, rtol=0, atol=1e-3)
    # A part of it is coded anew: packets have no sample's precision.
    render(video, songs[".m4a"], Fraction(24), Fraction(0), Fraction(4), CLICKS)
    assert packets(video) not in packets(songs[".m4a"])


def insert_atom(data: bytes, path: list[bytes], atom: bytes) -> bytes:
    """MPEG-4 boxes with one more at the end of the innermost of a path; all of them grow by it."""
    position = end = 0
    for name in path:
        found = data.index(name, position) - 4
        size = int.from_bytes(data[found : found + 4])
        data = data[:found] + (size + len(atom)).to_bytes(4) + data[found + 4 :]
        position, end = found + 8, found + size
    return data[:end] + atom + data[end:]


def itunes_gapless(delay: int, samples: int) -> bytes:
    """The comment in which iTunes tells the encoder's delay (`iTunSMPB`)."""

    def box(name: bytes, body: bytes) -> bytes:
        return (len(body) + 8).to_bytes(4) + name + body

    told = f" 00000000 {delay:08X} 00000000 {samples:016X}".encode()
    text = box(b"data", (1).to_bytes(4) + bytes(4) + told)
    return box(b"----", box(b"mean", bytes(4) + b"com.apple.iTunes") + box(b"name", bytes(4) + b"iTunSMPB") + text)


def test_aac_that_tells_its_delay_in_other_ways(tmp_path: Path, songs: dict[str, Path]) -> None:
    """By iTunes' comment: kept to the sample. Not at all: every decoder hears the delay, and so does the analysis."""
    silent, told, video = tmp_path / "silent.m4a", tmp_path / "told.m4a", tmp_path / "out.mp4"
    ffmpeg("-i", songs[".wav"], "-c:a", "aac", "-use_editlist", 0, silent)
    path = [b"moov", b"udta", b"meta", b"ilst"]
    told.write_bytes(insert_atom(silent.read_bytes(), path, itunes_gapless(1024, SONG_SECONDS * SAMPLE_RATE)))
    for song, delay in ((told, 0), (silent, 1024 / SAMPLE_RATE)):
        render(video, song, Fraction(24), Fraction(0), Fraction(SONG_SECONDS + 1), ())
        expected = [time + delay for time in CLICKS]
        np.testing.assert_allclose(heard_at(video, expected), expected, rtol=0, atol=1e-3)
    assert packets(video) != packets(silent), "coded anew, with a delay that is told"


@pytest.mark.parametrize(("fps", "source"), [*((fps, ".wav") for fps in RATES), (RATES[1], ".mp3")], ids=str)
def test_a_click_is_seen_in_the_frame_in_which_it_is_heard(
    tmp_path: Path, hour: Callable[[str], Path], source: str, fps: Fraction
) -> None:
    """In minute 1 and in minute 60; benchmarks/sync.py has every rate with every kind of file."""
    video = tmp_path / "out.mp4"
    for start in (Fraction(0), Fraction(3540)):
        expected = render(video, hour(source), fps, start, Fraction(30), HOUR_CLICKS)
        assert len(expected) == 2
        seen = shown_in(video)
        assert seen == [int(time * fps) for time in heard_at(video, expected)]


# None nearer than 2 ms to the edge of a frame at any of the rates: what is tested is the way, not the rounding.
HOUR_CLICKS = (1.013, 20.06, 3545.345, 3569.107)


@pytest.fixture(scope="module")
def hour(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """An hour of clicks, made when it is first asked for."""
    folder = tmp_path_factory.mktemp("hour")

    def song(extension: str) -> Path:
        wav, path = folder / "hour.wav", folder / f"hour{extension}"
        if not wav.exists():
            with soundfile.SoundFile(wav, "w", SAMPLE_RATE, 1) as file:
                for minute in range(60):
                    inside = tuple(time - 60 * minute for time in HOUR_CLICKS if time // 60 == minute)
                    file.write(click_track(inside, 60))
        if not path.exists():
            ffmpeg("-i", wav, "-c:a", "libmp3lame", "-b:a", "64k", "-compression_level", 9, path)
        return path

    return song


def test_rates_do_not_drift(tmp_path: Path) -> None:
    """The last of 6000 frames has its exact time stamp, to the container's clock."""
    for extension in (".mp4", ".mkv"):
        fps, count = Fraction(30000, 1001), 6000
        settings = VideoSettings(fps=fps, size=(16, 16), speed="ultrafast")
        video = tmp_path / f"out{extension}"
        with VideoWriter(video, settings, frame_size=(16, 16), sound=None) as writer:
            for _ in range(count // 600):
                writer.write(np.zeros((600, 16, 16, 3), np.uint8))
        lines = ffmpeg("-i", video, "-map", "0:v", "-c", "copy", "-f", "framecrc", "-").decode().splitlines()
        base = Fraction(next(line for line in lines if line.startswith("#tb")).split()[-1])
        last = max(int(line.split(",")[2]) for line in lines if line.startswith("0,")) * base
        # Matroska rounds to its millisecond; mp4 to nothing.
        assert abs(last - (count - 1) / fps) <= (Fraction(1, 2000) if extension == ".mkv" else 0)
        assert probe(video).frames == count and probe(video).fps == fps
