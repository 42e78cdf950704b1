"""Training, step by step: the same state and step number give the same step, whatever came between.

Two losses share the work. *Fit*: latents and noise maps say which picture is meant (`pictures`), and the generator is
pulled towards it, at several scales; this gives latents their meaning, keeps the deep, the middle and the shallow ones
to their own, and cannot collapse. *Adversary*: a discriminator that compares the results with the pictures makes
sharp what an average would blur (Karras et al. 2020: non-saturating loss, lazy R1, lazy path-length regularisation,
style mixing, moving average of the weights).
"""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audioreactive.patches.fields import depth_slices
from training.embedding import Embedding
from training.network import Discriminator, GeneratorNetwork
from training.pictures import (
    COLOUR,
    FAMILIES,
    MATTER,
    SMOOTHED,
    STRUCTURE,
    Meaning,
    Window,
    meaning,
    paint,
    paint_ground,
    paint_points,
)
from training.plan import Plan, Stage

MIXED = 0.5
"""Share of samples whose three depth groups come from three noise vectors."""
SEAM = 2
"""Index of the last deep block, at 16 × 16: above it, a picture is a function of the ground, point by point."""
CORNERS = 0.25
"""Share of batches whose windows all lie in one corner of the picture, and show its border."""
POINTS = 14
"""Points a side that a stage without resolution learns from, in each picture."""
WARM_UP = 200
"""Steps over which the learning rate rises at the start of each stage."""
R1_EVERY = 16
PATH_EVERY = 16
PATH_DECAY = 0.01
W_AVERAGE_DECAY = 0.998


@dataclass(frozen=True)
class Losses:
    """Of one step; not a number where a loss was not computed."""

    fit: float
    tone: float
    deep: float
    generator: float = math.nan
    real: float = math.nan
    fake: float = math.nan
    r1: float = math.nan
    path_length: float = math.nan


@dataclass(frozen=True)
class Batch:
    """What one step learns from."""

    ws: Tensor  # (B, L, W)
    noise: list[Tensor]
    target: Tensor  # (B, 3, r, r)


@dataclass(frozen=True)
class Painted:
    """Pictures, or parts of them: as they are meant, and as the generator paints them."""

    ws: Tensor  # (B, L, W)
    target: Tensor  # (B, 3, h, w)
    image: Tensor  # (B, 3, h, w)
    of: Meaning | None = None
    """Of parts: what the whole pictures are."""


class Trainer:
    """The networks in training and all that a run needs to go on."""

    def __init__(self, plan: Plan, device: torch.device | str = "cpu", dtype: torch.dtype = torch.bfloat16) -> None:
        """Fresh networks from the plan's seed; `dtype` is the precision of convolutions."""
        self.plan = plan
        self.device = torch.device(device)
        self.dtype = dtype
        self.pictures_seen = 0
        self.step_number = 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(plan.seed)
            self.generator = GeneratorNetwork(plan.architecture)
            numbers = (
                slice(0, STRUCTURE),
                slice(STRUCTURE, STRUCTURE + MATTER),
                slice(STRUCTURE + MATTER, STRUCTURE + MATTER + COLOUR),
            )
            groups = depth_slices(plan.architecture.num_ws)
            self.generator.focus(list(zip(groups, numbers, strict=True)))
            self.embedding = Embedding(plan.architecture.channels[SEAM])
            self._begin_with_waves()
            self.tone = nn.Conv2d(plan.architecture.channels[SEAM + 2], 1, 1)
            self.families = nn.Conv2d(plan.architecture.channels[SEAM + 2], FAMILIES, 1)
            self.discriminator = Discriminator(plan.architecture, plan.discriminator)
        for name, parameter in self.generator.named_parameters():
            if name.endswith("noise_strength"):
                parameter.data.fill_(0.05 if int(name.split(".")[1][1:]) >= 32 else 0.0)
            if ".torgb.weight" in name:
                parameter.data.mul_(0.3)
        self.generator.to(self.device)
        self.tone.to(self.device)
        self.families.to(self.device)
        self.discriminator.to(self.device)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self._optimiser = torch.optim.Adam(
            [*self.generator.parameters(), *self.tone.parameters(), *self.families.parameters()],
            lr=1e-3,
            betas=(0.9, 0.99),
            eps=1e-8,
        )
        self._adversary = torch.optim.Adam(self.discriminator.parameters(), lr=1e-3, betas=(0.0, 0.99), eps=1e-8)
        self._path_mean = torch.zeros((), device=self.device)

    @torch.no_grad()
    def _begin_with_waves(self) -> None:
        """Let the two layers above the seam begin with ridges and waves."""
        first, second = self.generator.block(8 << SEAM).layers()
        louder = 1.0
        for layer, (weight, bias) in (
            (first, self.embedding.ridges(first.weight.shape[0])),
            (second, self.embedding.waves(second.weight.shape[1], second.weight.shape[0])),
        ):
            norm = weight.norm(dim=1).clamp_min(1e-6)  # demodulation scales the sums by its inverse
            own = norm > 1e-5
            layer.weight[own] *= 0.1
            layer.weight[own, :, 1, 1] = 3 * weight[own] / norm[own, None]
            layer.bias[own] = louder * (bias / norm)[own]
            layer.affine.weight.mul_(0.1)  # the sums rely on one another
            louder = float(1 / norm[own].mean())

    # The run.

    def stage(self) -> tuple[int, Stage, float]:
        """The number of the current stage, the stage, and how far it has got, from 0 to 1."""
        left = self.pictures_seen
        for index, stage in enumerate(self.plan.stages):
            if left < stage.pictures:
                return index, stage, left / stage.pictures
            left -= stage.pictures
        return len(self.plan.stages) - 1, self.plan.stages[-1], 1.0

    @property
    def finished(self) -> bool:
        """Whether every stage is done."""
        return self.pictures_seen >= self.plan.pictures

    def step(self) -> Losses:
        """Learn from one batch."""
        _, stage, progress = self.stage()
        rate = stage.lr + (stage.final_lr - stage.lr) * progress
        # Weights that a stage is the first to use would all leap at once.
        rate *= min(1.0, (progress * stage.pictures / stage.batch + 1) / WARM_UP)
        for optimiser, times, adversarial in (
            (self._optimiser, 1.0, bool(stage.adversary)),
            (self._adversary, stage.adversary_lr, True),
        ):
            for group in optimiser.param_groups:
                group["lr"] = rate * times
                group["betas"] = (0.0, 0.99) if adversarial else (0.9, 0.99)
        random = self.random()
        real = fake = r1 = tone = deep = generator = math.nan
        if stage.resolution:
            painted = self._painted(stage, random)
            if stage.adversary:
                real, fake = self._judge(stage, painted, random)
                if self.step_number % R1_EVERY == 0:
                    r1 = self._penalise(stage, painted.target, random)
            fit, deep, generator = self._paint(stage, painted, random)
        else:
            fit, tone, deep = self._points(stage, random)
        path_length = math.nan
        if stage.path_length and self.step_number % PATH_EVERY == PATH_EVERY // 2:
            path_length = self._straighten(stage, random)
        self._follow()
        self.step_number += 1
        self.pictures_seen += stage.batch
        return Losses(fit, tone, deep, generator, real, fake, r1, path_length)

    def random(self) -> torch.Generator:
        """All chance of the current step."""
        return torch.Generator(self.device).manual_seed(self.plan.seed * 1_000_003 + self.step_number)

    def batch(self, stage: Stage, random: torch.Generator, size: int | None = None) -> Batch:
        """Latents, noise, and the pictures that they mean."""
        size = stage.batch if size is None else size
        z = self._noise_vectors(size, random)
        noise = self.generator.noise(size, stage.resolution, generator=random)
        with torch.no_grad():
            target = paint(meaning(z[0], z[1], z[2]), noise, (stage.resolution, stage.resolution))
        return Batch(self._latents(z), noise, target)

    def _latents(self, z: Tensor) -> Tensor:
        """(3, B, Z) -> (B, L, W)."""
        w = self.generator.latents(z.flatten(0, 1)).view(3, z.shape[1], -1)
        with torch.no_grad():
            self.generator.mapping.w_avg.lerp_(w[0].mean(0), 1 - W_AVERAGE_DECAY)
        layers = self.plan.architecture.num_ws
        parts = [
            values[:, None].expand(-1, part.stop - part.start, -1)
            for values, part in zip(w, depth_slices(layers), strict=True)
        ]
        return torch.cat(parts, 1)

    # The losses.

    def _noise_vectors(self, size: int, random: torch.Generator) -> Tensor:
        """(3, B, Z), one for each depth group; in unmixed samples all the same."""
        z = torch.randn(3, size, self.plan.architecture.z_dim, generator=random, device=self.device)
        mixed = torch.rand(size, 1, generator=random, device=self.device) < MIXED
        z[1:] = torch.where(mixed, z[1:], z[0])
        return z

    def _deep(self, of: Meaning, ws: Tensor, size: int, random: torch.Generator) -> Tensor:
        """How far the deep layers are from the ground, in the first samples of a batch."""
        side = 4 << SEAM
        first = Meaning(of.structure[:size], of.matter[:size], of.colour[:size])
        with torch.no_grad():
            goal = self.embedding(paint_ground(first, side))
        noise = self.generator.noise(size, side, generator=random)
        reached = self.generator.activations(ws[:size], noise, side, dtype=self.dtype)
        return (reached.float() - goal).abs().mean()

    def _windows(self, stage: Stage, random: torch.Generator) -> Painted:
        """Windows at one random place of each picture of a batch, and what the upper layers make of them.

        Near a window's edges they cannot know what lies beyond, so the edges are cut away; but beyond the border of a
        picture lies nothing.
        """
        size, side = stage.batch, 4 << SEAM
        z = self._noise_vectors(size, random)
        of = meaning(z[0], z[1], z[2])
        room = side - stage.cells
        edge = stage.resolution // side if room else 0
        places = torch.randint(0, room + 1, (2, size), generator=random, device=self.device)
        cuts = [(edge, edge), (edge, edge)]
        in_corner, *ends = torch.rand(3, generator=random, device=self.device).tolist()
        if in_corner < CORNERS:
            for axis, end in enumerate(ends):
                places[axis] = room if end < 0.5 else 0
                cuts[axis] = (2 * edge, 0) if end < 0.5 else (0, 2 * edge)
        top, left = 2 * places / side - 1
        window = Window(top, left, 2 * stage.cells / side, 2 * stage.cells / side)
        noise = [
            torch.randn(size, 1, *([source.size[0] * stage.cells // side] * 2), generator=random, device=self.device)
            if source.size[0] > side
            else torch.zeros(size, 1, 1, 1, device=self.device)
            for source in self.plan.architecture.convolutions()
        ]
        pixels = stage.resolution * stage.cells // side
        with torch.no_grad():
            target = paint(of, noise, (pixels, pixels), window)
            inner = self.embedding(paint_ground(of, stage.cells, window))
        inner = inner.to(self.dtype).contiguous(memory_format=torch.channels_last)
        ws = self._latents(z)
        image = self.generator.upper(inner, ws, noise, 2 * side)
        rows, columns = (slice(before, pixels - after) for before, after in cuts)
        return Painted(ws, target[..., rows, columns], image[..., rows, columns], of)

    def _points(self, stage: Stage, random: torch.Generator) -> tuple[float, float, float]:
        """One step of both parts: from noise vectors to the embedded ground, and from there to colours."""
        size, architecture = stage.batch, self.plan.architecture
        z = self._noise_vectors(size, random)
        values = [
            SMOOTHED * torch.randn(size, POINTS, POINTS, generator=random, device=self.device)
            if source.size[0] > 4 << SEAM
            else None
            for source in architecture.convolutions()
        ]
        with torch.no_grad():
            of = meaning(z[0], z[1], z[2])
            painted = paint_points(of, values, POINTS)
            inner = self.embedding(painted.ground).to(self.dtype).contiguous(memory_format=torch.channels_last)
        ws = self._latents(z)
        noise = [None if value is None else value[:, None] for value in values]
        image, layers = self.generator.points(inner, ws, noise, 8 << SEAM)
        fit = (image - painted.rgb).abs().mean()
        before, after = layers[16 << SEAM]
        tone = (self.tone(after.float()) - painted.tone).abs().mean()
        tone = tone + (self.families(before.float()) - painted.families).abs().mean()
        deep = self._deep(of, ws, size // 3, random)
        self._optimiser.zero_grad()
        torch.autograd.backward(fit + tone + 0.5 * deep)
        self._optimiser.step()
        return float(fit.detach()), float(tone.detach()), float(deep.detach())

    def _painted(self, stage: Stage, random: torch.Generator) -> Painted:
        """What a stage learns from."""
        if stage.cells:
            return self._windows(stage, random)
        batch = self.batch(stage, random)
        image = self.generator(batch.ws, batch.noise, stage.resolution, dtype=self.dtype)
        return Painted(batch.ws, batch.target, image)

    def _paint(self, stage: Stage, painted: Painted, random: torch.Generator) -> tuple[float, float, float]:
        """One step of the generator."""
        deep = torch.full((), math.nan)
        fit = distance(painted.image, painted.target, stage.fit_scale)
        loss = stage.fit * fit
        if painted.of is not None:
            deep = self._deep(painted.of, painted.ws, stage.batch // 2, random)
            loss = loss + 0.5 * deep
        judged = math.nan
        if stage.adversary:
            self.discriminator.requires_grad_(False)
            logits = self.discriminator(cropped(painted.image, stage.window, random), dtype=self.dtype)
            generator_loss = F.softplus(-logits).mean()
            loss = loss + stage.adversary * generator_loss
            judged = float(generator_loss.detach())
        self._optimiser.zero_grad()
        torch.autograd.backward(loss)
        self._optimiser.step()
        return float(fit.detach()), float(deep.detach()), judged

    def _judge(self, stage: Stage, painted: Painted, random: torch.Generator) -> tuple[float, float]:
        """One step of the discriminator."""
        self.discriminator.requires_grad_(True)
        target, image = painted.target, painted.image.detach()
        self._adversary.zero_grad()
        real = F.softplus(-self.discriminator(cropped(target, stage.window, random), dtype=self.dtype)).mean()
        torch.autograd.backward(real)
        fake = F.softplus(self.discriminator(cropped(image, stage.window, random), dtype=self.dtype)).mean()
        torch.autograd.backward(fake)
        self._adversary.step()
        return float(real.detach()), float(fake.detach())

    def _penalise(self, stage: Stage, target: Tensor, random: torch.Generator) -> float:
        """R1: the discriminator is flat around real pictures. On half a batch, in full precision."""
        target = cropped(target[: max(1, stage.batch // 2)], stage.window, random).clone().requires_grad_(True)
        logits = self.discriminator(target)
        (gradient,) = torch.autograd.grad(logits.sum(), target, create_graph=True)
        penalty = gradient.square().sum((1, 2, 3)).mean()
        self._adversary.zero_grad()
        torch.autograd.backward(penalty * (stage.r1 / 2 * R1_EVERY))
        self._adversary.step()
        return float(penalty.detach())

    def _straighten(self, stage: Stage, random: torch.Generator) -> float:
        """Path length: equal steps in W move the picture equally far. On a quarter of a batch, in full precision."""
        size = max(2, stage.batch // 4)
        z = torch.randn(1, size, self.plan.architecture.z_dim, generator=random, device=self.device)
        ws = self._latents(z.expand(3, -1, -1))
        resolution = min(stage.resolution, 128)
        noise = self.generator.noise(size, resolution, generator=random)
        image = self.generator(ws, noise, resolution, twice=True)
        direction = torch.randn(image.shape, generator=random, device=self.device) / resolution
        (gradient,) = torch.autograd.grad((image * direction).sum(), ws, create_graph=True)
        lengths = (gradient.square().sum(2).mean(1) + 1e-12).sqrt()
        mean = self._path_mean.lerp(lengths.mean().detach(), PATH_DECAY if self._path_mean > 0 else 1.0)
        self._path_mean = mean
        penalty = ((lengths - mean) / mean).square().mean()
        self._optimiser.zero_grad()
        torch.autograd.backward(penalty * (stage.path_length * PATH_EVERY / 100))
        self._optimiser.step()
        return float(lengths.mean().detach())

    @torch.no_grad()
    def _follow(self) -> None:
        """The moving average of the weights; at the start it follows closely."""
        half_life = min(self.plan.ema_steps, 0.05 * self.step_number + 1)
        share = 1 - 0.5 ** (1 / half_life)
        now, average = dict(self.generator.named_parameters()), dict(self.average.named_parameters())
        torch._foreach_lerp_(list(average.values()), [now[name] for name in average], share)
        self.average.mapping.w_avg.copy_(self.generator.mapping.w_avg)

    # Leaving and coming back.

    def state(self) -> dict[str, Any]:
        """All that a run needs to go on; tensors and numbers alone."""
        return {
            "pictures_seen": self.pictures_seen,
            "step_number": self.step_number,
            "generator": self.generator.state_dict(),
            "families": self.families.state_dict(),
            "tone": self.tone.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "adversary": self._adversary.state_dict(),
            "path_mean": self._path_mean,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.pictures_seen = int(state["pictures_seen"])
        self.step_number = int(state["step_number"])
        self.generator.load_state_dict(state["generator"])
        self.families.load_state_dict(state["families"])
        self.tone.load_state_dict(state["tone"])
        self.discriminator.load_state_dict(state["discriminator"])
        self.average.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._adversary.load_state_dict(state["adversary"])
        self._path_mean = state["path_mean"].to(self.device)

    def save(self, path: Path) -> None:
        """Write the state aside, then in its place."""
        aside = path.with_suffix(".part")
        torch.save(self.state(), aside)
        aside.replace(path)

    def load(self, path: Path) -> None:
        """Read what `save` wrote; executes nothing of it."""
        self.restore(torch.load(path, map_location=self.device, weights_only=True))


def cropped(image: Tensor, side: int, random: torch.Generator) -> Tensor:
    """The same window of each picture, at a random place; the whole where side is 0 or as large."""
    room = image.shape[-1] - side
    if not side or room <= 0:
        return image
    y, x = torch.randint(0, room + 1, (2,), generator=random, device=random.device).tolist()
    return image[:, :, y : y + side, x : x + side]


def distance(image: Tensor, target: Tensor, finest: int = 1) -> Tensor:
    """Mean absolute difference, the mean over scales from `finest` up: each sees pictures at half the size."""
    total = image.new_zeros(())
    scales = 0
    scale = 1
    while image.shape[-1] >= 8 and scale <= 16:
        if scale >= finest:
            total = total + (image - target).abs().mean()
            scales += 1
        image, target = F.avg_pool2d(image, 2), F.avg_pool2d(target, 2)
        scale *= 2
    return total / scales
