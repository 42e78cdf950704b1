"""The towers, and the lag that is followed through their likelihoods."""

from __future__ import annotations

import numpy as np
import pytest

from audioreactive.sync import towers
from audioreactive.sync.evidence import Evidence
from audioreactive.sync.heard import band_levels
from audioreactive.sync.measure import by_changes
from audioreactive.sync.research.scenes import FPS, Kind, Scene, make_scene
from audioreactive.sync.seen import MEASURED, measure_changes
from audioreactive.sync.steadied import STEADIED, SteadyMeter, camera_move
from audioreactive.sync.towers import (
    BLOCK,
    CUT_ODDS,
    MOST_CUT,
    SHARE,
    TOWER_RATE,
    WHOLE_ODDS,
    _convolved,
    _cuts,
    block_curves,
    learned_evidence,
    load_towers,
    seen_input,
    tower,
)
from audioreactive.sync.track import tracked

HALF_A_FRAME = 0.5 / float(FPS)


def test_the_movement_of_a_camera_is_found_and_taken_out() -> None:
    rng = np.random.default_rng(0)
    world = np.kron(rng.random((8, 12, 3)), np.ones((6, 8, 1))).astype(np.float32)
    luminance = world @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    for move in ((0, 0), (1, 0), (-2, 1), (2, -2)):
        assert camera_move(luminance, np.roll(luminance, move, (0, 1))) == move
    meter = SteadyMeter()
    for move in ((0, 0), (1, -1), (0, 0)):
        row = dict(zip(STEADIED, meter.measure(np.roll(world, move, (0, 1))), strict=True))
    assert row["motion"] == pytest.approx(0, abs=1e-6) and row["back"] == pytest.approx(0, abs=1e-6)
    spot = world.copy()
    spot[20:24, 30:34] = 1 - spot[20:24, 30:34]
    row = dict(zip(STEADIED, meter.measure(np.roll(spot, (0, 1), (0, 1))), strict=True))
    assert row["motion"] > 1e-4 and row["top"] > 0.05


def test_a_tiny_picture_is_measured_as_still() -> None:
    rows = measure_changes(np.random.default_rng(0).integers(0, 255, (5, 2, 4, 3), np.uint8))
    assert rows.shape == (5, len(MEASURED) + len(STEADIED)) and not rows[:, len(MEASURED) :].any()


def test_convolutions_are_those_of_pytorch() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    inputs, weight, bias = (rng.standard_normal(shape).astype(np.float32) for shape in ((3, 50), (4, 3, 5), (4,)))
    parts = (torch.from_numpy(part) for part in (inputs[None], weight, bias))
    wanted = torch.nn.functional.conv1d(*parts, dilation=3, padding=6)[0].numpy()
    assert np.allclose(_convolved(inputs, weight, bias, 3), wanted, atol=1e-5)


@pytest.mark.parametrize("side", ["seen", "heard"])
def test_a_long_film_is_convolved_piece_by_piece(side: str, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = np.random.default_rng(4).standard_normal((16 if side == "seen" else 12, 300)).astype(np.float32)
    whole = tower(inputs, side, load_towers())
    monkeypatch.setattr(towers, "_PIECE", 70)
    assert np.allclose(tower(inputs, side, load_towers()), whole, atol=1e-5)


def test_few_frames_of_a_fast_camera_are_read() -> None:
    times = np.arange(24) / 1000
    assert seen_input(np.ones((24, 17), np.float32), times).shape == (16, 1)


def test_blocks_are_compared_at_every_lag() -> None:
    rng = np.random.default_rng(2)
    seen, lags = rng.standard_normal((4, 3 * BLOCK + 5)).astype(np.float32), 20
    heard = rng.standard_normal((4, seen.shape[1] + 2 * lags)).astype(np.float32)
    curves = block_curves(seen, heard, lags)
    assert curves.shape == (3, 2 * lags + 1)
    rows = np.arange(BLOCK, 2 * BLOCK)
    plain = np.array([(seen[:, rows] * heard[:, rows + lag]).sum() / 4 for lag in range(2 * lags + 1)])
    assert np.allclose(curves[1], plain - plain.mean(), atol=1e-4)


def evidence_of(lags_of_blocks: np.ndarray, height: float = 4.0) -> Evidence:
    """Noise of deviation 1 with a bump in each quarter of a second."""
    rng = np.random.default_rng(3)
    lags = np.arange(-256, 257) / TOWER_RATE
    noise = rng.standard_normal((len(lags_of_blocks), len(lags)))
    bumps = height * np.exp(-0.5 * ((lags - lags_of_blocks[:, None]) / 0.012) ** 2)
    times = (np.arange(len(lags_of_blocks)) + 0.5) * BLOCK / TOWER_RATE
    chance = np.array([3.0, 3.5, 4.0, 3.2])
    return Evidence((noise + bumps).astype(np.float32), lags, times, chance, chance + 2, likelihood=1.0)


def test_a_lag_that_swings_is_followed() -> None:
    times = (np.arange(80) + 0.5) / 4
    truth = 0.1 + 0.02 * np.sin(2 * np.pi * times / 10)
    told = tracked(evidence_of(truth))
    assert len(told.segments) == 1
    assert np.abs(told.path - truth).max() < 0.01
    assert np.abs(told.lag_at(times) - told.path).max() < 1e-9


def test_a_jump_is_placed_where_it_is_said_to_be() -> None:
    truth = np.where(np.arange(48) < 21, 0.05, -0.28)
    told = tracked(evidence_of(truth), lambda about, before, after: about + 0.1)
    assert [round(part.lag, 2) for part in told.segments] == [0.05, -0.28]
    assert told.segments[1].start == pytest.approx(21 / 4 + 0.1, abs=0.26)
    assert told.lag_at(np.array([0.0, 11.9])) == pytest.approx([0.05, -0.28], abs=0.01)
    assert told.chance < 1e-3
    stray = truth[:21].copy()
    stray[10] = 0.4
    assert len(tracked(evidence_of(stray)).segments) == 1


@pytest.mark.parametrize("kind", ["rain", "applause", "footstep"])
def test_occlusion_reverberation_and_a_trembling_camera_are_stood(kind: Kind) -> None:
    scene = make_scene(kind, 4, 41)
    found = by_changes(measure_changes(scene.frames), scene.times + HALF_A_FRAME, band_levels(scene.sound))
    assert found.is_clear
    error = -found.estimate.lag_at(scene.times) - scene.truth
    assert np.mean(np.abs(error) < HALF_A_FRAME) > 0.8


@pytest.mark.parametrize("frames", [24, 300])
def test_a_sound_that_is_heard_after_the_picture_tells_nothing(bounces: Scene, frames: int) -> None:
    measured, levels = measure_changes(bounces.frames[:frames]), band_levels(bounces.sound)
    found = by_changes(measured, bounces.times[:frames], levels, 60.0)
    assert not found.is_clear


def test_a_cut_is_found_where_it_is() -> None:
    scene = make_scene("footstep", 5, 41)
    learned = learned_evidence(measure_changes(scene.frames), scene.times + HALF_A_FRAME, band_levels(scene.sound))
    told = tracked(learned.evidence, learned.border)
    cut = float(scene.times[np.abs(np.diff(scene.truth)).argmax()])
    assert len(told.segments) == 2 and abs(told.segments[1].start - cut) < 0.5


def test_a_leap_within_a_shot_is_likelier_to_be_a_cut_in_time_than_another_shot() -> None:
    measured = np.full((120, len(MEASURED) + len(STEADIED)), 0.01, np.float32)
    for frame, share in ((40, 0.05), (80, 0.9)):
        measured[frame, :SHARE] = 0.2
        measured[frame, SHARE] = share
    times = (np.arange(120) + 0.5) / 30
    odds = _cuts(seen_input(measured, times), measured, times)
    leap, shot = (float(odds[round(times[frame] * TOWER_RATE)]) for frame in (40, 80))
    assert leap == pytest.approx(CUT_ODDS * MOST_CUT, rel=0.01)
    assert shot == pytest.approx(WHOLE_ODDS * leap, rel=0.01)
    assert odds[round(times[60] * TOWER_RATE)] == 0


def test_a_jump_cut_beside_cuts_that_the_sound_goes_over_is_placed_to_the_frame() -> None:
    scene = make_scene("explosion", 5, 301)
    found = by_changes(measure_changes(scene.frames), scene.times + HALF_A_FRAME, band_levels(scene.sound))
    cut = float(scene.times[np.abs(np.diff(scene.truth)).argmax() + 1])
    assert len(found.estimate.segments) == 2
    assert found.estimate.segments[1].start == pytest.approx(cut, abs=2 * HALF_A_FRAME)
