"""NumPy's own files are read as NumPy reads them; `patches/test_own_pictures.py` and the fuzzer have hostile ones."""

from __future__ import annotations

import io

import numpy as np
import pytest

from stylegan_ops.arrays import array_names, read_archive, read_array
from stylegan_ops.errors import CheckpointError

SHAPES = ((), (1,), (0,), (3, 4), (2, 3, 4), (1, 18, 512), (0, 5), (2,) * 10)


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4", "<i4", "|u1", "|b1", "<c8", "<U5", "|S3"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_is_what_numpy_reads(dtype: str, order: str) -> None:
    for shape in SHAPES:
        array = np.asarray(np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype), order=order)
        file = io.BytesIO()
        np.save(file, array)
        found, wanted = read_array(memoryview(file.getvalue())), np.load(io.BytesIO(file.getvalue()))
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_archive_has_the_arrays_that_were_saved(save) -> None:
    file = io.BytesIO()
    save(file, w=np.ones((2, 3)), names=np.array(["a", "b"]))
    data = memoryview(file.getvalue())
    assert array_names(data) == ["w.npy", "names.npy"]
    found = read_archive(data, 3)
    assert found["w"].shape == (2, 3) and found["names"].tolist() == ["a", "b"]
    with pytest.raises(CheckpointError, match="2 arrays"):
        read_archive(data, 2)
