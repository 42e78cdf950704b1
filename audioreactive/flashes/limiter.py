"""The smallest dimming after which a video has at most three flashes a second.

`plan` examines the thumbnails of a whole video and plans corrections of the frames in some passages; all other frames
stay unchanged, bit for bit. No flash is removed as a whole, because there is no good rule for which three to keep.
Instead, in a second with too many flashes, light may change by at most `STEP` within a sixth of a second. Every
transition then takes longer than that, and seven take longer than a second. This condition is convex, and `programme`
finds the smallest change that meets it.

If that is not enough (different places flash in turn, or flashes go on outside the second), the passage is solved again
for all frames and cells that still flash too often, with twice the time for a change of `STEP`. When a change takes a
whole second, no cell can flash any more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive.flashes.correction import Passage, correct_frame, knots, weights
from audioreactive.flashes.definition import ROUNDING, TRANSITIONS, luminance, to_light
from audioreactive.flashes.detect import FlashMeter
from audioreactive.flashes.programme import Programme, solve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from audioreactive.flashes.definition import Light
    from audioreactive.flashes.detect import Excess, Mask
    from audioreactive.flashes.measure import Thumbnails

STEP: Final = 0.075
"""Largest change of luminance that remains: three quarters of a transition. The rest is a margin for pixels that are
brighter than their cell, for rounding to 8 bits and for compression."""
MARGIN: Final = 1.5 * ROUNDING
"""Amount by which thresholds are lowered for a render, more than for a finished video, so that compression cannot turn
a change just below a transition into one."""
LEAD: Final = Fraction(9, 4)
"""Seconds before and after a passage in which light is dimmed and restored. At `STEP` in a sixth of a second, going
from full light to black takes 2.2 s."""
WINDOW: Final = Fraction(10)
"""Seconds that are solved at once. A window includes `LEAD` of the next, which continues from its end."""
PALLOR_RAMP: Final = Fraction(1, 4)
"""Seconds in which reds become pale before a passage, and red again after it."""
_MOST_ROUNDS: Final = 10
"""Most rounds of correcting and measuring."""
_MOST_NAMED: Final = 6
"""Most passages that the summary names."""
_UNCHANGED: Final = 1 / 512
"""Difference of a gain from 1 that changes no value by more than half a step of 8 bits."""


@dataclass(frozen=True, eq=False)
class _Core:
    """Successive frames, and the cells that flash too often in them."""

    first: int
    stop: int
    cells: Mask
    horizon: int
    """Frames within which light may change by `STEP`."""


@dataclass(frozen=True, eq=False)
class Plan:
    """Corrections of a video, and the counts of excess flashes."""

    frames: int
    passages: tuple[Passage, ...]
    """Corrected passages, in order and without overlap."""
    general_excess: int
    """Frames that ended a second with more than three general flashes, before the correction."""
    red_excess: int
    """Frames that ended a second with more than three red flashes, before the correction."""
    remaining: int
    """Frames that still do after the correction; 0 unless `_MOST_ROUNDS` were not enough."""

    def changes(self, start: int, stop: int) -> bool:
        """Whether any of these frames is changed."""
        return any(
            passage.changes(index)
            for passage in self.passages
            for index in range(max(start, passage.start), min(stop, passage.stop))
        )

    @property
    def changed_frames(self) -> int:
        """Number of changed frames."""
        return sum(passage.changes(i) for passage in self.passages for i in range(passage.start, passage.stop))

    @property
    def least_gain(self) -> float:
        """Smallest gain anywhere; 1 if nothing is dimmed."""
        return min((float(passage.gain.min()) for passage in self.passages), default=1.0)

    def apply(self, frames: NDArray[np.uint8], start: int) -> NDArray[np.uint8]:
        """Correct frames (n, H, W, 3) sRGB, of which the first is frame `start` of the video.

        Returns a new array, or the same one if no frame changes.
        """
        corrected = frames
        for passage in self.passages:
            for index in range(max(passage.start, start), min(passage.stop, start + len(frames))):
                if passage.changes(index):
                    if corrected is frames:
                        corrected = frames.copy()
                    corrected[index - start] = correct_frame(frames[index - start], index, passage)
        return corrected


def plan(thumbnails: Thumbnails, fps: Fraction) -> Plan:
    """Plan the corrections of a video; equal thumbnails give equal plans.

    Args:
        thumbnails: thumbnails of all frames.
        fps: frames a second.
    """
    before = left = _look(thumbnails, fps, ())
    general: list[_Core] = []
    red: list[_Core] = []
    passages: tuple[Passage, ...] = ()
    for _ in range(_MOST_ROUNDS):
        if not left.general_frames and not left.red_frames:
            break
        general, red = _grown(general, left.general, fps), _grown(red, left.red, fps)
        passages = _passages(thumbnails, fps, general, red)
        left = _look(thumbnails, fps, passages)
    remaining = left.general_frames + left.red_frames
    return Plan(len(thumbnails), passages, before.general_frames, before.red_frames, remaining)


def summary(plans: Sequence[Plan], left: int, fps: Fraction) -> str:
    """Sentence for the user about the corrections.

    Args:
        plans: all plans that were applied, one after another.
        left: number of frames that still end a second with too many flashes.
        fps: frames a second.
    """
    passages = [passage for made in plans for passage in made.passages]
    if not passages:
        return "no second has more than three flashes: nothing was changed"
    spans = _clocks(_joined(sorted((passage.start, passage.stop) for passage in passages)), fps)
    least = math.prod(made.least_gain for made in plans)
    done = [f"dimmed by up to {100 * (1 - least):.0f} %"] if least < 1 else []
    done += ["its reds made paler"] if any(made.red_excess for made in plans) else []
    changed = {i for passage in passages for i in range(passage.start, passage.stop) if passage.changes(i)}
    more = f"; {left} frames still end a second with more" if left else ""
    return (
        f"flashes were limited to three a second at {spans}: {' and '.join(done)} "
        f"({float(len(changed) / fps):.1f} s in all){more}"
    )


@dataclass
class _Found:
    """Places where a video flashes too often."""

    general: list[_Core] = field(default_factory=list)
    red: list[_Core] = field(default_factory=list)
    general_frames: int = 0
    red_frames: int = 0


def _look(thumbnails: Thumbnails, fps: Fraction, passages: tuple[Passage, ...]) -> _Found:
    """Find the places that flash too often after these corrections."""
    found, base = _Found(), _base_horizon(fps)
    meter = FlashMeter(thumbnails.geometry, MARGIN)
    frame = 0
    for block in thumbnails.blocks():
        frames = range(frame, frame + len(block))
        light = to_light(block)
        for passage in passages:
            for index in range(max(passage.start, frames.start), min(passage.stop, frames.stop)):
                light[index - frame] = passage.correct_light(index, light[index - frame])
        excesses = meter.excesses(light, [float(index / fps) for index in frames])
        for index, (general, red) in zip(frames, excesses, strict=True):
            if general is not None:
                found.general_frames += 1
                _extend(found.general, general, index, base)
            if red is not None:
                found.red_frames += 1
                _extend(found.red, red, index, base)
        frame = frames.stop
    return found


def _extend(cores: list[_Core], excess: Excess, index: int, base: int) -> None:
    """Add a second that ends with frame `index`, merged with the last core if they overlap."""
    # The first transition began at most a horizon before the frame that completes it.
    core = _Core(max(excess.since - base - 1, 0), index + 1, excess.cells, base)
    if cores and core.first <= cores[-1].stop:
        last = cores.pop()
        core = replace(core, first=min(last.first, core.first), cells=last.cells | core.cells)
    cores.append(core)


def _clocks(ranges: list[tuple[int, int]], fps: Fraction) -> str:
    """Times of frame ranges as text, rounded outwards to seconds, for example "1:02-1:05, 1:07-1:10"."""
    seconds = [(math.floor(start / fps), math.ceil(stop / fps)) for start, stop in ranges[:_MOST_NAMED]]
    spans = ", ".join(f"{a // 60}:{a % 60:02}-{b // 60}:{b % 60:02}" for a, b in seconds)
    more = len(ranges) - _MOST_NAMED
    return spans + (f" and {more} more" if more > 0 else "")


def _base_horizon(fps: Fraction) -> int:
    """Largest number of frames that take less than a sixth of a second; seven steps of one frame more take a second."""
    return max(math.ceil(fps / TRANSITIONS) - 1, 1)


def _grown(cores: list[_Core], found: list[_Core], fps: Fraction) -> list[_Core]:
    """Merge earlier cores with the ones found now; a core that still flashes gets a longer horizon."""
    second = math.ceil(fps)
    grown: list[_Core] = []
    for old in cores:
        meeting = [core for core in found if core.first < old.stop and old.first < core.stop]
        found = [core for core in found if core not in meeting]
        for core in meeting:
            first, stop = min(old.first, core.first), max(old.stop, core.stop)
            old = replace(old, first=first, stop=stop, cells=old.cells | core.cells)
        if meeting:
            old = replace(old, horizon=min(2 * old.horizon + 1, second))
        grown.append(old)
    return sorted([*grown, *found], key=lambda core: core.first)


def _passages(thumbnails: Thumbnails, fps: Fraction, general: list[_Core], red: list[_Core]) -> tuple[Passage, ...]:
    """Corrections of the cores, one passage for cores that overlap in time."""
    frames, lead, ramp = len(thumbnails), math.ceil(LEAD * fps), math.ceil(PALLOR_RAMP * fps)
    reach = [(max(core.first - lead, 0), min(core.stop + lead, frames)) for core in general]
    reach += [(max(core.first - ramp, 0), min(core.stop + ramp, frames)) for core in red]
    made = []
    for first, stop in _joined(sorted(reach)):
        gain = _gain(thumbnails, fps, _within(general, first, stop), first, stop)
        pallor = _pallor(thumbnails, _within(red, first, stop), first, stop, ramp)
        touched = np.flatnonzero((gain < 1).any(axis=(1, 2)) | pallor.any(axis=(1, 2)))
        if len(touched):
            kept = slice(touched[0], touched[-1] + 1)
            made.append(Passage(first + int(touched[0]), gain[kept], pallor[kept]))
    return tuple(made)


def _within(cores: list[_Core], first: int, stop: int) -> list[_Core]:
    return [core for core in cores if first < core.stop and core.first < stop]


def _joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for first, stop in ranges:
        if joined and first <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], stop)
        else:
            joined.append((first, stop))
    return joined


def _pallor(thumbnails: Thumbnails, cores: list[_Core], first: int, stop: int, ramp: int) -> Light:
    """Pallor (n, rows, columns) of knots: 1 in each core, with a ramp before and after it."""
    cells = thumbnails.geometry.cells
    pallor = np.zeros((stop - first, *knots(cells)), np.float32)
    frame = np.arange(first, stop)
    for core in cores:
        outside = np.maximum(np.maximum(core.first - frame, frame - (core.stop - 1)), 0)
        level = np.clip(1 - outside / (ramp + 1), 0, 1)
        np.maximum(pallor, level[:, None, None] * _knots_of(core.cells), out=pallor)
    return pallor


def _knots_of(cells: Mask) -> Mask:
    """Knots that have a weight in any of these cells, (rows, columns) of cells -> (rows, columns) of knots."""
    height, width = cells.shape
    rows, columns = knots((height, width))
    down, across = weights(height, rows) > 0, weights(width, columns) > 0
    heard: Mask = (down.T.astype(int) @ cells.astype(int) @ across.astype(int)) > 0
    return heard


def _gain(thumbnails: Thumbnails, fps: Fraction, cores: list[_Core], first: int, stop: int) -> Light:
    """Gain (n, rows, columns) of knots."""
    cells = thumbnails.geometry.cells
    rows, columns = knots(cells)
    gain = np.ones((stop - first, rows, columns))
    if not cores:
        return gain.astype(np.float32)
    horizon = max(core.horizon for core in cores)
    active = np.logical_or.reduce([_knots_of(core.cells) for core in cores])
    down, across = weights(cells[0], rows) > 0, weights(cells[1], columns) > 0
    window, ahead, base = math.ceil(WINDOW * fps), math.ceil(LEAD * fps), _base_horizon(fps)
    # Frames outside are unchanged, so the first and last frame here stay unchanged if the video goes on there.
    for start in range(first + (first > 0), stop, window):
        # Frames before the window are settled; the first frames of the next window are only looked at.
        begin, end = max(start - horizon, first), min(start + window + ahead, stop)
        light = luminance(to_light(thumbnails[begin:end]))
        tight = np.zeros(light.shape, bool)
        for core in cores:
            tight[max(core.first - begin, 0) : max(core.stop - begin, 0)] |= core.cells
        places, programmes = np.argwhere(active), []
        for row, column in places:
            near = np.ix_(np.arange(end - begin), np.flatnonzero(down[:, row]), np.flatnonzero(across[:, column]))
            settled = gain[begin - first : start - first, row, column]
            unchanged_end = end == stop < len(thumbnails)
            programmes.append(_programme(light[near], tight[near], base, horizon, settled, back=unchanged_end))
        for (row, column), solved in zip(places, solve(programmes), strict=True):
            gain[start - first : end - first, row, column] = solved[start - begin :]
    gain[gain > 1 - _UNCHANGED] = 1
    return gain.astype(np.float32)


def _programme(
    light: Light, tight: Mask, base: int, horizon: int, settled: NDArray[np.float64], *, back: bool
) -> Programme:
    """Problem for one knot. Cells that flash too often are limited to STEP within the horizon. Others are limited to
    their own changes within the base horizon, so that dimming adds no flash. The first gains are the settled ones; with
    `back` the last gain is 1.
    """
    frames = len(light)
    y, held = light.reshape(frames, -1).astype(np.float64), tight.reshape(frames, -1)
    bounds = []
    for k in range(1, min(horizon, frames - 1) + 1):
        own = np.maximum(np.abs(y[:-k] - y[k:]), STEP) if k <= base else np.inf
        bounds.append(np.where(held[:-k] & held[k:], STEP, own))
    low, high = np.zeros(frames), np.ones(frames)
    low[: len(settled)] = high[: len(settled)] = settled
    if back:
        low[-1] = 1
    return Programme(y, tuple(bounds), low, high)
