"""Model files made to fill the memory or to take for ever: each is small, and each is refused soon, in one sentence."""

from __future__ import annotations

import json
import os
import pickle
import struct
import time
import tracemalloc
import zipfile
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import save_file

from stylegan_ops import CheckpointError, load_generator, pickles
from stylegan_ops.architecture import Architecture
from stylegan_ops.archives import MAX_ENTRIES, read_directory
from stylegan_ops.checkpoint import LARGEST_HEADER, read_checkpoint
from stylegan_ops.containers import NVIDIA_NAMES
from stylegan_ops.formats import MAX_TENSORS, read_nvidia_tensorflow, read_nvidia_torch, read_state_dict
from stylegan_ops.initial import random_state
from stylegan_ops.pickles import MAX_INSTRUCTIONS, Damaged, PickleReader, Record
from stylegan_ops.records import PLAIN_NAMES, TENSOR_NAMES, ArrayRecord, DtypeRecord, Storage, TensorRecord

if TYPE_CHECKING:
    from pathlib import Path

TINY = Architecture(z_dim=2, w_dim=2, mapping_features=(2,), channels=(1, 1))
MEGABYTE = 1 << 20


def read(content: bytes) -> object:
    return PickleReader(memoryview(content), names=PLAIN_NAMES | TENSOR_NAMES | NVIDIA_NAMES).read()


def bytes_of(text: bytes) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text


TWICE = b"h\1h\0\x85R" * 50_000
"""Calls what lies at 1 in the memo with what lies at 0, again and again."""
LIST = b"\x80\x02]q\0(" + b"N" * 100_000 + b"e0"
LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + b"\x80\x02M\xe9\x03.\x80\x02}." + b"\x80\x02"
COLLIDING = ((k * (2**61 - 1)).to_bytes(11, "little", signed=True) for k in range(1024, 61_024))
PICKLES = {
    "a million empty dicts": b"\x80\x02" + b"}" * (MAX_INSTRUCTIONS + 1) + b".",
    "a list copied again and again": LIST + b"cbuiltins\nset\nq\1" + TWICE,
    "a size copied again and again": LIST + b"ctorch\nSize\nq\1" + TWICE,
    "text encoded again and again": b"\x80\x02" + bytes_of(b"x" * MEGABYTE) + b"q\0"
    + b"U\x06latin1q\1c_codecs\nencode\nq\2" + b"h\2h\0h\1\x86R" * 50_000,
    "a dict copied again and again": b"\x80\x02](" + b"U\1aN\x86" * 50_000 + b"eq\0"
    + b"ccollections\nOrderedDict\nq\1" + TWICE,
    "a storage read again and again": b"\x80\x04\x8e" + struct.pack("<Q", MEGABYTE) + LEGACY.ljust(MEGABYTE, b"N")
    + b"q\0" + b"ctorch.storage\n_load_from_bytes\nh\0\x85R0" * 2000,
    "keys that have one hash": b"\x80\x02}(" + b"".join(b"\x8a\x0b" + key + b"N" for key in COLLIDING) + b"u.",
}  # fmt: skip


@pytest.mark.parametrize("bomb", PICKLES)
def test_pickles_that_grow_are_damage(bomb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a quarter of the limits: to trace memory takes ten times as long as to read."""
    monkeypatch.setattr(pickles, "MAX_INSTRUCTIONS", most := MAX_INSTRUCTIONS // 4)
    monkeypatch.setattr(pickles, "SPARE", pickles.SPARE // 4)
    start = time.process_time()
    tracemalloc.start()
    with pytest.raises(Damaged):
        read(PICKLES[bomb])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 13 * MEGABYTE + 8 * len(PICKLES[bomb]) + 100 * most
    assert time.process_time() - start < 5


def test_keys_of_64_bits_are_taken() -> None:
    assert read(pickle.dumps({2**64 - 1: 1, -(2**64) + 1: 2}, 2)) == {2**64 - 1: 1, -(2**64) + 1: 2}


# What the readers of formats do with objects that hold the same things many times.


def view(numel: int, shape: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> TensorRecord:
    return TensorRecord(Storage(torch.float32, numel, lambda: bytes(4 * numel)), offset, shape, stride)


def test_a_small_view_keeps_no_large_storage() -> None:
    tensor = view(MEGABYTE, (3,), (1,), offset=MEGABYTE - 3).tensor()
    assert tensor.untyped_storage().nbytes() == 12
    assert view(MEGABYTE, (2, 2), (2, 1), offset=5).tensor().tolist() == [[0, 0], [0, 0]]


def module(**attributes: object) -> Record:
    return Record("torch_utils.persistence", (), {"class_name": "G", "state": attributes})


def test_tensors_that_share_their_numbers_are_refused() -> None:
    record = view(MEGABYTE, (MEGABYTE,), (1,))
    parameters = {f"p{i}": record for i in range(9000)}
    generator = module(_modules={"mapping": module(_parameters=parameters), "synthesis": module(_parameters={})})
    array = ArrayRecord(
        "numpy.ndarray", (), (1, (MEGABYTE,), DtypeRecord("numpy.dtype", ("f4",)), False, bytes(4 * MEGABYTE))
    )
    networks = {
        name: Record("dnnlib.tflib.network.Network", (), {"variables": [(f"v{i}", array) for i in range(4000)]})
        for name in ("mapping", "synthesis")
    }
    tensorflow = Record("dnnlib.tflib.network.Network", (), {"components": networks, "version": 4})
    for reader, root in (
        (read_nvidia_torch, generator),
        (read_nvidia_tensorflow, tensorflow),
        (read_state_dict, {"style.1.weight": record, **parameters}),
        (read_state_dict, {"synthesis.b4.x": record, **parameters}),
    ):
        with pytest.raises(Damaged, match="share their numbers"):
            reader(root, 5 * MEGABYTE)


def test_too_many_of_anything_is_damage() -> None:
    none = view(0, (0,), (1,))
    many = {f"p{i}": none for i in range(MAX_TENSORS + 1)}
    with pytest.raises(Damaged, match="too many"):
        read_state_dict({"style.1.weight": none, **many}, MEGABYTE)
    leaf = module(_modules={})
    for _ in range(3):
        leaf = module(_modules={f"m{i}": leaf for i in range(3000)})
    with pytest.raises(Damaged, match="too many modules"):
        read_nvidia_torch(module(_modules={"mapping": leaf, "synthesis": leaf}), MEGABYTE)
    network = Record("dnnlib.tflib.network.Network", (), {"variables": [("x", 0.0)] * 500})
    parts = {"synthesis": network, **{f"c{i}": network for i in range(200)}}
    root = Record("dnnlib.tflib.network.Network", (), {"components": parts, "version": 4})
    with pytest.raises(Damaged, match="too many variables"):
        read_nvidia_tensorflow((root,) * 10**6, MEGABYTE)


def test_a_filter_is_a_short_row_of_numbers() -> None:
    row: list[object] = [1.0] * 1000
    for _ in range(3):
        row = [row] * 1000  # a thousand million numbers, if anyone counted
    state = {"components": {"synthesis": Record("x.Network", (), {}), "mapping": Record("x.Network", (), {})}}
    for taps in (row, [1.0] * 20_000, [[1.0]], ["1"]):
        root = Record("x.Network", (), {**state, "version": 4, "static_kwargs": {"resample_kernel": taps}})
        with pytest.raises(CheckpointError, match="no short row of numbers"):
            read_nvidia_tensorflow(root, MEGABYTE)


# Small files that describe networks beyond memory.


def small(path: Path, change: dict[str, torch.Tensor | None], metadata: dict[str, object] | None = None) -> Path:
    state = {**random_state(TINY, seed=1), **change}
    whole = {name: tensor for name, tensor in state.items() if tensor is not None}
    save_file(whole, path, metadata={"stylegan2": json.dumps(metadata or {})})
    return path


def test_the_smallest_network_is_read(tmp_path: Path) -> None:
    assert load_generator(small(tmp_path / "a.safetensors", {})).img_resolution == 8


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
    with pytest.raises(CheckpointError, match="is not there"):
        read_checkpoint("a\0b.pkl")


def test_the_accepted_names_are_those_of_the_documentation() -> None:
    """The list that a reader of the documentation sees is the one in the code."""
    from pathlib import Path

    text = (Path(__file__).parent.parent.parent / "docs" / "security.md").read_text("utf-8")
    start, end = (text.index(f"<!-- {mark}names -->") for mark in ("", "/"))
    listed = [line[3:].partition("`")[0] for line in text[start:end].splitlines() if line.startswith("- `")]
    assert listed == sorted({*PLAIN_NAMES, *TENSOR_NAMES, *NVIDIA_NAMES})
    assert all(first < second for first, second in pairwise(listed))
