"""What was heard is remembered; what was remembered wrongly is heard again."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile
from sounds import clicks, music, noise

from audioreactive.errors import AudioError
from audioreactive.features import Features, analyze_file, cache, listening
from audioreactive.features.analysis import Analysis
from audioreactive.media.audio import ANALYSIS_RATE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from audioreactive.media.audio import Audio

FPS = Fraction(24)
NAMES = ("rms", "onsets")


@pytest.fixture
def song(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "song.wav", music(3), ANALYSIS_RATE)
    return tmp_path / "song.wav"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], list[str]]]:
    """What was listened to, rather than remembered: envelopes and segmentations of each time."""
    times: list[tuple[list[str], list[str]]] = []
    listen = listening.listen

    def counted(audio: Audio, *, keys: Collection[str], segmentations: Collection[str], **options: Any) -> Analysis:
        times.append((sorted(keys), sorted(segmentations)))
        return listen(audio, keys=keys, segmentations=segmentations, **options)

    monkeypatch.setattr(listening, "listen", counted)
    return times


def same(a: Features, b: Features) -> None:
    assert (a.fps, a.frames, a.duration, a.tempo, a.digest) == (b.fps, b.frames, b.duration, b.tempo, b.digest)
    assert list(a) == list(b)
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])
    np.testing.assert_array_equal(a.beats, b.beats)
    np.testing.assert_array_equal(a.downbeats, b.downbeats)
    for name in a.segmentations:
        np.testing.assert_array_equal(a.segmentations[name], b.segmentations[name])


def test_a_song_is_heard_once(song: Path, folder: Path, heard: list) -> None:
    first = analyze_file(song, fps=FPS, names=NAMES, cache_dir=folder)
    same(first, analyze_file(song, fps=FPS, names=NAMES, cache_dir=folder))
    same(first, analyze_file(song, fps=FPS, names=NAMES, use_cache=False))
    assert len(heard) == 2


def test_another_frame_rate_needs_no_new_analysis(song: Path, folder: Path, heard: list) -> None:
    for fps in (FPS, Fraction(60), Fraction(30000, 1001)):
        analyze_file(song, fps=fps, names=NAMES, cache_dir=folder)
    assert len(heard) == 1


def test_the_cache_goes_by_content_not_by_name(song: Path, folder: Path, heard: list) -> None:
    analyze_file(song, fps=FPS, names=NAMES, cache_dir=folder)
    analyze_file(song.rename(song.with_name("renamed.wav")), fps=FPS, names=NAMES, cache_dir=folder)
    assert len(heard) == 1
    soundfile.write(song, music(3, seed=1), ANALYSIS_RATE)
    analyze_file(song, fps=FPS, names=NAMES, cache_dir=folder)
    assert len(heard) == 2


def test_only_what_is_new_is_heard(song: Path, folder: Path, heard: list) -> None:
    analyze_file(song, fps=FPS, names=("rms",), segmentations=(), cache_dir=folder)
    more = analyze_file(song, fps=FPS, names=("rms", "bass.rms"), segmentations=("mfcc",), cache_dir=folder)
    same(more, analyze_file(song, fps=FPS, names=("rms", "bass.rms"), segmentations=("mfcc",), cache_dir=folder))
    assert heard == [(["mix.rms"], []), (["bass.rms"], ["mfcc"])]


def damage_first(content: bytes) -> bytes:
    return b"x" + content[1:]


def damage_middle(content: bytes) -> bytes:
    half = len(content) // 2
    return content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :]


def cut_short(content: bytes) -> bytes:
    return content[: len(content) // 2]


def resealed(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """Content that was changed by somebody who made the checksum fit."""

    def damage(content: bytes) -> bytes:
        magic, body = content[: len(cache._MAGIC)], change(content[len(cache._MAGIC) + 32 :])
        return magic + hashlib.sha256(body).digest() + body

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        damage_first,
        damage_middle,
        cut_short,
        lambda content: b"",
        resealed(lambda body: b"not an archive"),
        resealed(lambda body: body.replace(b'"version"', b'"versiom"')),
        resealed(lambda body: body[: len(body) // 2]),
    ],
    ids=["first byte", "middle bit", "cut short", "empty", "foreign", "keys", "torn archive"],
)
def test_a_broken_entry_is_heard_again_and_mended(
    song: Path, folder: Path, heard: list, damage: Callable[[bytes], bytes]
) -> None:
    first = analyze_file(song, fps=FPS, names=NAMES, cache_dir=folder)
    (entry,) = folder.iterdir()
    entry.write_bytes(damage(entry.read_bytes()))
    same(first, analyze_file(song, fps=FPS, names=NAMES, cache_dir=folder))
    same(first, analyze_file(song, fps=FPS, names=NAMES, cache_dir=folder))
    assert len(heard) == 2


def test_an_entry_of_another_version_is_stale(
    song: Path, folder: Path, heard: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "ANALYSIS_VERSION", cache.ANALYSIS_VERSION - 1)
    analyze_file(song, fps=FPS, names=NAMES, cache_dir=folder)
    monkeypatch.undo()
    assert cache.read(next(folder.iterdir())) is None


def test_an_entry_with_other_beats_is_heard_again_whole(song: Path, folder: Path, heard: list) -> None:
    analyze_file(song, fps=FPS, names=NAMES, cache_dir=folder)
    (entry,) = folder.iterdir()
    known = cache.read(entry)
    assert known is not None
    fewer = {name: labels[:-1] for name, labels in known.labels.items()}
    cache.write(entry, replace(known, steps=known.steps[:-1], labels=fewer))
    more = (*NAMES, "bass.rms")
    mended = analyze_file(song, fps=FPS, names=more, cache_dir=folder)
    same(mended, analyze_file(song, fps=FPS, names=more, use_cache=False))
    assert [keys for keys, _ in heard][1:3] == [["bass.rms"], ["bass.rms", "mix.rms", "percussive.onsets"]]


def test_no_pickle_is_ever_read(tmp_path: Path) -> None:
    import io
    import pickle

    class Payload:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "executed",))  # type: ignore[return-value]

    body = io.BytesIO()
    np.savez(body, about=np.array([Payload()], dtype=object), allow_pickle=True)
    for content in (body.getvalue(), pickle.dumps(Payload())):
        (tmp_path / "x").write_bytes(cache._MAGIC + hashlib.sha256(content).digest() + content)
        assert cache.read(tmp_path / "x") is None
    assert not (tmp_path / "executed").exists()


def test_a_folder_that_cannot_be_written_is_no_error(song: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    features = analyze_file(song, fps=FPS, names=NAMES, cache_dir=tmp_path / "file" / "cache")
    assert features["rms"].any()


def test_nothing_half_written_is_left(song: Path, folder: Path) -> None:
    analyze_file(song, fps=FPS, names=NAMES, cache_dir=folder)
    assert [path.suffix for path in folder.iterdir()] == [".analysis"]


def test_notes_are_remembered(song: Path, folder: Path) -> None:
    song.write_bytes(song.read_bytes()[:60_000])
    told: list[list[str]] = []
    for _ in range(2):
        told.append([])
        analyze_file(song, fps=FPS, names=NAMES, cache_dir=folder, warn=told[-1].append)
    assert told[0] == told[1]
    assert "cut off" in told[0][0]


def test_stems_are_remembered_on_their_own(song: Path, folder: Path, heard: list) -> None:
    soundfile.write(song.with_name("drums.wav"), clicks([1, 2], 3) + noise(3, 1e-3), ANALYSIS_RATE)
    for _ in range(2):
        analyze_file(
            song, fps=FPS, names=("rms", "drums.onsets"), stems={"drums": song.with_name("drums.wav")}, cache_dir=folder
        )
    assert [keys for keys, _ in heard] == [["mix.rms"], ["mix.onsets"]]


def test_a_missing_file_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="there is no file"):
        analyze_file(tmp_path / "none.mp3", fps=FPS, cache_dir=folder)


@pytest.mark.parametrize("kind", ["pipe", "link", "endless", "sparse", "folder", "another user's"])
def test_entries_that_are_no_files_of_ours_are_none(tmp_path: Path, kind: str) -> None:
    none = np.zeros(0)
    analysis = Analysis(Fraction(1), "5eed", (), 120.0, none, none, {}, np.zeros(0, np.int64), {})
    entry, whole = tmp_path / "x.analysis", tmp_path / "whole.analysis"
    cache.write(whole, analysis)
    match kind:
        case "pipe":
            os.mkfifo(entry)
        case "link":
            entry.symlink_to(whole)
        case "endless":
            entry.symlink_to("/dev/zero")
        case "sparse":
            entry.write_bytes(whole.read_bytes())
            os.truncate(entry, 1 << 42)
        case "folder":
            entry.mkdir()
        case _:
            if os.geteuid():
                pytest.skip("makes files of other users")
            entry.write_bytes(whole.read_bytes())
            os.chown(entry, 65534, 65534)
    assert cache.read(entry) is None and cache.read(whole) is not None
    if kind != "folder":
        cache.write(entry, analysis)
        assert cache.read(entry) is not None and not entry.is_symlink()
