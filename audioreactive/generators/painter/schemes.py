"""Colour schemes of the painter, and the colours that a picture takes from them.

A scheme has five colours in OKLab's polar form (Björn Ottosson, 2020; a perceptual space): dark, shadow, body,
accent and light. Between them hues turn as directions, so that what lies between two vivid colours is vivid.
"""

from __future__ import annotations

import functools
import math
from typing import Final, NamedTuple

import torch

SCHEMES: Final[dict[str, tuple[tuple[float, float, float], ...]]] = {
    "ember night": ((0.10, 0.03, 280), (0.27, 0.11, 315), (0.56, 0.21, 32), (0.77, 0.17, 66), (0.97, 0.05, 95)),
    "abyss": ((0.09, 0.03, 250), (0.29, 0.09, 255), (0.57, 0.13, 215), (0.82, 0.14, 185), (0.98, 0.04, 180)),
    "orchid": ((0.10, 0.04, 300), (0.28, 0.13, 310), (0.56, 0.23, 345), (0.78, 0.15, 15), (0.97, 0.04, 60)),
    "malachite and gold": (
        (0.09, 0.025, 200), (0.27, 0.07, 182), (0.52, 0.11, 170), (0.80, 0.15, 86), (0.97, 0.06, 98)),
    "ultraviolet and lime": (
        (0.09, 0.04, 285), (0.29, 0.17, 285), (0.53, 0.22, 305), (0.86, 0.19, 130), (0.98, 0.07, 112)),
    "teal and copper": (
        (0.09, 0.025, 230), (0.30, 0.07, 218), (0.56, 0.10, 205), (0.71, 0.17, 48), (0.96, 0.05, 75)),
    "blood and ivory": ((0.07, 0.02, 15), (0.24, 0.10, 22), (0.48, 0.20, 27), (0.67, 0.21, 36), (0.97, 0.04, 80)),
    "ice and rose": ((0.11, 0.04, 265), (0.33, 0.11, 264), (0.62, 0.11, 240), (0.75, 0.16, 5), (0.98, 0.02, 220)),
    "peacock": ((0.09, 0.04, 270), (0.30, 0.15, 268), (0.54, 0.16, 240), (0.79, 0.15, 165), (0.97, 0.08, 105)),
    "indigo and gold": ((0.08, 0.04, 275), (0.25, 0.13, 275), (0.46, 0.20, 278), (0.81, 0.15, 80), (0.98, 0.05, 95)),
    "electric dusk": ((0.09, 0.05, 280), (0.32, 0.18, 292), (0.60, 0.24, 332), (0.80, 0.13, 210), (0.97, 0.04, 200)),
    "graphite and sun": ((0.06, 0.01, 270), (0.23, 0.02, 260), (0.55, 0.03, 250), (0.80, 0.17, 72), (0.98, 0.03, 95)),
    "midnight and amber": (
        (0.08, 0.03, 265), (0.26, 0.09, 262), (0.50, 0.13, 258), (0.76, 0.17, 62), (0.97, 0.05, 85)),
    "ember and ice": ((0.08, 0.03, 20), (0.27, 0.11, 26), (0.54, 0.18, 33), (0.78, 0.12, 215), (0.97, 0.06, 88)),
    "abyss and coral": ((0.08, 0.03, 230), (0.27, 0.07, 215), (0.52, 0.10, 200), (0.70, 0.19, 32), (0.97, 0.04, 175)),
    "violet and gold": ((0.08, 0.04, 300), (0.25, 0.11, 296), (0.46, 0.17, 292), (0.80, 0.16, 84), (0.97, 0.05, 92)),
    "bone and vermilion": ((0.07, 0.01, 60), (0.25, 0.02, 65), (0.55, 0.03, 70), (0.64, 0.22, 31), (0.97, 0.02, 90)),
    "magenta and electric blue": (
        (0.08, 0.05, 285), (0.30, 0.15, 320), (0.55, 0.22, 345), (0.72, 0.15, 240), (0.97, 0.04, 10)),
    "emerald and rose": ((0.08, 0.03, 165), (0.26, 0.07, 162), (0.48, 0.12, 160), (0.72, 0.18, 5), (0.97, 0.05, 110)),
    "arctic and flame": (
        (0.09, 0.03, 250), (0.32, 0.05, 242), (0.62, 0.07, 235), (0.74, 0.18, 48), (0.98, 0.02, 225)),
    "plum and turquoise": (
        (0.08, 0.04, 340), (0.28, 0.10, 352), (0.58, 0.15, 10), (0.78, 0.12, 190), (0.97, 0.06, 62)),
    "bronze and sapphire": (
        (0.08, 0.02, 70), (0.27, 0.06, 68), (0.52, 0.11, 66), (0.62, 0.19, 262), (0.97, 0.06, 95)),
    "indigo and lime": ((0.08, 0.04, 275), (0.26, 0.13, 277), (0.46, 0.19, 280), (0.85, 0.20, 125), (0.98, 0.07, 118)),
    "copper and verdigris": (
        (0.08, 0.02, 45), (0.29, 0.07, 46), (0.58, 0.13, 48), (0.76, 0.11, 178), (0.97, 0.05, 75)),
    "sakura": ((0.11, 0.03, 350), (0.36, 0.08, 355), (0.68, 0.13, 2), (0.84, 0.09, 20), (0.98, 0.02, 60)),
    "deep forest": ((0.07, 0.02, 150), (0.24, 0.06, 150), (0.45, 0.11, 145), (0.79, 0.17, 115), (0.97, 0.06, 105)),
    "sulphur and slate": (
        (0.08, 0.02, 250), (0.27, 0.03, 245), (0.50, 0.04, 230), (0.87, 0.18, 105), (0.98, 0.05, 105)),
    "rust and sky": ((0.08, 0.02, 40), (0.28, 0.08, 40), (0.54, 0.15, 44), (0.78, 0.10, 235), (0.97, 0.03, 220)),
    "lapis": ((0.07, 0.04, 268), (0.25, 0.14, 268), (0.46, 0.20, 264), (0.76, 0.12, 250), (0.98, 0.03, 95)),
    "wine and gold": ((0.07, 0.03, 5), (0.23, 0.09, 8), (0.42, 0.16, 12), (0.79, 0.14, 82), (0.97, 0.06, 92)),
    "northern light": ((0.07, 0.03, 260), (0.25, 0.08, 240), (0.50, 0.13, 165), (0.82, 0.17, 145), (0.97, 0.06, 320)),
    "neon rain": ((0.06, 0.03, 270), (0.25, 0.12, 260), (0.52, 0.19, 255), (0.70, 0.24, 350), (0.97, 0.05, 320)),
    "desert": ((0.10, 0.03, 40), (0.33, 0.08, 45), (0.62, 0.12, 60), (0.72, 0.14, 35), (0.97, 0.04, 85)),
    "moonstone": ((0.09, 0.02, 270), (0.33, 0.03, 265), (0.64, 0.04, 250), (0.82, 0.08, 300), (0.98, 0.02, 220)),
    "jade": ((0.08, 0.02, 175), (0.28, 0.06, 172), (0.56, 0.10, 165), (0.84, 0.10, 150), (0.98, 0.03, 120)),
    "volcano": ((0.05, 0.01, 30), (0.19, 0.05, 25), (0.40, 0.15, 28), (0.72, 0.20, 48), (0.97, 0.09, 95)),
    "cobalt and tangerine": (
        (0.07, 0.04, 265), (0.28, 0.14, 264), (0.50, 0.19, 260), (0.74, 0.18, 55), (0.97, 0.04, 85)),
    "lilac and mint": ((0.10, 0.04, 305), (0.36, 0.10, 305), (0.66, 0.13, 308), (0.86, 0.12, 160), (0.98, 0.03, 150)),
    "noir and ruby": ((0.05, 0.01, 350), (0.20, 0.03, 350), (0.45, 0.04, 355), (0.60, 0.23, 18), (0.97, 0.02, 60)),
    "petrol and peach": (
        (0.08, 0.03, 220), (0.28, 0.06, 215), (0.50, 0.09, 208), (0.83, 0.11, 50), (0.98, 0.03, 70)),
}  # fmt: skip
"""Name -> lightness, chroma and hue in degrees of dark, shadow, body, accent and light."""

STOPS: Final = 9
"""Stops of a ramp of colours."""
VIVID: Final = 0.7
"""How even a walk between schemes is, against how vivid the colours on its way are: where two opposite hues meet,
colours change sqrt(1 + 1 / VIVID) times as fast as on a straight line; midway between hues at right angles they have
0.84 of the chroma of the ends, on a straight line 0.71."""

_TO_LMS: Final = ((0.3963377774, 0.2158037573), (-0.1055613458, -0.0638541728), (-0.0894841775, -1.2914855480))
_TO_RGB: Final = (
    (4.0767416621, -3.3077115913, 0.2309699292),
    (-1.2684380046, 2.6097574011, -0.3413193965),
    (-0.0041960863, -0.7034186147, 1.7076147010),
)


class Colours(NamedTuple):
    """Colours of a picture; the last dimension has three numbers."""

    ramp: torch.Tensor
    """(..., 9, 3) OKLab: dark, shadow, body, accent, light, and what lies between."""
    tone: torch.Tensor
    """(..., 9, 3) OKLab: dark to light in the body's hue, without the accent."""
    dark: torch.Tensor
    """(..., 3) linear RGB, as the following."""
    shadow: torch.Tensor
    body: torch.Tensor
    accent: torch.Tensor
    light: torch.Tensor
    twin: torch.Tensor
    """A neighbour of the body's hue."""


def linear_rgb(lab: torch.Tensor) -> torch.Tensor:
    """Convert OKLab (..., 3) to linear RGB (..., 3), at least 0."""
    lms = torch.stack([(lab[..., 0] + a * lab[..., 1] + b * lab[..., 2]) ** 3 for a, b in _TO_LMS], -1)
    return (lms @ lms.new_tensor(_TO_RGB).T).clamp(min=0)


def colours(weights: torch.Tensor, hue: torch.Tensor, chroma: torch.Tensor) -> Colours:
    """Blend schemes and derive a picture's colours.

    What a scheme looks like is derived first, then schemes are blended in OKLab. So a walk from one scheme to another
    moves each colour evenly; a blend of vivid colours is kept vivid, more so than the straight line between them.

    Args:
        weights: (..., number of schemes); negative ones count as 0.
        hue: (...) by how much all hues are turned, in radians.
        chroma: (...) factor of the chroma.
    """
    table = _table(weights.device).to(weights.dtype)
    share = weights.clamp(min=0)
    share = share / share.sum(-1, keepdim=True).clamp(min=1e-12)
    mixed = torch.einsum("...s,skc->...kc", share, table)
    strength = torch.einsum("...s,sk->...k", share, table[..., 1:].norm(dim=-1))
    a, b = _kept_vivid(mixed[..., 1:], strength).unbind(-1)
    c, s = hue.cos()[..., None], hue.sin()[..., None]
    lab = torch.stack([mixed[..., 0], a * c - b * s, a * s + b * c], -1)
    twin = linear_rgb(lab[..., -1, :])
    ramps = torch.cat([lab[..., :-1, :1], lab[..., :-1, 1:] * chroma[..., None, None]], -1)
    ramp, tone = ramps[..., :STOPS, :], ramps[..., STOPS:, :]
    dark, shadow, body, accent, light = linear_rgb(ramp[..., ::2, :]).unbind(-2)
    return Colours(ramp, tone, dark, shadow, body, accent, light, twin)


def _kept_vivid(mixed: torch.Tensor, strength: torch.Tensor) -> torch.Tensor:
    """Lengthen mixed colours (..., 2) towards the mean chroma (...) of what was mixed; opposite hues meet in grey."""
    share = mixed.square().sum(-1) / strength.square().clamp(min=1e-12)
    return mixed * ((1 + VIVID) / (share + VIVID)).sqrt()[..., None]


def _ramp(lightness: torch.Tensor, chroma: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    """Nine stops (..., 9, 3) in OKLab from the lightness, chroma (..., 5) and direction of hue (..., 5, 2) of five."""
    stops = []
    for stop in range(STOPS):
        k, between = min(stop // 2, 3), stop / 2 - min(stop // 2, 3)
        ab = _unit(torch.lerp(direction[..., k, :], direction[..., k + 1, :], between), 0.4)
        c = torch.lerp(chroma[..., k], chroma[..., k + 1], between)[..., None]
        stops.append(torch.cat([torch.lerp(lightness[..., k], lightness[..., k + 1], between)[..., None], ab * c], -1))
    return torch.stack(stops, -2)


def _unit(vectors: torch.Tensor, least: float) -> torch.Tensor:
    """Vectors with a length near 1, but for those much shorter than the root of `least`; a length of 1 stays."""
    return vectors * ((1 + least) / (vectors.square().sum(-1, keepdim=True) + least)).sqrt()


@functools.cache
def _table(device: torch.device) -> torch.Tensor:
    """The ramp, the tone and the twin of each scheme: (number, 19, 3) in OKLab, float64."""
    with torch.inference_mode(False):  # it is kept, and may be used in computing gradients
        lightness, chroma, hue = torch.tensor(list(SCHEMES.values()), dtype=torch.float64, device=device).unbind(-1)
        direction = torch.stack([torch.deg2rad(hue).cos(), torch.deg2rad(hue).sin()], -1)
        pale = 0.55 * lightness[:, 2] + 0.45 * lightness[:, 4]
        near, far = direction[:, 2], direction[:, 4]
        tone = _ramp(
            torch.stack([*lightness[:, :3].unbind(1), pale, lightness[:, 4]], 1),
            torch.stack([*(k * chroma[:, 2] for k in (0.3, 0.7, 1.0, 0.8)), chroma[:, 4]], 1),
            torch.stack([near, near, near, _unit(0.75 * near + 0.25 * far, 0.4), far], 1),
        )
        x, y = near.unbind(1)
        c, s = math.cos(0.95), math.sin(0.95)
        twin = torch.stack([lightness[:, 2], 0.17 * (x * c + y * s), 0.17 * (y * c - x * s)], 1)
        return torch.cat([_ramp(lightness, chroma, direction), tone, twin[:, None]], 1)
