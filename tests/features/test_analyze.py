"""From a sound to features on frames: every name, every frame rate, every awkward sound."""

from __future__ import annotations

import errno
import io
import itertools
import json
import subprocess
import sys
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile
from sounds import chord, clicks, music, noise, silence, tone

from audioreactive.errors import AudioError, FeatureError
from audioreactive.features import (
    EVERY_FEATURE,
    SEGMENTABLE,
    SOURCES,
    USUAL_FEATURES,
    Features,
    analyze,
    analyze_file,
    blocks,
    split_name,
)
from audioreactive.features.analysis import Analysis, on_frames, song_key
from audioreactive.features.listening import listen
from audioreactive.media.audio import ANALYSIS_RATE, Audio, from_samples

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FPS = Fraction(24)
FRAME_RATES = (Fraction(24), Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60))


def sound(samples: np.ndarray) -> Audio:
    return from_samples(samples, ANALYSIS_RATE)


def check(features: Features, names: tuple[str, ...] = USUAL_FEATURES) -> None:
    assert tuple(features) == names
    for name in names:
        values = features[name]
        assert values.shape == (features.frames, split_name(name)[1].channels)
        assert values.dtype == np.float32
        assert np.isfinite(values).all()
        assert values.min() >= 0
        assert values.max() <= 1
        assert not values.flags.writeable


@pytest.fixture(scope="module")
def song() -> Audio:
    return sound(music(8))


@pytest.fixture(scope="module")
def heard(song: Audio) -> Analysis:
    """Analysis of the song, from which features of any frame rate are made."""
    return listen(song, keys=sorted({song_key(name) for name in USUAL_FEATURES}), segmentations=SEGMENTABLE)


def at_rate(heard: Analysis, fps: Fraction) -> Features:
    return on_frames(heard, fps=fps, names=USUAL_FEATURES, stems={}, segmentations=SEGMENTABLE)


def test_an_analysis_is_what_is_heard_on_frames(song: Audio, heard: Analysis) -> None:
    features, expected = analyze(song, fps=FPS), at_rate(heard, FPS)
    for name in USUAL_FEATURES:
        np.testing.assert_array_equal(features[name], expected[name], err_msg=name)
    for name in SEGMENTABLE:
        np.testing.assert_array_equal(features.segmentations[name], expected.segmentations[name], err_msg=name)
    np.testing.assert_array_equal(features.downbeats, expected.downbeats)


@pytest.mark.parametrize("fps", FRAME_RATES)
def test_the_whole_default_set(song: Audio, heard: Analysis, fps: Fraction) -> None:
    features = at_rate(heard, fps)
    check(features)
    assert features.fps == fps
    assert features.frames == -(-song.duration * fps // 1)
    assert features.digest == song.digest
    assert set(features.segmentations) == set(SEGMENTABLE)
    for name in SEGMENTABLE:
        for k in (2, 9, 16):
            labels = features.segmentation(name, k)
            assert labels.shape == (features.frames,)
            assert labels.max() < k


def test_every_feature_of_every_source(song: Audio) -> None:
    names = (*EVERY_FEATURE, *(f"{source}.{feature}" for source in SOURCES for feature in EVERY_FEATURE))
    check(analyze(song, fps=FPS, names=names, segmentations=()), names)


def test_bare_names_mean_the_part_in_which_a_feature_is_heard(song: Audio) -> None:
    names = ("onsets", "percussive.onsets", "chroma", "harmonic.chroma", "tonnetz", "harmonic.tonnetz")
    features = analyze(song, fps=FPS, names=names, segmentations=())
    for bare, full in zip(names[::2], names[1::2], strict=True):
        np.testing.assert_array_equal(features[bare], features[full])


def test_a_feature_does_not_depend_on_what_else_is_asked_for(song: Audio) -> None:
    everything = analyze(song, fps=FPS)
    for name in USUAL_FEATURES:
        alone = analyze(song, fps=FPS, names=(name,), segmentations=())
        np.testing.assert_allclose(alone[name], everything[name], rtol=0, atol=1e-4, err_msg=name)
        np.testing.assert_array_equal(alone.beats, everything.beats)


def test_nothing_is_separated_unless_something_needs_it(song: Audio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks.separation, "hpss", lambda y: pytest.fail("separated"))
    monkeypatch.setattr(blocks.pitch, "cqt_magnitude", lambda *a, **k: pytest.fail("looked for notes"))
    analyze(song, fps=FPS, names=("rms", "mfcc", "bass.onsets", "high.rms", "pulse"), segmentations=("mfcc",))


@pytest.mark.parametrize(
    "names",
    [(*USUAL_FEATURES, "bass.chroma", "percussive.mfcc"), ("onsets", "percussive.rms", "harmonic.mfcc"), ("mfcc",)],
    ids=["all", "no notes", "no parts"],
)
def test_blocks_do_not_show(names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    audio = sound(music(17.123))
    keys = [song_key(name) for name in names]
    whole = listen(audio, keys=keys, segmentations=())
    monkeypatch.setattr(blocks, "BLOCK", 1 << 17)
    pieces = listen(audio, keys=keys, segmentations=())
    np.testing.assert_array_equal(pieces.beats, whole.beats)
    for key in keys:
        # A decimated sound differs in its last bits with the place where it was cut out.
        np.testing.assert_allclose(pieces.envelopes[key], whole.envelopes[key], rtol=0, atol=1e-3, err_msg=key)


# --- what is heard ---


def test_mel_bands_lie_in_a_file(song: Audio) -> None:
    """They are most of what is measured; they are let go behind every pass, and read again."""
    wanted = blocks.Wanted(frozenset({"mix.onsets", "mix.mfcc"}))
    measured = blocks.measure(song.samples, wanted, lambda share: None)
    for key in ("mix.attack", "mix.colour"):
        assert isinstance(measured[key].base, np.memmap), key
        first = np.concatenate(list(blocks.pieces(measured[key])))
        np.testing.assert_array_equal(measured[key], first)
    assert not isinstance(measured["mix.harmony"].base, np.memmap)


def test_a_temporary_folder_that_is_full(song: Audio, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(blocks.tempfile, "TemporaryFile", Full)
    with pytest.raises(FeatureError, match=r"takes no more \(No space left on device\); .*TMPDIR"):
        analyze(song, fps=24, names=["onsets"], segmentations=())


def test_bands_hear_their_own_range() -> None:
    names = ("bass.rms", "mid.rms", "high.rms")
    for hz, loud in ((80, "bass.rms"), (700, "mid.rms"), (5000, "high.rms")):
        audio = sound(tone(hz, 3))
        raw = {name: listen_raw(audio, name) for name in names}
        middle = slice(50, -50)
        assert raw[loud][middle].mean() == pytest.approx(0.3 / np.sqrt(2), rel=0.01)
        assert all(raw[name][middle].max() < 0.01 for name in names if name != loud)


def listen_raw(audio: Audio, name: str) -> np.ndarray:
    """The loudness of a part before it is scaled."""
    wanted = blocks.Wanted(frozenset({song_key(name)}))
    return blocks.measure(audio.samples, wanted, lambda share: None)[f"{name.partition('.')[0]}.loudness"][:, 0]


def test_a_stroke_in_one_band_is_an_onset_of_that_band() -> None:
    thump = np.exp(-np.arange(6000) / 1500) * np.sin(np.arange(6000) * 2 * np.pi * 70 / ANALYSIS_RATE)
    samples = noise(12, 1e-4)
    for place in (1, 3, 5, 7, 9, 11):
        samples[place * ANALYSIS_RATE :][:6000] += (0.5 * np.hanning(200)[:100].mean() * thump).astype(np.float32)
    samples += np.convolve(clicks(np.arange(2, 12, 2), 12), [1, -2, 1], mode="same").astype(np.float32)
    features = analyze(sound(samples), fps=FPS, names=("bass.onsets", "high.onsets"), segmentations=())
    bass, high = features["bass.onsets"][:, 0], features["high.onsets"][:, 0]
    for place in (3, 5, 7, 9):
        assert bass[place * 24 : place * 24 + 2].max() > 0.5
    for place in (4, 6, 8):
        assert high[place * 24 : place * 24 + 2].max() > 0.5
        assert high[place * 24 : place * 24 + 2].max() > bass[place * 24 : place * 24 + 2].max()


def test_chroma_names_the_notes() -> None:
    a_minor = chord([220, 261.63, 329.63], 4)
    features = analyze(sound(a_minor), fps=FPS, names=("chroma", "bass.chroma"), segmentations=())
    strongest = features["chroma"][24:72].mean(axis=0).argsort()[-3:]
    assert set(strongest.tolist()) == {0, 4, 9}  # C, E, A


def test_drop_weight_is_low_before_the_drop_and_high_after_it() -> None:
    audio = sound(np.concatenate([noise(15, 0.02), noise(15, 0.3)]))
    weight = analyze(audio, fps=FPS, names=("drop_weight",), segmentations=())["drop_weight"][:, 0]
    assert weight[: 10 * 24].max() < 0.1
    assert weight[20 * 24 :].min() > 0.9
    assert (np.diff(weight[5 * 24 : -5 * 24]) > -1e-3).all()


def test_the_pulse_peaks_on_the_beats() -> None:
    times = np.arange(0.25, 20, 0.5)
    pulse = analyze(sound(clicks(times, 20) + noise(20, 1e-3)), fps=Fraction(60), names=("pulse",), segmentations=())
    on = pulse["pulse"][(times * 60).astype(int)][4:-4].mean()
    off = pulse["pulse"][((times + 0.25) * 60).astype(int)[:-1]][4:-4].mean()
    assert on > 0.8
    assert off < 0.05


def test_silence_between_sounds_is_not_taken_for_noise() -> None:
    samples = np.concatenate([noise(2), silence(2), tone(440, 2), noise(2)])
    flatness = analyze(sound(samples), fps=FPS, names=("spectral_flatness",), segmentations=())["spectral_flatness"][
        :, 0
    ]
    assert flatness[6:42].min() > 0.9
    assert flatness[54:90].max() == 0
    assert flatness[102:138].max() < 0.1


def test_sections_that_return_share_a_label() -> None:
    verse = np.concatenate([chord([220, 261.6, 329.6], 2, 0.1), chord([174.6, 220, 261.6], 2, 0.1)] * 2)
    refrain = np.concatenate([chord([146.8, 185, 220], 2, 0.1), chord([196, 246.9, 293.7], 2, 0.1)] * 2)
    samples = np.concatenate([verse, refrain, verse, refrain]) + clicks(np.arange(0.05, 31.9, 0.5), 32, 0.3)
    features = analyze(sound(samples + noise(32, 1e-3)), fps=FPS, names=("rms",))
    labels = features.segmentation("chroma", 2).reshape(4, -1)[:, 60:-60]
    assert [int(np.bincount(part).argmax()) for part in labels] == [0, 1, 0, 1]


# --- time ---


@pytest.fixture(scope="module")
def half_an_hour() -> tuple[Audio, np.ndarray]:
    """Clicks at odd times in minute 1 and in minute 30 of near silence."""
    random = np.random.default_rng(5)
    times = np.concatenate([np.arange(5, 55, 2.0), np.arange(1745, 1795, 2.0)])
    times += random.uniform(0, 1, len(times))
    samples = np.zeros(1800 * ANALYSIS_RATE, np.float32)
    for start in (0, 1740):
        samples[start * ANALYSIS_RATE :][: 60 * ANALYSIS_RATE] = noise(60, 1e-3, seed=start)
    burst = np.exp(-np.arange(400) / 60) * np.cos(np.arange(400) * 2 * np.pi * 3000 / ANALYSIS_RATE) * 0.8
    for time in times:
        samples[round(time * ANALYSIS_RATE) :][:400] += burst.astype(np.float32)
    return Audio(samples, ANALYSIS_RATE, "half an hour", "0" * 64), times


def test_clicks_are_on_time_after_half_an_hour(half_an_hour: tuple[Audio, np.ndarray]) -> None:
    """At two frame rates that differ most; others below."""
    audio, times = half_an_hour
    heard = listen(audio, keys=["high.onsets"], segmentations=())
    for fps in FRAME_RATES[1::2]:
        features = on_frames(heard, fps=fps, names=("high.onsets",), stems={}, segmentations=())
        assert_on_time(features["high.onsets"], times, fps)


def assert_on_time(envelope: np.ndarray, times: np.ndarray, fps: Fraction) -> None:
    """The peak of every click is shown in the frame in which it is heard, or the next to it."""
    reach = int(0.2 * fps)
    for time in times:
        frame = int(Fraction(time) * fps)
        shown = frame - reach + int(envelope[frame - reach : frame + reach, 0].argmax())
        assert abs(shown - frame) <= 1, (fps, time)


STROKES = {
    "burst": lambda k: np.exp(-k / 60) * np.cos(k * 2 * np.pi * 3000 / ANALYSIS_RATE) * 0.8,
    "kick": lambda k: np.exp(-k / 1500) * np.sin(k * 2 * np.pi * 60 / ANALYSIS_RATE) * 0.8,
    "snare": lambda k: np.exp(-k / 1000) * np.random.default_rng(1).normal(size=len(k)) * 0.3,
    "pluck": lambda k: np.exp(-k / 4000) * np.sign(np.sin(k * 2 * np.pi * 440 / ANALYSIS_RATE)) * 0.2,
}


@pytest.mark.parametrize("level", [0, 1e-3, 1e-2])
@pytest.mark.parametrize("stroke", STROKES)
def test_strokes_of_all_kinds_are_on_time(stroke: str, level: float) -> None:
    random = np.random.default_rng(0)
    times = np.arange(1, 15, 0.7) + random.uniform(0, 0.3, 20)
    samples = noise(17, level)
    for time in times:
        place = round(time * ANALYSIS_RATE)
        samples[place : place + 9000] += STROKES[stroke](np.arange(9000))[: len(samples) - place].astype(np.float32)
    heard = listen(sound(samples), keys=[song_key("onsets")], segmentations=())
    for fps in FRAME_RATES:
        features = on_frames(heard, fps=fps, names=("onsets",), stems={}, segmentations=())
        assert_on_time(features["onsets"], times, fps)


def test_features_step_where_the_sound_does() -> None:
    """Two steady chords in turn, loud and soft: however long a feature's windows are, it is half-way at the change."""
    starts = np.cumsum(np.random.RandomState(0).uniform(1.4, 2.6, 12))
    edges = np.concatenate(([0.0], starts, [starts[-1] + 2]))
    chords, levels = ([220, 277.2, 329.6], [246.9, 293.7, 370]), (0.02, 0.1)
    parts = [
        sum(tone(hz, stop - start, levels[i % 2]) for hz in chords[i % 2])
        for i, (start, stop) in enumerate(itertools.pairwise(edges))
    ]
    features = analyze(sound(np.concatenate(parts)), fps=FPS, segmentations=())
    for name in ("chroma", "tonnetz", "mfcc", "rms", "harmonic.rms"):
        values = features[name].astype(np.float64)
        late = []
        for start in starts * float(FPS):
            near = np.arange(int(start) - 10, int(start) + 12)
            before, after = values[near[0] - 4 : near[0]].mean(0), values[near[-1] + 1 : near[-1] + 5].mean(0)
            share = (values[near] - before) @ (after - before) / np.square(after - before).sum()
            late.append(np.interp(0.5, np.maximum.accumulate(share), near) - start)
        assert abs(np.mean(late)) < 0.4, name
        assert np.abs(late).max() < 2, name


def test_videos_at_different_frame_rates_move_alike() -> None:
    audio = sound(music(10))
    names = ("onsets", "rms", "chroma", "mfcc", "pulse", "drop_weight")
    slow, fast = (analyze(audio, fps=fps, names=names, segmentations=()) for fps in (Fraction(24), Fraction(48)))
    for name in ("rms", "chroma", "mfcc", "pulse", "drop_weight"):
        np.testing.assert_allclose(slow[name], fast[name][::2], rtol=0, atol=1e-6)
    # A frame that is shown twice as long holds the higher of two peaks.
    np.testing.assert_allclose(slow["onsets"], fast["onsets"].reshape(-1, 2, 1).max(axis=1), rtol=0, atol=0.35)
    assert slow["onsets"].max() == fast["onsets"].max() == 1


def test_sections_change_at_the_same_moment_at_every_frame_rate(heard: Analysis) -> None:
    def changes(fps: Fraction) -> list[float]:
        return [float((i + 1) / fps) for i in np.flatnonzero(np.diff(at_rate(heard, fps).segmentation("mfcc", 4)))]

    reference = changes(Fraction(240))
    for fps in FRAME_RATES:
        np.testing.assert_allclose(changes(fps), reference, atol=float(1 / fps))


# --- awkward sounds ---


@pytest.mark.parametrize("seconds", [0.5, 12])
def test_digital_silence(seconds: float) -> None:
    features = analyze(sound(silence(seconds)), fps=FPS)
    check(features)
    for name in features:
        assert not features[name].any(), name
    assert len(features.beats) == len(features.downbeats) == 0
    assert features.tempo == 0
    assert not any(features.segmentation(name, k).any() for name in SEGMENTABLE for k in (2, 16))


@pytest.mark.parametrize("samples", [1, 2, 100, 1023, 1024, 1229, 5000])
def test_sounds_shorter_than_a_window(samples: int) -> None:
    features = analyze(sound(noise(1)[:samples]), fps=FPS)
    check(features)
    assert features.frames == max(1, -(-samples // 1024))


@pytest.mark.parametrize(
    "make", [lambda: tone(440, 3), lambda: noise(3), lambda: clicks([1.5], 3), lambda: np.ones(50_000)]
)
def test_monotonous_sounds(make: Callable[[], np.ndarray]) -> None:
    check(analyze(sound(make()), fps=FPS))


def test_a_quiet_song_moves_like_a_loud_one() -> None:
    names = ("rms", "onsets", "chroma", "bass.rms", "drop_weight")
    loud, quiet = (analyze(sound(music(6) * gain), fps=FPS, names=names, segmentations=()) for gain in (1, 0.25))
    for name in names:
        np.testing.assert_allclose(quiet[name], loud[name], rtol=0, atol=0.02, err_msg=name)


def test_sound_at_another_rate_is_refused() -> None:
    with pytest.raises(AudioError, match="at 44100 Hz; make it with"):
        analyze(Audio(noise(1), 44_100, "mine", "0" * 64), fps=FPS)


# --- names and stems ---


@pytest.mark.parametrize("name", ["onset", "bass.onset", "bass.", ".rms", "a.b.rms", ""])
def test_an_unknown_feature(song: Audio, name: str) -> None:
    with pytest.raises(FeatureError, match="there is no feature"):
        analyze(song, fps=FPS, names=(name,))


def test_a_stem_that_was_not_given(song: Audio) -> None:
    with pytest.raises(
        FeatureError, match=r"'drums\.rms' is of the stem 'drums', which was not given; .*--stem drums="
    ):
        analyze(song, fps=FPS, names=("drums.rms",))


@pytest.mark.parametrize("stem", ["bass", "", "my.drums"])
def test_a_stem_by_an_impossible_name(song: Audio, stem: str) -> None:
    with pytest.raises(FeatureError, match="a stem cannot be called"):
        analyze(song, fps=FPS, stems={stem: song})


def test_a_segmentation_that_does_not_exist(song: Audio) -> None:
    with pytest.raises(FeatureError, match=r"no segmentation of 'rms'; choose among chroma"):
        analyze(song, fps=FPS, segmentations=("rms",))


def test_a_stem_is_heard_as_it_is() -> None:
    drums = sound(clicks([1, 2, 3], 4))
    features = analyze(
        sound(tone(220, 4)), fps=FPS, names=("drums.onsets", "drums.chroma", "onsets"), stems={"drums": drums}
    )
    direct = analyze(drums, fps=FPS, names=("high.onsets",), segmentations=())
    peaks = np.flatnonzero(features["drums.onsets"][:, 0] > 0.9)
    np.testing.assert_array_equal(peaks, np.flatnonzero(direct["high.onsets"][:, 0] > 0.9))
    assert peaks.tolist() == [24, 48, 72]


@pytest.mark.parametrize("seconds", [2, 9])
def test_a_stem_of_another_length_is_padded_or_cut(seconds: int, tmp_path: Path) -> None:
    song, stem = tmp_path / "song.wav", tmp_path / "stem.wav"
    soundfile.write(song, music(5), ANALYSIS_RATE)
    soundfile.write(stem, tone(220, seconds), ANALYSIS_RATE)
    notes: list[str] = []
    features = analyze_file(
        song, fps=FPS, names=("pad.rms", "pad.onsets"), stems={"pad": stem}, cache_dir=tmp_path, warn=notes.append
    )
    assert features["pad.rms"].shape == features["pad.onsets"].shape == (120, 1)
    assert features["pad.rms"][24:40].min() > 0.5
    assert (features["pad.rms"][60:].max() > 0.5) == (seconds > 5)
    assert notes == [
        "the stem pad is 4.0 s longer than the song: its end is left out"
        if seconds == 9
        else "the stem pad is 3.0 s shorter than the song: it is silent after its end"
    ]


@pytest.mark.parametrize("fps", [0, -24, 1001, Fraction(29.97)])
def test_a_frame_rate_that_cannot_be_counted(song: Audio, fps: Fraction) -> None:
    with pytest.raises(FeatureError, match=r"frames a second were asked for; give a fraction up to 1000"):
        analyze(song, fps=fps)


def test_whole_frame_rates_and_plain_names_of_files(song: Audio, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song.wav", music(2), ANALYSIS_RATE)
    features = analyze_file(str(tmp_path / "song.wav"), fps=25, names=("rms",), segmentations=(), use_cache=False)
    assert features.fps == Fraction(25)
    assert features.frames == 50


def test_progress_goes_from_0_to_1(song: Audio) -> None:
    shares: list[float] = []
    analyze(
        song, fps=FPS, stems={"s": song}, names=("rms", "s.rms"), progress=lambda stage, share: shares.append(share)
    )
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_what_is_cached_needs_nothing_heavy(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song.wav", music(3), ANALYSIS_RATE)
    code = (
        "import json, sys\nfrom fractions import Fraction\nfrom pathlib import Path\n"
        "from audioreactive.features import analyze_file\n"
        "analyze_file(Path(sys.argv[1]), fps=Fraction(int(sys.argv[3])), cache_dir=Path(sys.argv[2]))\n"
        "print(json.dumps(sorted(sys.modules)))"
    )

    def modules(fps: int) -> set[str]:
        arguments = [sys.executable, "-c", code, str(tmp_path / "song.wav"), str(tmp_path / "cache"), str(fps)]
        return set(json.loads(subprocess.run(arguments, capture_output=True, check=True).stdout))

    heavy = {"scipy", "torch", "librosa", "numba", "soundfile", "soxr", "matplotlib", "madmom", "pydantic"}
    assert "scipy" in modules(24)
    assert not heavy & modules(30)
    assert not {"torch", "librosa", "numba"} & modules(24)
