"""Latents against a dense computation of the thesis' description, and the laws of motion and content."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline
from support import make_features

from audioreactive.errors import FeatureError, RenderError
from audioreactive.patches.latents import Latents, latent_weights, make_palette
from audioreactive.patches.randomizer import random_patch
from audioreactive.patches.schema import LatentPatch, Palette

PALETTE = np.random.RandomState(2).randn(6, 14, 5).astype(np.float32)  # [P, L, W]


def rendered(patch: LatentPatch, features) -> np.ndarray:
    latents = Latents(latent_weights(patch, features, len(PALETTE)), torch.from_numpy(PALETTE))
    assert len(latents) == features.frames
    return latents.frames(0, features.frames).numpy()


def patch_of(*sequences: dict, base=(0, 1, 2), vividness: float = 0.0) -> LatentPatch:
    return LatentPatch.model_validate({"base": base, "sequences": sequences, "vividness": vividness})


def test_the_base_is_a_spline_over_the_whole_song(features) -> None:
    expected = CubicSpline(np.linspace(0, 1, 4), PALETTE[[3, 1, 0, 5]])(np.linspace(0, 1, features.frames))
    np.testing.assert_allclose(rendered(patch_of(base=(3, 1, 0, 5)), features), expected, rtol=0, atol=1e-5)


def test_a_feature_is_a_weighted_average_merged_by_half(features) -> None:
    sequence = {"strategy": "feature", "envelope": {"feature": "tonnetz"}, "vectors": [5, 4, 3, 2, 1, 0]}
    weights = features["tonnetz"] / features["tonnetz"].sum(axis=1, keepdims=True)
    expected = (PALETTE[0] + np.einsum("tp,plw->tlw", weights, PALETTE[::-1])) / 2
    # Silent frames are guarded by a floor of 1e-4 a channel, which moves an average by as much.
    np.testing.assert_allclose(rendered(patch_of(sequence, base=(0,)), features), expected, rtol=0, atol=1e-3)


def test_modulate_follows_its_envelope() -> None:
    ramp = np.linspace(0, 1, 192)
    features = make_features(rms=ramp)
    sequence = {
        "strategy": "loop",
        "seconds": 1000,
        "vectors": [4],
        "merge": "modulate",
        "modulator": {"feature": "rms"},
    }
    expected = PALETTE[0] + ramp[:, None, None] * (PALETTE[4] - PALETTE[0])
    np.testing.assert_allclose(rendered(patch_of(sequence, base=(0,)), features), expected, rtol=0, atol=1e-5)


def test_depth_touches_only_its_layers(features) -> None:
    sequence = {"strategy": "loop", "bars": 1, "vectors": [3, 4, 5], "depth": ["middle"]}
    moved, still = rendered(patch_of(sequence), features), rendered(patch_of(), features)
    changed = np.abs(moved - still).max(axis=(0, 2)) > 1e-3
    np.testing.assert_array_equal(np.flatnonzero(changed), [5, 6, 7, 8])


def test_sections_come_back_and_differ(features) -> None:
    sequence = {"strategy": "segmentation", "feature": "chroma", "k": 2, "vectors": [3, 4], "smooth": 0.05}
    frames = rendered(patch_of(sequence | {"intensity": 2}, base=(0,)), features)
    labels = features.segmentation("chroma", 2)  # A B A B
    np.testing.assert_allclose(frames[24], PALETTE[3 + labels[24]], rtol=0, atol=1e-4)
    np.testing.assert_allclose(frames[24], frames[24 + 96], rtol=0, atol=1e-4)
    np.testing.assert_allclose(frames[24 + 48], PALETTE[4], rtol=0, atol=1e-4)


def test_a_loop_repeats_after_its_bars(features) -> None:
    sequence = {"strategy": "loop", "bars": 1, "vectors": [1, 2, 3], "intensity": 2}
    frames = rendered(patch_of(sequence, base=(0,)), features)
    np.testing.assert_allclose(frames[:48], frames[48:96], rtol=0, atol=1e-4)  # a bar lasts 2 s at 120 bpm
    assert np.abs(frames[0] - frames[24]).max() > 0.1


def test_intensity_zero_switches_a_sequence_off(features) -> None:
    sequence = {"strategy": "loop", "bars": 1, "vectors": [1, 2, 3], "intensity": 0}
    np.testing.assert_array_equal(rendered(patch_of(sequence), features), rendered(patch_of(), features))


def test_vividness_restores_the_spread_and_keeps_the_sum(features) -> None:
    blur = {"strategy": "feature", "envelope": {"feature": "tonnetz"}, "vectors": [0, 1, 2, 3, 4, 5]}
    pale, vivid = (latent_weights(patch_of(blur, blur, vividness=v), features, 6) for v in (0, 1))
    for weights in (pale, vivid):
        np.testing.assert_allclose(weights.sum(axis=2), 1, rtol=0, atol=1e-5)
    spread = np.sqrt(np.square(vivid - 1 / 6).sum(axis=2)).mean(axis=0)
    np.testing.assert_allclose(spread, np.sqrt(5 / 6), rtol=1e-4)
    assert np.sqrt(np.square(pale - 1 / 6).sum(axis=2)).mean() < 0.6


@given(seed=st.integers(0, 10_000))
@settings(deadline=None, max_examples=25)
def test_every_drawn_patch_gives_finite_weights_that_sum_to_one(seed: int) -> None:
    features = make_features(seconds=2)
    weights = latent_weights(random_patch(seed).latents, features, 24)
    assert weights.shape == (48, 3, 24)
    np.testing.assert_allclose(weights.sum(axis=2), 1, rtol=0, atol=1e-4)
    assert np.abs(weights).max() < 10


@pytest.mark.parametrize("size", [1, 2, 7])
def test_a_patch_works_with_a_palette_of_any_size(size: int) -> None:
    weights = latent_weights(random_patch(3).latents, make_features(seconds=1), size)
    assert weights.shape == (24, 3, size)
    assert np.isfinite(weights).all()


def test_one_frame_is_enough() -> None:
    weights = latent_weights(random_patch(3).latents, make_features(seconds=0.04), 24)
    assert weights.shape[0] == 1
    assert np.isfinite(weights).all()


def test_batches_agree_with_the_whole_and_hold_the_last_frame(features) -> None:
    latents = Latents(latent_weights(random_patch(1).latents, features, 6), torch.from_numpy(PALETTE))
    whole = latents.frames(0, features.frames)
    torch.testing.assert_close(latents.frames(40, 44), whole[40:44], rtol=0, atol=1e-6)
    tail = latents.frames(features.frames - 1, features.frames + 3)
    torch.testing.assert_close(tail, whole[-1:].expand(4, -1, -1), rtol=0, atol=1e-6)


def test_a_missing_stem_is_named(features) -> None:
    sequence = {"strategy": "feature", "envelope": {"feature": "drums.rms"}, "vectors": [0]}
    with pytest.raises(FeatureError, match="--stem drums=FILE"):
        latent_weights(patch_of(sequence), features, 4)


class FakeMapper:
    z_dim, c_dim = 4, 3
    families = ()
    device = torch.device("cpu")

    def mapping(self, z, c=None, truncation_psi: float = 1.0):
        return torch.cat([z, c], dim=1)[:, None] * truncation_psi


def test_palettes_use_the_seeds_that_users_share() -> None:
    palette = make_palette(Palette(seeds=(66, 230), truncation=0.5, label=2), FakeMapper())
    expected = 0.5 * np.append(np.random.RandomState(230).randn(1, 4)[0], [0, 0, 1])
    np.testing.assert_allclose(palette[1, 0].numpy(), expected, rtol=0, atol=1e-6)


def test_without_a_label_each_seed_has_its_own_class_and_no_neighbour_matters() -> None:
    both = make_palette(Palette(seeds=(66, 230)), FakeMapper())
    np.testing.assert_array_equal(both[:, 0, 4:].numpy(), [[1, 0, 0], [0, 0, 1]])
    torch.testing.assert_close(make_palette(Palette(seeds=(230,)), FakeMapper()), both[1:], rtol=0, atol=0)


def test_a_label_that_the_model_lacks_is_refused() -> None:
    with pytest.raises(RenderError, match="label 3 was asked for, but the model has classes 0 to 2"):
        make_palette(Palette(seeds=(1,), label=3), FakeMapper())
