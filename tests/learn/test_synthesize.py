"""A synthesizer inside a patch: where its motion goes, and what stays as it was."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from support import make_features

from audioreactive.errors import RenderError, SynthesizerError
from audioreactive.learn.synthesize import synthesize
from audioreactive.learn.tables import centred, to_rate
from audioreactive.patches.latents import latent_weights
from audioreactive.patches.motion import motion as motion_of
from audioreactive.patches.noise import NoiseSequence, noise_motion
from audioreactive.patches.preset import preset_of
from audioreactive.patches.presets import parse_preset, preset_text
from audioreactive.patches.randomizer import draw_around, random_patch
from audioreactive.patches.schema import Hippo, LatentPatch, Patch

HIPPO = Hippo(kind="hippo", name="hippo", coefficients=64, steps=30)
PATCH = draw_around(HIPPO, 3)


FEATURES = make_features()


def played(motion: np.ndarray) -> dict[str, np.ndarray]:
    """A synthesizer's motion (17,), held still, as its envelopes."""
    return {"hippo": np.tile((0.5 + 0.5 * motion).astype(np.float32), (FEATURES.frames, 1))}


def latents_of(patch: LatentPatch, motion: np.ndarray) -> np.ndarray:
    return latent_weights(patch, FEATURES, 24, played(motion))


def noise_of(motion: np.ndarray, sizes) -> NoiseSequence:
    return NoiseSequence(noise_motion(PATCH.noise, FEATURES, played(motion)), sizes, torch.device("cpu"))


def test_the_envelopes_of_a_patchs_synthesizers() -> None:
    features = make_features()
    made = synthesize(PATCH, features)
    table = made["hippo"]
    assert set(made) == {"hippo"}
    assert table.shape == (features.frames, 17)
    assert table.dtype == np.float32
    assert 0 <= table.min() < table.max() <= 1
    np.testing.assert_allclose(table.mean(0), 0.5, atol=0.1)
    assert synthesize(random_patch(1), features) == {}
    with pytest.raises(RenderError, match="the motion of the synthesizers hippo must be made first"):
        motion_of(PATCH, features)


def test_latents_stay_as_far_from_the_mean_as_single_pictures() -> None:
    """Not in between two sections: there, the picture itself is an average."""
    data = PATCH.latents.model_dump()
    data["sequences"][0]["smooth"] = 0.0
    latents = LatentPatch.model_validate(data)
    stream = np.random.RandomState(0)
    for _ in range(5):
        motion = np.zeros(17)
        motion[:9] = stream.uniform(-0.5, 0.5, 9)
        weights = latents_of(latents, motion)
        np.testing.assert_allclose(weights.sum(2), 1, atol=1e-5)
        # Of palette vectors that are independent; the pictures and the vectors of the motion are different ones.
        radius = np.square(weights - 1 / 24).sum(2) / (1 - 1 / 24)
        assert abs(radius.mean() - 1) < 0.12


def test_an_envelope_pulls_towards_its_vector() -> None:
    rest = latents_of(PATCH.latents, np.zeros(17))
    motion = np.zeros(17)
    motion[4] = 0.6  # the second vector of the middle layers
    pulled = latents_of(PATCH.latents, motion)
    vector = PATCH.latents.sequences[1].vectors[4]
    assert (pulled[:, 1, vector] > rest[:, 1, vector] + 0.4).all()
    np.testing.assert_array_equal(pulled[:, [0, 2]], rest[:, [0, 2]])


def test_noise_gets_the_mean_and_deviation_that_are_played() -> None:
    motion = np.zeros(17)
    motion[9 + 1] = 0.8  # mean of the maps of 8²
    motion[13 + 2] = -1.0  # deviation of the maps of 16²
    sizes = ((4, 4), (8, 8), (8, 8), (16, 16), (32, 32), (64, 64))
    maps = noise_of(motion, sizes).frames(0, 3)
    rest = noise_of(np.zeros(17), sizes).frames(0, 3)
    for octave, index in ((0, 0), (3, 4), (4, 5)):
        torch.testing.assert_close(maps[index], rest[index], msg=f"octave {octave}")
    for index in (1, 2):
        torch.testing.assert_close(maps[index] - rest[index], torch.full((3, 1, 8, 8), 0.4))
    torch.testing.assert_close(maps[3], rest[3] / 2)


def test_it_moves_alike_at_every_frame_rate() -> None:
    slow = make_features(8, Fraction(24))
    # The same sound on a finer grid.
    table = {name: np.repeat(values, 2, axis=0) for name, values in slow.items()}
    fast = make_features(8, Fraction(48))
    fast = replace(fast, envelopes=table)
    segmentations = {name: np.repeat(labels, 2, axis=0) for name, labels in slow.segmentations.items()}
    fast = replace(fast, segmentations=segmentations)
    first, second = (synthesize(PATCH, features)["hippo"] for features in (slow, fast))
    np.testing.assert_allclose(second[::2], first, atol=1e-6)


def test_tables_are_brought_to_the_rate() -> None:
    features = make_features(4, Fraction(30))
    ramp = features.times[:, None].astype(np.float32)
    np.testing.assert_allclose(to_rate(ramp, features)[:90, 0], np.arange(90) / 24, atol=1e-5)
    assert not centred(np.full((100, 2), 3.0, np.float32)).any()
    assert np.linalg.norm(centred(ramp)) == pytest.approx(1)


def test_a_preset_holds_the_synthesizer() -> None:
    preset = preset_of(PATCH)
    text = preset_text(preset)
    assert "[[synthesizers]]" in text
    assert parse_preset(text, "it").patch == PATCH
    assert "synthesizers" not in preset_text(preset_of(random_patch(1)))


def test_a_recipe_may_mix_it_with_others() -> None:
    data = random_patch(5).model_dump()
    data["synthesizers"] = [HIPPO.model_dump()]
    sequence = {"strategy": "synthesizer", "synthesizer": "hippo", "vectors": [0, 1, 2], "depth": ["middle"]}
    plain = Patch.model_validate(data)
    data["latents"]["sequences"] = [*data["latents"]["sequences"], sequence]
    mixed = Patch.model_validate(data)
    features = make_features()
    before, after = (motion_of(patch, features, synthesize) for patch in (plain, mixed))
    assert np.abs(after.latents - before.latents)[:, 1].max() > 0.1
    assert set(motion_of(PATCH, features, synthesize).tables()) == {"latents", "noise", "gain", "levels"}
    assert after.noise.levels is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"synthesizers": []}, "the patch has none"),
        ({"synthesizers": [HIPPO.model_dump() | {"name": "other"}]}, "there are other"),
        ({"synthesizers": [HIPPO.model_dump()] * 2}, "same name"),
        ({"synthesizers": [HIPPO.model_dump() | {"weights": {"onset": 10}}]}, "did you mean 'onsets'"),
        ({"synthesizers": [HIPPO.model_dump() | {"coefficients": 513}]}, "512"),
    ],
)
def test_mistakes_in_a_preset_are_named(change: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Patch.model_validate(PATCH.model_dump() | change)


def test_songs_that_nothing_can_be_fitted_to() -> None:
    with pytest.raises(SynthesizerError, match="at least 1 s"):
        synthesize(PATCH, make_features(0.5))
    features = make_features()
    silent = replace(
        features,
        envelopes={name: np.zeros_like(table) for name, table in features.items()},
        segmentations={name: np.zeros_like(labels) for name, labels in features.segmentations.items()},
    )
    with pytest.raises(SynthesizerError, match="nothing changes in the song"):
        synthesize(PATCH, silent)
