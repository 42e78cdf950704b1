"""Recordings that were never finished: their headers state no length, and all that follows is heard, with a note."""

from __future__ import annotations

import hashlib
import struct
import tracemalloc
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile
from sounds import music

from audioreactive.errors import AudioError
from audioreactive.media.audio import load
from audioreactive.media.ffmpeg import run
from audioreactive.media.heads import LONGEST_HEAD, mended_head, unfinished

if TYPE_CHECKING:
    from pathlib import Path

RATE = 24_576
COUNT = 12_000
BIG = {"aiff", "aifc", "au", "caf"}
KINDS = {
    "aiff": ("AIFF", "PCM_16"),
    "aiff24": ("AIFF", "PCM_24"),
    "aifc": ("AIFF", "FLOAT"),
    "aifc_ulaw": ("AIFF", "ULAW"),
    "w64": ("W64", "PCM_16"),
    "w64_float": ("W64", "FLOAT"),
    "au": ("AU", "PCM_16"),
    "au_ulaw": ("AU", "ULAW"),
    "caf": ("CAF", "PCM_16"),
    "caf_float": ("CAF", "FLOAT"),
    "rf64": ("RF64", "PCM_16"),
    "bw64": ("RF64", "PCM_24"),
    "wav": ("WAV", "PCM_16"),
}
"""Name -> libsndfile's format and coding."""
SIZES = ("zero", "empty", "unknown", "signed")
"""What stands in the header: 0, the length of a file without samples, the largest number, the largest signed one."""
LEGAL = {("au", "unknown"), ("au_ulaw", "unknown"), ("caf", "unknown"), ("caf_float", "unknown"),
         ("wav", "unknown"), ("wav", "signed")}  # fmt: skip
"""Headers whose unknown length means "to the end of the file" in their format, so that nothing is to be mended."""


def written(kind: str, folder: Path) -> bytes:
    """A whole file of half a second, in two channels."""
    draw = np.random.default_rng(0)
    tones = np.sin(np.arange(COUNT)[:, None] * np.array([0.07, 0.11])) * 0.3 + draw.normal(0, 0.02, (COUNT, 2))
    form, coding = KINDS[kind]
    soundfile.write(folder / "whole", tones, RATE, coding, format=form)
    content = (folder / "whole").read_bytes()
    return b"BW64" + content[4:] if kind == "bw64" else content


@pytest.mark.parametrize("share", [0.3, 0.45, 0.7])
def test_a_file_of_few_bytes_a_frame_that_is_cut_off_states_its_length(share: float, tmp_path: Path) -> None:
    """It has fewer bytes than frames, and was said not to tell its length."""
    content = written("aifc_ulaw", tmp_path)
    (path := tmp_path / "a.aifc").write_bytes(content[: (count := int(share * len(content)))])
    assert load(path).notes == (f"a.aifc is cut off: {count} of {len(content)} bytes are there, and are used",)


def filled(content: bytes, places: list[tuple[int, int, int]], size: str, order: str) -> bytes:
    """Write a size into the (first byte, width, value of an empty file) of a header."""
    result = bytearray(content)
    for at, width, empty in places:
        full = (1 << 8 * width) - 1
        number = {"zero": 0, "empty": empty, "unknown": full, "signed": full >> 1}[size]
        result[at : at + width] = number.to_bytes(width, "big" if order == "big" else "little")
    return bytes(result)


def never_finished(kind: str, size: str, content: bytes) -> bytes:
    """The same file with a header whose lengths were never filled in."""
    name = kind.split("_")[0]
    if name in ("aiff", "aiff24", "aifc"):
        sound = content.index(b"SSND")
        places = [(4, 4, sound + 8), (sound + 4, 4, 8), (content.index(b"COMM") + 10, 4, 0)]
        return filled(content, places, size, "big")
    if name == "au":
        return filled(content, [(8, 4, 0)], size, "big")
    if name == "caf":
        return filled(content, [(content.index(b"data") + 4, 8, 4)], size, "big")
    if name == "w64":
        sound = content.index(b"data\xf3\xac") + 16
        return filled(content, [(16, 8, sound + 8), (sound, 8, 24)], size, "little")
    sound = content.index(b"data")
    if name == "wav":
        return filled(content, [(4, 4, sound), (sound + 4, 4, 0)], size, "little")
    long = content.index(b"ds64") + 8
    return filled(content, [(long, 8, sound), (long + 8, 8, 0), (long + 16, 8, 0)], size, "little")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_all_samples_behind_an_unfinished_header_are_heard(kind: str, size: str, tmp_path: Path) -> None:
    content = written(kind, tmp_path)
    whole = load(tmp_path / "whole")
    path = tmp_path / f"crashed.{kind}"
    path.write_bytes(never_finished(kind, size, content))
    before = hashlib.sha256(path.read_bytes()).digest()
    heard = load(path)
    assert whole.notes == ()
    count = len(whole.samples)
    assert count == COUNT
    # Chunks that an editor put behind the samples cannot be told from them.
    assert count <= len(heard.samples) <= count + 64
    np.testing.assert_array_equal(heard.samples[:count], whole.samples)
    expected = [] if (kind, size) in LEGAL else [True]
    assert ["never finished" in note and "0.5 seconds" in note for note in heard.notes] == expected
    assert hashlib.sha256(path.read_bytes()).digest() == before


@pytest.mark.parametrize("kind", ["aiff", "w64"])
def test_a_header_without_the_length_of_the_file_is_no_obstacle(kind: str, tmp_path: Path) -> None:
    """The samples have theirs: what follows them is not heard."""
    content = written(kind, tmp_path)
    at, width = (4, 4) if kind == "aiff" else (16, 8)
    rest = b"NAME\0\0\0\4song" if kind == "aiff" else b""
    (tmp_path / "a").write_bytes(content[:at] + bytes(width) + content[at + width :] + rest)
    assert len(load(tmp_path / "a").samples) == COUNT


def test_any_name_of_a_file_will_do(tmp_path: Path) -> None:
    content = never_finished("aiff", "zero", written("aiff", tmp_path))
    for name in ("it's | a \\ pipe'|.aiff", "|", " spaces ", "a,,:b", "%d\n", "naïve'", "-i"):
        (tmp_path / name).write_bytes(content)
        assert len(load(tmp_path / name).samples) == COUNT, name


@pytest.mark.parametrize("kind", ["aiff", "aifc", "w64", "au", "caf", "rf64", "wav"])
def test_a_file_without_samples_stays_refused(kind: str, tmp_path: Path) -> None:
    form, coding = KINDS[kind]
    soundfile.write(tmp_path / "none", np.zeros((0, 2)), RATE, coding, format=form)
    assert mended_head(tmp_path / "none") is None
    with pytest.raises(AudioError, match=r"none' holds no sound"):
        load(tmp_path / "none")


CHUNKS = {
    "aiff": b"NAME" + struct.pack(">I", 8) + b"a song  ",
    "wav": b"LIST" + struct.pack("<I", 12) + b"INFOISFT\0\0\0\0",
    "caf": b"info" + struct.pack(">QI", 4, 0),
    "w64": b"list\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a" + struct.pack("<Q", 32) + bytes(8),
}


@pytest.mark.parametrize("kind", CHUNKS)
def test_the_tags_of_a_file_without_samples_are_not_samples(kind: str, tmp_path: Path) -> None:
    content = never_finished(kind, "empty", written(kind, tmp_path))
    sound = {"aiff": b"SSND", "wav": b"data", "caf": b"data", "w64": b"data\xf3\xac"}[kind]
    begin = content.index(sound) + {"aiff": 16, "wav": 8, "caf": 16, "w64": 24}[kind]
    (tmp_path / "a").write_bytes(content[:begin] + CHUNKS[kind])
    assert mended_head(tmp_path / "a") is None


@pytest.mark.parametrize("kind", ["aiff", "w64", "au", "caf", "rf64"])
def test_sizes_in_a_hostile_header_allocate_nothing(kind: str, tmp_path: Path) -> None:
    content = never_finished(kind, "zero", written(kind, tmp_path))
    draw = np.random.default_rng(1)
    for _ in range(60):
        hostile = bytearray(content)
        for _ in range(3):
            at = int(draw.integers(4, 120))
            hostile[at : at + 4] = bytes(draw.choice([0, 1, 127, 128, 255], 4).tolist())
        (tmp_path / "a").write_bytes(hostile)
        tracemalloc.start()
        head = mended_head(tmp_path / "a")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1 << 20
        assert head is None or len(head.content) < len(content)


def test_samples_that_begin_too_late_are_not_looked_for(tmp_path: Path) -> None:
    au = struct.pack(">4s5I", b".snd", LONGEST_HEAD + 1, 0, 3, RATE, 1)
    with (tmp_path / "a.au").open("wb") as file:
        file.write(au)
        file.truncate(LONGEST_HEAD + 5000)
    assert mended_head(tmp_path / "a.au") is None
    with pytest.raises(AudioError, match="holds no sound"):
        load(tmp_path / "a.au")


def test_a_header_that_says_it_ends_before_its_lengths_is_not_mended(tmp_path: Path) -> None:
    path = tmp_path / "song.au"
    path.write_bytes(bytes.fromhex("2e736e64 00000001 00000000 ffffe803 00000040 0000ffff 0007ffff ff"))
    assert mended_head(path) is None


@pytest.mark.parametrize("missing", [1, 0.5])
def test_fragments_before_one_whose_head_is_cut_off_are_heard(missing: float, tmp_path: Path) -> None:
    """A recorder writes fragments so that a crash costs the last alone; ffmpeg refuses the file altogether."""
    soundfile.write(song := tmp_path / "song.wav", music(6), RATE)
    whole, cut = tmp_path / "whole.mp4", tmp_path / "cut.mp4"
    fragments = ["-c:a", "aac", "-movflags", "+empty_moov+default_base_moof", "-frag_duration", "1000000"]
    run(["-i", str(song), *fragments, str(whole)])
    content = whole.read_bytes()
    at, heads = 0, []
    while at < len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        heads += [(at, size)] if content[at + 4 : at + 8] == b"moof" else []
        at += size
    at, size = heads[4]
    cut.write_bytes(content[: at + (size - 1 if missing == 1 else size // 2)])
    all_of_it, heard = load(whole), load(cut)
    assert 3.8 < heard.duration < 4.2
    count = len(heard.samples) - 2048
    np.testing.assert_allclose(heard.samples[:count], all_of_it.samples[:count], atol=1e-4)
    assert "cut.mp4 was never finished" in heard.notes[-1] and unfinished(cut) and not unfinished(whole)
    assert load(whole).notes == ()
