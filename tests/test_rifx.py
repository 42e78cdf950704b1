"""RIFX: WAV whose numbers have their highest byte first is heard as what it is, and never as noise."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from audioreactive.errors import AudioError
from audioreactive.media.audio import load

if TYPE_CHECKING:
    from pathlib import Path

RATE, COUNT = 24_576, 6_000
CODINGS = ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")


def tones(channels: int = 2) -> np.ndarray:
    pitches = np.array([0.07, 0.11, 0.05, 0.13, 0.02, 0.17])[:channels]
    return np.sin(np.arange(COUNT)[:, None] * pitches) * 0.3


@pytest.mark.parametrize("coding", CODINGS)
def test_both_orders_of_bytes_are_the_same_sound(coding: str, tmp_path: Path) -> None:
    little, big = tmp_path / "little.wav", tmp_path / "big.wav"
    soundfile.write(little, tones(), RATE, coding, endian="LITTLE")
    soundfile.write(big, tones(), RATE, coding, endian="BIG")
    assert big.read_bytes()[:4] == b"RIFX"
    expected, heard = load(little), load(big)
    np.testing.assert_array_equal(heard.samples, expected.samples)
    assert heard.notes == () and heard.digest == expected.digest


def written(form: bytes, samples: np.ndarray, *, length: int | None = None, after: bytes = b"") -> bytes:
    """A RIFX file of a format chunk and samples, which may state another length."""
    data = samples.astype(">i2").tobytes()
    chunks = struct.pack(">4sI", b"fmt ", len(form)) + form
    chunks += struct.pack(">4sI", b"data", len(data) if length is None else length) + data + after
    return struct.pack(">4sI4s", b"RIFX", len(chunks) + 4 if length is None else 0, b"WAVE") + chunks


def plain(channels: int, *, coding: int = 1, bits: int = 16) -> bytes:
    block = channels * bits // 8
    return struct.pack(">HHIIHH", coding, channels, RATE, RATE * block, block, bits)


@pytest.mark.parametrize("is_big", [True, False], ids=["big name", "little name"])
def test_six_loudspeakers_have_their_places(is_big: bool, tmp_path: Path) -> None:
    """The coding's name is a GUID, whose first number some programs turn around and others do not."""
    name = (1).to_bytes(4, "big" if is_big else "little") + bytes.fromhex("00001000800000aa00389b71")
    path, samples = tmp_path / "six.wav", (tones(6) * 32767).astype(np.int16)
    path.write_bytes(written(plain(6, coding=0xFFFE) + struct.pack(">HHI", 22, 16, 0x3F) + name, samples))
    soundfile.write(tmp_path / "same.wav", samples, RATE, "PCM_16", format="WAVEX")
    found = load(path)
    assert found.recording is not None and found.recording.track.layout == "5.1"
    np.testing.assert_allclose(found.samples, load(tmp_path / "same.wav").samples, atol=2e-4)


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF])
def test_one_that_was_never_finished_is_heard_to_its_end(length: int, tmp_path: Path) -> None:
    path, samples = tmp_path / "crashed.wav", (tones(1) * 32767).astype(np.int16)
    path.write_bytes(written(plain(1), samples, length=length))
    found = load(path)
    np.testing.assert_allclose(found.samples, samples[:, 0] / 32768, atol=1e-4)
    assert [note for note in found.notes if "never finished" in note] == list(found.notes)


def test_what_follows_the_samples_is_not_heard(tmp_path: Path) -> None:
    path = tmp_path / "tagged.wav"
    path.write_bytes(written(plain(1), tones(1) * 32767, after=b"LIST" + struct.pack(">I", 400) + b"\x7f" * 400))
    assert len(load(path).samples) == COUNT


@pytest.mark.parametrize(("coding", "bits"), [(2, 16), (1, 64), (3, 16), (85, 16), (1, 0)])
def test_another_coding_is_a_sentence(coding: int, bits: int, tmp_path: Path) -> None:
    path = tmp_path / "odd.wav"
    path.write_bytes(written(plain(1, coding=coding, bits=bits), tones(1) * 32767))
    with pytest.raises(AudioError, match="RIFX, a WAV with the highest byte first, in a coding"):
        load(path)


def test_without_samples_or_a_format_there_is_no_sound(tmp_path: Path) -> None:
    path = tmp_path / "none.wav"
    for content in (written(plain(1), np.zeros(0)), written(b"", tones(1)), written(plain(1), tones(1))[:30], b"RIFX"):
        path.write_bytes(content)
        with pytest.raises(AudioError, match=r"none.wav' (holds no sound|is RIFX)"):
            load(path)


def test_hostile_headers_are_sentences(tmp_path: Path) -> None:
    """Whatever stands in the header: a sound of bounded length, or an error that was foreseen."""
    draw, whole, path = np.random.default_rng(2), written(plain(2), tones(2) * 32767), tmp_path / "a.wav"
    for _ in range(25):
        hostile = bytearray(whole)
        for at in draw.integers(4, 44, 2):
            hostile[at : at + 4] = bytes(draw.choice([0, 1, 2, 127, 255], 4).tolist())
        path.write_bytes(hostile)
        try:
            assert len(load(path).samples) < 30 * len(whole)
        except AudioError:
            continue
