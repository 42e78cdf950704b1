"""The networks' compiled kernels for NVIDIA GPUs, registered with PyTorch.

The sources hold kernels alone. Which of them runs, on which grid, is decided here.
"""

import ctypes
import functools
import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stylegan_ops import build, cuda_build
from stylegan_ops.cuda_loading import THREADS, Loaded, load, numbered
from stylegan_ops.driver import DriverError
from stylegan_ops.errors import StyleGANError

COST = "the generator runs on plain PyTorch on the GPU, which takes every activation through memory several times"

NAMES = {torch.float32: "float32", torch.float16: "float16", torch.bfloat16: "bfloat16"}
"""Element types of activations for which there are kernels, and their names in the kernels' names."""

VECTOR_BYTES = 16
"""Bytes that a thread reads at once; addresses and steps that are multiples of it allow that."""

FINISH_PIXELS = 4
"""Pixels that a team of threads of `finish` has at once, as in finish.cu."""

SMOOTH_COLUMNS = 2
"""Columns of a thread of `smooth`, as in smooth.cu."""

LONGEST_STRIP = 16
"""Most rows that a thread of `smooth` goes down; it reads three more than it writes."""

ENOUGH_THREADS = 1 << 17
"""Threads for half of the places of a large GPU: with fewer, the strips of `smooth` become shorter."""

MOST_PIXELS = (1 << 31) - (1 << 16)
"""Most pixels of a picture: kernels count them in 32 bits, up to the end of the last block."""

_lock = threading.Lock()


class Epilogue(ctypes.Structure):
    """Arguments of the steps after a convolution; the same fields in the same order as `Epilogue` of device.h."""

    _fields_ = (
        ("scale", ctypes.c_void_p),
        ("scale_stride", ctypes.c_int64),
        ("bias", ctypes.c_void_p),
        ("noise", ctypes.c_void_p),
        ("noise_stride", ctypes.c_int64),
        ("noise_gain", ctypes.c_float),
        ("clamp", ctypes.c_float),
        ("style", ctypes.c_void_p),
        ("style_stride", ctypes.c_int64),
    )


class Finish(ctypes.Structure):
    """Arguments of the kernel in finish.cu; the same fields in the same order as its `Finish`."""

    _fields_ = (
        ("x", ctypes.c_void_p),
        ("y", ctypes.c_void_p),
        ("y_stride", ctypes.c_int64),
        *((name, ctypes.c_int32) for name in ("rows", "width", "channels", "first_row", "height")),
        ("epilogue", Epilogue),
        ("rgb_weight", ctypes.c_void_p),
        ("rgb_stride", ctypes.c_int64),
        ("rgb_bias", ctypes.c_void_p),
        ("rgb_clamp", ctypes.c_float),
        ("skip", ctypes.c_void_p),
        ("taps", ctypes.c_void_p),
        ("image", ctypes.c_void_p),
    )


class Smooth(ctypes.Structure):
    """Arguments of the kernel in smooth.cu; the same fields in the same order as its `Smooth`."""

    _fields_ = (
        ("x", ctypes.c_void_p),
        ("y", ctypes.c_void_p),
        *((name, ctypes.c_int32) for name in ("height", "width", "channels")),
        ("taps", ctypes.c_void_p),
        ("epilogue", Epilogue),
    )


@dataclass(frozen=True)
class Availability:
    """Whether the kernels can be used on a GPU, and where they came from or why not."""

    library: Loaded | None
    reason: str


def programs() -> list[cuda_build.Program]:
    """All CUDA sources of this package."""
    return [cuda_build.program(path) for path in sorted(build.SOURCES.glob("*.cu"))]


def cuda_kernels(device: torch.device | None = None) -> Availability:
    """The kernels for a GPU, by default the current one; compiled on first use.

    A failure gives one warning for each reason, and never an exception. Other GPUs are not affected.
    """
    if not torch.cuda.is_available():
        return Availability(None, "PyTorch finds no GPU")
    with _lock:
        return _cuda_kernels(numbered(device or torch.device("cuda")).index)


@functools.cache
def _cuda_kernels(index: int) -> Availability:
    device = torch.device("cuda", index)
    try:
        loaded = load(device, programs())
    except Exception as error:  # whatever it is, plain PyTorch renders
        reason = str(error).partition("\n")[0] or type(error).__name__
        _warn_once(reason)
        return Availability(None, reason)
    return Availability(loaded, loaded.origin)


@functools.cache
def _warn_once(reason: str) -> None:
    warnings.warn(f"the compiled kernels cannot be used: {reason}; {COST}", RuntimeWarning, stacklevel=4)


def launch(program: str, kernel: str, device: torch.device, grid: Sequence[int], *arguments: Any) -> None:
    """Queue a kernel on the current stream.

    Raises:
        StyleGANError: CUDA refuses it.
    """
    kernels = cuda_kernels(device)
    if kernels.library is None:
        raise StyleGANError(f"the compiled kernels cannot be used: {kernels.reason}")
    try:
        kernels.library.launch(f"cuda-{program}", kernel, grid, *arguments)
    except DriverError as error:
        raise StyleGANError(f"{kernel} failed on {device}: {error}") from error


def divided_up(value: int, by: int) -> int:
    return -(-value // by)


def _aligned(*addresses: int | None) -> bool:
    return all((address or 0) % VECTOR_BYTES == 0 for address in addresses)


def _reads_vectors(epilogue: Epilogue) -> bool:
    """Whether an epilogue can be read `VECTOR_BYTES` at a time."""
    steps = (epilogue.scale_stride, epilogue.style_stride)
    return _aligned(epilogue.scale, epilogue.bias, epilogue.style) and all(step % 4 == 0 for step in steps)


def pointer(like: Tensor, values: Tensor | None, *shape: int) -> int | None:
    """Address of a contiguous float32 tensor on the same device; the kernels do not check the shape themselves."""
    if values is None:
        return None
    if values.shape != shape or values.dtype != torch.float32 or values.device != like.device:
        found = f"{values.dtype} {tuple(values.shape)} on {values.device}"
        raise ValueError(f"float32 {shape} on {like.device} was expected, not {found}")
    if not values.is_contiguous():
        raise ValueError(f"a contiguous tensor was expected, not strides of {values.stride()}")
    return values.data_ptr()


def strided_rows(like: Tensor, values: Tensor | None, *shape: int) -> tuple[int | None, int]:
    """Address of float32 rows (..., C), and the step in elements from one row to the next."""
    if values is None:
        return None, 0
    rows = values.view(-1, shape[-1])
    if rows.stride(1) != 1 and shape[-1] > 1:
        raise ValueError(f"rows without gaps were expected, not strides of {values.stride()}")
    if not rows.is_contiguous():
        pointer(like, values[..., :0], *shape[:-1], 0)
        return values.data_ptr(), rows.stride(0)
    return pointer(like, values, *shape), shape[-1]


def _epilogue(
    y: Tensor,
    height: int,
    width: int,
    scale: Tensor,
    bias: Tensor,
    noise: Tensor | None,
    noise_gain: float,
    clamp: float,
    style: Tensor | None,
) -> Epilogue:
    """Arguments of the steps after a convolution with output `y`, in a picture of this height and width."""
    batch, channels = y.shape[:2]
    scale_pointer, scale_stride = strided_rows(y, scale, batch, channels)
    style_pointer, style_stride = strided_rows(y, style, batch, channels)
    shared = noise is not None and len(noise) == 1
    return Epilogue(
        scale=scale_pointer,
        scale_stride=scale_stride,
        bias=pointer(y, bias, channels),
        noise=pointer(y, noise, 1 if shared else batch, 1, height, width),
        noise_stride=0 if shared else height * width,
        noise_gain=noise_gain,
        clamp=clamp,
        style=style_pointer,
        style_stride=style_stride,
    )


def check_activations(x: Tensor) -> None:
    """Raise unless x (B, C, h, w) is channels-last without gaps."""
    if x.ndim != 4 or x.dtype not in NAMES or not x.is_contiguous(memory_format=torch.channels_last):
        raise ValueError(f"channels-last activations were expected, not {x.dtype} {x.stride()}")


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
    """`torch.ops.stylegan_ops.finish` on a GPU; y may be x."""
    batch, channels, rows, width = x.shape
    check_activations(x)
    if y is not None:
        check_activations(y)
        if y.shape != x.shape or y.dtype != x.dtype or y.device != x.device:
            raise ValueError(f"the output is {y.dtype} {y.shape}, the input {x.dtype} {x.shape}")
    if first_row + rows > height:
        raise ValueError(f"rows {first_row} to {first_row + rows} of {height}")
    if rgb_weight is not None and (rgb_bias is None or image is None or (skip is not None and taps is None)):
        raise ValueError("rgb_weight needs a bias and an image, and taps where a smaller picture is added")
    if skip is not None and (height % 2 or width % 2):
        raise ValueError(f"a doubled picture has even sizes, not {height} × {width}")
    rgb_pointer, rgb_stride = strided_rows(x, rgb_weight, batch, 3, channels)
    job = Finish(
        x=x.data_ptr(),
        y=None if y is None else y.data_ptr(),
        y_stride=rows * width * channels,
        rows=rows,
        width=width,
        channels=channels,
        first_row=first_row,
        height=height,
        epilogue=_epilogue(x, height, width, scale, bias, noise, noise_gain, clamp, style),
        rgb_weight=rgb_pointer,
        rgb_stride=rgb_stride,
        rgb_bias=pointer(x, rgb_bias, 3),
        rgb_clamp=rgb_clamp,
        skip=pointer(x, skip, batch, 3, height // 2, width // 2),
        taps=pointer(x, taps, 4),
        image=pointer(x, image, batch, 3, height, width),
    )
    _start_finish(job, x, batch, "plain" if rgb_weight is None else "to_rgb")


def _start_finish(job: Finish, x: Tensor, batch: int, mode: str) -> None:
    """Queue the kernel of finish.cu that suits the arguments; `mode` is the last word of its name."""
    if job.height * job.width > MOST_PIXELS:
        raise ValueError(f"a picture of {job.height} × {job.width} has more than {MOST_PIXELS} pixels")
    most = VECTOR_BYTES // x.itemsize
    vector = (
        job.channels % most == 0
        and _aligned(job.x, job.y, job.rgb_weight)
        and job.rgb_stride % 4 == 0
        and _reads_vectors(job.epilogue)
    )
    channels, lanes = most if vector else 1, 1
    while lanes < 32 and lanes * channels < job.channels:
        lanes *= 2
    tile = THREADS // lanes * FINISH_PIXELS
    name = f"finish_{NAMES[x.dtype]}_{'vector' if vector else 'single'}_{mode}"
    launch("finish", name, x.device, (divided_up(job.rows * job.width, tile), batch), job, ctypes.c_int32(lanes))


def _finish_phases(
    x: Tensor,
    y: Tensor,
    scale: Tensor,
    bias: Tensor,
    noise: Tensor | None,
    noise_gain: float,
    clamp: float,
    style: Tensor | None,
) -> None:
    """`torch.ops.stylegan_ops.finish_phases`: x (B, 4 · C, h, w), the phases in row order -> y (B, C, 2h, 2w)."""
    batch, channels, height, width = y.shape
    check_activations(x)
    check_activations(y)
    if x.shape != (batch, 4 * channels, height // 2, width // 2) or height % 2 or width % 2 or x.dtype != y.dtype:
        raise ValueError(f"the output is {y.dtype} {y.shape}, the phases {x.dtype} {x.shape}")
    job = Finish(
        x=x.data_ptr(),
        y=y.data_ptr(),
        y_stride=height * width * channels,
        rows=height,
        width=width,
        channels=channels,
        height=height,
        epilogue=_epilogue(y, height, width, scale, bias, noise, noise_gain, clamp, style),
    )
    _start_finish(job, x, batch, "phases")


def _smooth(
    x: Tensor,
    y: Tensor,
    taps: Tensor,
    scale: Tensor,
    bias: Tensor,
    noise: Tensor | None,
    noise_gain: float,
    clamp: float,
    style: Tensor | None,
) -> None:
    """`torch.ops.stylegan_ops.smooth`: x (B, C, 2h + 1, 2w + 1), smoothed by taps (4,) -> y (B, C, 2h, 2w)."""
    batch, channels, height, width = y.shape
    check_activations(x)
    check_activations(y)
    if x.shape != (batch, channels, height + 1, width + 1) or height % 2 or width % 2 or x.dtype != y.dtype:
        raise ValueError(f"the output is {y.dtype} {y.shape}, the input {x.dtype} {x.shape}")
    job = Smooth(
        x=x.data_ptr(),
        y=y.data_ptr(),
        height=height,
        width=width,
        channels=channels,
        taps=pointer(y, taps, 4),
        epilogue=_epilogue(y, height, width, scale, bias, noise, noise_gain, clamp, style),
    )
    most = VECTOR_BYTES // x.itemsize
    vector = channels % most == 0 and _aligned(job.x, job.y) and _reads_vectors(job.epilogue)
    across = width // SMOOTH_COLUMNS * (channels // (most if vector else 1))
    strip = LONGEST_STRIP
    while strip > 2 and batch * across * divided_up(height, strip) < ENOUGH_THREADS:
        strip //= 2
    name = f"smooth_{NAMES[x.dtype]}_{'vector' if vector else 'single'}"
    grid = (divided_up(across, THREADS), divided_up(height, strip), batch)
    launch("smooth", name, x.device, grid, job, ctypes.c_int32(strip))


def _rgb_to_yuv420(image: Tensor) -> Tensor:
    """`torch.ops.stylegan_ops.rgb_to_yuv420` on a GPU."""
    batch, _, height, width = image.shape
    y = image.new_empty(batch, height * width * 3 // 2, dtype=torch.uint8)
    _convert(image if image.data_ptr() % 8 == 0 else image.clone(), y)
    return y


def _convert(image: Tensor, y: Tensor) -> None:
    """Write pixels (B, H · W · 3 / 2) uint8 in the layout yuv420p from a picture (B, 3, H, W)."""
    batch, _, height, width = image.shape
    address = pointer(image, image, batch, 3, height, width)
    if image.data_ptr() % 8:
        raise ValueError("the kernel reads pairs of pixels, whose addresses must be multiples of 8")
    grid = (divided_up(height * width // 4, THREADS), batch)
    arguments = (ctypes.c_void_p(address), ctypes.c_void_p(y.data_ptr()), ctypes.c_int32(height), ctypes.c_int32(width))
    launch("yuv", "rgb_to_yuv420", image.device, grid, *arguments)


_AFTER = "Tensor scale, Tensor bias, Tensor? noise, float noise_gain, float clamp, Tensor? style"
torch.library.define("stylegan_ops::finish_phases", f"(Tensor x, Tensor(a!) y, {_AFTER}) -> ()")
torch.library.define("stylegan_ops::smooth", f"(Tensor x, Tensor(a!) y, Tensor taps, {_AFTER}) -> ()")
torch.library.impl("stylegan_ops::finish", "CUDA", _finish)
torch.library.impl("stylegan_ops::finish_phases", "CUDA", _finish_phases)
torch.library.impl("stylegan_ops::smooth", "CUDA", _smooth)
torch.library.impl("stylegan_ops::rgb_to_yuv420", "CUDA", _rgb_to_yuv420)
torch.library.register_fake("stylegan_ops::finish_phases", lambda *args: None)
torch.library.register_fake("stylegan_ops::smooth", lambda *args: None)

finish_phases = torch.ops.stylegan_ops.finish_phases.default
smooth = torch.ops.stylegan_ops.smooth.default
