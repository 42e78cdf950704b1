"""Causal motion: the offline one where no future is needed, and bounded where it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support import make_features

from audioreactive.live.motion import LiveMotion, Moment, what_waits
from audioreactive.live.sections import Sections
from audioreactive.live.shaping import SMOOTH_DELAY, Low
from audioreactive.patches.motion import motion
from audioreactive.patches.presets import load_preset, shipped_presets
from audioreactive.patches.schema import Patch
from audioreactive.patches.tables import bar_position

CAUSAL: dict[str, Any] = {
    "palette": {"seeds": [1, 2, 3, 4, 5]},
    "latents": {
        "base": [2],
        "sequences": [
            {"strategy": "loop", "seconds": 3.0, "vectors": [0, 1, 3], "depth": ["coarse"]},
            {"strategy": "loop", "bars": 2, "vectors": [4, 1], "intensity": 0.5},
            {
                "strategy": "feature", "envelope": {"feature": "chroma", "contrast": 2.0}, "vectors": [0, 1, 2, 3],
                "merge": "modulate", "modulator": {"feature": "rms", "release": 0.4},
            },
            {"strategy": "feature", "envelope": {"feature": "hits"}, "vectors": [4, 0], "muted": True},
        ],
    },
    "noise": {
        "seeds": [7, 8, 9],
        "base": [1],
        "amplitude": {"envelope": {"feature": "bass.rms", "release": 0.2}},
        "sequences": [
            {"strategy": "blend", "envelope": {"feature": "onsets"}, "fields": [0, 2]},
            {"strategy": "loop", "bars": 1, "fields": [0, 1, 2], "intensity": 0.6},
            {"strategy": "feature", "envelope": {"feature": "rms"}, "fields": [2, 1], "depth": ["fine"]},
        ],
    },
}  # fmt: skip


def played(patch: Patch, seconds: float = 8) -> tuple[Any, list[Any]]:
    """The offline motion, and the live one of the same features."""
    features = make_features(seconds)
    live, bars = LiveMotion(patch), bar_position(features)
    made = []
    for frame in range(features.frames):
        values = {name: table[frame] for name, table in features.items()}
        labels = {(name, k): int(features.segmentation(name, k)[frame]) for name in ("mfcc", "chroma") for k in (3, 4)}
        made.append(live.step(Moment(frame / 24, 1 / 24, values, float(bars[frame]), labels)))
    return motion(patch, features), made


def test_without_need_of_the_future_live_motion_is_the_offline_one() -> None:
    offline, live = played(Patch.model_validate(CAUSAL))
    np.testing.assert_allclose(np.concatenate([m.latents for m in live]), offline.latents, atol=2e-3)
    np.testing.assert_allclose(np.concatenate([m.noise.weights for m in live]), offline.noise.weights, atol=2e-3)
    np.testing.assert_allclose(np.concatenate([m.noise.gain for m in live]), offline.noise.gain, atol=1e-5)
    for k, loop in enumerate(offline.noise.loops):
        np.testing.assert_allclose([m.noise.loops[k].phase[0] for m in live], loop.phase)
        np.testing.assert_allclose([m.noise.loops[k].share[0] for m in live], loop.share, atol=1e-6)
        assert live[0].noise.loops[k].seeds == loop.seeds


@pytest.mark.parametrize("name", sorted(shipped_presets()))
def test_every_shipped_preset_plays(name: str) -> None:
    patch = load_preset(name).patch
    features = make_features(2)
    live = LiveMotion(patch)
    wanted = {(s.feature, s.k): 1 for s in patch.latents.sequences if s.strategy == "segmentation"}
    for frame in range(features.frames):
        values = {key: table[frame] for key, table in features.items()}
        weights = live.step(Moment(frame / 24, 1 / 24, values, frame / 48, wanted))
        assert np.isfinite(weights.latents).all() and np.isfinite(weights.noise.weights).all()
        np.testing.assert_allclose(weights.latents.sum(axis=2), 1, atol=2e-2)


def test_smoothing_is_as_late_as_it_says() -> None:
    low, dt = Low(0.5), 0.01
    step = [float(low.step(np.float32([k > 0]), dt)[0]) for k in range(600)]
    assert np.sum(1 - np.array(step)[1:]) * dt == pytest.approx(SMOOTH_DELAY * 0.5, rel=0.04)


def test_numbers_change_while_it_plays_without_a_jump() -> None:
    patch = Patch.model_validate(CAUSAL)
    live = LiveMotion(patch)
    values = {name: table[5] for name, table in make_features(1).items()}
    before = live.step(Moment(0.0, 0.04, values, 0.0, {}))
    sequences = list(patch.latents.sequences)
    sequences[0] = sequences[0].model_copy(update={"intensity": 1.01})
    live.patch = patch.model_copy(update={"latents": patch.latents.model_copy(update={"sequences": tuple(sequences)})})
    after = live.step(Moment(0.04, 0.04, values, 0.0, {}))
    assert np.abs(after.latents - before.latents).max() < 0.1


def test_what_cannot_be_live_is_told() -> None:
    told = " ".join(what_waits(load_preset("acts")) + what_waits(load_preset("chapters")))
    assert "section" in told
    told = " ".join(what_waits(load_preset("flight")) + what_waits(load_preset("fracture")))
    assert "its camera" in told and "its bends" in told


def test_sections_are_told_apart_and_known_again() -> None:
    sections, labels = Sections(4), []
    stream = np.random.RandomState(0)
    for part in (0, 1, 0):
        for _ in range(20 * 24):
            value = np.float32([part, 1 - part, 0.5]) + 0.15 * stream.randn(3).astype(np.float32)
            labels.append(sections.step(value, 1 / 24))
    thirds = np.split(np.array(labels), 3)
    kinds = [np.bincount(third[10 * 24 :]).argmax() for third in thirds]
    assert kinds[0] != kinds[1]
    assert kinds[0] == kinds[2]
    assert len(set(labels)) <= 3
