"""Paths between takes."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from sounds import noise
from support import make_features

from audioreactive.media.audio import ANALYSIS_RATE
from audioreactive.patches.preset import preset_of
from audioreactive.patches.randomizer import random_patch
from audioreactive.patches.sections import Section
from audioreactive.sync.follow import follow_features, follow_preset
from audioreactive.sync.recordings import same_sound
from audioreactive.sync.takes import Way, compare_sounds
from audioreactive.sync.warp import align


def song(seed: int, starts: np.ndarray, tail: float = 1.0) -> np.ndarray:
    """Chords that begin at these times, the same ones for each seed."""
    stream = np.random.RandomState(seed)
    sound = np.zeros(round((starts[-1] + tail) * ANALYSIS_RATE), np.float32)
    for start in starts:
        notes = 220 * 2 ** (stream.choice([0, 2, 3, 5, 7, 8, 10, 12], 3, replace=False) / 12)
        time = np.arange(round(0.9 * ANALYSIS_RATE)) / ANALYSIS_RATE
        chord = sum(np.sin(2 * np.pi * hz * h * time) / h for hz in notes for h in (1, 2, 3)) * np.exp(-4 * time)
        chord[:300] += np.random.RandomState(1).standard_normal(300)
        first = round(start * ANALYSIS_RATE)
        part = sound[first : first + len(chord)]
        part += (0.1 * chord[: len(part)]).astype(np.float32)
    return sound


BEATS = np.arange(70) * 0.43 + 0.2
LIVE = np.cumsum(np.concatenate([[0.9], 0.43 * (1.12 + 0.1 * np.sin(np.arange(69) / 9))]))
"""The same strokes, later and slower, at a tempo that breathes."""


def test_a_warped_take_is_followed_within_50_ms() -> None:
    report = compare_sounds(song(3, BEATS), song(3, LIVE) + noise(LIVE[-1] + 1, 0.002)[: len(song(3, LIVE))])
    assert report.verdict == "out of sync" and report.way is not None
    inner = slice(2, -2)
    assert np.abs(report.way.to_second(BEATS[inner]) - LIVE[inner]).max() < 0.05
    assert np.abs(report.way.to_first(LIVE[inner]) - BEATS[inner]).max() < 0.05


def test_different_songs_have_nothing_in_common() -> None:
    report = compare_sounds(song(3, BEATS), song(11, LIVE[:60]))
    assert report.verdict == "cannot tell" and not report.parts


def test_one_recording_is_told_to_the_sample() -> None:
    sound = song(3, BEATS)
    same = same_sound(sound, np.concatenate([np.zeros(3001, np.float32), sound])[: len(sound)])
    assert same is not None
    assert same.lag == pytest.approx(3001 / ANALYSIS_RATE, abs=1e-5)
    assert abs(same.slope) < 2e-6
    report = compare_sounds(sound, np.concatenate([np.zeros(500, np.float32), sound]))
    assert report.verdict == "in sync" and report.is_same_recording
    assert same_sound(sound, song(11, LIVE)) is None


@pytest.mark.parametrize("seconds", [2, 3, 6])
def test_an_excerpt_lies_in_its_song(seconds: int) -> None:
    whole = song(11, LIVE)
    first = round(7.3 * ANALYSIS_RATE)
    excerpt = whole[first : first + seconds * ANALYSIS_RATE]
    same = same_sound(excerpt, whole)
    assert same is not None and same.lag == pytest.approx(7.3, abs=1e-3)
    assert same_sound(noise(seconds, 0.1), whole) is None


def test_an_edit_is_a_leap() -> None:
    rng = np.random.default_rng(0)
    table = rng.standard_normal((1500, 12)).astype(np.float32)
    smooth = np.apply_along_axis(lambda c: np.convolve(c, np.hanning(9), "same"), 0, table).astype(np.float32)
    path = align(smooth, np.concatenate([smooth[:600], smooth[900:]]))
    assert len(path.leaps) == 1
    before, after = path.pieces()
    assert np.abs(before[:, 0] - before[:, 1]).max() <= 4
    assert np.abs(after[:, 0] - after[:, 1] - 300).max() <= 4


def test_memory_grows_with_the_length_alone() -> None:
    """A path of 20,000 rows a side, whose whole table would have 400 million cells."""
    rng = np.random.default_rng(0)
    table = np.cumsum(rng.standard_normal((20_000, 6)), axis=0).astype(np.float32) % 3
    table -= table.mean(0)
    path = align(table, table)
    assert np.abs(path.rows[:, 0] - path.rows[:, 1]).max() <= 1
    assert len(path.rows) > 19_700


WAY = Way((np.array([[0.0, 1.0], [8.0, 13.0]]),))
"""The take begins a second later, and is half as fast again."""


def test_beats_bars_and_sections_are_moved_along() -> None:
    reference = make_features(8, tempo=120)
    take = replace(make_features(15, tempo=80), beats=np.arange(0.25, 15, 0.75), downbeats=np.arange(0.25, 15, 3))
    followed = follow_features(take, reference, WAY)
    np.testing.assert_allclose(followed.downbeats, 1 + 1.5 * reference.downbeats)
    within = followed.beats[(followed.beats >= 1) & (followed.beats < 13)]
    np.testing.assert_allclose(within, 1 + 1.5 * reference.beats)
    assert followed.beats[0] == take.beats[0]  # its own beats lead in
    assert followed.tempo == pytest.approx(80)
    name = next(iter(take.segmentations))
    labels = reference.segmentation(name, 2)
    at = int(Fraction(7) * take.fps)  # 7 s of the take are 4 s of the reference
    assert followed.segmentation(name, 2)[at] == labels[int(4 * reference.fps)]
    np.testing.assert_array_equal(followed["onsets"], take["onsets"])  # what is heard stays

    patch = random_patch(1)
    preset = preset_of(patch).model_copy(
        update={"sections": (Section(start=4.0), Section(start_bar=2.0), Section(label="B"))}
    )
    first, second, third = follow_preset(preset, reference, WAY).sections
    assert first.start == pytest.approx(7.0)
    assert second.start == pytest.approx(1 + 1.5 * 2.0) and second.start_bar is None
    assert third.label == "B" and third.start is None
