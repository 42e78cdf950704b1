"""The reader of pickles: agrees with Python's on plain data, and stands what breaks Python's."""

from __future__ import annotations

import contextlib
import pickle
import struct
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stylegan_ops.budget import MAX_INSTRUCTIONS, Budget, Damaged
from stylegan_ops.errors import CheckpointError
from stylegan_ops.pickles import SHORT, PickleReader
from stylegan_ops.records import PLAIN_NAMES, TENSOR_NAMES, ArrayRecord, Storage, TensorRecord

scalars = st.none() | st.booleans() | st.integers(-(2**200), 2**200) | st.floats(allow_nan=False) | st.text()
plain = st.recursive(
    scalars | st.binary(max_size=40),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers(-(2**64) + 1, 2**64 - 1), inner)
    ),
    max_leaves=20,
)


def read(content: bytes, budget: Budget | None = None) -> object:
    names = PLAIN_NAMES | TENSOR_NAMES
    return PickleReader(memoryview(content), names=names, budget=budget or Budget(len(content))).read()


def floats(record: object) -> np.ndarray:
    assert isinstance(record, ArrayRecord | TensorRecord)
    return record.tensor(Budget(1 << 20)).numpy()


@given(value=plain, protocol=st.integers(2, 5))
def test_plain_data_comes_back(value: object, protocol: int) -> None:
    if protocol == 2:
        pickled = pickle.dumps(value, protocol)
        assert read(pickled) == pickle.loads(pickled)
    assert read(pickle.dumps(value, max(protocol, 3))) == value


@given(content=st.binary(max_size=60))
def test_any_bytes_give_data_or_damage(content: bytes) -> None:
    with contextlib.suppress(Damaged, CheckpointError):
        read(b"\x80\x04" + content)


@given(
    dtype=st.sampled_from(["<f4", ">f4", "<f2", "<f8", "<i4", "|u1"]),
    shape=st.lists(st.integers(0, 4), max_size=3),
    fortran=st.booleans(),
    protocol=st.integers(2, 5),
)
def test_arrays_come_back(dtype: str, shape: list[int], fortran: bool, protocol: int) -> None:
    array = np.arange(np.prod(shape, dtype=int)).astype(dtype).reshape(shape, order="F" if fortran else "C")
    record = read(pickle.dumps(array, protocol))
    assert isinstance(record, ArrayRecord)
    assert record.shape == array.shape
    if np.dtype(dtype).kind == "f":
        np.testing.assert_array_equal(floats(record), array.astype(np.float32))
    else:
        with pytest.raises(CheckpointError, match="no floating-point numbers"):
            floats(record)


def test_scalars_of_numpy_are_numbers() -> None:
    assert read(pickle.dumps(np.float64(0.125), 4)) == 0.125
    assert read(pickle.dumps([np.int64(3), np.float32(0.5), np.bool_(True)], 2)) == [3, 0.5, True]


def test_long_byte_strings_are_views() -> None:
    content = pickle.dumps(bytes(SHORT + 1), 4)
    assert isinstance(read(content), memoryview)
    assert isinstance(read(pickle.dumps(bytes(SHORT), 4)), bytes)


def test_sets_come_back_unhashed() -> None:
    assert sorted(read(pickle.dumps({1, 2, 3}, 4))) == [1, 2, 3]  # type: ignore[call-overload]
    assert sorted(read(pickle.dumps(frozenset({1, 2}), 4))) == [1, 2]  # type: ignore[call-overload]
    assert sorted(read(pickle.dumps({1, 2, 3}, 2))) == [1, 2, 3]  # type: ignore[call-overload]


BOMBS = {
    "a memo of four thousand million entries": b"\x80\x02Nr\xff\xff\xff\xff.",
    "text longer than the file": b"\x80\x02X\xff\xff\xff\x7fab.",
    "bytes longer than memory": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b"ab.",
    "a number of two thousand million digits": b"\x80\x02\x8b\xff\xff\xff\x7f.",
    "a long number": b"\x80\x02\x8b\x00\x00\x02\x00" + b"\x7f" * 0x20000 + b".",
    "a tuple as a key, a hundred thousand deep": b"\x80\x02})" + b"\x85" * 100_000 + b"Ns.",
    "a list as a key": b"\x80\x02}]Ns.",
    "a frame of any length": b"\x80\x04\x95" + b"\xff" * 8 + b"N",
    "a state for a name": b"\x80\x02ccollections\nOrderedDict\n}b.",
    "attributes for a name": b"\x80\x02ccollections\nOrderedDict\nN}U\x08__init__Ns\x86b.",
    "a call of a list": b"\x80\x02])R.",
    "a name from the registry": b"\x80\x02\x82\x01.",
    "an instance by its line": b"\x80\x02(ios\nsystem\n.",
    "an empty stack": b"\x80\x02.",
    "an empty mark": b"\x80\x02t.",
    "a protocol of tomorrow": b"\x80\x09N.",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_are_damage_in_little_work_and_memory(bomb: str) -> None:
    budget = Budget(len(BOMBS[bomb]))
    tracemalloc.start()
    if bomb == "a memo of four thousand million entries":
        assert read(BOMBS[bomb], budget) is None
    else:
        with pytest.raises(Damaged):
            read(BOMBS[bomb], budget)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6
    assert MAX_INSTRUCTIONS - budget.instructions <= len(BOMBS[bomb])  # a byte each, at least


def test_lists_that_hold_each_other_cost_nothing() -> None:
    """2^60 leaves if anyone walked them, as an array's type, shape and content too."""
    value = b"]q\x000"
    for index in range(60):
        value += b"](h%ch%ceq%c0" % (index, index, index + 1)
    value += b"h\x3c"
    assert isinstance(read(b"\x80\x02" + value + b"."), list)
    with pytest.raises(Damaged):
        read(b"\x80\x02c_codecs\nencode\nU\x01b" + value + b"\x86R.")
    record = read(b"\x80\x02cnumpy\ndtype\n" + value + b"\x85R.")
    with pytest.raises(Damaged, match="without a name"):
        record.numpy()  # type: ignore[attr-defined]


def rebuild(numel: int, offset: object, shape: object, stride: object) -> TensorRecord:
    storage = Storage(torch.float32, numel, lambda: np.arange(numel, dtype=np.float32).tobytes())
    record = TENSOR_NAMES["torch._utils._rebuild_tensor_v2"](storage, offset, shape, stride, False, {})
    assert isinstance(record, TensorRecord)
    return record


def tensor(numel: int, offset: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> torch.Tensor:
    return rebuild(numel, offset, shape, stride).tensor(Budget(1 << 20))


def test_tensors_are_views_of_their_storage() -> None:
    assert torch.equal(tensor(6, 0, (2, 3), (3, 1)), torch.arange(6.0).view(2, 3))
    assert torch.equal(tensor(6, 0, (3, 2), (1, 3)), torch.arange(6.0).view(2, 3).T)
    assert torch.equal(tensor(6, 4, (2,), (1,)), torch.tensor([4.0, 5.0]))
    assert tensor(1, 0, (), ()) == 0
    assert tensor(0, 0, (0, 3), (3, 1)).shape == (0, 3)
    assert torch.equal(tensor(6, 4, (7, 2), (0, 1)), torch.tensor([[4.0, 5.0]]).repeat(7, 1))  # expanded rows


@pytest.mark.parametrize(
    ("offset", "shape", "stride"),
    [
        (0, (10**9, 10**9), (0, 0)),  # many numbers from one
        (0, ((1 << 16) + 1,), (0,)),
        (0, (2, 3), (4, 1)),  # beyond the end
        (5, (2,), (1,)),
        (-1, (2,), (1,)),  # before the start
        (0, (2,), (-1,)),
        (0, (2,), (1, 1)),
        (0, (1,) * 9, (1,) * 9),
        (0, (2.0,), (1,)),
        (0, (True,), (1,)),
        (None, (2,), (1,)),
    ],
)
def test_tensors_that_leave_their_storage_are_damage(offset: object, shape: object, stride: object) -> None:
    with pytest.raises(Damaged):
        rebuild(6, offset, shape, stride)
