"""Measurements of a model against the pictures that it learned from, for its model card.

All distances are taken between fixed features (`audioreactive.learn.research.frechet`), the same for every model: no
trained network is needed.
"""

import itertools
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from audioreactive.learn.research.frechet import fixed_features, frechet
from audioreactive.patches.fields import DEPTHS, depth_slices
from stylegan_ops import Generator
from training.pictures import Z_DIM, meaning, paint

FINE, MEDIUM = 8, 32
"""Details below so many pixels are fine, below so many medium; larger ones are coarse."""


@dataclass(frozen=True)
class Share:
    """What one depth group, or noise, changes."""

    change: float
    """Mean change of a colour value, of 255."""
    coarse: float
    """Shares of the squared change by the size of the detail; they sum to 1."""
    medium: float
    fine: float
    colour: float
    """Share of the squared change that is hue and saturation rather than lightness."""
    kept: float
    """Correlation of lightness before and after: how far the drawing stays."""


@dataclass(frozen=True)
class Measurements:
    """All figures of a model card."""

    diversity: float
    """Mean distance of two samples, over the mean distance of two training pictures."""
    diversity_pixels: float
    """The same with the mean difference of pixels for a distance."""
    closest_pair: float
    """Smallest distance of two samples, over the same of as many training pictures: near 0 if samples repeat."""
    frechet: float
    frechet_untrained: float
    """Of a network with random weights."""
    frechet_floor: float
    """Of other training pictures: what a perfect model would get."""
    step: float
    """Mean change of a colour value, of 255, in a frame of a walk from one sample to the next in 48."""
    largest_step: float
    """The largest over the mean of its own walk: 1 is perfectly even."""
    shares: dict[str, Share]

    def as_json(self) -> dict[str, Any]:
        """Rounded, for a file."""
        return {
            key: {name: {k: round(v, 3) for k, v in share.items()} for name, share in value.items()}
            if isinstance(value, dict)
            else round(value, 4)
            for key, value in asdict(self).items()
        }


def measure(generator: Generator, untrained: Generator, *, truncation: float, count: int = 1024) -> Measurements:
    """Measure a model.

    Args:
        generator: of latents that mean what `training.pictures` says.
        untrained: one with random weights of the same shape.
        truncation: ψ of the samples.
        count: how many samples and training pictures to compare.
    """
    random = torch.Generator().manual_seed(5)
    training = collect(lambda: training_pictures(generator, 16, random), count)
    others = collect(lambda: training_pictures(generator, 16, random), count)
    samples = collect(lambda: sampled(generator, 16, truncation, random), count)
    plain = collect(lambda: sampled(untrained, 16, 1.0, random), count)
    centre, spread = training[0].mean(0), training[0].std(0) + 1e-6
    known, fresh, made, fog = ((part[0] - centre) / spread for part in (training, others, samples, plain))
    few = slice(0, 64)
    steps, largest = walk(generator, truncation, random)
    return Measurements(
        diversity=float(torch.pdist(made).mean() / torch.pdist(known).mean()),
        diversity_pixels=float(
            torch.pdist(samples[1].flatten(1), 1).mean() / torch.pdist(training[1].flatten(1), 1).mean()
        ),
        closest_pair=float(torch.pdist(made[few]).min() / torch.pdist(known[few]).min()),
        frechet=frechet(made, known),
        frechet_untrained=frechet(fog, known),
        frechet_floor=frechet(fresh, known),
        step=steps,
        largest_step=largest,
        shares=shares(generator, truncation, random),
    )


def collect(make: Callable[[], Tensor], count: int) -> tuple[Tensor, Tensor]:
    """Features and thumbnails of at least so many pictures."""
    described, small = [], []
    for _ in range(-(-count // 16)):
        images = make()
        described.append(fixed_features(images))
        small.append(F.interpolate(images.clamp(-1, 1), (32, 32), mode="area"))
    return torch.cat(described), torch.cat(small)


def training_pictures(generator: Generator, count: int, random: torch.Generator) -> Tensor:
    """Pictures as in training, at the model's size."""
    z = torch.randn(count, Z_DIM, generator=random)
    return paint(meaning(z, z, z), noise_maps(generator, count, random), generator.img_size)


def noise_maps(generator: Generator, count: int, random: torch.Generator) -> list[Tensor]:
    """Noise for each layer, (count, 1, h, w)."""
    return [torch.randn(count, 1, *size, generator=random) for size in generator.noise_sizes]


def sampled(generator: Generator, count: int, truncation: float, random: torch.Generator) -> Tensor:
    """Random samples."""
    z = torch.randn(count, generator.z_dim, generator=random)
    return generator.synthesis(generator.mapping(z, truncation_psi=truncation), noise_maps(generator, count, random))


def walk(generator: Generator, truncation: float, random: torch.Generator) -> tuple[float, float]:
    """Mean and largest step of eight straight walks in W: see `Measurements.step`."""
    ends = generator.mapping(torch.randn(9, generator.z_dim, generator=random), truncation_psi=truncation)
    means, peaks = [], []
    for start, end in itertools.pairwise(ends):
        ws = torch.stack([start.lerp(end, at / 48) for at in range(49)])
        frames = torch.cat([generator.synthesis(part).clamp(-1, 1) for part in torch.split(ws, 7)])
        changes = (frames[1:] - frames[:-1]).abs().mean((1, 2, 3)) * 127.5
        means.append(float(changes.mean()))
        peaks.append(float(changes.max() / changes.mean()))
    return sum(means) / len(means), max(peaks)


def shares(generator: Generator, truncation: float, random: torch.Generator, count: int = 32) -> dict[str, Share]:
    """What each depth group and the noise change."""
    z = torch.randn(2, count, generator.z_dim, generator=random)
    ws, others = (generator.mapping(part, truncation_psi=truncation) for part in z)
    noise, other_noise = (noise_maps(generator, count, random) for _ in range(2))
    before = generator.synthesis(ws, noise).clamp(-1, 1)
    result: dict[str, Share] = {}
    for name, part in zip(DEPTHS, depth_slices(generator.num_ws), strict=True):
        changed = ws.clone()
        changed[:, part] = others[:, part]
        result[name] = share(before, generator.synthesis(changed, noise).clamp(-1, 1))
    result["noise"] = share(before, generator.synthesis(ws, other_noise).clamp(-1, 1))
    return result


def share(before: Tensor, after: Tensor) -> Share:
    """Compare pictures, (B, 3, h, w) in [-1, 1], with what they became."""
    change = after - before
    light = change.mean(1, keepdim=True)
    energy = {"fine": 0.0, "medium": 0.0, "coarse": 0.0}
    band_of, rest = 2, change
    while rest.shape[-1] > 4:
        small = F.avg_pool2d(rest, 2)
        band = rest - F.interpolate(small, rest.shape[2:], mode="nearest")
        band_of *= 2  # pixels of the picture that one period of these details takes, at most
        where = "fine" if band_of <= FINE else "medium" if band_of <= MEDIUM else "coarse"
        energy[where] += float(band.square().mean())
        rest = small
    energy["coarse"] += float(rest.square().mean())
    total = sum(energy.values())
    a, b = (x.mean(1).flatten(1) for x in (before, after))
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    kept = (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1) + 1e-9)
    return Share(
        change=float(change.abs().mean()) * 127.5,
        coarse=energy["coarse"] / total,
        medium=energy["medium"] / total,
        fine=energy["fine"] / total,
        colour=float((change - light).square().mean() / change.square().mean()),
        kept=float(kept.mean()),
    )
