"""Every checkpoint format in the wild -> state and architecture, without executing anything in the file.

The tensors tell the architecture; what the file says beside them is checked against it. Our own format is
safetensors: the state under the names of `Architecture.shapes()`, the rest of the architecture as JSON in the metadata.
"""

import dataclasses
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from stylegan_ops.architecture import Architecture, Kind
from stylegan_ops.choice import Implementation
from stylegan_ops.containers import map_file, read_root
from stylegan_ops.errors import CheckpointError
from stylegan_ops.formats import (
    UNSUPPORTED,
    Draft,
    clean,
    read_nvidia_tensorflow,
    read_nvidia_torch,
    read_state_dict,
)
from stylegan_ops.generator import Generator
from stylegan_ops.info import ModelInfo
from stylegan_ops.layers import Preparation
from stylegan_ops.pickles import Damaged

METADATA_KEY = "stylegan2"
MEAN_SAMPLES = 10_000
"""Latents averaged where a file has no mean: its error is then a hundredth of w's spread."""
MEAN_BLOCK = 1000
"""Latents mapped at once for it."""
MAX_CHANNELS, MAX_RESOLUTION, MAX_MAPPING_LAYERS, MAX_CLASSES = 16_384, 4096, 64, 65_536
"""Beyond any model's; a latent is as wide as MAX_CHANNELS, and a picture has MAX_RESOLUTION² pixels, at most."""
LARGEST_HEADER = 1 << 22
"""Bytes of a safetensors file's header; that of a large network takes a hundredth."""
MOST_WARNINGS = 20


@dataclass(frozen=True)
class Checkpoint:
    """A model file's content: a whole, consistent network."""

    format: str
    architecture: Architecture
    state: Mapping[str, Tensor]
    """float32, by the names of `Architecture.shapes()`."""
    note: str | None
    warnings: tuple[str, ...]


def load_generator(
    path: str | Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    implementation: Implementation | None = None,
) -> Generator:
    """The generator in a model file, ready to run. Nothing in the file is executed.

    Args:
        path: a StyleGAN2 pickle of NVIDIA's (PyTorch or TensorFlow), a rosinality `.pt`, or our own `.safetensors`.
        device: where to compute.
        dtype: precision of the convolutions: float32, bfloat16 or float16.
        implementation: what runs the operations, as `Generator` takes it.

    Raises:
        CheckpointError: the file is missing, damaged, hostile, or of a network that is not StyleGAN2.
        StyleGANError: compiled kernels were asked for and cannot be used.
    """
    checkpoint = read_checkpoint(path)
    return Generator(
        checkpoint.architecture, checkpoint.state, device=device, dtype=dtype, implementation=implementation
    )


def inspect_checkpoint(path: str | Path) -> ModelInfo:
    """What a model file holds, without executing anything in it.

    Raises:
        CheckpointError: as `load_generator`.
    """
    checkpoint = read_checkpoint(path)
    architecture = checkpoint.architecture
    return ModelInfo(
        path=str(path),
        format=checkpoint.format,
        kind=architecture.kind,
        resolution=architecture.img_resolution,
        img_size=architecture.img_size,
        channels=dict(zip(architecture.blocks, architecture.channels, strict=True)),
        z_dim=architecture.z_dim,
        w_dim=architecture.w_dim,
        c_dim=architecture.c_dim,
        mapping_layers=len(architecture.mapping_features),
        num_ws=architecture.num_ws,
        conv_clamp=architecture.conv_clamp,
        parameters=architecture.parameters(),
        note=checkpoint.note,
        digest=hashlib.sha256(map_file(Path(path))).hexdigest(),
        warnings=checkpoint.warnings,
    )


def convert_checkpoint(src: str | Path, dst: str | Path) -> None:
    """Write a model file's generator as safetensors. The file gets its name only when it is whole.

    Raises:
        CheckpointError: the source cannot be used, or the destination cannot be written.
    """
    save_checkpoint(read_checkpoint(src), dst)


def save_checkpoint(checkpoint: Checkpoint, path: str | Path, dtype: torch.dtype = torch.float32) -> None:
    """Write a network as safetensors, aside and then renamed.

    Raises:
        CheckpointError: the file cannot be written.
    """
    path = Path(path)
    described = dataclasses.asdict(checkpoint.architecture) | {"note": checkpoint.note}
    metadata = {METADATA_KEY: json.dumps(described)}  # one key: safetensors writes several in any order
    state = {name: tensor.to(dtype).contiguous() for name, tensor in checkpoint.state.items()}
    try:
        handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".part")
        os.close(handle)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be written: {error.strerror}; choose another folder") from error
    try:
        save_file(state, aside, metadata=metadata)
        Path(aside).chmod(0o666 & ~_umask())
        Path(aside).replace(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be written: {error}") from error
    finally:
        Path(aside).unlink(missing_ok=True)


def read_checkpoint(path: str | Path) -> Checkpoint:
    """The network in a model file, its tensors checked.

    Raises:
        CheckpointError: as `load_generator`.
    """
    path = Path(path)
    data = map_file(path)
    try:
        draft = _read_safetensors(path, data) if _is_safetensors(data) else _read_draft(path, data)
        return _checked(draft)
    except CheckpointError as error:
        raise _with_path(error, path) from error.__cause__
    except Damaged as error:
        raise CheckpointError(f"{path} is damaged or not whole ({error}); fetch it again") from error
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        # Our own readers stumble over shapes that no writer makes.
        raise CheckpointError(f"{path} is damaged: its tensors do not fit together; fetch it again") from error


def _with_path(error: CheckpointError, path: Path) -> CheckpointError:
    message = str(error)
    return error if str(path) in message else CheckpointError(f"{path}: {message}")


def _umask() -> int:
    """The process's umask, which can be read only by setting it."""
    current = os.umask(0o077)
    os.umask(current)
    return current


def _read_draft(path: Path, data: memoryview) -> Draft:
    root = read_root(path, data)
    for reader in (read_nvidia_torch, read_nvidia_tensorflow, read_state_dict):
        if (draft := reader(root, len(data))) is not None:
            return draft
    raise CheckpointError(f"{path} holds a {type(root).__name__} but no StyleGAN2 generator; {UNSUPPORTED}")


def _is_safetensors(data: memoryview) -> bool:
    return len(data) > 9 and bytes(data[8:9]) == b"{" and int.from_bytes(data[:8], "little") <= len(data) - 8


def _read_safetensors(path: Path, data: memoryview) -> Draft:
    if int.from_bytes(data[:8], "little") > LARGEST_HEADER:
        raise CheckpointError(f"{path} is a safetensors file with a header of more than {LARGEST_HEADER} bytes; "
                              "no StyleGAN2 model has one")  # fmt: skip
    if not str(path).isascii() and str(path).encode(errors="replace").decode() != str(path):
        raise CheckpointError(
            f"{path} has a name with bytes that are no text, which safetensors cannot open: rename it"
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            names = list(file.keys())
            if "synthesis.b4.const" not in names:
                raise CheckpointError(f"{path} is a safetensors file of another network; {UNSUPPORTED}")
            state = {name: file.get_tensor(name).to(torch.float32) for name in names}
    except (SafetensorError, OSError) as error:
        raise Damaged("its header and its tensors do not fit") from error
    described = json.loads(metadata.get(METADATA_KEY, "{}"))
    if not isinstance(described, dict):
        raise Damaged("its metadata is no description of a network")
    note = described.get("note")
    draft = Draft("safetensors", state, note=clean(note) if isinstance(note, str) else None)
    if isinstance(clamp := described.get("conv_clamp"), int | float):
        draft.conv_clamp = float(clamp)
    if isinstance(lr := described.get("mapping_lr"), int | float):
        draft.mapping_lr = float(lr)
    if isinstance(taps := described.get("resample_filter"), list):
        row = torch.tensor([float(tap) for tap in taps[:16]])
        draft.filters.append(torch.outer(row, row))
    draft.declared = {key: described[key] for key in ("z_dim", "w_dim", "c_dim", "kind") if key in described}
    return draft


# From a draft to a network.


def _checked(draft: Draft) -> Checkpoint:
    """A draft whose tensors are complete, finite and consistent with one another and with what the file says."""
    architecture = _infer(draft)
    _fill_noise(draft, architecture)
    _check_declared(draft, architecture)
    estimated = "mapping.w_avg" not in draft.state
    if estimated:
        draft.state["mapping.w_avg"] = torch.zeros(architecture.w_dim)
    _check_tensors(draft, architecture)
    if estimated:
        draft.state["mapping.w_avg"] = _mean_latent(draft, architecture)
        draft.warnings.append(f"the file has no mean latent; it was estimated from {MEAN_SAMPLES} samples")
    warnings = tuple(dict.fromkeys(draft.warnings))
    if len(warnings) > MOST_WARNINGS:
        warnings = (*warnings[:MOST_WARNINGS], f"there are {len(warnings) - MOST_WARNINGS} more warnings of this kind")
    return Checkpoint(draft.format, architecture, draft.state, draft.note, warnings)


def _infer(draft: Draft) -> Architecture:
    """The architecture that the names and shapes of the tensors tell."""
    state = draft.state
    channels: list[int] = []
    while (weight := state.get(f"synthesis.b{4 << len(channels)}.conv1.weight")) is not None and len(channels) < 12:
        channels.append(weight.shape[0])
    const = state.get("synthesis.b4.const")
    if len(channels) < 2 or const is None or const.ndim != 3:
        raise CheckpointError(f"its tensors are not those of a StyleGAN2 generator; {UNSUPPORTED}")
    features: list[int] = []
    while (bias := state.get(f"mapping.fc{len(features)}.bias")) is not None:
        features.append(bias.numel())
    embed = state.get("mapping.embed.weight")
    if not features or len(features) > MAX_MAPPING_LAYERS or (embed is not None and embed.ndim != 2):
        raise CheckpointError(f"its mapping network has {len(features)} layers; StyleGAN2's has some")
    resolution = 4 << (len(channels) - 1)
    if max(channels) > MAX_CHANNELS or resolution > MAX_RESOLUTION:
        raise CheckpointError(f"its size is beyond any model: {resolution} pixels, {max(channels)} channels")
    embed_features, c_dim = (0, 0) if embed is None else (embed.shape[0], embed.shape[1])
    z_dim = state["mapping.fc0.weight"].shape[1] - embed_features
    if max(z_dim, *features, embed_features) > MAX_CHANNELS or c_dim > MAX_CLASSES:
        raise CheckpointError(f"its size is beyond any model: latents of {z_dim}, layers of {max(features)}, "
                              f"{c_dim} classes")  # fmt: skip
    if const.shape[1] * const.shape[2] * (resolution // 4) ** 2 > MAX_RESOLUTION**2:
        size = f"{const.shape[2] * resolution // 4} × {const.shape[1] * resolution // 4}"
        raise CheckpointError(f"its size is beyond any model: pictures of {size}")
    return Architecture(
        z_dim=z_dim,
        w_dim=features[-1],
        mapping_features=tuple(features),
        channels=tuple(channels),
        c_dim=c_dim,
        embed_features=embed_features,
        kind=_infer_kind(state, resolution),
        const_size=(const.shape[1], const.shape[2]),
        conv_clamp=draft.conv_clamp,
        mapping_lr=draft.mapping_lr,
        resample_filter=_common_filter(draft.filters),
    )


def _infer_kind(state: Mapping[str, Tensor], resolution: int) -> Kind:
    if "synthesis.b4.torgb.weight" in state:
        return "skip"
    return "resnet" if f"synthesis.b{resolution}.skip.weight" in state else "orig"


def _common_filter(filters: list[Tensor]) -> tuple[float, ...]:
    """The four taps of the separable filter that all of a network's layers share."""
    if not filters:
        return Architecture.resample_filter
    first = filters[0]
    if first.shape != (4, 4) or not all(torch.equal(first, other) for other in filters[1:]):
        raise CheckpointError("its resampling filter is not one of 4 × 4 taps, the same in all layers: not supported")
    taps = first.sum(1)
    if not torch.allclose(torch.outer(taps, taps), first, atol=1e-5) or not abs(float(taps.sum()) - 1) < 1e-4:
        raise CheckpointError("its resampling filter is not separable, or does not sum to 1: not supported")
    return tuple(round(tap, 6) for tap in taps.tolist())


def _check_declared(draft: Draft, architecture: Architecture) -> None:
    """Compare what the file says with what its tensors tell."""
    for name, number in (("clamp", architecture.conv_clamp), ("learning-rate multiplier", architecture.mapping_lr)):
        if number is not None and not 0 < number < math.inf:
            raise CheckpointError(f"its {name} is {number}, which is no positive number: the file is damaged")
    declared = draft.declared
    told = {"z_dim": architecture.z_dim, "w_dim": architecture.w_dim, "c_dim": architecture.c_dim}
    for key, value in told.items():
        said = declared.get(key, value)
        if isinstance(said, int) and said != value:
            raise CheckpointError(f"it says {key} = {said}, but its tensors have {value}: the file is damaged")
    if (said := declared.get("resolution")) is not None and said != architecture.img_resolution:
        size = " × ".join(map(str, architecture.img_size))
        shown = said if isinstance(said, int) else "another resolution"
        draft.warnings.append(f"it says {shown}, but its tensors make pictures of {size}")
    if isinstance(kind := declared.get("kind"), str) and kind != architecture.kind:
        raise CheckpointError(f"it says its architecture is {clean(kind[:20])!r}, but it has the tensors of "
                              f"{architecture.kind!r}: not supported")  # fmt: skip


def _fill_noise(draft: Draft, architecture: Architecture) -> None:
    """Some forks train without noise, and early rosinality files have no constant maps: both are whole networks."""
    state, layers = draft.state, tuple(architecture.convolutions())
    if any(f"{layer.name}.noise_const" in state for layer in layers):
        return
    if not any(f"{layer.name}.noise_strength" in state for layer in layers):
        draft.warnings.append("the model was trained without noise and does not react to it")
        state |= {f"{layer.name}.noise_strength": torch.zeros(()) for layer in layers}
    else:
        draft.warnings.append("the file has no constant noise maps; they were drawn from a fixed seed")
    draw = np.random.RandomState(0)
    for layer in layers:
        state[f"{layer.name}.noise_const"] = torch.from_numpy(draw.standard_normal(layer.size).astype(np.float32))


def _check_tensors(draft: Draft, architecture: Architecture) -> None:
    """Every tensor is there, of the right shape, finite, and there are no others."""
    expected, state = architecture.shapes(), draft.state
    if missing := [name for name in expected if name not in state]:
        raise CheckpointError(f"it lacks {_some(missing)}: the file is damaged, or of another network")
    for name, shape in expected.items():
        if tuple(state[name].shape) != shape:
            found = tuple(state[name].shape)
            raise CheckpointError(f"{name} has the shape {found} instead of {shape}: another network, or damaged")
        if not torch.isfinite(state[name]).all():
            raise CheckpointError(f"{name} holds values that are not finite: the training failed, or it is damaged")
    extra = [name for name in state if name not in expected]
    if large := [name for name in extra if state[name].numel() > 1]:
        raise CheckpointError(f"it holds {_some(large)}, which StyleGAN2 does not have: another network")
    for name in extra:
        draft.warnings.append(f"the value {clean(name)!r} is unknown and was passed over")
        del state[name]


def _some(names: list[str]) -> str:
    shown = ", ".join(clean(name[:80]) for name in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def _mean_latent(draft: Draft, architecture: Architecture) -> Tensor:
    mapping = Preparation(architecture, draft.state, torch.device("cpu"), torch.float32).mapping()
    draw = np.random.RandomState(0)
    total = torch.zeros(architecture.w_dim)
    for first in range(0, MEAN_SAMPLES, MEAN_BLOCK):
        z = torch.from_numpy(draw.standard_normal((MEAN_BLOCK, architecture.z_dim)).astype(np.float32))
        if architecture.c_dim:
            classes = torch.arange(first, first + MEAN_BLOCK) % architecture.c_dim
            total += mapping(z, torch.nn.functional.one_hot(classes, architecture.c_dim).float()).sum(0)
        else:
            total += mapping(z).sum(0)
    return total / MEAN_SAMPLES
