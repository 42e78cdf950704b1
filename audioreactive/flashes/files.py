"""The flashes of a video file."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from audioreactive._support.files import as_path
from audioreactive.errors import VideoError
from audioreactive.flashes.definition import FLASHES, Geometry, luminance, to_light
from audioreactive.flashes.detect import FlashMeter
from audioreactive.flashes.measure import BLOCK, measure
from audioreactive.progress import Progress, Silent
from audioreactive.video import frame_times, probe, read_frames

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

Kind = Literal["general", "red"]
KINDS: Final[tuple[Kind, ...]] = ("general", "red")
_LONGEST_FRAME: Final = 0.25
"""Longest time in seconds that the last frame of a passage is assumed to be shown."""


@dataclass(frozen=True)
class Stretch:
    """A part of a video with more than three flashes a second."""

    kind: Kind
    start: float
    """Start in seconds."""
    stop: float
    """End in seconds."""
    most: float
    """Flashes in the worst second; a transition without its return counts half."""


@dataclass(frozen=True, eq=False)
class FlashReport:
    """The flashes of a video over time."""

    times: NDArray[np.float64]
    """Time in seconds at which each frame is shown, shape (T,)."""
    brightness: NDArray[np.float32]
    """Mean relative luminance of each frame, shape (T,)."""
    flashes: dict[Kind, NDArray[np.float32]]
    """Kind -> flashes in the second up to each frame, in more than a quarter of any ten degrees, shape (T,)."""
    stretches: tuple[Stretch, ...]
    """Stretches with too many flashes, in order of time; empty if the video keeps the rules."""

    def most(self, kind: Kind) -> float:
        """Flashes in the worst second."""
        return float(self.flashes[kind].max())

    @property
    def within(self) -> bool:
        """Whether the video has at most three flashes of each kind in any second."""
        return not self.stretches


def find_flashes(video: Path | str, *, progress: Progress | None = None) -> FlashReport:
    """Count the flashes of a video file, or of a folder of frames that this program wrote, as WCAG 2.2 defines them.

    Raises:
        VideoError: the video does not exist, cannot be read, or has only one frame.
    """
    video = as_path(video)
    info, stated = probe(video), frame_times(video).frames
    if info.frames < 2:
        raise VideoError(f"{video} has {info.frames} frame; a flash takes at least two")
    times: list[float] = []
    watched = _Watched((info.width, info.height))
    with (progress or Silent()).track("watching", info.frames, "frame") as advance:
        for thumbnails in _thumbnails(video):
            for i in range(len(times), len(times) + len(thumbnails)):
                # A damaged file may have more pictures than time stamps.
                times.append(float(stated[i]) if i < len(stated) else times[-1] + float(1 / info.fps))
            watched.push(thumbnails, times)
            advance(len(thumbnails))
    if len(watched) < 2:
        raise VideoError(f"{video} has {len(watched)} frames that can be decoded; a flash takes at least two")
    return watched.report(times[: len(watched)])


def flashes_of(
    thumbnails: Iterable[NDArray[np.uint8]], times: Sequence[float], size: tuple[int, int]
) -> tuple[Stretch, ...]:
    """Find the stretches with too many flashes in thumbnails of frames; none if there are fewer than two frames.

    Args:
        thumbnails: results of `measure` for successive frames, in blocks (n, rows, columns, 3).
        times: time in seconds of each frame.
        size: (width, height) of the frames.
    """
    watched = _Watched(size)
    for block in thumbnails:
        watched.push(block, times)
    return watched.report(times[: len(watched)]).stretches if len(watched) > 1 else ()


class _Watched:
    """Counts the flashes of successive thumbnails.

    Args:
        size: (width, height) of the frames.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self._meter = FlashMeter(Geometry.of(*size))
        self._brightness: list[float] = []
        self._counts: dict[Kind, list[int]] = {kind: [] for kind in KINDS}
        self._excesses: dict[Kind, list[tuple[int, int, int]]] = {kind: [] for kind in KINDS}

    def __len__(self) -> int:
        """Number of frames so far."""
        return len(self._brightness)

    def push(self, thumbnails: NDArray[np.uint8], times: Sequence[float]) -> None:
        """Add thumbnails (n, rows, columns, 3); `times` are those of all frames, from the first on."""
        first = len(self)
        light = to_light(thumbnails)
        self._brightness += luminance(light).mean(axis=(1, 2)).tolist()
        for i, moment in enumerate(self._meter.push(light, list(times[first : len(self)])), start=first):
            for kind in KINDS:
                count = moment.general if kind == "general" else moment.red
                self._counts[kind].append(count.transitions)
                if count.excess is not None:
                    self._excesses[kind].append((i, count.excess.since, count.excess.until))

    def report(self, times: Sequence[float]) -> FlashReport:
        """Sum up."""
        shown = np.array(times)
        halves = {kind: np.array([n / 2 for n in values], np.float32) for kind, values in self._counts.items()}
        found = [stretch for kind in KINDS for stretch in _stretches(kind, self._excesses[kind], halves[kind], shown)]
        found.sort(key=lambda stretch: (stretch.start, stretch.kind))
        return FlashReport(shown, np.array(self._brightness, np.float32), halves, tuple(found))


def _thumbnails(video: Path) -> Iterator[NDArray[np.uint8]]:
    """Thumbnails of all frames in blocks (n, rows, columns, 3)."""
    frames = read_frames(video)
    while block := [measure(frame[None])[0] for frame in itertools.islice(frames, BLOCK)]:
        yield np.stack(block)


def _stretches(
    kind: Kind, excesses: list[tuple[int, int, int]], flashes: NDArray[np.float32], times: NDArray[np.float64]
) -> list[Stretch]:
    """Stretches from the first to the last transition of seconds with too many flashes; overlapping ones are merged.

    Args:
        excesses: (last frame of the second, frame of its first transition, frame of its last transition).
    """
    found: list[Stretch] = []
    frame = min(float(np.median(np.diff(times))), _LONGEST_FRAME)
    for index, first, last in excesses:
        stretch = Stretch(kind, float(times[first]), float(times[last]) + frame, float(flashes[index]))
        if found and stretch.start <= found[-1].stop:
            before = found.pop()
            stretch = Stretch(kind, before.start, stretch.stop, max(before.most, stretch.most))
        found.append(stretch)
    return found


def sentence(report: FlashReport, name: str) -> str:
    """Sentence for the user about the result."""
    most = " and ".join(f"{report.most(kind):g} {kind}" for kind in KINDS)
    if report.within:
        return f"{name} keeps to {FLASHES} flashes a second: at most {most} in any one"
    return f"{name} flashes too often for photosensitive viewers: up to {most} flashes in a second; {FLASHES} are safe"
