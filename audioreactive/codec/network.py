"""A `GridNetwork` as the sections of a file, and read again.

Sections: `grids`, the numbers (see `entropy`); `decoder`, its weights as float16 in the order of `WEIGHTS`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from audioreactive.codec import entropy
from audioreactive.codec.clip import MOST_FRAMES, MOST_PIXELS
from audioreactive.codec.grids import GridNetwork, levels
from audioreactive.errors import CodecError

if TYPE_CHECKING:
    from collections.abc import Mapping

WEIGHTS: Final = (
    "units", "skip.weight", "skip.bias", "first.weight", "first.bias", "second.weight", "second.bias", "last.weight",
)  # fmt: skip
MOST_HIDDEN: Final = 64
LARGEST_GRIDS: Final = 1 << 28
LARGEST_SIDE: Final = 16384


def sections_of(network: GridNetwork) -> dict[str, bytes]:
    """Round the numbers and weights of a network and code them."""
    grids = [grid.detach().round().to(torch.int32).numpy() for grid in network.grids]
    return {"grids": entropy.encode(grids), "decoder": decoder_bytes(network)}


def decoder_bytes(network: GridNetwork) -> bytes:
    """Write the weights of a network's decoder."""
    state = network.state_dict()
    weights = torch.cat([state[name].flatten() for name in WEIGHTS]).numpy().astype("<f2")
    return bytes(weights.tobytes())


def rounded(network: GridNetwork) -> GridNetwork:
    """Return the network as a file would give it back."""
    made = GridNetwork(network.levels, hidden=network.hidden)
    state = {
        name: value.round() if name.startswith("grids") else value.half().float()
        for name, value in network.state_dict().items()
    }
    made.load_state_dict(state)
    return made


def described(network: GridNetwork) -> dict[str, Any]:
    """The network's part of the header."""
    return {"hidden": network.hidden}


def read_network(header: Mapping[str, Any], grids: bytes, decoder: bytes) -> GridNetwork:
    """Read a network; its shape follows from the picture that the header states.

    Raises:
        CodecError: header and sections do not fit together.
    """
    frames, size = read_picture(header)
    told = header.get("network")
    hidden = told.get("hidden") if isinstance(told, dict) else None
    if type(hidden) is not int or not 1 <= hidden <= MOST_HIDDEN:
        raise CodecError(f"the decoder claims {hidden!r} hidden numbers; it has 1 to {MOST_HIDDEN}")
    shape = levels(frames, size)
    channels = sum(level.channels for level in shape)
    shapes = _weight_shapes(channels, hidden)
    if len(decoder) != 2 * sum(map(math.prod, shapes.values())):
        raise CodecError(f"the decoder has {len(decoder)} bytes, which do not fit the picture: get the file again")
    values = torch.from_numpy(np.frombuffer(decoder, "<f2").astype(np.float32))
    if not bool(values.isfinite().all()):
        raise CodecError("the decoder has weights that are no numbers: get the file again")
    network = GridNetwork(shape, hidden=hidden)
    state: dict[str, torch.Tensor] = {}
    for name, size_of_it in shapes.items():
        count = math.prod(size_of_it)
        state[name], values = values[:count].view(size_of_it), values[count:]
    found = entropy.decode(grids, [(one.times, one.channels, one.rows, one.columns) for one in shape])
    state |= {f"grids.{i}": torch.from_numpy(grid).float() for i, grid in enumerate(found)}
    network.load_state_dict(state)
    return network.requires_grad_(False)


def read_picture(header: Mapping[str, Any]) -> tuple[int, tuple[int, int]]:
    """Number and size (width, height) of the frames that a header states, within the bounds.

    Raises:
        CodecError: they are beyond the bounds, or not there.
    """
    told = header.get("picture")
    match told:
        case {"frames": int(frames), "width": int(width), "height": int(height)}:
            sides_fit = 0 < width <= LARGEST_SIDE and 0 < height <= LARGEST_SIDE
            if sides_fit and 0 < frames <= MOST_FRAMES and frames * width * height <= MOST_PIXELS:
                return frames, (width, height)
    raise CodecError("the header states no picture of a size that a network can have: get the file again")


def _weight_shapes(channels: int, hidden: int) -> dict[str, tuple[int, ...]]:
    return dict(
        zip(
            WEIGHTS,
            (
                (channels,), (3, channels, 1, 1), (3,), (hidden, channels, 1, 1), (hidden,),
                (hidden, hidden, 1, 1), (hidden,), (3, hidden, 1, 1),
            ),
            strict=True,
        )
    )  # fmt: skip
