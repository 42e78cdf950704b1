"""Arrays in NumPy's own files, .npy and .npz, as views of a file: no pickles, and no more memory than a file is given.

`numpy.load` makes room for what a file says of itself. Here every size is compared with the bytes that are there first.

Source: NumPy Enhancement Proposal 1, "A Simple File Format for NumPy Arrays".
"""

import math
import re
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylegan_ops.archives import read_directory
from stylegan_ops.budget import Damaged
from stylegan_ops.errors import CheckpointError

MAGIC = b"\x93NUMPY"
SUFFIX = ".npy"
LONGEST_HEADER = 1000
"""Most characters of an array's description; that of an array of numbers has about 100."""
LARGEST = 1 << 26
"""Most bytes of all arrays of a file when they are unpacked."""

_LENGTHS = {b"\1": struct.Struct("<H"), b"\2": struct.Struct("<I"), b"\3": struct.Struct("<I")}
"""Version of the format -> layout of the length of the description."""
_DESCRIPTION = re.compile(
    rb"\{'descr': '([<>|=]?[a-zA-Z]\d{0,5})', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,12}, ?){0,31}(?:\d{1,12})?)\),? ?\}\s*"
)
"""Description of an array of one type: type, whether its first side changes fastest, sides."""


def array_names(data: memoryview) -> list[str] | None:
    """Names of the arrays in a zip archive of arrays; None if it is an archive of something else.

    Raises:
        Damaged: the archive is not whole.
    """
    names = list(read_directory(data))
    return names if names and all(name.endswith(SUFFIX) for name in names) else None


def read_archive(data: memoryview, most: int) -> dict[str, NDArray[Any]]:
    """Arrays of an .npz by name.

    Args:
        data: the file.
        most: number of arrays from which on it is refused.

    Raises:
        CheckpointError: it holds too many arrays, too large ones, or Python objects.
        Damaged: it is not whole.
    """
    entries = read_directory(data)
    if len(entries) >= most:
        raise CheckpointError(f"it holds {len(entries)} arrays; at most {most - 1} are read")
    total = sum(entry.size for entry in entries.values())
    if total > LARGEST:
        raise CheckpointError(f"its arrays take {total} bytes; at most {LARGEST} are read")
    return {name.removesuffix(SUFFIX): read_array(entry.unpacked(data)) for name, entry in entries.items()}


def read_array(data: memoryview) -> NDArray[Any]:
    """The array of an .npy, as a view of its bytes.

    Raises:
        CheckpointError: it holds Python objects.
        Damaged: it is not whole, or has another description than an array of one type.
    """
    start = bytes(data[:12])
    layout = _LENGTHS.get(start[6:7])
    if not start.startswith(MAGIC) or layout is None or len(start) < 12:
        raise Damaged("an array does not begin as NumPy writes it")
    (length,) = layout.unpack_from(start, 8)
    begin = 8 + layout.size + length
    described = _DESCRIPTION.fullmatch(bytes(data[8 + layout.size : begin])) if length <= LONGEST_HEADER else None
    if described is None or begin > len(data):
        raise Damaged("the description of an array cannot be read")
    kind, is_fortran, sides = (part.decode() for part in described.groups())
    if "O" in kind:
        raise CheckpointError("it holds Python objects, which would have to be run: save plain arrays")
    try:
        dtype = np.dtype(kind)
    except TypeError as error:
        raise Damaged(f"an array has numbers of the type {kind}") from error
    shape = tuple(int(side) for side in sides.split(",") if side.strip())
    count = math.prod(shape)
    if not dtype.itemsize or begin + count * dtype.itemsize > len(data):
        raise Damaged(f"an array of {shape} does not lie in the file")
    flat: NDArray[Any] = np.frombuffer(data, dtype, count, begin)
    return flat.reshape(shape, order="F" if is_fortran == "True" else "C")
