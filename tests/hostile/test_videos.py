"""Videos, folders of frames and sounds from strangers: bounded memory, bounded waiting, one sentence."""

from __future__ import annotations

import contextlib
import json
import os
import struct
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audioreactive.correlation import score
from audioreactive.errors import AudioError, AudioReactiveError, PresetError, VideoError
from audioreactive.media import audio, ffmpeg
from audioreactive.patches.presets import LARGEST_PRESET, load_preset
from audioreactive.video import (
    VideoSettings,
    VideoWriter,
    frame_times,
    output_format,
    probe,
    read_frames,
    read_preset,
    tags,
)
from audioreactive.video.chunks import SoundTrack


def write(path: Path, **options: object) -> Path:
    frames = np.zeros((4, 16, 16, 3), np.uint8)
    with VideoWriter(
        path, VideoSettings(fps=Fraction(24), size=(16, 16)), frame_size=(16, 16), sound=None, **options
    ) as file:
        file.write(frames)
    return path


# Folders of frames.

INFOS = {
    "nested": b'{"size": ' + b"[" * 30_000,
    "a rate of 10^9 digits": b'{"size": [16, 16], "fps": "1e1000000000", "frames": 4}',
    "a rate of nothing": b'{"size": [16, 16], "fps": "0", "frames": 4}',
    "a rate over nothing": b'{"size": [16, 16], "fps": "1/0", "frames": 4}',
    "a negative rate": b'{"size": [16, 16], "fps": "-24", "frames": 4}',
    "a rate beyond all": b'{"size": [16, 16], "fps": "999999999", "frames": 4}',
    "infinite sides": b'{"size": [Infinity, 16], "fps": "24", "frames": 4}',
    "sides of a terabyte": b'{"size": [1000000, 1000000], "fps": "24", "frames": 4}',
    "negative sides": b'{"size": [-16, 16], "fps": "24", "frames": 4}',
    "three sides": b'{"size": [16, 16, 16], "fps": "24", "frames": 4}',
    "frames without end": b'{"size": [16, 16], "fps": "24", "frames": 1e300}',
    "frames that are not there": b'{"size": [16, 16], "fps": "24", "frames": 5}',
    "frames of 4000 digits": b'{"size": [16, 16], "fps": "24", "frames": 1' + b"0" * 4000 + b"}",
    "sides of 4000 digits": b'{"size": [16, 1' + b"0" * 4000 + b'], "fps": "24", "frames": 4}',
    "no frames": b'{"size": [16, 16], "fps": "24", "frames": 0}',
    "no table": b"[1]",
    "digits": b'{"size": [16, 16], "fps": "24", "frames": ' + b"9" * 5000 + b"}",
    "no text": b"\xff\xfe\0",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("frames") / "frames")


@pytest.mark.parametrize("name", INFOS)
def test_a_folder_that_lies_is_refused(name: str, folder: Path) -> None:
    (folder / "video.json").write_bytes(INFOS[name])
    for reader in (probe, frame_times, lambda path: next(read_frames(path))):
        with pytest.raises(VideoError) as caught:
            reader(folder)
        assert len(str(caught.value)) < 300


def test_what_is_no_file_in_a_folder_is_not_waited_for(tmp_path: Path) -> None:
    home = write(tmp_path / "frames")
    assert json.loads((home / "video.json").read_text())["frames"] == probe(home).frames == 4
    (home / "frame_000002.png").unlink()
    os.mkfifo(home / "frame_000002.png")
    with pytest.raises(VideoError, match="should hold 4 frames, and there are 3"):
        probe(home)
    os.mkfifo(home / "preset.toml")
    with pytest.raises(VideoError, match="is not a file"):
        read_preset(home)
    (home / "video.json").unlink()
    (home / "video.json").symlink_to("/dev/zero")
    with pytest.raises(VideoError, match=r"its video\.json cannot be read"):
        probe(home)


def test_pipes_devices_and_impossible_names(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    for reader in (probe, read_preset, frame_times, lambda path: next(read_frames(path)), score):
        for path in (tmp_path / "pipe.mp4", Path("/dev/zero")):
            with pytest.raises(VideoError, match="a device or a pipe"):
                reader(path)
        with pytest.raises(VideoError, match="File name too long"):
            reader(Path("x" * 5000))


# Videos.


def claiming(source: bytes, box: bytes, offset: int, value: bytes) -> bytes:
    place = source.index(box) + offset
    return source[:place] + value + source[place + len(value) :]


def test_a_video_of_years_is_refused(tmp_path: Path) -> None:
    """Its four pictures last 2^30 units of time each: a list of all the seconds between them would fill the memory."""
    video = write(tmp_path / "a.mp4").read_bytes()
    place = video.index(b"stts") + 8
    (count,) = struct.unpack(">I", video[place : place + 4])
    assert count == 1
    long = video[: place + 8] + struct.pack(">I", 1 << 30) + video[place + 12 :]
    (tmp_path / "long.mp4").write_bytes(long)
    with pytest.raises(AudioReactiveError, match="claims"):
        score(tmp_path / "long.mp4")


def test_a_preset_in_a_video_is_bounded_like_any_other(tmp_path: Path) -> None:
    video = write(tmp_path / "a.mp4", preset="#" * (LARGEST_PRESET + 1))
    with pytest.raises(PresetError, match="a preset has at most"):
        load_preset(str(video))


@pytest.mark.parametrize(
    "metadata",
    [
        b";FFMETADATA1\ncomment=" + b"\\\n" * 500_000,
        b"comment=# audioreactive preset\\\n" * 50_000,
        b"comment" * 300_000,
        b"\xff" * 500_000,
        b"comment=" + b"\\" * 500_001,
    ],
)
def test_metadata_without_end_is_read(metadata: bytes) -> None:
    """A pattern that went back in such a text would look for hours."""
    found = tags.preset_in(metadata)
    assert found is None or (metadata.startswith(b"comment=#") and len(found) < len(metadata))


# The process that reads.


def program(folder: Path, script: str) -> Path:
    path = folder / "ffmpeg"
    path.write_text(f"#!{sys.executable}\n{script}")
    path.chmod(0o755)
    return path


BOUNDED = """import resource, time
for _ in range(6000):
    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        break
    time.sleep(0.01)
"""
"""Waits until the process that started it has bounded its memory, however busy the machine is."""


def test_a_decoder_that_stalls_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = program(tmp_path, "import time, sys\nsys.stdout.write('half')\nsys.stdout.flush()\ntime.sleep(600)\n")
    monkeypatch.setattr(ffmpeg, "ffmpeg_path", lambda: script)
    monkeypatch.setattr(ffmpeg, "PATIENCE", 0.6)
    (tmp_path / "a.mp4").write_bytes(b"x")
    with pytest.raises(VideoError, match="made nothing of it for 1 seconds"):
        read_preset(tmp_path / "a.mp4")
    with pytest.raises(AudioError, match="made nothing of it for 1 seconds"):
        audio.load(tmp_path / "a.mp4")


def test_a_program_that_was_stopped_meanwhile_has_not_waited(tmp_path: Path) -> None:
    """With Ctrl-Z, for an hour between any two looks at the clock; in a process of its own, as clocks are shared."""
    script = program(tmp_path, "import time\ntime.sleep(0.3)\nprint('done')\n")
    code = f"""
import time
from audioreactive.media import ffmpeg
hours = iter(range(0, 10**9, 3600))
ffmpeg.ffmpeg_path = lambda: {str(script)!r}
ffmpeg._GLANCE_AT_READING = 0.02
time.monotonic = lambda: next(hours)
assert ffmpeg.run(["-version"]) == "done\\n"
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_reader_that_takes_its_time_is_not_a_decoder_that_stalls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ffmpeg, "_GLANCE_AT_READING", 0.02)
    frames = read_frames(write(tmp_path / "a.mkv"))
    next(frames)
    with monkeypatch.context() as impatient:  # only while the reader is away: a busy machine may start ffmpeg late
        impatient.setattr(ffmpeg, "PATIENCE", 0.5)
        time.sleep(1.5)
    assert len(list(frames)) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds another process")
def test_a_decoder_has_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = program(tmp_path, BOUNDED + "x = bytearray(1 << 31)\nprint('owned')\n")
    monkeypatch.setattr(ffmpeg, "ffmpeg_path", lambda: script)
    monkeypatch.setattr(ffmpeg, "MOST_MEMORY", 1 << 30)
    with pytest.raises(VideoError, match="GB of memory that a decoder may have"):
        ffmpeg.run(["-version"])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds another process")
@pytest.mark.parametrize("reader", ["beside the pictures", "alone"])
def test_what_codes_a_strangers_sound_has_bounded_memory(
    tmp_path: Path, reader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, kind = VideoSettings(fps=Fraction(24), size=(16, 16)), output_format(Path("out.mkv"))
    kind.check(look)  # asks the true ffmpeg, once
    script = program(tmp_path, BOUNDED + "x = bytearray(1 << 31)\n")
    monkeypatch.setattr(ffmpeg, "ffmpeg_path", lambda: script)
    monkeypatch.setattr(ffmpeg, "MOST_MEMORY", 1 << 30)
    soundfile.write(song := tmp_path / "song.wav", np.zeros(100), 44_100)
    with contextlib.ExitStack() as stack:
        stack.enter_context(pytest.raises(VideoError, match="GB of memory that a decoder may have"))
        if reader == "alone":
            sound = SoundTrack(kind, song, Fraction(0), Fraction(1), tmp_path)
            stack.callback(sound.abandon)
            sound.finish()
        else:
            path = tmp_path / "out.mkv"
            writer = stack.enter_context(VideoWriter(path, look, frame_size=(16, 16), sound=song))
            writer.write(np.zeros((4, 16, 16, 3), np.uint8))


def test_listings_end_somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = program(tmp_path, "while True: print('0, 1, 1, 1, 1, 0x0')\n")
    monkeypatch.setattr(ffmpeg, "ffmpeg_path", lambda: script)
    monkeypatch.setattr(ffmpeg, "_LONGEST_LISTING", 1 << 20)
    with pytest.raises(VideoError, match="lists more than 1048576 bytes"):
        ffmpeg.run(["-i", "x"])


def test_what_ffmpeg_says_is_made_fit_for_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = program(tmp_path, "import sys\nsys.stderr.write('[error] \\x1b[2J' + 'x' * 100000)\nsys.exit(1)\n")
    monkeypatch.setattr(ffmpeg, "ffmpeg_path", lambda: script)
    (tmp_path / "a.mp4").write_bytes(b"x")
    for reader in (read_preset, audio.load):
        with pytest.raises(AudioReactiveError) as caught:
            reader(tmp_path / "a.mp4")
        assert str(caught.value).isprintable() and len(str(caught.value)) < 700


# Sounds.


def test_a_sound_of_too_many_samples_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "a.flac", np.zeros((96_000, 8)), 96_000)
    monkeypatch.setattr(audio, "MOST_SAMPLES", 400_000)
    with pytest.raises(AudioError, match="holds more than 400000 samples over its 8 channels"):
        audio.load(tmp_path / "a.flac")
