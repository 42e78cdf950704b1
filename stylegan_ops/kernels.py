"""The compiled kernels for the CPU: found or built once in a process, and registered as `torch.ops.stylegan_ops.*`.

The library has a plain C interface, free of PyTorch's headers. It is loaded after PyTorch, whose OpenMP library
(libgomp.so.1) it then shares: one pool of threads serves both.
"""

import ctypes
import functools
import math
import platform
import threading
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from stylegan_ops import build
from stylegan_ops.errors import StyleGANError

COST = "the generator runs on plain PyTorch, in bfloat16 at about half the speed"

NAMES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}
"""Element types of activations for which there are kernels, and their names in the library."""

FinishArguments = tuple[Tensor, Tensor, Tensor | None, float, float, Tensor | None]
"""The fields of `fused.Finish` as an operation takes them: scale, bias, noise, noise gain, clamp, style."""

ToRGBArguments = tuple[Tensor | None, Tensor | None, float, Tensor | None, Tensor | None, Tensor | None]
"""The fields of `fused.ToRGB` as an operation takes them: weight, bias, clamp, skip, taps, image."""

NO_RGB: ToRGBArguments = (None, None, math.inf, None, None, None)
"""Arguments for a layer that has no toRGB step."""

_EPILOGUE = (
    ("scale", ctypes.c_void_p),
    ("bias", ctypes.c_void_p),
    ("noise", ctypes.c_void_p),
    ("noise_stride", ctypes.c_int64),
    ("noise_gain", ctypes.c_float),
    ("clamp", ctypes.c_float),
    ("style", ctypes.c_void_p),
)
"""Fields of `fused.Finish` in both C structures."""

_lock = threading.Lock()


class Finish(ctypes.Structure):
    """Arguments of the kernel in finish.cpp; the same fields in the same order as its `Finish`."""

    _fields_ = (
        ("x", ctypes.c_void_p),
        ("y", ctypes.c_void_p),
        ("y_stride", ctypes.c_int64),
        *((name, ctypes.c_int64) for name in ("batch", "rows", "width", "channels", "first_row", "height")),
        *_EPILOGUE,
        ("rgb_weight", ctypes.c_void_p),
        ("rgb_bias", ctypes.c_void_p),
        ("rgb_clamp", ctypes.c_float),
        ("skip", ctypes.c_void_p),
        ("taps", ctypes.c_void_p),
        ("image", ctypes.c_void_p),
    )


class Columns(ctypes.Structure):
    """Arguments of the kernel in columns.cpp; the same fields in the same order as its `Columns`."""

    _fields_ = (
        ("products", ctypes.c_void_p),
        ("y", ctypes.c_void_p),
        ("y_stride", ctypes.c_int64),
        *(
            (name, ctypes.c_int64)
            for name in ("batch", "rows", "height", "width", "channels", "first_row", "start", "stop")
        ),
        ("taps", ctypes.c_void_p),
        *_EPILOGUE,
    )


@dataclass(frozen=True)
class Availability:
    """Whether the kernels can be used in this process, and where they came from or why not."""

    library: "Library | None"
    reason: str


@dataclass(frozen=True)
class Library:
    """The loaded library, and what distinguishes it from others."""

    functions: ctypes.CDLL
    identity: str
    """Name of the file, which contains the checksum of its content."""


def cpu_kernels() -> Availability:
    """The CPU kernels, built on first use. A failure gives one warning per process and never an exception."""
    with _lock:
        return _cpu_kernels()


@functools.cache
def _cpu_kernels() -> Availability:
    if platform.system() not in ("Linux", "Darwin"):
        return Availability(None, f"they are built on Linux and macOS, and this is {platform.system()}")
    try:
        path, source = build.cpu_library()
        library = ctypes.CDLL(str(path))
    except (build.BuildError, OSError) as error:
        warnings.warn(f"the compiled kernels cannot be used: {error}; {COST}", RuntimeWarning, stacklevel=2)
        return Availability(None, str(error))
    for name in NAMES.values():
        for function, structure in (("finish", Finish), ("columns", Columns)):
            entry = getattr(library, f"stylegan_{function}_{name}")
            entry.argtypes, entry.restype = [ctypes.POINTER(structure)], None
    entry = library.stylegan_rgb_to_yuv420
    entry.argtypes, entry.restype = [ctypes.c_void_p] * 2 + [ctypes.c_int64] * 3, None
    return Availability(Library(library, path.name), source)


def _library() -> ctypes.CDLL:
    library = cpu_kernels().library
    if library is None:
        raise StyleGANError(f"the compiled kernels cannot be used: {cpu_kernels().reason}")
    return library.functions


def _pointer(values: Tensor | None, *shape: int) -> int | None:
    """Address of a contiguous float32 tensor, whose shape is checked here because the kernels do not check it."""
    if values is None:
        return None
    if values.shape != shape or values.dtype != torch.float32 or not values.is_contiguous():
        raise ValueError(f"a contiguous float32 tensor of {shape} was expected, not {values.dtype} {values.shape}")
    return values.data_ptr()


def _noise_pointer(noise: Tensor | None, batch: int, height: int, width: int) -> tuple[int | None, int]:
    """Address of a noise map (B or 1, 1, h, w), and the step from one sample to the next (0 if all share one map)."""
    if noise is None:
        return None, 0
    samples = 1 if len(noise) == 1 else batch
    return _pointer(noise, samples, 1, height, width), height * width if samples > 1 else 0


def _check_activations(x: Tensor) -> None:
    """Raise unless every sample of x (B, C, h, w) is channels-last without gaps."""
    if x.ndim != 4 or x.dtype not in NAMES or not x[:1].is_contiguous(memory_format=torch.channels_last):
        raise ValueError(f"channels-last float32 or bfloat16 activations were expected, not {x.dtype} {x.stride()}")


def _finish(
    x: Tensor,
    y: Tensor | None,
    first_row: int,
    height: int,
    scale: Tensor,
    bias: Tensor,
    noise: Tensor | None,
    noise_gain: float,
    clamp: float,
    style: Tensor | None,
    rgb_weight: Tensor | None,
    rgb_bias: Tensor | None,
    rgb_clamp: float,
    skip: Tensor | None,
    taps: Tensor | None,
    image: Tensor | None,
) -> None:
    batch, channels, rows, width = x.shape
    _check_activations(x)
    if not x.is_contiguous(memory_format=torch.channels_last) or first_row + rows > height:
        raise ValueError(f"rows {first_row} to {first_row + rows} of {height}, strides {x.stride()}")
    if y is not None:
        _check_activations(y)
        if y.shape != x.shape or y.dtype != x.dtype:
            raise ValueError(f"the output is {y.dtype} {y.shape}, the input {x.dtype} {x.shape}")
    noise_pointer, noise_stride = _noise_pointer(noise, batch, height, width)
    job = Finish(
        x=x.data_ptr(),
        y=None if y is None else y.data_ptr(),
        y_stride=0 if y is None else y.stride(0),
        batch=batch,
        rows=rows,
        width=width,
        channels=channels,
        first_row=first_row,
        height=height,
        scale=_pointer(scale, batch, channels),
        bias=_pointer(bias, channels),
        noise=noise_pointer,
        noise_stride=noise_stride,
        noise_gain=noise_gain,
        clamp=clamp,
        style=_pointer(style, batch, channels),
        rgb_weight=_pointer(rgb_weight, batch, 3, channels),
        rgb_bias=_pointer(rgb_bias, 3),
        rgb_clamp=rgb_clamp,
        skip=_pointer(skip, batch, 3, height // 2, width // 2),
        taps=_pointer(taps, 4),
        image=_pointer(image, batch, 3, height, width),
    )
    if rgb_weight is not None and (rgb_bias is None or image is None or (skip is not None and taps is None)):
        raise ValueError("rgb_weight needs a bias and an image, and taps where a smaller picture is added")
    getattr(_library(), f"stylegan_finish_{NAMES[x.dtype]}")(ctypes.byref(job))


def _columns(
    products: Tensor,
    y: Tensor,
    first_row: int,
    start: int,
    stop: int,
    taps: Tensor,
    scale: Tensor,
    bias: Tensor,
    noise: Tensor | None,
    noise_gain: float,
    clamp: float,
    style: Tensor | None,
) -> None:
    batch, rows, width, _, channels = products.shape
    height = y.shape[2] // 2
    _check_activations(y)
    if y.shape != (batch, channels, 2 * height, 2 * width) or products.dtype != y.dtype:
        raise ValueError(f"the output is {y.dtype} {y.shape}, the products {products.dtype} {products.shape}")
    if products.shape[3] != 9 or not products.is_contiguous():
        raise ValueError(f"contiguous products (B, rows, w, 9, O) were expected, not {products.shape}")
    needed = max(start - 1, 0), min(stop + 1, height)
    if not first_row <= needed[0] <= needed[1] <= first_row + rows:
        raise ValueError(f"rows {start} to {stop} need their neighbours; {first_row} to {first_row + rows} are here")
    noise_pointer, noise_stride = _noise_pointer(noise, batch, 2 * height, 2 * width)
    job = Columns(
        products=products.data_ptr(),
        y=y.data_ptr(),
        y_stride=y.stride(0),
        batch=batch,
        rows=rows,
        height=height,
        width=width,
        channels=channels,
        first_row=first_row,
        start=start,
        stop=stop,
        taps=_pointer(taps, 4),
        scale=_pointer(scale, batch, channels),
        bias=_pointer(bias, channels),
        noise=noise_pointer,
        noise_stride=noise_stride,
        noise_gain=noise_gain,
        clamp=clamp,
        style=_pointer(style, batch, channels),
    )
    getattr(_library(), f"stylegan_columns_{NAMES[y.dtype]}")(ctypes.byref(job))


def _rgb_to_yuv420(image: Tensor) -> Tensor:
    batch, _, height, width = image.shape
    y = torch.empty(batch, height * width * 3 // 2, dtype=torch.uint8)
    _library().stylegan_rgb_to_yuv420(_pointer(image, batch, 3, height, width), y.data_ptr(), batch, height, width)
    return y


def _rgb_to_yuv420_shape(image: Tensor) -> Tensor:
    batch, _, height, width = image.shape
    return image.new_empty(batch, height * width * 3 // 2, dtype=torch.uint8)


def unlimited(clamp: float | None) -> float:
    """The limit that the kernels take: infinity where there is none."""
    return math.inf if clamp is None else clamp


torch.library.define(
    "stylegan_ops::finish",
    "(Tensor x, Tensor(a!)? y, int first_row, int height, Tensor scale, Tensor bias, Tensor? noise, float noise_gain, "
    "float clamp, Tensor? style, Tensor? rgb_weight, Tensor? rgb_bias, float rgb_clamp, Tensor? skip, Tensor? taps, "
    "Tensor(b!)? image) -> ()",
)
torch.library.define(
    "stylegan_ops::columns",
    "(Tensor products, Tensor(a!) y, int first_row, int start, int stop, Tensor taps, Tensor scale, Tensor bias, "
    "Tensor? noise, float noise_gain, float clamp, Tensor? style) -> ()",
)
torch.library.define("stylegan_ops::rgb_to_yuv420", "(Tensor image) -> Tensor")
torch.library.impl("stylegan_ops::finish", "CPU", _finish)
torch.library.impl("stylegan_ops::columns", "CPU", _columns)
torch.library.impl("stylegan_ops::rgb_to_yuv420", "CPU", _rgb_to_yuv420)
torch.library.register_fake("stylegan_ops::finish", lambda *args: None)
torch.library.register_fake("stylegan_ops::columns", lambda *args: None)
torch.library.register_fake("stylegan_ops::rgb_to_yuv420", _rgb_to_yuv420_shape)

finish = torch.ops.stylegan_ops.finish.default
columns = torch.ops.stylegan_ops.columns.default
rgb_to_yuv420 = torch.ops.stylegan_ops.rgb_to_yuv420.default
