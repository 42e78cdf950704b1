"""Frames and sound into a file, and back: exact shapes, exact colours, exact text, and nothing half-written."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from audioreactive.errors import VideoError
from audioreactive.video import (
    VideoSettings,
    VideoWriter,
    check_output,
    encoders,
    ffmpeg_path,
    ffmpeg_version,
    output_format,
    output_formats,
    probe,
    read_frames,
    read_preset,
    tags,
)
from audioreactive.video.animation import webp_milliseconds

EXTENSIONS = (".mp4", ".webm", ".mov", ".mkv", "")
"""File extensions of videos with sound; test_animation.py tests the others."""
FILM = Fraction(24000, 1001)
SAMPLE_RATE = 44100


def noise_frames(count: int = 10, size: tuple[int, int] = (48, 32)) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (count, size[1], size[0], 3), dtype=np.uint8)


def tone(path: Path, seconds: float = 1.0, channels: int = 2, sample_rate: int = SAMPLE_RATE) -> Path:
    """Each channel has a sine of its own."""
    time_axis = np.arange(round(seconds * sample_rate)) / sample_rate
    waves = [0.3 * np.sin(2 * np.pi * 220 * (k + 2) * time_axis) for k in range(channels)]
    soundfile.write(path, np.stack(waves, 1), sample_rate)
    return path


def write(path: Path, frames: np.ndarray, *, sound: Path | None = None, **options: Any) -> Path:
    size = (frames.shape[2], frames.shape[1])
    look = VideoSettings(
        fps=options.pop("fps", FILM), size=size, crf=options.pop("crf", 18), speed=options.pop("speed", "ultrafast")
    )
    with VideoWriter(path, look, frame_size=size, sound=sound, **options) as writer:
        for start in range(0, len(frames), 4):
            writer.write(frames[start : start + 4])
    return path


def decoded_sound(path: Path, channels: int, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """(N, channels) float32 as ffmpeg hears the file."""
    arguments = ["-v", "error", "-i", f"file:{path}", "-map", "0:a", "-ac", str(channels), "-ar", str(sample_rate)]
    command = [str(ffmpeg_path()), *arguments, "-f", "f32le", "-"]
    raw = subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL).stdout
    return np.frombuffer(raw, np.float32).reshape(-1, channels)


def children() -> set[int]:
    """Process numbers of our children, the dead that nobody has awaited among them."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            _, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == os.getpid():
                found.add(int(stat.parent.name))
    return found


def test_children_are_seen() -> None:
    before = children()
    with subprocess.Popen(["sleep", "60"]) as process:
        assert children() - before == {process.pid}
        process.kill()


@contextlib.contextmanager
def leaves_nothing(folder: Path) -> Iterator[None]:
    """No file, no thread and no child process is left that was not there before."""
    files, threads, processes = set(folder.iterdir()), set(threading.enumerate()), children()
    yield
    assert set(folder.iterdir()) == files
    assert set(threading.enumerate()) <= threads
    assert children() <= processes


# --- what is written can be read ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("extension", "fps"),
    [
        *((extension, FILM) for extension in EXTENSIONS),
        *((extension, Fraction(2997, 100)) for extension in EXTENSIONS),
        (".mp4", Fraction(24)),
        (".webm", Fraction(60)),
    ],
    ids=str,
)
def test_shape_and_rate_are_exact(tmp_path: Path, extension: str, fps: Fraction) -> None:
    path = write(tmp_path / f"out{extension}", noise_frames(), fps=fps, sound=tone(tmp_path / "a.wav"))
    info = probe(path)
    assert (info.width, info.height, info.frames, info.fps) == (48, 32, 10, fps)
    assert info.duration == 10 / fps
    codecs = {
        ".mp4": ("h264", "aac"), ".webm": ("vp9", "opus"), ".mov": ("prores", "pcm_s24le"),
        ".mkv": ("ffv1", "flac"), "": ("png", "pcm_s24le"),
    }  # fmt: skip
    assert (info.video_codec, info.audio_codec) == codecs[extension]


@pytest.mark.parametrize("extension", [".mkv", ""])
def test_lossless_formats_give_every_bit_back(tmp_path: Path, extension: str) -> None:
    frames = noise_frames(size=(51, 33))
    path = write(tmp_path / f"out{extension}", frames)
    np.testing.assert_array_equal(np.stack(list(read_frames(path))), frames)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (9, 1), (2, 3)])
@pytest.mark.parametrize("extension", [".mkv", ".gif", ".webp", ""])
def test_the_smallest_pictures_are_written(tmp_path: Path, extension: str, size: tuple[int, int]) -> None:
    frames = np.repeat(noise_frames(1, size), 2, axis=0)
    path = write(tmp_path / f"video{extension}", frames)
    found = list(read_frames(path))
    assert {frame.shape for frame in found} == {frames[0].shape}
    if extension in (".mkv", ""):
        assert np.array_equal(np.stack(found), frames)


@pytest.mark.parametrize("frames", [2, 7, 30])
def test_a_webp_of_equal_frames_is_shown_as_long_as_the_video(tmp_path: Path, frames: int) -> None:
    still = np.repeat(noise_frames(1), frames, axis=0)
    still[:] = still[:, :8, :8].mean(axis=(1, 2), keepdims=True)
    path = write(tmp_path / "still.webp", still, fps=Fraction(10))
    assert webp_milliseconds(path) == 100 * frames
    with Image.open(path) as picture:  # another reader
        assert picture.size == (48, 32)
        picture.load()
        assert picture.info["duration"] == 100 * frames and picture.info["loop"] == 0
        assert np.abs(np.asarray(picture.convert("RGB")).astype(int) - still[0]).max() <= 8


def bt709(rgb: tuple[float, float, float]) -> np.ndarray:
    """ITU-R BT.709-6, items 3.2 to 3.5: 8-bit Y', C_B, C_R of full-range R'G'B'."""
    red, green, blue = (value / 255 for value in rgb)
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return np.array([16 + 219 * luma, 128 + 224 * (blue - luma) / 1.8556, 128 + 224 * (red - luma) / 1.5748])


@pytest.mark.parametrize("extension", [".mp4", ".webm", ".mov"])
def test_colours_are_those_of_bt709(tmp_path: Path, extension: str) -> None:
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (128, 128, 128), (250, 120, 5)]
    frames = np.broadcast_to(np.array(colours, np.uint8)[:, None, None], (len(colours), 32, 32, 3))
    path = write(tmp_path / f"out{extension}", frames.copy(), crf=1)
    command = [str(ffmpeg_path()), "-v", "error", "-i", str(path), "-pix_fmt", "yuv444p", "-f", "rawvideo", "-"]
    raw = subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL).stdout
    planes = np.frombuffer(raw, np.uint8).reshape(len(colours), 3, -1).mean(-1)
    # Half a level of rounding in each of two conversions.
    np.testing.assert_allclose(planes, [bt709(colour) for colour in colours], rtol=0, atol=1.0)
    seen = np.stack(list(read_frames(path))).mean((1, 2))
    np.testing.assert_allclose(seen, colours, rtol=0, atol=2.0)


@pytest.mark.parametrize("extension", [".mp4", ".webm"])
def test_halved_colour_sits_on_the_left(tmp_path: Path, extension: str) -> None:
    """A chroma sample belongs to the even column, not to the middle between two (H.264, annex E, type 0)."""

    def wave(column: np.ndarray) -> np.ndarray:
        return 128 + 100 * np.sin(column / 7)

    row = np.stack([wave(np.arange(256)), np.full(256, 128.0), 256 - wave(np.arange(256))], -1)
    frames = np.broadcast_to(row.round().astype(np.uint8), (1, 64, 256, 3))
    path = write(tmp_path / f"out{extension}", frames.copy(), crf=1, speed="medium")
    command = [str(ffmpeg_path()), "-v", "error", "-i", str(path), "-f", "rawvideo", "-"]
    raw = subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL).stdout
    blue = np.frombuffer(raw, np.uint8)[256 * 64 : 256 * 64 * 5 // 4].reshape(32, 128).mean(0)[4:-4]
    distance = []
    for offset in (0.0, 0.5):
        red = wave(np.arange(8, 248, 2) + offset)
        ideal = [bt709((r, 128, 256 - r))[1] for r in red]
        distance.append(np.abs(blue - ideal).mean())
    assert distance[0] < 0.5 < 2 < distance[1]


def test_mp4_is_what_players_expect(tmp_path: Path) -> None:
    path = write(tmp_path / "out.mp4", noise_frames(), sound=tone(tmp_path / "a.wav"), speed="medium")
    command = [str(ffmpeg_path()), "-hide_banner", "-i", str(path), "-f", "null", "-"]
    said = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL).stderr
    assert "h264 (High)" in said and "yuv420p(tv, bt709" in said and "aac (LC)" in said
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat"), "faststart puts the index before the data"


def test_filters_stand_between_frame_and_picture(tmp_path: Path) -> None:
    look = VideoSettings(fps=FILM, size=(64, 20), filters="scale=64:40:flags=neighbor,crop=64:20:0:0")
    frames = np.zeros((3, 20, 32, 3), np.uint8)
    frames[:, :10] = 200
    with VideoWriter(tmp_path / "out.mkv", look, frame_size=(32, 20), sound=None) as writer:
        writer.write(frames)
    info = probe(tmp_path / "out.mkv")
    assert (info.width, info.height, info.audio_codec) == (64, 20, None)
    assert all((frame == 200).all() for frame in read_frames(tmp_path / "out.mkv"))


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_two_runs_give_the_same_bytes(tmp_path: Path, extension: str) -> None:
    def everything(path: Path) -> list[bytes]:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        return [file.read_bytes() for file in files]

    sound, frames = tone(tmp_path / "a.wav"), noise_frames(16)
    runs = [write(tmp_path / f"{run}{extension}", frames, sound=sound, preset="a = 1") for run in "ab"]
    assert everything(runs[0]) == everything(runs[1])


def test_a_folder_holds_frames_sound_preset_and_rate(tmp_path: Path) -> None:
    path = write(tmp_path / "frames", noise_frames(3), sound=tone(tmp_path / "a.wav"), preset="a = 1\n")
    names = sorted(item.name for item in path.iterdir())
    assert names == [*(f"frame_{i:06d}.png" for i in range(3)), "preset.toml", "sound.wav", "video.json"]
    assert (path / "preset.toml").read_bytes() == b"a = 1\n"


# --- sound ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", range(1, 9))
def test_one_or_two_channels_stay_and_more_become_two(tmp_path: Path, channels: int) -> None:
    sound = tone(tmp_path / "a.wav", channels=channels)
    path = write(tmp_path / "out.mkv", noise_frames(20), sound=sound, duration=20 / FILM)
    command = [str(ffmpeg_path()), "-hide_banner", "-i", str(path), "-f", "null", "-"]
    said = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL).stderr
    assert ("44100 Hz, mono" if channels == 1 else "44100 Hz, stereo") in said
    heard = decoded_sound(path, min(channels, 2))
    if channels <= 2:
        # 16-bit in, lossless out.
        original = soundfile.read(sound, dtype="float32", always_2d=True)[0]
        np.testing.assert_allclose(heard, original[: len(heard)], rtol=0, atol=2**-15)
    else:
        spectrum = np.abs(np.fft.rfft(heard[: SAMPLE_RATE // 2].sum(1)))
        for front in (440, 660):
            assert spectrum[front // 2] > 50 * np.median(spectrum)
        assert np.abs(heard).max() < 1


@pytest.mark.parametrize("extension", [".mp4", ".mkv", ".mov", ".webm"])
def test_sound_is_as_long_as_asked(tmp_path: Path, extension: str) -> None:
    sound = tone(tmp_path / "a.wav", seconds=0.5)
    path = write(tmp_path / f"out{extension}", noise_frames(24), fps=Fraction(24), sound=sound, duration=Fraction(1))
    heard = decoded_sound(path, 2)
    # Opus counts in packets of 20 ms, and decoders before ffmpeg 8 leave AAC's last packet of 1024 samples whole.
    slack = {".webm": 0.02 * SAMPLE_RATE, ".mp4": 1024}.get(extension, 0)
    assert abs(len(heard) - SAMPLE_RATE) <= slack + 2
    # 20 ms after the end of the file the coder's window has died away.
    assert np.abs(heard[: SAMPLE_RATE // 2]).max() > 0.2 and np.abs(heard[int(0.53 * SAMPLE_RATE) :]).max() < 3e-3


def test_high_sample_rates_are_taken(tmp_path: Path) -> None:
    sound = tone(tmp_path / "a.wav", sample_rate=192000)
    assert probe(write(tmp_path / "out.mp4", noise_frames(), sound=sound)).sample_rate in (48000, 96000)
    assert probe(write(tmp_path / "out.mkv", noise_frames(), sound=sound)).sample_rate == 192000


@pytest.mark.parametrize("name", ["nothing.wav", "text.mp3", "playlist.mp3", "video_only.mkv"])
def test_what_is_no_sound_is_refused(tmp_path: Path, name: str) -> None:
    tone(tmp_path / "secret.wav")
    (tmp_path / "text.mp3").write_text("no sound at all, only words")
    # ffmpeg would follow this one, were its demuxers not named.
    (tmp_path / "playlist.mp3").write_text("ffconcat version 1.0\nfile secret.wav\n")
    write(tmp_path / "video_only.mkv", noise_frames())
    with (
        leaves_nothing(tmp_path),
        pytest.raises(VideoError, match=r"holds no sound|there is no file"),
    ):
        write(tmp_path / "out.mkv", noise_frames(), sound=tmp_path / name)


# --- the preset inside ---------------------------------------------------------------------------------------------

AWKWARD = [
    "", " ", "\n", "\r", " \r\n a\r", "a\\", "\\\n\\\\", "=;#\\", "[STREAM]\ncomment=b\n;c\n", "\ufeffbom",
    'name = "é日本🎉"\u2028\u2029\u0085\x0b\x0c\x1c\x7f\x01\x1b', "\uffff\ufffe\U0010ffff", "\n" * 5000,
    "x" * (1 << 20),
]  # fmt: skip


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_preset_comes_back_to_the_character(tmp_path: Path, extension: str) -> None:
    for number, text in enumerate(AWKWARD):
        path = write(tmp_path / f"{number}{extension}", noise_frames(1, (16, 16)), preset=text)
        assert read_preset(path) == text


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60))
@settings(max_examples=examples(10, 40), deadline=None)
def test_ffmpeg_reads_the_metadata_file_as_written(text: str) -> None:
    command = [str(ffmpeg_path()), "-v", "error", "-f", "ffmetadata", "-i", "pipe:0", "-f", "ffmetadata", "-"]
    written = tags.metadata_file(title="a = song; #1\\", preset=text)
    back = subprocess.run(command, input=written, capture_output=True, check=True).stdout
    assert tags.preset_in(back) == text
    assert rb"title=a \= song\; \#1" in back


def test_a_video_without_a_preset_has_none(tmp_path: Path) -> None:
    for extension in (".mp4", ""):
        assert read_preset(write(tmp_path / f"out{extension}", noise_frames(1))) is None
    assert tags.preset_in(b";FFMETADATA1\ncomment=Downloaded from somewhere\n") is None


@pytest.mark.parametrize(("text", "words"), [("\0", "NUL"), ("\ud800", "surrogate"), ("x" * (1 << 20) + "x", "bytes")])
def test_impossible_presets_are_refused(tmp_path: Path, text: str, words: str) -> None:
    with leaves_nothing(tmp_path), pytest.raises(VideoError, match=words):
        write(tmp_path / "out.mp4", noise_frames(1), preset=text)


def test_what_is_no_video_is_not_read(tmp_path: Path) -> None:
    write(tmp_path / "b.mp4", noise_frames(1), preset="secret = 1")
    (tmp_path / "a.mp4").write_text("ffconcat version 1.0\nfile b.mp4\n")
    (tmp_path / "folder").mkdir()
    for reader in (probe, read_preset, lambda path: next(read_frames(path))):
        for name in ("missing.mp4", "a.mp4"):
            with pytest.raises(VideoError):
                reader(tmp_path / name)
    with pytest.raises(VideoError, match=r"video\.json"):
        probe(tmp_path / "folder")


def test_frames_can_be_left_half_read(tmp_path: Path) -> None:
    path = write(tmp_path / "out.mkv", noise_frames(200))
    with leaves_nothing(tmp_path):
        frames = read_frames(path)
        next(frames)
        frames.close()  # type: ignore[attr-defined]


# --- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["two words", 'it\'s "quoted"', "line\nend", "-leading", "%d %05d", "http:x", "ünï 🎉", "$(touch x)", "a" * 240],
)
@pytest.mark.parametrize("extension", [".mkv", ""])
def test_any_name_is_just_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, extension: str) -> None:
    monkeypatch.chdir(tmp_path)
    sound = tone(Path(f"{name}.wav"))
    path = write(Path(f"{name}{extension}"), noise_frames(2), sound=sound, preset="a = 1")
    assert probe(path).frames == 2 and read_preset(path) == "a = 1"
    assert {item.name for item in tmp_path.iterdir()} == {sound.name, path.name}


@pytest.mark.parametrize("name", ["out.avi", "out.apng", "out.mp3"])
def test_unknown_extensions_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(VideoError, match=r"\.mp4, \.webm"):
        check_output(tmp_path / name, overwrite=False)


def test_the_folder_must_be_there_and_writable(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="does not exist"):
        check_output(tmp_path / "missing" / "out.mp4", overwrite=False)
    with pytest.raises(VideoError, match="not writable"):
        check_output(Path("/proc/out.mp4"), overwrite=False)


@pytest.mark.parametrize("extension", [".mp4", ""])
def test_a_taken_name_is_refused_or_replaced(tmp_path: Path, extension: str) -> None:
    path = write(tmp_path / f"out{extension}", noise_frames(2))
    with pytest.raises(VideoError, match="--overwrite"):
        write(path, noise_frames(3))
    assert probe(path).frames == 2
    write(path, noise_frames(3), overwrite=True)
    assert probe(path).frames == 3 and list(tmp_path.iterdir()) == [path]


def test_a_folder_of_other_things_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "thesis.txt").write_text("years of work")
    with pytest.raises(VideoError, match="other things"):
        write(tmp_path / "documents", noise_frames(1), overwrite=True)
    assert (tmp_path / "documents" / "thesis.txt").read_text() == "years of work"


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    assert probe(write(tmp_path / "frames", noise_frames(2))).frames == 2


def test_a_name_taken_meanwhile_costs_no_video(tmp_path: Path) -> None:
    path, frames = tmp_path / "out.mkv", noise_frames(2)
    look = VideoSettings(fps=FILM, size=(48, 32))
    with (
        pytest.raises(VideoError, match="the finished video is"),
        VideoWriter(path, look, frame_size=(48, 32), sound=None) as writer,
    ):
        writer.write(frames)
        path.write_text("mine")
    assert path.read_text() == "mine"
    (kept,) = set(tmp_path.iterdir()) - {path}
    assert probe(kept).frames == 2


# --- settings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fps": Fraction(0)}, "frames a second"), ({"fps": Fraction(-24)}, "frames a second"),
        ({"size": (0, 10)}, "0x10"), ({"size": (20000, 10)}, "20000x10"), ({"crf": 0}, "crf 0"),
        ({"crf": 52}, "crf 52"), ({"speed": "warp"}, "'warp'"),
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(VideoError, match=words):
        VideoSettings(**{"fps": FILM, "size": (64, 64), **change})


def test_odd_sides_are_refused_where_colour_is_halved(tmp_path: Path) -> None:
    for extension, size in ((".mp4", (64, 33)), (".webm", (63, 32)), (".mov", (63, 32))):
        with pytest.raises(VideoError, match="even"):
            write(tmp_path / f"out{extension}", noise_frames(1, size))
    assert probe(write(tmp_path / "out.mov", noise_frames(1, (64, 33)))).height == 33


def test_frames_of_another_shape_are_our_own_mistake(tmp_path: Path) -> None:
    look = VideoSettings(fps=FILM, size=(48, 32))
    with leaves_nothing(tmp_path):
        for wrong in (np.zeros((1, 48, 32, 3), np.uint8), np.zeros((1, 32, 48, 3), np.float32)):
            with (
                pytest.raises(ValueError, match=r"\(B, 32, 48, 3\)"),
                VideoWriter(tmp_path / "out.mkv", look, frame_size=(48, 32), sound=None) as writer,
            ):
                writer.write(wrong)
        with pytest.raises(VideoError, match="no frames"):
            write(tmp_path / "out.mkv", noise_frames(0))
        with pytest.raises(VideoError, match="without a filter"):
            VideoWriter(tmp_path / "out.mkv", look, frame_size=(32, 48), sound=None)


def test_the_doctor_can_ask() -> None:
    assert ffmpeg_path().is_file() and ffmpeg_version()
    assert {"libx264", "aac"} <= encoders()
    assert [row.extension for row in output_formats()] == [*EXTENSIONS[:-1], ".gif", ".webp", ""]
    assert all(row.available for row in output_formats())
    assert output_format(Path("A.MP4")).video_encoder == "libx264"


# --- when it goes wrong --------------------------------------------------------------------------------------------


def forever(writer: VideoWriter) -> None:
    frames = noise_frames(4, (256, 256))
    deadline = time.monotonic() + 300  # only so that a failure ends
    while time.monotonic() < deadline:
        writer.write(frames)
    pytest.fail("the writer did not notice")


def big(path: Path, **options: Any) -> VideoWriter:
    look = VideoSettings(fps=FILM, size=(256, 256), speed="ultrafast")
    return VideoWriter(path, look, frame_size=(256, 256), sound=None, **options)


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_exception_leaves_nothing(tmp_path: Path, extension: str, error: type[BaseException]) -> None:
    with leaves_nothing(tmp_path), pytest.raises(error), big(tmp_path / f"out{extension}") as writer:
        for _ in range(6):
            writer.write(noise_frames(4, (256, 256)))
        raise error


def test_a_dead_encoder_is_noticed_with_its_last_words(tmp_path: Path) -> None:
    with (
        leaves_nothing(tmp_path),
        pytest.raises(VideoError, match=r"\(killed by SIGKILL\): [^\n]+$"),
        big(tmp_path / "out.mkv") as writer,
    ):
        writer.write(noise_frames(4, (256, 256)))
        assert writer._encoder is not None
        writer._encoder.process.kill()
        forever(writer)


def test_an_encoder_that_dies_at_the_very_end_is_noticed(tmp_path: Path) -> None:
    with (
        leaves_nothing(tmp_path),
        pytest.raises(VideoError, match="killed by SIGKILL"),
        big(tmp_path / "out.mkv") as writer,
    ):
        writer.write(noise_frames(4, (256, 256)))
        assert writer._encoder is not None
        writer._encoder.process.kill()


def test_a_hanging_encoder_can_be_interrupted(tmp_path: Path) -> None:
    with leaves_nothing(tmp_path), pytest.raises(KeyboardInterrupt), big(tmp_path / "out.mkv") as writer:
        assert writer._encoder is not None
        assert os.getpgid(writer._encoder.process.pid) != os.getpgrp(), "the terminal's Ctrl-C is for us alone"
        os.kill(writer._encoder.process.pid, signal.SIGSTOP)
        main = threading.main_thread().ident
        assert main is not None
        interrupt = threading.Timer(0.3, signal.pthread_kill, (main, signal.SIGINT))
        interrupt.start()
        try:
            forever(writer)
        finally:
            interrupt.cancel()


@pytest.mark.parametrize("system", ["tells of ends", "is asked for ends"])
def test_a_hanging_end_can_be_interrupted(tmp_path: Path, system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if system == "is asked for ends":
        monkeypatch.setattr("audioreactive.media.ffmpeg.sys.platform", "darwin")
    with leaves_nothing(tmp_path), pytest.raises(KeyboardInterrupt), big(tmp_path / "out.mkv") as writer:
        writer.write(noise_frames(1, (256, 256)))
        assert writer._encoder is not None
        os.kill(writer._encoder.process.pid, signal.SIGSTOP)
        writer._encoder.close()
        threading.Timer(0.3, signal.raise_signal, (signal.SIGINT,)).start()
        writer._encoder.finish()


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_full_disk_is_told(tiny_disk: Path, extension: str) -> None:
    with (
        leaves_nothing(tiny_disk),
        pytest.raises(VideoError, match=r"is full \(\d+ MB free\); make room, or choose another with -o$"),
        big(tiny_disk / f"out{extension}") as writer,
    ):
        forever(writer)


# 1 MiB of preset: too large for the first file that is written, and for the index that comes last.
@pytest.mark.parametrize("tiny_disk", [200, 1500], indirect=True)
def test_a_disk_that_fills_at_either_end_is_told(tiny_disk: Path) -> None:
    with leaves_nothing(tiny_disk), pytest.raises(VideoError, match="is full"):
        write(tiny_disk / "out.mp4", noise_frames(1), preset="x" * (1 << 20))


def test_a_chatty_encoder_does_not_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # More words than a pipe holds (64 KiB), while frames are written.
    monkeypatch.setattr("audioreactive.video.writer.QUIET", ("-hide_banner", "-nostdin", "-loglevel", "trace"))
    with big(tmp_path / "out.mkv") as writer:
        for _ in range(10):
            writer.write(noise_frames(4, (256, 256)))
    assert probe(tmp_path / "out.mkv").frames == 40


def test_the_queue_is_bounded(tmp_path: Path) -> None:
    with contextlib.suppress(RuntimeError), big(tmp_path / "out.mkv", queue_batches=2) as writer:
        assert writer._encoder is not None
        os.kill(writer._encoder.process.pid, signal.SIGSTOP)
        done: list[int] = []

        def push() -> None:
            with contextlib.suppress(VideoError):
                for number in range(20):
                    writer.write(noise_frames(4, (256, 256)))
                    done.append(number)

        pusher = threading.Thread(target=push)
        pusher.start()
        while writer._encoder.waiting < 2 and pusher.is_alive():
            time.sleep(0.01)
        pusher.join(timeout=0.5)  # time enough to hand over more, were there room
        # Two in the queue, one or two on their way through the pipe.
        assert len(done) <= 5 and pusher.is_alive()
        writer._encoder.process.kill()
        pusher.join()
        raise RuntimeError
