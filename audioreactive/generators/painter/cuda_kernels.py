"""The compiled form of the painter for NVIDIA GPUs: the shaders' text as CUDA, compiled on first use by
`stylegan_ops.cuda_build`.

A kernel is queued on PyTorch's current stream. Its parameters travel with it, so that a family's kernel reads them from
constant memory; nothing waits for the GPU here.
"""

from __future__ import annotations

import ctypes
import functools
import re
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch

from audioreactive.errors import RenderError
from audioreactive.generators.painter.families import FAMILIES, SHADERS
from audioreactive.generators.painter.kernels import COST, Calls, Table, check, pointers, sides
from stylegan_ops import build
from stylegan_ops.cuda_build import Program, program_of
from stylegan_ops.cuda_loading import Loaded, load, numbered
from stylegan_ops.driver import DriverError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from audioreactive.generators.painter.parameters import Native

SOURCES: Final = Path(__file__).parent / "cuda"
OPTIONS: Final = ("--use_fast_math",)
SHARED: Final = tuple(sorted(path.stem for path in SOURCES.glob("*.cu") if path.stem != "family"))
"""Kernels that all families share, and the names of their sources: all that lie there but for that of the families."""
TILE: Final = (8, 32)
"""Rows and columns of pixels of a block of threads, as in pixel.cuh."""

_FUNCTION: Final = re.compile(r"^(?=(?:Float|float|Vec[234]|vec3) \w+\()", re.MULTILINE)
_lock = threading.Lock()


class Raster(ctypes.Structure):
    """Sides of a buffer and of the picture; the C structure of the same name."""

    _fields_ = tuple((name, ctypes.c_int32) for name in ("rows", "columns", "height", "width"))


class Bloom(ctypes.Structure):
    """The bloom of three colours; the C structure of the same name."""

    _fields_ = (("planes", Table * 3),)


@dataclass(frozen=True)
class CudaKernels(Calls):
    """Functions of the compiled programs. All tensors are contiguous float32 on one GPU."""

    device: torch.device
    side_by_side: bool = True
    finish_yuv: None = None
    """The conversion to YUV is a kernel of its own, which networks use too."""

    def identity(self, name: str) -> str:
        """Digest of the machine code of a function."""
        return self._ready(name).identity

    def finish(self, parameters: Native, colour: torch.Tensor, bloom: torch.Tensor, picture: torch.Tensor) -> None:
        """Turn linear light and its bloom (3, rows, columns) into a picture (3, h, w) in [-1, 1]."""
        size = (picture.shape[1], picture.shape[2])
        check(colour, None, size)
        tables = Bloom((Table * 3)(*(self._table(plane) for plane in bloom)))
        arguments = (parameters, *self._pointers(colour), tables, *self._pointers(picture))
        self._queue("finish", size, arguments, sides(colour, size))

    def _pointers(self, *tensors: torch.Tensor) -> list[ctypes.c_void_p]:
        if len({tensor.device for tensor in tensors}) > 1:
            raise ValueError("tensors on one GPU are expected")
        return pointers(*tensors, kind=self.device.type)

    def _call(self, name: str, arguments: Sequence[Any], raster: Sequence[ctypes.c_int32]) -> None:
        self._queue(name, (raster[0].value, raster[1].value), arguments, raster)

    def _queue(
        self, name: str, covered: tuple[int, int], arguments: Sequence[Any], raster: Sequence[ctypes.c_int32]
    ) -> None:
        """Queue a kernel for all pixels of the sides `covered` on the current stream.

        Raises:
            RenderError: it cannot be compiled, or CUDA refuses it.
        """
        loaded = self._ready(name)
        grid = tuple(-(-side // tile) for side, tile in zip(covered[::-1], TILE[::-1], strict=True))
        try:
            loaded.launch(f"painter-{name}", "paint" if name in FAMILIES else name, grid, *arguments, Raster(*raster))
        except DriverError as error:
            raise RenderError(f"the painter's {name} failed on {self.device}: {error}") from error

    def _ready(self, name: str) -> Loaded:
        loaded = self._loaded(name)
        if isinstance(loaded, str):
            raise RenderError(f"the painter's {name} cannot be compiled: {loaded}; STYLEGAN_OPS=reference needs none")
        return loaded

    def _loaded(self, name: str) -> Loaded | str:
        """The program that has a kernel, or the reason why there is none."""
        return _loaded((name,) if name in FAMILIES else SHARED, numbered(self.device))


def why_none(device: torch.device) -> str | None:
    """Say, after one warning, why the kernels cannot be used on a GPU; None: they can, and are built."""
    if not torch.cuda.is_available():
        return "PyTorch finds no GPU"
    with _lock:
        return _why_none(numbered(device))


@functools.cache
def _why_none(device: torch.device) -> str | None:
    found = _loaded(SHARED, device)
    if isinstance(found, str):
        warnings.warn(f"the compiled kernels cannot be used: {found}; {COST}", RuntimeWarning, stacklevel=2)
        return found
    return None


def programs(names: Sequence[str] = (*SHARED, *FAMILIES)) -> list[Program]:
    """Programs of families, and of what they share, as CUDA: functions of the shaders say that they run on the GPU.

    names: their names; by default all.
    """
    return [_program(name) for name in names]


def _program(name: str) -> Program:
    own = name in FAMILIES
    text = (SOURCES / ("family.cu" if own else f"{name}.cu")).read_text("utf-8")
    given = {"family.glsl": _as_cuda(SHADERS / f"{name}.glsl", (SHADERS / f"{name}.glsl").read_text("utf-8"))}
    return program_of(
        f"#define FAMILY {name}\n{text}" if own else text,
        [SOURCES, SHADERS, build.SOURCES],
        name=f"painter-{name}",
        options=OPTIONS,
        given=given if own else {},
        changed=_as_cuda,
    )


def _as_cuda(path: Path, text: str) -> str:
    return _FUNCTION.sub("INLINE ", text) if path.suffix == ".glsl" else text


@functools.cache
def _loaded(names: tuple[str, ...], device: torch.device) -> Loaded | str:
    """Programs on a GPU, or the reason why they are not there."""
    try:
        return load(device, programs(names))
    except Exception as error:  # whatever it is, plain PyTorch paints
        return str(error).partition("\n")[0] or type(error).__name__
