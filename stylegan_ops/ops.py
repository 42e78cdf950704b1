"""The operations of StyleGAN2's synthesis, each a public function with one line of dispatch to an implementation.

Conventions: activations are (B, C, H, W), channels-last where it should be fast; a `style`, `scale` is (B, C) float32.
A `style` is multiplied into the activations where they are made: a convolution finds its input styled. `taps` (4,)
float32 is the resampling filter times 2, its gain along one axis. A `workspace` lends memory to the compiled form and
chooses it; without one the reference runs. What comes out of a workspace is good until the same name is taken again.

Convolutions are dense: instead of a filter for each sample of a batch (a grouped convolution), the input is multiplied
by the style and the output by the demodulation, and all samples share one filter. By linearity that is the same
(Karras et al. 2020, arXiv:1912.04958, section 2.2 and equations 1-3), and it is one large matrix product instead of
many small ones.

Sources: up-sampling as in Karras et al. 2018 (arXiv:1812.04948, section 2) with the filter of Zhang 2019
(arXiv:1904.11486). Colours as in ITU-R BT.709-6, sections 3 and 4.
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan_ops import kernels
from stylegan_ops.errors import StyleGANError
from stylegan_ops.memory import Workspace

BAND_BYTES = 4 << 20
"""What a convolution puts out at once, before the pass that follows reads it from the cache again."""


@dataclass(frozen=True)
class OpStatus:
    """Which implementation of an operation runs, and why: for `doctor`."""

    op: str
    implementation: str
    reason: str


@dataclass(frozen=True)
class Finish:
    """What follows a styled convolution: clamp(leaky_relu(x · scale + noise · noise_gain + bias, 0.2)) · style.

    A gain of the activation goes into scale, noise gain and bias: leaky ReLU is homogeneous.
    """

    scale: Tensor  # [B, C] float32
    bias: Tensor  # [C] float32
    noise: Tensor | None  # [B or 1, 1, h, w] float32
    noise_gain: float
    clamp: float | None
    style: Tensor | None  # [B, C] float32 of the convolution that comes next

    def sample(self, index: int) -> "Finish":
        """That of one sample."""
        noise, style, part = self.noise, self.style, slice(index, index + 1)
        return replace(
            self,
            scale=self.scale[part],
            noise=noise if noise is None or len(noise) == 1 else noise[part],
            style=None if style is None else style[part],
        )


@dataclass(frozen=True)
class Paint:
    """How a block paints: clamp(brush · x + bias), on top of the picture of the block before, doubled."""

    brush: Tensor  # [B, 3, C] float32: a 1 × 1 convolution times its style, not demodulated
    bias: Tensor  # [3] float32
    clamp: float | None
    skip: Tensor | None  # [B, 3, h / 2, w / 2] float32
    taps: Tensor  # [4]
    image: Tensor  # [B, 3, h, w] float32, written

    def sample(self, index: int) -> "Paint":
        """That of one sample."""
        part = slice(index, index + 1)
        skip = None if self.skip is None else self.skip[part]
        return replace(self, brush=self.brush[part], skip=skip, image=self.image[part])


def op_status() -> list[OpStatus]:
    """What each public operation of this module runs on, for a CPU and the precisions that it computes in."""
    try:
        implementation = kernels.wanted_implementation(None)
        use = kernels.use_compiled(implementation, torch.device("cpu"), torch.float32)
        reason = (
            f"{kernels.VARIABLE}={implementation}" if implementation == "reference" else kernels.cpu_kernels().reason
        )
    except StyleGANError as error:
        use, reason = False, str(error)
    status = [
        OpStatus(op, "compiled" if use else "reference", f"CPU, {reason}")
        for op in ("styled_conv2d", "styled_conv2d_up", "rgb_to_yuv420")
    ]
    plain = "plain PyTorch; of residual networks alone"
    return [*status, *(OpStatus(op, "reference", plain) for op in ("conv2d", "to_rgb", "upsample2d"))]


def styled_conv2d(
    x: Tensor,
    weight: Tensor,
    finish: Finish,
    paint: Paint | None = None,
    *,
    keep: bool = True,
    workspace: Workspace | None = None,
    name: str = "",
) -> Tensor | None:
    """A convolution that keeps the size, all that follows it, and the block's painting.

    Args:
        x: (B, I, h, w), styled.
        weight: (O, I, k, k), k odd.
        finish: what follows.
        paint: how the result is painted, before the next convolution's style.
        keep: whether more than the painted picture is wanted.
        workspace: memory for the compiled form.
        name: of the result in the workspace.

    Returns:
        (B, O, h, w) in x's precision; None unless kept.
    """
    if workspace is None:
        return _styled_conv2d_ref(x, weight, finish, paint)
    return _styled_conv2d_compiled(x, weight, finish, paint, workspace, name if keep else None)


def styled_conv2d_up(
    x: Tensor, weight: Tensor, taps: Tensor, finish: Finish, *, workspace: Workspace | None = None, name: str = ""
) -> Tensor:
    """A transposed convolution of stride 2, the resampling filter with a gain of 4, and all that follows.

    Args:
        x: (B, I, h, w), styled.
        weight: (I, O, 3, 3), as `conv_transpose2d` takes it.
        taps: (4,).
        finish: what follows.
        workspace: memory for the compiled form.
        name: of the result in the workspace.

    Returns:
        (B, O, 2h, 2w) in x's precision.
    """
    if workspace is None:
        return _styled_conv2d_up_ref(x, weight, taps, finish)
    return _styled_conv2d_up_compiled(x, weight, taps, finish, workspace, name)


def conv2d(x: Tensor, weight: Tensor) -> Tensor:
    """A convolution that keeps the size: x (B, I, h, w), weight (O, I, k, k) with k odd -> (B, O, h, w)."""
    return F.conv2d(x, weight, padding=weight.shape[-1] // 2)


def to_rgb(x: Tensor, paint: Paint) -> None:
    """Paints a picture from activations (B, C, h, w) that are not styled."""
    _to_rgb_ref(x, paint)


def upsample2d(x: Tensor, taps: Tensor) -> Tensor:
    """Doubles a picture: zeros between the pixels, then the filter; (B, C, h, w) -> (B, C, 2h, 2w)."""
    kernel = torch.outer(taps, taps).to(x.dtype).expand(x.shape[1], 1, 4, 4)
    return F.conv_transpose2d(x, kernel, stride=2, padding=1, groups=x.shape[1])


def rgb_to_yuv420(image: Tensor, *, compiled: bool = False) -> Tensor:
    """RGB to planar YUV 4:2:0, ITU-R BT.709, limited range, 8 bit, as encoders take it.

    Args:
        image: (B, 3, H, W) nominally in [-1, 1], clamped; H and W even.
        compiled: take the kernel.

    Returns:
        (B, H · W · 3 / 2) uint8: the planes Y (H, W), U and V (H / 2, W / 2), one after the other. Chroma lies where
        players look for it: on the even columns, midway between two rows (ITU-T H.264, annex E, type 0). It is weighted
        1 : 2 : 1 over the columns around, the edge repeated, and averaged over the rows.

    Raises:
        StyleGANError: a size is odd.
    """
    if image.ndim != 4 or image.shape[1] != 3 or image.shape[2] % 2 or image.shape[3] % 2:
        raise StyleGANError(f"pictures of {tuple(image.shape)} were given; YUV 4:2:0 takes (batch, 3, even, even)")
    return kernels.rgb_to_yuv420(image.float().contiguous()) if compiled else _rgb_to_yuv420_ref(image)


def _styled_conv2d_ref(x: Tensor, weight: Tensor, finish: Finish, paint: Paint | None) -> Tensor:
    return _finish_ref_(conv2d(x, weight), finish, paint)


def _styled_conv2d_up_ref(x: Tensor, weight: Tensor, taps: Tensor, finish: Finish) -> Tensor:
    x = F.conv_transpose2d(x, weight, stride=2)  # [B, O, 2h+1, 2w+1]
    # conv2d correlates, the filter convolves.
    kernel = torch.outer(taps, taps).flip(0, 1).to(x.dtype).expand(x.shape[1], 1, 4, 4)
    kernel = kernel.contiguous(memory_format=torch.channels_last)
    return _finish_ref_(F.conv2d(x, kernel, padding=1, groups=x.shape[1]), finish, None)


def _finish_ref_(x: Tensor, finish: Finish, paint: Paint | None) -> Tensor:
    scale, bias = finish.scale.to(x.dtype), finish.bias.to(x.dtype)
    torch.addcmul(bias.view(1, -1, 1, 1), x, scale[:, :, None, None], out=x)
    if finish.noise is not None:
        x.add_((finish.noise * finish.noise_gain).to(x.dtype))
    F.leaky_relu_(x, 0.2)
    if finish.clamp is not None:
        x.clamp_(-finish.clamp, finish.clamp)
    if paint is not None:
        _to_rgb_ref(x, paint)
    return x if finish.style is None else x.mul_(finish.style.to(x.dtype)[:, :, None, None])


def _to_rgb_ref(x: Tensor, paint: Paint) -> None:
    batch, _, height, width = x.shape
    pixels = x.permute(0, 2, 3, 1).reshape(batch, height * width, -1)  # [B, hw, C], a view of a channels-last x
    image = torch.bmm(paint.brush.to(x.dtype), pixels.transpose(1, 2)).view(batch, 3, height, width).to(paint.image)
    image += paint.bias.view(1, 3, 1, 1)
    if paint.clamp is not None:
        image.clamp_(-paint.clamp, paint.clamp)
    if paint.skip is not None:
        image += upsample2d(paint.skip, paint.taps)
    paint.image.copy_(image)


def _rgb_to_yuv420_ref(image: Tensor) -> Tensor:
    unit = image.float().mul(0.5).add_(0.5).nan_to_num_(0.0).clamp_(0, 1)
    luma = torch.tensor([0.2126, 0.7152, 0.0722], device=image.device).view(1, 3, 1, 1)
    even, odd = unit[..., 0::2], unit[..., 1::2]
    before = torch.cat([even[..., :1], odd[..., :-1]], dim=-1)
    around = (before + 2 * even + odd) / 4  # [B, 3, H, W / 2]
    small = (around[:, :, 0::2] + around[:, :, 1::2]) / 2
    bright = (small * luma).sum(1)
    planes = (
        16 + 219 * (unit * luma).sum(1),
        128 + 224 / (2 * (1 - 0.0722)) * (small[:, 2] - bright),
        128 + 224 / (2 * (1 - 0.2126)) * (small[:, 0] - bright),
    )
    return torch.cat([(plane + 0.5).floor_().to(torch.uint8).flatten(1) for plane in planes], dim=1)


def _styled_conv2d_compiled(
    x: Tensor, weight: Tensor, finish: Finish, paint: Paint | None, workspace: Workspace, name: str | None
) -> Tensor | None:
    batch, _, height, width = x.shape
    channels = len(weight)
    x = x.contiguous(memory_format=torch.channels_last)
    y = None if name is None else workspace.activations(name, (batch, channels, height, width), x.dtype)
    band = max(2, BAND_BYTES // (width * channels * x.itemsize))  # rows
    if batch * height <= band:
        _finish_compiled(conv2d(x, weight), y, 0, height, finish, paint)
        return y
    for index in range(batch):
        sample = x[index : index + 1]
        own_finish, own_paint = finish.sample(index), None if paint is None else paint.sample(index)
        for row in range(0, height, band):
            end = min(row + band, height)
            target = None if y is None else y[index : index + 1, :, row:end]
            _finish_compiled(_rows_of_conv2d(sample, weight, row, end), target, row, height, own_finish, own_paint)
    return y


def _rows_of_conv2d(x: Tensor, weight: Tensor, start: int, stop: int) -> Tensor:
    """Rows start to stop - 1 of `conv2d` of one sample."""
    height, reach = x.shape[2], weight.shape[-1] // 2
    first, last = max(start - reach, 0), min(stop + reach, height)
    edge = start < reach or stop > height - reach  # zeros are needed above or below; what they spoil is left out
    rows = F.conv2d(x[:, :, first:last], weight, padding=(reach if edge else 0, reach))
    return rows[:, :, start - first :][:, :, : stop - start] if edge else rows


def _finish_compiled(
    x: Tensor, y: Tensor | None, first_row: int, height: int, finish: Finish, paint: Paint | None
) -> None:
    kernels.finish(
        x.contiguous(memory_format=torch.channels_last),
        y,
        first_row,
        height,
        finish.scale,
        finish.bias,
        finish.noise,
        finish.noise_gain,
        kernels.unlimited(finish.clamp),
        finish.style,
        None if paint is None else paint.brush,
        None if paint is None else paint.bias,
        kernels.unlimited(None if paint is None else paint.clamp),
        None if paint is None else paint.skip,
        None if paint is None else paint.taps,
        None if paint is None else paint.image,
    )


def _styled_conv2d_up_compiled(
    x: Tensor, weight: Tensor, taps: Tensor, finish: Finish, workspace: Workspace, name: str
) -> Tensor:
    # One matrix product multiplies every pixel with all nine taps, which is no work in vain: one core of a Xeon with
    # AMX takes 1.7 ms for 128 to 64 channels at 256² in bfloat16, against 8 ms for the transposed convolution and 6 ms
    # for four phases with the resampling filter multiplied in; in float32 16.5, 17 and 56 ms.
    batch, inputs, height, width = x.shape
    channels = weight.shape[1]
    pixels = x.permute(0, 2, 3, 1).reshape(batch, height * width, inputs)
    matrix = weight.permute(0, 2, 3, 1).reshape(inputs, 9 * channels)  # a view of a channels-last weight
    y = workspace.activations(name, (batch, channels, 2 * height, 2 * width), x.dtype)
    reversed_taps = taps.flip(0)
    band = max(4, BAND_BYTES // (width * 9 * channels * x.itemsize))  # rows
    if batch * height <= band:
        products = workspace.take("products", (batch, height, width, 9, channels), x.dtype)
        torch.mm(pixels.reshape(-1, inputs), matrix, out=products.view(-1, 9 * channels))
        _columns_compiled(products, y, 0, 0, height, reversed_taps, finish)
        return y
    products = workspace.take("products", (1, band, width, 9, channels), x.dtype)
    for index in range(batch):
        own_y, own_finish = y[index : index + 1], finish.sample(index)
        first, end, done = 0, 0, 0  # rows first to end - 1 of the input are in `products`; those before `done` are out
        while done < height:
            if end:  # the rows that are to come have these for neighbours
                products[:, :2] = products[:, end - first - 2 : end - first]
                first = end - 2
            start, end = end, min(first + band, height)
            rows = products[0, start - first : end - first].view(-1, 9 * channels)
            torch.mm(pixels[index, start * width : end * width], matrix, out=rows)
            stop = end if end == height else end - 1
            _columns_compiled(products[:, : end - first], own_y, first, done, stop, reversed_taps, own_finish)
            done = stop
    return y


def _columns_compiled(
    products: Tensor, y: Tensor, first_row: int, start: int, stop: int, taps: Tensor, finish: Finish
) -> None:
    clamp = kernels.unlimited(finish.clamp)
    kernels.columns(
        products, y, first_row, start, stop, taps, finish.scale, finish.bias, finish.noise, finish.noise_gain, clamp,
        finish.style,
    )  # fmt: skip
