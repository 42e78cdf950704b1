"""The lag at which a picture follows its sound: known answers, an independent evaluation, and chance."""

from __future__ import annotations

import errno
import io
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import scipy.linalg
from scipy.ndimage import gaussian_filter1d
from scipy.stats import norm, rankdata
from score_tables import FPS, random_picture, sound
from sounds import chord, noise

from audioreactive.correlation import lag, score_features, sound_tables, watch
from audioreactive.correlation.lag import RIDGE
from audioreactive.errors import ScoreError
from audioreactive.features import analyze
from audioreactive.media.audio import ANALYSIS_RATE, from_samples

LATE = 10
TRIADS = [[220, 277.2, 329.6], [146.8, 185, 220], [164.8, 207.7, 246.9], [196, 246.9, 293.7]]


@pytest.fixture(scope="module")
def chord_frames() -> list[int]:
    """Frames at which the chord changes, at uneven times."""
    return [0, *np.cumsum(np.random.RandomState(5).randint(8, 40, 24)).tolist()]


@pytest.fixture(scope="module")
def chord_song(chord_frames):
    """Chords that fade, some loud and some soft, on exactly those frames."""
    draws = np.random.RandomState(6)
    samples = [
        chord(TRIADS[i % len(TRIADS)], (stop - start) / 24, level=draws.uniform(0.03, 0.15))
        for i, (start, stop) in enumerate(pairwise(chord_frames))
    ]
    return np.concatenate(samples) + noise(chord_frames[-1] / 24, 0.001)


@pytest.fixture(scope="module")
def chord_picture(chord_frames):
    """A texture whose colours change with the chord, and at no other time."""
    draws = np.random.RandomState(7)
    texture, colours = draws.rand(32, 32, 1), draws.rand(len(TRIADS), 3)
    which = (np.searchsorted(chord_frames, np.arange(chord_frames[-1]), side="right") - 1) % len(TRIADS)
    frames = texture * colours[which][:, None, None] + draws.normal(0, 0.01, (len(which), 32, 32, 3))
    return watch((255 * frames.clip(0, 1)).astype(np.uint8))


@pytest.mark.parametrize("late", [0, LATE])
def test_a_picture_that_changes_with_the_chords(chord_song, chord_picture, late):
    """From samples and pixels: the changes are at the same times, so what is left is the measure's own lag."""
    delayed = np.concatenate([np.zeros(late * ANALYSIS_RATE // 24, np.float32), chord_song])[: len(chord_song)]
    features = analyze(from_samples(delayed, ANALYSIS_RATE), fps=FPS)
    heard, more = sound_tables(features)
    card = score_features(heard, chord_picture, fps=FPS, more=more)
    assert abs(card.lag - late) <= 1
    assert card.lag_p < 1e-4


def chroma_before_loudness(seed: int, lead: int) -> dict[str, np.ndarray]:
    """Notes that change slowly, and the loudness and colour of the same sound `lead` frames after them."""
    notes = gaussian_filter1d(sound(seed, 720)["chroma"], 5, axis=0)
    louder = np.roll(notes @ np.random.default_rng(100 + seed).normal(size=(6, 2)), lead, axis=0)
    louder += 0.02 * np.random.default_rng(300 + seed).normal(size=louder.shape)
    tables = {"chroma": notes, "rms": louder[:, :1], "mfcc": louder}
    return {name: table.astype(np.float32) for name, table in tables.items()}


@pytest.mark.parametrize("seed", range(2))
def test_features_that_come_later_do_not_draw_the_peak(seed):
    """The picture follows the notes alone; the colour of the sound fits it best four frames late."""
    heard = chroma_before_loudness(seed, lead=4)
    seen = {"picture": heard["chroma"] + 0.1 * random_picture(200 + seed, 6, 720)["histogram"][:, :6]}
    card = score_features(heard, seen, fps=FPS)
    assert abs(card.lag) <= 1 and card.lag_p < 1e-4
    alone = score_features({"mfcc": heard["mfcc"]}, seen, fps=FPS)
    assert abs(alone.lag - 4) <= 1, "else there is nothing that could draw it"


def test_what_follows_a_source_alone_is_found():
    heard, source = sound(21, 720), {"bass.onsets": sound(31, 720)["onsets"]}
    seen = {"picture": random_picture(121, 4, 720)["histogram"] + 4 * source["bass.onsets"]}
    blind = score_features(heard, seen, fps=FPS)
    card = score_features(heard, seen, fps=FPS, more=source)
    assert (card.lag, card.lag_p < 1e-6) == (0, True)
    assert blind.lag_p > 0.01


def test_one_violent_moment_is_no_peak():
    """A cut in the picture, and 30 frames after it a stroke that is far louder than all others."""
    heard, seen = sound(23, 720), random_picture(123, 4, 720)
    heard["onsets"][300], heard["rms"][300:] = 30, heard["rms"][300:] + 5
    for table in seen.values():
        table[270:] += 20
    assert score_features(heard, seen, fps=FPS).lag_p > 0.01


def scores_of_changes(table: np.ndarray, edges: list[int], reach: int) -> np.ndarray:
    """Mean of `reach` frames less that of as many before, where the window is the same; ranks as normal quantiles."""
    steps = np.diff(table.astype(np.float64), axis=0, prepend=table[:1])
    steps[edges] = 0
    steady = np.cumsum(np.pad(steps, ((reach, reach), (0, 0))), axis=0)  # without the steps between windows
    means = np.stack([steady[i : i + reach].mean(0) for i in range(len(table) + reach)])
    changes = means[reach:] - means[:-reach]
    scores = norm.ppf(rankdata(changes, axis=0) / (len(table) + 1))
    scores -= scores.mean(0)
    return scores / np.linalg.norm(scores)


def whitened(tables: list[np.ndarray]) -> np.ndarray:
    """X (XᵀX + r I)^-1/2, r a twentieth of the largest eigenvalue."""
    x = np.concatenate(tables, axis=1)
    gram = x.T @ x
    return x @ scipy.linalg.inv(scipy.linalg.sqrtm(gram + RIDGE * np.linalg.eigvalsh(gram)[-1] * np.eye(len(gram))))


def test_the_curve_against_an_independent_evaluation():
    heard, seen = sound(2), random_picture(2, 4)
    card = score_features(heard, seen, fps=FPS)
    y = whitened([scores_of_changes(table, [120, 240, 360], 2) for table in seen.values()])
    lags = (-7, 0, 13)
    summed = np.zeros(len(lags) + len(card.shifts))
    for reach in (2, 4, 8, 16):
        x = whitened([scores_of_changes(table, [], reach) for table in heard.values()])
        shifts = [*(-lag for lag in lags), *card.shifts]
        fits = np.array([np.square(np.roll(x, shift, axis=0).T @ y).sum() ** (1 / 3) for shift in shifts])
        chance = fits[len(lags) :]
        summed += (fits - chance.mean()) / chance.std()
    around, chance = summed[: len(lags)], summed[len(lags) :]
    expected = (around - chance.mean()) / chance.std()
    assert [card.lags[lag] for lag in lags] == pytest.approx(expected, abs=4e-3)


@pytest.mark.parametrize("late", [-5, 0, LATE])
def test_the_lag_of_strokes(late):
    heard = sound(6)
    seen = {"picture": heard["onsets"] @ np.ones((1, 3), np.float32) + 0.1 * random_picture(6, 2)["edges"]}
    delayed = {name: np.roll(table, late, axis=0) for name, table in heard.items()}
    card = score_features(delayed, seen, fps=FPS)
    assert card.lag == late
    assert card.lag_p < 1e-4
    assert (card.total.z > 8) == (late == 0)


@pytest.mark.parametrize("late", [0, LATE])
def test_slow_motion_has_a_sharp_peak(late):
    """Slow notes, seen with a little of everything else: the lags around the true one fit nearly as well, but not in
    what changes.
    """
    notes = {"chroma": gaussian_filter1d(sound(11, 720)["chroma"], 8, axis=0)}
    seen = {"picture": notes["chroma"] + 0.1 * random_picture(11, 8, 720)["histogram"][:, :6]}
    card = score_features({"chroma": np.roll(notes["chroma"], late, axis=0)}, seen, fps=FPS)
    assert abs(card.lag - late) <= 1


@pytest.mark.parametrize("seed", range(4, 6))
def test_a_calm_picture_in_noise(seed):
    """Loudness and notes, smoothed over a third of a second, under the noise of a codec: quick changes of the sound say
    nothing about it, and the peak over them alone is below 6.5.
    """
    heard, draws = sound(seed, 720), np.random.RandomState(500 + seed)
    driver = gaussian_filter1d(np.hstack([heard["rms"], heard["chroma"]]), 7, axis=0)
    slow = driver @ draws.randn(driver.shape[1], 6)
    seen = {"picture": (slow / slow.std() + 0.1 * draws.randn(720, 6)).astype(np.float32)}
    card = score_features(heard, seen, fps=FPS)
    assert abs(card.lag) <= 1
    assert card.peak > 8


def test_a_temporary_folder_that_is_full(monkeypatch):
    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(lag.tempfile, "TemporaryFile", Full)
    with pytest.raises(ScoreError, match=r"takes no more \(No space left on device\); .*TMPDIR"):
        score_features(sound(1), random_picture(1, 4), fps=FPS)


@pytest.mark.parametrize("fps", [Fraction(10), Fraction(30_000, 1001), Fraction(60)])
def test_any_frame_rate(fps):
    heard = sound(24, 900)
    seen = {"picture": heard["onsets"] + 0.1 * random_picture(124, 2, 900)["edges"]}
    card = score_features({name: np.roll(table, 3, axis=0) for name, table in heard.items()}, seen, fps=fps)
    assert card.lag == 3 and card.lag_p < 1e-4


def test_chance_has_no_clear_peak():
    """The best of 97 lags, if each were alone, would be beyond two deviations more often than not."""
    cards = [score_features(sound(i), random_picture(300 + i, 3), fps=FPS) for i in range(14)]
    for card in cards:
        assert card.lag_p == pytest.approx(1 - norm.cdf(card.peak) ** len(card.lags), abs=1e-12)
    assert np.median([card.peak for card in cards]) > 1.5
    assert sum(card.lag_p < 0.05 for card in cards) <= 3
    assert min(card.lag_p for card in cards) > 0.001
