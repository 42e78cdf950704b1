"""Whole numbers to bytes and back."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from audioreactive.codec.entropy import decode, encode
from audioreactive.codec.grids import LARGEST_VALUE
from audioreactive.errors import CodecError


def laplace(shape: tuple[int, ...], scale: float, seed: int = 0) -> np.ndarray:
    values = np.random.RandomState(seed).laplace(0, scale, shape)
    return np.clip(np.round(values), -LARGEST_VALUE, LARGEST_VALUE).astype(np.int32)


@settings(max_examples=examples(15, 60))
@given(
    st.lists(
        st.tuples(
            st.integers(1, 3), st.sampled_from([1, 3]), st.integers(1, 5), st.integers(1, 5), st.floats(0.01, 3000)
        ),
        min_size=1, max_size=4,
    ),
    st.integers(0, 99),
)  # fmt: skip
def test_numbers_come_back(shapes: list[tuple[int, int, int, int, float]], seed: int) -> None:
    grids = [laplace(shape, scale, seed) for *shape, scale in shapes]
    back = decode(encode(grids), [tuple(grid.shape) for grid in grids])
    assert all(np.array_equal(one, other) for one, other in zip(grids, back, strict=True))


def test_the_bytes_are_near_the_entropy() -> None:
    grid = laplace((4, 1, 64, 64), 1.5)
    _, counts = np.unique(grid, return_counts=True)
    share = counts / counts.sum()
    least = float(-(share * np.log2(share)).sum() * grid.size / 8)
    assert len(encode([grid])) < 1.03 * least + 40


def test_what_lies_together_takes_less() -> None:
    rare = laplace((1, 1, 64, 64), 2.0)
    rare[:, :, :, 12:] = 0
    scattered = np.random.RandomState(1).permutation(rare.ravel()).reshape(rare.shape)
    assert len(encode([rare])) < 0.8 * len(encode([scattered]))


def test_nothing_takes_next_to_nothing() -> None:
    assert len(encode([np.zeros((9, 3, 64, 64), np.int32)])) < 16


def test_damaged_numbers_are_numbers_or_refused() -> None:
    grids = [laplace((2, 3, 6, 5), 2.0), laplace((2, 1, 12, 10), 0.5)]
    shapes = [tuple(grid.shape) for grid in grids]
    data = encode(grids)
    draw = np.random.RandomState(0)
    for _ in range(60):
        changed = bytearray(data)
        changed[draw.randint(len(data))] ^= 1 << draw.randint(8)
        try:
            back = decode(bytes(changed), shapes)
        except CodecError:
            continue
        assert all(np.abs(grid).max() <= LARGEST_VALUE for grid in back)
    for length in range(0, len(data), 31):
        try:
            decode(data[:length], shapes)
        except CodecError:
            continue


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(CodecError, match="cut off"):
        decode(b"", [(1, 1, 1, 1)])
    with pytest.raises(CodecError, match="may go to"):
        decode(_headed(b"\xff\xff"), [(1, 1, 1, 1)])
    with pytest.raises(CodecError, match="too long"):
        decode(_headed(b"\0" * 1_000_000), [(1, 1, 1, 1)])


def _headed(tables: bytes) -> bytes:
    packed = zlib.compress(tables)
    return len(packed).to_bytes(4, "little") + packed
