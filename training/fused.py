"""The passes around a styled convolution, fused: on CPUs they, not the convolutions, take most of a training step.

`scaled` and `activated` are plain PyTorch, with gradients of any order, wherever the kernels do not apply: on another
device or in another precision than bfloat16, or without a C compiler. Measured on two cores, 256², a step of the
generator: 59 ms a picture plain, 33 fused.
"""

import ctypes
import functools
import hashlib
import logging
import shutil
import subprocess
import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

_log = logging.getLogger(__name__)
_SOURCE = Path(__file__).with_name("fused.c")
# Sums in any order, so that they can be vectors; but -ffast-math would round tiny numbers to 0 in all of the process.
_SUMS = ("-fassociative-math", "-fno-signed-zeros", "-fno-trapping-math", "-fno-math-errno")
_FLAGS = ("-O3", "-march=native", *_SUMS, "-fopenmp", "-shared", "-fPIC")
_ROW = 1024


@functools.cache
def _library() -> ctypes.CDLL | None:
    """The compiled kernels; built into the temporary folder on first use."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        _log.warning("no C compiler was found: training runs at about half the speed")
        return None
    key = hashlib.sha256(_SOURCE.read_bytes() + " ".join(_FLAGS).encode()).hexdigest()[:16]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"fused-{key}.so"
        built = subprocess.run(
            [compiler, *_FLAGS, str(_SOURCE), "-o", str(path)], capture_output=True, encoding="utf-8"
        )
        if built.returncode:
            _log.warning(
                "the training kernels did not compile; training runs at about half the speed: %s", built.stderr
            )
            return None
        return ctypes.CDLL(str(path))  # stays loaded when the file is gone


def _applies(x: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and x.dtype == torch.bfloat16
        and x.shape[1] <= 1024
        and x.is_contiguous(memory_format=torch.channels_last)
        and _library() is not None
    )


def _call(name: str, *arguments: Tensor | int) -> None:
    library = _library()
    assert library is not None
    function = getattr(library, name)
    function.restype = None
    function(*(ctypes.c_void_p(a.data_ptr()) if isinstance(a, Tensor) else ctypes.c_long(a) for a in arguments))


def scaled(x: Tensor, scale: Tensor, *, twice: bool = False) -> Tensor:
    """X (B, C, h, w) times scale (B, C); `twice` where gradients of gradients are wanted."""
    if twice or not _applies(x):
        return x * scale[:, :, None, None].to(x.dtype)
    result: Tensor = _Scaled.apply(  # type: ignore[no-untyped-call]
        x, scale.float().contiguous()
    )
    return result


def activated(x: Tensor, scale: Tensor, noise: Tensor, bias: Tensor, *, twice: bool = False) -> Tensor:
    """leaky_relu(x · scale + noise + bias, 0.2): x (B, C, h, w), scale (B, C), noise (B, 1, h, w), bias (C,)."""
    if twice or not _applies(x):
        x = x * scale[:, :, None, None].to(x.dtype) + noise.to(x.dtype) + bias[:, None, None].to(x.dtype)
        return F.leaky_relu(x, 0.2)
    result: Tensor = _Activated.apply(  # type: ignore[no-untyped-call]
        x, scale.float().contiguous(), noise.float().contiguous(), bias.float().contiguous()
    )
    return result


def _sizes(x: Tensor) -> tuple[int, int, int]:
    return x.shape[0], x.shape[2] * x.shape[3], x.shape[1]


def _rows(x: Tensor) -> Tensor:
    batch, pixels, channels = _sizes(x)
    return torch.empty(batch, -(-pixels // _ROW), channels)


class _Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, scale: Tensor) -> Tensor:
        ctx.save_for_backward(x, scale)
        y = torch.empty_like(x)
        _call("modulate", x, scale, y, *_sizes(x))
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, scale = ctx.saved_tensors  # type: ignore[attr-defined]
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        gx, rows = torch.empty_like(x), _rows(x)
        _call("modulate_back", gradient, x, scale, gx, rows, *_sizes(x))
        return gx, rows.sum(1)


class _Activated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, scale: Tensor, noise: Tensor, bias: Tensor) -> Tensor:
        y = torch.empty_like(x)
        _call("activate", x, scale, noise, bias, y, *_sizes(x))
        ctx.save_for_backward(x, y, scale)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x, y, scale = ctx.saved_tensors  # type: ignore[attr-defined]
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        gx, scale_rows, bias_rows = torch.empty_like(x), _rows(x), _rows(x)
        gn = torch.empty(x.shape[0], 1, *x.shape[2:])
        _call("activate_back", gradient, x, y, scale, gx, gn, scale_rows, bias_rows, *_sizes(x))
        return gx, scale_rows.sum(1), gn, bias_rows.sum((0, 1))
