"""Model files made to fill the memory or to take for ever: each is small, and each is refused soon, in one sentence."""

from __future__ import annotations

import json
import math
import os
import pickle
import struct
import tracemalloc
import zipfile
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import save_file

from fuzz import seeds
from stylegan_ops import CheckpointError, budget, load_generator
from stylegan_ops.architecture import MAX_SIDE, Architecture
from stylegan_ops.archives import MAX_ENTRIES, Entry, read_directory
from stylegan_ops.assembly import assembled
from stylegan_ops.budget import MAX_INSTRUCTIONS, Budget, Damaged, TooMuchWork
from stylegan_ops.checkpoint import read_checkpoint
from stylegan_ops.containers import NVIDIA_NAMES, nvidia_names, read_root
from stylegan_ops.drafts import MAX_TENSORS
from stylegan_ops.formats import read_nvidia_tensorflow, read_nvidia_torch
from stylegan_ops.initial import random_state
from stylegan_ops.pickles import PickleReader, Record
from stylegan_ops.records import PLAIN_NAMES, TENSOR_NAMES, ArrayRecord, DtypeRecord, Storage, TensorRecord
from stylegan_ops.safetensors_files import LARGEST_HEADER
from stylegan_ops.state_dicts import state_dict_drafts

if TYPE_CHECKING:
    from pathlib import Path

TINY = Architecture(z_dim=2, w_dim=2, mapping_features=(2,), channels=(1, 1))
MEGABYTE = 1 << 20


def read(content: bytes, budget: Budget | None = None) -> object:
    budget = budget or Budget(len(content))
    names = PLAIN_NAMES | TENSOR_NAMES | nvidia_names(budget)
    return PickleReader(memoryview(content), names=names, budget=budget).read()


def bytes_of(text: bytes) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text


TWICE = b"h\1h\0\x85R" * 50_000
"""Calls what lies at 1 in the memo with what lies at 0, again and again."""
LIST = b"\x80\x02]q\0(" + b"N" * 100_000 + b"e0"
LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + b"\x80\x02M\xe9\x03.\x80\x02}." + b"\x80\x02"
COLLIDING = ((k * (2**61 - 1)).to_bytes(11, "little", signed=True) for k in range(1024, 61_024))
PICKLES = {
    "half a million empty dicts": b"\x80\x02" + b"}" * (MAX_INSTRUCTIONS + 1) + b".",
    "a list copied again and again": LIST + b"cbuiltins\nset\nq\1" + TWICE,
    "a size copied again and again": LIST + b"ctorch\nSize\nq\1" + TWICE,
    "text encoded again and again": b"\x80\x02" + bytes_of(b"x" * MEGABYTE) + b"q\0"
    + b"U\x06latin1q\1c_codecs\nencode\nq\2" + b"h\2h\0h\1\x86R" * 50_000,
    "a dict copied again and again": b"\x80\x02](" + b"U\1aN\x86" * 50_000 + b"eq\0"
    + b"ccollections\nOrderedDict\nq\1" + TWICE,
    "a storage read again and again": b"\x80\x04\x8e" + struct.pack("<Q", MEGABYTE) + LEGACY.ljust(MEGABYTE, b"N")
    + b"q\0" + b"ctorch.storage\n_load_from_bytes\nh\0\x85R0" * 2000,
    "a long tuple of arguments, again and again": b"\x80\x02(" + b"N" * 100_000 + b"tq\0"
    + b"ctorch\ndevice\nq\1" + b"h\1h\0R0" * 50_000,
    "text with one wide sign, again and again": b"\x80\x02"
    + bytes_of(b"x" * 4000 + "\U0001f600".encode()) * 6000 + b".",
    "a long text with one wide sign": b"\x80\x02" + bytes_of("\U0001f600".encode() + b"x" * 2 * MEGABYTE) + b".",
    "long keys that are equal": b"\x80\x02" + bytes_of(b"k" * MEGABYTE) + b"q\0" + bytes_of(b"k" * MEGABYTE)
    + b"q\1}h\0Ns" + b"h\1Ns" * 50_000 + b".",
    "a name that goes on": b"\x80\x02" + (b"c" + b"a" * 4000 + b"\n" + b"b" * 4000 + b"\n0") * 200 + b".",
    "keys that have one hash": b"\x80\x02}(" + b"".join(b"\x8a\x0b" + key + b"N" for key in COLLIDING) + b"u.",
}  # fmt: skip


@pytest.mark.parametrize("bomb", PICKLES)
def test_pickles_that_grow_are_refused(bomb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a tenth of the limits: to trace memory takes ten times as long as to read."""
    monkeypatch.setattr(budget, "MAX_INSTRUCTIONS", most := MAX_INSTRUCTIONS // 10)
    monkeypatch.setattr(budget, "SPARE", spare := budget.SPARE // 4)
    tracemalloc.start()
    with pytest.raises((Damaged, TooMuchWork)):
        read(PICKLES[bomb])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * MEGABYTE + 2 * spare + 2 * len(PICKLES[bomb]) + 100 * most


def test_keys_of_64_bits_are_taken() -> None:
    assert read(pickle.dumps({2**64 - 1: 1, -(2**64) + 1: 2}, 2)) == {2**64 - 1: 1, -(2**64) + 1: 2}


# What the readers of formats do with objects that hold the same things many times.


def view(numel: int, shape: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> TensorRecord:
    return TensorRecord(Storage(torch.float32, numel, lambda: bytes(4 * numel)), offset, shape, stride)


def test_a_small_view_keeps_no_large_storage() -> None:
    tensor = view(MEGABYTE, (3,), (1,), offset=MEGABYTE - 3).tensor(Budget(12))
    assert tensor.untyped_storage().nbytes() == 12
    assert view(MEGABYTE, (2, 2), (2, 1), offset=5).tensor(Budget(16)).tolist() == [[0, 0], [0, 0]]


def test_numbers_far_apart_cost_no_more_than_numbers_side_by_side() -> None:
    """A view of the first and the last number of a storage once copied all between, for each of thousands of views."""
    far = view(MEGABYTE, (2,), (MEGABYTE - 1,))
    tracemalloc.start()
    assert far.tensor(left := Budget(100)).tolist() == [0, 0]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert Budget(100).made - left.made == 8
    assert peak < 5 * MEGABYTE  # the storage itself, which this test makes


def module(**attributes: object) -> Record:
    return Record("torch_utils.persistence", (), {"class_name": "G", "state": attributes})


def test_tensors_that_share_their_numbers_are_refused(tmp_path: Path) -> None:
    """Each of a network's tensors is a view of one storage, which is as large as the largest of them."""
    architecture = Architecture(z_dim=64, w_dim=64, mapping_features=(64,) * 30, channels=(64, 64, 64))
    shared = torch.zeros(max(math.prod(shape) for shape in architecture.shapes().values()))
    state = {name: shared[: math.prod(shape)].view(shape) for name, shape in architecture.shapes().items()}
    for zipped in (True, False):
        path = tmp_path / f"{zipped}.pt"
        torch.save(state, path, _use_new_zipfile_serialization=zipped)
        assert path.stat().st_size < 500_000
        with pytest.raises(CheckpointError, match="share their numbers"):
            read_checkpoint(path)


def test_nothing_is_read_of_a_network_that_is_none() -> None:
    """Whatever its tensors share: thousands of views of one storage once cost its size each."""

    def fetch() -> bytes:
        raise AssertionError("a number was read")

    record = TensorRecord(Storage(torch.uint8, MEGABYTE, fetch), 0, (MEGABYTE,), (1,))
    parameters = {f"p{i}": record for i in range(9000)}
    array = ArrayRecord(
        "numpy.ndarray", (), (1, (MEGABYTE,), DtypeRecord("numpy.dtype", ("f4",)), False, bytes(4 * MEGABYTE))
    )
    networks = {
        name: Record("dnnlib.tflib.network.Network", (), {"variables": [(f"v{i}", array) for i in range(4000)]})
        for name in ("mapping", "synthesis")
    }
    tensorflow = Record("dnnlib.tflib.network.Network", (), {"components": networks, "version": 4})
    modules = {"mapping": module(_parameters=parameters), "synthesis": module(_parameters={})}
    drafts = (
        [read_nvidia_torch(module(_modules=modules))],
        [read_nvidia_tensorflow(tensorflow)],
        state_dict_drafts({"style.1.weight": record, "input.input": record, **parameters}),
        state_dict_drafts({"g": {"synthesis.b4.const": record, **parameters}}),
    )
    for draft in drafts:
        left = Budget(5 * MEGABYTE)
        with pytest.raises(CheckpointError, match="not those of a StyleGAN2"):
            assembled(filter(None, draft), left)
        assert left.made == Budget(5 * MEGABYTE).made


def test_too_many_of_anything_is_refused() -> None:
    none = view(0, (0,), (1,))
    many = {f"p{i}": none for i in range(MAX_TENSORS + 1)}
    with pytest.raises(CheckpointError, match="more than any StyleGAN2"):
        list(state_dict_drafts({"input.input": none, **many}))
    with pytest.raises(CheckpointError, match="more than 50000 entries"):
        list(state_dict_drafts({f"k{i}": many for i in range(100)}))
    leaf = module(_modules={})
    for _ in range(3):
        leaf = module(_modules={f"m{i}": leaf for i in range(3000)})
    with pytest.raises(Damaged, match="too many modules"):
        read_nvidia_torch(module(_modules={"mapping": leaf, "synthesis": leaf}))
    network = Record("dnnlib.tflib.network.Network", (), {"variables": [("x", 0.0)] * 500})
    parts = {"synthesis": network, **{f"c{i}": network for i in range(200)}}
    root = Record("dnnlib.tflib.network.Network", (), {"components": parts, "version": 4})
    with pytest.raises(Damaged, match="too many variables"):
        read_nvidia_tensorflow((root,) * 10**6)


def nested(inside: bytes, copies: int) -> bytes:
    """A pickle that has the same torch file read again and again, each with a pickle of its own."""
    storage = b"(" + bytes_of(b"storage") + b"ctorch\nByteStorage\n" + bytes_of(b"0") + bytes_of(b"cpu") + b"K\0NtQ."
    content = LEGACY + inside + storage + b"\x80\x02]" + bytes_of(b"0") + b"a." + bytes(8)
    call = b"q\0ctorch.storage\n_load_from_bytes\nq\1" + b"h\1h\0\x85R0" * copies
    return b"\x80\x02B" + struct.pack("<I", len(content)) + content + call + b"}."


NESTED = {
    "copies": (b"]q\0(" + b"N" * 1200 + b"e0cbuiltins\nset\nq\1" + b"h\1h\0\x85R0" * 800, "again and again"),
    "instructions": (b"N0" * 5000, "instructions"),
    "texts": ((bytes_of("\U0001f600".encode() + b"x" * 60_000) + b"0") * 4, "again and again"),
}


@pytest.mark.parametrize("waste", NESTED)
def test_nested_pickles_share_one_budget(waste: str) -> None:
    """A few kilobytes once took 16 s: each nested pickle had a whole new allowance."""
    inside, words = NESTED[waste]
    assert read(nested(inside, 1)) == {}
    left = Budget(len(content := nested(inside, 2000)))
    with pytest.raises(TooMuchWork, match=words):
        read(content, left)
    assert min(left.copied, left.instructions) < 0


def test_a_checksum_is_taken_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many tensors lie in one storage: each once had the checksum of all its bytes taken again."""
    state = random_state(TINY, seed=1)
    flat = torch.cat([tensor.flatten() for tensor in state.values()])
    views, start = {}, 0
    for name, tensor in state.items():
        views[name] = flat[start : start + tensor.numel()].view(tensor.shape)
        start += tensor.numel()
    torch.save(views, tmp_path / "views.pt")
    seen: list[str] = []
    taken = Entry.content

    def content(entry: Entry, data: memoryview) -> memoryview:
        seen.append(entry.name)
        return taken(entry, data)

    monkeypatch.setattr(Entry, "content", content)
    read = read_checkpoint(tmp_path / "views.pt").state
    assert all(torch.equal(read[name], tensor) for name, tensor in state.items())
    assert len(seen) == len(set(seen)) and sum(name.endswith("data/0") for name in seen) == 1


def test_entries_that_lie_over_one_another_are_refused(tmp_path: Path) -> None:
    """Thousands of storages at one place of the file: each has a checksum over all of it."""
    names = sorted(state := random_state(Architecture(8, 8, (8,) * 60, (4, 4)), seed=1))
    torch.save({name: torch.zeros(MEGABYTE) if name == names[0] else state[name] for name in names}, tmp_path / "a.pt")
    data = memoryview((tmp_path / "a.pt").read_bytes())
    budget_ = Budget(100)
    budget_.read = 10
    root = read_root(tmp_path / "a.pt", data, Budget(len(data))).content
    assert isinstance(root, dict)
    with pytest.raises(TooMuchWork, match="over one another"):
        read_root(tmp_path / "a.pt", data, budget_)


def test_directories_of_long_names_and_fields_are_damage() -> None:
    entry = struct.Struct("<4s6H3I5H2I")
    long_name = entry.pack(b"PK\1\2", 0, 0, 0, 0, 0, 0, 0, 0, 0, 2000, 0, 0, 0, 0, 0, 0) + b"n" * 2000
    last = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(long_name), 0, 0)
    with pytest.raises(Damaged, match="whose name takes 2000 bytes"):
        read_directory(memoryview(long_name + last))
    fields = struct.pack("<2H", 7, 0) * 10_000 + struct.pack("<2HQ", 1, 8, 5)
    many = entry.pack(b"PK\1\2", 0, 0, 0, 0, 0, 0, 0, 2**32 - 1, 9, 1, len(fields), 0, 0, 0, 0, 0) + b"n" + fields
    last = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(many), 0, 0)
    assert read_directory(memoryview(many + last))["n"].length == 2**32 - 1  # the field that tells it lies too deep


@pytest.mark.parametrize("size", [256, 31_072, 8, 16, 20])
def test_numbers_of_64_bits_that_are_missing_are_damage(size: int) -> None:
    """Found by fuzzing: a field that says it is longer than the entry, or that has fewer numbers than are asked for."""
    fields = struct.pack("<2HQ", 1, size, 5)
    entry = struct.pack("<4s6H3I5H2I", b"PK\1\2", *(0,) * 7, *(2**32 - 1,) * 2, 1, len(fields), *(0,) * 4, 2**32 - 1)
    entry += b"n" + fields
    last = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(entry), 0, 0)
    with pytest.raises(Damaged, match="lacks its numbers"):
        read_directory(memoryview(entry + last))


def test_storages_have_short_names() -> None:
    """A name of megabytes would be copied for each tensor that mentions it."""
    key = bytes_of(b"k" * MEGABYTE)
    content = LEGACY + b"(" + bytes_of(b"storage") + b"ctorch\nByteStorage\n" + key + bytes_of(b"cpu") + b"K\0NtQ."
    with pytest.raises(Damaged, match="unknown form"):
        read(
            b"\x80\x02B" + struct.pack("<I", len(content)) + content + b"q\0ctorch.storage\n_load_from_bytes\nh\0\x85R."
        )


def test_a_filter_is_a_short_row_of_numbers() -> None:
    row: list[object] = [1.0] * 1000
    for _ in range(3):
        row = [row] * 1000  # a thousand million numbers, if anyone counted
    state = {"components": {"synthesis": Record("x.Network", (), {}), "mapping": Record("x.Network", (), {})}}
    for taps in (row, [1.0] * 20_000, [[1.0]], ["1"]):
        root = Record("x.Network", (), {**state, "version": 4, "static_kwargs": {"resample_kernel": taps}})
        with pytest.raises(CheckpointError, match="no short row of numbers"):
            read_nvidia_tensorflow(root)


# Small files that describe networks beyond memory.


def small(path: Path, change: dict[str, torch.Tensor | None], metadata: dict[str, object] | None = None) -> Path:
    state = {**random_state(TINY, seed=1), **change}
    whole = {name: tensor for name, tensor in state.items() if tensor is not None}
    save_file(whole, path, metadata={"stylegan2": json.dumps(metadata or {})})
    return path


def test_the_smallest_network_is_read(tmp_path: Path) -> None:
    assert load_generator(small(tmp_path / "a.safetensors", {})).img_resolution == 8


LEGAL = {
    "no rows": {"const_size": (0, 4)}, "no columns": {"const_size": (4, 0)}, "no channels": {"channels": (1, 0)},
    "no first channels": {"channels": (0, 1)}, "no latents": {"z_dim": 0},
    "no w": {"w_dim": 0, "mapping_features": (0,)},
    "flat": {"const_size": (1, MAX_SIDE + 1)}, "tall": {"const_size": (MAX_SIDE, 1)},
    "one block": {"channels": (1,)},
}  # fmt: skip
"""Architectures that are none, by what is wrong."""


def changed(**change: object) -> Architecture:
    return Architecture(**{"z_dim": 2, "w_dim": 2, "mapping_features": (2,), "channels": (1, 1), **change})  # type: ignore[arg-type]


def write_as(form: str, state: dict[str, torch.Tensor], path: Path) -> Path:
    """The network in one of the formats."""
    match form:
        case "safetensors":
            save_file(state, path)
        case "nvidia":
            path.write_bytes(seeds.nvidia(state))
        case "tensorflow":
            path.write_bytes(seeds.tensorflow(state))
        case "rosinality":
            torch.save(seeds.rosinality(state), path)
    return path


@pytest.mark.parametrize("form", ["safetensors", "nvidia", "tensorflow", "rosinality"])
@pytest.mark.parametrize("what", LEGAL)
def test_networks_that_cannot_be_run_are_refused_in_every_format(what: str, form: str, tmp_path: Path) -> None:
    """They were accepted, and the render of a frame ended in a traceback."""
    if what == "one block" and form in ("tensorflow", "rosinality"):
        return  # the writers of seeds write two
    state = {name: torch.zeros(shape) for name, shape in changed(**LEGAL[what]).shapes().items()}
    with pytest.raises(CheckpointError, match=r"where .* possible|not those of a StyleGAN2") as caught:
        read_checkpoint(write_as(form, state, tmp_path / "model"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"c_dim": 3, "embed_features": 5, "z_dim": -3}, "z is -3"),
        ({"c_dim": 70_000, "embed_features": 1}, "classes is 70000"),
        ({"c_dim": 3, "embed_features": 0}, "embedding is 0"),
        ({"mapping_features": (2,) * 65}, "mapping layers is 65"),
        ({"mapping_features": (0, 2)}, "narrowest mapping layer is 0"),
        ({"z_dim": 16_385}, "z is 16385"),
        ({"channels": (1,) * 12}, "resolution is 8192"),
        ({"channels": (16_385, 1)}, "channels of a block is 16385"),
        ({"const_size": (2100, 2100)}, "pictures are 4200 × 4200"),
        ({"const_size": (1, 9000)}, "pictures are 18000 × 2"),
        ({"const_size": (2000, 2000), "channels": (1, 64)}, "activation takes 3.8 GiB"),
        ({"const_size": (128, 128), "channels": (4000, 4000)}, "multiplications"),
        ({"conv_clamp": 0.0}, "clamp is 0.0"),
        ({"mapping_lr": math.inf}, "multiplier is inf"),
        ({"resample_filter": (1.0, 1.0, 1.0, 1.0)}, "sum to 1"),
        ({"resample_filter": (math.nan, 1.0, 1.0, 1.0)}, "sum to 1"),
    ],
)
def test_the_bounds_of_an_architecture(change: dict[str, object], words: str) -> None:
    fault = changed(**change).fault()
    assert fault is not None and words in fault


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"const_size": (1, 1)},
        {"const_size": (1, 37)},
        {"const_size": (300, 1)},
        {"z_dim": 1, "w_dim": 1, "mapping_features": (1,)},
        {"c_dim": 1, "embed_features": 1},
        {"kind": "resnet", "channels": (3, 1, 2)},
        {"kind": "orig", "const_size": (3, 5)},
        {"mapping_features": (3, 1, 2)},
    ],
)
def test_what_is_legal_paints(change: dict[str, object], tmp_path: Path) -> None:
    architecture = changed(**change)
    assert architecture.fault() is None
    save_file(random_state(architecture, seed=1), tmp_path / "model.safetensors")
    generator = load_generator(tmp_path / "model.safetensors")
    z = torch.ones(1, generator.z_dim)
    label = torch.ones(1, generator.c_dim) if generator.c_dim else None
    picture = generator.synthesis(generator.mapping(z, label))
    assert picture.shape == (1, 3, *architecture.img_size) and picture.isfinite().all()


def test_published_networks_are_legal() -> None:
    def network(resolution: int, base: int, most: int, width: int = 512) -> Architecture:
        sizes = [4 << i for i in range(resolution.bit_length() - 2)]
        channels = tuple(min(base // size, most) for size in sizes)
        return Architecture(width, width, (width,) * 8, channels)

    for architecture in (network(1024, 32_768, 512), network(2048, 32_768, 512), network(1024, 65_536, 1024, 1024)):
        assert architecture.fault() is None


NETWORKS = {
    "a mean of huge latents": {"mapping.fc0.weight": torch.zeros(2, 200_000), "mapping.w_avg": None},
    "a mean over many classes": {
        "mapping.fc0.weight": torch.zeros(2, 3), "mapping.embed.weight": torch.zeros(1, 100_000),
        "mapping.embed.bias": torch.zeros(1), "mapping.w_avg": None,
    },
    "a wide constant without noise maps": {
        "synthesis.b4.const": torch.zeros(1, 4, 1_100_000),
        **{f"synthesis.{layer}.noise_const": None for layer in ("b4.conv1", "b8.conv0", "b8.conv1")},
    },
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_beyond_memory_are_refused(name: str, tmp_path: Path) -> None:
    path = small(tmp_path / "model.safetensors", NETWORKS[name])
    assert path.stat().st_size < 20e6
    with pytest.raises(CheckpointError, match="beyond any model"):
        read_checkpoint(path)


def test_noise_maps_are_drawn_for_the_networks_own_layers_alone(tmp_path: Path) -> None:
    """Each name could ask for 268 MB."""
    change: dict[str, torch.Tensor | None] = {
        f"synthesis.b{8192 + i}.conv1.weight": torch.zeros(1, 1, 3, 3) for i in range(500)
    }
    change |= {f"synthesis.{layer}.noise_const": None for layer in ("b4.conv1", "b8.conv0", "b8.conv1")}
    with pytest.raises(CheckpointError, match="which StyleGAN2 does not have"):
        read_checkpoint(small(tmp_path / "model.safetensors", change))


METADATA = {
    "nested": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "digits": '{"z_dim": ' + "9" * 100_000 + "}",
    "a clamp of words": '{"conv_clamp": "x", "resample_filter": [[[]]]}',
    "a clamp beyond floats": '{"conv_clamp": 1' + "0" * 400 + "}",
    "a clamp of nan": '{"conv_clamp": NaN}',
    "a rate beyond floats": '{"mapping_lr": 1e999}',
}


@pytest.mark.parametrize("name", METADATA)
def test_metadata_that_is_none_is_a_sentence(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file(random_state(TINY, seed=1), path, metadata={"stylegan2": METADATA[name]})
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 500


def test_a_header_of_megabytes_is_not_parsed(tmp_path: Path) -> None:
    header = json.dumps(
        {f"t{i}": {"dtype": "F32", "shape": [0, 1 << 60], "data_offsets": [0, 0]} for i in range(80_000)}
    )
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode())
    assert len(header) > LARGEST_HEADER
    with pytest.raises(CheckpointError, match="a header of more than"):
        read_checkpoint(path)


def test_warnings_end_somewhere(tmp_path: Path) -> None:
    extra = {f"a{i}": torch.zeros(()) for i in range(500)}
    path = small(tmp_path / "model.safetensors", dict(extra))
    warnings = read_checkpoint(path).warnings
    assert len(warnings) == 21
    assert warnings[-1] == "there are 480 more warnings of this kind"


# Archives.


def archive(path: Path, entries: dict[str, bytes]) -> bytearray:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return bytearray(path.read_bytes())


def test_entries_are_views_of_the_file(tmp_path: Path) -> None:
    data = memoryview(bytes(archive(tmp_path / "a.zip", {"m/data.pkl": b"N.", "ü/x": b"12345"})))
    entries = read_directory(data)
    assert {name: bytes(entry.content(data)) for name, entry in entries.items()} == {
        "m/data.pkl": b"N.",
        "ü/x": b"12345",
    }
    assert all(entry.content(data).obj is data.obj for entry in entries.values())


def test_archives_of_torch_and_of_zipfile_are_read_alike(tmp_path: Path) -> None:
    torch.save({"a": torch.arange(5.0), "b": torch.ones(3, 2)}, tmp_path / "a.pt")
    data = memoryview((tmp_path / "a.pt").read_bytes())
    entries = read_directory(data)
    with zipfile.ZipFile(tmp_path / "a.pt") as file:
        assert {name: bytes(entry.content(data)) for name, entry in entries.items()} == {
            name: file.read(name) for name in file.namelist()
        }


DAMAGES = {
    "the directory's offset": (-6, b"\xff\xff\xff\x7f"),
    "the directory's length": (-10, b"\xff\xff\xff\x7f"),
    "more entries than there are": (-12, b"\xff\xff"),
    "the end's mark": (-22, b"KP"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_directories_that_lie_are_damage(damage: str, tmp_path: Path) -> None:
    content = archive(tmp_path / "a.zip", {"m/data.pkl": b"N."})
    place, value = DAMAGES[damage]
    end = len(content) + place
    content[end : end + len(value)] = value
    with pytest.raises(Damaged):
        read_directory(memoryview(content))


@pytest.mark.parametrize(
    ("place", "value"),
    [(16, b"\0"), (20, b"\xff\xff\xff\x7f"), (24, b"\xff\xff\xff\x7f"), (42, b"\xff\xff\xff\x7f"), (8, b"\1")],
)
def test_entries_that_lie_are_damage(place: int, value: bytes, tmp_path: Path) -> None:
    """Checksum, both lengths, the place of the content, a password."""
    content = archive(tmp_path / "a.zip", {"m/data.pkl": b"N."})
    start = content.index(b"PK\1\2") + place
    content[start : start + len(value)] = value
    entries = read_directory(memoryview(content))
    with pytest.raises(Damaged):
        entries["m/data.pkl"].content(memoryview(content))


def test_a_directory_of_millions_is_not_read() -> None:
    end = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, MAX_ENTRIES + 1, MAX_ENTRIES + 1, 0, 0)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, 0, 1)
    last = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, 0, 0, 0)
    with pytest.raises(Damaged, match=f"has {MAX_ENTRIES + 1} entries"):
        read_directory(memoryview(end + locator + last))


def test_numbers_of_64_bits_are_read() -> None:
    """As archives beyond 4 GiB have them; here they are small."""
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 45, 0, 0, 0, 0, 0, 0, 0, 1, 0) + b"a"
    extra = struct.pack("<2H3Q", 1, 24, 0, 0, 0)
    fields = (b"PK\1\2", 45, 45, 0, 0, 0, 0, 0, 2**32 - 1, 2**32 - 1, 1, len(extra), 0, 0, 0, 0, 2**32 - 1)
    directory = struct.pack("<4s6H3I5H2I", *fields) + b"a" + extra
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(directory), len(local), 0)
    data = memoryview(local + directory + end)
    entry = read_directory(data)["a"]
    assert (entry.length, entry.size, entry.offset) == (0, 0, 0)
    assert entry.content(data) == b""


# Files that are none.


def test_pipes_and_names_that_no_folder_can_hold(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pkl")
    with pytest.raises(CheckpointError, match="a device or a pipe"):
        read_checkpoint(tmp_path / "pipe.pkl")
    with pytest.raises(CheckpointError, match="cannot be read: File name too long"):
        read_checkpoint("x" * 5000)
    with pytest.raises(CheckpointError, match="check the name"):
        read_checkpoint("a\0b.pkl")


def test_the_accepted_names_are_those_of_the_documentation() -> None:
    """The list that a reader of the documentation sees is the one in the code."""
    from pathlib import Path

    text = (Path(__file__).parent.parent.parent / "docs" / "security.md").read_text("utf-8")
    start, end = (text.index(f"<!-- {mark}names -->") for mark in ("", "/"))
    listed = [line[3:].partition("`")[0] for line in text[start:end].splitlines() if line.startswith("- `")]
    assert listed == sorted({*PLAIN_NAMES, *TENSOR_NAMES, *NVIDIA_NAMES})
    assert all(first < second for first, second in pairwise(listed))
