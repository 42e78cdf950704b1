"""What the video plays is what was analysed and what a player plays, for every odd kind of file; no frames are made."""

from __future__ import annotations

import re
import struct
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audioreactive.errors import AudioError, VideoError
from audioreactive.features import analyze_file
from audioreactive.media.audio import ANALYSIS_RATE, Audio, from_samples, load
from audioreactive.media.containers import MOST_PARTS, cut_off
from audioreactive.media.ffmpeg import ffmpeg_path
from audioreactive.media.heads import unfinished
from audioreactive.video import VideoSettings, VideoWriter, output_format, sound
from audioreactive.video.sound import SoundTrack

RATE = 44_100
SECONDS = 1.3
MP3, BARE = ("-c:a", "libmp3lame", "-b:a", "128k"), ("-write_xing", "0", "-id3v2_version", "0")
BLACK = ("-f", "lavfi", "-i", f"color=s=32x32:r=5:d={SECONDS}")


def ffmpeg(*arguments: object) -> bytes:
    command = [str(ffmpeg_path()), "-v", "error", "-y", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL).stdout


def song(seed: int, rate: int = RATE) -> np.ndarray:
    """(n,): a tone and strokes, never silent, the same at every rate but for the strokes' noise."""
    time, draw = np.arange(round(SECONDS * rate)) / rate, np.random.default_rng(seed)
    sound = 0.12 * np.sin(2 * np.pi * (220 + 110 * seed) * time)
    for begin in np.arange(0.1, SECONDS - 0.2, 0.31):
        first, count = int(begin * rate), int(0.08 * rate)
        noise = np.convolve(draw.standard_normal(count), np.hanning(rate // 2500), mode="same")
        sound[first : first + count] += 0.3 * noise * np.exp(-np.arange(count) / (0.02 * rate))
    return np.clip(sound, -0.95, 0.95)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The songs from which all others are made."""
    folder = tmp_path_factory.mktemp("sources")
    one, two = song(1), song(2)
    side = np.roll(one, 4000) * 0.3
    slow = np.stack([song(1, 22_050)] * 2, 1)
    surround = np.stack([one, one * 0.9, one * 0.5, side * 0.2, side, side], 1)
    click, bell, still = np.zeros(len(one)), np.zeros(len(one)), np.zeros(len(one))
    click[300], bell[9000:20_000] = 0.5, 0.02 * one[9000:20_000]
    floor = np.random.default_rng(7).integers(-4, 5, len(one)) / 2**15
    for name, samples, rate in (
        ("offset", still + 0.05, RATE), ("click", click, RATE), ("floor", floor, RATE), ("bell", bell, RATE),
        ("mono", one, RATE), ("stereo", np.stack([one, 0.7 * one + side], 1), RATE), ("slow", slow, 22_050),
        ("other", np.stack([two, two], 1), RATE), ("silent", np.zeros((len(one), 2)), RATE),
        ("surround", surround, RATE),
    ):  # fmt: skip
        soundfile.write(folder / f"{name}.wav", samples, rate, "PCM_24")
    ffmpeg("-i", folder / "surround.wav", "-c:a", "flac", folder / "5.1.flac")
    return {path.stem: path for path in folder.iterdir()}


PLAIN = {
    "16.wav": (),
    "float.wav": ("-c:a", "pcm_f32le"),
    "8bit.wav": ("-c:a", "pcm_u8"),
    "8k.wav": ("-ar", 8000),
    "96k.wav": ("-ar", 96_000),
    "adpcm.wav": ("-c:a", "adpcm_ms"),
    "alaw.wav": ("-c:a", "pcm_alaw"),
    "ulaw.wav": ("-c:a", "pcm_mulaw"),
    "slow.m4a": ("-c:a", "aac", "-ar", 8000),
    "a.eac3": (),
    "rf64.wav": ("-rf64", "always"),
    "a.w64": (),
    "a.aiff": (),
    "a.au": (),
    "a.caf": ("-c:a", "pcm_s16be"),
    "alac.caf": ("-c:a", "alac"),
    "flac.oga": ("-c:a", "flac"),
    "alac.m4a": ("-c:a", "alac"),
    "aac.m4a": ("-c:a", "aac"),
    "fragments.mp4": ("-c:a", "aac", "-movflags", "frag_keyframe+empty_moov"),
    "adts.aac": ("-c:a", "aac"),
    "aac.ts": ("-c:a", "aac"),
    "layer2.mpg": ("-c:a", "mp2"),
    "a.vob": ("-c:a", "ac3"),
    "xing.mp3": MP3,
    "layer2.mp3": ("-c:a", "mp2", "-f", "mp2"),
    "a.ac3": (),
    "a.ogg": ("-c:a", "libvorbis"),
    "a.opus": ("-c:a", "libopus"),
    "opus.mka": ("-c:a", "libopus"),
    "vorbis.webm": ("-c:a", "libvorbis"),
    "a.wv": (),
    "a.tta": (),
    "a.wma": (),
    "a.flv": ("-c:a", "libmp3lame"),
    "mp3.avi": ("-c:a", "libmp3lame"),
    "pcm.mov": ("-c:a", "pcm_s16le"),
    "pcm.mka": ("-c:a", "pcm_s16le"),
}
"""Name -> ffmpeg's arguments, for a stereo song."""
SURROUND = {"5.1.m4a": ("-c:a", "aac", "-b:a", "400k"), "5.1.ac3": ("-b:a", "448k"), "5.1.wav": ()}
VORBIS, OPUS, FLAC = (("-c:a", name) for name in ("libvorbis", "libopus", "flac"))
JOINED = {
    "mono_stereo.mp3": (("mono", *MP3, *BARE), ("stereo", *MP3, *BARE)),
    "stereo_mono.mp3": (("stereo", *MP3, *BARE), ("mono", *MP3, *BARE)),
    "slow_fast.mp3": (("slow", *MP3, *BARE), ("stereo", *MP3, *BARE)),
    "fast_slow.mp3": (("stereo", *MP3), ("slow", *MP3)),
    "same.mp3": (("stereo", *MP3), ("other", *MP3)),
    "mono_stereo.aac": (("mono", "-c:a", "aac"), ("stereo", "-c:a", "aac")),
    "stereo_surround.ac3": (("stereo", "-b:a", "448k"), ("surround", "-b:a", "448k")),
    "mono_stereo.ac3": (("mono",), ("stereo",)),
    "mono_stereo.vob": (("mono", "-c:a", "ac3"), ("stereo", "-c:a", "ac3")),
    "slow_fast.ogg": (("slow", *VORBIS), ("stereo", *VORBIS)),
    "same.ogg": (("stereo", *VORBIS), ("other", *VORBIS)),
    "slower_fast.ogg": (("slow", *VORBIS, "-ar", 8000), ("stereo", *VORBIS)),
    "mono_stereo.wv": (("mono",), ("stereo",)),
    "fast_slow.wv": (("stereo",), ("slow",)),
    "same.wv": (("stereo",), ("other",)),
    "vorbis_opus.ogg": (("stereo", *VORBIS), ("other", *OPUS)),
    "opus_flac.ogg": (("mono", *OPUS), ("stereo", *FLAC)),
    "flac_vorbis.ogg": (("stereo", *FLAC), ("mono", *VORBIS)),
    "mono_stereo.opus": (("mono", *OPUS), ("stereo", *OPUS)),
    "mono_stereo.flac": (("mono", *FLAC), ("stereo", *FLAC)),
    "slow_fast.flac": (("slow", *FLAC), ("stereo", *FLAC)),
    "tagged.flac": (("stereo", *FLAC), ("other", *FLAC)),
}
"""Name -> two files, one behind the other in a file: the song and ffmpeg's arguments of each."""
FIRST_ALONE = (
    "vorbis_opus.ogg",
    "opus_flac.ogg",
    "flac_vorbis.ogg",
    *(name for name in JOINED if name.endswith(".wv")),
)
"""Joined files of which ffmpeg decodes the first part alone."""
UNFINISHED = {"unfinished.wav": ("WAV", 40, 44), "unfinished.au": ("AU", 8, 12), "unfinished.aiff": ("AIFF", 42, 46)}
"""Name -> libsndfile's format, and the bytes of the header that are the length of the samples."""
OTHER = ("late.mp4", "late.mkv", "four.wav", "six.wav", "twelve.wav", "integers.wav", "+21dB.wav", *UNFINISHED)
ALIKE = {*PLAIN, *JOINED, *OTHER} - {"stereo_surround.ac3"}
"""Files with nearly equal channels: the analysed waveform must equal the decoded one, not only its level."""
KINDS = (".mp4", ".mov", ".mkv", ".webm")


@pytest.fixture(scope="module")
def coded(sources: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The files that ffmpeg makes of the songs, and the parts of joined ones, made in one go."""
    folder = tmp_path_factory.mktemp("coded")
    wanted = {name: ("stereo", *words) for name, words in PLAIN.items()}
    wanted |= {name: ("surround", *words) for name, words in SURROUND.items()}
    for name, both in JOINED.items():
        wanted |= {f"{number}_{name}": words for number, words in enumerate(both)}
    songs = [each for each in sources if each != "5.1"]
    arguments: list[object] = [word for each in songs for word in ("-i", sources[each])]
    for name, (song_of_it, *words) in wanted.items():
        source = f"{len(songs)}:a" if song_of_it == "surround" else f"{songs.index(song_of_it)}:a"
        arguments += ["-map", source, *words, folder / name]
    ffmpeg(*arguments[: 2 * len(songs)], "-i", sources["5.1"], *arguments[2 * len(songs) :])
    return {name: folder / name for name in wanted}


def make(name: str, sources: dict[str, Path], coded: dict[str, Path], folder: Path) -> Path:
    """One of the odd files."""
    path = folder / name
    if name in coded:
        path.write_bytes(coded[name].read_bytes())
    elif name in JOINED:
        tag = b"ID3\4\0\0\0\0\0\x14" + b"ID3, a tag's words\0\0" if name.startswith("tagged") else b""
        path.write_bytes(tag.join(coded[f"{number}_{name}"].read_bytes() for number in (0, 1)))
    elif name.startswith("late"):
        ffmpeg(*BLACK, "-itsoffset", "0.5", "-i", sources["stereo"], "-c:v", "libx264", "-c:a", "aac", path)
    elif name in UNFINISHED:
        form, first, last = UNFINISHED[name]
        samples, rate = soundfile.read(sources["stereo"])
        soundfile.write(path, samples, rate, "PCM_16", format=form)
        content = path.read_bytes()
        path.write_bytes(content[:first] + bytes(last - first) + content[last:])
    else:
        channels = {"four.wav": 4, "six.wav": 6, "twelve.wav": 12}.get(name, 2)
        factor = {"integers.wav": 32768.0, "+21dB.wav": 12.0}.get(name, 1.0)
        samples = np.stack([song(1)] * channels, 1) * factor
        soundfile.write(path, samples.astype(np.float32), RATE, "FLOAT")
    return path


def played(path: Path, kind: str, start: Fraction, folder: Path, **choice: int) -> SoundTrack:
    """The finished sound of a video."""
    track = SoundTrack(output_format(Path(f"x{kind}")), path, start, None, folder, **choice)
    try:
        track.finish()
        return track
    finally:
        track.abandon()


def correlations(one: np.ndarray, other: np.ndarray, slack: int = 0, rate: int = ANALYSIS_RATE) -> list[float]:
    """Of each second that both have, and is not silent; the best within so many samples of shift."""
    if slack:
        shifted = [correlations(one[max(k, 0) :], other[max(-k, 0) :]) for k in range(-slack, slack + 1)]
        return np.max([line[: min(map(len, shifted))] for line in shifted], axis=0).tolist()
    found = []
    for first in range(0, min(len(one), len(other)) - rate // 4, rate):
        count = min(rate, len(one) - first, len(other) - first)
        a, b = (part[first : first + count].astype(np.float64) for part in (one, other))
        if a.std() > 1e-4:
            found.append(float(np.corrcoef(a, b)[0, 1]) if b.std() else 0.0)
    return found


def plainly_decoded(*paths: Path) -> list[np.ndarray]:
    """(n,) the mean of the channels that ffmpeg alone gives, of each file."""
    inputs = [word for path in paths for word in ("-i", path)]
    made = [paths[0].with_name(f"plain{number}.wav") for number, path in enumerate(paths)]
    outputs = [("-map", f"{number}:a:0", "-c:a", "pcm_f32le", path) for number, path in enumerate(made)]
    ffmpeg(*inputs, *(word for output in outputs for word in output))
    decoded = [soundfile.read(path, dtype="float32", always_2d=True) for path in made]
    return [from_samples(samples.mean(axis=1), rate).samples for samples, rate in decoded]


def levels(samples: np.ndarray) -> np.ndarray:
    """(n,) root mean squares of 96 spans a second, which have no phase."""
    return np.sqrt(np.square(samples[: len(samples) // 256 * 256].reshape(-1, 256)).mean(axis=1))


@pytest.mark.parametrize("name", [*PLAIN, *SURROUND, *JOINED, *OTHER])
def test_the_video_plays_what_was_analysed(
    name: str, sources: dict[str, Path], coded: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(name, sources, coded, tmp_path)
    number = [*PLAIN, *SURROUND, *JOINED, *OTHER].index(name)
    start = Fraction(1, 2) if number % 3 == 2 else Fraction(0)
    loaded: list[Audio] = []
    monkeypatch.setattr(sound, "load", lambda *words, **choice: loaded.append(load(*words, **choice)) or loaded[0])
    track = played(path, KINDS[number % 4], start, tmp_path)
    heard, first = loaded[0], round(start * ANALYSIS_RATE)
    finished, *parts = plainly_decoded(track.path, *whole_files(name, path, sources, coded))
    assert track.notes == []
    assert heard.duration == pytest.approx(SECONDS * (2 if name in JOINED else 1), abs=0.2)
    assert len(finished) / ANALYSIS_RATE == pytest.approx(float(heard.duration - start), abs=0.06)
    # What differs between channels is turned in phase where it is analysed, so that waveforms say nothing of it.
    # Surround is played softer than stereo, so that nothing clips: the level changes with it.
    change = round(SECONDS * ANALYSIS_RATE) - first if name in JOINED else 0
    halves = (slice(change), slice(change, None))
    for half in halves:
        analysed = levels(heard.samples[first:][half])
        assert min(correlations(analysed, levels(finished[half]), rate=96), default=1) > 0.95
    if name in ALIKE:
        assert min(correlations(heard.samples[first:], finished)) > 0.95
    # Where the rate changes, ffmpeg drops up to two milliseconds, and others at another rate.
    is_resampled = name in JOINED and "slow" in name
    plain, shift = np.concatenate(parts)[first:], 50 if is_resampled else 0
    if name == "stereo_surround.ac3":
        same = [each for half in halves for each in correlations(plain[half], finished[half])]
    else:
        same = sorted(correlations(plain, finished, shift))
    assert min(same[1:] if is_resampled and len(same) > 1 else same) > 0.95
    assert np.abs(finished).max() < 1.5
    notes = {"integers.wav": "louder than full", "+21dB.wav": "beyond full scale"}
    notes |= dict.fromkeys(UNFINISHED, "never finished")
    assert [notes[name] in note for note in heard.notes] == [True] if name in notes else heard.notes == ()


def whole_files(name: str, path: Path, sources: dict[str, Path], coded: dict[str, Path]) -> list[Path]:
    """Files from which ffmpeg alone decodes all of a sound, one after the other."""
    if name in UNFINISHED:
        return [sources["stereo"]]
    if name in FIRST_ALONE:
        return [coded[f"{number}_{name}"] for number in (0, 1)]
    return [path]


def test_a_change_of_channels_leaves_no_hole_in_the_packets(
    sources: dict[str, Path], coded: dict[str, Path], tmp_path: Path
) -> None:
    path, video = make("mono_stereo.mp3", sources, coded, tmp_path), tmp_path / "out.mp4"
    settings = VideoSettings(fps=Fraction(5), size=(32, 32), speed="ultrafast")
    with VideoWriter(video, settings, frame_size=(32, 32), sound=path) as writer:
        writer.write(np.zeros((round(10 * SECONDS), 32, 32, 3), np.uint8))
    lines = ffmpeg("-i", video, "-map", "0:a", "-c", "copy", "-f", "framecrc", "-").decode().splitlines()
    lengths = [int(line.split(",")[3]) for line in lines if line.startswith("0,")]
    assert set(lengths[:-1]) == {1024}
    assert len(lengths) == pytest.approx(float(load(path).duration) * RATE / 1024 + 1, abs=1.5)


def test_mono_is_as_loud_beside_stereo_as_alone(
    sources: dict[str, Path], coded: dict[str, Path], tmp_path: Path
) -> None:
    both = load(make("mono_stereo.flac", sources, coded, tmp_path)).samples
    alone = load(sources["mono"]).samples
    np.testing.assert_allclose(both[1000 : len(alone) - 1000], alone[1000:-1000], rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", ["same.wv", "same.flac"])
def test_a_last_part_that_is_cut_off_is_told(name: str, sources: dict[str, Path], tmp_path: Path) -> None:
    ffmpeg("-i", sources["stereo"], path := tmp_path / name)
    content = path.read_bytes()
    path.write_bytes(content + content[: len(content) // 2])
    heard = load(path)
    assert SECONDS * 1.2 < heard.duration < SECONDS * 1.8
    assert [f" of {2 * SECONDS:.1f} seconds can be decoded" in note for note in heard.notes] == [True]


def test_too_many_parts_are_no_parts(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", np.zeros(100), 8000)
    (tmp_path / "many.flac").write_bytes((tmp_path / "a.flac").read_bytes() * (MOST_PARTS + 1))
    assert load(tmp_path / "many.flac").duration > 1


# Levels.


@pytest.mark.parametrize(("factor", "subtype"), [(128, "FLOAT"), (32768, "DOUBLE"), (2**31, "FLOAT"), (3, "FLOAT")])
def test_floats_beyond_full_scale_are_turned_down_everywhere(factor: int, subtype: str, tmp_path: Path) -> None:
    path = tmp_path / "loud.wav"
    samples = np.stack([song(1), 0.5 * song(1)], 1)
    samples /= np.abs(samples).max()
    soundfile.write(path, samples * factor, RATE, subtype)
    heard, coded = load(path), load(played(path, ".mkv", Fraction(0), tmp_path).path)
    assert len(heard.notes) == 1
    np.testing.assert_allclose(coded.samples, heard.samples, rtol=0, atol=1e-3)
    right = soundfile.read(ffmpeg_wav(tmp_path / "sound.mkv"))[0]
    np.testing.assert_allclose(right, samples, rtol=0, atol=1e-3)


def ffmpeg_wav(path: Path) -> Path:
    ffmpeg("-i", path, "-c:a", "pcm_f32le", made := path.with_suffix(".decoded.wav"))
    return made


@pytest.mark.parametrize(
    ("faults", "level", "subtype"),
    [(3, 1, "FLOAT"), (100, 1, "FLOAT"), (1e9, 1, "DOUBLE"), (-50, 1, "FLOAT"), (1e9, 128, "FLOAT"), (40, 5, "FLOAT")],
)
def test_a_few_samples_beyond_all_others_turn_nothing_down(
    faults: float, level: float, subtype: str, tmp_path: Path
) -> None:
    """A player clips the samples of a converter's fault, and plays all others as they are."""
    samples = song(1)
    good, bad = tmp_path / "good.wav", tmp_path / "bad.wav"
    soundfile.write(good, samples * level, RATE, subtype)
    samples[[20_000, 40_001]] = faults / level
    soundfile.write(bad, samples * level, RATE, subtype)
    expected, heard = load(good), load(bad)
    assert [("is far louder at 2 of its samples" in note) for note in heard.notes if "clipped" in note] == [True]
    coded = load(played(bad, ".mkv", Fraction(0), tmp_path).path)
    for each in (heard, coded):
        ratio = np.median(levels(each.samples) / levels(expected.samples).clip(1e-9))
        assert 0.45 < ratio < 1.05, "twice the usual peak may be left of a fault"
        assert min(correlations(levels(expected.samples), levels(each.samples), rate=96)) > 0.9
    array = from_samples(soundfile.read(bad, dtype="float32")[0], RATE)
    np.testing.assert_allclose(array.samples, heard.samples, atol=1e-6)
    assert array.notes[0].endswith("they are clipped")


def test_what_a_lossy_codec_adds_to_a_few_strokes_is_no_fault(tmp_path: Path) -> None:
    samples = song(1)
    expected = from_samples(samples.copy(), RATE)
    samples[[20_000, 40_001]] = 1.7, -2.2
    soundfile.write(path := tmp_path / "a.wav", samples, RATE, "FLOAT")
    for heard in (load(path), from_samples(samples, RATE)):
        assert heard.notes == ()
        assert np.abs(levels(heard.samples) - levels(expected.samples)).max() < 0.1, "nothing is turned down"


def test_what_is_within_full_scale_stays_as_it_is(sources: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, song(1) * 1.3, RATE, "FLOAT")
    assert load(path).notes == ()
    assert np.abs(load(path).samples).max() > 1


# The comparison of what was coded with what was analysed.


FAULTS = {
    "silence": lambda block: block * 0,
    "noise": lambda block: np.random.default_rng(0).uniform(-0.3, 0.3, block.shape),
    "too loud": lambda block: block * 3,
    "too short": lambda block: block[: len(block) // 2],
    "late": lambda block: np.roll(block, round(0.1015 * RATE), axis=0),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_sound_that_is_not_what_was_analysed_is_told(
    fault: str, sources: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from audioreactive.media.decoding import Decoder

    blocks = Decoder.blocks

    def broken(decoder: Decoder):
        for block in blocks(decoder):
            is_coded = decoder.recording.path.name.startswith("sound.")
            yield FAULTS[fault](block).astype(np.float32) if is_coded else block

    monkeypatch.setattr(Decoder, "blocks", broken)
    notes = played(sources["stereo"], ".mov", Fraction(0), tmp_path).notes
    assert len(notes) == 1 and "what was analysed" in notes[0] and "\n" not in notes[0]


def test_a_song_that_was_changed_meanwhile_is_told(sources: dict[str, Path], tmp_path: Path) -> None:
    kind = output_format(Path("x.mkv"))
    track = SoundTrack(kind, sources["mono"], Fraction(0), None, tmp_path, digest=load(sources["stereo"]).digest)
    track.finish()
    assert ["was changed" in note for note in track.notes] == [True]


def test_a_sound_track_that_is_abandoned_leaves_no_process(sources: dict[str, Path], tmp_path: Path) -> None:
    track = SoundTrack(output_format(Path("x.mp4")), sources["mono"], Fraction(0), Fraction(10_000), tmp_path)
    track.abandon()
    assert not track._thread.is_alive()


# Several tracks.


TWO = {
    "flagged.mkv": (("silent", "other"), ("-disposition:a:0", "0", "-disposition:a:1", "default"), 2),
    "unflagged.mkv": (("silent", "other"), ("-disposition:a:0", "0", "-disposition:a:1", "0"), 2),
    "silent_default.mp4": (("silent", "other"), (), 2),
    "third.mov": (("silent", "mono", "other"), ("-disposition:a:1", "0", "-disposition:a:2", "default"), None),
    "first.mkv": (("other", "mono"), (), 1),
    "both_flagged.mka": (("other", "mono"), ("-disposition:a:0", "default", "-disposition:a:1", "default"), 1),
    "broadcast.ts": (("silent", "other"), (), 2),
    "all_silent.mkv": (("silent", "silent"), (), 1),
    "offset.mkv": (("offset", "other"), (), 2),
    "click.mp4": (("click", "other"), (), 2),
    "noise_floor.mov": (("floor", "other"), (), 2),
    "one_bell.mkv": (("bell", "other"), (), 1),
}


@pytest.mark.parametrize("name", TWO)
def test_the_default_track_is_played_unless_it_is_silent(name: str, sources: dict[str, Path], tmp_path: Path) -> None:
    songs, flags, expected = TWO[name]
    inputs = [argument for each in songs for argument in ("-i", sources[each])]
    maps = [argument for number in range(len(songs)) for argument in ("-map", number)]
    ffmpeg(*inputs, *maps, "-c:a", "aac", *flags, path := tmp_path / name)
    heard = load(path)
    assert heard.recording is not None
    number = heard.recording.track.number
    assert expected in (None, number)
    assert [f"{len(songs)} tracks" in note and f"track {number} " in note for note in heard.notes] == [True]
    if name not in ("all_silent.mkv", "one_bell.mkv", "broadcast.ts"):  # the last tells no encoder's delay
        reference = load(sources[songs[number - 1]]).samples
        assert min(correlations(reference, heard.samples)[1:]) > 0.9
        coded = load(played(path, ".mkv", Fraction(0), tmp_path).path)
        assert min(correlations(heard.samples, coded.samples)) > 0.95


def extensible(path: Path, samples: np.ndarray, places: int) -> Path:
    """A WAV of 16 bits whose channels (n, C) stand at `places`, a bit for each (WAVEFORMATEXTENSIBLE)."""
    count = samples.shape[1]
    data = (samples * 32767).astype("<i2").tobytes()
    form = struct.pack("<HHIIHHHHI", 0xFFFE, count, RATE, RATE * 2 * count, 2 * count, 16, 22, 16, places)
    form += bytes.fromhex("0100000000001000800000aa00389b71")
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks)
    return path


@pytest.mark.parametrize(
    ("places", "channel", "sides"),
    [
        (0x1, 0, "both"), (0x8, 0, "both"), (0x800, 0, "both"), (0x3F, 3, "both"), (0xB, 2, "both"),
        (0x503F, 6, "left"), (0x5000, 0, "left"), (0x5000, 1, "right"), (0x3003F, 7, "right"), (0x63F, 4, "left"),
        (0x2003F, 6, "right"), (0x3F, 2, "both"),
    ],
)  # fmt: skip
def test_a_sound_in_any_place_is_played(places: int, channel: int, sides: str, tmp_path: Path) -> None:
    """A single channel is mono wherever it stands, and low tones that are alone are heard."""
    count = places.bit_count()
    samples = np.zeros((round(SECONDS * RATE), count))
    samples[:, channel] = song(1)
    path = extensible(tmp_path / "a.wav", samples, places)
    heard = load(path)
    played(path, ".mkv", Fraction(0), tmp_path)
    left, right = np.broadcast_to(
        soundfile.read(ffmpeg_wav(tmp_path / "sound.mkv"), always_2d=True)[0].T, (2, len(samples))
    )
    louder = {"left": left, "right": right, "both": np.minimum(np.abs(left), np.abs(right)) * np.sign(left)}[sides]
    assert np.std(louder) > 0.1 * np.std(heard.samples)
    assert abs(np.corrcoef(louder, song(1))[0, 1]) > 0.99
    if sides != "both" and places != 0x2003F:
        assert np.abs(right if sides == "left" else left).max() < 1e-3


def test_a_track_can_be_chosen(sources: dict[str, Path], tmp_path: Path) -> None:
    inputs = ("-i", sources["other"], "-i", sources["mono"], "-map", 0, "-map", 1)
    ffmpeg(*inputs, "-c:a", "flac", path := tmp_path / "two.mkv")
    for number, name in ((1, "other"), (2, "mono")):
        heard = load(path, track=number)
        assert heard.notes == ()
        assert min(correlations(heard.samples, load(sources[name]).samples)) > 0.999
        coded = load(played(path, ".mov", Fraction(0), tmp_path, track=number).path)
        assert min(correlations(heard.samples, coded.samples)) > 0.999
    for number in (0, 3, -1):
        with pytest.raises(AudioError, match=rf"two\.mkv' has 2 tracks of sound, and no track {number}"):
            load(path, track=number)


def test_tracks_of_one_file_are_remembered_apart(sources: dict[str, Path], tmp_path: Path) -> None:
    inputs = ("-i", sources["other"], "-i", sources["mono"], "-map", 0, "-map", 1)
    ffmpeg(*inputs, "-c:a", "flac", path := tmp_path / "two.mkv")
    choice = {"fps": 24, "names": ("rms",), "segmentations": (), "cache_dir": tmp_path / "cache"}
    digests = [analyze_file(path, track=number, **choice).digest for number in (1, 2, 1)]
    assert digests == [load(path, track=number).digest for number in (1, 2, 1)]
    assert digests[0] != digests[1]


# Whole, or cut off.


CUT = ("16.wav", "rf64.wav", "a.w64", "a.aiff", "a.au", "a.caf", "a.flac", "xing.mp3", "a.wv", "pcm.mka",
       "opus.mka", "mp3.avi", "faststart.m4a", "a.opus", "long.flv")  # fmt: skip


@pytest.mark.parametrize("name", CUT)
def test_a_file_that_is_cut_off_says_so(name: str, sources: dict[str, Path], tmp_path: Path) -> None:
    extra = {"faststart.m4a": ("-c:a", "aac", "-movflags", "+faststart"), "long.flv": ("-c:a", "libmp3lame")}
    coding = PLAIN.get(name) or extra.get(name, ())
    ffmpeg("-stream_loop", 1, "-i", sources["stereo"], *coding, path := tmp_path / name)
    assert load(path).notes == ()
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * 0.55)])
    heard = load(path)
    assert 0.2 < heard.duration < 1.6 * SECONDS
    assert [f"{name} is cut off" in note for note in heard.notes] == [True]


def test_a_longer_picture_is_no_damage_of_the_sound(sources: dict[str, Path], tmp_path: Path) -> None:
    picture = ("-f", "lavfi", "-i", "color=s=32x32:r=5:d=6")
    for name in ("a.mp4", "a.mkv", "a.mov"):
        ffmpeg(*picture, "-i", sources["stereo"], "-c:v", "libx264", "-c:a", "aac", tmp_path / name)
        assert load(tmp_path / name).notes == ()


def test_tags_pictures_and_rubbish_behind_a_song_are_no_damage(sources: dict[str, Path], tmp_path: Path) -> None:
    ffmpeg("-i", sources["stereo"], *MP3, "-write_id3v1", 1, "-metadata", "title=x", tmp_path / "tagged.mp3")
    ffmpeg("-f", "lavfi", "-i", "color=s=64x64:d=1", "-frames:v", 1, tmp_path / "cover.png")
    cover = ("-i", tmp_path / "cover.png", "-map", 0, "-map", 1, "-c:v", "copy", "-disposition:v", "attached_pic")
    ffmpeg("-i", sources["stereo"], *cover, tmp_path / "cover.flac")
    ffmpeg("-i", sources["stereo"], tmp_path / "odd.wav")
    with (tmp_path / "odd.wav").open("ab") as file:
        file.write(b"something that a program left here")
    for name in ("tagged.mp3", "cover.flac", "odd.wav"):
        assert load(tmp_path / name).notes == ()


@pytest.mark.parametrize("kind", [b"free", b"data", b"uuid"])
def test_a_place_beyond_all_files_is_no_place(kind: bytes, sources: dict[str, Path], tmp_path: Path) -> None:
    ffmpeg("-i", sources["mono"], "-c:a", "pcm_s16be", "-fflags", "+bitexact", path := tmp_path / "a.caf")
    content = path.read_bytes()
    for size in (2**63 - 1, 2**62 - 1, 2**48, 2**31):
        path.write_bytes(content + kind + size.to_bytes(8))
        assert not unfinished(path)
        assert cut_off(path) is None or size == 2**31


# Words.


@pytest.mark.parametrize(
    "content", [b"moov" * 100, b"RIFF\x10\0\0\0WAVEfmt ", b"\xff\xfb" * 900, b"OggS\0\2" * 99, b"\0"]
)
def test_errors_are_sentences_of_ours(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.mp3").write_bytes(content)
    with pytest.raises(AudioError) as caught:
        load(tmp_path / "x.mp3")
    told = str(caught.value).replace(str(tmp_path), "")
    assert re.fullmatch(r"'/x\.mp3' [^\[\]@]+", told) and "0x" not in told and len(told) < 250
    kind = output_format(Path("x.mp4"))
    track = SoundTrack(kind, tmp_path / "x.mp3", Fraction(0), None, tmp_path)
    with pytest.raises(VideoError, match="the video's sound cannot be made"):
        track.finish()


def test_a_video_without_sound_says_that(tmp_path: Path) -> None:
    ffmpeg(*BLACK, "-c:v", "libx264", path := tmp_path / "mute.mp4")
    with pytest.raises(AudioError, match=r"mute\.mp4' holds no sound that can be decoded \(there is none in it\)"):
        load(path)
