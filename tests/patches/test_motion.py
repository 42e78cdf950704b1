"""Motion, and what a generator is fed of it: pure in the frame's index, and the same whoever holds the palette."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from second_backend import Discs
from support import make_features

from audioreactive.correlation import score_total, sound_tables
from audioreactive.errors import RenderError
from audioreactive.learn.scoring import motion_score
from audioreactive.patches.latents import make_palette
from audioreactive.patches.motion import Inputs, Motion, motion
from audioreactive.patches.randomizer import draw_around, random_patch
from audioreactive.patches.schema import Hippo, Patch

GENERATOR = Discs(noise_sizes=((4, 4), (8, 8), (8, 8), (16, 16), (16, 16)))
WITH_SYNTHESIZER = draw_around(Hippo(kind="hippo", name="drums"), 3)


def moving(patch: Patch, features) -> Motion:
    """With synthesizers that swing at a pace of their own."""

    def swing(patch: Patch, features) -> dict[str, np.ndarray]:
        table = 0.5 + 0.4 * np.sin(features.times[:, None] * (1 + np.arange(17)))
        return {synthesizer.name: table.astype(np.float32) for synthesizer in patch.synthesizers}

    return motion(patch, features, swing)


def equal(first, second) -> None:
    torch.testing.assert_close(first.ws, second.ws, rtol=0, atol=0)
    for one, other in zip(first.noise, second.noise, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize("patch", [random_patch(5), random_patch(8), WITH_SYNTHESIZER], ids=["5", "8", "synthesizer"])
def test_frames_are_a_pure_function_of_their_index(features, patch: Patch) -> None:
    made = moving(patch, features)
    inputs = made.on(GENERATOR)
    assert len(made) == len(inputs) == features.frames
    there = pickle.loads(pickle.dumps(made)).on(GENERATOR)
    again = inputs.frames(40, 44)
    inputs.frames(0, 3)
    equal(inputs.frames(40, 44), again)
    equal(there.frames(40, 44), again)
    wider = inputs.frames(38, 46)
    torch.testing.assert_close(wider.ws[2:6], again.ws, rtol=0, atol=1e-6)
    for one, other in zip(wider.noise, again.noise, strict=True):
        torch.testing.assert_close(one[2:6], other, rtol=0, atol=1e-5)
    last = inputs.frames(features.frames - 1, features.frames + 2)
    for table in (last.ws, *last.noise):
        torch.testing.assert_close(table[1:], table[:1].expand_as(table[1:]), rtol=0, atol=1e-5)


def test_a_given_palette_is_the_mapped_one_or_another(features) -> None:
    made = motion(random_patch(5), features)
    palette = made.vectors(GENERATOR)
    torch.testing.assert_close(palette, make_palette(random_patch(5).palette, GENERATOR), rtol=0, atol=0)
    plain = made.on(GENERATOR).frames(8, 12)
    equal(made.on(GENERATOR, palette).frames(8, 12), plain)
    equal(made.on(GENERATOR, torch.from_numpy(palette.numpy())).frames(8, 12), plain)
    doubled = made.on(GENERATOR, 2 * palette).frames(8, 12)
    torch.testing.assert_close(doubled.ws, 2 * plain.ws)
    torch.testing.assert_close(doubled.noise, plain.noise, rtol=0, atol=0)


def test_a_palette_of_another_number_of_vectors_is_refused(features) -> None:
    made = motion(random_patch(5), features)
    with pytest.raises(ValueError, match="do not fit a palette of 3 vectors"):
        made.on(GENERATOR, made.vectors(GENERATOR)[:3])


def test_synthesizers_must_be_heard_before(features) -> None:
    with pytest.raises(RenderError, match="the motion of the synthesizers drums must be made first"):
        motion(WITH_SYNTHESIZER, features)
    asked = []
    motion(random_patch(5), features, lambda *given: asked.append(given))
    assert not asked, "nobody is asked for a patch that has none"


def test_every_synthesizers_envelopes_move_it(features) -> None:
    table = np.full((features.frames, 17), 0.5, np.float32)
    rest = motion(WITH_SYNTHESIZER, features, lambda patch, features: {"drums": table})
    assert np.abs(moving(WITH_SYNTHESIZER, features).latents - rest.latents).max() > 0.1
    np.testing.assert_array_equal(rest.noise.levels.mean, 0)
    np.testing.assert_array_equal(rest.noise.levels.deviation, 1)
    assert set(rest.tables()) == {"latents", "noise", "gain", "levels"}


def test_the_score_does_not_depend_on_the_order_of_tables_or_of_their_columns() -> None:
    features, stream = make_features(10), np.random.RandomState(0)
    made = motion(random_patch(5), features)
    heard, tables = sound_tables(features)[0], made.tables()
    heard = {name: heard[name] for name in ("rms", "onsets", "chroma")}
    assert set(tables) == {"latents", "noise", "gain"} and all(len(table) == len(made) for table in tables.values())
    turned = {name: table[:, stream.permutation(table.shape[1])] for name, table in reversed(tables.items())}
    score = score_total(dict(reversed(heard.items())), turned, fps=features.fps)
    assert motion_score(made, heard, features.fps) == pytest.approx(score.z, abs=1e-3)


def test_what_holds_still_scores_nothing(features) -> None:
    still = Patch.model_validate(
        {"palette": {"seeds": [1]}, "latents": {"base": [0]}, "noise": {"seeds": [1], "base": [0]}}
    )
    assert motion_score(motion(still, features), sound_tables(features)[0], features.fps) == 0


def test_a_generator_without_noise_is_fed_none(features) -> None:
    inputs = motion(random_patch(5), features).on(Discs(noise_sizes=()))
    fed = inputs.frames(3, 7)
    assert fed.noise == [] and fed.ws.shape == (4, 5, 6)


def test_the_picture_decides_about_the_noise_and_nothing_else(features) -> None:
    class Growing(Discs):
        """Its finest map is as large as its picture."""

        def resized(self, size):
            return Growing(img_size=size, noise_sizes=((4, 4), size))

    made, generator = motion(random_patch(5), features), Growing().resized((48, 64))
    own, wide = made.on(generator), made.on(generator, size=(100, 61))
    assert isinstance(wide, Inputs) and own.canvas.size == (64, 48)
    assert wide.canvas.size == wide.canvas.frame_size == (100, 61), "nothing is rounded: no encoder has asked"
    assert wide.noise.sizes == ((4, 4), (61, 100))
    torch.testing.assert_close(wide.frames(0, 2).ws, own.frames(0, 2).ws, rtol=0, atol=0)
    cropped = made.on(generator, size=(100, 60), fit="crop")
    assert cropped.noise.sizes == own.noise.sizes and cropped.canvas.size == (100, 60)


def test_a_closed_motion_ends_where_it_begins() -> None:
    features = make_features(10)
    whole = motion(random_patch(7), features)
    for start, stop in ((60, 180), (0, 240)):
        loop = whole.closed(start, stop, 24)
        np.testing.assert_array_equal(loop.latents[: stop - 24], whole.latents[: stop - 24])
        np.testing.assert_allclose(loop.latents.sum(axis=2), 1, atol=1e-5)
        # The step over the seam is as small as steps within the song.
        step = np.abs(loop.latents[stop - 1] - loop.latents[start]).max()
        usual = np.abs(np.diff(whole.latents[max(start - 1, 0) : start + 2], axis=0)).max()
        assert step < usual + 0.02, (start, step, usual)
        seam = np.abs(loop.noise.weights[stop - 1] - loop.noise.weights[start]).max()
        assert seam < np.abs(np.diff(whole.noise.weights[max(start - 1, 0) : start + 2], axis=0)).max() + 0.02
        assert abs(loop.noise.gain[stop - 1] - whole.noise.gain[max(start - 1, 0)]) < 0.05
    assert whole.closed(5, 6, 24) is whole
