"""The codec of the thesis: a teacher is trained, a student learns from it, its weights are rounded and compressed.

The file has one section beside the header: `weights`, xz of the student's rounded weights (see `quantise`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from audioreactive.codec.clip import Clip, Sound
from audioreactive.codec.container import whole, write_archive
from audioreactive.codec.denoise import spectral_gate
from audioreactive.codec.distill import BATCH, TEACHER_EPOCHS, Samples, places, train_student, train_teacher
from audioreactive.codec.metrics import psnr, sound_psnr
from audioreactive.codec.network import read_picture
from audioreactive.codec.packing import Packed, read_rate
from audioreactive.codec.quantise import compressed, decompressed, dequantised, packed, unpacked
from audioreactive.codec.siren import SineNetwork, student
from audioreactive.errors import CodecError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from fractions import Fraction
    from pathlib import Path

    from numpy.typing import NDArray

    from audioreactive.codec.container import Archive
    from audioreactive.progress import Progress

KIND: Final = "seed"
EVALUATED: Final = 1 << 16
"""Samples that are evaluated at once."""
MOST_SAMPLES: Final = 60 * 192_000
MOST_WEIGHTS: Final = 64 << 20
"""Bytes of the section, more than 32 bits for each weight take."""
STUDENT_SHARE: Final = 6000 / 7000
"""Epochs of the student for each of the teacher (Table 8-3)."""


@dataclass(frozen=True)
class SeedPlayer:
    """A student with what is needed to make its clip."""

    network: SineNetwork
    shape: tuple[int, int, int]
    """(frames, height, width)."""
    fps: Fraction
    samples: int
    """Samples of sound; 0 without sound."""
    rate: int
    peak: float
    """Factor of the sound."""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) as packed."""
        return self.shape[2], self.shape[1]

    @property
    def seconds(self) -> Fraction:
        """Length of the picture."""
        return self.shape[0] / self.fps

    def sound_file(self, folder: Path) -> Path | None:
        """Write the sound into a folder; None without sound."""
        import soundfile

        if (sound := self.sound()) is None:
            return None
        path = folder / "sound.wav"
        soundfile.write(path, sound.samples, sound.rate, subtype="FLOAT")
        return path

    def pictures(self, size: tuple[int, int], fps: Fraction) -> Iterator[NDArray[np.uint8]]:
        """Evaluate the frames at a size (width, height) and rate; the network is continuous in x, y and t."""
        count = max(round(self.shape[0] / self.fps * fps), 1)
        for i in range(count):
            moment = float(i / fps * self.fps) / max(self.shape[0] - 1, 1)
            yield self._picture(min(moment, 1.0), size)

    def frames(self) -> NDArray[np.uint8]:
        """Evaluate all frames as packed (T, H, W, 3)."""
        return np.stack(list(self.pictures(self.size, self.fps)))

    def sounds(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Evaluate both sounds, each paired with pixels as in training, repetitions left out."""
        pixels = int(np.prod(self.shape))
        made = []
        with torch.inference_mode():
            for index in torch.split(torch.arange(self.samples), EVALUATED):
                moment = (index.double() / max(self.samples - 1, 1)).float()[:, None]
                made.append(self.network(places(index % pixels, self.shape), moment)[1:])
        first, second = (torch.cat(parts)[:, 0].numpy() * np.float32(self.peak) for parts in zip(*made, strict=True))
        return first, second

    def sound(self, *, denoised: bool = True) -> Sound | None:
        """Evaluate the sound; Algorithm 1 takes its noise from the difference of the two."""
        if not self.samples:
            return None
        first, second = self.sounds()
        made = spectral_gate(first, first - second, rate=self.rate) if denoised else first
        return Sound(made[:, None], self.rate)

    def _picture(self, moment: float, size: tuple[int, int]) -> NDArray[np.uint8]:
        width, height = size
        # The sound of the moment, as the sound's input matters little to the picture.
        made = []
        with torch.inference_mode():
            for index in torch.split(torch.arange(width * height), EVALUATED):
                place = places(index, (1, height, width))
                place[:, 2] = moment
                made.append(self.network(place, self._paired(place, moment)).video)
        colours = torch.cat(made).clamp(0, 1) * 255 + 0.5
        return colours.to(torch.uint8).view(height, width, 3).numpy()

    def _paired(self, place: torch.Tensor, moment: float) -> torch.Tensor:
        """Moments of sound that the pixels were paired with in training."""
        frames, height, width = self.shape
        x, y = ((0.5 * (place[:, k] + 1) * (side - 1)).round().long() for k, side in ((0, width), (1, height)))
        pixel = (round(moment * (frames - 1)) * height + y) * width + x
        sample = pixel % max(self.samples, 1)
        return (sample.double() / max(self.samples - 1, 1)).float()[:, None]


def train(clip: Clip, *, epochs: int, batch: int, progress: Progress | None = None) -> tuple[SineNetwork, SineNetwork]:
    """Train teacher and student for a clip."""
    samples = Samples(clip)
    first = train_teacher(samples, epochs=epochs, batch=batch, progress=progress)
    count = max(round(epochs * STUDENT_SHARE), 1)
    second = train_student(samples, first.network, epochs=count, batch=batch, progress=progress)
    return first.network, second.network


def pack_seed(
    clip: Clip, output: Path, *, epochs: int = TEACHER_EPOCHS, batch: int = BATCH, bits: int = 16,
    progress: Progress | None = None,
) -> Packed:  # fmt: skip
    """Train teacher and student for a clip, and write the student's file."""
    _, network = train(clip, epochs=epochs, batch=batch, progress=progress)
    size = write_student(output, network, clip, bits)
    network.load_state_dict(dequantised(network.state_dict(), bits))
    player = player_of(network, clip)
    sound = player.sound()
    heard = None if sound is None or clip.sound is None else sound_psnr(clip.sound, sound)
    return Packed(output, size, psnr(clip.frames, player.frames()), heard, 0, True)


def write_student(path: Path, network: SineNetwork, clip: Clip, bits: int) -> int:
    """Write a student's file; returns its size."""
    width, height = clip.size
    header: dict[str, Any] = {
        "kind": KIND,
        "picture": {"fps": str(clip.fps), "frames": len(clip.frames), "height": height, "width": width},
        "seed": {"bits": bits, "network": "student"},
    }
    if clip.sound is not None:
        samples = Samples(clip)
        header["sound"] = {"peak": samples.peak, "rate": clip.sound.rate, "samples": samples.amplitudes}
    return write_archive(path, header, {"weights": compressed(packed(network.state_dict(), bits))})


def player_of(network: SineNetwork, clip: Clip) -> SeedPlayer:
    """Make the player of a network that was trained for a clip."""
    samples = Samples(clip)
    frames, height, width = samples.shape
    count, rate = (0, 1) if clip.sound is None else (samples.amplitudes, clip.sound.rate)
    return SeedPlayer(network, (frames, height, width), clip.fps, count, rate, samples.peak)


def read_student(archive: Archive) -> SeedPlayer:
    """Read a student's file.

    Raises:
        CodecError: it is damaged.
    """
    header = archive.header
    frames, (width, height) = read_picture(header)
    told = header.get("seed")
    bits = told.get("bits") if isinstance(told, dict) else None
    if type(bits) is not int or not 1 <= bits <= 32:
        raise CodecError(f"the network claims weights of {bits!r} bits; they have 1 to 32")
    samples, rate, peak = _sound(header)
    network = student(0)
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    size = 4 * len(shapes) + (sum(value.numel() for value in network.state_dict().values()) * bits + 7) // 8
    data = decompressed(archive.read("weights", MOST_WEIGHTS), size)
    network.load_state_dict(unpacked(data, shapes, bits))
    network.requires_grad_(False)
    return SeedPlayer(network, (frames, height, width), read_rate(header), samples, rate, peak)


def _sound(header: Mapping[str, Any]) -> tuple[int, int, float]:
    match header.get("sound"):
        case None:
            return 0, 1, 1.0
        case {"peak": float(peak), "rate": int(rate), "samples": int(samples)} if whole(rate, samples):
            if 0 < peak < 1e4 and 2000 <= rate <= 768_000 and 0 < samples <= MOST_SAMPLES:
                return samples, rate, peak
    raise CodecError("the header states no sound that can be made: get the file again")
