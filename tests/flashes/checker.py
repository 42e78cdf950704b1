"""Another reading of WCAG 2.2's "general flash and red flash thresholds", pixel by pixel; no code of the package in it.

It works the other way round: a trace is first reduced to its peaks and valleys, the smallest wriggles taken out until
every step left is a transition, which belongs to the frame in which the change reaches a tenth.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fractions import Fraction

STEP = 0.1
DARKER_BELOW = 0.8


def linear(frames: np.ndarray) -> np.ndarray:
    c = frames.astype(float) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def peaks_and_valleys(trace: np.ndarray, step: float = STEP) -> list[int]:
    """Frames of the extremes between which the trace moves by at least `step`."""
    moves = np.flatnonzero(np.diff(trace)) + 1
    rising = np.sign(trace[moves] - trace[moves - 1])
    extremes = [0, *(moves[:-1][rising[1:] != rising[:-1]]).tolist(), *moves[-1:].tolist()]
    values = trace[extremes].tolist()
    steps = [abs(b - a) for a, b in itertools.pairwise(values)]
    while steps and (smallest := min(steps)) < step:
        # A wriggle goes with both its ends; one at the border of the video with the outer one alone.
        least = steps.index(smallest)
        if least == 0:
            del extremes[0], values[0], steps[0]
        elif least == len(steps) - 1:
            del extremes[-1], values[-1], steps[-1]
        else:
            del extremes[least : least + 2], values[least : least + 2]
            steps[least - 1 : least + 2] = [abs(values[least] - values[least - 1])]
    return extremes


def general_transitions(trace: np.ndarray) -> list[int]:
    if trace.max() - trace.min() < STEP:
        return []
    ends, values = [], trace.tolist()
    for a, b in itertools.pairwise(peaks_and_valleys(trace)):
        first = values[a]
        if min(first, values[b]) < DARKER_BELOW:
            reached = (
                k for k in range(a, b + 1) if abs(values[k] - first) >= STEP and min(values[k], first) < DARKER_BELOW
            )
            ends.append(next(reached, a))
    return ends


def red_transitions(colours: np.ndarray) -> list[int]:
    """(n, 3) linear -> frames; every state since the last transition is compared, none is singled out.

    The formula of u' and v' has no value for black. As documented, a screen reflects a thousandth of its white.
    """
    x = colours @ np.array([0.4124, 0.3576, 0.1805])
    y = colours @ np.array([0.2126, 0.7152, 0.0722])
    z = colours @ np.array([0.0193, 0.1192, 0.9505])
    x, y, z = x + 0.001 * 0.9505, y + 0.001, z + 0.001 * 1.089
    uv = np.stack([4 * x, 9 * y], -1) / (x + 15 * y + 3 * z)[:, None]
    red = (colours[:, 0] > 0) & (colours[:, 0] >= 0.8 * colours.sum(1))
    if not red.any():
        return []
    apart = np.hypot(*(uv[:, None] - uv).T).T > 0.2
    if not apart.any():
        return []
    found, since, to_red = [], 0, None
    for i in range(1, len(colours)):
        far = apart[since:i, i]
        if to_red is not True and red[i] and (far & ~red[since:i]).any():
            to_red = True
        elif to_red is not False and (far & red[since:i]).any() and not red[i]:
            to_red = False
        else:
            continue
        found.append(i)
        since = i
    return found


def table(frames: np.ndarray, kind: str) -> np.ndarray:
    """(n, H, W): whether a pixel ends a transition in a frame."""
    n, height, width, _ = frames.shape
    pixels = frames.transpose(1, 2, 0, 3).reshape(height * width, n * 3)
    places: dict[bytes, int] = {}
    which = [places.setdefault(codes.tobytes(), len(places)) for codes in pixels]
    out = np.zeros((len(places), n), bool)
    light = linear(np.arange(256))
    for row, codes in zip(out, places, strict=True):
        colours = light[np.frombuffer(codes, np.uint8).reshape(n, 3)]
        ends = red_transitions(colours) if kind == "red" else general_transitions(colours @ [0.2126, 0.7152, 0.0722])
        row[ends] = True
    return out[which].reshape(height, width, n).transpose(2, 0, 1)


def large_places(pixels: np.ndarray) -> np.ndarray:
    """Each place of ten degrees of the visual field, and the whole picture last: whether more than a quarter is set."""
    height, width = pixels.shape
    scale = min(1024 / width, 768 / height)
    box = (min(max(int(256 / scale), 1), height), min(max(int(341 / scale), 1), width))
    places = np.zeros((height - box[0] + 1) * (width - box[1] + 1) + 1, bool)
    if pixels.sum() > 0.25 * box[0] * box[1]:
        sums = np.pad(pixels.astype(int), ((1, 0), (1, 0))).cumsum(0).cumsum(1)
        sums = sums[box[0] :] - sums[: -box[0]]
        sums = sums[:, box[1] :] - sums[:, : -box[1]]
        places[:-1] = sums.ravel() > 0.25 * box[0] * box[1]
        places[-1] = pixels.mean() > 0.25
    return places


def breaks_the_rules(frames: np.ndarray, fps: Fraction) -> set[str]:
    """The kinds of flash, of {"general", "red"}, of which more than three fall in any one second."""
    broken = set()
    n = len(frames)
    for kind in ("general", "red"):
        ends = table(frames, kind)
        if not ends.any():
            continue
        # A flash is two opposing transitions of the same pixel, in the same second.
        flashes = np.zeros_like(ends)
        open_since = np.full(ends.shape[1:], -np.inf)
        for i in range(n):
            closes = ends[i] & (open_since > float(i / fps) - 1 + 1e-9)
            flashes[i] = closes
            open_since = np.where(ends[i], np.where(closes, -np.inf, float(i / fps)), open_since)
        large = np.array([large_places(mask) for mask in flashes])
        # As documented: flashes in several parts of a place within a twelfth of a second are one flash.
        counted = np.full(large.shape[1], -np.inf)
        for i in range(n):
            large[i] &= i - counted >= float(fps / 12)
            counted[large[i]] = i
        for last in range(n):
            first = max(math.floor(last - fps) + 1, 0)
            if (large[first : last + 1].sum(0) > 3).any() or large_places(ends[first : last + 1].sum(0) > 6).any():
                broken.add(kind)
                break
    return broken
