"""The path between two takes, masters or edits of one song.

Two recordings of the same sound are told first, to the sample (`recordings`). What was played twice is compared by its
harmonies and its strokes: chroma says where, onsets say when (Ewert, Müller and Grosche, "High resolution audio
synchronization using chroma onset features", 2009). A rough ratio of the tempos is estimated before, because a path of
steps of a half to two cannot follow a take at half the speed.

Conventions: seconds of the first take, seconds of the second. An hour against an hour takes less than 2 GB.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive._support.files import as_path
from audioreactive.errors import SyncError
from audioreactive.media.audio import ANALYSIS_RATE, check_file, let_go, load
from audioreactive.progress import Progress, Silent, track_share
from audioreactive.sync.heard import HEARD_RATE, heard_changes
from audioreactive.sync.recordings import same_sound
from audioreactive.sync.report import R37, Tolerance, Verdict
from audioreactive.sync.warp import Path as Warp
from audioreactive.sync.warp import align, pooled

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]

ONSET_ROWS: Final = 5
"""Rows of `heard_changes` for one row of a take's features."""
ROW_RATE: Final = HEARD_RATE / ONSET_ROWS
"""Rows a second: 51.2."""
HOP: Final = round(ANALYSIS_RATE / ROW_RATE)
WINDOW: Final = 4096
"""Samples of a window of the chroma: 167 ms, in which notes a semitone apart are told from 200 Hz on."""
LOWEST, HIGHEST = 100.0, 4000.0
"""Hz between which the chroma listens."""
ONSET_SHARE: Final = 0.35
"""Share of the similarity that the onsets have."""
RATIOS: Final = (0.5, 0.63, 0.8, 1.0, 1.25, 1.6, 2.0)
"""Ratios of the tempos that are tried, beside that of the lengths."""
SMOOTH_ROWS: Final = 25
"""Rows, half a second, over which a path is smoothed: steps of one row are no change of tempo."""
LEAST_GAIN: Final = 1.35
"""Evidence for a path, relative to that for a path through the second take backwards, from which on it is told."""
LEAST_PART: Final = 2.0
"""Seconds of the shortest part between two leaps that is told."""
SHORTEST: Final = 2.0
"""Seconds of the shortest take."""
_ROWS: Final = 2048


@dataclass(frozen=True)
class Part:
    """A part of one take that is found in the other without a leap."""

    start: float
    """Seconds of the first take."""
    stop: float
    other_start: float
    """Seconds of the second take."""
    other_stop: float

    @property
    def speed(self) -> float:
        """How many times as fast the second take is."""
        return (self.stop - self.start) / max(self.other_stop - self.other_start, 1e-9)


@dataclass(frozen=True, eq=False)
class Way:
    """Which moments of two takes belong together."""

    paths: tuple[NDArray[np.float64], ...]
    """(n, 2) seconds of both takes, for each part without a leap."""

    def to_second(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Moments of the second take for moments of the first; beyond the ends at the same speed."""
        return self._mapped(seconds, 0)

    def to_first(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Moments of the first take for moments of the second."""
        return self._mapped(seconds, 1)

    def _mapped(self, seconds: NDArray[np.float64], side: int) -> NDArray[np.float64]:
        joined = np.concatenate(self.paths)
        x, y = joined[:, side], joined[:, 1 - side]
        at = np.asarray(seconds, np.float64)
        found = np.interp(at, x, y)
        moved: NDArray[np.float64] = found + np.minimum(at - x[0], 0) + np.maximum(at - x[-1], 0)
        return moved


@dataclass(frozen=True, eq=False)
class TakesReport:
    """Two takes compared."""

    verdict: Verdict
    reason: str
    tolerance: Tolerance
    durations: tuple[float, float]
    """Seconds of both takes."""
    way: Way | None
    """None if they have nothing in common."""
    is_same_recording: bool
    similarity: float
    """Evidence for the path, relative to that for one through the second take backwards."""

    @property
    def paths(self) -> tuple[NDArray[np.float64], ...]:
        """(n, 2) seconds of both takes, for each part without a leap."""
        return self.way.paths if self.way else ()

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts without a leap."""
        return tuple(Part(*(float(v) for v in (p[0, 0], p[-1, 0], p[0, 1], p[-1, 1]))) for p in self.paths)

    def as_json(self) -> dict[str, object]:
        """All numbers."""
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "durations": list(self.durations),
            "same_recording": self.is_same_recording,
            "similarity": self.similarity,
            "parts": [
                {
                    "start": p.start, "stop": p.stop, "other_start": p.other_start, "other_stop": p.other_stop,
                    "speed": p.speed,
                }
                for p in self.parts
            ],
            "paths": [np.round(path, 4).tolist() for path in self.paths],
        }  # fmt: skip


def compare_takes(
    first: Path | str, second: Path | str, *, tolerance: Tolerance = R37, progress: Progress | None = None
) -> TakesReport:
    """Find the path between two takes of a song.

    Raises:
        AudioError: a file cannot be used.
        SyncError: a take is shorter than two seconds.
    """
    progress = progress or Silent()
    paths = as_path(first), as_path(second)
    for path in paths:
        check_file(path)
    with track_share(progress, "listening") as report:
        report("decoding", 0.0)
        a, b = (load(path) for path in paths)
        for audio, path in zip((a, b), paths, strict=True):
            for note in audio.notes:
                progress.say(note)
            if audio.duration < SHORTEST:
                raise SyncError(
                    f"{path.name} lasts {float(audio.duration):.2f} s; takes of {SHORTEST:g} s or more are compared"
                )
        report("comparing", 0.3)
        return compare_sounds(a.samples, b.samples, tolerance=tolerance)


def compare_sounds(a: FloatArray, b: FloatArray, *, tolerance: Tolerance = R37) -> TakesReport:
    """Find the path between two mono sounds at `ANALYSIS_RATE`."""
    durations = len(a) / ANALYSIS_RATE, len(b) / ANALYSIS_RATE

    def nothing(reason: str, similarity: float = 0.0) -> TakesReport:
        return TakesReport("cannot tell", reason, tolerance, durations, None, False, similarity)

    if not a.any() or not b.any():
        return nothing(f"the {'second' if a.any() else 'first'} take is silent")
    if (same := same_sound(a, b)) is not None and same.agree.mean() > 0.8:
        ends = np.array([max(0.0, -same.lag), min(durations[0], (durations[1] - same.lag) / (1 + same.slope))])
        way = Way((np.stack([ends, ends * (1 + same.slope) + same.lag], axis=1),))
        return _judged(way, tolerance, durations, is_same=True, similarity=float("inf"))
    x, y = take_features(a), take_features(b)
    ratio, _ = tempo_ratio(x, y)
    y = _at_ratio(y, ratio)
    warp = align(x, y)
    backwards = align(x, np.ascontiguousarray(y[::-1]))
    similarity = warp.gain / max(backwards.gain, 1e-9)
    way = _way(warp, ratio)
    if similarity < LEAST_GAIN or not way.paths:
        return nothing(
            "they have no passage in common that is told from chance: they seem to be different songs", similarity
        )
    return _judged(way, tolerance, durations, is_same=False, similarity=similarity)


def _judged(
    way: Way, tolerance: Tolerance, durations: tuple[float, float], *, is_same: bool, similarity: float
) -> TakesReport:
    behind = np.concatenate([path[:, 1] - path[:, 0] for path in way.paths])
    low, high = float(behind.min()), float(behind.max())
    # The second take behind the first is a late sound.
    kept = tolerance.accepts(-low) and tolerance.accepts(-high) and len(way.paths) == 1
    what = "one recording" if is_same else "two takes of one song"
    if high - low < 0.005:
        where = f"the second is {abs(low) * 1e3:.0f} ms {'behind' if low >= 0 else 'ahead'} throughout"
    else:
        where = f"the second is between {low:+.2f} and {high:+.2f} s behind"
    leaps = f", with {len(way.paths) - 1} leaps" if len(way.paths) > 1 else ""
    return TakesReport(
        "in sync" if kept else "out of sync", f"{what}: {where}{leaps}", tolerance, durations, way, is_same, similarity
    )


def take_features(samples: FloatArray) -> FloatArray:
    """Chroma and onsets of a sound: (rows, 15) float32 at `ROW_RATE`, each row of norm 1."""
    chroma, onsets = _chroma(samples), _strokes(samples)
    rows = min(len(chroma), len(onsets))
    parts = []
    for table, share in ((chroma[:rows], 1 - ONSET_SHARE), (onsets[:rows], ONSET_SHARE)):
        table = table - table.mean(0)
        size = np.sqrt(np.square(table).sum(1).mean())
        norm = np.linalg.norm(table, axis=1, keepdims=True)
        parts.append(np.sqrt(share) * table / np.maximum(norm, 0.3 * size + 1e-9))
    return np.asarray(np.concatenate(parts, axis=1), np.float32)


def _chroma(samples: FloatArray) -> FloatArray:
    """Logarithm of the strength of the twelve pitch classes, (rows, 12)."""
    rows = -(-len(samples) // HOP)
    frequencies = np.fft.rfftfreq(WINDOW, 1 / ANALYSIS_RATE)
    used = (frequencies >= LOWEST) & (frequencies <= HIGHEST)
    pitch = np.rint(12 * np.log2(frequencies[used] / 440)).astype(int) % 12
    gather = np.eye(12, dtype=np.float32)[pitch]
    window = np.hanning(WINDOW).astype(np.float32)
    table = np.empty((rows, 12), np.float32)
    for first in range(0, rows, _ROWS):
        count = min(_ROWS, rows - first)
        start = first * HOP - WINDOW // 2
        stop = start + (count - 1) * HOP + WINDOW
        piece = np.zeros(stop - start, np.float32)
        inside = samples[max(start, 0) : min(stop, len(samples))]
        piece[max(-start, 0) : max(-start, 0) + len(inside)] = inside
        frames = np.lib.stride_tricks.sliding_window_view(piece, WINDOW)[::HOP]
        strength = np.abs(np.fft.rfft(frames * window, axis=1)[:, used]).astype(np.float32)
        table[first : first + count] = strength @ gather
        let_go(samples)
    return np.asarray(np.log1p(table / max(float(table.mean()), 1e-9)), np.float32)


def _strokes(samples: FloatArray) -> FloatArray:
    """Onsets of three bands, each ringing on for some rows, (rows, 3)."""
    heard = heard_changes(samples)[:, :3]
    rows = -(-len(heard) // ONSET_ROWS)
    padded = np.concatenate([heard, np.tile(heard[-1:], (rows * ONSET_ROWS - len(heard), 1))])
    strongest = padded.reshape(rows, ONSET_ROWS, 3).max(1)
    ringing = strongest.copy()
    for back, share in ((1, 0.7), (2, 0.4), (3, 0.2)):
        ringing[back:] = np.maximum(ringing[back:], share * strongest[:-back])
    return np.asarray(ringing, np.float32)


def tempo_ratio(x: FloatArray, y: FloatArray) -> tuple[float, float]:
    """(how many times slower the second take is, roughly; the evidence for it), by the coarsest paths."""
    best = (1.0, -1.0)
    scale = max(1, -(-max(len(x), len(y)) // 600))
    coarse = pooled(x, scale)
    lengths = len(y) / len(x)
    for ratio in (*RATIOS, *([lengths] if 0.4 < lengths < 2.5 else [])):
        other = pooled(_at_ratio(y, ratio), scale)
        if len(other) < 2:
            continue
        gain = align(coarse, other, leaps=False).gain / max(len(coarse), len(other))
        if gain > best[1] * (1.02 if best[1] > 0 else 1):
            best = (ratio, gain)
    return best


def _at_ratio(table: FloatArray, ratio: float) -> FloatArray:
    """The table as if it were played `ratio` times as fast."""
    if ratio == 1:
        return table
    rows = max(round(len(table) / ratio), 1)
    at = np.minimum((np.arange(rows) * ratio), len(table) - 1)
    low = at.astype(np.int64)
    share = (at - low).astype(np.float32)[:, None]
    return np.asarray(table[low] * (1 - share) + table[np.minimum(low + 1, len(table) - 1)] * share, np.float32)


def _way(warp: Warp, ratio: float) -> Way:
    """The path in seconds, smoothed between its leaps; short pieces are left out."""
    paths = []
    for piece in warp.pieces():
        if len(piece) < LEAST_PART * ROW_RATE:
            continue
        first = np.arange(piece[0, 0], piece[-1, 0] + 1)
        behind = np.interp(first, piece[:, 0], piece[:, 1] - piece[:, 0])
        smooth = np.convolve(
            np.pad(behind, SMOOTH_ROWS // 2, mode="reflect", reflect_type="odd"), _KERNEL, mode="valid"
        )
        second = np.maximum.accumulate(first + smooth)
        paths.append(np.stack([first / ROW_RATE, second * ratio / ROW_RATE], axis=1))
    return Way(tuple(paths))


_KERNEL: Final = np.hanning(SMOOTH_ROWS + 2)[1:-1] / np.hanning(SMOOTH_ROWS + 2).sum()
