"""Parts of a patch that are drawn anew, parts that are kept, and knobs that sum up many values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support import make_features

from audioreactive.errors import PresetError
from audioreactive.generators.painter import Painter
from audioreactive.learn.named import named_synthesizer
from audioreactive.patches.knobs import reaction, tempo_of_loops, with_reaction
from audioreactive.patches.latents import make_palette
from audioreactive.patches.motion import motion, passage
from audioreactive.patches.overrides import with_value
from audioreactive.patches.preset import preset_of
from audioreactive.patches.presets import parse_preset, preset_text
from audioreactive.patches.randomizer import random_patch, with_lead, with_synthesizer, without_idle_synthesizers
from audioreactive.patches.redraw import redrawn, with_new_palette
from audioreactive.patches.schema import NoiseLevels, Palette
from audioreactive.patches.sections import Section, spans

PATCH = with_lead(random_patch(3), 3)
FEATURES = make_features(20)


def test_the_family_of_pictures_is_kept_alone() -> None:
    first = PATCH.model_copy(update={"palette": PATCH.palette.model_copy(update={"family": "silk"})})
    families = {redrawn(first, seed).palette.family for seed in range(8)}
    assert families != {"silk"}
    for seed in range(8):
        drawn = redrawn(first, seed, {"family"})
        assert drawn.palette.family == "silk" and drawn.palette.seeds == redrawn(first, seed).palette.seeds
    assert redrawn(PATCH.model_copy(update={"palette": Palette(seeds=(1,))}), 5, {"family"}).palette.family is None


@pytest.mark.parametrize("half", ["palette", "latents", "noise"])
def test_what_is_locked_stays_and_the_rest_is_drawn(half: str) -> None:
    drawn, kept = redrawn(PATCH, 9), redrawn(PATCH, 9, {half})
    for part in ("palette", "latents", "noise"):
        assert getattr(kept, part) == getattr(PATCH if part == half else drawn, part)
        assert getattr(drawn, part) != getattr(PATCH, part)


def test_single_sequences_stay_at_their_places() -> None:
    kept = redrawn(PATCH, 9, {"latents.0", "latents.2", "noise.1"})
    assert kept.latents.sequences[0] == PATCH.latents.sequences[0]
    assert kept.latents.sequences[2] == PATCH.latents.sequences[2]
    assert kept.noise.sequences[1] == PATCH.noise.sequences[1]
    assert kept.noise.seeds == PATCH.noise.seeds
    assert kept.latents.sequences[1] == redrawn(PATCH, 9).latents.sequences[0]
    with pytest.raises(PresetError, match="cannot be kept"):
        redrawn(PATCH, 9, {"latents.x"})


def test_colours_anew_leave_forms_and_matter_alone() -> None:
    painter = Painter()
    anew = with_new_palette(PATCH, 7, "fine")
    before, after = (make_palette(patch.palette, painter) for patch in (PATCH, anew))
    assert torch.equal(before[:, :2], after[:, :2]) and not torch.equal(before[:, 2], after[:, 2])
    assert anew.palette.seeds == PATCH.palette.seeds
    assert with_new_palette(anew, 8).palette.fine is None
    assert parse_preset(preset_text(preset_of(anew)), "x").patch == anew
    with pytest.raises(ValueError, match="fine has 1 seeds, and the palette 2"):
        Palette(seeds=(1, 2), fine=(3,))


def test_muted_sequences_move_nothing_and_keep_their_strength() -> None:
    muted = PATCH
    for half in ("latents", "noise"):
        for i in range(len(getattr(PATCH, half).sequences)):
            muted = with_value(muted, f"{half}.sequences.{i}.muted", True)
    empty = with_value(with_value(PATCH, "latents.sequences", []), "noise.sequences", [])
    one, other = motion(muted, FEATURES), motion(empty, FEATURES)
    np.testing.assert_array_equal(one.latents, other.latents)
    np.testing.assert_array_equal(one.noise.weights, other.noise.weights)
    assert muted.latents.sequences[0].intensity == PATCH.latents.sequences[0].intensity
    text = preset_text(preset_of(muted))
    assert "muted = true" in text and "muted" not in preset_text(preset_of(PATCH))
    assert parse_preset(text, "x").patch == muted


def test_reaction_and_speed_read_back_what_was_set() -> None:
    patch = with_reaction(PATCH, 0.4)
    assert reaction(patch) == pytest.approx(0.4, abs=1e-3)
    assert with_reaction(with_reaction(PATCH, 0), 0.5) != PATCH
    loops = [s for s in PATCH.latents.sequences if s.strategy == "loop"]
    assert tempo_of_loops(PATCH) == pytest.approx(
        np.exp(
            np.mean([np.log(8 / s.bars) for s in (*loops, *(n for n in PATCH.noise.sequences if n.strategy == "loop"))])
        )
    )


def test_a_passage_moves_as_the_whole_does() -> None:
    later = redrawn(PATCH, 5, {"noise"}).model_dump(mode="json", exclude_none=True)
    sections = (Section(start=0, label="A"), Section(start=8, label="B", crossfade=1.0, patch=later))
    seen = spans(PATCH, sections, FEATURES)
    whole = motion(PATCH, FEATURES, sections=sections)
    memory: dict = {}
    for frames in (range(0, 150), range(170, 210), range(200, 201), range(300, 480)):
        part = passage(seen, FEATURES, frames, memory=memory)
        owners = [whole.palettes.index(palette) for palette in part.palettes]
        columns = np.concatenate([np.arange(24) + 24 * owner for owner in owners])
        np.testing.assert_array_equal(part.latents, whole.latents[frames.start : frames.stop, :, columns])
        places = [whole.noise.seeds.index(seed) for seed in part.noise.seeds]
        np.testing.assert_array_equal(part.noise.weights, whole.noise.weights[frames.start : frames.stop, :, places])
        np.testing.assert_array_equal(part.noise.gain, whole.noise.gain[frames.start : frames.stop])
    assert len(memory) == 2, "each span is computed once"


def test_values_are_set_where_there_is_a_place_for_them() -> None:
    assert with_value(PATCH, "noise.strength", 2).noise.strength == 2
    assert with_value(PATCH, "palette.family", None).palette.family is None
    for path, value in (
        ("noise.nothing.x", 1),
        ("latents.sequences.99.intensity", 1),
        ("noise.strength", "loud"),
        ("", 1),
    ):
        with pytest.raises(PresetError):
            with_value(PATCH, path, value)


def test_a_synthesizer_is_added_once() -> None:
    once = with_synthesizer(PATCH, named_synthesizer("hippo", motion_seed=1))
    twice = with_synthesizer(once, named_synthesizer("hippo", motion_seed=2))
    assert [one.motion_seed for one in twice.synthesizers] == [2]
    assert len(twice.latents.sequences) == len(PATCH.latents.sequences) + 1


def test_a_synthesizer_that_nothing_calls_goes() -> None:
    patch = with_synthesizer(PATCH, named_synthesizer("hippo"))
    assert without_idle_synthesizers(patch) == patch
    latents = patch.latents.model_copy(update={"sequences": patch.latents.sequences[:-1]})
    assert without_idle_synthesizers(patch.model_copy(update={"latents": latents})).synthesizers == ()
    noise = patch.noise.model_copy(update={"levels": NoiseLevels(synthesizer="hippo")})
    still = patch.model_copy(update={"latents": latents, "noise": noise})
    assert without_idle_synthesizers(still) == still
