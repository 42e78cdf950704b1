"""Frames and sound as matrices of features: V (T_v, D) and A (T_a, F), sections 3.3 and 3.4 of MathAV-Net.

Conventions: B clips, T frames, (B, T, H, W, 3) uint8; sound (N,) float32 at `ANALYSIS_RATE`. No pretrained weights are
used: whoever has some loads them into `ResNet18`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from audioreactive.media.audio import ANALYSIS_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE: Final = 224
"""Pixels of a side that ResNet-18 sees (section 3.3.1)."""
D: Final = 512
"""Features of ResNet-18 (section 4.2)."""
SMALL_D: Final = 128
"""Features of the smaller encoder."""
MEL_RATE: Final = 16_000
"""Samples a second of the sound that is analysed (section 3.3.2)."""
HOP: Final = 160
"""Samples between two windows: 100 rows a second."""
ROWS_A_SECOND: Final = MEL_RATE // HOP
BINS: Final = 128
"""Bins on the mel scale, F."""
WINDOW: Final = 400
"""Samples of a window, 25 ms. The seed names none; a longer one smears what must be placed to half a frame."""
SPECTRUM: Final = 1024
"""Samples of a window with zeros around: else the lowest mel bins would hold no frequency at all."""
EPSILON: Final = 1e-4
"""Energy that counts as silence in log10(M · S + ε), Table 1: sounds at full scale have about 100."""


class ResNet18(nn.Module):
    """Network of 18 layers of He, Zhang, Ren and Sun, "Deep residual learning for image recognition" (2016), Table 1.

    Args:
        classes: outputs of a last linear layer; None: the 512 means of the last maps, which is what the seed uses.
    """

    def __init__(self, classes: int | None = None) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
        )  # fmt: skip
        widths = (64, 64, 128, 256, 512)
        self.blocks = nn.Sequential(
            *(
                Residual(widths[i - 1] if first else widths[i], widths[i], stride=2 if first and i > 1 else 1)
                for i in (1, 2, 3, 4)
                for first in (True, False)
            )
        )
        self.head = nn.Identity() if classes is None else nn.Linear(D, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures (N, 3, H, W) -> features (N, 512), or (N, classes)."""
        maps: Tensor = self.blocks(self.stem(pictures))
        result: Tensor = self.head(maps.mean((2, 3)))
        return result


class Residual(nn.Module):
    """Two convolutions of 3 x 3 beside the identity, or beside a 1 x 1 projection where the size changes."""

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs),
        )  # fmt: skip
        same = stride == 1 and inputs == outputs
        self.beside: nn.Module = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (N, C, H, W) -> maps of the next block."""
        return functional.relu(self.body(maps) + self.beside(maps))


class SmallEncoder(nn.Module):
    """Three convolutions and a linear layer, 89 248 weights: what seven hundred clips can train.

    It keeps a map of 2 x 4 places, as what moves is somewhere. Pictures are 36 x 64 pixels.
    """

    def __init__(self, features: int = SMALL_D) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.AvgPool2d(2),
            nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d((2, 4)),
            nn.Flatten(), nn.Linear(512, features),
        )  # fmt: skip

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures (N, 3, H, W) -> features (N, features)."""
        result: Tensor = self.body(pictures)
        return result


def parameters_of(module: nn.Module) -> int:
    """Number of weights that are learned."""
    return sum(weight.numel() for weight in module.parameters())


def normalized_frames(frames: Tensor, side: int | None = None) -> Tensor:
    """Frames (B, T, H, W, 3) uint8 -> (B, T, 3, H, W) of mean 0 and deviation 1 in each channel of a clip (Table 1).

    Args:
        frames: pictures of one size.
        side: height and width to which they are resized by bilinear interpolation; None: they keep their size.
    """
    clips, count = frames.shape[:2]
    pictures = frames.flatten(0, 1).permute(0, 3, 1, 2).to(torch.float32) / 255
    if side is not None:
        pictures = functional.interpolate(pictures, (side, side), mode="bilinear", align_corners=False)
    pictures = pictures.reshape(clips, count, *pictures.shape[1:])
    mean = pictures.mean((1, 3, 4), keepdim=True)
    deviation = pictures.std((1, 3, 4), keepdim=True, correction=0)
    result: Tensor = (pictures - mean) / deviation.clamp_min(1e-4)
    return result


def log_mel(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """log10(M · S + ε) of a sound at `ANALYSIS_RATE`, (T_a, 128) float32; row j is heard around j / 100 seconds.

    It is brought to 16 kHz by linear interpolation, as Table 1 has it, which folds a little of what lies above 8 kHz
    down; for onsets that does no harm.
    """
    seconds = len(samples) / ANALYSIS_RATE
    rows = round(seconds * ROWS_A_SECOND)
    moments = np.arange(rows * HOP) / MEL_RATE
    sound = np.interp(moments, np.arange(len(samples)) / ANALYSIS_RATE, samples)
    half = WINDOW // 2
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(sound, half), WINDOW)[::HOP][:rows]
    spectrum = np.fft.rfft(frames * np.hanning(WINDOW + 1)[:-1], SPECTRUM, axis=1)
    energy = spectrum.real**2 + spectrum.imag**2
    return np.asarray(np.log10(energy @ mel_filters().T + EPSILON), np.float32)


def mel_filters() -> NDArray[np.float64]:
    """Triangles M (128, frequencies) from 0 to 8 kHz, evenly spaced in mel = 2595 · log10(1 + f / 700)."""
    top = 2595 * math.log10(1 + MEL_RATE / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, BINS + 2) / 2595) - 1)
    frequencies = np.fft.rfftfreq(SPECTRUM, 1 / MEL_RATE)
    rising = (frequencies - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - frequencies) / np.diff(edges)[1:, None]
    return np.asarray(np.maximum(np.minimum(rising, falling), 0))


def frame_means(rows: int, frames: int, fps: float) -> NDArray[np.float32]:
    """Matrix (frames, rows) of means over the time for which each frame is shown.

    The seed concatenates H_v[t] and H_a[t] although there are 30 frames and 100 rows a second: here the rows of a frame
    are averaged, each by the share of it that lies in the frame. What is beyond the sound's end repeats its last row.
    """
    edges = np.arange(frames + 1) / fps * ROWS_A_SECOND
    first, last = np.arange(rows) - 0.5, np.arange(rows) + 0.5
    shared = np.minimum(edges[1:, None], last) - np.maximum(edges[:-1, None], first)
    weights = np.maximum(shared, 0)
    weights[weights.sum(1) < 1e-9, -1] = 1
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)
