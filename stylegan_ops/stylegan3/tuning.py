"""Choice between the activation's kernel for GPUs and plain PyTorch, for each layer: measured once, and kept.

The kernel is the usual way; plain PyTorch takes its place in layers in which it is well faster.
"""

import math

import torch

from stylegan_ops import cuda_kernels, tuning
from stylegan_ops.memory import Workspace
from stylegan_ops.stylegan3.filtered import filtered_lrelu
from stylegan_ops.stylegan3.layers import PreparedLayer

ELEMENTS = 1 << 25
"""Numbers of the result in a measurement: enough to fill a GPU."""


def kernel_pays(device: torch.device, dtype: torch.dtype, layer: PreparedLayer) -> bool:
    """Whether the kernel is to do a layer's activation on a GPU.

    Args:
        device: the GPU.
        dtype: precision of the activations.
        layer: the layer, any but toRGB.
    """
    source, library = layer.source, cuda_kernels.cuda_kernels(device).library
    facts = (
        "filtered_lrelu", torch.cuda.get_device_name(device), str(dtype), source.out_channels, source.conv_size,
        source.out_size, source.up, source.up_taps, source.down, source.down_taps, source.down_radial,
        "" if library is None else library.identity, torch.__version__,
        torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
    )  # fmt: skip
    return not tuning.kept_choice(facts, lambda: _plain_and_compiled(device, dtype, layer))


def _plain_and_compiled(device: torch.device, dtype: torch.dtype, layer: PreparedLayer) -> tuple[float, float]:
    """Seconds of a batch in both ways."""
    channels, (width, height) = layer.source.out_channels, layer.source.conv_size
    batch = max(1, ELEMENTS // (channels * math.prod(layer.source.out_size)))
    x = torch.randn(batch, channels, height, width, device=device).to(dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    ones, workspace = torch.ones(batch, channels, device=device), Workspace(device)
    return tuning.seconds(
        device,
        lambda: filtered_lrelu(x, ones, layer.bias, ones, layer.resampling),
        lambda: filtered_lrelu(x, ones, layer.bias, ones, layer.resampling, workspace, "y"),
    )
