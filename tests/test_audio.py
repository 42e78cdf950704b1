"""Decoding: in step with ffmpeg, exact in length, and a sentence for whatever is not sound."""

import errno
import io
import shutil
import struct
import subprocess
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from audioreactive.errors import AudioError
from audioreactive.media import audio, decoding
from audioreactive.media.audio import ANALYSIS_RATE, from_samples, let_go, load
from audioreactive.media.ffmpeg import ffmpeg_path

RATE = 44_100
CLICKS = (0.25, 1.1, 1.93, 3.4)


def ffmpeg(*arguments: object) -> bytes:
    done = subprocess.run(
        [str(ffmpeg_path()), "-v", "error", "-y", *map(str, arguments)], capture_output=True, check=True
    )
    return done.stdout


@pytest.fixture(scope="module")
def clicks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds with bursts at known times, over faint noise."""
    samples = np.random.default_rng(0).normal(size=4 * RATE) * 1e-3
    burst = np.exp(-np.arange(400) / 60) * np.cos(np.arange(400) * 2 * np.pi * 3000 / RATE) * 0.8
    for time in CLICKS:
        samples[round(time * RATE) :][:400] += burst
    path = tmp_path_factory.mktemp("clicks") / "clicks.wav"
    soundfile.write(path, samples, RATE)
    return path


def lag(heard: np.ndarray, reference: np.ndarray) -> int:
    """Samples by which `heard` is late."""
    size = 1 << (len(heard) + len(reference)).bit_length()
    correlation = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(reference, size)), size)
    place = int(correlation.argmax())
    return place if place < size // 2 else place - size


ENCODINGS = {
    "lame.mp3": ("-c:a", "libmp3lame", "-b:a", "192k"),
    "bare.mp3": ("-c:a", "libmp3lame", "-write_xing", "0", "-id3v2_version", "0"),
    "aac.m4a": ("-c:a", "aac", "-b:a", "192k"),
    "adts.aac": ("-c:a", "aac"),
    "vorbis.ogg": ("-c:a", "libvorbis"),
    "opus.opus": ("-c:a", "libopus"),
    "flac.flac": (),
    "aiff.aiff": (),
    "48k.wav": ("-ar", "48000"),
    "8k.wav": ("-ar", "8000"),
    "24bit.wav": ("-c:a", "pcm_s24le"),
    "float.wav": ("-c:a", "pcm_f32le"),
    "surround.flac": ("-af", "pan=7.1|c0=c0|c1=c0|c2=c0|c3=c0|c4=c0|c5=c0|c6=c0|c7=c0"),
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_every_format_is_in_step_with_ffmpeg(name: str, clicks: Path, tmp_path: Path) -> None:
    path = tmp_path / name
    ffmpeg("-i", clicks, *ENCODINGS[name], path)
    heard = load(path)
    decoded = ffmpeg("-i", path, "-map", "0:a", "-ac", "1", "-ar", ANALYSIS_RATE, "-f", "f32le", "-")
    reference = np.frombuffer(decoded, np.float32)
    assert heard.sample_rate == ANALYSIS_RATE
    assert heard.samples.dtype == np.float32
    assert heard.samples.ndim == 1
    assert lag(heard.samples, reference) == 0
    assert abs(len(heard.samples) - len(reference)) <= 32  # ffmpeg's resampler keeps a few at the end.
    assert heard.notes == ()


@pytest.mark.parametrize("name", ["lame.mp3", "aac.m4a", "vorbis.ogg", "opus.opus", "flac.flac"])
def test_the_encoders_delay_is_cut_away(name: str, clicks: Path, tmp_path: Path) -> None:
    path = tmp_path / name
    ffmpeg("-i", clicks, *ENCODINGS[name], path)
    assert abs(lag(load(path).samples, load(clicks).samples)) <= 1
    assert load(path).duration == pytest.approx(4, abs=1e-4)


def test_the_sound_of_a_video(clicks: Path, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    ffmpeg("-f", "lavfi", "-i", "color=s=32x32:d=4", "-i", clicks, "-c:v", "libx264", "-c:a", "aac", path)
    assert abs(lag(load(path).samples, load(clicks).samples)) <= 1


@pytest.mark.parametrize("rate", [8_000, 22_050, 24_576, 44_100, 48_000, 96_000])
def test_a_tone_keeps_its_pitch_and_level(rate: int, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "tone.wav", 0.5 * np.sin(2 * np.pi * 1000 * np.arange(2 * rate) / rate), rate, "FLOAT")
    heard = load(tmp_path / "tone.wav")
    assert heard.duration == 2
    middle = heard.samples[ANALYSIS_RATE // 2 :][:ANALYSIS_RATE]
    expected = 0.5 * np.sin(2 * np.pi * 1000 * (np.arange(len(middle)) + ANALYSIS_RATE // 2) / ANALYSIS_RATE)
    np.testing.assert_allclose(middle, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 2, 6, 8])
def test_what_is_alike_in_all_channels_stays_as_it_is(channels: int, tmp_path: Path) -> None:
    samples = np.random.default_rng(1).uniform(-1, 1, (4096, 1)).astype(np.float32)
    soundfile.write(tmp_path / "many.wav", np.repeat(samples, channels, axis=1), ANALYSIS_RATE, "FLOAT")
    np.testing.assert_allclose(load(tmp_path / "many.wav").samples, samples[:, 0], rtol=0, atol=1e-6)


@settings(max_examples=examples(10, 30), deadline=None)
@given(count=st.integers(1, 400_000), rate=st.sampled_from([8_000, 11_025, 24_576, 44_100, 48_000, 192_000]))
def test_the_length_is_exact(count: int, rate: int) -> None:
    heard = from_samples(np.zeros(count, np.float32), rate)
    exact = Fraction(count, rate)
    assert abs(heard.duration - exact) <= max(Fraction(1, 2 * ANALYSIS_RATE), Fraction(1, ANALYSIS_RATE) - exact)


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch, clicks: Path) -> None:
    whole = load(clicks)
    monkeypatch.setattr(decoding, "BLOCK", 1000)
    pieces = load(clicks)
    np.testing.assert_array_equal(pieces.samples, whole.samples)
    assert pieces.digest == whole.digest


def test_the_digest_is_of_the_sound_not_of_the_file(clicks: Path, tmp_path: Path) -> None:
    ffmpeg("-i", clicks, tmp_path / "same.flac")
    ffmpeg("-i", clicks, "-af", "volume=0.5", tmp_path / "other.flac")
    assert load(tmp_path / "same.flac").digest == load(clicks).digest
    assert load(tmp_path / "other.flac").digest != load(clicks).digest


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="counts resident memory as Linux tells it")
def test_samples_that_were_let_go_are_read_again() -> None:
    sound = np.random.RandomState(0).uniform(-1, 1, 3 << 20).astype(np.float32)
    samples = from_samples(sound, ANALYSIS_RATE).samples
    assert samples.sum() == sound.sum()
    before = resident_bytes()
    let_go(samples)
    assert before - resident_bytes() > 2 << 20  # four bytes a sample, of which the system may keep some
    np.testing.assert_array_equal(samples, sound)
    let_go(sound)  # that lie in no file stay


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_a_full_temporary_folder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", Full)
    with pytest.raises(AudioError, match="takes no more"):
        from_samples(np.zeros(100, np.float32), 44_100)


def test_samples_are_read_only(clicks: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        load(clicks).samples[0] = 1


# --- damaged and hostile files ---


def cut(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


@pytest.mark.parametrize("name", ["lame.mp3", "flac.flac", "24bit.wav"])
def test_a_truncated_file_gives_what_it_holds_and_a_note(name: str, clicks: Path, tmp_path: Path) -> None:
    ffmpeg("-i", clicks, *ENCODINGS[name], tmp_path / name)
    heard = load(cut(tmp_path / name, 0.6))
    assert 1.5 < heard.duration < 3
    assert [name in note and "cut off" in note for note in heard.notes] == [True]


def test_a_truncated_m4a_without_its_index_is_refused(clicks: Path, tmp_path: Path) -> None:
    ffmpeg("-i", clicks, "-c:a", "aac", tmp_path / "x.m4a")
    with pytest.raises(AudioError, match=r"x\.m4a' holds no sound that can be decoded .*moov"):
        load(cut(tmp_path / "x.m4a", 0.6))


@pytest.mark.parametrize("suffix", ["mp3", "wav", "ogg", "m4a", "txt"])
@pytest.mark.parametrize(
    "content",
    [
        b"this is a text, not a song\n" * 500,
        b"<!DOCTYPE html><html><body>404</body></html>" * 200,
        np.random.default_rng(2).bytes(50_000),
        b"RIFF",
        b"ID3",
        b"fLaC" + b"\xff" * 100,
        b".snd" + b"\xff" * 100,
    ],
    ids=["text", "html", "noise", "riff", "id3", "flac", "au"],
)
def test_what_is_not_sound_is_refused_in_one_sentence(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"song.{suffix}"
    path.write_bytes(content)
    with pytest.raises(AudioError, match=rf"song\.{suffix}'") as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_a_playlist_opens_no_other_file(clicks: Path, tmp_path: Path) -> None:
    shutil.copy(clicks, tmp_path / "secret.wav")
    for name, content in {
        "list.mp3": "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nsecret.wav\n#EXT-X-ENDLIST\n",
        "concat.mp3": "ffconcat version 1.0\nfile secret.wav\n",
    }.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(AudioError, match="decoded"):
            load(tmp_path / name)


def test_missing_empty_and_folders(tmp_path: Path) -> None:
    (tmp_path / "empty.mp3").touch()
    with pytest.raises(AudioError, match=r"there is no file '.*nowhere\.mp3'"):
        load(tmp_path / "nowhere.mp3")
    with pytest.raises(AudioError, match=r"empty\.mp3' is empty"):
        load(tmp_path / "empty.mp3")
    with pytest.raises(AudioError, match="is not a file but a folder"):
        load(tmp_path)
    with pytest.raises(AudioError, match="there is no file"):
        load(Path("a\0b"))


def test_zero_length(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "none.wav", np.zeros(0), RATE)
    with pytest.raises(AudioError, match=r"none\.wav' holds no sound: its length is zero"):
        load(tmp_path / "none.wav")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_a_value_that_is_no_sound_is_named_with_its_place(value: float, tmp_path: Path) -> None:
    samples = np.zeros((3 * RATE, 2), np.float32)
    samples[2 * RATE, 1] = value
    soundfile.write(tmp_path / "bad.wav", samples, RATE, "FLOAT")
    with pytest.raises(AudioError, match=r"bad\.wav' holds the value .* at 2\.000 s"):
        load(tmp_path / "bad.wav")


def test_integers_stored_as_floats_are_scaled_down(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "loud.wav", np.array([0, 16384.0, -32768, 0], np.float32), ANALYSIS_RATE, "FLOAT")
    heard = load(tmp_path / "loud.wav")
    np.testing.assert_allclose(heard.samples, [0, 0.5, -1, 0])
    assert "32768 times louder" in heard.notes[0]


def test_50_milliseconds(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "blip.wav", np.ones(RATE // 20) * 0.1, RATE)
    assert load(tmp_path / "blip.wav").duration == pytest.approx(0.05, abs=1e-4)


def wav_claiming(data_size: int, rate: int = RATE, channels: int = 1, *, magic: bytes = b"RIFF") -> bytes:
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, rate * 2 * channels, 2 * channels, 16)
    size = min(data_size, 0xFFFFFFFF)
    return struct.pack("<4sI4s", magic, size, b"WAVE") + fmt + struct.pack("<4sI", b"data", size) + b"\1\0" * 5000


def test_a_header_that_lies_about_the_length_allocates_nothing(tmp_path: Path) -> None:
    (tmp_path / "wav.wav").write_bytes(wav_claiming(1 << 40))
    sizes = struct.pack("<4sIQQQI", b"ds64", 28, 1 << 40, 1 << 40, 1 << 40, 0)
    plain = wav_claiming(1 << 40, magic=b"RF64")
    (tmp_path / "rf64.wav").write_bytes(plain[:12] + sizes + plain[12:])
    au = struct.pack(">4s5I", b".snd", 24, 0xFFFFFFFF, 3, RATE, 1) + b"\0\1" * 5000
    (tmp_path / "au.au").write_bytes(au)
    for name in ("wav.wav", "rf64.wav", "au.au"):
        assert load(tmp_path / name).duration < 1


@pytest.mark.parametrize("rate", [1, 1999, 4_000_000])
def test_an_absurd_sample_rate_is_refused(rate: int, tmp_path: Path) -> None:
    (tmp_path / "odd.wav").write_bytes(wav_claiming(10_000, rate=rate))
    with pytest.raises(AudioError, match=rf"claims {rate} samples a second"):
        load(tmp_path / "odd.wav")


def test_a_sound_that_never_ends_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(audio, "LONGEST_HOURS", Fraction(2, 3600))
    soundfile.write(tmp_path / "long.wav", np.zeros(3 * RATE), RATE)
    with pytest.raises(AudioError, match=r"long\.wav' lasts longer than"):
        load(tmp_path / "long.wav")


def test_strange_names_are_names(clicks: Path, tmp_path: Path) -> None:
    for name in ("-i.mp3", "a%03d.mp3", "http:x.mp3", "naïve \n song.mp3"):
        shutil.copy(clicks, tmp_path / "plain.wav")
        ffmpeg("-i", tmp_path / "plain.wav", tmp_path / "plain.mp3")
        (tmp_path / "plain.mp3").rename(tmp_path / name)
        assert load(tmp_path / name).duration == pytest.approx(4, abs=0.01)


@pytest.mark.parametrize("channels", [2, 3])
def test_from_samples_mixes_and_resamples(channels: int) -> None:
    samples = np.random.default_rng(3).normal(size=(RATE, channels)) * 0.1
    heard = from_samples(samples, RATE, source="mine")
    assert heard.source == "mine"
    assert heard.duration == 1
    # The mean power of channels that have nothing in common; the mean of them would have half or a third of it.
    assert np.square(heard.samples).mean() == pytest.approx(0.01 * ANALYSIS_RATE / RATE, rel=0.25)
