"""Features of a video, computed from a stream of frames: Table 3.2 of the thesis.

Conventions: T frames, of any size. If the shorter side has more than 256 pixels, frames are shrunk to that, so that
features do not depend on the resolution. Pixel values are in [0, 1]. Frame i is the picture that is shown from i / fps
seconds on. Features of change (difference, flow, onsets) compare a frame with the one before; frame 0 gets the value of
frame 1. Only the features are kept in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]

LARGEST_SIDE = 256
"""Most pixels of the shorter side; larger frames are shrunk."""
BATCH, MOST_PIXELS = 2, 2 * 256 * 256
"""Frames that are measured at once: two large ones fit the processor's cache, of small ones up to so many pixels."""
MOST_AT_ONCE = 32
"""Most frames that are measured at once, however small."""
SMALLEST_FOLLOWED = 16
"""Fewest pixels of the shorter side for optical flow; in smaller frames the directogram is 0."""
HISTOGRAM_BINS = 32
SPECTRUM_BANDS = 32
DIRECTIONS = 16
VARYING_BANDS = 8
"""Number of bands of the spectrogram in `adaptive_rms`: the quarter that varies most over the video."""


@dataclass(frozen=True)
class VideoFeature:
    """One row of Table 3.2 of the thesis."""

    name: str
    channels: int
    description: str


VIDEO_FEATURES: dict[str, VideoFeature] = {
    feature.name: feature
    for feature in (
        VideoFeature("rgb_histogram", 96, "share of pixels in each of 32 levels of red, green and blue"),
        VideoFeature("hsv_histogram", 96, "share of pixels in each of 32 hues, saturations and values"),
        VideoFeature("visual_variance", 1, "variance of all pixel values"),
        VideoFeature("spectrogram", 32, "strength of detail in 32 spatial frequencies, coarse to fine"),
        VideoFeature("low_rms", 1, "strength of the coarsest third of the spectrogram"),
        VideoFeature("mid_rms", 1, "strength of the middle third"),
        VideoFeature("high_rms", 1, "strength of the finest third"),
        VideoFeature("adaptive_rms", 1, "strength of the eight bands that vary most over the video"),
        VideoFeature("absolute_difference", 1, "mean change of a pixel since the frame before"),
        VideoFeature("directogram", 16, "mean movement in each of 16 directions, in picture heights a frame"),
        VideoFeature("spectral_onsets", 1, "sudden gains in the spectrogram"),
        VideoFeature("flow_onsets", 1, "sudden gains in the directogram"),
    )
}


_WIDTHS = (96, 96, 1, SPECTRUM_BANDS, 1, DIRECTIONS)
"""Columns of each measurement of a frame: both histograms, variance, spectrogram, difference, directogram."""
_BLOCK = 1024
"""Rows that are processed at once, and the initial size of tables if the number of frames is unknown."""


def watch(frames: Iterable[NDArray[np.uint8]], *, expected: int = _BLOCK) -> dict[str, FloatArray]:
    """Measure frames (H, W, 3) uint8 RGB: name -> (T, C) float32 for each of VIDEO_FEATURES; T is 0 without frames.

    `expected` is the approximate number of frames. If more come, the tables are copied to grow.
    """
    measured = _measured(frames, expected)
    if not len(measured[0]):
        return {name: np.zeros((0, feature.channels), np.float32) for name, feature in VIDEO_FEATURES.items()}
    rgb, hsv, variance, spectrum, difference, directions = measured
    for changes in (directions, difference):
        changes[:1] = changes[1:2] if len(changes) > 1 else 0
    thirds = [round(SPECTRUM_BANDS * i / 3) for i in range(4)]
    varying = spectrum.var(0, correction=0).argsort(descending=True, stable=True)[:VARYING_BANDS]
    features = {
        "rgb_histogram": rgb,
        "hsv_histogram": hsv,
        "visual_variance": variance,
        "spectrogram": spectrum,
        "low_rms": _rms(spectrum[:, thirds[0] : thirds[1]]),
        "mid_rms": _rms(spectrum[:, thirds[1] : thirds[2]]),
        "high_rms": _rms(spectrum[:, thirds[2] : thirds[3]]),
        "adaptive_rms": _rms(spectrum[:, varying]),
        "absolute_difference": difference,
        "directogram": directions,
        # As for sound, gains count as ratios; the floor, a tenth of the mean, keeps constant bands quiet.
        "spectral_onsets": _flux(spectrum, log_floor=0.1 * spectrum.mean(0)),
        "flow_onsets": _flux(directions),
    }
    return {name: table.numpy() for name, table in features.items()}


def _measured(frames: Iterable[NDArray[np.uint8]], expected: int) -> list[torch.Tensor]:
    """Measurements of all frames, (T, C) for each of _WIDTHS.

    The tables are allocated at once; the system provides only the memory that is filled. Many small tables would be
    scattered among the large temporary tables of each batch, so that the C library could not reuse the memory of these:
    a megabyte lost for each frame.
    """
    tables = [torch.empty(max(expected, MOST_AT_ONCE), width) for width in _WIDTHS]
    watcher: _Watcher | None = None
    count = 0
    for batch in _batches(frames):
        watcher = watcher or _Watcher(*batch.shape[1:3])
        stop = count + len(batch)
        if stop > len(tables[0]):
            tables = [torch.cat([table, torch.empty_like(table)]) for table in tables]
        for table, values in zip(tables, watcher.measure(batch).split_with_sizes(_WIDTHS, dim=1), strict=True):
            table[count:stop] = values
        count = stop
    return [table[:count] for table in tables]


def _batches(frames: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    """Batches (n, H, W, 3) of frames, shrunk to LARGEST_SIDE."""
    kept: list[NDArray[np.uint8]] = []
    for frame in frames:
        kept.append(_shrunk(frame))
        if len(kept) >= min(max(MOST_PIXELS // (kept[0].size // 3), BATCH), MOST_AT_ONCE):
            yield np.stack(kept)
            kept = []
    if kept:
        yield np.stack(kept)


def _shrunk(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    height, width, _ = frame.shape
    scale = LARGEST_SIDE / min(height, width)
    if scale >= 1:
        return frame
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)


class _Watcher:
    """Measures batches of frames of one size; keeps the last frame to measure changes."""

    def __init__(self, height: int, width: int) -> None:
        import cv2

        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        # The coarsest scale of the flow depends on the width only, and must be at least a patch high.
        self._turned = width > height
        self._follows = min(height, width) >= SMALLEST_FOLLOWED
        self._previous: NDArray[np.uint8] | None = None
        self._previous_grey: NDArray[np.uint8] | None = None
        self._bands, self._band_sizes = _spectrum_bands(height, width)

    def measure(self, batch: NDArray[np.uint8]) -> torch.Tensor:
        """Measure the next frames (n, H, W, 3) uint8: (n, sum of _WIDTHS)."""
        before = batch[:1] if self._previous is None else self._previous
        steps = np.concatenate([before, batch])
        self._previous = batch[-1:]
        levels = torch.from_numpy(np.ascontiguousarray(batch.transpose(3, 0, 1, 2)))  # [3, n, H, W]
        pixels = levels.float().div_(255)
        grey = 0.299 * pixels[0] + 0.587 * pixels[1] + 0.114 * pixels[2]
        change = torch.from_numpy(np.abs(np.diff(steps.astype(np.int16), axis=0))).float()
        columns = (
            _histogram((levels // (256 // HISTOGRAM_BINS)).int()),
            _histogram(_hsv(pixels).mul_(HISTOGRAM_BINS).int().clamp_(max=HISTOGRAM_BINS - 1)),
            (pixels.square().mean((0, 2, 3)) - pixels.mean((0, 2, 3)).square()).clamp_(min=0)[:, None],
            self._spectrum(grey),
            change.flatten(1).mean(1)[:, None] / 255,
            self._directions(grey),
        )
        return torch.cat(columns, dim=1)

    def _spectrum(self, grey: torch.Tensor) -> torch.Tensor:
        """Mean amplitude in rings of spatial frequency, (n, H, W) -> (n, SPECTRUM_BANDS)."""
        amplitude = torch.fft.rfft2(grey, norm="ortho").abs().flatten(1)
        rings = torch.zeros(len(grey), SPECTRUM_BANDS + 1).index_add_(1, self._bands, amplitude)
        return rings[:, :SPECTRUM_BANDS] / self._band_sizes

    def _directions(self, grey: torch.Tensor) -> torch.Tensor:
        """Directograms (Davis and Agrawala, 2018) of the flow from the frames before, (n, H, W) -> (n, DIRECTIONS)."""
        count, size = len(grey), grey[0].numel()
        if not self._follows:
            return torch.zeros(count, DIRECTIONS)
        images = (grey.mT if self._turned else grey).mul(255).round_().to(torch.uint8).contiguous().numpy()
        flow = torch.from_numpy(np.stack([self._flowing(image) for image in images])).flatten(1, 2)  # [n, H W, 2]
        first, second = flow.permute(2, 0, 1).contiguous()
        right, down = (second, first) if self._turned else (first, second)
        turns = torch.atan2(down, right).div_(2 * np.pi)
        # The middle of the first direction points right.
        direction = turns.mul_(DIRECTIONS).add_(0.5).floor_().int().remainder_(DIRECTIONS)
        direction += DIRECTIONS * torch.arange(count, dtype=torch.int32)[:, None]
        sums = torch.bincount(direction.flatten(), torch.hypot(right, down).flatten(), count * DIRECTIONS)
        return sums.view(count, DIRECTIONS) / (size * grey.shape[1])

    def _flowing(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Flow (h, w, 2) from the frame before, 0 for the first."""
        before, self._previous_grey = self._previous_grey, image
        still = np.zeros((*image.shape, 2), np.float32)
        return still if before is None else np.asarray(self._flow.calc(before, image, still), np.float32)


def _histogram(levels: torch.Tensor) -> torch.Tensor:
    """Share of pixels in each bin, (3, n, H, W) int32 in 0..HISTOGRAM_BINS-1 -> (n, 3 · HISTOGRAM_BINS)."""
    channels, count, height, width = levels.shape
    frames, rows = torch.arange(count, dtype=torch.int32), torch.arange(channels, dtype=torch.int32)
    slots = (frames[None, :] * channels + rows[:, None]) * HISTOGRAM_BINS
    counts = torch.bincount((levels + slots[:, :, None, None]).flatten(), minlength=count * channels * HISTOGRAM_BINS)
    return counts.view(count, channels * HISTOGRAM_BINS).float() / (height * width)


def _hsv(pixels: torch.Tensor) -> torch.Tensor:
    """Convert RGB (3, ...) in [0, 1] to hue (1 is a full turn), saturation and value in [0, 1]; grey has hue 0."""
    red, green, blue = pixels
    value = torch.maximum(torch.maximum(red, green), blue)
    chroma = value - torch.minimum(torch.minimum(red, green), blue)
    is_red, is_green = value == red, value == green
    difference = torch.where(is_red, green - blue, torch.where(is_green, blue - red, red - green))
    sector = difference.div_(chroma.clamp(min=1e-6)).add_(torch.where(is_red, 0.0, torch.where(is_green, 2.0, 4.0)))
    hue = torch.where(sector < 0, sector + 6, sector).div_(6)
    return torch.stack([hue, chroma / value.clamp(min=1e-6), value])


def _spectrum_bands(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Band of each point of a real 2D spectrum, and the sizes of the bands.

    Bands divide the frequencies up to half a cycle per pixel equally. The mean brightness and the corners beyond belong
    to an extra band that is not used.
    """
    vertical, horizontal = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None, :]
    radius = (vertical.square() + horizontal.square()).sqrt()
    band = (radius * 2 * SPECTRUM_BANDS).ceil().long() - 1
    band[(band < 0) | (band >= SPECTRUM_BANDS)] = SPECTRUM_BANDS
    bands = band.flatten()
    return bands, torch.bincount(bands, minlength=SPECTRUM_BANDS + 1)[:SPECTRUM_BANDS].clamp(min=1).float()


def _rms(bands: torch.Tensor) -> torch.Tensor:
    return bands.square().mean(1, keepdim=True).sqrt()


def _flux(bands: torch.Tensor, *, log_floor: torch.Tensor | None = None) -> torch.Tensor:
    """Mean gain of all bands since the frame before, (T, C) -> (T, 1); losses count as 0. With a floor (C,), gains are
    differences of logarithms above it.
    """
    gains = torch.zeros(len(bands), 1)
    for start in range(1, len(bands), _BLOCK):
        rows = bands[start - 1 : start + _BLOCK]
        if log_floor is not None:
            rows = (rows + log_floor + 1e-9).log()
        gains[start : start + _BLOCK] = rows.diff(dim=0).clamp_(min=0).mean(1, keepdim=True)
    gains[:1] = gains[1:2] if len(gains) > 1 else 0
    return gains
