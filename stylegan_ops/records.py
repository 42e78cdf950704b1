"""Arrays and tensors as files describe them: checked records, turned into tensors only when one is wanted.

The names in the two tables below are all that a StyleGAN2 file may mention. Each stands for a constructor of ours that
returns plain data. A tensor is a record of a storage and a shape; its numbers are not touched until `tensor()` is
called, so that a file's discriminator and optimiser cost nothing, and a network is judged by its shapes before.
"""

import math
from collections.abc import Callable
from itertools import starmap
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylegan_ops.budget import Budget, Damaged
from stylegan_ops.errors import CheckpointError
from stylegan_ops.pickles import Constructor, Foreign, Global, Record, is_key

Bytes = bytes | memoryview

STORAGE_TYPES: dict[str, torch.dtype] = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
}

ARRAY_TYPES = frozenset({"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1", "c8", "c16"})

FLOATING = frozenset({torch.float64, torch.float32, torch.float16, torch.bfloat16})
"""Types of weights. Others may lie in a file (counters, masks), but not in a network of ours."""

MAX_DIMENSIONS = 8

MOST_REPEATS = 1 << 16
"""Most times that a view (`tensor.expand`) repeats the numbers of its storage."""

FEW = 16
"""Most numbers of an array that describes a network: sizes, rates."""


class Storage:
    """A run of numbers of one type; `fetch` brings its bytes when they are wanted."""

    __slots__ = ("dtype", "fetch", "numel")

    def __init__(self, dtype: torch.dtype, numel: int, fetch: Callable[[], Bytes]) -> None:
        self.dtype = dtype
        self.numel = numel
        self.fetch = fetch


class TensorRecord(Record):
    """A strided view of a storage."""

    __slots__ = ("offset", "shape", "storage", "stride")

    def __init__(self, storage: Storage, offset: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> None:
        super().__init__("torch.Tensor")
        self.storage = storage
        self.offset = offset
        self.shape = shape
        self.stride = stride

    def tensor(self, budget: Budget) -> Tensor:
        """A float32 copy; only the numbers that it shows are touched, however far apart they lie.

        Raises:
            CheckpointError: they are not floating-point numbers, or too many for the file.
            Damaged: the storage is not whole.
        """
        storage = self.storage
        require_floating(storage.dtype)
        budget.make(math.prod(self.shape))
        data, size = storage.fetch(), storage.numel * storage.dtype.itemsize
        if len(data) != size:
            raise Damaged(f"a tensor's storage has {len(data)} bytes instead of {size}")
        item, bfloat = storage.dtype.itemsize, storage.dtype == torch.bfloat16
        stored = np.dtype(np.uint16) if bfloat else np.dtype(f"<f{item}")
        if not math.prod(self.shape):
            return torch.zeros(self.shape)
        view: np.ndarray[Any, Any] = np.ndarray(
            self.shape, stored, data, self.offset * item, tuple(step * item for step in self.stride)
        )
        if bfloat:
            return torch.from_numpy(view.copy(order="C").view(np.int16)).view(torch.bfloat16).to(torch.float32)
        with np.errstate(over="ignore"):  # numbers beyond float32 are infinite, as in torch
            return torch.from_numpy(view.astype(np.float32, order="C"))


class ArrayRecord(Record):
    """A NumPy array; `build` gives it (version, shape, dtype, fortran order, bytes)."""

    __slots__ = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape.

        Raises:
            Damaged: it has none, or its bytes are not as many as its shape asks for.
        """
        state = self.state
        if not isinstance(state, tuple) or len(state) != 5:
            raise Damaged("an array has no content")
        _, shape, dtype, _, data = state
        if not _is_shape(shape) or not isinstance(dtype, DtypeRecord) or not isinstance(data, bytes | memoryview):
            raise Damaged("an array has no numbers")
        assert isinstance(shape, tuple)
        size = math.prod(shape) * dtype.numpy().itemsize
        if size != len(data):
            raise Damaged(f"an array of {shape} has {len(data)} bytes instead of {size}")
        return shape

    def few(self) -> list[float]:
        """The numbers of a small array, such as a size.

        Raises:
            Damaged: it is not whole, or has more numbers than `FEW`.
        """
        count = math.prod(self.shape)
        assert isinstance(self.state, tuple)
        numbers = self.state[2].numpy()
        if count > FEW or numbers.kind not in "fiu":
            raise Damaged(f"an array of {self.shape[:3]} stands where a few numbers are expected")
        return [float(value) for value in np.frombuffer(bytes(self.state[4]), numbers)]

    def tensor(self, budget: Budget) -> Tensor:
        """A float32 copy.

        Raises:
            CheckpointError: it does not hold floating-point numbers, or too many for the file.
            Damaged: it is not whole.
        """
        shape = self.shape
        assert isinstance(self.state, tuple)
        _, _, dtype, fortran, data = self.state
        numbers = dtype.numpy()
        if numbers.kind != "f":
            _refuse_type(numbers.name)
        budget.make(math.prod(shape))
        array = np.frombuffer(data, numbers).reshape(shape, order="F" if fortran else "C")
        return torch.from_numpy(array.astype(np.float32, order="C"))


class DtypeRecord(Record):
    """A NumPy number type; `build` gives it (version, byte order, ...)."""

    __slots__ = ()

    def numpy(self) -> np.dtype[np.generic]:
        """The type, one of plain numbers."""
        code = self.args[0] if self.args else None
        order = self.state[1] if isinstance(self.state, tuple) and len(self.state) > 1 else "="
        if not isinstance(code, str) or code not in ARRAY_TYPES or order not in ("<", ">", "=", "|"):
            kind = repr(code[:40]) if isinstance(code, str) else "without a name"
            raise Damaged(f"an array is of a type {kind}, not of numbers")
        return np.dtype(f"{order}{code}")


def require_floating(dtype: torch.dtype) -> None:
    """Refuse weights that are no floating-point numbers.

    Raises:
        CheckpointError: they are complex, or whole numbers.
    """
    if dtype not in FLOATING:
        _refuse_type(str(dtype).removeprefix("torch."))


def _refuse_type(name: str) -> None:
    kind = "complex numbers" if name.startswith("complex") else "no floating-point numbers"
    raise CheckpointError(
        f"its weights are {kind} ({name}), which StyleGAN2 does not compute with; give the model in float32 or float16"
    )


def _is_shape(value: object) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) <= MAX_DIMENSIONS
        and all(type(length) is int and length >= 0 for length in value)
    )


def _reach(shape: tuple[int, ...], stride: tuple[int, ...]) -> int:
    """How far behind its first number the last one of a view lies."""
    return sum((length - 1) * step for length, step in zip(shape, stride, strict=True))


def _rebuild_tensor(storage: object, offset: object, shape: object, stride: object, *_unused: object) -> TensorRecord:
    """`torch._utils._rebuild_tensor_v2`; refuses views that leave the storage or count its numbers many times over. An
    expanded view, such as a mean latent's rows, repeats them along whole axes: it costs nothing until it is wanted.
    """
    if not isinstance(storage, Storage) or type(offset) is not int or offset < 0:
        raise Damaged("a tensor has no storage")
    if not _is_shape(shape) or not _is_shape(stride):
        raise Damaged("a tensor has no shape")
    assert isinstance(shape, tuple) and isinstance(stride, tuple)
    repeats = math.prod(length for length, step in zip(shape, stride, strict=False) if not step)
    if len(shape) != len(stride) or repeats > MOST_REPEATS or math.prod(shape) > storage.numel * repeats:
        raise Damaged(f"a tensor of {shape} lies in a storage of {storage.numel} numbers")
    if math.prod(shape) and offset + _reach(shape, stride) >= storage.numel:
        raise Damaged(f"a tensor of {shape} reaches beyond its storage of {storage.numel} numbers")
    return TensorRecord(storage, offset, shape, stride)


def _encode(text: object, encoding: object) -> bytes:
    """`_codecs.encode`, with which protocol 2 writes bytes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise Damaged("bytes are written in an encoding other than latin1")
    return text.encode("latin-1")


def _from_buffer(data: object, dtype: object, shape: object, order: object) -> ArrayRecord:
    """`numpy.core.numeric._frombuffer`, with which protocol 5 writes arrays."""
    record = ArrayRecord("numpy.ndarray")
    record.build((1, shape, dtype, order == "F", data))
    return record


def array_of_dill(function: object, args: object, state: object, *_unused: object) -> ArrayRecord:
    """`dill._dill._create_array`: an array that is made by NumPy's function and then given its state."""
    if not isinstance(function, Global) or not function.name.endswith(".multiarray._reconstruct"):
        raise Damaged("an array is made by a function other than NumPy's")
    record = ArrayRecord("numpy.ndarray")
    record.build(state)
    return record


def type_of_dill(name: object) -> Global | Foreign:
    """`dill._dill._load_type`: a type by its name, of which only sets are needed."""
    return Global("builtins.set", _list) if name == "set" else Foreign(f"dill type {str(name)[:80]}")


def _scalar(dtype: object, data: object = None) -> object:
    """`numpy.core.multiarray.scalar`: a Python number, or None for other types."""
    if not isinstance(dtype, DtypeRecord) or dtype.args[:1] == ("O8",) or not isinstance(data, bytes):
        return None
    numbers = dtype.numpy()
    if len(data) != numbers.itemsize:
        raise Damaged(f"a number has {len(data)} bytes instead of {numbers.itemsize}")
    return np.frombuffer(data, numbers)[0].item()


def _dict(items: object = ()) -> dict[object, object]:
    if not isinstance(items, list | tuple) or not all(isinstance(item, list | tuple) for item in items):
        raise Damaged("a dict has no items")
    return dict(starmap(_pair, items))


def _pair(key: object, value: object) -> tuple[object, object]:
    if not is_key(key):
        raise Damaged(f"a key of a dict is a {type(key).__name__}")
    return key, value


def _list(items: object = ()) -> list[object]:
    if not isinstance(items, list | tuple):
        raise Damaged("a set has no items")
    return list(items)


def _record(name: str) -> Constructor:
    return lambda *args: Record(name, args)


def _numpy_names() -> dict[str, Constructor]:
    names: dict[str, Constructor] = {
        "numpy.ndarray": _record("numpy.ndarray"),
        "numpy.dtype": lambda *args: DtypeRecord("numpy.dtype", args),
    }
    for package in ("numpy.core", "numpy._core"):
        names[f"{package}.multiarray._reconstruct"] = lambda *args: ArrayRecord("numpy.ndarray")
        names[f"{package}.multiarray.scalar"] = _scalar
        names[f"{package}.numeric._frombuffer"] = _from_buffer
    return names


def _counted(counts: object = ()) -> object:
    """`collections.Counter`, which is made from a dict."""
    return counts if isinstance(counts, dict) else _dict(counts)


def _builtin_names() -> dict[str, Constructor]:
    """Plain types of Python, as they stand among the options of a training: by their names in Python 3 and 2."""
    names: dict[str, Constructor] = {
        "dict": _dict,
        "list": _list,
        "set": _list,
        "frozenset": lambda items=(): tuple(_list(items)),
        "tuple": lambda items=(): tuple(_list(items)),
        **{name: _record(name) for name in ("bool", "bytearray", "complex", "float", "int", "slice", "str")},
    }
    both = {f"{module}.{name}": made for module in ("builtins", "__builtin__") for name, made in names.items()}
    return both | {"builtins.range": _record("range"), "__builtin__.xrange": _record("range")}


PLAIN_NAMES: dict[str, Constructor] = {
    "collections.Counter": _counted,
    "collections.OrderedDict": _dict,
    "dnnlib.util.EasyDict": _dict,
    "collections.defaultdict": lambda *_factory: {},
    **{
        f"{module}.{kind}Path": _record("pathlib.Path")
        for module in ("pathlib", "pathlib._local")
        for kind in ("Posix", "PurePosix", "PureWindows", "Windows")
    },
    "_codecs.encode": _encode,
    "__builtin__.bytes": lambda: b"",  # how protocol 2 writes empty ones
    "argparse.Namespace": _record("argparse.Namespace"),
    "types.SimpleNamespace": _record("types.SimpleNamespace"),
    **{f"datetime.{name}": _record(f"datetime.{name}") for name in ("date", "datetime", "timedelta")},
    **_builtin_names(),
    **_numpy_names(),
}

TENSOR_NAMES: dict[str, Constructor] = {
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_parameter": lambda tensor, *_unused: tensor,
    "torch._utils._rebuild_parameter_with_state": lambda tensor, *_unused: tensor,
    "torch.Size": lambda items=(): tuple(_list(items)),
    "torch.device": _record("torch.device"),
    **{f"torch.{name}": _record(name) for name in STORAGE_TYPES},
    **{str(dtype): _record("torch.dtype") for dtype in STORAGE_TYPES.values()},
}
