"""Wild draws: within bounds, with streams of their own, and only what a model can do."""

from __future__ import annotations

from audioreactive.patches.preset import preset_of
from audioreactive.patches.presets import parse_preset, preset_text
from audioreactive.patches.randomizer import random_patch
from audioreactive.patches.schema import LatentDirection
from audioreactive.patches.wild import BENDS, BENT_LAYERS, BENT_SHARE, DIRECTION_REACH, ZOOM, Wild
from audioreactive.pipeline.recipe import Recipe

ALL = frozenset({"bends", "directions", "camera", "weights"})


def test_wild_draws_stay_within_their_bounds_and_leave_the_rest_as_it_is() -> None:
    seen = set()
    for seed in range(200):
        calm, patch = random_patch(seed), Wild(ALL, ("b.pkl",))(random_patch(seed), seed)
        assert patch.palette == calm.palette and patch.noise == calm.noise
        count = len(calm.latents.sequences)
        assert patch.latents.sequences[:count] == calm.latents.sequences
        added = patch.latents.sequences[count:]
        assert 1 <= len(added) <= 2 and all(isinstance(one, LatentDirection) for one in added)
        for way in added:
            assert isinstance(way, LatentDirection)
            assert DIRECTION_REACH[0] <= abs(way.reach) <= DIRECTION_REACH[1] and "fine" not in way.depth
        assert 1 <= len(patch.bends) <= 3
        for bend in patch.bends:
            low, high = BENDS[bend.transform]
            assert low <= abs(bend.high) <= high and bend.low is None and bend.envelope is not None
            assert BENT_LAYERS[0] <= bend.layer <= BENT_LAYERS[1] and BENT_SHARE[0] <= bend.share <= BENT_SHARE[1]
            seen.add(bend.transform)
        assert patch.camera is not None and patch.weights[0].toward == "b.pkl"
        assert all(getattr(move, "high", 0) <= ZOOM[1] for move in patch.camera.moves)
        assert parse_preset(preset_text(preset_of(patch)), "again").patch == patch
    assert seen == set(BENDS)


def test_parts_have_streams_of_their_own() -> None:
    everything, some = Wild(ALL, ("b.pkl",))(random_patch(3), 3), Wild(frozenset({"bends"}))(random_patch(3), 3)
    assert some.bends == everything.bends and some.camera is None and not some.weights
    assert Wild(frozenset(), ("b.pkl",))(random_patch(3), 3) == random_patch(3)
    assert not Wild(ALL, ("../b.pkl", ".hidden"))(random_patch(3), 3).weights


def test_recipes_are_not_wild_by_themselves() -> None:
    for seed in range(5):
        assert Recipe(seed=seed).make().patch == random_patch(seed)
        assert Recipe(seed=seed, wild=Wild()).make().patch.bends
