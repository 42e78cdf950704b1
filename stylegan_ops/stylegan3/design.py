"""Sizes, sampling rates and filters of a StyleGAN3, from the few numbers that a training run chooses.

Files hold the result; this module is needed for networks with random weights and for canvases of another size.

Source: Karras et al. 2021, "Alias-Free Generative Adversarial Networks" (arXiv:2106.12423), section 3 and appendix C.

Conventions: sizes are (width, height) in samples; rates and frequencies count in units of the picture's width.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Filter = NDArray[np.float32]


@dataclass(frozen=True)
class Plan:
    """Numbers that a training run chooses; the defaults are those of the published configuration T."""

    img_resolution: int
    channel_base: int = 32768
    channel_max: int = 512
    num_layers: int = 14
    num_critical: int = 2
    first_cutoff: float = 2.0
    first_stopband: float = 2**2.1
    last_stopband_rel: float = 2**0.3
    margin_size: int = 10
    filter_size: int = 6
    conv_kernel: int = 3
    use_radial_filters: bool = False


@dataclass(frozen=True)
class Stage:
    """Signal behind one layer."""

    cutoff: float
    half_width: float
    rate: int
    size: int
    channels: int


def stages(plan: Plan, img_channels: int = 3) -> list[Stage]:
    """Signals behind the layers 0 to `num_layers`; the last one is the picture."""
    last_cutoff = plan.img_resolution / 2
    last_stopband = last_cutoff * plan.last_stopband_rel
    found = []
    for layer in range(plan.num_layers + 1):
        progress = min(layer / (plan.num_layers - plan.num_critical), 1.0)
        cutoff = plan.first_cutoff * (last_cutoff / plan.first_cutoff) ** progress
        stopband = plan.first_stopband * (last_stopband / plan.first_stopband) ** progress
        rate = 2 ** math.ceil(math.log2(min(2 * stopband, plan.img_resolution)))
        ends = layer >= plan.num_layers - 1
        found.append(
            Stage(
                cutoff=cutoff,
                half_width=max(stopband, rate / 2) - cutoff,
                rate=rate,
                size=plan.img_resolution if ends else rate + 2 * plan.margin_size,
                channels=img_channels
                if layer == plan.num_layers
                else round(min(plan.channel_base / 2 / cutoff, plan.channel_max)),
            )
        )
    return found


def lowpass(taps: int, cutoff: float, half_width: float, rate: float, *, radial: bool = False) -> Filter | None:
    """Low-pass filter of unit sum: (taps,), or (taps, taps) if it is radial; None for a single tap.

    Args:
        taps: number of taps along one axis.
        cutoff: frequency up to which signals pass.
        half_width: half the width of the transition band.
        rate: sampling rate at which the filter runs.
        radial: whether the filter is the same in every direction, which a separable one is not.
    """
    if taps == 1:
        return None
    from scipy import signal  # takes a second, and only models of StyleGAN3 need it

    if not radial:
        return np.asarray(signal.firwin(taps, cutoff, width=2 * half_width, fs=rate), np.float32)
    from scipy import special

    place = (np.arange(taps) - (taps - 1) / 2) / rate
    radius = np.hypot(*np.meshgrid(place, place))
    values = special.j1(2 * np.pi * cutoff * radius) / (np.pi * radius)
    beta = signal.kaiser_beta(signal.kaiser_atten(taps, 2 * half_width / (rate / 2)))
    window = np.kaiser(taps, beta)
    values *= np.outer(window, window)
    return np.asarray(values / values.sum(), np.float32)


def centred_padding(
    in_size: tuple[int, int],
    out_size: tuple[int, int],
    *,
    kernel: int,
    up: int,
    down: int,
    up_taps: int,
    down_taps: int,
) -> tuple[int, int, int, int]:
    """Padding (left, right, top, bottom) between a layer's convolution and its filters; negative numbers crop.

    It keeps the picture's middle in its place, whatever the sizes.
    """
    found = []
    for before, after in zip(in_size, out_size, strict=True):
        total = (after - 1) * down + 1 - (before + kernel - 1) * up + up_taps + down_taps - 2
        first = (total + up) // 2
        found += [first, total - first]
    left, right, top, bottom = found
    return left, right, top, bottom
