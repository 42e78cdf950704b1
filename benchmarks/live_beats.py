"""Beats foretold at zero delay, against madmom's offline tracker, and on the demo song against its truth."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from audioreactive.features.neural_beats import track
from audioreactive.live.beats import BeatTracker
from audioreactive.live.hearing import STEP_RATE, Ear
from audioreactive.media.audio import ANALYSIS_RATE, from_samples, load
from audioreactive.media.demo import DEMO_SONG, ground_truth

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Times = NDArray[np.float64]

TOLERANCE: Final = 0.07
"""Seconds by which a beat may be off, as in the literature."""
SETTLE: Final = 10.0


class Result(NamedTuple):
    """How one song was foretold."""

    f1: float
    off: float
    """Median of the absolute errors in seconds of the beats that were found."""
    bpm: float


def foretold(samples: NDArray[np.float32]) -> tuple[Times, float]:
    """Moments at which the foretold phase passes a beat, and the median tempo."""
    known = BeatTracker().follow(Ear([]).hear(samples).flux)
    phase, period = (np.array([getattr(now, name) for now in known]) for name in ("phase", "period"))
    moved = (np.diff(phase) + 0.5) % 1 - 0.5
    passed = np.flatnonzero((phase[:-1] > 0.5) & (phase[1:] < 0.5) & (moved > 0)) + 1
    times = (passed + 1) / STEP_RATE - phase[passed] * period[passed]
    apart = np.diff(times, prepend=-np.inf) > 0.5 * period[passed]
    return times[apart], 60 / float(np.median(period))


def judged(samples: NDArray[np.float32], true: Times) -> Result:
    """Compare with true beats, after some seconds to settle."""
    found, bpm = foretold(samples)
    found, true = found[found >= SETTLE], true[true >= SETTLE]
    free, errors = list(found), []
    for beat in true:
        nearest = min(free, key=lambda time: abs(time - beat), default=np.inf)
        if abs(nearest - beat) <= TOLERANCE:
            free.remove(nearest)
            errors.append(abs(nearest - beat))
    both = len(found) + len(true)
    return Result(2 * len(errors) / both if both else 0.0, float(np.median(errors)) if errors else np.nan, bpm)


def main() -> None:
    """Print one row for each song."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("songs", type=Path, nargs="*")
    parser.add_argument("--seconds", type=int, default=60)
    asked = parser.parse_args()
    demo = judged(np.asarray(load(DEMO_SONG).samples), np.array(ground_truth().beats))
    print("| song | F1 | error, ms | bpm | true bpm |\n|---|---|---|---|---|")
    print(f"| demo | {demo.f1:.2f} | {1000 * demo.off:.0f} | {demo.bpm:.0f} | {ground_truth().tempo:.0f} |")
    results = []
    for path in asked.songs:
        samples = np.asarray(load(path).samples[: asked.seconds * ANALYSIS_RATE])
        true = track(from_samples(samples, ANALYSIS_RATE))
        result = judged(samples, true.beats)
        results.append(result)
        print(
            f"| {path.stem} | {result.f1:.2f} | {1000 * result.off:.0f} | {result.bpm:.0f} | {true.tempo:.0f} |",
            flush=True,
        )
    if results:
        f1, off = np.mean([r.f1 for r in results]), np.nanmedian([r.off for r in results])
        print(f"\n{len(results)} songs: F1 {f1:.2f}, median error {1000 * off:.0f} ms")


if __name__ == "__main__":
    main()
