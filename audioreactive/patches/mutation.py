"""Changes of a random patch, one sub-sequence at a time, with which patches evolve (section 6.2 of the thesis).

Every change leaves a patch that the Randomizer could have drawn around the same palette, with names and numbers that a
person can read.
"""

from __future__ import annotations

from typing import Any

from audioreactive._support.streams import named_stream
from audioreactive.patches.randomizer import SEQUENCES, Draws, latent_sequence, noise_sequence
from audioreactive.patches.schema import Patch

CHANGES = (1, 3)
"""Fewest and most changes of one mutation."""
LEAST, MOST = 0.5, 1.6
"""Factors between which the intensity of a sub-sequence changes."""
STRONGEST = 1.6
"""Largest intensity that a change may lead to."""


def mutated(patch: Patch, name: str) -> Patch:
    """Change a few sub-sequences of a patch: replaced, added, dropped, stronger, weaker, or at another place.

    name: name of the random draws; equal patches and names give equal results.
    """
    draws = Draws(named_stream(name))
    data = patch.model_dump(mode="json", exclude_none=True)
    for number in range(draws.integer(*CHANGES)):
        part = draws.one_of(("latents", "latents", "noise"))
        _change(data[part], part, Draws(named_stream(f"{name} {number}")))
    return Patch.model_validate(data)


def _change(part: dict[str, Any], kind: str, draws: Draws) -> None:
    sequences = part["sequences"] = list(part.get("sequences", ()))
    place = draws.integer(0, max(len(sequences) - 1, 0))
    change = draws.one_of(("replace", "add", "drop", "intensity", "intensity", "move"))
    new = (latent_sequence if kind == "latents" else noise_sequence)(draws)
    if change == "add" or not sequences:
        if len(sequences) < SEQUENCES[-1] + 5:
            sequences.insert(place, new)
    elif change == "replace":
        sequences[place] = new
    elif change == "drop":
        del sequences[place]
    elif change == "intensity":
        strength = sequences[place].get("intensity", 1.0) * draws.log_between(LEAST, MOST)
        sequences[place] = {**sequences[place], "intensity": round(min(strength, STRONGEST), 3)}
    else:
        sequences.insert(draws.integer(0, len(sequences) - 1), sequences.pop(place))
