"""A page that plays a clip from its grids: the decoder is a shader, whose constants are the network's weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from audioreactive.codec.embedding import deflated, page

if TYPE_CHECKING:
    import torch

    from audioreactive.codec.packing import Player

NAMES = {
    "units": "units", "skip.weight": "skip", "skip.bias": "skipBias", "first.weight": "first",
    "first.bias": "firstBias", "second.weight": "second", "second.bias": "secondBias", "last.weight": "last",
}  # fmt: skip
"""Name of a tensor -> its name in the script."""


def network_page(player: Player, song: bytes | None, *, title: str) -> bytes:
    """Make the page of a clip; it begins again at its end, as loops and teasers do."""
    network = player.network
    state = network.state_dict()
    width, height = player.size
    about: dict[str, Any] = {
        "size": [width, height], "fps": [player.fps.numerator, player.fps.denominator], "frames": player.frames,
        "start": 0,
        "network": {
            "levels": [[one.times, one.channels, one.rows, one.columns] for one in network.levels],
            "hidden": network.hidden,
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
