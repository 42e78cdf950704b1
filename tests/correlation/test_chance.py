"""The corrected score on tables that are random, smooth, reactive or late."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from score_tables import FPS, FRAMES, random_picture, sound

from audioreactive.correlation import orthogonal_procrustes, score_features, score_total
from audioreactive.correlation.chance import FEWEST_FRAMES, FEWEST_SHIFTS, score_once
from audioreactive.errors import ScoreError


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
    card = score_once(heard, seen, fps=FPS, more=more)
    assert (card.total.raw, card.total.z) == pytest.approx((expected.total.raw, expected.total.z), rel=1e-4)
    assert list(card.lags.values()) == pytest.approx(list(expected.lags.values()), abs=1e-2)
    for cell, score in card.cells.items():
        assert (score.raw, score.z) == pytest.approx((expected.cells[cell].raw, expected.cells[cell].z), abs=1e-3)
    assert not heard and not seen and not more


def test_independent_noise_scores_nothing_once_corrected():
    """In the mean over 12 pairs, within three of the mean's deviations; the raw value is biased."""
    scores = []
    for i in range(12):
        rng = np.random.default_rng(i)
        heard, seen = ({"noise": rng.normal(size=(FRAMES, width)).astype(np.float32)} for width in (8, 20))
        scores.append(score_total(heard, seen, fps=FPS))
    assert abs(np.mean([score.z for score in scores])) < 3 / np.sqrt(12)
    assert min(score.raw for score in scores) > 0.1


def test_smoothness_alone_scores_chance():
    """The raw value grows with the smoothness, as in Figure 3.3; the corrected one stays."""
    raw, corrected = {}, {}
    for sigma in (1, 4, 16, 64):
        scores = [score_total(sound(i), random_picture(100 + i, sigma), fps=FPS) for i in range(8)]
        raw[sigma] = np.median([score.raw for score in scores])
        corrected[sigma] = np.median([score.z for score in scores])
    assert raw[1] < raw[4] < raw[16] and raw[64] > 1.5 * raw[1]
    assert max(map(abs, corrected.values())) < 2


@pytest.mark.parametrize("sigma", [1, 64])
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


def test_tables_that_do_not_belong_together():
    heard, seen = sound(9), random_picture(9, 4)
    longer = {"picture": random_picture(9, 4, FRAMES + 1)["histogram"]}
    with pytest.raises(ValueError, match=r"picture is of shape \(481, 20\); .* onsets has T = 480"):
        score_features(heard, longer, fps=FPS)
    with pytest.raises(ValueError, match=r"onsets is of shape \(480,\)"):
        score_total({"onsets": heard["onsets"][:, 0]}, seen, fps=FPS)
    with pytest.raises(ValueError, match="onsets stands in both heard and more"):
        score_features(heard, seen, fps=FPS, more={"onsets": heard["onsets"]})
    for value in (np.nan, np.inf):
        broken = {"chroma": heard["chroma"].copy()}
        broken["chroma"][3, 2] = value
        with pytest.raises(ValueError, match="chroma holds values that are not finite"):
            score_total(broken, seen, fps=FPS)


def test_weights_that_leave_nothing():
    card = score_features(sound(10), random_picture(10, 4), fps=FPS, heard_weights={"onsets": 0, "rms": 0, "chroma": 0})
    assert (card.total.raw, card.total.z, card.total.p) == (0, 0, 1)


def test_the_fewest_frames():
    """240: every shift is near, the seam is a quarter of the video; what reacts still does, and at lag 0."""
    heard = sound(13, FEWEST_FRAMES)
    seen = {"picture": heard["onsets"] + 0.05 * random_picture(13, 2, FEWEST_FRAMES)["edges"]}
    card = score_features(heard, seen, fps=FPS)
    assert len(card.shifts) >= FEWEST_SHIFTS
    assert card.lag == 0 and card.lag_p < 1e-3 and card.total.z > 3
    by_chance = score_features(heard, random_picture(14, 2, FEWEST_FRAMES), fps=FPS)
    assert abs(by_chance.total.z) < 3 and by_chance.lag_p > 1e-3


def test_a_song_that_is_silent_for_most_of_its_length():
    """Six seconds of strokes in forty: what follows them is a reaction in step, and what does not is chance."""
    heard = {name: table * (np.arange(960) // 144 == 2)[:, None] for name, table in sound(15, 960).items()}
    followed = {"picture": heard["onsets"] + 0.1 * random_picture(15, 3, 960)["edges"]}
    card = score_features(heard, followed, fps=FPS)
    assert card.total.z > 4 and card.lag == 0 and card.lag_p < 1e-4
    others = [score_features(heard, random_picture(500 + i, 3, 960), fps=FPS) for i in range(8)]
    assert sum(other.total.p < 0.05 for other in others) <= 2
    assert min(other.lag_p for other in others) > 1e-3
