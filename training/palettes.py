"""Palettes: five colours from dark to light, in OKLab, as smooth functions of a few normal numbers.

OKLab (Björn Ottosson 2020, https://bottosson.github.io/posts/oklab/): equal steps look equally large, and hue,
chroma and lightness can be set apart.
"""

import torch
from torch import Tensor

NUMBERS = 16
"""Normal numbers that make one palette."""
STOPS = 5

_LIGHTNESS = torch.tensor(
    [
        [0.13, 0.27, 0.47, 0.69, 0.92],
        [0.08, 0.15, 0.32, 0.62, 0.90],  # mostly night
        [0.20, 0.42, 0.64, 0.81, 0.96],  # airy
        [0.10, 0.34, 0.42, 0.60, 0.95],  # full middle, few lights
    ]
)
_CHROMA = torch.tensor(
    [
        [0.055, 0.115, 0.175, 0.145, 0.045],
        [0.070, 0.150, 0.215, 0.190, 0.090],  # rich
        [0.035, 0.055, 0.090, 0.190, 0.060],  # quiet, one strong light colour
        [0.050, 0.170, 0.130, 0.080, 0.030],  # strong in the shadows
    ]
)


def palettes(numbers: Tensor) -> Tensor:
    """Numbers (B, 16), standard normal -> (B, 5, 3) OKLab: lightness 0 to 1 rising, a, b.

    Hues are directions in the plane of a and b, so that none is an end.
    """
    key, accent, light = (_saturated(numbers[:, at : at + 2]) for at in (0, 2, 4))
    # Shadows and middle share the key, the accent owns one bright stop, lights lean to the third colour: two or three
    # hues a palette, never the whole circle.
    shadow = _saturated(key + 0.55 * light)
    hues = torch.stack([shadow, key, _saturated(key + 0.5 * accent), accent, light], 1)  # (B, 5, 2)
    # Towards violet: greens fill a third of OKLab's circle, and get less of it.
    a, b = hues[..., 0] + 0.18, hues[..., 1] - 0.08
    chroma = torch.softmax(2.0 * numbers[:, 8:12], 1) @ _CHROMA.to(numbers)
    lightness = torch.softmax(1.6 * numbers[:, 12:16], 1) @ _LIGHTNESS.to(numbers)
    return torch.stack([lightness, a * chroma, b * chroma], -1)


def _saturated(direction: Tensor) -> Tensor:
    """(B, 2), of any length -> a length of nearly one, but for the shortest."""
    return direction * torch.rsqrt(direction.square().sum(1, keepdim=True) + 0.2)


def ramp(tone: Tensor, stops: Tensor) -> Tensor:
    """The colour of each tone: tone (B, h, w) from 0 to 1, stops (B, 5, 3) -> (B, 3, h, w).

    Piecewise with eased steps: flat at the stops, so that their colours own the picture and mixtures are borders.
    """
    place = tone.clamp(0, 1) * (STOPS - 1)
    colour = stops[:, 0, :, None, None].expand(-1, -1, *tone.shape[1:]).clone()
    for index in range(STOPS - 1):
        share = (place - index).clamp(0, 1)
        share = share * share * (3 - 2 * share)
        step = (stops[:, index + 1] - stops[:, index])[:, :, None, None]
        colour.addcmul_(share[:, None], step)
    return colour


def oklab_to_rgb(lab: Tensor) -> Tensor:
    """(B, 3, h, w) OKLab -> (B, 3, h, w) sRGB in [0, 1]; colours outside lose chroma softly before they are clipped."""
    lightness, a, b = lab.unbind(1)
    lightness = lightness.clamp(0, 1)
    # sRGB holds less chroma near black and white.
    room = (0.02 + 1.25 * lightness * (1.12 - lightness)).clamp_min(0.02)
    chroma = torch.sqrt(a * a + b * b + 1e-9)
    limit = 0.42 * room
    scale = limit * torch.tanh(chroma / limit) / chroma
    a, b = a * scale, b * scale
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    red = 4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short
    green = -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short
    blue = -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short
    linear = torch.stack([red, green, blue], 1).clamp(0, 1)
    return torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear.clamp_min(1e-8) ** (1 / 2.4) - 0.055)
