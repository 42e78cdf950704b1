"""The corrected score on tables that are random, smooth, reactive or late."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d
from scipy.stats import norm

from audioreactive.correlation import orthogonal_procrustes, score_features, score_total
from audioreactive.correlation.chance import FEWEST_SHIFTS, FEWEST_WINDOWS, score_once
from audioreactive.errors import ScoreError

FPS = Fraction(24)
FRAMES = 480


def sound(seed: int, frames: int = FRAMES) -> dict[str, np.ndarray]:
    """Drum strokes, their loudness, and notes that change now and then."""
    rng = np.random.default_rng(seed)
    strokes = (rng.random(frames) < 0.06) * rng.uniform(0.5, 1, frames)
    notes = np.repeat(rng.random((frames // 12 + 1, 6)), 12, axis=0)[:frames]
    tables = {"onsets": strokes[:, None], "rms": gaussian_filter1d(strokes, 6)[:, None], "chroma": notes}
    return {name: table.astype(np.float32) for name, table in tables.items()}


def random_picture(seed: int, sigma: float, frames: int = FRAMES) -> dict[str, np.ndarray]:
    """A palette's smooth random walk, seen through some features."""
    rng = np.random.default_rng(seed)
    pad = round(4 * sigma)
    walk = gaussian_filter1d(rng.normal(size=(frames + 2 * pad, 8)), sigma, axis=0)[pad : pad + frames]
    walk = walk / walk.std()
    change = np.abs(np.diff(walk, axis=0, prepend=walk[:1])).mean(1, keepdims=True)
    tables = {"histogram": walk @ rng.normal(size=(8, 20)), "edges": np.abs(walk[:, :3]), "difference": change}
    return {name: table.astype(np.float32) for name, table in tables.items()}


def centred(table: np.ndarray) -> torch.Tensor:
    """In four windows."""
    return torch.cat([torch.from_numpy(w - w.mean(0, dtype=np.float64)) for w in np.split(table, 4)])


def test_the_raw_value_is_the_procrustes_correlation():
    """Of features that are centred in windows, and beside each other with norm 1."""
    heard, seen = sound(1, 360), random_picture(1, 4, 360)
    card = score_features(heard, seen, fps=FPS)

    def beside(tables):
        return torch.cat([centred(t) / centred(t).norm() for t in tables.values()], 1)

    expected = float(orthogonal_procrustes(beside(heard), beside(seen)))
    assert card.total.raw == pytest.approx(expected, abs=1e-6)
    for (a, b), score in card.cells.items():
        pair = orthogonal_procrustes(centred(heard[a]), centred(seen[b]))
        assert score.raw == pytest.approx(float(pair), abs=1e-6)


def test_a_shift_is_the_sound_rolled_against_the_picture():
    heard, seen = {"chroma": sound(2, 360)["chroma"]}, {"histogram": random_picture(2, 4, 360)["histogram"]}
    card = score_features(heard, seen, fps=FPS)

    def rolled(shift):
        return float(
            orthogonal_procrustes(centred(np.roll(heard["chroma"], shift, axis=0)), centred(seen["histogram"]))
        )

    chance = [rolled(shift) for shift in card.shifts]
    assert card.total.mean == pytest.approx(np.mean(chance), abs=1e-6)
    assert card.total.deviation == pytest.approx(np.std(chance), abs=1e-6)
    assert card.total.p == pytest.approx((1 + sum(c >= card.total.raw for c in chance)) / (1 + len(chance)))


def test_lags_compare_what_changes():
    heard, seen = {"chroma": sound(2, 360)["chroma"]}, {"histogram": random_picture(2, 4, 360)["histogram"]}
    card = score_features(heard, seen, fps=FPS)
    heard_changes = np.diff(heard["chroma"], axis=0, prepend=heard["chroma"][:1])
    seen_changes = np.diff(seen["histogram"], axis=0, prepend=seen["histogram"][:1])
    inside = centred(seen["histogram"])
    starts = [i for i in range(1, 360) if not np.allclose(inside[i] - inside[i - 1], seen_changes[i], atol=1e-6)]
    assert len(starts) == FEWEST_WINDOWS - 1
    seen_changes[starts] = 0  # between two windows there is no change

    def rolled(shift):
        return float(orthogonal_procrustes(centred(np.roll(heard_changes, shift, axis=0)), centred(seen_changes)))

    chance = [rolled(shift) for shift in card.shifts]
    for lag in (-7, 0, 13):
        expected = (rolled(-lag) - np.mean(chance)) / np.std(chance)
        assert card.lags[lag] == pytest.approx(expected, abs=1e-3)


def test_chance_is_many_distant_shifts():
    card = score_features(sound(3), random_picture(3, 4), fps=FPS)
    assert len(card.shifts) == len(set(card.shifts)) >= FEWEST_SHIFTS
    assert min(card.shifts) > max(card.lags) and max(card.shifts) < FRAMES + min(card.lags)
    assert 1 / (1 + len(card.shifts)) <= card.total.p <= 1
    assert card.total.z == pytest.approx((card.total.raw - card.total.mean) / card.total.deviation)


def test_the_same_score_every_time():
    assert score_features(sound(4), random_picture(4, 8), fps=FPS) == score_features(
        sound(4), random_picture(4, 8), fps=FPS
    )


def test_tables_that_nobody_needs_give_the_same_score_and_are_let_go():
    heard, seen = sound(4), random_picture(4, 8)
    more = {"second": heard["onsets"][::-1].copy()}
    expected = score_features(heard, seen, fps=FPS, more=more)
    assert heard and seen and more, "these belong to the caller"
    assert score_once(heard, seen, fps=FPS, more=more) == expected
    assert not heard and not seen and not more


def test_independent_noise_scores_nothing_once_corrected():
    """In the mean over 20 pairs, within three of the mean's deviations; the raw value is biased."""
    scores = []
    for i in range(20):
        rng = np.random.default_rng(i)
        heard, seen = ({"noise": rng.normal(size=(FRAMES, width)).astype(np.float32)} for width in (8, 20))
        scores.append(score_total(heard, seen, fps=FPS))
    assert abs(np.mean([score.z for score in scores])) < 3 / np.sqrt(20)
    assert min(score.raw for score in scores) > 0.1


def test_smoothness_alone_scores_chance():
    """The raw value grows with the smoothness, as in Figure 3.3; the corrected one stays."""
    raw, corrected = {}, {}
    for sigma in (1, 4, 16, 64):
        scores = [score_total(sound(i), random_picture(100 + i, sigma), fps=FPS) for i in range(12)]
        raw[sigma] = np.median([score.raw for score in scores])
        corrected[sigma] = np.median([score.z for score in scores])
    assert raw[1] < raw[4] < raw[16] and raw[64] > 1.5 * raw[1]
    assert max(map(abs, corrected.values())) < 2


@pytest.mark.parametrize("sigma", [1, 16, 64])
@pytest.mark.parametrize("feature", ["onsets", "chroma"])
def test_a_reaction_scores_above_chance(sigma, feature):
    heard, seen = sound(5, 720), random_picture(5, sigma, 720)
    rng = np.random.default_rng(0)
    driven = heard[feature] - heard[feature].mean(0)
    seen["histogram"] = seen["histogram"] + 2 * (driven / driven.std() @ rng.normal(size=(driven.shape[1], 20)))
    card = score_features(heard, seen, fps=FPS)
    assert card.total.z > 3
    assert card.total.p < 0.02
    best = max(card.cells, key=lambda cell: card.cells[cell].z)
    assert best == (feature, "histogram") or (feature == "onsets" and best == ("rms", "histogram"))


@pytest.mark.parametrize("late", [-5, 0, 10])
def test_the_lag_of_the_peak(late):
    heard = sound(6)
    seen = {"picture": heard["onsets"] @ np.ones((1, 3), np.float32) + 0.1 * random_picture(6, 2)["edges"]}
    delayed = {name: np.roll(table, late, axis=0) for name, table in heard.items()}
    card = score_features(delayed, seen, fps=FPS)
    assert card.lag == late
    assert card.peak > 8 and card.lag_p < 1e-6
    assert (card.total.z > 8) == (late == 0)


@pytest.mark.parametrize("late", [0, 10])
def test_slow_motion_has_a_sharp_peak(late):
    """Slow notes, seen with a little of everything else: the lags around the true one fit nearly as well, but not in
    what changes.
    """
    notes = {"chroma": gaussian_filter1d(sound(11, 720)["chroma"], 8, axis=0)}
    seen = {"picture": notes["chroma"] + 0.1 * random_picture(11, 8, 720)["histogram"][:, :6]}
    card = score_features({"chroma": np.roll(notes["chroma"], late, axis=0)}, seen, fps=FPS)
    assert abs(card.lag - late) <= 1


def test_chance_has_no_clear_peak():
    """The best of 97 lags, if each were alone, would be beyond two deviations more often than not."""
    cards = [score_features(sound(i), random_picture(300 + i, 3), fps=FPS) for i in range(16)]
    for card in cards:
        assert card.lag_p == pytest.approx(1 - norm.cdf(card.peak) ** len(card.lags), abs=1e-12)
    assert np.median([card.peak for card in cards]) > 1.5
    assert sum(card.lag_p < 0.05 for card in cards) <= 2


def test_weights_and_features_outside_the_total():
    heard, seen = sound(7), random_picture(7, 4)
    alone = {"chroma": heard["chroma"]}
    others = {name: heard[name] for name in ("onsets", "rms")}
    weighted = score_features(heard, seen, fps=FPS, heard_weights={"onsets": 0, "rms": 0}).total
    card = score_features(alone, seen, fps=FPS, more=others)
    assert card.total.raw == pytest.approx(weighted.raw, abs=1e-7)
    assert card.heard == ("chroma", "onsets", "rms") and card.seen == tuple(seen)
    edges = score_total(heard, seen, fps=FPS, seen_weights={"edges": 0})
    without = {name: seen[name] for name in ("histogram", "difference")}
    assert edges.raw == pytest.approx(score_total(heard, without, fps=FPS).raw, abs=1e-7)


def test_a_feature_that_never_changes_scores_nothing():
    heard, seen = sound(8), random_picture(8, 4)
    heard["rms"] = np.full_like(heard["rms"], 0.3)
    seen["edges"] = np.zeros_like(seen["edges"])
    card = score_features(heard, seen, fps=FPS)
    for (a, b), score in card.cells.items():
        if a == "rms" or b == "edges":
            assert (score.raw, score.z, score.p) == (0, 0, 1)
        else:
            assert score.raw > 0
    assert np.isfinite(card.total.z)


def test_what_cannot_be_scored():
    with pytest.raises(ScoreError, match="share 100 frames; at least 240"):
        score_features(sound(0, 100), random_picture(0, 2, 100), fps=FPS)
    still = {"picture": np.full((FRAMES, 3), 0.1, np.float32)}
    with pytest.raises(ScoreError, match="nothing changes in the picture"):
        score_features(sound(0), still, fps=FPS)
    with pytest.raises(ScoreError, match="nothing changes in the sound"):
        score_features(still, random_picture(0, 2), fps=FPS)
