"""Signs that flash with a sound and fade: the beginning of the flash is the event, whatever its form."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest
from film_files import write_sound, write_video

from audioreactive.media.audio import ANALYSIS_RATE
from audioreactive.sync import measure
from audioreactive.sync.found import Found
from audioreactive.sync.heard import band_levels
from audioreactive.sync.measure import by_changes
from audioreactive.sync.research.scenes import FPS
from audioreactive.sync.research.signs import FALLS, VOICES, make_signs, sign_levels
from audioreactive.sync.seen import measure_changes
from audioreactive.sync.towers import learned_evidence, seen_input
from audioreactive.sync.track import tracked

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 10.0
NEAR = 0.04


class Sign(NamedTuple):
    """A film of a sign: form, colours of the ground and of the sign, fall and its seconds, frames of attack, sound."""

    form: str
    ground: tuple[float, float, float]
    colour: tuple[float, float, float]
    fall: str
    length: float
    attack: float
    voice: str


WHITE, BLACK, GREY, RED, BLUE = (0.9,) * 3, (0.05,) * 3, (0.4,) * 3, (0.8, 0.1, 0.1), (0.1, 0.2, 0.7)
SIGNS = (
    Sign("square", BLACK, WHITE, "linear", 0.2, 0, "noise"),
    Sign("disc", WHITE, BLACK, "linear", 0.45, 0, "click"),
    Sign("whole", GREY, WHITE, "linear", 0.08, 1, "tone"),
    Sign("corner", BLUE, RED, "linear", 0.3, 2, "kick"),
    Sign("square", WHITE, RED, "exponential", 0.3, 0, "kick"),
    Sign("whole", WHITE, GREY, "exponential", 0.6, 1, "noise"),
    Sign("disc", BLACK, BLUE, "exponential", 0.12, 0, "tone"),
    Sign("corner", BLACK, GREY, "squared", 0.5, 0, "click"),
    Sign("disc", GREY, BLACK, "squared", 0.25, 2, "noise"),
    Sign("square", BLACK, WHITE, "rectangular", 0.2, 0, "tone"),
    Sign("whole", BLUE, BLACK, "rectangular", 0.1, 0, "noise"),
    Sign("corner", WHITE, BLACK, "rectangular", 0.15, 0, "kick"),
)


def shares(sign: Sign, moments: np.ndarray, fps: float) -> np.ndarray:
    """How far the sign has come out at the beginning of each frame."""
    age = np.arange(round(SECONDS * fps))[:, None] / fps - moments
    age = np.where(age >= 0, age, np.inf).min(1)
    attack = sign.attack / fps
    x = np.clip((age - attack) / sign.length, 0, 1)
    falls = {"linear": 1 - x, "squared": (1 - x) ** 2, "exponential": np.exp(-4 * x), "rectangular": (x < 1) * 1.0}
    rise = np.clip(age / attack, 0, 1) if attack else np.ones_like(age)
    return np.where(np.isfinite(age), rise * falls[sign.fall], 0.0)


def painted(sign: Sign, share: np.ndarray) -> np.ndarray:
    """Frames of the sign, (T, 36, 64, 3)."""
    y, x = np.mgrid[0:36, 0:64]
    mask = {
        "square": (abs(y - 18) < 9) & (abs(x - 32) < 9), "disc": np.hypot(y - 14, x - 44) < 7,
        "whole": y >= 0, "corner": (y < 6) & (x > 55),
    }[sign.form]  # fmt: skip
    ground, colour = np.array(sign.ground), np.array(sign.colour)
    frames = ground + (share[:, None, None] * mask)[..., None] * (colour - ground)
    return np.rint(255 * frames).astype(np.uint8)


def sounded(voice: str, moments: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same sound at each of the moments."""
    sound = 1e-3 * rng.standard_normal(round(SECONDS * ANALYSIS_RATE))
    time = np.arange(round(0.2 * ANALYSIS_RATE)) / ANALYSIS_RATE
    made = {
        "noise": rng.standard_normal(len(time)) * np.exp(-time / 0.02),
        "click": (time < 5e-4) * 1.0,
        "tone": np.sin(2 * np.pi * 440 * time) * np.exp(-time / 0.08),
        "kick": np.sin(2 * np.pi * (50 * time + 3 * (1 - np.exp(-time / 0.03)))) * np.exp(-time / 0.07),
    }[voice]
    for moment in moments:
        first = round(moment * ANALYSIS_RATE)
        sound[first : first + len(made)] += 0.5 * made[: len(sound) - first]
    return sound.astype(np.float32)


@pytest.mark.parametrize("fps", [15, 30, 60])
def test_flashes_that_fade_are_placed_where_they_begin(fps: int) -> None:
    errors = []
    for number, sign in enumerate(SIGNS):
        rng = np.random.default_rng([number, fps])
        moments = np.cumsum(rng.uniform(0.35, 1.15, 30))
        moments = moments[moments < SECONDS - 0.3]
        frames = painted(sign, shares(sign, moments, fps))
        times = (np.arange(len(frames)) + 0.5) / fps
        found = by_changes(measure_changes(frames), times, band_levels(sounded(sign.voice, moments, rng)))
        if found.is_clear:
            # A frame shows what is at its beginning, so the picture is half a frame late on average.
            errors.append(-found.estimate.lag - 0.5 / fps)
    assert len(errors) >= len(SIGNS) - 1
    assert np.abs(errors).max() < max(NEAR, 1 / fps)


def test_a_linear_fade_in_a_file_is_in_sync(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    moments = np.cumsum(rng.uniform(0.4, 1.2, 8))
    frames = painted(SIGNS[0], shares(SIGNS[0], moments, float(FPS)))
    film = write_video(tmp_path / "fade.mp4", frames, write_sound(tmp_path / "f.wav", sounded("noise", moments, rng)))
    report = measure(film)
    assert report.verdict == "in sync" and report.offset == pytest.approx(0.5 / float(FPS), abs=0.02)


@pytest.mark.parametrize("number", [0, 7, 10])
def test_another_films_sound_tells_the_towers_nothing_of_a_sign(number: int) -> None:
    sign, rng = SIGNS[number], np.random.default_rng(number)
    seen, heard = (np.cumsum(rng.uniform(0.35, 1.15, 12)) for _ in range(2))
    frames = painted(sign, shares(sign, seen, 30.0))
    times = (np.arange(len(frames)) + 0.5) / 30
    levels = band_levels(sounded(sign.voice, heard[heard < SECONDS - 0.3], rng))
    learned = learned_evidence(measure_changes(frames), times, levels)
    assert not Found(tracked(learned.evidence, learned.border), learned.evidence, "picture", 0.01).is_clear


def test_a_sign_that_goes_dark_leaves_as_one_that_lights_up() -> None:
    moments = np.array([2.0, 3.1, 4.5])
    inputs = []
    for ground, colour in ((BLACK, WHITE), (WHITE, BLACK)):
        sign = Sign("square", ground, colour, "rectangular", 0.2, 0, "click")
        frames = painted(sign, shares(sign, moments, 30.0))
        inputs.append(seen_input(measure_changes(frames), (np.arange(len(frames)) + 0.5) / 30))
    assert np.allclose(inputs[0][14:], inputs[1][14:], atol=0.02)
    for begin in moments:
        first, end = round(128 * begin), round(128 * (begin + 0.2))
        assert inputs[0][14, first : first + 10].max() > 1 and inputs[0][14, end : end + 10].min() < -1


def test_equal_seeds_make_equal_signs_of_every_fall_and_sound() -> None:
    films = [make_signs(seed, seconds=2.0) for seed in (0, 0, 1)]
    assert np.array_equal(films[0].frames, films[1].frames) and np.array_equal(films[0].sound, films[1].sound)
    assert not np.array_equal(films[0].sound, films[2].sound)
    assert films[0].frames.dtype == np.uint8 and len(films[0].frames) == len(films[0].middles)
    names = [(FALLS[seed % len(FALLS)], VOICES[seed // len(FALLS) % len(VOICES)]) for seed in range(20)]
    assert len(set(names)) == len(FALLS) * len(VOICES)


@pytest.mark.parametrize("fall", FALLS)
def test_a_sign_rises_at_its_moment_and_falls_in_its_time(fall: str) -> None:
    shown = np.array([0.9, 1.0, 1.05, 1.1, 1.3, 1.49, 2.5])
    levels = sign_levels(shown, np.array([1.0]), np.array([0.8]), fall, 0.4, 0.1, "newest")
    assert levels[0] == 0 and levels[1] == 0 and levels[2] == pytest.approx(0.4) and levels[3] == pytest.approx(0.8)
    assert np.all(np.diff(levels[3:]) <= 0) and levels[-1] < 0.01
    middle = {"rectangular": 0.8, "linear": 0.4, "squared": 0.2, "held": 0.8, "exponential": 0.8 * np.exp(-1.5)}
    assert levels[4] == pytest.approx(middle[fall], abs=1e-9)
