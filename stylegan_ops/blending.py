"""Two models of the same architecture blended layer by layer, and rank-one edits of a model's layers.

Source: Pinkney and Adler 2020, "Resolution Dependent GAN Interpolation for Controllable Image Generation Between
Domains" (arXiv:2010.05334); Bau et al. 2020, "Rewriting a Deep Generative Model" (arXiv:2007.15646).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from stylegan_ops.architecture import Architecture
from stylegan_ops.assembly import AnyArchitecture, Checkpoint, family
from stylegan_ops.containers import map_file
from stylegan_ops.drafts import clean
from stylegan_ops.errors import CheckpointError
from stylegan_ops.safetensors_files import LARGEST_HEADER, is_safetensors
from stylegan_ops.stylegan1.architecture import StyleGAN1Architecture

MOST_EDITS = 64
"""Most layers that one file edits."""
MOST_CHANNELS = 1 << 16
"""Most channels of a layer that is edited; networks have a few thousand at most."""


def layer_prefixes(architecture: AnyArchitecture) -> list[tuple[str, ...]]:
    """Prefixes of the tensors of each layer, coarse to fine; toRGB layers go with the one before them."""
    if isinstance(architecture, Architecture):
        found = [[layer.name] for layer in architecture.convolutions()]
        for index, resolution in enumerate(architecture.blocks):
            found[2 * index].append(f"synthesis.b{resolution}.torgb")
            found[2 * index].append(f"synthesis.b{resolution}.skip")
        found[0].append("synthesis.b4.const")
        return [tuple(f"{prefix}." if prefix != "synthesis.b4.const" else prefix for prefix in one) for one in found]
    if isinstance(architecture, StyleGAN1Architecture):
        rows = [[f"{prefix}."] for prefix, _ in architecture.epilogues()]
        for index, resolution in enumerate(architecture.blocks):
            rows[2 * index + 1].append(f"synthesis.b{resolution}.torgb.")
        return [tuple(row) for row in rows]
    rows = [[f"{layer.prefix}."] for layer in architecture.layers[:-1]]
    rows[0].append("synthesis.input.")
    rows[-1].append(f"{architecture.layers[-1].prefix}.")
    return [tuple(row) for row in rows]


def check_same(first: Checkpoint, second: Checkpoint) -> None:
    """Raise CheckpointError unless two networks have the same architecture."""
    if first.architecture != second.architecture:
        kinds = [f"a {family(one.architecture)} of {one.architecture.img_resolution}" for one in (first, second)]
        raise CheckpointError(
            f"{kinds[0]} and {kinds[1]} of another architecture cannot be blended: give two models of the same kind, "
            "size and channels, such as one and its fine-tuning"
        )


def blended(first: Checkpoint, second: Checkpoint, amounts: float | Sequence[float]) -> Checkpoint:
    """The network between two of the same architecture.

    At 0 a layer is the first model's, at 1 the second's, exactly. The mapping network stays the first model's, unless
    every layer has the same amount.

    Args:
        first: a model.
        second: another one of the same architecture.
        amounts: share of the second model, for all layers or for each, coarse to fine; numbers between are spread
            evenly over the layers.

    Raises:
        CheckpointError: the architectures differ, or an amount is not between 0 and 1.
    """
    check_same(first, second)
    prefixes = layer_prefixes(first.architecture)
    given = [float(amounts)] if isinstance(amounts, int | float) else [float(amount) for amount in amounts]
    if not given or not all(0 <= amount <= 1 for amount in given):
        raise CheckpointError(f"the amounts {given[:8]} were given; each must be from 0 to 1")
    shares = [given[min(at * len(given) // len(prefixes), len(given) - 1)] for at in range(len(prefixes))]
    state = {}
    for name, values in first.state.items():
        owner = next((at for at, some in enumerate(prefixes) if name.startswith(some)), None)
        share = shares[owner] if owner is not None else shares[0] if len(set(shares)) == 1 else 0.0
        state[name] = between(values, second.state[name], share)
    return dataclasses.replace(first, format="blend", state=state)


def between(first: Tensor, second: Tensor, share: float) -> Tensor:
    """Tensor between two: at 0 and 1 one of them exactly."""
    if share in (0.0, 1.0):
        return second if share else first
    return torch.lerp(first, second, share)


@dataclass(frozen=True)
class Edits:
    """Rank-one edits of layers: `out` (O,) times `in` (I,), added to every tap of a layer's weight."""

    path: str
    """Name of the file, for messages."""
    layers: Mapping[str, tuple[Tensor, Tensor]]
    """Name of a layer, as in `model inspect` -> its `out` and `in`, in float32."""


def read_edits(path: str | Path) -> Edits:
    """Rank-one edits in a safetensors file with `NAME.out` and `NAME.in` for each layer.

    Raises:
        CheckpointError: the file cannot be read.
    """
    path = Path(path)
    data = map_file(path)
    if not is_safetensors(data) or int.from_bytes(data[:8], "little") > LARGEST_HEADER:
        raise CheckpointError(f"{path} is no file of edits: give a safetensors file with NAME.out and NAME.in")
    found = {}
    try:
        with safe_open(path, framework="pt") as file:
            names = sorted(file.keys())
            layers = sorted({name.rpartition(".")[0] for name in names})
            if not 1 <= len(layers) <= MOST_EDITS or set(names) != {f"{n}.{e}" for n in layers for e in ("out", "in")}:
                raise CheckpointError(f"{path} holds {len(names)} tensors; NAME.out and NAME.in of 1 to {MOST_EDITS} "
                                      "layers are possible")  # fmt: skip
            for layer in layers:
                shapes = [tuple(file.get_slice(f"{layer}.{end}").get_shape()) for end in ("out", "in")]
                if any(len(shape) != 1 or shape[0] > MOST_CHANNELS for shape in shapes):
                    raise CheckpointError(f"{path} edits {clean(layer[:80])} by tensors of the shapes {shapes[0]} and "
                                          f"{shapes[1]}; a row of numbers each is possible")  # fmt: skip
                out, inside = (file.get_tensor(f"{layer}.{end}").float() for end in ("out", "in"))
                if not (out.isfinite().all() and inside.isfinite().all()):
                    raise CheckpointError(f"{path} holds values that are not finite")
                found[layer] = (out, inside)
    except (SafetensorError, OSError, RuntimeError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged: its header and its tensors do not fit") from error
    return Edits(str(path), found)


def is_edits(path: str | Path) -> bool:
    """Whether a file holds edits rather than a network."""
    try:
        read_edits(path)
    except CheckpointError:
        return False
    return True


def check_edits(checkpoint: Checkpoint, edits: Edits) -> None:
    """Raise CheckpointError unless edits fit a network."""
    for layer, (out, inside) in edits.layers.items():
        weight = checkpoint.state.get(f"synthesis.{layer}.weight")
        if weight is None or weight.ndim != 4:
            raise CheckpointError(
                f"{edits.path} edits the layer {clean(layer[:80])!r}, which this model does not have: "
                "it is for another model"
            )
        wanted = [(weight.shape[0],), (weight.shape[1],)]
        if [tuple(out.shape), tuple(inside.shape)] != wanted:
            raise CheckpointError(
                f"{edits.path} edits {clean(layer[:80])} by {tuple(out.shape)} and {tuple(inside.shape)}, where "
                f"{wanted[0]} and {wanted[1]} fit: it is for another model"
            )


def with_edits(state: Mapping[str, Tensor], edits: Edits, amount: float) -> dict[str, Tensor]:
    """Tensors of a network, with edits that fit it added `amount` times."""
    changed = dict(state)
    for layer, (out, inside) in edits.layers.items():
        name = f"synthesis.{layer}.weight"
        changed[name] = changed[name] + amount * torch.outer(out, inside)[:, :, None, None]
    return changed


def edited(checkpoint: Checkpoint, path: str | Path, amount: float = 1.0) -> Checkpoint:
    """The network with rank-one edits from a safetensors file, `amount` times; see `read_edits`.

    Raises:
        CheckpointError: the file cannot be read, or does not fit the network.
    """
    edits = read_edits(path)
    check_edits(checkpoint, edits)
    return dataclasses.replace(checkpoint, format="edited", state=with_edits(checkpoint.state, edits, amount))
