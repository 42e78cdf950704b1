"""Offsets, drift and jumps of made evidence and made scenes."""

from __future__ import annotations

import numpy as np
import pytest

from audioreactive.sync.estimate import Estimate, estimate, fitted_line
from audioreactive.sync.evidence import Evidence, find_evidence
from audioreactive.sync.heard import heard_changes
from audioreactive.sync.measure import LEAST_CERTAIN
from audioreactive.sync.research.scenes import FPS, Kind, Scene, make_scene
from audioreactive.sync.seen import measure_changes, seen_changes

HALF_A_FRAME = 0.5 / float(FPS)


def changes(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Changes of a scene's picture and of its sound, frame by frame."""
    return seen_changes(measure_changes(scene.frames)), heard_changes(scene.sound)


def measured(scene: Scene, seen: np.ndarray, heard: np.ndarray) -> Estimate:
    return estimate(find_evidence(seen, scene.times + HALF_A_FRAME, heard))


@pytest.mark.parametrize("kind", ["impact", "footstep", "speech", "applause", "rain", "music"])
@pytest.mark.parametrize("offset", [-0.31, 0.17])
def test_the_offset_of_a_scene_is_found_to_half_a_frame(kind: Kind, offset: float) -> None:
    scene = make_scene(kind, 2 if kind != "impact" else 1, 40, offset=offset)
    told = measured(scene, *changes(scene))
    assert told.chance < LEAST_CERTAIN
    assert abs(-told.lag - offset) < HALF_A_FRAME


def test_unrelated_sounds_are_told_from_chance() -> None:
    kinds: tuple[Kind, ...] = ("impact", "footstep", "speech", "applause", "music")
    scenes = [make_scene(kind, 2, 50) for kind in kinds]
    seen, heard = zip(*map(changes, scenes), strict=True)
    told = [measured(a, seen[i], heard[j]) for i, a in enumerate(scenes) for j, b in enumerate(scenes) if a is not b]
    assert sum(one.chance < LEAST_CERTAIN for one in told) <= 1


def bumps(lags: np.ndarray, centres: np.ndarray, height: float, seed: int = 0) -> np.ndarray:
    """Curves (B, L) of noise with deviation 1 and a bump in each."""
    rng = np.random.default_rng(seed)
    noise = np.array([np.convolve(rng.standard_normal(len(lags)), np.ones(6) / 6**0.5, "same") for _ in centres])
    return noise + height * np.exp(-0.5 * ((lags - centres[:, None]) / 0.015) ** 2)


def evidence_of(centres: np.ndarray, height: float = 5.0, block: float = 2.0) -> Evidence:
    lags = np.arange(-512, 513) / 256
    times = (np.arange(len(centres)) + 0.5) * block
    return Evidence(bumps(lags, centres, height).astype(np.float32), lags, times, np.array([3.0, 3.5, 4.0, 3.2]))


def test_a_drift_is_found_with_its_uncertainty() -> None:
    times = (np.arange(150) + 0.5) * 2
    told = estimate(evidence_of(0.1 + 145e-6 * (times - times.mean())))
    assert abs(told.slope - 145e-6) < 3 * told.slope_deviation
    assert told.slope_deviation < 10e-6
    assert told.lag == pytest.approx(0.1, abs=0.003)
    assert len(told.segments) == 1


def test_a_jump_parts_the_video_and_no_block_alone_does() -> None:
    jumped = estimate(evidence_of(np.where(np.arange(12) < 7, 0.05, -0.28)))
    assert [round(part.lag, 2) for part in jumped.segments] == [0.05, -0.28]
    assert jumped.segments[1].start == pytest.approx(14, abs=0.1)
    stray = estimate(evidence_of(np.where(np.arange(12) == 7, 0.3, 0.05), height=9))
    assert [round(part.lag, 2) for part in stray.segments] == [0.05]


def test_the_passage_of_a_short_video_is_all_of_it() -> None:
    (part,) = estimate(evidence_of(np.array([0.05]), height=9)).segments
    assert (part.start, part.stop) == (0.0, 2.0)


def test_two_peaks_of_one_height_are_rivals() -> None:
    one = evidence_of(np.full(8, 0.0))
    two = Evidence(one.curves + np.roll(one.curves, 128, axis=1), one.lags, one.times, one.chance)
    assert estimate(two).rival > 0.85 > estimate(one).rival


def test_a_line_is_not_bent_by_strays() -> None:
    times = np.arange(40.0)
    lags = 0.02 + 1e-4 * (times - times.mean())
    lags[[3, 11, 30]] += 0.2
    lags[5] = np.nan
    line = fitted_line(times, lags)
    assert line is not None
    assert line.slope == pytest.approx(1e-4, abs=1e-7)
    assert line.level == pytest.approx(0.02, abs=1e-5)
    assert fitted_line(times[:3], lags[:3]) is None
