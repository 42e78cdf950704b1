"""Motion fitted to what is seen: it reacts more than others, and does not depend on the number of threads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support import make_features, smooth_features, threads

from audioreactive.correlation import score_total, sound_tables, watch
from audioreactive.correlation.files import SECTION_COUNT
from audioreactive.errors import SynthesizerError
from audioreactive.generators.painter import Painter
from audioreactive.learn import sight
from audioreactive.learn.losses import SEQUENCES
from audioreactive.learn.named import named_synthesizer
from audioreactive.learn.sight import Mixing, Stage, fit
from audioreactive.learn.synthesize import synthesize
from audioreactive.patches.motion import motion as motion_of
from audioreactive.patches.randomizer import draw_around, random_patch
from audioreactive.patches.schema import Hippo
from audioreactive.progress import Silent
from audioreactive.rendering.previews import pictures_at

HIPPO = Hippo(kind="hippo", name="hippo", aim="seen", coefficients=64, steps=100, correction=1.0)
PATCH = draw_around(HIPPO, 3)
GENERATOR = Painter(("silk",))


FEATURES = smooth_features()


pytestmark = pytest.mark.usefixtures("little_learning")


def score(envelopes: np.ndarray) -> float:
    moving = motion_of(PATCH, FEATURES, lambda *_: {"hippo": envelopes})
    seen = watch(pictures_at(moving, GENERATOR.sketching(), np.arange(FEATURES.frames)))
    return score_total(sound_tables(FEATURES)[0], seen, fps=FEATURES.fps).z


def test_it_reacts_more_than_other_motion() -> None:
    fitted = score(synthesize(PATCH, FEATURES, GENERATOR)["hippo"])
    by_inputs = PATCH.synthesizers[0].model_copy(update={"aim": "inputs", "correction": 0.5})
    thesis = score(synthesize(PATCH.model_copy(update={"synthesizers": (by_inputs,)}), FEATURES)["hippo"])
    stream = np.random.RandomState(0)
    mixing = Mixing(FEATURES, HIPPO)
    loud = torch.full((len(SEQUENCES),), np.inf)
    others = []
    for _ in range(3):
        mixture = torch.from_numpy(stream.randn(mixing.size, 17)).float()
        others.append(score((0.5 + 0.5 * mixing.motion(mixture, loud).numpy()).astype(np.float32)))
    assert fitted > max(*others, thesis) + 1, (fitted, thesis, others)


def test_the_result_does_not_depend_on_threads_and_seeds_name_motions() -> None:
    features = smooth_features(5)
    stage, short = Stage.of(PATCH, features, GENERATOR), HIPPO.model_copy(update={"steps": 10})
    made = []
    for count in (1, 2):
        with threads(count):
            made.append(fit(stage, short, Silent()).motion)
    np.testing.assert_array_equal(*made)
    other = fit(stage, short.model_copy(update={"motion_seed": 1}), Silent()).motion
    assert abs(np.corrcoef(made[0].ravel(), other.ravel())[0, 1]) < 0.6
    assert made[0].shape == (features.frames, 17) and np.abs(made[0]).max() <= 1


def test_a_feature_of_weight_0_is_not_followed() -> None:
    weights = dict.fromkeys(sound_tables(FEATURES)[0], 0.0) | {"rms": 1.0}
    only = Mixing(FEATURES, HIPPO.model_copy(update={"weights": weights}))
    kinds = 1 + SECTION_COUNT
    assert only.size <= 3 * kinds < Mixing(FEATURES, HIPPO).size  # loudness, its slow course, how fast it rises
    with pytest.raises(SynthesizerError, match="nothing to fit a motion to"):
        silent = HIPPO.model_copy(update={"weights": dict.fromkeys(weights, 0.0)})
        synthesize(PATCH.model_copy(update={"synthesizers": (silent,)}), FEATURES, GENERATOR)


def test_a_part_of_the_motion_is_the_same_part_of_the_whole() -> None:
    mixing = Mixing(FEATURES, HIPPO)
    mixture = torch.from_numpy(np.random.RandomState(1).randn(mixing.size, 17)).float()
    amplitudes = torch.linspace(-3, 3, len(SEQUENCES))
    whole = mixing.motion(mixture, amplitudes)
    torch.testing.assert_close(mixing.motion(mixture, amplitudes, 50, 90), whole[50:90])
    still = mixing.motion(mixture, torch.full((len(SEQUENCES),), -np.inf))
    loud = mixing.motion(mixture, torch.full((len(SEQUENCES),), np.inf))
    torch.testing.assert_close(still, sight.STILLEST * loud)


def test_it_needs_the_generator_and_no_longer_song_than_a_second() -> None:
    with pytest.raises(SynthesizerError, match="it needs the generator whose pictures it moves"):
        synthesize(PATCH, FEATURES)
    short = make_features(1)
    assert synthesize(PATCH, short, GENERATOR)["hippo"].shape == (24, 17)
    assert synthesize(random_patch(1), short, GENERATOR) == {}


def test_names_choose_the_aim() -> None:
    seen, inputs = named_synthesizer("hippo"), named_synthesizer("hippo-inputs")
    assert isinstance(seen, Hippo) and isinstance(inputs, Hippo)
    assert (seen.aim, inputs.aim) == ("seen", "inputs")
    old = {"kind": "hippo", "name": "hippo"}
    assert Hippo.model_validate(old).aim == "inputs", "what older presets say keeps its meaning"
