"""The compiled form of the painter for CPUs: the shaders' text as C++, built on first use by `stylegan_ops.build`."""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

import torch

from audioreactive.errors import RenderError
from audioreactive.generators.painter.families import FAMILIES, SHADERS
from stylegan_ops import build

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from audioreactive.generators.painter.parameters import Native

FLAGS: Final = (
    "-fno-math-errno", "-fno-trapping-math", "-freciprocal-math", "-fassociative-math", "-fno-signed-zeros",
    "-fschedule-insns", "-fsched-pressure",  # a sixth of the time
    "-Wno-ignored-attributes",
)  # fmt: skip
YUV: Final = build.SOURCES / "yuv.h"
COST: Final = "the painter runs on plain PyTorch, some twenty times slower: take a small --size"


class Table(ctypes.Structure):
    """A table of numbers; the C structure of the same name."""

    _fields_ = (("values", ctypes.c_void_p), ("rows", ctypes.c_int32), ("columns", ctypes.c_int32))


class FinishYuv(Protocol):
    """Function that turns linear light into what an encoder takes."""

    def __call__(
        self, parameters: Native, colour: torch.Tensor, bloom: torch.Tensor, pixels: torch.Tensor, size: tuple[int, int]
    ) -> None:
        """Turn linear light and its bloom into pixels (h · w · 3 / 2,) uint8 in the layout yuv420p; even h and w."""
        ...


class Kernels(Protocol):
    """The compiled form for a kind of device, on which all tensors lie."""

    @property
    def side_by_side(self) -> bool:
        """Whether the pictures of a batch are made side by side, so that the device always has something to do."""
        ...

    @property
    def device(self) -> torch.device:
        """The device on which the tensors lie."""
        ...

    def identity(self, name: str) -> str:
        """Digest of the machine code of a function.

        Raises:
            RenderError: it cannot be compiled.
        """
        ...

    def paint(
        self, family: str, parameters: Native, table: torch.Tensor, colour: torch.Tensor, glow: torch.Tensor,
        size: tuple[int, int],
    ) -> None:  # fmt: skip
        """Paint a family: linear light into colour (3, r, c), means of what glows into glow (3, r / 4, c / 4)."""
        ...

    def reveal(
        self, parameters: Native, share: float, colour: torch.Tensor, other: torch.Tensor, glow: torch.Tensor,
        size: tuple[int, int],
    ) -> None:  # fmt: skip
        """Let `other` grow through `colour`, in place; share from 0 to 1 says how far."""
        ...

    def finish(self, parameters: Native, colour: torch.Tensor, bloom: torch.Tensor, picture: torch.Tensor) -> None:
        """Turn linear light and its bloom (3, rows, columns) into a picture (3, h, w) in [-1, 1]."""
        ...

    @property
    def finish_yuv(self) -> FinishYuv | None:
        """The same straight to YUV; None: it takes a pass of its own over the picture."""
        ...


class Calls(ABC):
    """Checks and arguments of the compiled functions that are the same on every kind of device."""

    def paint(
        self, family: str, parameters: Native, table: torch.Tensor, colour: torch.Tensor, glow: torch.Tensor,
        size: tuple[int, int],
    ) -> None:  # fmt: skip
        """Paint a family: linear light into colour (3, r, c), means of what glows into glow (3, r / 4, c / 4).

        r and c are multiples of 4, at least the (h, w) of `size`; table (rows, columns) is the noise.

        Raises:
            RenderError: the family cannot be compiled here, although the rest could be.
        """
        check(colour, glow, size)
        self._call(family, (parameters, self._table(table), *self._pointers(colour, glow)), sides(colour, size))

    def reveal(
        self, parameters: Native, share: float, colour: torch.Tensor, other: torch.Tensor, glow: torch.Tensor,
        size: tuple[int, int],
    ) -> None:  # fmt: skip
        """Let `other` grow through `colour`, in place; share from 0 to 1 says how far."""
        check(colour, glow, size)
        check(other, glow, size)
        arguments = (parameters, ctypes.c_float(share), *self._pointers(colour, other, glow))
        self._call("reveal", arguments, sides(colour, size))

    def _table(self, values: torch.Tensor) -> Table:
        """Describe a table (rows, columns) to the kernels."""
        self._pointers(values)
        return Table(values.data_ptr(), *values.shape)

    @abstractmethod
    def _pointers(self, *tensors: torch.Tensor) -> list[ctypes.c_void_p]:
        """Addresses of tensors; raises ValueError unless they lie where the kernels run."""

    @abstractmethod
    def _call(self, name: str, arguments: Sequence[Any], raster: Sequence[ctypes.c_int32]) -> None:
        """Call the function of a family, or one that all families share.

        Args:
            name: name of the function.
            arguments: its arguments, but for the sizes.
            raster: rows and columns of the buffers, height and width of the picture, last of all arguments.

        Raises:
            RenderError: it cannot be compiled.
        """


@dataclass(frozen=True)
class CpuKernels(Calls):
    """Functions of the compiled libraries. All tensors are contiguous float32 on the CPU."""

    library: ctypes.CDLL
    """What all families share."""
    side_by_side: bool = False
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def identity(self, name: str) -> str:
        """Name of the library's file, which contains the checksum of its content."""
        return os.path.basename(self._of(name)._name)  # noqa: PTH119 - a name, not a path to follow

    def _pointers(self, *tensors: torch.Tensor) -> list[ctypes.c_void_p]:
        return pointers(*tensors)

    def _call(self, name: str, arguments: Sequence[Any], raster: Sequence[ctypes.c_int32]) -> None:
        library = self._of(name)
        # Structures are handed over by their addresses.
        words = [ctypes.byref(one) if isinstance(one, ctypes.Structure) else one for one in arguments]
        getattr(library, f"paint_{name}")(*words, *raster)

    def _of(self, name: str) -> ctypes.CDLL:
        """The library that has a function."""
        library: ctypes.CDLL | str = self.library
        if name in FAMILIES:
            macros = (f"FAMILY={name}", f'FAMILY_TEXT="{name}.glsl"')
            library = _library(f"painter_{name}", (build.Unit(SHADERS / "family.cpp", f"family_{name}", macros),))
        if isinstance(library, str):
            raise RenderError(f"the painter's {name} cannot be compiled: {library}; STYLEGAN_OPS=reference needs none")
        return library

    def finish(self, parameters: Native, colour: torch.Tensor, bloom: torch.Tensor, picture: torch.Tensor) -> None:
        """Turn linear light and its bloom (3, rows, columns) into a picture (3, h, w) in [-1, 1]."""
        size = (picture.shape[1], picture.shape[2])
        self._finish(parameters, colour, bloom, self._pointers(picture)[0], None, size)

    def finish_yuv(
        self, parameters: Native, colour: torch.Tensor, bloom: torch.Tensor, pixels: torch.Tensor, size: tuple[int, int]
    ) -> None:
        """Turn linear light and its bloom into pixels (h · w · 3 / 2,) uint8 in the layout yuv420p; even h and w."""
        height, width = size
        if height % 2 or width % 2 or pixels.shape != (height * width * 3 // 2,) or pixels.dtype != torch.uint8:
            raise ValueError(f"pixels {tuple(pixels.shape)} do not fit a picture of {size} in YUV 4:2:0")
        self._finish(parameters, colour, bloom, None, ctypes.c_void_p(pixels.data_ptr()), size)

    def _finish(
        self, parameters: Native, colour: torch.Tensor, bloom: torch.Tensor, picture: ctypes.c_void_p | None,
        yuv: ctypes.c_void_p | None, size: tuple[int, int],
    ) -> None:  # fmt: skip
        check(colour, None, size)
        rows, columns, height, width = sides(colour, size)
        wide = torch.empty(3, bloom.shape[1], colour.shape[2])
        glow = (ctypes.c_int32(bloom.shape[1]), ctypes.c_int32(bloom.shape[2]))
        arguments = (parameters, *self._pointers(colour, bloom, wide), picture, yuv)
        self._call("finish", arguments, (rows, columns, *glow, height, width))


def cpu_kernels() -> CpuKernels | str:
    """Find or build the compiled form for CPUs; or the reason why there is none, after one warning."""
    shared = _shared()
    return shared if isinstance(shared, str) else CpuKernels(shared)


@functools.cache
def _shared() -> ctypes.CDLL | str:
    """The library that all families share, or, after a warning, the reason why there is none."""
    finish = build.Unit(SHADERS / "finish.cpp", "finish", (f'YUV_TEXT="{YUV}"',))
    found = _library("painter", (finish, build.Unit(SHADERS / "reveal.cpp", "reveal")))
    if isinstance(found, str):
        warnings.warn(f"the compiled kernels cannot be used: {found}; {COST}", RuntimeWarning, stacklevel=2)
    return found


@functools.cache
def _library(name: str, units: tuple[build.Unit, ...]) -> ctypes.CDLL | str:
    """A library, or the reason why there is none. Its functions return nothing."""
    if platform.system() not in ("Linux", "Darwin"):
        return f"they are built on Linux and macOS, and this is {platform.system()}"
    texts = [YUV, *(path for path in sorted(SHADERS.iterdir()) if path.suffix in (".h", ".glsl"))]
    try:
        path, _ = build.native_library(name, units, included(units, texts), FLAGS)
        library = ctypes.CDLL(os.fspath(path))
    except (build.BuildError, OSError) as error:
        return str(error)
    for unit in units:
        getattr(library, f"paint_{unit.name.removeprefix('family_')}").restype = None
    return library


def included(units: Sequence[build.Unit], texts: Sequence[Path]) -> list[Path]:
    """The texts on which units may depend: all but the families of others."""
    own = {unit.name.removeprefix("family_") for unit in units}
    return [path for path in texts if path.stem in own or path.stem not in FAMILIES]


def check(colour: torch.Tensor, glow: torch.Tensor | None, size: tuple[int, int]) -> None:
    """Raise unless the buffers of linear light and of what glows fit a picture of a size (h, w)."""
    rows, columns = colour.shape[1:]
    fits = rows % 4 == columns % 4 == 0 and rows >= size[0] and columns >= size[1]
    if not fits or len(colour) != 3 or (glow is not None and glow.shape != (3, rows // 4, columns // 4)):
        raise ValueError(f"buffers {tuple(colour.shape)} do not fit a picture of {size}")


def pointers(*tensors: torch.Tensor, kind: str = "cpu") -> list[ctypes.c_void_p]:
    """Addresses of tensors, which must be contiguous float32 on this kind of device."""
    for tensor in tensors:
        if tensor.dtype != torch.float32 or tensor.device.type != kind or not tensor.is_contiguous():
            raise ValueError(f"contiguous float32 tensors are expected, on the {kind.upper()}")
    return [ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors]


def sides(colour: torch.Tensor, size: tuple[int, int]) -> list[ctypes.c_int32]:
    """List the rows and columns of a buffer, and those of the picture (h, w)."""
    return [ctypes.c_int32(side) for side in (*colour.shape[1:], *size)]
