"""Flashes of fitted motion: what the fit avoids, and what is smoothed afterwards.

Light that goes there and back more than three times a second may harm. The fit avoids it, by what the generator's
response foretells. Then small pictures are watched, in the passages that are foretold to be the worst, and the motion
is smoothed where they break the rule.

Conventions: T frames at RATE, F frames of the video.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from audioreactive.flashes.definition import CHANGE, Geometry, to_light
from audioreactive.flashes.detect import FlashMeter
from audioreactive.flashes.measure import measure
from audioreactive.learn.decoders import gliding
from audioreactive.learn.tables import RATE, interpolated
from audioreactive.rendering.previews import pictures_at

if TYPE_CHECKING:
    from audioreactive.learn.sight import Stage
    from audioreactive.patches.motion import Motion

FLASH, SAFE = 0.33, 0.8
"""Seconds in which luminance goes there and back in the slowest flashes that are counted too often, and the share of a
flash's change that it may have."""
GLIDES = (0.12, 0.25, 0.6, 2.0)
"""Standard deviations in seconds of the Gaussian filters that are tried, one after the other, where pictures flash."""
AROUND, BORDER = 0.75, 0.25
"""Seconds before and after flashes that are smoothed with them, and the standard deviation of the fade at the ends."""
WATCHED, AT_ONCE = 2400, 240
"""Most frames that are watched, and frames of a passage."""
MOST_WATCHING, FEWEST_WATCHED = 4 * 10**11, 48
"""Multiplications that the pictures may take, some five seconds on two cores; frames that are watched in any case."""


def flashing(light: Tensor) -> Tensor:
    """Mean excess () of the luminance (T, pixels) over what it is before and after, where it goes there and back as
    quickly, or more quickly, and as far as a flash does.
    """
    return _excess(light).mean() if len(light) > 2 * _reach() else 0 * light.sum()


def _reach() -> int:
    return max(round(FLASH / 2 * float(RATE)), 1)


def _excess(light: Tensor) -> Tensor:
    """Excess (T - 2 · reach, pixels) of the luminance (T, pixels) in all frames but the first and last few."""
    reach, frames = _reach(), len(light)
    inner = light[reach : frames - reach]
    there_and_back = [
        inner - (light[reach - k : frames - reach - k] + light[reach + k : frames - reach + k]) / 2
        for k in range(1, reach + 1)
    ]
    return (torch.stack(there_and_back).abs().amax(0) - SAFE * CHANGE).clamp_min(0)


def calmed(stage: Stage, motion: Tensor, light: Tensor) -> Tensor:
    """Smooth a motion where its pictures flash more often than the rule allows.

    Args:
        stage: what is around the motion.
        motion: (T, 17) in [-1, 1].
        light: (T, pixels) luminance that the response foretells for it.
    """
    suspects = _suspects(stage, light)
    marked, calm = np.zeros(len(motion), np.float32), motion
    for seconds in GLIDES:
        moving = stage.motion(interpolated(calm.numpy(), float(RATE), stage.features.times))
        found = {frames: times for frames in suspects if (times := _flash_times(stage, moving, frames))}
        if not found:
            break
        suspects = list(found)
        for since, until in chain(*found.values()):
            marked[max(int((since - AROUND) * RATE), 0) : int((until + AROUND) * RATE) + 1] = 1
        share = torch.from_numpy(gaussian_filter1d(marked, BORDER * float(RATE)))[:, None]
        calm = motion + share * (gliding(motion, seconds) - motion)
    return calm


def _suspects(stage: Stage, light: Tensor) -> list[range]:
    """Passages of the video to be watched: those that are foretold to flash most, or all of a short song."""
    frames = stage.features.frames
    affordable = MOST_WATCHING // stage.generator.cost.multiplications
    most = int(np.clip(affordable, FEWEST_WATCHED, WATCHED))
    length = min(AT_ONCE, most, frames)
    starts = np.arange(0, max(frames - length, 0) + length, length).clip(max=frames - length)
    bad = np.pad(_excess(light).mean(1).numpy(), _reach()) if len(light) > 2 * _reach() else np.zeros(len(light))
    total = np.concatenate([[0.0], np.cumsum(bad)])
    edges = np.minimum((np.stack([starts, starts + length]) / float(stage.features.fps) * float(RATE)), len(bad))
    worst = np.argsort(-np.subtract(*total[edges.astype(np.int64)][::-1]), kind="stable")[: max(most // length, 1)]
    return [range(int(start), int(start) + length) for start in np.unique(starts[worst])]


def _flash_times(stage: Stage, moving: Motion, frames: range) -> list[tuple[float, float]]:
    """Begin and end, in seconds of the song, of each second of a passage in which pictures flash too often."""
    fps, meter, found = float(stage.features.fps), None, []
    shown = np.arange(frames.start, frames.stop)
    for index, picture in enumerate(pictures_at(moving, stage.generator, shown, height=None)):
        meter = meter or FlashMeter(Geometry.of(picture.shape[1], picture.shape[0]))
        (excesses,) = meter.excesses(to_light(measure(picture[None])[0][None]), [index / fps])
        found += [((frames.start + one.since) / fps, (frames.start + one.until) / fps) for one in excesses if one]
    return found
