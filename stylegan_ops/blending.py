"""Two models of the same architecture blended layer by layer, and rank-one edits of a model's layers.

Source: Pinkney and Adler 2020, "Resolution Dependent GAN Interpolation for Controllable Image Generation Between
Domains" (arXiv:2010.05334); Bau et al. 2020, "Rewriting a Deep Generative Model" (arXiv:2007.15646).
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from stylegan_ops.architecture import Architecture
from stylegan_ops.assembly import AnyArchitecture, Checkpoint, family
from stylegan_ops.containers import map_file
from stylegan_ops.errors import CheckpointError
from stylegan_ops.safetensors_files import LARGEST_HEADER, is_safetensors
from stylegan_ops.stylegan1.architecture import StyleGAN1Architecture

MOST_EDITS = 64
"""Most layers that one file edits."""


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
    if first.architecture != second.architecture:
        kinds = [f"a {family(one.architecture)} of {one.architecture.img_resolution}" for one in (first, second)]
        raise CheckpointError(
            f"{kinds[0]} and {kinds[1]} of another architecture cannot be blended: give two models of the same kind, "
            "size and channels, such as one and its fine-tuning"
        )
    prefixes = layer_prefixes(first.architecture)
    given = [float(amounts)] if isinstance(amounts, int | float) else [float(amount) for amount in amounts]
    if not given or not all(0 <= amount <= 1 for amount in given):
        raise CheckpointError(f"the amounts {given[:8]} were given; each must be from 0 to 1")
    shares = [given[min(at * len(given) // len(prefixes), len(given) - 1)] for at in range(len(prefixes))]
    state = {}
    for name, values in first.state.items():
        owner = next((at for at, some in enumerate(prefixes) if name.startswith(some)), None)
        share = shares[owner] if owner is not None else shares[0] if len(set(shares)) == 1 else 0.0
        state[name] = _between(values, second.state[name], share)
    return dataclasses.replace(first, format="blend", state=state)


def _between(first: Tensor, second: Tensor, share: float) -> Tensor:
    if share in (0.0, 1.0):
        return second if share else first
    return torch.lerp(first, second, share)


def edited(checkpoint: Checkpoint, path: str | Path, amount: float = 1.0) -> Checkpoint:
    """The network with rank-one edits from a safetensors file.

    For a layer the file holds `NAME.out` (O,) and `NAME.in` (I,), with the layer's name as in `model inspect`, such as
    b8.conv0 or L3_36_512; `amount` times their outer product is added to every tap of the layer's weight.

    Raises:
        CheckpointError: the file cannot be read, or does not fit the network.
    """
    path = Path(path)
    data = map_file(path)
    if not is_safetensors(data) or int.from_bytes(data[:8], "little") > LARGEST_HEADER:
        raise CheckpointError(f"{path} is no file of edits: give a safetensors file with NAME.out and NAME.in")
    state = dict(checkpoint.state)
    try:
        with safe_open(path, framework="pt") as file:
            names = sorted(file.keys())
            layers = sorted({name.rpartition(".")[0] for name in names})
            if len(layers) > MOST_EDITS or len(names) != 2 * len(layers):
                raise CheckpointError(f"{path} holds {len(names)} tensors; NAME.out and NAME.in of 1 to {MOST_EDITS} "
                                      "layers are possible")  # fmt: skip
            for layer in layers:
                key = f"synthesis.{layer}.weight"
                if key not in state or f"{layer}.in" not in names or f"{layer}.out" not in names:
                    raise CheckpointError(f"{path} edits the layer {layer[:80]!r}, which this model does not have")
                shapes = [tuple(file.get_slice(f"{layer}.{end}").get_shape()) for end in ("out", "in")]
                wanted = [(state[key].shape[0],), (state[key].shape[1],)]
                if shapes != wanted:
                    raise CheckpointError(f"{path} edits {layer[:80]} by {shapes[0]} and {shapes[1]}, where "
                                          f"{wanted[0]} and {wanted[1]} fit: it is for another model")  # fmt: skip
                out, inside = (file.get_tensor(f"{layer}.{end}").float() for end in ("out", "in"))
                if not (out.isfinite().all() and inside.isfinite().all()):
                    raise CheckpointError(f"{path} holds values that are not finite")
                state[key] = state[key] + amount * torch.outer(out, inside)[:, :, None, None]
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged: its header and its tensors do not fit") from error
    return dataclasses.replace(checkpoint, format="edited", state=state)
