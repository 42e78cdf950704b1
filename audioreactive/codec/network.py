"""A `GridNetwork` as the sections of a file, and read again.

Sections: `grids`, the numbers (see `entropy`); `decoder`, its weights: `PLAIN` as float16, the scale of each row of
`MATRICES` as float16, and by zlib the whole numbers (int8) that these scales multiply. The header states the network's
form, which is `FORM`, its width, and the frames between its keys.
"""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from audioreactive.codec import entropy
from audioreactive.codec.clip import MOST_FRAMES, MOST_PIXELS
from audioreactive.codec.container import whole
from audioreactive.codec.grids import EVERY, GridNetwork, Layout
from audioreactive.errors import CodecError, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

FORM: Final = 2
"""Form of the network; form 1, of earlier programs, had neither keys nor motion and is no longer read."""
PLAIN: Final = ("units", "skip.weight", "skip.bias", "first.bias", "second.bias")
MATRICES: Final = {"first.weight": 31, "second.weight": 31, "last.weight": 31}
"""Name of a matrix -> largest magnitude of its whole numbers. Half as many cost a few hundredths of a dB at most."""
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
    floats = [state[name].flatten() for name in PLAIN]
    numbers = []
    for name, largest in MATRICES.items():
        rows = state[name].flatten(1)
        scale = (rows.abs().amax(1) / largest).half().float()
        floats.append(scale)
        whole = (rows / scale.clamp(min=1e-12)[:, None]).round().clamp(-127, 127)
        numbers.append(whole.to(torch.int8).flatten())
    plain: bytes = torch.cat(floats).numpy().astype("<f2").tobytes()
    return plain + zlib.compress(torch.cat(numbers).numpy().tobytes(), 9)


def read_decoder(data: bytes, layout: Layout, hidden: int) -> dict[str, torch.Tensor]:
    """Read the weights of a decoder, by name.

    Raises:
        CodecError: they are not there, or damaged.
    """
    shapes = _weight_shapes(layout, hidden)
    floats = sum(math.prod(shapes[name]) for name in PLAIN) + sum(shapes[name][0] for name in MATRICES)
    count = sum(math.prod(shapes[name]) for name in MATRICES)
    unpacking = zlib.decompressobj()
    try:
        unpacked = unpacking.decompress(data[2 * floats :], count + 1)
    except zlib.error:
        unpacked = b""
    if len(data) < 2 * floats or len(unpacked) != count or not unpacking.eof or unpacking.unused_data:
        raise CodecError(f"the decoder has {len(data)} bytes, which do not fit the picture: get the file again")
    plain = torch.from_numpy(np.frombuffer(data[: 2 * floats], "<f2").astype(np.float32))
    if not bool(plain.isfinite().all()):
        raise CodecError("the decoder has weights that are no numbers: get the file again")
    numbers = torch.from_numpy(np.frombuffer(unpacked, np.int8).astype(np.float32))
    state: dict[str, torch.Tensor] = {}
    for name in PLAIN:
        size = math.prod(shapes[name])
        state[name], plain = plain[:size].view(shapes[name]), plain[size:]
    for name in MATRICES:
        rows, size = shapes[name][0], math.prod(shapes[name])
        state[name] = (numbers[:size].view(rows, -1) * plain[:rows, None]).view(shapes[name])
        plain, numbers = plain[rows:], numbers[size:]
    return state


def rounded(network: GridNetwork) -> GridNetwork:
    """Return the network as a file would give it back."""
    made = GridNetwork(network.layout, hidden=network.hidden)
    state = read_decoder(decoder_bytes(network), network.layout, network.hidden)
    state |= {f"grids.{i}": grid.detach().round() for i, grid in enumerate(network.grids)}
    made.load_state_dict(state)
    return made


def described(network: GridNetwork) -> dict[str, Any]:
    """The network's part of the header."""
    return {"every": network.layout.every, "form": FORM, "hidden": network.hidden}


def read_network(header: Mapping[str, Any], grids: bytes, decoder: bytes) -> GridNetwork:
    """Read a network; its shape follows from the picture that the header states.

    Raises:
        CodecError: header and sections do not fit together.
    """
    frames, size = read_picture(header)
    told = header.get("network")
    told = told if isinstance(told, dict) else {}
    form, hidden, every = (told.get(name) for name in ("form", "hidden", "every"))
    if "hidden" in told and form != FORM:
        raise CodecError(
            f"the network has form {form or 1}, and this program reads form {FORM}: pack the clip again, or update the "
            "program"
        )
    if type(hidden) is not int or not 1 <= hidden <= MOST_HIDDEN:
        raise CodecError(f"the decoder claims {shown(hidden)} hidden numbers; it has 1 to {MOST_HIDDEN}")
    if type(every) is not int or (every and not (every in EVERY and every < frames)):
        raise CodecError(
            f"the network claims {shown(every)} frames between its keys, of {frames}: it has {EVERY[0]} to "
            f"{EVERY[-1]}, or no keys"
        )
    layout = Layout(frames, size, every)
    state = read_decoder(decoder, layout, hidden)
    network = GridNetwork(layout, hidden=hidden)
    found = entropy.decode(grids, [level.shape for level in layout.levels])
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
        case {"frames": int(frames), "width": int(width), "height": int(height)} if whole(frames, width, height):
            sides_fit = 0 < width <= LARGEST_SIDE and 0 < height <= LARGEST_SIDE
            if sides_fit and 0 < frames <= MOST_FRAMES and frames * width * height <= MOST_PIXELS:
                return frames, (width, height)
    raise CodecError("the header states no picture of a size that a network can have: get the file again")


def _weight_shapes(layout: Layout, hidden: int) -> dict[str, tuple[int, ...]]:
    channels = layout.channels
    return {
        "units": (layout.units,), "skip.bias": (3,), "first.bias": (hidden,), "second.bias": (hidden,),
        "skip.weight": (3, channels), "first.weight": (hidden, channels), "second.weight": (hidden, hidden),
        "last.weight": (3, hidden),
    }  # fmt: skip
