"""Safetensors: our own files, with the rest of the architecture in the metadata, and state dicts that others wrote.

Source: https://huggingface.co/docs/safetensors, "Format".
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from stylegan_ops.budget import Budget, Damaged
from stylegan_ops.drafts import Draft, Row, Source, clean
from stylegan_ops.errors import CheckpointError
from stylegan_ops.records import require_floating
from stylegan_ops.relatives import UNSUPPORTED
from stylegan_ops.state_dicts import LONGEST_NAME, MAX_NODES, NVIDIA, drafts_of_tensors

METADATA_KEY, ALIAS_FREE_KEY, STYLEGAN1_KEY = "stylegan2", "stylegan3", "stylegan1"
LARGEST_HEADER = 1 << 22
"""Most bytes of the header; a large network's has a hundredth of that."""

_TYPES: Mapping[str, torch.dtype] = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "C64": torch.complex64, "C128": torch.complex128,
}  # fmt: skip
"""PyTorch types by the format's names; tensors of other types are no weights."""


@dataclass(frozen=True)
class _Entry:
    """A tensor in an open file."""

    file: Any
    """File object that `safe_open` returns."""
    name: str
    shape: tuple[int, ...]
    dtype: str

    def tensor(self, budget: Budget) -> Tensor:
        """A float32 copy."""
        require_floating(_TYPES.get(self.dtype, torch.uint8))
        numbers = 1
        for length in self.shape:
            numbers *= length
        budget.make(numbers)
        tensor: Tensor = self.file.get_tensor(self.name)
        return tensor.to(torch.float32)


def is_safetensors(data: memoryview) -> bool:
    """Whether a file begins as safetensors do."""
    return len(data) > 9 and bytes(data[8:9]) == b"{" and int.from_bytes(data[:8], "little") <= len(data) - 8


@contextlib.contextmanager
def opened_safetensors(path: Path, data: memoryview) -> Iterator[Iterator[Draft]]:
    """The generators in a file, whose numbers can be read as long as it is open.

    Raises:
        CheckpointError: there is none.
        Damaged: the file is not whole.
    """
    if int.from_bytes(data[:8], "little") > LARGEST_HEADER:
        raise CheckpointError(f"{path} is a safetensors file with a header of more than {LARGEST_HEADER} bytes; "
                              "no StyleGAN2 model has one")  # fmt: skip
    if not str(path).isascii() and str(path).encode(errors="replace").decode() != str(path):
        raise CheckpointError(
            f"{path} has a name with bytes that are no text, which safetensors cannot open: rename it"
        )
    try:
        with safe_open(path, framework="pt") as file:
            entries, metadata = _entries(file), file.metadata() or {}
            if STYLEGAN1_KEY in metadata:
                yield iter((_stylegan1(entries, metadata[STYLEGAN1_KEY]),))
                return
            drafts = drafts_of_tensors(entries)
            first = next(drafts, None)
            if first is None:
                raise CheckpointError(f"{path} is a safetensors file of another network; {UNSUPPORTED}")
            if NVIDIA in entries:  # our own, or as good as
                first.format = "safetensors"
                _describe(first, metadata)
            elif first.network == "stylegan3" and ALIAS_FREE_KEY in metadata:
                first.format = "safetensors"
                _describe_layers(first, metadata[ALIAS_FREE_KEY])
            yield chain((first,), drafts)
    except (SafetensorError, OSError) as error:
        raise Damaged("its header and its tensors do not fit") from error


def _stylegan1(entries: Mapping[str, _Entry], text: str) -> Draft:
    """A StyleGAN1 that this program wrote."""
    described = json.loads(text)
    if not isinstance(described, dict):
        raise Damaged("its metadata is no description of a network")
    draft = Draft("safetensors", network="stylegan1", sources={name: Source(entry) for name, entry in entries.items()})
    draft.attributes["synthesis"] = {"lod": described.get("lod", 0.0)}
    if isinstance(note := described.get("note"), str):
        draft.note = clean(note)
    if isinstance(lr := described.get("mapping_lr"), int | float):
        draft.mapping_lr = float(lr)
    return draft


def _describe_layers(draft: Draft, text: str) -> None:
    """Take the description of a StyleGAN3's layers from our metadata."""
    described = json.loads(text)
    modules = described.get("modules") if isinstance(described, dict) else None
    if not isinstance(modules, dict) or not all(isinstance(values, dict) for values in modules.values()):
        raise Damaged("its metadata is no description of a network")
    draft.attributes = modules
    if isinstance(note := described.get("note"), str):
        draft.note = clean(note)
    if isinstance(lr := described.get("mapping_lr"), int | float):
        draft.mapping_lr = float(lr)


def _entries(file: Any) -> dict[str, _Entry]:
    names = [name for name in file.keys() if len(name) <= LONGEST_NAME]  # noqa: SIM118  # no dict
    if len(names) > MAX_NODES:
        raise CheckpointError(f"it holds more than {MAX_NODES} tensors, as no model does; it may be hostile")
    slices = ((name, file.get_slice(name)) for name in names)
    return {name: _Entry(file, name, tuple(part.get_shape()), part.get_dtype()) for name, part in slices}


def _describe(draft: Draft, metadata: Mapping[str, str]) -> None:
    """Take the description of the architecture from our metadata."""
    described = json.loads(metadata.get(METADATA_KEY, "{}"))
    if not isinstance(described, dict):
        raise Damaged("its metadata is no description of a network")
    note = described.get("note")
    draft.note = clean(note) if isinstance(note, str) else None
    if isinstance(clamp := described.get("conv_clamp"), int | float):
        draft.conv_clamp = float(clamp)
    if isinstance(lr := described.get("mapping_lr"), int | float):
        draft.mapping_lr = float(lr)
    if isinstance(taps := described.get("resample_filter"), list):
        draft.filters.append(Source(Row(tuple(float(tap) for tap in taps[:16]))))
    draft.declared = {key: described[key] for key in ("z_dim", "w_dim", "c_dim", "kind") if key in described}
