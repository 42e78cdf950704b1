"""The compiled form of the painter for NVIDIA GPUs: the shaders' text as CUDA, built on first use by
`stylegan_ops.build`.

A kernel is queued on PyTorch's current stream. Its parameters travel with it, so that a family's kernel reads them from
constant memory; nothing waits for the GPU here.
"""

from __future__ import annotations

import ctypes
import functools
import platform
import re
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch

from audioreactive.errors import RenderError
from audioreactive.generators.painter.families import FAMILIES, SHADERS
from audioreactive.generators.painter.kernels import COST, Calls, Table, check, included, pointers, sides
from audioreactive.generators.painter.parameters import Native
from stylegan_ops import build

if TYPE_CHECKING:
    from collections.abc import Sequence

SOURCES: Final = Path(__file__).parent / "cuda"
FLAGS: Final = ("-use_fast_math",)
SHARED: Final = tuple(build.Unit(SOURCES / f"{name}.cu", name) for name in ("finish", "reveal"))
"""What all families share."""

_FUNCTION: Final = re.compile(r"^(?=(?:Float|float|Vec[234]|vec3) \w+\()", re.MULTILINE)
_lock = threading.Lock()


@dataclass(frozen=True)
class CudaKernels(Calls):
    """Functions of the compiled libraries. All tensors are contiguous float32 on one GPU."""

    device: torch.device
    side_by_side: bool = True

    def finish(self, parameters: Native, colour: torch.Tensor, bloom: torch.Tensor, picture: torch.Tensor) -> None:
        """Turn linear light and its bloom (3, rows, columns) into a picture (3, h, w) in [-1, 1]."""
        size = (picture.shape[1], picture.shape[2])
        check(colour, None, size)
        tables = (Table * 3)(*(self._table(plane) for plane in bloom))
        self._call(
            "finish", ctypes.byref(parameters), *self._pointers(colour), tables, *self._pointers(picture),
            *sides(colour, size),
        )  # fmt: skip

    def _pointers(self, *tensors: torch.Tensor) -> list[ctypes.c_void_p]:
        if len({tensor.device for tensor in tensors}) > 1:
            raise ValueError("tensors on one GPU are expected")
        return pointers(*tensors, kind=self.device.type)

    def _call(self, name: str, *arguments: object) -> None:
        """Queue a kernel on the current stream.

        Raises:
            RenderError: it cannot be compiled, or CUDA refuses it.
        """
        own = name in FAMILIES
        library = _library(f"painter_cuda_{name}", (unit_of(name),)) if own else _library("painter_cuda", SHARED)
        if isinstance(library, str):
            raise RenderError(f"the painter's {name} cannot be compiled: {library}; STYLEGAN_OPS=reference needs none")
        with torch.cuda.device(self.device):
            stream = torch.cuda.current_stream(self.device).cuda_stream
            place = (torch.cuda.current_device(), ctypes.c_void_p(stream))
            error = getattr(library, f"paint_{name}")(*arguments, *place)
        if error is not None:
            raise RenderError(f"the painter's {name} failed on {self.device}: {error.decode()}")


def why_none() -> str | None:
    """Say, after one warning, why the kernels cannot be used on this machine's GPUs; None: they can, and are built."""
    with _lock:
        return _why_none()


@functools.cache
def _why_none() -> str | None:
    library = _library("painter_cuda", SHARED)
    reason = library if isinstance(library, str) else None
    try:
        for index in range(torch.cuda.device_count() if reason is None else 0):
            reason = reason or _tried_out(torch.device("cuda", index))
    except RuntimeError as error:  # of PyTorch and of the kernels
        reason = str(error).partition("\n")[0]
    if reason is not None:
        warnings.warn(f"the compiled kernels cannot be used: {reason}; {COST}", RuntimeWarning, stacklevel=2)
    return reason


def _tried_out(device: torch.device) -> str | None:
    """Finish a black picture: a driver that is older than the compiler, say, shows here. Return what is wrong."""
    colour, bloom = torch.zeros(3, 4, 8, device=device), torch.zeros(3, 2, 2, device=device)
    picture = torch.zeros(3, 4, 8, device=device)
    CudaKernels(device).finish(Native(), colour, bloom, picture)
    if float((picture + 1).abs().max()) < 0.02:
        return None
    return f"{torch.cuda.get_device_name(device)} computes something else"


def unit_of(family: str) -> build.Unit:
    """Say how a family is compiled."""
    return build.Unit(SOURCES / "family.cu", f"family_{family}", (f"FAMILY={family}", f'FAMILY_TEXT="{family}.glsl"'))


def texts_of(units: Sequence[build.Unit]) -> list[tuple[str, str]]:
    """Names and contents of the texts that units include, as CUDA: functions say that they run on the GPU."""
    paths = included(units, sorted(SHADERS.glob("*.glsl")))
    return [(path.name, _FUNCTION.sub("INLINE ", path.read_text("utf-8"))) for path in paths]


def compile_units(name: str, units: Sequence[build.Unit], capabilities: Sequence[int]) -> Path:
    """Compile a library, or find it in the cache, for GPUs with these compute capabilities times 10.

    Raises:
        BuildError: it cannot be built here.
    """
    return build.gpu_library(name, units, sorted(SOURCES.glob("*.cuh")), capabilities, FLAGS, texts_of(units))[0]


@functools.cache
def _library(name: str, units: tuple[build.Unit, ...]) -> ctypes.CDLL | str:
    """A library, or the reason why there is none."""
    if not torch.cuda.is_available():
        return "PyTorch finds no GPU"
    if platform.system() != "Linux" or torch.version.cuda is None:
        return "they are built for NVIDIA GPUs, on Linux"
    capabilities = {torch.cuda.get_device_capability(index) for index in range(torch.cuda.device_count())}
    try:
        path = compile_units(name, units, [10 * major + minor for major, minor in sorted(capabilities)])
        return load(path, units)
    except (build.BuildError, OSError) as error:
        return str(error)


def load(path: Path, units: Sequence[build.Unit]) -> ctypes.CDLL:
    """Load a library and declare its functions; each returns an error message or NULL."""
    library = ctypes.CDLL(str(path))
    for unit in units:
        getattr(library, f"paint_{unit.name.removeprefix('family_')}").restype = ctypes.c_char_p
    return library
