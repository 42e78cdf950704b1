"""Causal features: the same however the sound is cut, nothing from the future, and near the offline ones."""

from __future__ import annotations

import numpy as np
import pytest
from sounds import music, noise, silence, tone

from audioreactive.features import rhythm
from audioreactive.features.analysis import song_key
from audioreactive.features.blocks import FINE_HOP, RMS_FRAME
from audioreactive.features.listening import listen
from audioreactive.features.names import EVERY_FEATURE
from audioreactive.live.calibration import USUAL_LOUDNESS, Scale
from audioreactive.live.hearing import DELAYS, STEP_RATE, Ear, sane
from audioreactive.media.audio import ANALYSIS_RATE, from_samples

NAMES = ("onsets", "rms", "bass.rms", "high.onsets", "chroma", "tonnetz", "mfcc", "spectral_contrast", "hits")
ALL = tuple(name for name in EVERY_FEATURE if name != "pulse")


def heard(sound: np.ndarray, names: tuple[str, ...] = NAMES, cuts: tuple[int, ...] = ()) -> dict[str, np.ndarray]:
    ear = Ear(names)
    pieces = [ear.hear(piece) for piece in np.split(sound, cuts)]
    return {key: np.concatenate([piece.values[key] for piece in pieces if len(piece)]) for key in ear.keys}


def test_the_result_does_not_depend_on_how_the_sound_is_cut() -> None:
    sound = music(4)
    whole = heard(sound, ALL)
    places = np.sort(np.random.RandomState(3).randint(0, len(sound), 37))
    for key, values in heard(sound, ALL, tuple(places)).items():
        np.testing.assert_allclose(values, whole[key], atol=1e-4, err_msg=key)


def test_nothing_is_known_of_the_future() -> None:
    sound = music(4)
    other = np.concatenate((sound[: 2 * ANALYSIS_RATE], noise(2, 0.5)))
    first, second = heard(sound, ALL), heard(other, ALL)
    for key in first:
        np.testing.assert_array_equal(first[key][: 2 * STEP_RATE], second[key][: 2 * STEP_RATE], err_msg=key)


@pytest.mark.parametrize(
    ("name", "late", "least"),
    [
        ("bass.rms", 2, 0.9), ("high.onsets", 0, 0.9), ("onsets", 2, 0.8), ("rms", 4, 0.9),
        ("mfcc", 4, 0.9), ("chroma", 40, 0.7),
    ],
)  # fmt: skip
def test_features_are_near_the_offline_ones_at_their_delay(name: str, late: int, least: float) -> None:
    sound = music(20)
    key = song_key(name)
    offline = listen(from_samples(sound, ANALYSIS_RATE), keys=[key], segmentations=[]).envelopes[key]
    live = heard(sound, (name,))[key]
    step = round(STEP_RATE * 20 / len(offline))
    places = np.arange(10 * STEP_RATE, 18 * STEP_RATE, step)
    a, b = live[places + late - 1], offline[places // step]
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    assert (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()) > least


def test_a_tone_is_on_its_note() -> None:
    chroma = heard(tone(440, 3), ("chroma",))["harmonic.chroma"]
    assert chroma[-1].argmax() == 9


def test_the_scale_of_loudness_settles_within_ten_seconds_and_can_be_frozen() -> None:
    quiet, loud = noise(12, 0.02), noise(12, 0.2)
    ear = Ear(["rms"])
    at_first = ear.hear(quiet).values["mix.rms"]
    assert at_first[-STEP_RATE:].mean() > 0.7
    ear.freeze(True)
    ear.hear(loud)
    ear.freeze(False)
    assert ear.hear(quiet).values["mix.rms"][-1, 0] > 0.7
    follows = Ear(["rms"])
    for sound in (quiet, loud):
        follows.hear(sound)
    assert follows.hear(quiet).values["mix.rms"][-1, 0] < 0.3


@pytest.mark.parametrize(
    ("level", "after_ten", "after_a_minute"),
    [(0.1, 2.0, 1.06), (0.2, 1.26, 1.06), (0.5, 1.0, 1.0), (0.02, 1.0, 1.0)],
)
def test_a_quiet_beginning_leaves_room_that_closes(level: float, after_ten: float, after_a_minute: float) -> None:
    scale = Scale("rms", 1, STEP_RATE, USUAL_LOUDNESS)

    def heard_for(seconds: int) -> float:
        for _ in range(4 * seconds):
            scale.scaled(np.full((STEP_RATE // 4, 1), level, np.float32))
            scale.settle()
        return scale.reach / level

    assert heard_for(10) == pytest.approx(after_ten, rel=0.03)
    assert heard_for(50) == pytest.approx(after_a_minute, rel=0.03)
    scale.reset()
    assert heard_for(10) == pytest.approx(after_ten, rel=0.03)


def test_the_room_of_a_part_that_is_missing_is_bounded() -> None:
    sound = tone(3000, 12)
    ear = Ear(["bass.rms", "high.rms"])
    ear.hear(sound * np.float32(0.35 / np.sqrt(np.mean(np.square(sound)))))
    whole = ear.scales["mix.rms"]
    assert whole.reach == pytest.approx(0.35, rel=0.05)
    assert 0 < ear.scales["bass.rms"].reach < 0.1 * whole.reach


def test_rms_is_that_of_the_offline_analysis_later() -> None:
    sound = np.concatenate((noise(3, 0.2), music(5)))
    ear = Ear(["rms"])
    ear.hear(noise(12, 0.4))
    ear.freeze(True)
    live = ear.hear(sound).values["mix.rms"][:, 0] * ear.scales["mix.rms"].reach
    late = round(DELAYS["rms"] * STEP_RATE)
    true = rhythm.rms(sound, frame_length=RMS_FRAME, hop_length=FINE_HOP)
    places = np.arange(8, len(live) - late)
    np.testing.assert_allclose(
        live[places + late - 1], np.minimum(true[places], ear.scales["mix.rms"].reach), atol=1e-4
    )


@pytest.mark.parametrize("sound", [silence(2), np.full(2 * ANALYSIS_RATE, np.nan, np.float32), 1e30 * noise(2)])
def test_what_is_no_sound_gives_finite_features(sound: np.ndarray) -> None:
    for key, values in heard(np.concatenate((sound.astype(np.float32), music(1))), ALL).items():
        assert np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1, key


def test_impossible_samples_are_replaced() -> None:
    np.testing.assert_array_equal(sane(np.array([np.nan, np.inf, 9, 0.5], np.float32)), np.float32([0, 0, 4, 0.5]))
