"""The operations of StyleGAN2's synthesis, each a public function with one line of dispatch to an implementation.

Conventions: activations are (B, C, H, W), channels-last for speed; `style` and `scale` are (B, C) float32. Each layer
multiplies its result by the `style` of the next convolution, so that a convolution gets its input already styled.
`taps` (4,) float32 is the resampling filter times 2, which is its gain along one axis. With a `workspace` the compiled
kernels run and use its memory; without one the reference runs. A result in a workspace is valid until the same name is
taken again.

Convolutions are dense: instead of a filter for each sample of a batch (a grouped convolution), the input is multiplied
by the style and the output by the demodulation, and all samples share one filter. By linearity the result is the same
(Karras et al. 2020, arXiv:1912.04958, section 2.2 and equations 1-3), and it is one large matrix product instead of
many small ones.

Sources: up-sampling as in Karras et al. 2018 (arXiv:1812.04948, section 2) with the filter of Zhang 2019
(arXiv:1904.11486). Colours as in ITU-R BT.709-6, sections 3 and 4.
"""

import dataclasses
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan_ops import choice, cpu_ops, cuda_ops, kernels, selfcheck
from stylegan_ops.convolution import conv2d, conv_transpose2d
from stylegan_ops.errors import StyleGANError
from stylegan_ops.fused import Finish, ToRGB
from stylegan_ops.memory import Workspace
from stylegan_ops.stylegan3 import filtered as filtered  # registers its operation


@dataclass(frozen=True)
class OpStatus:
    """The implementation that runs for an operation, and why; `audioreactive doctor` shows it."""

    op: str
    implementation: str
    reason: str


def op_status() -> list[OpStatus]:
    """The implementation of each public operation of this module: on the CPU, and on a GPU if there is one.

    For the default precisions: float32 on the CPU, float16 on a GPU.
    """
    places = [(torch.device("cpu"), "CPU", torch.float32)]
    gpus = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    places += [(torch.device("cuda", index), torch.cuda.get_device_name(index), torch.float16) for index in gpus]
    status = []
    for device, place, dtype in places:
        try:
            implementation = choice.wanted_implementation(None)
            use = choice.use_compiled(implementation, device, dtype)
            find, _ = choice.KERNELS[device.type]
            reason = f"{choice.VARIABLE}={implementation}" if implementation == "reference" else find(device).reason
        except StyleGANError as error:
            use, reason = False, str(error)
        wrong = selfcheck.wrong(device, dtype) if use else []
        status += [
            OpStatus(op, "reference", f"{place}, the compiled form is wrong here")
            if op in wrong
            else OpStatus(op, "compiled" if use else "reference", f"{place}, {reason}")
            for op, found in selfcheck.OPS.items()
            if device.type in found.on
        ]
    plain = "plain PyTorch; of residual networks alone"
    return [*status, *(OpStatus(op, "reference", plain) for op in ("conv2d", "to_rgb", "upsample2d"))]


def styled_conv2d(
    x: Tensor,
    weight: Tensor,
    finish: Finish,
    rgb: ToRGB | None = None,
    *,
    keep: bool = True,
    workspace: Workspace | None = None,
    name: str = "",
) -> Tensor | None:
    """A convolution that keeps the size, the steps after it, and the toRGB step of the block.

    Args:
        x: (B, I, h, w), styled.
        weight: (O, I, k, k), k odd.
        finish: the steps after the convolution.
        rgb: the toRGB step, which reads the result before the next convolution's style is multiplied in.
        keep: whether the activations are needed, besides the picture.
        workspace: memory for the compiled kernels.
        name: name of the result in the workspace.

    Returns:
        (B, O, h, w) in x's precision; None if they are not kept.
    """
    if workspace is None or not _trusted("styled_conv2d", x):
        return _styled_conv2d_ref(x, weight, finish, rgb)
    return _styled_conv2d_compiled(x, weight, finish, rgb, workspace, name if keep else None)


def _styled_conv2d_compiled(
    x: Tensor, weight: Tensor, finish: Finish, rgb: ToRGB | None, workspace: Workspace, name: str | None
) -> Tensor | None:
    compiled = cuda_ops.styled_conv2d if _on_gpu(x) else cpu_ops.styled_conv2d
    return compiled(x, weight, finish, rgb, workspace, name)


def styled_conv2d_up(
    x: Tensor, weight: Tensor, taps: Tensor, finish: Finish, *, workspace: Workspace | None = None, name: str = ""
) -> Tensor:
    """A transposed convolution of stride 2, the resampling filter with a gain of 4, and the steps after it.

    Args:
        x: (B, I, h, w), styled.
        weight: (I, O, 3, 3), as `conv_transpose2d` takes it.
        taps: (4,).
        finish: the steps after the convolution.
        workspace: memory for the compiled kernels.
        name: name of the result in the workspace.

    Returns:
        (B, O, 2h, 2w) in x's precision.
    """
    if workspace is None or not _trusted("styled_conv2d_up", x):
        return _styled_conv2d_up_ref(x, weight, taps, finish)
    return _styled_conv2d_up_compiled(x, weight, taps, finish, workspace, name)


def _styled_conv2d_up_compiled(
    x: Tensor, weight: Tensor, taps: Tensor, finish: Finish, workspace: Workspace, name: str
) -> Tensor:
    compiled = cuda_ops.styled_conv2d_up if _on_gpu(x) else cpu_ops.styled_conv2d_up
    return compiled(x, weight, taps, finish, workspace, name)


def styled_conv2d_phases(
    x: Tensor, weight: Tensor, finish: Finish, *, workspace: Workspace | None = None, name: str = ""
) -> Tensor:
    """`styled_conv2d_up` computed another way: one convolution for each of the four phases of the output.

    It takes four times as many multiplications, in one convolution of four times the channels, and no filter after it.

    Args:
        x: (B, I, h, w), styled.
        weight: (4 · O, I, 3, 3), of `phases`.
        finish: the steps after the convolution.
        workspace: memory for the compiled kernels, which only GPUs have.
        name: name of the result in the workspace.

    Returns:
        (B, O, 2h, 2w) in x's precision.
    """
    if workspace is None or not _on_gpu(x) or not _trusted("styled_conv2d_phases", x):
        return _styled_conv2d_phases_ref(x, weight, finish)
    return cuda_ops.styled_conv2d_phases(x, weight, finish, workspace, name)


def phases(weight: Tensor, taps: Tensor) -> Tensor:
    """Weights of `styled_conv2d_phases` that give the result of `styled_conv2d_up` with weight (O, I, 3, 3), taps (4,).

    Row 2m + p of the result is a sum over rows m - 1 to m + 1 of the input: the transposed convolution puts tap row k
    of input row i at row 2i + k, and the filter takes rows 2m + p - 1 to 2m + p + 2 of that.
    """
    along = torch.zeros(2, 3, 3, dtype=weight.dtype, device=weight.device)  # [phase, row of the input, tap row]
    for phase, row, tap in itertools.product(range(2), range(3), range(3)):
        at = tap + 2 * (row - 1) + 1 - phase
        if 0 <= at < 4:
            along[phase, row, tap] = taps[3 - at]  # the filter convolves
    filters = torch.einsum("pek,qfl,oikl->pqoief", along, along, weight)
    return filters.reshape(-1, *weight.shape[1:])


def to_rgb(x: Tensor, rgb: ToRGB) -> None:
    """Write `rgb.image` from activations (B, C, h, w) that are not styled."""
    _to_rgb_ref(x, rgb)


def upsample2d(x: Tensor, taps: Tensor) -> Tensor:
    """Double a picture, (B, C, h, w) -> (B, C, 2h, 2w): zeros between the pixels, then the filter."""
    kernel = torch.outer(taps, taps).to(x.dtype).expand(x.shape[1], 1, 4, 4)
    return conv_transpose2d(x, kernel, padding=1, groups=x.shape[1])


def rgb_to_yuv420(image: Tensor, *, compiled: bool = False) -> Tensor:
    """Convert RGB to planar YUV 4:2:0 for encoders: ITU-R BT.709, limited range, 8 bit.

    Args:
        image: (B, 3, H, W) nominally in [-1, 1], clamped; H and W even.
        compiled: use the kernel for the picture's device.

    Returns:
        (B, H · W · 3 / 2) uint8: the planes Y (H, W), U and V (H / 2, W / 2), one after the other. Chroma is
        sampled where players expect it, on the even columns and midway between two rows (ITU-T H.264, annex E, type 0):
        weighted 1 : 2 : 1 over neighbouring columns, with the edge repeated, and averaged over two rows.

    Raises:
        StyleGANError: a size is odd.
    """
    if image.ndim != 4 or image.shape[1] != 3 or image.shape[2] % 2 or image.shape[3] % 2:
        raise StyleGANError(f"pictures of {tuple(image.shape)} were given; YUV 4:2:0 takes (batch, 3, even, even)")
    use = compiled and _trusted("rgb_to_yuv420", image)
    return kernels.rgb_to_yuv420(image.float().contiguous()) if use else _rgb_to_yuv420_ref(image)


def _on_gpu(x: Tensor) -> bool:
    return x.is_cuda


def _trusted(op: str, x: Tensor) -> bool:
    return selfcheck.trusted(op, "cuda" if _on_gpu(x) else x.device.type, x.device, x.dtype)


def _styled_conv2d_ref(x: Tensor, weight: Tensor, finish: Finish, rgb: ToRGB | None) -> Tensor:
    return _finish_ref_(conv2d(x, weight), finish, rgb)


def _styled_conv2d_up_ref(x: Tensor, weight: Tensor, taps: Tensor, finish: Finish) -> Tensor:
    x = conv_transpose2d(x, weight)  # [B, O, 2h + 1, 2w + 1]
    # conv2d correlates, the filter convolves.
    kernel = torch.outer(taps, taps).flip(0, 1).to(x.dtype).expand(x.shape[1], 1, 4, 4)
    kernel = kernel.contiguous(memory_format=torch.channels_last)
    return _finish_ref_(conv2d(x, kernel, (1, 1), groups=x.shape[1]), finish, None)


def _styled_conv2d_phases_ref(x: Tensor, weight: Tensor, finish: Finish) -> Tensor:
    batch, _, height, width = x.shape
    found = conv2d(x, weight).view(batch, 2, 2, -1, height, width)
    y = found.permute(0, 3, 4, 1, 5, 2).reshape(batch, -1, 2 * height, 2 * width)
    return _finish_ref_(y.contiguous(memory_format=torch.channels_last), finish, None)


def _finish_ref_(x: Tensor, finish: Finish, rgb: ToRGB | None) -> Tensor:
    if torch.is_grad_enabled():
        return _finish_ref(x, finish, rgb)
    scale, bias = finish.scale.to(x.dtype), finish.bias.to(x.dtype)
    torch.addcmul(bias.view(1, -1, 1, 1), x, scale[:, :, None, None], out=x)
    if finish.noise is not None:
        x.add_((finish.noise * finish.noise_gain).to(x.dtype))
    F.leaky_relu_(x, 0.2)
    if finish.clamp is not None:
        x.clamp_(-finish.clamp, finish.clamp)
    if rgb is not None:
        _to_rgb_ref(x, rgb)
    return x if finish.style is None else x.mul_(finish.style.to(x.dtype)[:, :, None, None])


def _finish_ref(x: Tensor, finish: Finish, rgb: ToRGB | None) -> Tensor:
    """The same without overwriting x, whose values gradients need."""
    x = x * finish.scale.to(x.dtype)[:, :, None, None] + finish.bias.to(x.dtype).view(1, -1, 1, 1)
    if finish.noise is not None:
        x = x + (finish.noise * finish.noise_gain).to(x.dtype)
    x = F.leaky_relu(x, 0.2)
    if finish.clamp is not None:
        x = x.clamp(-finish.clamp, finish.clamp)
    if rgb is not None:
        _to_rgb_ref(x, rgb)
    return x if finish.style is None else x * finish.style.to(x.dtype)[:, :, None, None]


def _to_rgb_ref(x: Tensor, rgb: ToRGB) -> None:
    batch, _, height, width = x.shape
    pixels = x.permute(0, 2, 3, 1).reshape(batch, height * width, -1)  # [B, hw, C], a view of a channels-last x
    image = torch.bmm(rgb.weight.to(x.dtype), pixels.transpose(1, 2)).view(batch, 3, height, width).to(rgb.image)
    image += rgb.bias.view(1, 3, 1, 1)
    if rgb.clamp is not None:
        image.clamp_(-rgb.clamp, rgb.clamp)
    if rgb.skip is not None:
        image += upsample2d(rgb.skip, rgb.taps)
    rgb.image.copy_(image)


def _rgb_to_yuv420_ref(image: Tensor) -> Tensor:
    unit = image.float().mul(0.5).add_(0.5).nan_to_num_(0.0).clamp_(0, 1)
    # Filled on the device, because a CUDA graph cannot record copies from host memory.
    luma = torch.stack([image.new_full((), share, dtype=torch.float32) for share in (0.2126, 0.7152, 0.0722)])
    luma = luma.view(1, 3, 1, 1)
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


_SHAPES = (
    # batch, inputs, outputs, height, width; odd sides, few and many channels, a wide canvas
    (1, 3, 5, 3, 7),
    (2, 8, 24, 4, 5),
    (1, 2, 32, 2, 131),
)
_BANDS = (1, 2, 128, 45, 100)
"""Shape whose output, on a CPU, is made in bands that the cache holds."""


def _shapes(trial: selfcheck.Trial) -> Iterator[tuple[int, int, int, int, int]]:
    yield from _SHAPES
    if not _on_gpu(trial.normal(1)):
        yield _BANDS


def _trial_finish(trial: selfcheck.Trial, batch: int, channels: int, height: int, width: int, at: int) -> Finish:
    """Steps after a convolution, with different parts missing in each of the cases."""
    noise = (trial.normal(1, 1, height, width), trial.normal(batch, 1, height, width), None, None)[at]
    scale, bias = trial.normal(batch, channels).abs() / 4, trial.normal(channels)
    style = trial.normal(batch, channels) if at != 1 else None
    return Finish(scale, bias, noise, 0.7, None if at == 2 else 1.5, style)


def _free(finish: Finish) -> Finish:
    return dataclasses.replace(finish, clamp=None, style=None)


@selfcheck.compiled("styled_conv2d", on=("cpu", "cuda"))
def _check_styled_conv2d(trial: selfcheck.Trial) -> None:
    taps = torch.tensor([0.1, 0.4, 0.9, 0.6], device=trial.device)
    for at, (batch, inputs, outputs, rows, columns) in enumerate(_shapes(trial)):
        height, width = (2 * rows, 2 * columns) if at else (rows, columns)
        x = trial.normal(batch, inputs, height, width).to(trial.dtype)
        weight = (trial.normal(outputs, inputs, 3, 3) / inputs**0.5).to(trial.dtype)
        finish = _trial_finish(trial, batch, outputs, height, width, at)
        skip = trial.normal(batch, 3, rows, columns) if at else None
        images = [torch.full((batch, 3, height, width), torch.nan, device=trial.device) for _ in range(2)]
        rgb_weight, bias = trial.normal(batch, 3, outputs) / outputs**0.5, trial.normal(3)
        rgbs = [ToRGB(rgb_weight, bias, 1.5, skip, taps, image) for image in images]
        found = _styled_conv2d_compiled(x, weight, finish, rgbs[0], Workspace(trial.device), "x")
        wanted = _styled_conv2d_ref(x.float(), weight.float(), finish, rgbs[1])
        if found is None:
            raise selfcheck.Difference("there is no result")
        free = _styled_conv2d_ref(x.float(), weight.float(), _free(finish), None)
        trial.compare(found, wanted, largest=free)
        trial.compare(images[0], images[1], largest=free)
        alone = dataclasses.replace(rgbs[0], image=torch.full_like(images[0], torch.nan))
        _styled_conv2d_compiled(x, weight, finish, alone, Workspace(trial.device), None)
        trial.compare(alone.image, images[0], rounded=False)


@selfcheck.compiled("styled_conv2d_up", on=("cpu", "cuda"))
def _check_styled_conv2d_up(trial: selfcheck.Trial) -> None:
    taps = torch.tensor([0.1, 0.4, 0.9, 0.6], device=trial.device)
    for at, (batch, inputs, outputs, height, width) in enumerate(_shapes(trial)):
        x = trial.normal(batch, inputs, height, width).to(trial.dtype)
        weight = (trial.normal(inputs, outputs, 3, 3) / inputs**0.5).to(trial.dtype)
        weight = weight.contiguous(memory_format=torch.channels_last)
        finish = _trial_finish(trial, batch, outputs, 2 * height, 2 * width, at)
        found = _styled_conv2d_up_compiled(x, weight, taps, finish, Workspace(trial.device), "x")
        wanted = _styled_conv2d_up_ref(x.float(), weight.float(), taps, finish)
        largest = _styled_conv2d_up_ref(x.float(), weight.float(), taps, _free(finish))
        trial.compare(found, wanted, largest=largest)


@selfcheck.compiled("styled_conv2d_phases", on=("cuda",))
def _check_styled_conv2d_phases(trial: selfcheck.Trial) -> None:
    for at, (batch, inputs, outputs, height, width) in enumerate(_SHAPES):
        x = trial.normal(batch, inputs, height, width).to(trial.dtype)
        weight = (trial.normal(4 * outputs, inputs, 3, 3) / inputs**0.5).to(trial.dtype)
        finish = _trial_finish(trial, batch, outputs, 2 * height, 2 * width, at)
        found = cuda_ops.styled_conv2d_phases(x, weight, finish, Workspace(trial.device), "x")
        wanted = _styled_conv2d_phases_ref(x.float(), weight.float(), finish)
        trial.compare(found, wanted, largest=_styled_conv2d_phases_ref(x.float(), weight.float(), _free(finish)))


@selfcheck.compiled("rgb_to_yuv420", on=("cpu", "cuda"), precise=True)
def _check_rgb_to_yuv420(trial: selfcheck.Trial) -> None:
    for batch, height, width in ((1, 2, 2), (2, 6, 10), (1, 2, 262)):
        image = trial.normal(batch, 3, height, width)
        image[0, 0, 0, 0] = torch.nan
        found, wanted = kernels.rgb_to_yuv420(image), _rgb_to_yuv420_ref(image)
        mean, largest = selfcheck.mean_and_largest(found, wanted)
        if largest > 1 or mean > 0.01:  # a sum that is nearly half way between two levels may be rounded either way
            raise selfcheck.Difference(f"levels differ by up to {largest:g}, in the mean by {mean:.2g}")
