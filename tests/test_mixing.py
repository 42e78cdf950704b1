"""Every channel is heard, an offset is not, and silence is silence."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import hilbert
from sounds import chord, clicks, music, noise, silence, tone

from audioreactive.errors import AudioError
from audioreactive.features import Features, analyze
from audioreactive.media import mixing
from audioreactive.media.audio import ANALYSIS_RATE, Audio, from_samples
from audioreactive.media.decoding import Decoder, contents, recording_of
from audioreactive.media.demo import DEMO_SONG
from audioreactive.media.mixing import Mixer
from audioreactive.media.offsets import OffsetFilter

if TYPE_CHECKING:
    from collections.abc import Callable

RATE = 44_100
FPS = Fraction(24)
Sound = NDArray[np.float32]


def mixed(sound: NDArray[np.floating], rate: int = RATE, blocks: tuple[int, ...] = (30_000,)) -> Sound:
    """A sound (N,) or (N, C) through a mixer, in blocks of these lengths in turn."""
    sound = np.asarray(sound, np.float32)
    sound = sound[:, None] if sound.ndim == 1 else sound
    mixer, done, start, turn = Mixer(rate, sound.shape[1]), [], 0, 0
    while start < len(sound):
        stop = start + blocks[turn % len(blocks)]
        done.append(mixer.add(sound[start:stop]))
        start, turn = stop, turn + 1
    return np.concatenate([*done, mixer.finish()]) * np.float32(mixer.gain)


def columns(*channels: NDArray[np.floating]) -> Sound:
    return np.stack(channels, axis=1).astype(np.float32)


def drums(seconds: float = 6) -> Sound:
    """Strokes of noise, 125 a minute, at RATE."""
    random, sound = np.random.default_rng(0), np.zeros(round(seconds * RATE), np.float32)
    fading = np.exp(-np.arange(3500) / 880)
    for time in np.arange(0.25, seconds - 0.2, 0.48):
        sound[round(time * RATE) :][:3500] += (0.3 * random.standard_normal(3500) * fading).astype(np.float32)
    return sound


def kicks(seconds: float = 6) -> Sound:
    """Strokes of a low tone, 125 a minute, at RATE."""
    sound, k = np.zeros(round(seconds * RATE), np.float32), np.arange(9000)
    stroke = 0.5 * np.exp(-k / 2500) * np.sin(2 * np.pi * 60 * k / RATE)
    for time in np.arange(0.25, seconds - 0.3, 0.48):
        sound[round(time * RATE) :][:9000] += stroke.astype(np.float32)
    return sound


def heard(sound: NDArray[np.floating], rate: int = RATE) -> Features:
    return analyze(from_samples(sound, rate), fps=FPS, names=("rms", "onsets", "drop_weight"), segmentations=())


# --- channels ---

NOTHING = np.zeros(6 * RATE, np.float32)
QUARTER = {"ahead": 1, "behind": -1}
LAYOUTS: dict[str, Callable[[Sound], Sound]] = {
    "opposite": lambda x: columns(x, -x),
    "opposite and softer": lambda x: columns(x, -0.9 * x),
    "left alone": lambda x: columns(x, 0 * x),
    "right alone": lambda x: columns(0 * x, x),
    "opposite and a millisecond late": lambda x: columns(x, -np.roll(x, 44)),
    "a quarter turn ahead": lambda x: columns(x, np.imag(hilbert(x))),
    "a quarter turn behind": lambda x: columns(x, -np.imag(hilbert(x))),
    "centre of six": lambda x: columns(0 * x, 0 * x, x, 0 * x, 0 * x, 0 * x),
    "surround of six, opposite": lambda x: columns(0 * x, 0 * x, 0 * x, 0 * x, x, -x),
    "front against back of four": lambda x: columns(x, x, -x, -x),
    "ambisonic, from behind": lambda x: columns(0.7 * x, 0.3 * x, 0.1 * x, -0.95 * x),
}


@pytest.mark.parametrize("make", [drums, kicks])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_strokes_are_heard_in_whatever_channel(layout: str, make: Callable[[], Sound]) -> None:
    plain = make()
    alone, together = heard(plain), heard(LAYOUTS[layout](plain))
    assert together.tempo == pytest.approx(alone.tempo, rel=0.01)
    for name, least in (("rms", 0.99), ("onsets", 0.95)):
        assert np.corrcoef(alone[name][:, 0], together[name][:, 0])[0, 1] > least, name


@pytest.mark.parametrize("name", ["opposite", "left alone", "centre of six"])
def test_the_level_is_that_of_the_channels_that_sound(name: str) -> None:
    plain = drums()
    level = np.sqrt(np.square(mixed(LAYOUTS[name](plain))).mean() / np.square(plain).mean())
    assert level == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("make", [drums, kicks])
def test_wide_drums_are_heard_under_a_centred_pad(make: Callable[[], Sound]) -> None:
    time = np.arange(6 * RATE) / RATE
    pad = sum(level * np.sin(2 * np.pi * hz * time) for hz, level in ((220, 0.1), (330, 0.05), (1760, 0.05)))
    strokes = make()
    centred, wide = heard(columns(strokes + pad, strokes + pad)), heard(columns(pad + strokes, pad - strokes))
    assert np.corrcoef(centred["onsets"][:, 0], wide["onsets"][:, 0])[0, 1] > 0.95


def test_a_wide_pad_is_no_louder_than_a_centred_one_of_the_same_energy() -> None:
    left, right = noise(6, 0.1, seed=1), noise(6, 0.1, seed=2)
    wide, centred = mixed(columns(left, right), ANALYSIS_RATE), mixed(columns(left, left), ANALYSIS_RATE)
    assert np.square(wide).mean() == pytest.approx(np.square(centred).mean(), rel=0.15)  # half a decibel


def test_mono_and_centred_sounds_stay_bit_for_bit() -> None:
    song = music(6)
    np.testing.assert_array_equal(mixed(song, ANALYSIS_RATE), song)
    np.testing.assert_array_equal(mixed(columns(song, song), ANALYSIS_RATE), song)


def test_what_is_alike_stays_in_its_place_beside_what_is_not() -> None:
    """Only what differs between the channels is turned."""
    song, hiss = music(6), noise(6, 1e-3, seed=3)
    mono = mixed(columns(song + hiss, song - hiss), ANALYSIS_RATE)
    assert np.abs(mono - song).max() < 0.02
    assert np.square(mono - song).mean() < 2 * np.square(hiss).mean()


@settings(max_examples=examples(8, 30), deadline=None)
@given(
    channels=st.integers(1, 5),
    length=st.integers(0, 60_000),
    jump=st.integers(0, 60_000),
    blocks=st.lists(st.integers(1, 20_000), min_size=1, max_size=3),
    seed=st.integers(0, 99),
)
def test_blocks_do_not_show(channels: int, length: int, jump: int, blocks: list[int], seed: int) -> None:
    sound = np.random.default_rng(seed).normal(0.1, 0.1, (length, channels)).astype(np.float32)
    sound[jump:] += 0.5
    whole, pieces = mixed(sound, 8_000, (1 << 20,)), mixed(sound, 8_000, tuple(blocks))
    assert whole.shape == (length,)
    np.testing.assert_array_equal(whole, pieces)


def test_opposite_sounds_have_digests_of_their_own() -> None:
    song, other = music(2), noise(2)
    digests = {from_samples(columns(x, -x), ANALYSIS_RATE).digest for x in (song, other, silence(2))}
    assert len(digests) == 3


def test_a_value_that_is_no_number_is_found_in_any_channel() -> None:
    sound = columns(music(1), music(1))
    sound[100, 1] = np.nan
    with pytest.raises(AudioError, match=r"holds the value nan at 0\.004 s"):
        from_samples(sound, ANALYSIS_RATE)


# --- offset ---


def song_with_a_gap() -> NDArray[np.float64]:
    """Two chords, clicks and kicks for 12 s at ANALYSIS_RATE; a twentieth as loud from 5 to 7 s."""
    time = np.arange(12 * ANALYSIS_RATE) / ANALYSIS_RATE
    low = 0.4 * np.sin(2 * np.pi * 55 * time) * np.exp(-np.mod(time, 0.5) / 0.05)
    return (music(12) + low) * np.where((time > 5) & (time < 7), 0.05, 1)


TIME = np.arange(12 * ANALYSIS_RATE) / ANALYSIS_RATE


def steps(*changes: tuple[float, float]) -> NDArray[np.float64]:
    """An offset that jumps: (second, height) of each jump."""
    return sum((np.where(second <= TIME, height, 0.0) for second, height in changes), 0 * TIME)


OFFSETS = {
    "large": 0.3 + 0 * TIME,
    "negative": -0.1 + 0 * TIME,
    "small": 0.01 + 0 * TIME,
    "smaller than the quiet passage": 0.001 + 0 * TIME,
    "drifting": 0.2 * np.sin(2 * np.pi * TIME / 15),
    "growing": 0.03 * TIME,
    "a jump": steps((6.2, 0.3)),
    "a jump in loud music": steps((3.456, -0.25)),
    "a jump near the end": steps((11.8, 0.2)),
    "another offset": 0.2 + steps((8.765, -0.3)),
    "a moment": steps((4.31, 0.3), (4.87, -0.3)),
    "up and down": steps(*((0.67 * number, 0.2 * (-1) ** number) for number in range(1, 17))),
    "a jump that fades": np.where(TIME > 5.9, 0.3 * np.exp(-(TIME - 5.9)), 0),
    "rising within a second": 0.3 * np.clip(TIME - 5.5, 0, 1),
    "swinging": 0.1 * np.sin(0.6 * np.pi * TIME),
}


@pytest.mark.parametrize("offset", OFFSETS)
def test_an_offset_is_not_heard(offset: str) -> None:
    song = song_with_a_gap()
    without, with_it = heard(song, ANALYSIS_RATE), heard(song + OFFSETS[offset], ANALYSIS_RATE)
    for name in ("rms", "drop_weight", "onsets"):
        np.testing.assert_allclose(with_it[name], without[name], rtol=0, atol=0.05, err_msg=name)


def test_channels_have_offsets_of_their_own() -> None:
    song = song_with_a_gap()
    np.testing.assert_allclose(mixed(columns(song + 0.3, song - 0.1), ANALYSIS_RATE), song, rtol=0, atol=0.01)
    jumping = columns(song + steps((6.2, 0.3), (9.3, -0.3)), song + steps((5.3, -0.2)))
    np.testing.assert_allclose(mixed(jumping, ANALYSIS_RATE), song, rtol=0, atol=0.01)


def test_a_constant_offset_is_removed() -> None:
    song = song_with_a_gap()
    np.testing.assert_allclose(mixed(song + 0.25, ANALYSIS_RATE), song, rtol=0, atol=5e-3)
    silent = mixed(silence(4) + np.float32(0.25), ANALYSIS_RATE)
    np.testing.assert_allclose(silent, 0, rtol=0, atol=1e-6)


def test_a_jump_in_silence_leaves_silence() -> None:
    """At whatever sample, and of whatever height."""
    for place, height in ((24_576, 0.3), (50_001, -0.01), (70_123, 0.9)):
        sound = silence(4)
        sound[place:] += np.float32(height)
        np.testing.assert_allclose(mixed(sound, ANALYSIS_RATE), 0, rtol=0, atol=1e-6)


def test_the_demo_song_is_not_changed() -> None:
    """By any bit: it has no offset."""
    recording = recording_of(DEMO_SONG, contents(DEMO_SONG).tracks[0])
    song = np.concatenate(list(Decoder(recording).blocks()))
    offsets = OffsetFilter(recording.rate, song.shape[1])
    np.testing.assert_array_equal(np.concatenate([offsets.add(song), offsets.finish()]), song)


@pytest.mark.parametrize(
    "make",
    [
        song_with_a_gap,
        lambda: music(12),
        lambda: np.concatenate([kicks(3), np.zeros(2 * RATE), kicks(3)]),
        lambda: tone(50, 4),
        lambda: chord([65.4, 82.4], 5),
        lambda: noise(5),
        lambda: clicks([1, 2, 3], 4),
        lambda: silence(2),
    ],
    ids=["gap", "music", "kicks", "low tone", "low chord", "noise", "clicks", "silence"],
)
def test_a_sound_without_offset_is_left_alone(make: Callable[[], NDArray[np.floating]]) -> None:
    sound = make().astype(np.float32)
    left = mixed(sound, ANALYSIS_RATE)
    assert np.abs(left - sound).max() < 2e-3 * np.abs(sound).max(initial=1e-9)
    # Silence between strokes remains silence.
    assert np.abs(left[sound == 0]).max(initial=0) < 1e-5


# --- silence ---


@pytest.mark.parametrize("level", [1e-8, 6e-6, 1.5e-5])
@pytest.mark.parametrize("offset", [0.0, 0.25])
def test_the_rounding_of_a_silent_file_is_silence(level: float, offset: float) -> None:
    residue = offset + np.random.default_rng(0).normal(0, level, (3 * RATE, 2))
    audio = from_samples(residue, RATE)
    assert not audio.samples.any()
    features = analyze(audio, fps=FPS)
    assert all(not features[name].any() for name in features)


def test_dither_is_silence_and_a_very_soft_song_is_not() -> None:
    random = np.random.default_rng(1)
    dither = np.round(random.uniform(-0.5, 0.5, 2 * RATE) + random.uniform(-0.5, 0.5, 2 * RATE)) / 2**15
    assert not from_samples(dither, RATE).samples.any()
    soft: Audio = from_samples(music(2) * 2e-3, ANALYSIS_RATE)
    np.testing.assert_array_equal(soft.samples, music(2) * np.float32(2e-3))


def test_one_loud_moment_makes_a_sound() -> None:
    sound = silence(90)
    assert mixing.is_silent(sound)
    sound[-500:] = 0.01
    assert not mixing.is_silent(sound)
