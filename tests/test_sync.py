"""The frame that shows a click is the frame in which a decoder of the finished video hears it."""

import struct
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audioreactive.video import VideoSettings, VideoWriter, ffmpeg_path, probe

SAMPLE_RATE = 44100
NTSC = Fraction(30000, 1001)
CLICKS = (0.5, 1.25, 37.8, 38.55, 40.0)
SONG_SECONDS = 42
LOSSY = {".mp3": ["-c:a", "libmp3lame", "-b:a", "192k"], ".m4a": ["-c:a", "aac"], ".ogg": ["-c:a", "libvorbis"]}
SOURCES = (".wav", ".flac", *LOSSY)


def ffmpeg(*arguments: object) -> bytes:
    command = [str(ffmpeg_path()), "-v", "error", "-y", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL).stdout


def burst(sample_rate: int) -> np.ndarray:
    """(n,): 3 kHz for 9 ms, loudest at its very first sample."""
    time = np.arange(round(400 / SAMPLE_RATE * sample_rate)) / sample_rate
    return 0.8 * np.exp(-time * SAMPLE_RATE / 60) * np.cos(2 * np.pi * 3000 * time)


def click_track(times: tuple[float, ...], seconds: float) -> np.ndarray:
    """(N,) float32: a burst at each time."""
    track, click = np.zeros(round(seconds * SAMPLE_RATE), np.float32), burst(SAMPLE_RATE)
    for time in times:
        first = round(time * SAMPLE_RATE)
        track[first : first + len(click)] = click
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
    decoded = video.with_suffix(".f32")
    stamps = ffmpeg(
        "-copyts", "-i", video, "-map", "0:v", "-map", "0:a", "-c:v", "rawvideo", "-c:a", "pcm_f32le",
        "-enc_time_base", "demux", "-f", "framecrc", "-",
        "-map", "0:a", "-ac", 1, "-ar", SAMPLE_RATE, "-f", "f32le", decoded,
    ).decode().splitlines()  # fmt: skip
    sound = np.fromfile(decoded, np.float32)
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
    raw = ffmpeg("-i", video, "-map", "0:v", "-fps_mode", "passthrough", "-pix_fmt", "gray", "-f", "rawvideo", "-")
    return np.flatnonzero(np.frombuffer(raw, np.uint8).reshape(-1, 32 * 32).mean(1) > 128).tolist()


CONTAINERS = (".mp4", ".webm", ".mov", ".mkv")
WAYS = [
    (source, CONTAINERS[(number + shift) % 4], start)
    for number, source in enumerate(SOURCES)
    for shift, start in ((0, Fraction(0)), (2, Fraction(373, 10)))
]
"""Every source and every container from both starts; a part of a song is coded anew, whatever both are."""


@pytest.mark.parametrize(("source", "extension", "start"), WAYS, ids=str)
def test_sound_stays_in_its_place(
    tmp_path: Path, songs: dict[str, Path], source: str, extension: str, start: Fraction
) -> None:
    """Encoder delays are undone, and a start is kept to the sample."""
    video = tmp_path / f"out{extension}"
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


MINUTES, QUARTER, TWENTY = 300, 900, 1200


@pytest.mark.parametrize(
    ("fps", "source", "seconds"),
    [(24, ".wav", MINUTES), (NTSC, ".wav", TWENTY), (60, ".wav", MINUTES), (NTSC, ".mp3", QUARTER)],
    ids=str,
)
def test_a_click_is_seen_in_the_frame_in_which_it_is_heard(
    tmp_path: Path, source: str, fps: Fraction | int, seconds: int
) -> None:
    """In the last minute of a long song; benchmarks/sync.py has every rate with every kind of file."""
    song, video = tmp_path / f"long{source}", tmp_path / "out.mp4"
    (write_wav if source == ".wav" else write_mp3)(song, seconds)
    expected = render(video, song, Fraction(fps), Fraction(seconds - 60), Fraction(30), last_clicks(seconds))
    assert len(expected) == 2
    heard = heard_at(video, expected)
    np.testing.assert_allclose(heard, expected, rtol=0, atol=1e-3)
    assert shown_in(video) == [int(time * fps) for time in heard]


def last_clicks(seconds: int) -> tuple[float, ...]:
    """None nearer than 2 ms to the edge of a frame at any of the rates: what is tested is the way, not the rounding."""
    return (seconds - 54.655, seconds - 30.893)


WAV_RATE = SAMPLE_RATE // 4
"""A long song in as few samples as carry the bursts."""
LONG_RATE = SAMPLE_RATE // 2
PACKET = 576
"""Samples in a packet of mp3 at this rate. It lasts as long as at twice the rate: no whole number of milliseconds."""
SILENT_PACKETS = 26_796
"""700 seconds."""


def write_wav(path: Path, seconds: int) -> None:
    """A wav, of which silence takes no room on the disk."""
    size = 2 * seconds * WAV_RATE
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, WAV_RATE, 2 * WAV_RATE, 2, 16)
    header = struct.pack("<4sI4s", b"RIFF", 36 + size, b"WAVE") + form + struct.pack("<4sI", b"data", size)
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + size)
        for time in last_clicks(seconds):
            file.seek(len(header) + 2 * round(time * WAV_RATE))
            file.write((burst(WAV_RATE) * 32767).astype("<i2").tobytes())


def write_mp3(path: Path, seconds: int) -> None:
    """Its beginning and its end are coded; of the silence between them, two packets stand for all."""
    silent = SILENT_PACKETS * PACKET
    track, click = np.zeros(seconds * LONG_RATE - silent, np.float32), burst(LONG_RATE)
    for time in last_clicks(seconds):
        first = round(time * LONG_RATE) - silent
        track[first : first + len(click)] = click
    soundfile.write(short := path.with_name("short.wav"), track, LONG_RATE)
    ffmpeg("-i", short, "-c:a", "libmp3lame", "-b:a", "32k", "-reservoir", 0, path)  # packets that stand for themselves
    coded = path.read_bytes()
    place, packets = coded.index(b"\xff\xf3"), []
    while place < len(coded):  # ISO/IEC 13818-3, layer III
        kilobits, padded = 8 * (coded[place + 2] >> 4), coded[place + 2] >> 1 & 1
        packets.append(coded[place : place + PACKET * kilobits * 1000 // 8 // LONG_RATE + padded])
        place += len(packets[-1])
    middle = len(packets) // 2
    packets[middle:middle] = packets[middle - 2 : middle] * (SILENT_PACKETS // 2)
    head = bytearray(packets[0])
    counted = head.index(b"Info") + 8
    head[counted : counted + 8] = struct.pack(">2I", len(packets) - 1, sum(map(len, packets)))
    path.write_bytes(head + b"".join(packets[1:]))


def test_rates_do_not_drift(tmp_path: Path) -> None:
    """The last of 6000 frames has its exact time stamp, to the container's clock."""
    for extension in (".mp4", ".mkv"):
        fps, count = NTSC, 6000
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
