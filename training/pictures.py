"""Pictures to learn from: abstract art as a function of a noise vector and of noise maps, in batches on any device.

Everything is a smooth function of normal numbers, so that what lies between two noise vectors is a picture too:

- *structure* (deep latents): where masses, flows and centres lie. A height field and a warp of the plane, both sums
  of low waves.
- *matter* (middle latents): what the picture is made of. Eight families, mixed softly, and how coarse each is.
- *colour* (shallow latents): the palette, its contrast, light.
- *noise maps* (the generator's own): ragged edges, grain, stars. Octaves of value noise, one a resolution.

Conventions: B pictures, (h, w) pixels; coordinates run from -1 to 1 over the picture's height and width.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from training import palettes

STRUCTURE = 40
MATTER = 24
COLOUR = 24
Z_DIM = STRUCTURE + MATTER + COLOUR
"""Numbers of a noise vector."""
FAMILIES = 8

_HEIGHT_WAVES = 12
_WARP_WAVES = 8


@dataclass(frozen=True)
class Meaning:
    """What a noise vector means: normal numbers for each of the three depths."""

    structure: Tensor  # (B, 40)
    matter: Tensor  # (B, 24)
    colour: Tensor  # (B, 24)


def meaning(deep: Tensor, middle: Tensor, shallow: Tensor) -> Meaning:
    """The meaning of three noise vectors (B, 88), one for each depth group; the same one thrice without mixing.

    Noise vectors count by their direction alone, as in the mapping network.
    """

    def normal(z: Tensor) -> Tensor:
        return z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)

    return Meaning(
        normal(deep)[:, :STRUCTURE],
        normal(middle)[:, STRUCTURE : STRUCTURE + MATTER],
        normal(shallow)[:, STRUCTURE + MATTER :],
    )


@dataclass(frozen=True)
class Ground:
    """What every family draws on. All (B, h, w) unless said otherwise."""

    x: Tensor  # warped coordinates, about -1 to 1
    y: Tensor
    height: Tensor  # large masses, about standard normal
    near: Tensor  # distance from the picture's centre of interest
    radius: Tensor  # polar coordinates of the picture itself, unwarped
    angle: Tensor
    rough: Tensor  # two fields of fractal noise, about standard normal
    rough2: Tensor
    fine: Tensor  # the finest octave alone
    numbers: Tensor  # (B, 14), standard normal, of the family

    def vector(self) -> Tensor:
        """All that the deep layers have to know: (B, 6, h, w), each about -2 to 2."""
        px, py = self.radius * torch.cos(self.angle), self.radius * torch.sin(self.angle)
        return torch.stack([self.x, self.y, self.height, px, py, 1.5 * (self.near - 0.8)], 1)

    def number(self, index: int) -> Tensor:
        """One of the numbers, tamed, ready to multiply fields: (B, 1, 1)."""
        return 0.4 * self.numbers[:, index, None, None]

    def between(self, index: int, low: float, high: float) -> Tensor:
        """One of the numbers, spread evenly from low to high: (B, 1, 1)."""
        share = 0.5 + 0.5 * torch.erf(self.numbers[:, index, None, None] / math.sqrt(2))
        return low + (high - low) * share


@dataclass(frozen=True)
class Points:
    """Points of pictures, and what they were made of."""

    rgb: Tensor  # (B, 3, h, w), in [-1, 1]
    tone: Tensor  # (B, 1, h, w), from 0 to 1, before colour
    families: Tensor  # (B, 8, h, w), what the tone would be in each family
    ground: Tensor  # (B, 6, h, w), what they stand on


@dataclass(frozen=True)
class Window:
    """A part of the plane, in a picture's own coordinates: -1 to 1 is the whole."""

    top: float | Tensor = -1.0
    """One for all pictures of a batch, or (B,)."""
    left: float | Tensor = -1.0
    height: float = 2.0
    width: float = 2.0

    def pixels(self, size: tuple[int, int], margin: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Coordinates (y, x) of pixel centres, (1 or B, h, w) each, with a margin of pixels around the window."""
        rows = (torch.arange(-margin, size[0] + margin, device=device) + 0.5) / size[0]
        columns = (torch.arange(-margin, size[1] + margin, device=device) + 0.5) / size[1]
        top, left = (torch.as_tensor(edge, device=device).reshape(-1, 1, 1) for edge in (self.top, self.left))
        y = (top + self.height * rows[:, None]).expand(-1, -1, len(columns))
        x = (left + self.width * columns).expand(-1, len(rows), -1)
        return y, x


WHOLE = Window()


def paint(of: Meaning, noise: Sequence[Tensor], size: tuple[int, int], window: Window = WHOLE) -> Tensor:
    """Pictures for what noise vectors and noise maps say.

    Args:
        of: B meanings.
        noise: the generator's noise maps in layer order, (B, 1, h', w') each, coarse to fine; those larger than `size`
            are left out.
        size: (h, w) of the pictures.
        window: the part of the plane that they show; noise maps are of that part.

    Returns:
        (B, 3, h, w) float32, RGB in [-1, 1].
    """
    octaves = [round(2 * octave.shape[-1] / window.width) for octave in noise]
    ground = _ground(of, size, _rough(noise, octaves, size), window)
    shares = _shares(of)
    tone = torch.zeros_like(ground.x)
    for index, family in enumerate(_FAMILY):
        chosen = shares[:, index].nonzero()[:, 0]
        if len(chosen):
            part = Ground(**{name: values[chosen] for name, values in vars(ground).items()})
            tone.index_add_(0, chosen, shares[chosen, index, None, None] * family(part))
    return _finish(tone, ground, of.colour, flat=False)


def _shares(of: Meaning) -> Tensor:
    """How much each family has in each picture, (B, 8); those with little have none."""
    shares = (torch.softmax(3.2 * of.matter[:, :FAMILIES], 1) - 0.06).clamp_min(0)
    return shares / shares.sum(1, keepdim=True)


def paint_points(of: Meaning, values: Sequence[Tensor | None], side: int) -> Points:
    """The same at side × side points, without what needs a neighbourhood: relief and bloom.

    `values` are what the noise is at each point, (B, side, side), for each layer or None.
    """
    zero = torch.zeros(len(of.structure), side, side, device=of.structure.device)
    ground = _ground(of, (side, side), _sum_octaves(values, zero), WHOLE)
    families = torch.stack([family(ground) for family in _FAMILY], 1)
    tone = (_shares(of)[:, :, None, None] * families).sum(1)
    return Points(_finish(tone, ground, of.colour, flat=True), tone[:, None], families, ground.vector())


def paint_ground(of: Meaning, side: int, window: Window = WHOLE) -> Tensor:
    """What pictures stand on, at the pixel centres of a small grid: (B, 6, side, side)."""
    zero = torch.zeros(len(of.structure), side, side, device=of.structure.device)
    return _ground(of, (side, side), (zero, zero, zero), window).vector()


def _ground(of: Meaning, size: tuple[int, int], rough: tuple[Tensor, Tensor, Tensor], window: Window) -> Ground:
    s = of.structure
    # The ground is smooth: large pictures take it at every fourth pixel.
    factor = 4 if min(size) >= 64 and size[0] % 4 == size[1] % 4 == 0 else 1
    margin = 2 if factor > 1 else 0
    y, x = window.pixels((size[0] // factor, size[1] // factor), margin, s.device)
    waves = _waves(s.device)
    direction = waves[:, :, None, None]
    basis = torch.cos(direction[:, 0] * x[:, None] + direction[:, 1] * y[:, None] + direction[:, 2])
    basis = basis.expand(len(s), -1, -1, -1)
    at = 0
    fields = []
    for count, power in ((_HEIGHT_WAVES, 0.6), (_WARP_WAVES, 1.0), (_WARP_WAVES, 1.0)):
        amplitude = waves[:, :2].norm(dim=1)[:count].clamp_min(1.0) ** -power
        amplitude = amplitude / amplitude.square().sum().mul(0.5).sqrt()
        coefficients = s[:, at : at + count] * amplitude
        # Each field has waves of its own: the list is walked from another place.
        fields.append(torch.einsum("bk,bkhw->bhw", coefficients, basis.roll(-at, 1)[:, :count]))
        at += count
    centre = 0.45 * torch.tanh(s[:, at : at + 2])
    zoom = torch.exp(0.22 * s[:, at + 2])[:, None, None]
    turn = 0.7 * s[:, at + 3, None, None]
    swirl = 0.9 * s[:, at + 4, None, None]
    cx, cy = x - centre[:, 0, None, None], y - centre[:, 1, None, None]
    radius = torch.sqrt(cx * cx + cy * cy + 1e-4)
    rotation = turn + swirl * torch.exp(-1.8 * radius)
    cos, sin = torch.cos(rotation), torch.sin(rotation)
    wx = zoom * (cos * cx - sin * cy) + 0.22 * fields[1]
    wy = zoom * (sin * cx + cos * cy) + 0.22 * fields[2]
    stack = torch.stack([wx, wy, fields[0], cx, cy, x.expand_as(cx), y.expand_as(cx)], 1)
    if factor > 1:
        stack = F.interpolate(stack, scale_factor=factor, mode="bicubic", align_corners=False)
        border = margin * factor
        stack = stack[..., border:-border, border:-border]
    wx, wy, mass, cx, cy, px, py = stack.unbind(1)
    return Ground(
        x=wx,
        y=wy,
        height=mass,
        near=torch.sqrt(cx * cx + cy * cy + 1e-4),
        radius=torch.sqrt(px * px + py * py + 1e-4),
        angle=torch.atan2(py, px),
        rough=rough[0],
        rough2=rough[1],
        fine=rough[2],
        numbers=of.matter[:, FAMILIES : FAMILIES + 14],
    )


def _waves(device: torch.device) -> Tensor:
    """Frequencies and phases of the low waves, mildest first: (28, 3); fixed once and for all."""
    random = torch.Generator().manual_seed(20)
    angle = torch.arange(28) * 2.39996  # the golden angle: directions spread evenly
    frequency = 1.3 + 3.4 * (torch.arange(28) % 12) / 12
    phase = torch.rand(28, generator=random) * 2 * math.pi
    return torch.stack([frequency * torch.cos(angle), frequency * torch.sin(angle), phase], 1).to(device)


OCTAVES = (32, 64, 128, 256)
"""Resolutions whose noise makes edges ragged; both of a resolution's maps, each for one of two fields."""
SMOOTHED = 0.74
"""What the standard deviation of a noise map becomes when it is drawn smoothly at a higher resolution."""


def _rough(noise: Sequence[Tensor], octaves: Sequence[int], size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Fractal noise from the maps, of these resolutions for a whole picture: two fields and the finest octave."""
    fields: list[Tensor | None] = []
    for values, octave in zip(noise, octaves, strict=True):
        if octave not in OCTAVES or values.shape[-1] > size[1]:
            fields.append(None)
        elif values.shape[-1] == size[1]:
            fields.append(values[:, 0])
        else:
            fields.append(F.interpolate(values, size, mode="bicubic", align_corners=False)[:, 0])
    return _sum_octaves(fields, torch.zeros(len(noise[0]), *size, device=noise[0].device))


def _sum_octaves(octaves: Sequence[Tensor | None], zero: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Octaves in layer order, None where there is none."""
    fields = [zero, zero]
    fine = zero
    total = sum((resolution / 32) ** -2.3 for resolution in OCTAVES)
    for index, octave in enumerate(octaves):
        if octave is not None:
            resolution = 4 << ((index + 1) // 2)
            fields[index % 2] = fields[index % 2] + (0.8 / math.sqrt(total) * (resolution / 32) ** -1.15) * octave
            fine = octave
    return fields[0], fields[1], fine


def _sharpened(x: Tensor, sharpness: Tensor | float) -> Tensor:
    """A field around 0 pushed towards 0 and 1."""
    return torch.sigmoid(4 * sharpness * x)


def _spread(x: Tensor) -> Tensor:
    """About standard normal -> about uniform from 0 to 1."""
    return 0.5 + 0.5 * torch.erf(x * 0.62)


def _ink(g: Ground) -> Tensor:
    """Ink in water, marbling: the plane folded over itself by sines (domain warping)."""
    x, y = 1.15 * g.x + 0.04 * g.rough, 1.15 * g.y + 0.04 * g.rough2
    strength = g.between(0, 0.5, 0.8)
    for step in range(4):
        frequency = 1.7 + 1.0 * step
        x, y = (
            x + strength * torch.sin(frequency * y + 1.3 * step + 0.8 * g.height),
            y + strength * torch.cos(frequency * x - 0.7 * step + 0.6 * g.number(1)),
        )
        strength = 0.66 * strength
    t = torch.sin(2.1 * x + g.number(2)) + 0.65 * torch.cos(2.9 * y - 0.9 * g.height)
    vein = torch.exp(-((torch.sin(1.6 * x - 1.1 * y) / 0.16) ** 2))
    return (_spread(0.85 * t + 0.14 * g.rough + 0.25 * g.height) * (1 - 0.4 * vein)).clamp(0, 1)


def _agate(g: Ground) -> Tensor:
    """Agate: bands along the contours of a height field, ragged in the stone's way."""
    h = g.height + 0.5 * torch.sin(2.2 * g.x + 1.1 * torch.sin(2.6 * g.y)) + 0.07 * g.rough
    bands = g.between(3, 1.3, 2.0)
    wave = torch.sin(2 * math.pi * 0.42 * bands * h + 0.25 * g.rough2)
    line = _sharpened(wave - 0.15 * g.number(4), g.between(5, 0.8, 2.2))
    thin = torch.exp(-((torch.sin(math.pi * 0.42 * bands * h * 2.0 + 0.9) / 0.22) ** 2))
    return (0.62 * _spread(0.8 * h) + 0.34 * line - 0.14 * thin).clamp(0, 1)


def _brush(g: Ground) -> Tensor:
    """Brushwork: bristles that follow a flow, curls where it turns."""
    stream = g.x * torch.cos(0.8 * g.number(1)) + g.y * torch.sin(0.8 * g.number(1)) + 0.34 * g.height
    along = g.y - 0.4 * g.height
    stream = stream + 0.16 * torch.sin(3.1 * along + 2.0 * stream)
    k = g.between(6, 5.5, 7.5)
    bristle = (
        torch.sin(k * stream + 1.1 * torch.sin(1.3 * along))
        + 0.7 * torch.sin(1.83 * k * stream + 1.9 + 1.4 * torch.sin(1.9 * along + 0.5))
        + 0.5 * torch.sin(3.1 * k * stream + 0.7 + 1.2 * g.rough)
    )
    body = torch.sin(2.1 * stream + g.height + g.number(2)) + 0.35 * g.height
    return _spread(0.85 * body + 0.55 * bristle + 0.12 * g.rough2)


def _cells(g: Ground) -> Tensor:
    """Cells and stained glass: three families of walls across a bent plane, bodies of differing light."""
    scale = g.between(7, 3.0, 4.0)
    x, y = g.x + 0.02 * g.rough, g.y + 0.02 * g.rough2
    x, y = x + 0.16 * torch.sin(2.6 * y + g.height), y + 0.16 * torch.sin(2.4 * x - g.height)
    walls = [
        torch.abs(torch.sin(scale * (math.cos(turn) * x + math.sin(turn) * y) + shift)) / scale
        for turn, shift in ((0.2, 0.4), (1.35, 1.7), (2.4, 0.9))
    ]
    nearest = torch.minimum(torch.minimum(walls[0], walls[1]), walls[2])
    wall = 1 - torch.exp(-((nearest / g.between(8, 0.025, 0.06)) ** 2))
    body = scale * (walls[0] + walls[1] + walls[2]) / 3
    light = _spread(1.1 * g.height + 1.6 * torch.sin(1.7 * x - 1.2 * y + g.number(1)))
    return (0.05 + wall * (0.10 + 0.55 * light + 0.35 * (body - 0.3))).clamp(0, 1)


def _silk(g: Ground) -> Tensor:
    """Folded silk: a few soft ridges across one another, bright along their backs."""
    t = torch.zeros_like(g.x)
    for fold in range(3):
        turn = 0.55 * g.number(9) + 0.75 * fold
        along = torch.cos(turn) * g.x + torch.sin(turn) * g.y
        u = (0.85 + 0.35 * fold) * along + 0.30 * g.height + 0.18 * torch.sin(2.4 * g.y + 1.7 * fold) + 0.012 * g.rough
        ridge = 1 - torch.sqrt(torch.sin(math.pi * u).square() + 0.012)
        t = t + ridge.square() * (1.0 - 0.22 * fold)
    return (0.08 + 0.62 * t + 0.05 * g.rough2 * t).clamp(0, 1)


def _nebula(g: Ground) -> Tensor:
    """Nebulae: glowing clouds torn by dark lanes, and stars."""
    x, y = g.x + 0.06 * g.rough, g.y + 0.06 * g.rough2
    x, y = x + 0.3 * torch.sin(2.7 * y + 0.9 * g.height), y + 0.3 * torch.sin(2.5 * x - 0.8 * g.height)
    cloud = g.height + 0.7 * torch.sin(2.3 * x + 1.4 * torch.sin(1.9 * y + 0.5)) + 0.24 * g.rough
    lane = torch.exp(-((torch.sin(1.9 * y + 1.6 * x + 1.2 * g.height + g.number(10)) / 0.42) ** 2))
    glow = torch.exp(0.85 * cloud - 1.3) * (1 - 0.7 * lane)
    core = torch.exp(-2.2 * g.near.square()) * (0.35 + 0.3 * g.number(11).tanh())
    star = (g.fine - 2.6).clamp_min(0)
    return (0.04 + 0.55 * glow / (0.55 + 0.5 * glow) + core + 0.8 * star).clamp(0, 1)


def _ornament(g: Ground) -> Tensor:
    """Ornament: three waves woven into a lattice of hexagons, rings around the centre of interest."""
    k = g.between(13, 6.4, 7.6)
    turn = 0.5 * g.number(12)
    weave = torch.zeros_like(g.x)
    for strand in range(3):
        angle = turn + strand * math.pi / 3
        weave = weave + torch.cos(k * (torch.cos(angle) * g.x + torch.sin(angle) * g.y) + 0.15 * g.height)
    rings = torch.cos(8.5 * g.near - 0.7 * g.height + g.number(2))
    petals = _sharpened(0.5 * weave + 0.8 * rings + 0.05 * g.rough, 0.7)
    return (0.08 + 0.60 * petals + 0.22 * _spread(weave) + 0.14 * torch.exp(-2.5 * g.near.square())).clamp(0, 1)


def _light(g: Ground) -> Tensor:
    """Light leaks and lenses: soft discs over a slow gradient, brightest along their rims."""
    t = 0.22 + 0.12 * torch.tanh(g.height + 0.8 * g.x)
    for disc in range(5):
        spin = 2.4 * disc + 0.6 * g.number(disc)
        distance = 0.32 + 0.16 * disc
        px, py = distance * torch.cos(spin), distance * torch.sin(spin)
        size = 0.30 + 0.11 * ((disc * 3) % 5)
        r = torch.sqrt((g.x - px).square() + (g.y - py).square() + 1e-4) + 0.008 * g.rough
        disc_light = torch.sigmoid((size - r) * 26) * (0.35 + 0.65 * (r / size).clamp(0, 1.2) ** 3)
        t = t + (0.34 - 0.03 * disc) * disc_light + 0.10 * torch.exp(-3.5 * (r - size).clamp_min(0))
    return t.clamp(0, 1)


_FAMILY: tuple[Callable[[Ground], Tensor], ...] = (_ink, _agate, _brush, _cells, _silk, _nebula, _ornament, _light)


def _finish(tone: Tensor, ground: Ground, colour: Tensor, *, flat: bool) -> Tensor:
    """Palette, second colour, relief, bloom, vignette, grain."""
    c = colour[:, :, None, None]
    stops = palettes.palettes(colour[:, : palettes.NUMBERS])
    gamma = torch.exp(0.28 * c[:, 16])
    toned = tone.clamp(1e-4, 1) ** gamma
    lab = palettes.ramp(toned, stops)
    # A second light colours the masses: hue drifts slowly across the picture.
    drift = (0.30 * torch.tanh(0.8 * ground.height) * c[:, 17]).clamp(-0.7, 0.7)
    cos, sin = torch.cos(drift), torch.sin(drift)
    lightness, a, b = lab.unbind(1)
    a, b = cos * a - sin * b, sin * a + cos * b
    lightness = lightness + (0.006 + 0.004 * c[:, 20].tanh()) * ground.fine
    if not flat:
        lightness = lightness + _lit(tone, lightness, c)
    edge = ground.radius.square()
    lightness = lightness * (1 - 0.10 * edge / (1 + edge))
    rgb = palettes.oklab_to_rgb(torch.stack([lightness, a, b], 1))
    return rgb * 2 - 1


def _lit(tone: Tensor, lightness: Tensor, c: Tensor) -> Tensor:
    """Relief, the tone's slope against the light, and bloom, light that spills over its neighbourhood."""
    step = 256 / tone.shape[-1]
    turn = 2.2 + 0.5 * c[:, 18]
    dx = F.pad(tone[:, :, 2:] - tone[:, :, :-2], (1, 1))
    dy = F.pad(tone[:, 2:] - tone[:, :-2], (0, 0, 1, 1))
    relief = torch.tanh(6.0 / step * (torch.cos(turn) * dx + torch.sin(turn) * dy))
    quarter = F.avg_pool2d(lightness.clamp_min(0.55)[:, None] - 0.55, 8)
    quarter = F.avg_pool2d(F.pad(quarter, (2, 2, 2, 2), mode="replicate"), 5, 1)
    bloom = F.interpolate(quarter, tone.shape[1:], mode="bicubic", align_corners=False)[:, 0]
    return (0.045 + 0.02 * c[:, 19].tanh()) * relief + 0.45 * bloom
