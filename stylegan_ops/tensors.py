"""Tensors in any pickle, torch or NumPy file, without running anything in it: latents of encoders and projectors."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stylegan_ops import arrays
from stylegan_ops.budget import Budget, Damaged
from stylegan_ops.containers import map_file, read_root
from stylegan_ops.errors import CheckpointError
from stylegan_ops.pickles import refuse_unknown_names
from stylegan_ops.records import ArrayRecord, TensorRecord

MAX_NODES = 10_000
"""Most entries of all lists and dicts that are looked at."""
MAX_DEPTH = 6
"""Most levels of lists and dicts."""
LONGEST_NAME = 300
"""Most characters of a key that is kept."""


def read_tensors(path: str | Path, most: int) -> dict[str, Tensor]:
    """Tensors of floating-point numbers in a file, in float32, by the keys on the way with dots between them.

    Args:
        path: the file.
        most: number of tensors from which on a file is refused.

    Raises:
        CheckpointError: the file is damaged, hostile, or of another kind.
    """
    path = Path(path)
    data = map_file(path)
    budget = Budget(len(data))
    try:
        if (made := _numpy_arrays(data, most)) is not None:
            return made
        root = read_root(path, data, budget)
        refuse_unknown_names(root.unknown)
        found: dict[str, Tensor] = {}
        for name, record in _records(root.content).items():
            if len(found) >= most:
                raise CheckpointError(f"{path} holds more than {most} tensors")
            try:
                found[name] = record.tensor(budget)
            except CheckpointError:
                if not isinstance(record, TensorRecord) or record.storage.dtype.is_floating_point:
                    raise
        return found
    except CheckpointError as error:
        message = str(error)
        raise CheckpointError(message if str(path) in message else f"{path}: {message}") from error
    except Damaged as error:
        raise CheckpointError(f"{path} is damaged or not whole ({error}); fetch it again") from error
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged: its tensors do not fit together; fetch it again") from error


def _numpy_arrays(data: memoryview, most: int) -> dict[str, Tensor] | None:
    """Tensors of a NumPy file; None if it is another one."""
    start = bytes(data[: len(arrays.MAGIC)])
    if start == arrays.MAGIC:
        found = {"": arrays.read_array(data)}
    elif start.startswith(b"PK\3\4") and arrays.array_names(data) is not None:
        found = arrays.read_archive(data, most)
    else:
        return None
    with np.errstate(over="ignore"):  # numbers beyond float32 are infinite, as in torch
        return {name: torch.from_numpy(array.astype("<f4")) for name, array in found.items() if array.dtype.kind == "f"}


def _records(root: object) -> dict[str, TensorRecord | ArrayRecord]:
    """Tensors and arrays in nested lists and dicts."""
    found: dict[str, TensorRecord | ArrayRecord] = {}
    pending: list[tuple[str, object, int]] = [("", root, 0)]
    seen = 0
    while pending:
        name, node, depth = pending.pop()
        seen += 1
        if seen > MAX_NODES:
            raise CheckpointError(f"it holds more than {MAX_NODES} entries, as no file of latents does")
        if isinstance(node, TensorRecord | ArrayRecord):
            found[name] = node
        elif isinstance(node, dict) and depth < MAX_DEPTH:
            entries = [(str(key), value) for key, value in node.items() if isinstance(key, str | int)]
            pending += [(_joined(name, key), value, depth + 1) for key, value in reversed(entries[:MAX_NODES])]
        elif isinstance(node, list | tuple) and depth < MAX_DEPTH:
            numbered = list(enumerate(node[:MAX_NODES]))
            pending += [(_joined(name, str(at)), value, depth + 1) for at, value in reversed(numbered)]
    return found


def _joined(name: str, key: str) -> str:
    return f"{name}.{key}"[-LONGEST_NAME:] if name else key[:LONGEST_NAME]
