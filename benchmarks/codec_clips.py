"""Clips of the kinds that the thesis measured, made here: stills with a violin, a talking face, a dancer.

Pictures come from scikit-image, which ships a few photographs; everything else is computed. `python
benchmarks/codec_clips.py FOLDER --size 160x96` writes them as lossless .mkv files.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from audioreactive.codec.clip import Clip, Sound

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Picture = NDArray[np.float64]

RATE = 48_000
STILLS = ("astronaut", "coffee", "chelsea", "rocket", "immunohistochemistry")


@dataclass(frozen=True)
class Kind:
    """A kind of clip."""

    make: Callable[[int, int, int, Fraction], NDArray[np.uint8]]
    sound: Callable[[float], NDArray[np.float64]]
    fps: Fraction
    seconds: int


def photograph(name: str, width: int, height: int) -> Picture:
    """Photograph (h, w, 3), 0 to 1, cut to an aspect ratio and shrunk."""
    from skimage import data

    made: Any = Image.fromarray(getattr(data, name)())
    scale = max(width / made.width, height / made.height)
    made = made.resize((max(round(made.width * scale), width), max(round(made.height * scale), height)), 1)
    left, top = (made.width - width) // 2, (made.height - height) // 2
    return np.asarray(made.crop((left, top, left + width, top + height)), np.float64) / 255


def stills(width: int, height: int, frames: int, fps: Fraction) -> NDArray[np.uint8]:
    """Photographs in turn, one a frame."""
    return np.stack([_bytes(photograph(STILLS[i % len(STILLS)], width, height)) for i in range(frames)])


def face(width: int, height: int, frames: int, fps: Fraction) -> NDArray[np.uint8]:
    """A face that speaks: its lower half opens and closes, its head sways, its ground stands still."""
    ground, made = photograph("coffee", width, height), []
    large = photograph("astronaut", 2 * height, 2 * height)
    for i in range(frames):
        t = float(i / fps)
        sway = 0.03 * np.sin(2 * np.pi * 0.5 * t) * height
        mouth = max(0.0, np.sin(2 * np.pi * 3.1 * t) * np.sin(2 * np.pi * 0.7 * t + 0.4))
        y, x = np.mgrid[0:height, 0:width] + 0.5
        u = (x - width / 2 - sway) / height + 0.44
        v = y / height * 0.62 + 0.02
        v = np.where(v > 0.32, v - 0.03 * mouth * np.exp(-(((v - 0.36) / 0.05) ** 2)), v)
        shown = _sampled(large, u, v * 0.9)
        mask = np.clip(12 * (0.46 - np.hypot((x - width / 2 - sway) / height, (y / height - 0.5) * 0.95)), 0, 1)
        made.append(_bytes(ground + mask[..., None] * (shown - ground)))
    return np.stack(made)


def dance(width: int, height: int, frames: int, fps: Fraction) -> NDArray[np.uint8]:
    """A figure of limbs that dances before a photograph at two beats a second, under a light that pulses."""
    ground, made = photograph("rocket", width, height) * 0.8, []
    y, x = (np.mgrid[0:height, 0:width] + 0.5) / height
    x = x - width / height / 2
    for i in range(frames):
        beat = 2 * np.pi * 2 * float(i / fps)
        hip = np.array([0.10 * np.sin(beat / 2), 0.55 + 0.03 * np.cos(beat)])
        neck = hip + np.array([0.05 * np.sin(beat / 2 + 1), -0.24])
        limbs: list[tuple[Any, Any, float]] = [(hip, neck, 0.055)]
        for side in (-1, 1):
            knee = hip + np.array([side * 0.08 + 0.03 * np.sin(beat), 0.2])
            limbs += [(hip, knee, 0.035), (knee, np.array([side * 0.12, 0.96]), 0.028)]
            angle = side * (0.9 + 0.8 * np.sin(beat + side))
            elbow = neck + 0.16 * np.array([np.sin(angle), np.cos(angle)])
            bent = angle + side * (0.9 + np.cos(beat / 2))
            limbs += [(neck, elbow, 0.028), (elbow, elbow + 0.15 * np.array([np.sin(bent), np.cos(bent)]), 0.022)]
        frame = ground * (0.75 + 0.25 * max(np.cos(beat), 0))
        for number, (a, b, radius) in enumerate(limbs):
            colour = np.array([0.95, 0.45 + 0.05 * number, 0.25])
            frame += np.clip((radius - _distance(x, y, a, b)) * height / 1.5, 0, 1)[..., None] * (colour - frame)
        head = np.clip((0.06 - np.hypot(x - neck[0], y - neck[1] + 0.08)) * height / 1.5, 0, 1)[..., None]
        made.append(_bytes(frame + head * (np.array([0.9, 0.7, 0.55]) - frame)))
    return np.stack(made)


def violin(seconds: float) -> NDArray[np.float64]:
    """A melody of bowed tones: many harmonics and vibrato."""
    t = np.arange(round(seconds * RATE)) / RATE
    notes = 440 * 2 ** (np.array([0, 2, 4, 7, 4, 9, 7, 4])[(2 * t).astype(int) % 8] / 12)
    phase = 2 * np.pi * np.cumsum(notes * (1 + 0.004 * np.sin(2 * np.pi * 5.5 * t))) / RATE
    tone = sum(np.sin(k * phase) / k**1.2 for k in range(1, 9))
    return np.asarray(0.25 * tone * (1 - np.exp(-12 * (t % 0.5))))


def speech(seconds: float) -> NDArray[np.float64]:
    """Something like a voice: pulses through three changing resonances, and breaths of noise."""
    from scipy.signal import lfilter

    t = np.arange(round(seconds * RATE)) / RATE
    pulses = (np.diff(np.floor(np.cumsum(110 + 18 * np.sin(2 * np.pi * 0.6 * t)) / RATE), prepend=0) > 0).astype(float)
    draw, voice = np.random.RandomState(0), np.zeros(len(t))
    vowels = [(730, 1090, 2440), (270, 2290, 3010), (530, 1840, 2480), (300, 870, 2240)]
    for k in range(round(seconds * 5)):
        part = slice(k * RATE // 5, (k + 1) * RATE // 5)
        made = pulses[part] + 0.02 * draw.randn(len(pulses[part]))
        for formant in vowels[k % 4]:
            pole = 0.99 * np.exp(2j * np.pi * formant / RATE)
            made = lfilter([1.0], [1, -2 * pole.real, abs(pole) ** 2], made) * 0.06
        voice[part] = made * np.hanning(len(made)) ** 0.3
    return np.asarray(0.6 * voice / np.abs(voice).max())


def drums(seconds: float) -> NDArray[np.float64]:
    """Two beats a second: a drum, a hi-hat of noise, a bass."""
    t = np.arange(round(seconds * RATE)) / RATE
    beat = t % 0.5
    kick = np.sin(2 * np.pi * (50 * beat + 8 * (1 - np.exp(-30 * beat)))) * np.exp(-9 * beat)
    hat = np.random.RandomState(1).randn(len(t)) * np.exp(-60 * ((t + 0.25) % 0.5))
    bass = np.sign(np.sin(2 * np.pi * 55 * t)) * 0.2
    return np.asarray(0.5 * kick + 0.08 * hat + 0.5 * bass)


KINDS = {
    "stills": Kind(stills, violin, Fraction(1), 5),
    "face": Kind(face, speech, Fraction(10), 3),
    "face24": Kind(face, speech, Fraction(24), 3),
    "dance": Kind(dance, drums, Fraction(24), 3),
    "dance10": Kind(dance, drums, Fraction(10), 3),
}


def make_clip(name: str, size: tuple[int, int], seconds: float | None = None) -> Clip:
    """Make a clip of a kind in (width, height)."""
    kind = KINDS[name]
    length = kind.seconds if seconds is None else seconds
    frames = kind.make(*size, max(round(length * kind.fps), 1), kind.fps)
    return Clip(frames, kind.fps, Sound(kind.sound(float(len(frames) / kind.fps))[:, None].astype(np.float32), RATE))


def write_clip(clip: Clip, path: Path) -> None:
    """Write a clip as a lossless .mkv."""
    import tempfile

    import soundfile

    from audioreactive.video import VideoSettings, VideoWriter

    with tempfile.TemporaryDirectory() as folder:
        assert clip.sound is not None
        sound = Path(folder) / "sound.wav"
        soundfile.write(sound, clip.sound.samples, clip.sound.rate, subtype="PCM_24")
        settings = VideoSettings(fps=clip.fps, size=clip.size)
        with VideoWriter(path, settings, frame_size=clip.size, sound=sound, overwrite=True) as writer:
            writer.write(clip.frames)


def _bytes(picture: Picture) -> NDArray[np.uint8]:
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)


def _sampled(picture: Picture, u: Picture, v: Picture) -> Picture:
    """Picture's colours at (u, v) in 0 to 1, linear between pixels."""
    rows, columns = picture.shape[:2]
    x, y = np.clip(u * columns - 0.5, 0, columns - 1.001), np.clip(v * rows - 0.5, 0, rows - 1.001)
    i, j = x.astype(int), y.astype(int)
    s, t = (x - i)[..., None], (y - j)[..., None]
    above = picture[j, i] * (1 - s) + picture[j, i + 1] * s
    below = picture[j + 1, i] * (1 - s) + picture[j + 1, i + 1] * s
    return np.asarray(above * (1 - t) + below * t)


def _distance(x: Picture, y: Picture, a: Picture, b: Picture) -> Picture:
    """Distance of points to the line from a to b."""
    across = b - a
    along = np.clip(((x - a[0]) * across[0] + (y - a[1]) * across[1]) / (across @ across), 0, 1)
    return np.asarray(np.hypot(x - a[0] - along * across[0], y - a[1] - along * across[1]))


def main() -> None:
    """Write the clips."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", default="160x96")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in KINDS:
        write_clip(make_clip(name, (width, height)), options.folder / f"{name}.mkv")


if __name__ == "__main__":
    main()
