"""Knobs: 1 changes nothing, more is more, and what comes out is a preset like any other."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from support import make_features

from audioreactive.errors import PresetError
from audioreactive.patches.fields import DEPTHS
from audioreactive.patches.knobs import TURN, Knobs, answers_hits
from audioreactive.patches.motion import motion
from audioreactive.patches.noise import NoiseSequence
from audioreactive.patches.preset import Preset, preset_of
from audioreactive.patches.presets import load_preset, parse_preset, preset_text, shipped_presets
from audioreactive.patches.randomizer import random_patch
from audioreactive.patches.tables import shape_envelope, smooth

if TYPE_CHECKING:
    from audioreactive.patches.schema import Patch

NAMES = tuple(field.name for field in fields(Knobs))
SHIPPED = {name: load_preset(name).patch for name in shipped_presets()}
FACTORS = (0.25, 0.5, 1.0, 1.5, 2.0)


@pytest.fixture(scope="module")
def heard():
    """Sixteen seconds of envelopes that glide, and hits twice a second."""
    features = make_features(16)
    envelopes = {}
    for name, table in features.items():
        glided = smooth(np.array(table), 12)
        envelopes[name] = np.clip((glided - 0.5) * 3 + 0.5, 0, 1).astype(np.float32)
    hits = (np.arange(features.frames) % 12 == 0).astype(np.float32)[:, None]
    for name in envelopes:
        if name.endswith(("onsets", "hits")) or name in ("pulse", "percussive.rms", "drop_moment"):
            envelopes[name] = np.maximum(hits, 0.05 * envelopes[name][:, :1])
    return replace(features, envelopes=envelopes)


@pytest.fixture(scope="module")
def still(heard):
    """The same length, in which nothing is heard to change: what moves then is what runs by the clock."""
    envelopes = {name: np.repeat(table.mean(0, keepdims=True), len(table), 0) for name, table in heard.items()}
    segmentations = {name: np.zeros_like(labels) for name, labels in heard.segmentations.items()}
    return replace(heard, envelopes=envelopes, segmentations=segmentations)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("preset", [*SHIPPED, "drawn"])
def test_one_leaves_the_patch_identical(name: str, preset: str) -> None:
    patch = SHIPPED.get(preset) or random_patch(3)
    assert TURN[name](patch, 1.0) == patch
    assert Knobs(**{name: 1.0})(patch) is patch
    assert Knobs().turned == {}


def spread(table: np.ndarray) -> float:
    """How far rows lie from their mean."""
    return float(np.sqrt(np.square(table - table.mean(axis=0)).sum(axis=1).mean()))


def way(table: np.ndarray) -> float:
    """How far rows go from one frame to the next."""
    return float(np.sqrt(np.square(np.diff(table, axis=0)).sum(axis=1)).mean())


def answer(table: np.ndarray, patch: Patch, features) -> float:
    """The size of the part of a table that follows the hits that the patch hears."""
    hits = [shape_envelope(envelope, features) for envelope in patch.envelopes() if answers_hits(envelope)]
    centred = np.concatenate(hits, axis=1) - np.concatenate(hits, axis=1).mean(axis=0)
    basis, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    return float(np.linalg.norm(basis[:, sizes > 1e-3 * sizes[0]].T @ (table - table.mean(axis=0))))


def shallow(tables) -> np.ndarray:
    return tables["latents"].reshape(len(tables["gain"]), len(DEPTHS), -1)[:, -1]


def grows(values: list[float]) -> bool:
    return all(later > before * (1 + 1e-6) for before, later in pairwise(values))


@pytest.mark.parametrize("preset", SHIPPED)
def test_more_motion_and_colour_is_more_motion(preset: str, heard) -> None:
    patch = SHIPPED[preset]
    moved = [motion(TURN["motion"](patch, factor), heard).tables() for factor in FACTORS]
    assert grows([spread(tables["latents"]) for tables in moved])
    assert grows([way(tables["latents"]) for tables in moved])
    coloured = [motion(TURN["colour"](patch, factor), heard).tables() for factor in FACTORS]
    assert grows([spread(shallow(tables)) for tables in coloured])
    for tables in coloured:  # large forms and textures stay as they are
        rest = tables["latents"].reshape(len(tables["gain"]), len(DEPTHS), -1)[:, :-1]
        expected = motion(patch, heard).tables()["latents"].reshape(len(rest), len(DEPTHS), -1)[:, :-1]
        np.testing.assert_array_equal(rest, expected)


@pytest.mark.parametrize("preset", [*SHIPPED, *range(4)])
def test_without_motion_nothing_moves(preset: str | int, heard) -> None:
    """Not even the noise, by whatever it is moved: every frame is fed the same."""
    patch = random_patch(preset) if isinstance(preset, int) else SHIPPED[preset]
    made = motion(TURN["motion"](patch, 0.0), heard)
    whole, still = (motion(TURN["motion"](patch, factor), heard).noise for factor in (1.0, 0.0))
    for table in (made.latents, still.weights, still.gain, *(loop.share for loop in still.loops)):
        np.testing.assert_array_equal(table, np.broadcast_to(table[:1], table.shape))
    np.testing.assert_allclose(still.gain[0], whole.gain.mean(), rtol=1e-5)
    maps = NoiseSequence(still, ((4, 4), (8, 8), (16, 16)), torch.device("cpu")).frames(100, 150)
    for one in maps:
        assert (one - one[:1]).abs().max() < 1e-5 and one.std() > 0.1


@pytest.mark.parametrize("factor", [0.5, 1.5])
def test_noise_moves_about_its_average_as_far_as_is_asked_for(factor: float, heard) -> None:
    patch = SHIPPED["sparks"]
    whole, turned = (motion(TURN["motion"](patch, by), heard).noise for by in (1.0, factor))
    for before, after in ((whole.weights, turned.weights), (whole.gain, turned.gain)):
        expected = before.mean(axis=0) + factor * (before - before.mean(axis=0))
        np.testing.assert_allclose(after, np.maximum(expected, 0) if after.ndim == 1 else expected, atol=1e-5)


@pytest.mark.parametrize("preset", SHIPPED)
def test_more_texture_is_more_noise(preset: str, heard) -> None:
    amounts = [motion(TURN["texture"](SHIPPED[preset], factor), heard).tables()["gain"].mean() for factor in FACTORS]
    np.testing.assert_allclose(np.array(amounts) / amounts[2], FACTORS, rtol=1e-5)


@pytest.mark.parametrize("preset", SHIPPED)
def test_more_beat_answers_hits_more(preset: str, heard) -> None:
    patch = SHIPPED[preset]
    if TURN["beat"](patch, 0.5) == patch:
        assert not any(answers_hits(envelope) for envelope in patch.envelopes())
        assert Knobs(beat=0.5).idle(patch) == ("beat",)
        return
    tables = [motion(TURN["beat"](patch, factor), heard).tables() for factor in FACTORS]
    answers = [sum(answer(made[name], patch, heard) for name in ("latents", "noise", "gain")) for made in tables]
    assert grows(answers), answers


@pytest.mark.parametrize("preset", SHIPPED)
def test_more_speed_turns_faster(preset: str, still) -> None:
    patch = SHIPPED[preset]
    if TURN["speed"](patch, 0.5) == patch:
        return
    # A short song: a loop that turns within few frames is not followed any more.
    tables = [motion(TURN["speed"](patch, factor), still).tables() for factor in FACTORS]
    ways = [sum(way(made[name]) for name in ("latents", "noise")) for made in tables]
    assert grows(ways), ways


def test_speed_takes_the_base_to_and_fro() -> None:
    patch = random_patch(3)
    base = patch.latents.base
    assert TURN["speed"](patch, 2.0).latents.base == (*base, *base[-2::-1])
    half = TURN["speed"](patch, 0.5).latents.base
    assert half == base[: len(half)] and len(half) - 1 == round((len(base) - 1) / 2)


@given(
    seed=st.integers(0, 10_000),
    factors=st.fixed_dictionaries({name: st.floats(0.1, 4) for name in NAMES}),
    again=st.integers(1, 4),
)
@settings(deadline=None, max_examples=examples(15, 60))
def test_what_comes_out_is_a_preset_like_any_other(seed: int, factors: dict[str, float], again: int) -> None:
    preset = preset_of(random_patch(seed))
    for _ in range(again):  # at every bound, too
        preset = preset.mapped(Knobs(**factors))
    assert type(preset) is Preset
    assert parse_preset(preset_text(preset), "it") == preset


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [-0.1, 10.1, float("nan"), 1e9])
def test_knobs_have_bounds(name: str, value: float) -> None:
    with pytest.raises(PresetError, match=f"{name} .* was asked for; it goes from"):
        Knobs(**{name: value})
