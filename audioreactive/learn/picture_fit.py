"""Latents of a network (one for each layer, "W+") whose picture is as close as possible to a given one.

Source: Abdal, Qin, Wonka 2019, "Image2StyleGAN" (arXiv:1904.03189). Here the distance is that of `picture_loss`.

Conventions: L = latent inputs of the network, W = width of a latent. Pictures are (1, 3, h, w) float32 in [-1, 1].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive._support.streams import named_stream
from audioreactive.errors import RenderError
from audioreactive.learn.picture_loss import PictureLoss, psnr
from audioreactive.progress import Progress, Silent

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from stylegan_ops import AnyGenerator

STEPS: Final = 400
"""Steps of the optimiser: about two minutes for pictures of 256 × 256 on two cores."""
CANDIDATES: Final = 32
"""Random pictures among which the start is chosen, besides the mean picture."""
SPREAD_SAMPLES: Final = 1024
"""Latents from which their spread is measured."""
RATE: Final = 0.25
"""Largest step of the optimiser, in standard deviations of latents."""
BETAS: Final = (0.9, 0.99)
"""Decay of the optimiser's running means; that of the squares is faster than usual, for the steps are few."""
WARM_UP: Final = 0.05
"""Share of the steps in which the rate rises."""
COOL_DOWN: Final = 0.4
"""Share of the steps in which the rate falls."""
HOLD: Final = 2e-4
"""Weight of the squared distance from the mean latent, in standard deviations: pictures stay ones that can be moved."""
MOST_PIXELS: Final = 1 << 26
"""Most pixels of a picture that is read."""
FORMATS: Final = ("PNG", "JPEG", "WEBP")


@dataclass
class PictureFit:
    """Best latents found so far, and how close their picture is."""

    ws: torch.Tensor
    """(1, L, W) latents."""
    loss: float
    before: tuple[float, float]
    """PSNR in decibels, and distance by features that were not fitted to, of the mean picture."""
    picture: torch.Tensor
    """Picture of the latents."""
    steps: int = 0
    """Steps of the optimiser that were made."""


def read_target(path: Path, size: tuple[int, int]) -> torch.Tensor:
    """Read a picture, cut to the aspect ratio of (h, w) around its middle and scaled.

    Raises:
        RenderError: it cannot be read.
    """
    import torch
    from PIL import Image, ImageOps, UnidentifiedImageError

    from audioreactive._support.files import open_regular

    height, width = size
    try:
        with open_regular(path) as file, Image.open(file, formats=FORMATS) as opened:
            if math.prod(opened.size) > MOST_PIXELS:
                raise RenderError(f"{str(path)!r} has {opened.width}x{opened.height} pixels; give a smaller picture")
            upright = ImageOps.exif_transpose(opened).convert("RGB")
            fitted = ImageOps.fit(upright, (width, height), Image.Resampling.LANCZOS)
    except (UnidentifiedImageError, Image.DecompressionBombError, SyntaxError, ValueError) as error:
        raise RenderError(f"{str(path)!r} is no picture that can be read: give a .png, .jpg or .webp") from error
    except OSError as error:
        raise RenderError(f"the picture {str(path)!r} cannot be read: {error.strerror or error}") from error
    values = np.asarray(fitted, np.float32) / 127.5 - 1
    return torch.from_numpy(values).permute(2, 0, 1)[None].contiguous()


class PictureFitter:
    """Fit of latents to a picture, step by step; `best` is always whole, also when the work is cut short."""

    def __init__(self, network: AnyGenerator, target: torch.Tensor, *, label: int | None = None) -> None:
        """Choose the start among random pictures.

        Args:
            network: a network on plain PyTorch, through which gradients flow.
            target: the picture, in the network's own size.
            label: class of a conditional model.

        Raises:
            RenderError: the model has no such class.
        """
        import torch

        self._network, self._target = network, target.to(network.device)
        self._loss, self._judge = PictureLoss(self._target), PictureLoss(self._target, "judge")
        spread = self._latents(named_stream("audioreactive spread of latents"), SPREAD_SAMPLES, label)
        self._mean = spread.mean((0, 1))
        self._deviation = spread[:, 0].std(0).clamp_min(1e-6)
        draw = named_stream("audioreactive starts of a fit")
        drawn = torch.lerp(self._mean, self._latents(draw, CANDIDATES, label), 0.7)
        mean = self._mean.expand_as(drawn[:1])
        best, start, picture = math.inf, mean, None
        for ws in (mean, *(drawn[at : at + 1] for at in range(CANDIDATES))):
            seen = network.synthesis(ws)
            loss = float(self._loss(seen))
            if picture is None:
                before = psnr(seen, self._target), float(self._judge.perceptual(seen))
            if picture is None or loss < best:
                best, start, picture = loss, ws, seen
        assert picture is not None
        self._start = start.clone()
        self.best = PictureFit(self._start, best, before, picture)

    def _latents(self, draw: np.random.RandomState, count: int, label: int | None) -> torch.Tensor:
        """Map random noise vectors to latents (count, L, W)."""
        import torch

        network = self._network
        z = torch.from_numpy(draw.standard_normal((count, network.z_dim)).astype(np.float32))
        if label is not None and label >= network.c_dim:
            classes = f"classes 0 to {network.c_dim - 1}" if network.c_dim else "no classes"
            raise RenderError(f"label {label} was asked for, but the model has {classes}")
        c = None
        if network.c_dim:
            chosen = torch.arange(count) % network.c_dim if label is None else torch.full((count,), label)
            c = torch.nn.functional.one_hot(chosen, network.c_dim).float()
        return network.mapping(z, c)

    def run(self, steps: int = STEPS, progress: Progress | None = None) -> PictureFit:
        """Fit the latents and return the best ones."""
        import torch

        from audioreactive.learn.descent import Descent

        start = (self._start - self._mean) / self._deviation
        descent = Descent([start], rate=RATE, steps=steps, betas=BETAS, schedule=_rate)
        (offset,) = descent.parameters
        with torch.enable_grad(), (progress or Silent()).track("fitting the picture", steps, "step") as advance:
            for step in range(steps):
                ws = self._mean + self._deviation * offset
                picture = self._network.differentiable(ws)
                near = self._loss(picture)[0]
                self._keep(ws.detach(), picture.detach(), float(near.detach()))
                descent.step(near + HOLD * offset.square().mean())
                self.best.steps = step + 1
                advance(1)
        ws = (self._mean + self._deviation * offset).detach()
        picture = self._network.synthesis(ws)
        self._keep(ws, picture, float(self._loss(picture)[0]))
        return self.best

    def _keep(self, ws: torch.Tensor, picture: torch.Tensor, loss: float) -> None:
        if loss < self.best.loss:
            self.best = PictureFit(ws.clone(), loss, self.best.before, picture.clone(), self.best.steps)

    def after(self) -> tuple[float, float]:
        """PSNR in decibels, and distance by features that were not fitted to, of the best picture."""
        return psnr(self.best.picture, self._target), float(self._judge.perceptual(self.best.picture))


def _rate(at: float) -> float:
    """Factor of the rate at a share of the steps."""
    falling = min(1.0, (1 - at) / COOL_DOWN)
    return min(1.0, at / WARM_UP + 0.1) * (0.5 - 0.5 * math.cos(math.pi * falling))
