"""Noise: the periodic function of the thesis, normalisation, purity in the frame index."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import make_features

from audioreactive.patches.noise import NoiseSequence, draw_field, noise_motion
from audioreactive.patches.randomizer import random_patch
from audioreactive.patches.schema import NoisePatch
from stylegan_ops import deferred

SIZES = ((4, 4), (8, 8), (8, 8), (16, 16), (16, 16), (32, 32), (32, 32))
CPU = torch.device("cpu")


def noise_of(features, *sequences: dict, sizes=SIZES, **fields):
    patch = NoisePatch.model_validate({"seeds": [1, 2, 3, 4], "base": [0, 1], "sequences": sequences} | fields)
    return NoiseSequence(noise_motion(patch, features), tuple(sizes), CPU)


def drawn_noise(seed: int, features, sizes=SIZES) -> NoiseSequence:
    return NoiseSequence(noise_motion(random_patch(seed).noise, features), tuple(sizes), CPU)


def test_the_loop_is_the_function_of_the_thesis(features) -> None:
    loop = {"strategy": "loop", "seconds": 2, "sigma": 7, "fields": [2, 0, 1], "intensity": 2}
    layer, size, frame = 3, (16, 16), 31
    n0, n1, n2 = (draw_field(seed, layer, size).astype(float) for seed in (3, 1, 2))
    value = np.sin(np.cos(2 * np.pi * frame / 48 + n0) / (7 / 50) + n1) * n2
    expected = value / np.sqrt(np.mean(value**2))
    produced = noise_of(features, loop).frames(frame, frame + 1)[layer][0, 0].numpy()
    np.testing.assert_allclose(produced, expected, rtol=0, atol=2e-4)  # float32 phase of up to 50 radians


def test_a_loop_comes_back(features) -> None:
    noise = noise_of(features, {"strategy": "loop", "bars": 1, "sigma": 5, "fields": [0, 1, 2], "intensity": 2})
    for here, there, between in zip(noise.frames(10, 11), noise.frames(58, 59), noise.frames(30, 31), strict=True):
        torch.testing.assert_close(here, there, rtol=0, atol=1e-3)
        assert (here - between).abs().max() > 0.1


def test_smaller_sigma_moves_more(features) -> None:
    def motion(sigma: float) -> float:
        loop = {"strategy": "loop", "bars": 4, "sigma": sigma, "fields": [0, 1, 2], "intensity": 2}
        maps = noise_of(features, loop).frames(0, 48)[5]
        return float((maps[1:] - maps[:-1]).square().mean())

    assert motion(2) > 2 * motion(10) > 4 * motion(100)


@given(seed=st.integers(0, 10_000))
@settings(deadline=None, max_examples=15)
def test_every_frame_of_every_patch_has_unit_variance(seed: int) -> None:
    features = make_features(seconds=2)
    noise = drawn_noise(seed, features)
    assert len(noise) == 48
    for maps, size in zip(noise.frames(0, 48), SIZES, strict=True):
        assert maps.shape == (48, 1, *size)
        assert torch.isfinite(maps).all()
        torch.testing.assert_close(maps.square().mean(dim=(1, 2, 3)), torch.ones(48), rtol=0, atol=1e-4)


def test_what_is_merged_later_covers_a_loop(features) -> None:
    loop = {"strategy": "loop", "bars": 1, "sigma": 5, "fields": [0, 1, 2]}
    cover = {"strategy": "feature", "envelope": {"feature": "onsets"}, "fields": [3], "intensity": 2}
    produced = noise_of(features, loop, cover).frames(7, 8)[6][0, 0].numpy()
    field = draw_field(4, 6, (32, 32))
    np.testing.assert_allclose(produced, field / np.sqrt(np.mean(field**2)), rtol=0, atol=1e-4)


def test_strength_and_amplitude_set_the_amount() -> None:
    ramp = np.linspace(0, 1, 192)
    amplitude = {"envelope": {"feature": "rms"}, "low": 0.5, "high": 1.5}
    noise = noise_of(make_features(rms=ramp), strength=2.0, amplitude=amplitude)
    deviation = noise.frames(0, 192)[4].square().mean(dim=(1, 2, 3)).sqrt().numpy()
    np.testing.assert_allclose(deviation, 2 * (0.5 + ramp), rtol=1e-4)


def test_frames_are_pure_in_their_index(features) -> None:
    noise = drawn_noise(5, features)
    again = drawn_noise(5, features)
    for first, second, wider in zip(noise.frames(8, 12), again.frames(8, 12), noise.frames(6, 14), strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=0)
        torch.testing.assert_close(first, wider[2:6], rtol=0, atol=1e-5)


def test_past_the_end_the_last_frame_is_held(features) -> None:
    noise = drawn_noise(5, features)
    for maps in noise.frames(features.frames - 1, features.frames + 2):
        torch.testing.assert_close(maps[1:], maps[:1].expand(2, -1, -1, -1), rtol=0, atol=1e-5)


def test_a_feature_blends_its_fields() -> None:
    onsets = np.zeros(192)
    onsets[96] = 1
    noise = noise_of(
        make_features(onsets=onsets),
        {"strategy": "feature", "envelope": {"feature": "onsets"}, "fields": [2, 3], "intensity": 2},
    )
    quiet, loud = (noise.frames(t, t + 1)[6][0, 0].numpy() for t in (95, 96))
    for produced, seed in ((quiet, 3), (loud, 4)):
        field = draw_field(seed, 6, (32, 32))
        np.testing.assert_allclose(produced, field / np.sqrt(np.mean(field**2)), rtol=0, atol=1e-4)


def test_blend_squirms_where_the_envelope_is_high() -> None:
    loud_half = np.repeat([0.0, 1.0], 96)
    noise = noise_of(
        make_features(rms=loud_half),
        {"strategy": "blend", "envelope": {"feature": "rms"}, "fields": [0, 1, 2, 3], "intensity": 2},
    )
    maps = noise.frames(0, 192)[6]
    motion = (maps[1:] - maps[:-1]).square().mean(dim=(1, 2, 3)).sqrt()
    assert motion[100:].mean() > 5 * motion[:90].mean()


def test_depth_touches_only_its_maps(features) -> None:
    loop = {"strategy": "loop", "bars": 1, "sigma": 5, "fields": [0, 1, 2], "depth": ["coarse"]}
    with_loop, without = noise_of(features, loop).frames(5, 6), noise_of(features).frames(5, 6)
    changed = [not torch.equal(a, b) for a, b in zip(with_loop, without, strict=True)]
    assert changed == [True, True, False, False, False, False, False]


def test_fields_belong_to_their_seed_and_layer() -> None:
    # Frozen: the first values of a named stream. A change here changes everybody's videos.
    np.testing.assert_allclose(draw_field(7, 3, (1, 3))[0], [1.640819, -0.12551, -1.065918], rtol=0, atol=1e-6)
    assert abs(np.corrcoef(draw_field(7, 3, (32, 32)).ravel(), draw_field(7, 4, (32, 32)).ravel())[0, 1]) < 0.1


@pytest.mark.parametrize("size", [(4, 2), (4, 7), (64, 36)])
def test_maps_need_not_be_square(features, size) -> None:
    maps = drawn_noise(2, features, [size]).frames(0, 2)
    assert maps[0].shape == (2, 1, *size)


def test_a_batch_moves_its_motion_once_whatever_the_model(features, monkeypatch) -> None:
    moves, moved = [], deferred.moved
    monkeypatch.setattr(deferred, "moved", lambda values, device: moves.append(values) or moved(values, device))
    loop = {"strategy": "loop", "bars": 1, "sigma": 5, "fields": [0, 1, 2], "intensity": 0.5}
    for sizes in (SIZES, SIZES[:3]):
        moves.clear()
        assert len(list(noise_of(features, loop, sizes=sizes).frames(0, 4))) == len(sizes)
        assert len(moves) == 1, "weights, gain, the loop's phase, share and reach"
