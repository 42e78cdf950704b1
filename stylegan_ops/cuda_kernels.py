"""The compiled kernels for NVIDIA GPUs: found or built once in a process, and registered with PyTorch.

The library has a plain C interface (pointers, sizes, a device's number, a stream), free of PyTorch's headers, and
brings its own CUDA runtime; it shares PyTorch's contexts and streams. A kernel is queued on PyTorch's current stream:
it keeps its place among PyTorch's own, in a CUDA graph too.
"""

import ctypes
import functools
import platform
import threading
import warnings

import torch
from torch import Tensor

from stylegan_ops import build
from stylegan_ops.errors import StyleGANError
from stylegan_ops.kernels import Availability

COST = "the generator runs on plain PyTorch on the GPU, which takes every activation through memory several times"

NAMES = {torch.float32: "float32", torch.float16: "float16", torch.bfloat16: "bfloat16"}
"""Element types of activations for which there are kernels, and their names in the library."""

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
        *((name, ctypes.c_int64) for name in ("batch", "rows", "width", "channels", "first_row", "height")),
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
        ("batch", ctypes.c_int64),
        *((name, ctypes.c_int32) for name in ("height", "width", "channels")),
        ("taps", ctypes.c_void_p),
        ("epilogue", Epilogue),
    )


def cuda_kernels() -> Availability:
    """The kernels for the GPUs of this machine, built on first use. A failure gives one warning and no exception."""
    with _lock:
        return _cuda_kernels()


@functools.cache
def _cuda_kernels() -> Availability:
    if not torch.cuda.is_available():
        return Availability(None, "PyTorch finds no GPU")
    if platform.system() != "Linux" or torch.version.cuda is None:
        return Availability(None, "they are built for NVIDIA GPUs, on Linux")
    capabilities = {torch.cuda.get_device_capability(index) for index in range(torch.cuda.device_count())}
    try:
        path, source = build.cuda_library([10 * major + minor for major, minor in sorted(capabilities)])
        library = load(path)
        for index in range(torch.cuda.device_count()):
            _try_out(library, torch.device("cuda", index))
    except (build.BuildError, OSError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        warnings.warn(f"the compiled kernels cannot be used: {reason}; {COST}", RuntimeWarning, stacklevel=2)
        return Availability(None, reason)
    return Availability(library, source)


def load(path: object) -> ctypes.CDLL:
    """Load a library and declare its functions; each returns an error message or NULL."""
    library = ctypes.CDLL(str(path))
    place = (ctypes.c_int, ctypes.c_void_p)  # device, stream
    for name in NAMES.values():
        finish, smooth = (getattr(library, f"stylegan_{function}_{name}") for function in ("finish", "smooth"))
        finish.argtypes, finish.restype = [ctypes.POINTER(Finish), ctypes.c_int, *place], ctypes.c_char_p
        smooth.argtypes, smooth.restype = [ctypes.POINTER(Smooth), *place], ctypes.c_char_p
    entry = library.stylegan_rgb_to_yuv420
    pointer, size = ctypes.c_void_p, ctypes.c_int64
    entry.argtypes, entry.restype = [pointer, pointer, size, size, size, *place], ctypes.c_char_p
    return library


def _try_out(library: ctypes.CDLL, device: torch.device) -> None:
    """Run a kernel: a driver that is older than the compiler, say, shows here and not in the middle of a video.

    Raises:
        BuildError: it fails, or comes to a wrong result.
    """
    white, found = torch.ones(1, 3, 2, 2, device=device), torch.zeros(1, 6, dtype=torch.uint8, device=device)
    with torch.cuda.device(device):
        stream = torch.cuda.current_stream(device).cuda_stream
        error = library.stylegan_rgb_to_yuv420(
            white.data_ptr(), found.data_ptr(), 1, 2, 2, torch.cuda.current_device(), stream
        )
    if error is not None:
        raise build.BuildError(f"{torch.cuda.get_device_name(device)} does not run them ({error.decode()})")
    if found[0].tolist() != [235] * 4 + [128] * 2:
        raise build.BuildError(f"{torch.cuda.get_device_name(device)} computes something else")


def _launch(function: str, device: torch.device, *arguments: object) -> None:
    """Queue a kernel on the current stream.

    Raises:
        StyleGANError: CUDA refuses it.
    """
    kernels = cuda_kernels()
    if kernels.library is None:
        raise StyleGANError(f"the compiled kernels cannot be used: {kernels.reason}")
    with torch.cuda.device(device):
        stream = torch.cuda.current_stream(device).cuda_stream
        error = getattr(kernels.library, function)(*arguments, torch.cuda.current_device(), stream)
    if error is not None:
        raise StyleGANError(f"{function} failed on {device}: {error.decode()}")


def _pointer(like: Tensor, values: Tensor | None, *shape: int) -> int | None:
    """Address of a contiguous float32 tensor on the same device; the kernels do not check the shape themselves."""
    if values is None:
        return None
    if values.shape != shape or values.dtype != torch.float32 or values.device != like.device:
        found = f"{values.dtype} {tuple(values.shape)} on {values.device}"
        raise ValueError(f"float32 {shape} on {like.device} was expected, not {found}")
    if not values.is_contiguous():
        raise ValueError(f"a contiguous tensor was expected, not strides of {values.stride()}")
    return values.data_ptr()


def _rows(like: Tensor, values: Tensor | None, *shape: int) -> tuple[int | None, int]:
    """Address of float32 rows (..., C), and the step in elements from one row to the next."""
    if values is None:
        return None, 0
    rows = values.view(-1, shape[-1])
    if rows.stride(1) != 1 and shape[-1] > 1:
        raise ValueError(f"rows without gaps were expected, not strides of {values.stride()}")
    if not rows.is_contiguous():
        _pointer(like, values[..., :0], *shape[:-1], 0)
        return values.data_ptr(), rows.stride(0)
    return _pointer(like, values, *shape), shape[-1]


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
    scale_pointer, scale_stride = _rows(y, scale, batch, channels)
    style_pointer, style_stride = _rows(y, style, batch, channels)
    shared = noise is not None and len(noise) == 1
    return Epilogue(
        scale=scale_pointer,
        scale_stride=scale_stride,
        bias=_pointer(y, bias, channels),
        noise=_pointer(y, noise, 1 if shared else batch, 1, height, width),
        noise_stride=0 if shared else height * width,
        noise_gain=noise_gain,
        clamp=clamp,
        style=style_pointer,
        style_stride=style_stride,
    )


def _check_activations(x: Tensor) -> None:
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
    _check_activations(x)
    if y is not None:
        _check_activations(y)
        if y.shape != x.shape or y.dtype != x.dtype or y.device != x.device:
            raise ValueError(f"the output is {y.dtype} {y.shape}, the input {x.dtype} {x.shape}")
    if first_row + rows > height:
        raise ValueError(f"rows {first_row} to {first_row + rows} of {height}")
    if rgb_weight is not None and (rgb_bias is None or image is None or (skip is not None and taps is None)):
        raise ValueError("rgb_weight needs a bias and an image, and taps where a smaller picture is added")
    if skip is not None and (height % 2 or width % 2):
        raise ValueError(f"a doubled picture has even sizes, not {height} × {width}")
    rgb_pointer, rgb_stride = _rows(x, rgb_weight, batch, 3, channels)
    job = Finish(
        x=x.data_ptr(),
        y=None if y is None else y.data_ptr(),
        y_stride=rows * width * channels,
        batch=batch,
        rows=rows,
        width=width,
        channels=channels,
        first_row=first_row,
        height=height,
        epilogue=_epilogue(x, height, width, scale, bias, noise, noise_gain, clamp, style),
        rgb_weight=rgb_pointer,
        rgb_stride=rgb_stride,
        rgb_bias=_pointer(x, rgb_bias, 3),
        rgb_clamp=rgb_clamp,
        skip=_pointer(x, skip, batch, 3, height // 2, width // 2),
        taps=_pointer(x, taps, 4),
        image=_pointer(x, image, batch, 3, height, width),
    )
    _launch(f"stylegan_finish_{NAMES[x.dtype]}", x.device, ctypes.byref(job), 0)


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
    _check_activations(x)
    _check_activations(y)
    if x.shape != (batch, 4 * channels, height // 2, width // 2) or height % 2 or width % 2 or x.dtype != y.dtype:
        raise ValueError(f"the output is {y.dtype} {y.shape}, the phases {x.dtype} {x.shape}")
    job = Finish(
        x=x.data_ptr(),
        y=y.data_ptr(),
        y_stride=height * width * channels,
        batch=batch,
        rows=height,
        width=width,
        channels=channels,
        height=height,
        epilogue=_epilogue(y, height, width, scale, bias, noise, noise_gain, clamp, style),
    )
    _launch(f"stylegan_finish_{NAMES[x.dtype]}", x.device, ctypes.byref(job), 1)


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
    _check_activations(x)
    _check_activations(y)
    if x.shape != (batch, channels, height + 1, width + 1) or height % 2 or width % 2 or x.dtype != y.dtype:
        raise ValueError(f"the output is {y.dtype} {y.shape}, the input {x.dtype} {x.shape}")
    job = Smooth(
        x=x.data_ptr(),
        y=y.data_ptr(),
        batch=batch,
        height=height,
        width=width,
        channels=channels,
        taps=_pointer(y, taps, 4),
        epilogue=_epilogue(y, height, width, scale, bias, noise, noise_gain, clamp, style),
    )
    _launch(f"stylegan_smooth_{NAMES[x.dtype]}", x.device, ctypes.byref(job))


def _rgb_to_yuv420(image: Tensor) -> Tensor:
    """`torch.ops.stylegan_ops.rgb_to_yuv420` on a GPU."""
    batch, _, height, width = image.shape
    y = image.new_empty(batch, height * width * 3 // 2, dtype=torch.uint8)
    pointer = _pointer(image, image, batch, 3, height, width)
    _launch("stylegan_rgb_to_yuv420", image.device, pointer, y.data_ptr(), batch, height, width)
    return y


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
