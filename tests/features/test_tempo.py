"""Tempi that a person allows, and features at half or double the tempo that was heard."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support import make_features

from audioreactive.errors import FeatureError
from audioreactive.features import split_name
from audioreactive.features.tempo import ANY_TEMPO, TempoLimits, at_tempo_factor, parse_tempo_range, tempo_limits
from audioreactive.patches.tables import bar_position


def test_limits() -> None:
    assert tempo_limits(None, None) is ANY_TEMPO
    assert tempo_limits(125, None) == TempoLimits(125, 125)
    assert tempo_limits(None, (100, 180)) == TempoLimits(100, 180)
    assert parse_tempo_range("100-180.5") == (100, 180.5)
    assert len({limits.key for limits in (ANY_TEMPO, TempoLimits(125, 125), TempoLimits(125, 130))}) == 3
    assert ANY_TEMPO.key == ""


@pytest.mark.parametrize("tempo", [0, -1, 29.9, 301, float("nan"), float("inf")])
def test_an_impossible_tempo_is_refused(tempo: float) -> None:
    with pytest.raises(FeatureError, match="from 30 to 300"):
        tempo_limits(tempo, None)


@pytest.mark.parametrize("text", ["", "100", "100-", "-100", "180-100", "100-100", "a-b", "10-400", "nan-120", "1-2-3"])
def test_an_impossible_range_is_refused(text: str) -> None:
    with pytest.raises(FeatureError, match=r"range of tempi|from 30 to 300"):
        parse_tempo_range(text)


def test_one_of_tempo_and_range() -> None:
    with pytest.raises(FeatureError, match="give one of them"):
        tempo_limits(120, (100, 180))


@pytest.mark.parametrize("factor", [0.5, 2])
def test_beats_and_bars_at_another_tempo(factor: float) -> None:
    features = make_features(20, tempo=120)
    features = replace(features, beats=features.beats + 0.25, downbeats=features.beats[1::4] + 0.25)
    other = at_tempo_factor(features, factor)
    assert other.tempo == 120 * factor
    np.testing.assert_allclose(np.diff(other.beats), 0.5 / factor)
    np.testing.assert_allclose(np.diff(other.downbeats), 2 / factor)
    assert set(features.downbeats[::2]) <= set(other.downbeats)
    assert set(other.downbeats) <= set(other.beats)
    inside = (other.times > 1) & (other.times < 18)
    change = np.diff(bar_position(other)[inside]) / np.diff(bar_position(features)[inside])
    np.testing.assert_allclose(change, factor, rtol=1e-6)
    for name in features:
        assert (other[name] is features[name]) == (split_name(name)[1].name != "pulse")


def test_pulse_beats_with_the_beats_and_keeps_its_strength() -> None:
    strength = np.where(np.arange(480) < 240, 0.25, 1.0)
    features = make_features(20, tempo=120)
    pulse = strength * np.maximum(np.cos(2 * np.pi * 2 * features.times), 0)
    features = replace(features, envelopes={**features.envelopes, "pulse": pulse[:, None].astype(np.float32)})
    for factor in (0.5, 2):
        other = at_tempo_factor(features, factor)
        values = other["pulse"][:, 0]
        assert values.dtype == np.float32 and not values.flags.writeable
        for half, peak in ((slice(24, 190), 0.25), (slice(290, 456), 1.0)):
            assert values[half].max() == pytest.approx(peak, rel=0.05)
            turns = np.abs(np.fft.rfft(values[half] - values[half].mean(), 4096))
            hz = np.argmax(turns) * 24 / 4096
            assert hz == pytest.approx(2 * factor, rel=0.05)


def test_a_factor_of_one_changes_nothing() -> None:
    features = make_features(8)
    assert at_tempo_factor(features, 1) is features


@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("factor", [0.5, 2])
def test_few_beats_at_another_tempo(count: int, factor: float) -> None:
    features = make_features(8)
    features = replace(features, beats=features.beats[:count], downbeats=features.beats[: min(count, 1)])
    other = at_tempo_factor(features, factor)
    assert other.tempo == features.tempo * factor
    assert len(other.beats) >= min(count, 1)
    assert np.isfinite(bar_position(other)).all()
