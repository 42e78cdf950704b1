"""Reads all common checkpoint formats: state and architecture, without executing anything in the file.

The tensors tell the architecture; what the file says beside them is checked against it. Our own format is
safetensors: the state under the names of `Architecture.shapes()`, the rest of the architecture as JSON in the metadata.
"""

import dataclasses
import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import torch
from safetensors.torch import save

from stylegan_ops.assembly import AnyArchitecture, assembled, family
from stylegan_ops.assembly import Checkpoint as Checkpoint
from stylegan_ops.blending import layer_prefixes
from stylegan_ops.budget import Budget, Damaged
from stylegan_ops.choice import Implementation
from stylegan_ops.containers import Root, map_file, read_root
from stylegan_ops.drafts import Draft
from stylegan_ops.errors import CheckpointError
from stylegan_ops.formats import read_nvidia_tensorflow, read_nvidia_torch
from stylegan_ops.generator import Generator
from stylegan_ops.info import ModelInfo
from stylegan_ops.pickles import is_dangerous, refuse_unknown_names
from stylegan_ops.relatives import UNSUPPORTED
from stylegan_ops.safetensors_files import (
    ALIAS_FREE_KEY,
    METADATA_KEY,
    STYLEGAN1_KEY,
    is_safetensors,
    opened_safetensors,
)
from stylegan_ops.state_dicts import state_dict_drafts
from stylegan_ops.stylegan1.architecture import StyleGAN1Architecture
from stylegan_ops.stylegan1.generator import StyleGAN1Generator
from stylegan_ops.stylegan3.architecture import AliasFreeArchitecture
from stylegan_ops.stylegan3.generator import AliasFreeGenerator
from stylegan_ops.stylegan3.reading import described_layers

AnyGenerator = Generator | AliasFreeGenerator | StyleGAN1Generator
"""Generators that model files hold; they share `mapping`, `synthesis` and sizes."""


def load_generator(
    path: str | Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    implementation: Implementation | None = None,
) -> AnyGenerator:
    """The generator in a model file, ready to run. Nothing in the file is executed.

    Args:
        path: a StyleGAN2 pickle of NVIDIA's (PyTorch or TensorFlow), a rosinality `.pt` or what holds such a generator
            (pSp, e4e, StyleGAN-NADA, ...), or `.safetensors`.
        device: where to compute.
        dtype: precision of the convolutions: float32, bfloat16 or float16.
        implementation: what runs the operations, as `Generator` takes it.

    Raises:
        CheckpointError: the file is missing, damaged, hostile, or of a network that is not StyleGAN2.
        StyleGANError: compiled kernels were asked for and cannot be used.
    """
    return made_generator(read_checkpoint(path), device=device, dtype=dtype, implementation=implementation)


def made_generator(
    checkpoint: Checkpoint,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    implementation: Implementation | None = None,
) -> AnyGenerator:
    """The generator of a checkpoint, ready to run.

    Raises:
        StyleGANError: compiled kernels were asked for and cannot be used.
    """
    architecture, state = checkpoint.architecture, checkpoint.state
    if isinstance(architecture, AliasFreeArchitecture):
        return AliasFreeGenerator(architecture, state, device=device, dtype=dtype, implementation=implementation)
    if isinstance(architecture, StyleGAN1Architecture):
        return StyleGAN1Generator(architecture, state, device=device, dtype=dtype, implementation=implementation)
    return Generator(architecture, state, device=device, dtype=dtype, implementation=implementation)


def inspect_checkpoint(path: str | Path) -> ModelInfo:
    """Describe a model file without executing anything in it.

    Raises:
        CheckpointError: as `load_generator`.
    """
    checkpoint = read_checkpoint(path)
    architecture = checkpoint.architecture
    return ModelInfo(
        path=str(path),
        format=checkpoint.format,
        network=family(architecture),
        kind=architecture.kind,
        resolution=architecture.img_resolution,
        img_size=architecture.img_size,
        channels=_channels(architecture),
        z_dim=architecture.z_dim,
        w_dim=architecture.w_dim,
        c_dim=architecture.c_dim,
        mapping_layers=len(architecture.mapping_features),
        num_ws=architecture.num_ws,
        conv_clamp=_clamp(architecture),
        parameters=architecture.parameters(),
        layers=tuple(row[0].removeprefix("synthesis.").rstrip(".") for row in layer_prefixes(architecture)),
        movable=isinstance(architecture, AliasFreeArchitecture),
        note=checkpoint.note,
        digest=hashlib.sha256(map_file(Path(path))).hexdigest(),
        warnings=checkpoint.warnings,
    )


def _channels(architecture: AnyArchitecture) -> dict[int, int] | dict[str, int]:
    if isinstance(architecture, AliasFreeArchitecture):
        return {layer.name.partition("_")[0]: layer.out_channels for layer in architecture.layers}
    return dict(zip(architecture.blocks, architecture.channels, strict=True))


def _clamp(architecture: AnyArchitecture) -> float | None:
    return architecture.layers[0].clamp if isinstance(architecture, AliasFreeArchitecture) else architecture.conv_clamp


def convert_checkpoint(src: str | Path, dst: str | Path) -> None:
    """Write a model file's generator as safetensors. The file gets its name only when it is whole.

    Raises:
        CheckpointError: the source cannot be used, or the destination cannot be written.
    """
    save_checkpoint(read_checkpoint(src), dst)


def save_checkpoint(checkpoint: Checkpoint, path: str | Path, dtype: torch.dtype = torch.float32) -> None:
    """Write a network as safetensors, to a temporary file that is then renamed.

    Raises:
        CheckpointError: the file cannot be written.
    """
    path = Path(path)
    architecture = checkpoint.architecture
    if isinstance(architecture, AliasFreeArchitecture):
        key, described = ALIAS_FREE_KEY, described_layers(architecture)
    elif isinstance(architecture, StyleGAN1Architecture):
        key, described = STYLEGAN1_KEY, {"lod": architecture.lod, "mapping_lr": architecture.mapping_lr}
    else:
        key, described = METADATA_KEY, dataclasses.asdict(architecture)
    # One key: safetensors writes several in any order.
    metadata = {key: json.dumps(described | {"note": checkpoint.note})}
    state = {name: tensor.to(dtype).contiguous() for name, tensor in checkpoint.state.items()}
    try:
        handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".part")
    except OSError as error:
        raise CheckpointError(f"{path} cannot be written: {error.strerror}; choose another folder") from error
    try:
        with os.fdopen(handle, "wb") as file:  # not by its name, where somebody could have put a link meanwhile
            file.write(save(state, metadata=metadata))
            if hasattr(os, "fchmod"):
                os.fchmod(handle, 0o666 & ~_umask())
        Path(aside).replace(path)
    except OSError as error:
        full = error.errno == errno.ENOSPC
        cause = "its disk is full; make room, or choose another folder" if full else str(error)
        raise CheckpointError(f"{path} cannot be written: {cause}") from error
    finally:
        Path(aside).unlink(missing_ok=True)


def read_checkpoint(path: str | Path) -> Checkpoint:
    """The network in a model file, its tensors checked.

    Raises:
        CheckpointError: as `load_generator`.
    """
    path = Path(path)
    data = map_file(path)
    budget = Budget(len(data))
    try:
        if is_safetensors(data):
            with opened_safetensors(path, data) as drafts:
                return assembled(drafts, budget)
        root = read_root(path, data, budget)
        drafts = _drafts(path, root)
        first = next(drafts)
        unknown = root.unknown if first.foreign is None else (*first.foreign, *filter(is_dangerous, root.unknown))
        refuse_unknown_names(unknown)  # a relative has been refused by name already
        return assembled(chain((first,), drafts), budget)
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


def _drafts(path: Path, root: Root) -> Iterator[Draft]:
    """The generators in a pickle or a torch file, from the likeliest to the least.

    Raises:
        CheckpointError: there is none.
    """
    for reader in (read_nvidia_torch, read_nvidia_tensorflow):
        if (draft := reader(root.content)) is not None:
            return iter((draft,))
    drafts = state_dict_drafts(root.content, root.unknown)
    if (first := next(drafts, None)) is not None:
        return chain((first,), drafts)
    refuse_unknown_names(root.unknown)
    kind = type(root.content).__name__
    raise CheckpointError(f"{path} holds a {kind} but no StyleGAN2, 3 or 1 generator; {UNSUPPORTED}")
