"""Draw a part of a patch anew and keep the rest: locks, and colours in one depth group.

What is kept is named by its path: `palette`, `latents`, `noise`, or a single sub-sequence, `latents.3`; `family` is
the palette's family of pictures alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from audioreactive.errors import PresetError, shown
from audioreactive.patches.fields import DEPTHS
from audioreactive.patches.randomizer import Draws, random_patch, with_lead
from audioreactive.patches.schema import Patch

if TYPE_CHECKING:
    from collections.abc import Collection

    from audioreactive.patches.fields import Depth

HALVES: Final = ("latents", "noise")
_KEPT: Final = re.compile(r"palette|family|latents|noise|(latents|noise)\.(\d{1,3})")
LARGEST_PALETTE_SEED: Final = 99_999
"""Seeds are drawn up to this one, so that they can be told to a friend."""


def redrawn(patch: Patch, seed: int, keep: Collection[str] = ()) -> Patch:
    """Draw a patch from a seed, with the parts of `patch` that are to be kept.

    A sub-sequence that is kept stays at its position. Its noise fields, or the palette for which its vectors were
    chosen, are kept where nothing else makes sense: noise keeps its seeds; the palette has the same size anyway.

    Raises:
        PresetError: a name in `keep` is none of a part.
    """
    _check(keep)
    old = patch.model_dump(mode="json", exclude_none=True)
    data = with_lead(random_patch(seed), seed).model_dump(mode="json", exclude_none=True)
    if "palette" in keep:
        data["palette"] = old["palette"]
    elif "family" in keep:
        data["palette"]["family"] = old["palette"].get("family")
    for half in HALVES:
        if half in keep:
            data[half] = old[half]
            continue
        kept = sorted(int(name.partition(".")[2]) for name in keep if name.startswith(f"{half}."))
        for index in kept:
            if index < len(old[half]["sequences"]):
                data[half]["sequences"].insert(index, old[half]["sequences"][index])
        if kept and half == "noise":
            data[half]["seeds"] = old[half]["seeds"]
        data[half]["sequences"] = data[half]["sequences"][:64]
    if old.get("synthesizers"):
        data["synthesizers"] = old["synthesizers"]
    if "tempo_factor" in old:
        data["tempo_factor"] = old["tempo_factor"]
    return Patch.model_validate(data)


def with_new_palette(patch: Patch, seed: int, depth: Depth | None = None) -> Patch:
    """Draw the palette's seeds anew: all of them, or those of one depth group (fine: other colours, the same forms).

    The family of pictures stays, because it belongs to the coarse layers of the first seeds, unless all are drawn.
    """
    count = len(patch.palette.seeds)
    draws = Draws.named(seed, "palette" if depth is None else f"palette {depth}")
    seeds = [draws.integer(0, LARGEST_PALETTE_SEED) for _ in range(count)]
    data: dict[str, Any] = patch.model_dump(mode="json", exclude_none=True)
    if depth is None:
        for name in DEPTHS:
            data["palette"].pop(name, None)
        data["palette"]["seeds"] = seeds
    else:
        data["palette"][depth] = seeds
    return Patch.model_validate(data)


def _check(keep: Collection[str]) -> None:
    for name in keep:
        if _KEPT.fullmatch(name) is None:
            raise PresetError(
                f"{shown(name)} cannot be kept; palette, family, latents, noise, or such as latents.3 can"
            )
