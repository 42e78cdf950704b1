"""A page that plays a clip from its grids: the decoder is a shader, whose constants are the network's weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from audioreactive.codec.embedding import deflated, page
from audioreactive.codec.grids import LIGHT_UNIT, MOTION_UNIT

if TYPE_CHECKING:
    import torch

    from audioreactive.codec.packing import Player

NAMES = {
    "skip.weight": "skip", "skip.bias": "skipBias", "first.weight": "first",
    "first.bias": "firstBias", "second.weight": "second", "second.bias": "secondBias", "last.weight": "last",
}  # fmt: skip
"""Name of a tensor -> its name in the script."""


def network_page(player: Player, song: bytes | None, *, title: str) -> bytes:
    """Make the page of a clip; it begins again at its end, as loops and teasers do."""
    network, layout = player.network, player.network.layout
    state = network.state_dict()
    width, height = player.size
    about: dict[str, Any] = {
        "size": [width, height], "fps": [player.fps.numerator, player.fps.denominator], "frames": player.frames,
        "start": 0,
        "network": {
            "parts": [[kind, [level.shape for level in levels]] for kind, levels in layout.parts.items()],
            "knots": layout.knots, "hidden": network.hidden, "motion": MOTION_UNIT, "light": LIGHT_UNIT,
            "units": _numbers(network.units),
            "weights": {told: _numbers(state[name]) for name, told in NAMES.items()},
        },
    }  # fmt: skip
    planes = []
    for grid in network.grids:
        values = grid.detach().round().numpy().astype("<i2").view(np.uint8).reshape(-1, 2)
        planes += [values[:, 0].tobytes(), values[:, 1].tobytes()]
    blobs = {"numbers": deflated(b"".join(planes)), **({"song": song} if song is not None else {})}
    return page(title=title, about=about, blobs=blobs, scripts=("player.js", "network.js"), loop=True)


def _numbers(values: torch.Tensor) -> list[float]:
    return [float(f"{value:.7g}") for value in values.flatten().tolist()]
