"""The demo song's truth is known: tempo, beats, strokes and sections are found in it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from audioreactive.errors import FeatureError
from audioreactive.features import SEGMENTABLE, Features, analyze_file, neural_beats
from audioreactive.media.audio import load
from audioreactive.media.demo import DEMO_SONG, ground_truth

FPS = Fraction(60)


@pytest.fixture(scope="module")
def heard() -> Features:
    return analyze_file(DEMO_SONG, fps=FPS, names=("onsets", "high.onsets", "drop_weight"), use_cache=False)


def f_measure(truth: np.ndarray, found: np.ndarray, tolerance: float) -> float:
    """Of one-to-one matches in order."""
    hits, i, j = 0, 0, 0
    while i < len(truth) and j < len(found):
        distance = found[j] - truth[i]
        if abs(distance) <= tolerance:
            hits, i, j = hits + 1, i + 1, j + 1
        elif distance < 0:
            j += 1
        else:
            i += 1
    return 2 * hits / (len(truth) + len(found))


def test_tempo_and_beats(heard: Features) -> None:
    truth = ground_truth()
    assert heard.tempo == pytest.approx(truth.tempo, rel=0.01)
    assert f_measure(np.array(truth.beats), heard.beats, 0.05) > 0.95
    assert f_measure(np.array(truth.downbeats), heard.downbeats, 0.05) > 0.85


def peaks(envelope: np.ndarray, threshold: float) -> np.ndarray:
    """Seconds of the frames that are the highest of their nearest, and high enough."""
    padded = np.pad(envelope[:, 0], 2)
    highest = np.lib.stride_tricks.sliding_window_view(padded, 5).max(axis=1)
    rising = envelope[:, 0] > padded[1 : len(envelope) + 1]
    return np.flatnonzero((envelope[:, 0] == highest) & rising & (envelope[:, 0] > threshold)) / float(FPS)


@pytest.mark.parametrize("name", ["onsets", "high.onsets"])
def test_every_stroke_is_an_onset(heard: Features, name: str) -> None:
    strokes = np.array(ground_truth().onsets)
    together = np.concatenate(([True], np.diff(strokes) > 0.03))
    # A frame is a moment that lasts.
    found = peaks(heard[name], 0.1) + 0.5 / float(FPS)
    assert f_measure(strokes[together], found, 0.05) >= 0.95


@pytest.mark.parametrize("name", SEGMENTABLE)
def test_returning_sections_get_the_same_label(heard: Features, name: str) -> None:
    truth = ground_truth()
    labels = heard.segmentation(name, 2)
    usual = {}
    for section in truth.sections:
        inside = labels[round((section.start + 1) * FPS) : round((section.end - 1) * FPS)]
        counts = np.bincount(inside, minlength=2)
        assert usual.setdefault(section.label, int(counts.argmax())) == counts.argmax()
        assert counts.max() > 0.6 * len(inside)
    assert sorted(usual.values()) == [0, 1]


def test_madmom_hears_every_beat_and_bar() -> None:
    truth = ground_truth()
    heard = analyze_file(
        DEMO_SONG, fps=FPS, names=("rms",), segmentations=("mfcc",), beat_tracker="madmom", use_cache=False
    )
    assert heard.tempo == pytest.approx(truth.tempo, rel=0.01)
    assert f_measure(np.array(truth.beats), heard.beats, 0.05) > 0.97
    assert f_measure(np.array(truth.downbeats), heard.downbeats, 0.05) > 0.97


def test_madmom_hears_a_long_song_span_by_span(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neural_beats, "SPAN_SECONDS", 20)
    monkeypatch.setattr(neural_beats, "MARGIN_SECONDS", 5)
    truth, heard = ground_truth(), neural_beats.track(load(DEMO_SONG))
    assert heard.tempo == pytest.approx(truth.tempo, rel=0.01)
    assert f_measure(np.array(truth.beats), heard.beats, 0.05) > 0.97
    assert f_measure(np.array(truth.downbeats), heard.downbeats, 0.05) > 0.97
    assert np.diff(heard.beats).min() > 0.4


def test_madmom_leaves_no_other_name_behind() -> None:
    import importlib.metadata

    neural_beats._madmom_downbeats()
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        importlib.metadata.version("madmom")


def test_without_madmom_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "madmom.features", None)
    with pytest.raises(FeatureError, match=r"pip install 'audioreactive\[madmom\]'"):
        analyze_file(DEMO_SONG, fps=FPS, names=("rms",), segmentations=(), beat_tracker="madmom", use_cache=False)
