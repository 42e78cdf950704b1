"""Training of the thesis' networks: Algorithms 3 to 6, losses (6-1) to (6-6).

An epoch is one batch, as Algorithms 5 and 6 have it. Batches are drawn by index from all pairs of a pixel and a sample
of sound; of the shorter of the two, sample n is the n-th modulo its length, which is what repeating it would give.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import torch

from audioreactive.codec.siren import Outputs, student, teacher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from audioreactive.codec.clip import Clip
    from audioreactive.codec.siren import SineNetwork
    from audioreactive.progress import Progress

    Watch = Callable[[int, SineNetwork], None]

TEACHER_EPOCHS: Final = 7000
STUDENT_EPOCHS: Final = 6000
TEACHER_RATE: Final = 1e-5
STUDENT_RATES: Final = (1e-4, 1e-5)
FAST: Final = 1000 / 6000
"""Share of the student's epochs with the first of its rates."""
ALPHA: Final = 0.5
"""Share of the hard loss; the thesis does not state it."""
BATCH: Final = 1 << 16
"""Samples of a batch, where there are more; the thesis does not state it."""


class Batch(NamedTuple):
    """Samples with what they should give."""

    place: torch.Tensor
    """(N, 3) x, y, t."""
    moment: torch.Tensor
    """(N, 1) T."""
    video: torch.Tensor
    """(N, 3) colours, 0 to 1."""
    sound: torch.Tensor
    """(N, 1) amplitudes, -1 to 1."""


class Samples:
    """All pairs of a pixel and a sample of sound (Algorithms 3 and 4); the sound is mono, scaled to its peak."""

    def __init__(self, clip: Clip, device: torch.device | str = "cpu") -> None:
        self.frames = torch.from_numpy(np.ascontiguousarray(clip.frames)).to(device)
        sound = np.zeros((1, 1), np.float32) if clip.sound is None else clip.sound.samples
        mono = sound.mean(axis=1)
        self.peak = float(np.abs(mono).max(initial=0)) or 1.0
        self.sound = torch.from_numpy(np.ascontiguousarray(mono / self.peak)).to(device)
        self.shape = tuple(clip.frames.shape[:3])
        self.pixels, self.amplitudes = int(np.prod(self.shape)), len(mono)

    def __len__(self) -> int:
        """Number of pairs: that of the longer of pixels and amplitudes."""
        return max(self.pixels, self.amplitudes)

    def batch(self, index: torch.Tensor) -> Batch:
        """Make the pairs of these numbers."""
        pixel, sample = index % self.pixels, index % self.amplitudes
        colours = self.frames.view(-1, 3)[pixel].float() / 255
        return Batch(self.places(pixel), self.moments(sample), colours, self.sound[sample, None])

    def places(self, pixel: torch.Tensor) -> torch.Tensor:
        """Coordinates (N, 3) of pixels by their numbers."""
        return places(pixel, self.shape)

    def moments(self, sample: torch.Tensor) -> torch.Tensor:
        """Moments (N, 1) of samples of sound by their numbers."""
        return (sample.double() / max(self.amplitudes - 1, 1)).float()[:, None]


def places(pixel: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Coordinates (N, 3) x, y, t of pixels by their numbers in (T, H, W): x and y from -1 to 1, t from 0 to 1."""
    frames, height, width = shape
    x, y, t = pixel % width, pixel // width % height, pixel // (width * height)
    return torch.stack(
        [
            2 * x.float() / max(width - 1, 1) - 1,
            2 * y.float() / max(height - 1, 1) - 1,
            t.float() / max(frames - 1, 1),
        ],
        1,
    )


def sound_loss(made: Outputs, sound: torch.Tensor) -> torch.Tensor:
    """Loss of both sounds (6-1)."""
    return 0.5 * _mse(made.sound, sound) + 0.5 * _mse(made.twin, sound)


def video_loss(made: Outputs, video: torch.Tensor) -> torch.Tensor:
    """Loss of the picture (6-2)."""
    return _mse(made.video, video)


def combined_loss(made: Outputs, batch: Batch, *, sound: float = 0.5, video: float = 0.5) -> torch.Tensor:
    """The teacher's loss (6-3); the thesis does not state the weights, and those of (6-5) are the defaults."""
    return sound * sound_loss(made, batch.sound) + video * video_loss(made, batch.video)


def hard_loss(made: Outputs, batch: Batch) -> torch.Tensor:
    """The student's distance to the clip (6-5)."""
    return 0.5 * _mse(made.video, batch.video) + 0.5 * sound_loss(made, batch.sound)


def soft_loss(made: Outputs, taught: Outputs) -> torch.Tensor:
    """The student's distance to the teacher (6-6), each of its sounds to the teacher's of that branch."""
    sounds = 0.5 * _mse(made.sound, taught.sound) + 0.5 * _mse(made.twin, taught.twin)
    return 0.5 * _mse(made.video, taught.video) + 0.5 * sounds


def distillation_loss(made: Outputs, batch: Batch, taught: Outputs, alpha: float = ALPHA) -> torch.Tensor:
    """The student's loss (6-4)."""
    return alpha * hard_loss(made, batch) + (1 - alpha) * soft_loss(made, taught)


@dataclass(frozen=True)
class Trained:
    """A network in its best state, and the loss of each epoch."""

    network: SineNetwork
    losses: list[float]


def train_teacher(
    samples: Samples, *, epochs: int = TEACHER_EPOCHS, batch: int = BATCH, seed: int = 0, rate: float = TEACHER_RATE,
    progress: Progress | None = None, watch: Watch | None = None,
) -> Trained:  # fmt: skip
    """Train the teacher (Algorithm 5); `watch` is shown the network after each epoch."""
    network = teacher(seed).to(samples.sound.device)
    return _train(network, samples, combined_loss, lambda epoch: rate, epochs, batch, seed, "teacher", progress, watch)


def train_student(
    samples: Samples, taught_by: SineNetwork, *, epochs: int = STUDENT_EPOCHS, batch: int = BATCH, seed: int = 1,
    alpha: float = ALPHA, rates: tuple[float, float] = STUDENT_RATES, progress: Progress | None = None,
    watch: Watch | None = None,
) -> Trained:  # fmt: skip
    """Train the student (Algorithm 6); `watch` is shown the network after each epoch."""
    network = student(seed).to(samples.sound.device)

    def loss(made: Outputs, batch: Batch) -> torch.Tensor:
        with torch.no_grad():
            taught = taught_by(batch.place, batch.moment)
        return distillation_loss(made, batch, taught, alpha)

    def rate(epoch: int) -> float:
        return rates[0] if epoch < FAST * epochs else rates[1]

    return _train(network, samples, loss, rate, epochs, batch, seed, "student", progress, watch)


def _train(
    network: SineNetwork, samples: Samples, loss: Callable[[Outputs, Batch], torch.Tensor],
    rate: Callable[[int], float], epochs: int, batch: int, seed: int, name: str, progress: Progress | None,
    watch: Watch | None,
) -> Trained:  # fmt: skip
    from audioreactive.progress import Silent

    adam = torch.optim.Adam(network.parameters(), lr=rate(0))
    best, state, losses = float("inf"), copy.deepcopy(network.state_dict()), []
    drawn = _batches(len(samples), batch, seed, samples.sound.device)
    with (progress or Silent()).track(name, epochs, "epoch") as advance:
        for epoch in range(epochs):
            chosen = samples.batch(next(drawn))
            error = loss(network(chosen.place, chosen.moment), chosen)
            if (value := float(error.detach())) < best:  # of the state before this step
                best, state = value, copy.deepcopy(network.state_dict())
            adam.param_groups[0]["lr"] = rate(epoch)
            adam.zero_grad()
            error.backward()  # type: ignore[no-untyped-call]
            adam.step()
            losses.append(value)
            if watch is not None:
                watch(epoch + 1, network)
            advance(1)
    network.load_state_dict(state)
    return Trained(network.requires_grad_(False), losses)


def _batches(count: int, batch: int, seed: int, device: torch.device) -> Iterator[torch.Tensor]:
    """Numbers of pairs, without repetition until all were drawn; all of them, in order, if they are few."""
    draw = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(count, generator=draw) if count > batch else torch.arange(count)
        for part in torch.split(order, batch):
            if len(part) == min(batch, count):
                yield part.to(device)


def _mse(made: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.mse_loss(made, wanted)
