"""From the variables of NVIDIA's TensorFlow file to a draft of a StyleGAN1, and from there to its architecture."""

import math
import re
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from stylegan_ops.drafts import AS_IT_IS, Draft, Layout, Number, Source, Stored, shown
from stylegan_ops.errors import CheckpointError
from stylegan_ops.records import ArrayRecord
from stylegan_ops.stylegan1.architecture import StyleGAN1Architecture

MAX_BLOCKS = 16
"""Most blocks that are counted; legal networks have fewer."""

FUSED_FROM = 128
"""Resolution from which NVIDIA's networks fuse up-sampling and convolution if they are free to choose."""

MUST_BE_TRUE = ("use_styles", "use_instance_norm", "use_wscale", "const_input_layer", "mapping_use_wscale")
"""Settings without which the network is another one."""

_LAYERS = {"Const": "const", "Conv": "conv1", "Conv0_up": "conv0", "Conv1": "conv1"}
_PARAMETERS = {
    "weight": "weight",
    "bias": "bias",
    "const": "const",
    "Noise/weight": "noise_strength",
    "StyleMod/weight": "style.weight",
    "StyleMod/bias": "style.bias",
}
_TRANSPOSED = Layout(order=(1, 0))
_KERNEL = Layout(order=(3, 2, 0, 1))
_FUSED_KERNEL = Layout(turned=True, order=(3, 2, 0, 1))
"""Kernels of layers that fuse up-sampling and convolution are stored turned by 180°."""


def take_variables(draft: Draft, variables: Mapping[str, ArrayRecord | float], static: Mapping[object, object]) -> None:
    """Put the tensors and settings of a TensorFlow file into a draft.

    Raises:
        CheckpointError: it has settings that make another network of it.
    """
    _check_settings(static)
    fused = static.get("fused_scale", "auto")
    resolutions = [int(found[1]) for name in variables if (found := re.match(r"synthesis/(\d{1,4})x\d", name))]
    largest = max(resolutions, default=4)
    for name, array in variables.items():
        stored: Stored = array if isinstance(array, ArrayRecord) else Number(array)
        if (target := _target(name, largest, fused)) is not None:
            draft.sources[target[0]] = Source(stored, target[1])
        elif name not in ("lod", "synthesis/lod"):
            draft.warnings.append(f"the variable {shown(name)} is unknown and was passed over")
    draft.attributes["synthesis"] = {"lod": _level(variables)}


def _check_settings(static: Mapping[object, object]) -> None:
    for key in MUST_BE_TRUE:
        if static.get(key) is False:
            raise CheckpointError(f"this is a StyleGAN1 model with {key} = False, which makes another network of it")
    if static.get("use_pixel_norm") is True:
        raise CheckpointError("this is a StyleGAN1 model with use_pixel_norm = True, which makes another network of it")
    blur = static.get("blur_filter", [1, 2, 1])
    if not isinstance(blur, list | tuple) or list(blur[:4]) != [1, 2, 1]:
        raise CheckpointError("this is a StyleGAN1 model with another blur than [1, 2, 1], which is not supported")


def _level(variables: Mapping[str, ArrayRecord | float]) -> float:
    value = variables.get("synthesis/lod", variables.get("lod", 0.0))
    if isinstance(value, ArrayRecord):
        numbers = value.few()
        value = numbers[0] if len(numbers) == 1 else -1.0
    return float(value) if math.isfinite(value) else -1.0


def _target(name: str, largest: int, fused: object) -> tuple[str, Layout] | None:
    """Name and layout of one of NVIDIA's variables; None for one that is not needed."""
    if name == "dlatent_avg":
        return "mapping.w_avg", AS_IT_IS
    if name == "mapping/LabelConcat/weight":
        return "mapping.label.weight", AS_IT_IS
    if found := re.fullmatch(r"mapping/Dense(\d{1,2})/(weight|bias)", name):
        return f"mapping.fc{int(found[1])}.{found[2]}", _TRANSPOSED if found[2] == "weight" else AS_IT_IS
    if found := re.fullmatch(r"synthesis/noise(\d{1,2})", name):
        index = int(found[1])
        kind = ("const" if index == 0 else "conv0") if index % 2 == 0 else "conv1"
        return f"synthesis.b{4 << index // 2}.{kind}.noise_const", Layout(unit_axes=2)
    if found := re.fullmatch(r"synthesis/ToRGB_lod(\d{1,2})/(weight|bias)", name):
        resolution = largest >> int(found[1])
        return f"synthesis.b{resolution}.torgb.{found[2]}", _KERNEL if found[2] == "weight" else AS_IT_IS
    found = re.fullmatch(r"synthesis/(\d{1,4})x\d{1,4}/(\w+)/(.+)", name)
    if found is None or found[2] not in _LAYERS or found[3] not in _PARAMETERS:
        return None
    layout = AS_IT_IS
    if found[3] == "weight":
        turned = found[2] == "Conv0_up" and (fused is True or (fused == "auto" and int(found[1]) >= FUSED_FROM))
        layout = _FUSED_KERNEL if turned else _KERNEL
    elif found[3] == "StyleMod/weight":
        layout = _TRANSPOSED
    elif found[3] == "const":
        layout = Layout(unit_axes=1)
    return f"synthesis.b{int(found[1])}.{_LAYERS[found[2]]}.{_PARAMETERS[found[3]]}", layout


def infer(draft: Draft) -> StyleGAN1Architecture:
    """The architecture of a draft.

    Raises:
        CheckpointError: it is incomplete.
    """
    sources = draft.sources
    channels: list[int] = []
    while (bias := sources.get(f"synthesis.b{4 << len(channels)}.conv1.bias")) and len(channels) < MAX_BLOCKS:
        channels.append(_length(bias, 0))
    features: list[int] = []
    while (bias := sources.get(f"mapping.fc{len(features)}.bias")) is not None:
        features.append(_length(bias, 0))
    const, first = sources.get("synthesis.b4.const.const"), sources.get("mapping.fc0.weight")
    if len(channels) < 2 or const is None or len(const.shape) != 3 or not features or first is None:
        raise CheckpointError("this is a StyleGAN1 model that lacks its constant, its blocks or its mapping network; "
                              "give the whole file")  # fmt: skip
    label = sources.get("mapping.label.weight")
    c_dim, joined = (0, 0) if label is None else (_length(label, 0), _length(label, 1))
    lod = draft.attributes.get("synthesis", {}).get("lod", 0.0)
    return StyleGAN1Architecture(
        z_dim=_length(first, 1) - joined,
        w_dim=features[-1],
        mapping_features=tuple(features),
        channels=tuple(channels),
        c_dim=c_dim,
        const_size=(const.shape[1], const.shape[2]),
        lod=float(lod) if isinstance(lod, int | float) else -1.0,
        mapping_lr=draft.mapping_lr,
    )


def optional(sources: Mapping[str, Source], architecture: StyleGAN1Architecture) -> frozenset[str]:
    """Names of tensors that may be missing: the mean latent, and noise, all of it or none."""
    names = {"mapping.w_avg"}
    for ending in (".noise_const", ".noise_strength"):
        of_layers = {f"{prefix}{ending}" for prefix, _ in architecture.epilogues()}
        if not of_layers & set(sources):
            names |= of_layers
    return frozenset(names)


def unneeded(name: str) -> bool:
    """Whether a tensor stands in files without being used: colours of smaller pictures, from growing up."""
    return re.fullmatch(r"synthesis\.b\d+\.torgb\.(weight|bias)", name) is not None


def filled(draft: Draft, state: dict[str, Tensor], architecture: StyleGAN1Architecture) -> None:
    """Add noise that a file lacks: maps from a fixed seed, or strengths of zero."""
    draw = np.random.RandomState(0)
    missing = set()
    for (prefix, _), size in zip(architecture.epilogues(), architecture.noise_sizes, strict=True):
        if f"{prefix}.noise_strength" not in state:
            missing.add("the model was trained without noise and does not react to it")
            state[f"{prefix}.noise_strength"] = torch.zeros(state[f"{prefix}.bias"].shape)
        if f"{prefix}.noise_const" not in state:
            missing.add("the file has no constant noise maps; they were drawn from a fixed seed")
            state[f"{prefix}.noise_const"] = torch.from_numpy(draw.standard_normal(size).astype(np.float32))
    draft.warnings += sorted(missing)


def _length(source: Source, axis: int) -> int:
    """The length of one axis; 0 if there is no such axis."""
    return source.shape[axis] if axis < len(source.shape) else 0
