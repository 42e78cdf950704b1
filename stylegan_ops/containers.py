"""Container formats of model files: finds the kind of a file and reads the object or tensors in it as plain data.

A file is looked at through a memory map: nothing is copied that is not wanted.
"""

import mmap
import string
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import torch

from stylegan_ops.archives import Entry, read_directory
from stylegan_ops.budget import Budget, Damaged
from stylegan_ops.errors import CheckpointError
from stylegan_ops.pickles import Constructor, Foreign, Names, PickleReader, Record, refuse_unknown_names
from stylegan_ops.records import (
    PLAIN_NAMES,
    STORAGE_TYPES,
    TENSOR_NAMES,
    Storage,
    array_of_dill,
    type_of_dill,
)

TORCH_MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""The first pickle of a file that torch wrote before version 1.6, and of every storage inside a plain pickle."""

LITTLE = b"little"
"""Description of the byte order in torch's files."""

EMBEDDING = "torch.nn.Embedding"
"""Name of the records of PyTorch's own embeddings, which unlike the other modules are saved without their source."""

LONGEST_STORAGE_KEY = 100
"""Most characters of a storage's name, which is a number or an address."""

ARRAYS = (
    "a file of NumPy arrays, such as latents of a picture, not a model: give the model that they were made with; "
    "latents are imported into palettes"
)
"""What files of arrays are, as the end of a sentence."""

_FOREIGN: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"\x89HDF", "an HDF5 file (Keras?), not a StyleGAN2 model"),
    (b"7z\xbc\xaf", "a 7-Zip archive; unpack it first"),
    (b"Rar!", "a RAR archive; unpack it first"),
    (b"\x93NUMPY", ARRAYS),
    (b"\x89PNG", "a picture, not a model: give the .pkl, .pt or .safetensors that paints such pictures"),
    (b"\xff\xd8\xff", "a picture, not a model: give the .pkl, .pt or .safetensors that paints such pictures"),
    (b"GGUF", "a GGUF language model"),
)


def map_file(path: Path) -> memoryview:
    """A file's bytes, read when they are touched.

    Raises:
        CheckpointError: there is no such file, it cannot be read, or it is empty.
    """
    try:
        if path.is_dir():
            raise CheckpointError(f"{path} is a folder; give the model file in it")
        if not path.is_file():
            if path.exists():
                raise CheckpointError(f"{path} is a device or a pipe; give a model file")
            raise CheckpointError(f"there is no model file {path}; check the name")
        with path.open("rb") as file:
            if not file.seek(0, 2):
                raise CheckpointError(f"{path} is empty; fetch it again")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error


@dataclass(frozen=True)
class Root:
    """The object in a file, as plain data."""

    content: object
    unknown: tuple[str, ...] = ()
    """Names in the file that no StyleGAN2 model needs. What they stand for was not made; such a file may be called by
    its name, but not used."""


def read_root(path: Path, data: memoryview, budget: Budget) -> Root:
    """The object that a pickle or a torch file holds.

    Raises:
        CheckpointError: the file is of another kind, or asks for more work than an honest one.
        Damaged: the file is not whole.
    """
    start = bytes(data[:512])
    if start[:4] == b"PK\x03\x04":
        return _read_zip(path, data, budget)
    if start.startswith(TORCH_MAGIC):
        return _read_legacy(data, budget)
    if start[:1] == b"\x80":
        return _read_pickle(PickleReader(data, names=PLAIN_NAMES | TENSOR_NAMES | nvidia_names(budget), budget=budget))
    raise CheckpointError(f"{path} is {_describe(start)}")


def _read_pickle(reader: PickleReader) -> Root:
    try:
        content = reader.read()
    except Damaged:
        refuse_unknown_names(reader.unknown)  # what an unknown name would have made is missing: it says more
        raise
    return Root(content, tuple(reader.unknown))


def _describe(start: bytes) -> str:
    for magic, description in _FOREIGN:
        if start.startswith(magic):
            return description
    text = start.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        return "a web page, not a model: the download did not work; fetch the file itself"
    if text.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the model itself; run `git lfs pull`"
    if all(byte in string.printable.encode() for byte in start):
        return "a text file, not a model"
    if not any(start):
        return "full of zeros: the download did not work; fetch it again"
    return "no model file of a known kind; StyleGAN2 models are .pkl, .pt or .safetensors files"


def _nested_storage(budget: Budget, content: object) -> Storage:
    """`torch.storage._load_from_bytes`: a torch file inside the pickle, which holds one storage."""
    if not isinstance(content, bytes | memoryview) or bytes(content[: len(TORCH_MAGIC)]) != TORCH_MAGIC:
        raise Damaged("a tensor's storage is not in torch's format")
    root = _read_legacy(memoryview(content), budget)
    refuse_unknown_names(root.unknown)
    if not isinstance(root.content, Storage):
        raise Damaged("a tensor's storage holds something else")
    return root.content


def nvidia_names(budget: Budget) -> dict[str, Constructor]:
    """What NVIDIA's pickles may mention beside plain data and tensors; nested storages take from the same budget."""
    return {
        "torch.storage._load_from_bytes": partial(_nested_storage, budget),
        "torch_utils.persistence._reconstruct_persistent_obj": partial(Record, "torch_utils.persistence", ()),
        "dnnlib.tflib.network.Network": lambda *args: Record("dnnlib.tflib.network.Network", args),
        "torch.nn.modules.sparse.Embedding": lambda *args: Record(EMBEDDING, args),  # StyleGAN-XL's vectors of classes
        "dill._dill._load_type": type_of_dill,
        "dill._dill._create_array": array_of_dill,
    }


NVIDIA_NAMES = frozenset(nvidia_names(Budget(0)))


def _storage_type(kind: object) -> torch.dtype:
    dtype = STORAGE_TYPES.get(_name(kind).removeprefix("torch."))
    if dtype is None:
        raise Damaged("a tensor is of an unknown type")
    return dtype


def _name(value: object) -> str:
    """The name of a class that a pickle mentions without making anything of it."""
    name = getattr(value, "name", None)
    return name if isinstance(name, str) else ""


def _is_storage_key(key: object) -> bool:
    """Whether torch would give a storage this name: a number, mostly. Long ones would be copied for each tensor."""
    return isinstance(key, str) and len(key) <= LONGEST_STORAGE_KEY


def _read_legacy(data: memoryview, budget: Budget) -> Root:
    """A torch file of before 1.6: pickles of a magic number, a protocol, the system and the object, then storages."""
    storages: dict[str, Storage] = {}
    content: dict[str, memoryview] = {}

    def persistent(identity: object) -> object:
        if isinstance(identity, tuple) and len(identity) == 4 and isinstance(identity[1], Foreign):
            return identity[1]  # a layer's class, with its source: the file will be refused by its name
        if not isinstance(identity, tuple) or len(identity) != 6 or identity[0] != "storage":
            raise Damaged("a tensor's storage has an unknown form")
        _, kind, key, _, numel, view = identity
        if not _is_storage_key(key) or type(numel) is not int or numel < 0 or view is not None:
            raise Damaged("a tensor's storage has an unknown form")
        dtype = _storage_type(kind)
        storage = storages.setdefault(key, Storage(dtype, numel, lambda: content[key]))
        if storage.dtype != dtype or storage.numel != numel:
            raise Damaged("two tensors see one storage differently")
        return storage

    position = 0
    for _ in range(3):
        reader = PickleReader(data, names={}, budget=budget, position=position)
        refuse_unknown_names(_read_pickle(reader).unknown)
        position = reader.position
    names: Names = PLAIN_NAMES | TENSOR_NAMES
    reader = PickleReader(data, names=names, budget=budget, persistent=persistent, position=position)
    root = _read_pickle(reader)
    order = PickleReader(data, names={}, budget=budget, position=reader.position)
    keys = order.read()
    position = order.position
    if not isinstance(keys, list) or len(keys) != len(storages):
        raise Damaged("the list of storages does not fit the tensors")
    for key in keys:
        if not isinstance(key, str) or key not in storages:
            raise Damaged("the list of storages does not fit the tensors")
        size = storages[key].numel * storages[key].dtype.itemsize
        numel = int.from_bytes(data[position : position + 8], "little")
        position += 8 + size
        if numel != storages[key].numel or position > len(data):
            raise Damaged(f"the file ends at byte {len(data)}, in the middle of a tensor")
        content[key] = data[position - size : position]
    return root


def _read_zip(path: Path, data: memoryview, budget: Budget) -> Root:
    """A torch file of 1.6 or later: a zip archive of a pickle and one entry for each storage."""
    entries = read_directory(data)
    pickles = [name for name in entries if name.count("/") == 1 and name.endswith("/data.pkl")]
    if entries and all(name.endswith(".npy") for name in entries):
        raise CheckpointError(f"{path} is {ARRAYS}")
    if not pickles:
        inside = ", ".join(sorted(entries)[:3]) or "nothing"
        raise CheckpointError(f"{path} is a zip archive of {inside[:200]!r}, not a model; unpack it first")
    folder = pickles[0].removesuffix("data.pkl")
    if f"{folder}constants.pkl" in entries:
        raise CheckpointError(f"{path} is a TorchScript program, not a model's weights; it is not supported")
    if not all(entry.is_stored for entry in entries.values()):
        raise CheckpointError(f"{path} is a compressed zip archive, which torch does not write; it may be hostile")

    @cache
    def content(entry: Entry) -> memoryview:
        """The bytes of an entry; its checksum is verified once, however many tensors use it."""
        budget.check(entry.length)
        return entry.content(data)

    endian = entries.get(f"{folder}byteorder")
    if endian is not None and (endian.length != len(LITTLE) or bytes(content(endian)) != LITTLE):
        raise CheckpointError(f"{path} was written on a big-endian machine, which is not supported")
    persistent = partial(_zip_storage, entries, folder, content)
    root = content(entries[pickles[0]])
    return _read_pickle(PickleReader(root, names=PLAIN_NAMES | TENSOR_NAMES, budget=budget, persistent=persistent))


def _zip_storage(
    entries: dict[str, Entry], folder: str, content: Callable[[Entry], memoryview], identity: object
) -> Storage:
    if not isinstance(identity, tuple) or len(identity) != 5 or identity[0] != "storage":
        raise Damaged("a tensor's storage has an unknown form")
    _, kind, key, _, numel = identity
    if not _is_storage_key(key) or type(numel) is not int or numel < 0:
        raise Damaged("a tensor's storage has an unknown form")
    dtype, entry = _storage_type(kind), entries.get(f"{folder}data/{key}")
    if entry is None or entry.size != numel * dtype.itemsize:
        raise Damaged(f"the storage {key[:80]!r} is missing or has another size")
    return Storage(dtype, numel, partial(content, entry))
