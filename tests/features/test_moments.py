"""Strokes of every band count alike, and drops are found when they are."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray
from sounds import chord, clicks, music, noise, silence, tone

from audioreactive.features import MOMENTS, Features, analyze, analyze_file, moments
from audioreactive.features.analysis import on_frames, song_key
from audioreactive.features.listening import listen
from audioreactive.media.audio import ANALYSIS_RATE as SR
from audioreactive.media.audio import from_samples
from audioreactive.media.demo import DEMO_SONG, ground_truth

FPS = Fraction(24)
NAMES = ("hits", "bass.hits", "mid.hits", "high.hits", "drop_moment", "drop_level", "build", "onsets")
Sound = NDArray[np.float32]


def hear(samples: NDArray[np.floating], names: tuple[str, ...] = NAMES) -> Features:
    return analyze(from_samples(np.asarray(samples, np.float32), SR), fps=FPS, names=names, segmentations=())


def kick(level: float = 0.8) -> Sound:
    time = np.arange(round(0.3 * SR)) / SR
    phase = 2 * np.pi * np.cumsum(50 + 110 * np.exp(-time / 0.03)) / SR
    return (level * np.sin(phase) * np.exp(-time / 0.12)).astype(np.float32)


def snare(level: float = 0.5) -> Sound:
    time = np.arange(round(0.25 * SR)) / SR
    rattle = 0.5 * np.random.default_rng(2).normal(size=len(time)) * np.exp(-time / 0.07)
    return (level * (rattle + 0.5 * np.sin(2 * np.pi * 190 * time) * np.exp(-time / 0.05))).astype(np.float32)


def hat(level: float = 0.15) -> Sound:
    sharp = np.diff(np.random.default_rng(3).normal(size=2000), 2)
    return (0.5 * level * sharp * np.exp(-np.arange(1998) / SR / 0.02)).astype(np.float32)


def place(sound: Sound, stroke: Sound, times: list[float]) -> None:
    for time in times:
        here = sound[round(time * SR) :][: len(stroke)]
        here += stroke[: len(here)]


def pad(seconds: float) -> Sound:
    chords = [chord([220, 261.6, 329.6], 2, 0.03), chord([174.6, 220, 261.6], 2, 0.03)] * (int(seconds / 4) + 1)
    return np.concatenate(chords)[: round(seconds * SR)]


# beats a minute; kicks, snares and hats in beats of a bar
PATTERNS = {
    "house": (125, (0, 2), (1, 3), (0.5, 1.5, 2.5, 3.5)),
    "trap": (140, (0, 0.75, 2.5), (2,), tuple(np.arange(0, 4, 0.25))),
    "drum and bass": (174, (0, 2.5), (1, 3), tuple(np.arange(0, 4, 0.5))),
    "rock": (96, (0, 2, 2.5), (1, 3), tuple(np.arange(0, 4, 0.5))),
}


def pattern(name: str, seconds: float = 14) -> tuple[Sound, list[float], list[float]]:
    """(sound, times of the kicks, of the snares)."""
    bpm, *beats = PATTERNS[name]
    bars = np.arange(0.3, seconds - 240 / bpm, 240 / bpm)
    kicks, snares, hats = ([float(bar + beat * 60 / bpm) for bar in bars for beat in some] for some in beats)
    sound = pad(seconds)
    for stroke, times in ((kick(), kicks), (snare(), snares), (hat(), hats)):
        place(sound, stroke, times)
    return sound, kicks, snares


def at(features: Features, name: str, times: list[float]) -> float:
    """The mean height of a feature's peaks near these times, but for the first and the last."""
    values = features[name][:, 0]
    return float(np.mean([values[int(t * FPS) - 1 : int(t * FPS) + 2].max() for t in times[1:-1]]))


@pytest.mark.parametrize("name", PATTERNS)
def test_a_kick_counts_like_a_snare(name: str) -> None:
    sound, kicks, snares = pattern(name)
    features = hear(sound)
    assert 0.8 < at(features, "hits", kicks) / at(features, "hits", snares) < 1.25
    assert at(features, "bass.hits", kicks) > 0.8
    assert at(features, "high.hits", snares) > 0.8
    assert at(features, "high.hits", kicks) < 0.5
    # What `hits` is there for: in the flux over all bands alike, the kick is a fraction of the snare.
    assert at(features, "onsets", kicks) < 0.7 * at(features, "onsets", snares)


def test_soft_strokes_count_less_than_loud_ones_next_to_them() -> None:
    sound, times = pad(12), list(np.arange(0.5, 11.5, 0.5))
    place(sound, snare(0.5), times[::2])
    place(sound, snare(0.05), times[1::2])
    features = hear(sound)
    assert 0.1 < at(features, "hits", times[1::2]) < 0.6 < at(features, "hits", times[::2])


def test_a_roll_is_seen() -> None:
    sound, roll = pad(12), list(np.arange(6, 8, 0.0625))
    place(sound, snare(0.3), [*np.arange(0.5, 6, 1), *np.arange(8.5, 11.5, 1)])
    place(sound, snare(0.3), roll)
    hits = hear(sound)["hits"][:, 0]
    assert hits[int(6.2 * FPS) : int(7.9 * FPS)].mean() > 0.25
    assert hits[int(6.2 * FPS) : int(7.9 * FPS)].mean() > 3 * hits[int(2.2 * FPS) : int(5.9 * FPS)].mean()


@pytest.mark.parametrize(
    "sound", [pad(8), tone(220, 8), noise(8), silence(8)], ids=["chords", "tone", "noise", "silence"]
)
def test_where_nothing_strikes_there_are_no_hits(sound: Sound) -> None:
    hits = hear(sound)["hits"][int(FPS) : -int(FPS), 0]
    assert np.median(hits) < 0.4  # noise has strokes of its own, narrow band by narrow band


@pytest.mark.parametrize("stroke", [kick(), snare(), hat(0.5)], ids=["kick", "snare", "hat"])
def test_hits_are_on_time(stroke: Sound) -> None:
    times = list(np.arange(1, 14, 0.7) + np.random.default_rng(0).uniform(0, 0.3, 19))
    sound = tone(440, 15, 0.02)
    place(sound, stroke, times)
    heard = listen(from_samples(sound, SR), keys=[song_key("hits")], segmentations=())
    for fps in (Fraction(24), Fraction(30000, 1001), Fraction(60)):
        hits = on_frames(heard, fps=fps, names=("hits",), stems={}, segmentations=())["hits"][:, 0]
        reach = int(0.2 * fps)
        late = [int(hits[int(t * fps) - reach : int(t * fps) + reach].argmax()) - reach for t in times]
        assert abs(np.mean(late)) * float(1 / fps) < 0.02, fps
        assert np.abs(late).max() <= max(1, int(0.025 * fps)), fps


def test_hits_count_alike_at_every_level() -> None:
    loud, quiet = (hear(music(8) * gain, ("hits",))["hits"] for gain in (1, 0.1))
    np.testing.assert_allclose(loud, quiet, rtol=0, atol=0.05)


# --- drops ---


def with_drop(bpm: float, drop: float, gap: float, seconds: float = 24) -> Sound:
    """A pad, a roll that grows, perhaps a gap, and a drop: kick, snare, bass."""
    beat, sound = 60 / bpm, pad(seconds)
    rise = np.linspace(0, 1, round(8 * beat * SR)) ** 2
    start = round((drop - 8 * beat) * SR)
    sound[start:][: len(rise)] += (0.05 * rise * np.random.default_rng(5).normal(size=len(rise))).astype(np.float32)
    for share, step in ((0.0, 2), (0.5, 4), (0.75, 8)):
        stop = {0.0: 0.5, 0.5: 0.75, 0.75: 1.0}[share]
        for time in np.arange(drop - 8 * beat * (1 - share), drop - 8 * beat * (1 - stop) - 0.01, beat / step):
            place(sound, snare(0.08 + 0.3 * (1 - (drop - time) / (8 * beat))), [float(time)])
    sound[round((drop - gap) * SR) : round(drop * SR)] *= 0.02
    beats = list(np.arange(drop, seconds - 0.3, beat))
    place(sound, kick(), beats)
    place(sound, snare(), beats[1::2])
    time = np.arange(round(beat / 2 * SR)) / SR
    bass = 0.3 * np.sin(2 * np.pi * 55 * time) * np.minimum(1, time / 0.01)
    place(sound, bass.astype(np.float32), [t + beat / 2 for t in beats])
    return sound


@pytest.mark.parametrize("bpm, drop, gap", [(125, 12.25, 0), (125, 12.25, 0.24), (140, 14.02, 0.43), (174, 11.1, 0.17)])
def test_a_drop_is_found_when_it_is(bpm: float, drop: float, gap: float) -> None:
    features, frame = hear(with_drop(bpm, drop, gap)), int(drop * FPS)
    found = np.flatnonzero(features["drop_moment"][:, 0] > 0.5)
    assert 1 <= len(found) <= 2
    assert abs(int(features["drop_moment"][:, 0].argmax()) - frame) <= 1
    level, build = features["drop_level"][:, 0], features["build"][:, 0]
    assert level[frame + 1] - level[frame - 2] > 0.05
    assert level[int(FPS)] < 0.2
    assert level[frame + 1 : frame + 48].min() > 0.8
    assert build[frame - 2] > 0.9
    assert build[frame + 1 :].max() == 0
    assert build[frame - int(9 * 60 / bpm * FPS)] < 0.3
    assert (np.diff(build[: frame - 1]) >= -1e-6).all()


def test_a_song_that_simply_gets_louder_has_a_drop_without_a_build() -> None:
    features = hear(np.concatenate([noise(10, 0.02), noise(10, 0.3)]))
    assert np.abs(np.flatnonzero(features["drop_moment"][:, 0]) - 240).max() <= 1
    assert not features["build"].any()
    level = features["drop_level"][:, 0]
    assert level[:238].max() < 0.1
    assert level[242:].min() > 0.9


@pytest.mark.parametrize(
    "make",
    [lambda: pattern("house")[0], lambda: music(12), lambda: noise(12), lambda: tone(100, 12), lambda: silence(12)],
    ids=["house", "music", "noise", "tone", "silence"],
)
def test_a_song_that_goes_on_has_no_drop(make: object) -> None:
    features = hear(make(), ("drop_moment", "build"))  # type: ignore[operator]
    assert not features["drop_moment"].any()
    assert not features["build"].any()


def test_when_the_music_falls_back_it_is_no_drop() -> None:
    features = hear(np.concatenate([noise(10, 0.3), noise(10, 0.02)]))
    assert not features["drop_moment"].any()
    level = features["drop_level"][:, 0]
    assert level[237] > 0.9
    assert level[243] < 0.1


def test_the_drops_of_the_demo_song() -> None:
    features = analyze_file(DEMO_SONG, fps=FPS, names=("drop_moment",), segmentations=(), use_cache=False)
    loud = [section.start for section in ground_truth().sections if section.label == "B"]
    found = np.flatnonzero(features["drop_moment"][:, 0]) / float(FPS)
    np.testing.assert_allclose(found, loud, atol=2 / float(FPS))


def test_every_moment_of_every_part() -> None:
    names = tuple(f"{part}{name}" for part in ("", "bass.", "high.", "percussive.", "harmonic.") for name in MOMENTS)
    features = hear(music(6) + clicks([2], 6), names)
    for name in names:
        assert features[name].min() >= 0, name
        assert features[name].max() <= 1, name


def test_peaks_are_held_both_ways() -> None:
    half, whole = np.exp(-0.5), np.exp(-1)
    peaks = moments.held(np.array([0, 0, 1, 0, 0, 0.5, 0]), 2.0)
    np.testing.assert_allclose(peaks, [whole, half, 1, half, whole, 0.5, 0.5 * half])
