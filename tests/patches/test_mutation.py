"""Mutations: what evolves stays a patch around the same palette."""

from __future__ import annotations

from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from audioreactive.patches.mutation import STRONGEST, mutated
from audioreactive.patches.preset import preset_of
from audioreactive.patches.presets import parse_preset, preset_text
from audioreactive.patches.randomizer import SEQUENCES, random_patch, with_lead


@settings(max_examples=examples(15, 100), deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 10_000))
def test_a_mutation_is_a_preset_that_a_person_can_read(seed: int, number: int) -> None:
    patch = with_lead(random_patch(seed), seed)
    child = mutated(patch, f"test {number}")
    assert parse_preset(preset_text(preset_of(child)), "it").patch == child
    assert child.palette == patch.palette
    assert child.latents.base == patch.latents.base
    for kind, before, after in (("latents", patch.latents, child.latents), ("noise", patch.noise, child.noise)):
        assert abs(len(after.sequences) - len(before.sequences)) <= 3, kind
        assert len(after.sequences) <= SEQUENCES[-1] + 5 + 5, kind
        assert all(s.intensity <= STRONGEST or s in before.sequences for s in after.sequences), kind


def test_a_name_is_a_mutation() -> None:
    patch = random_patch(1)
    children = [mutated(patch, f"name {number}") for number in range(20)]
    assert children == [mutated(patch, f"name {number}") for number in range(20)]
    assert sum(child != patch for child in children) >= 18  # what is moved to where it stood, or weakened by nothing
    generations = patch
    for number in range(200):
        generations = mutated(generations, f"generation {number}")
    assert len(generations.latents.sequences) <= SEQUENCES[-1] + 5
