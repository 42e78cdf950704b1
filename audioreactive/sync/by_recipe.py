"""The offset of a video that carries its recipe: the pictures that the recipe makes of the sound, held against its own.

The recipe is first computed for the sound as it is, which tells the lag to a frame, or a few lags that fit alike: what
runs by bars fits a bar later as well, and bars may be heard elsewhere in a sound that begins later. Then it is computed
for the sound moved by what was found. At the true lag it hears what the video was made from, and its pictures are the
video's; at every other one they are not.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive.errors import AudioError, AudioReactiveError
from audioreactive.media.audio import ANALYSIS_RATE
from audioreactive.sync.estimate import CLEAR_SLOPE, LEAST_SPREAD, Line, Segment, estimate, fitted_line
from audioreactive.sync.evidence import REACH, Evidence
from audioreactive.sync.foretell import MOST_FRAMES, between, foretold_evidence, likeness, passages_of
from audioreactive.sync.found import READING, Found

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    from numpy.typing import NDArray

    from audioreactive.features import Features
    from audioreactive.media.audio import Audio
    from audioreactive.progress import Advance, Progress
    from audioreactive.sync.foretell import RecipeForetold
    from audioreactive.sync.report import Basis
    from audioreactive.sync.watching import Watched

    FloatArray = NDArray[np.float32]

CANDIDATES: Final = 4
"""Most lags that the recipe is computed for, where more than one fit."""
CLOSEST: Final = 0.55
"""Height of another peak, relative to the first, from which on both are tried."""
PEAKS_APART: Final = 0.25
"""Least distance in seconds of two lags that are tried: a beat at 240 a minute. Nearer ones belong to one peak."""
ALIKE: Final = 0.6
"""Correlation of changes from which on the recipe makes the video's pictures: at the true lag it is 0.9 and more, a bar
beside it 0.5."""
NEAR: Final = 2
"""Frames by which a lag is moved at most to fit best, when it is tried."""
CLOSE_ENOUGH: Final = 0.001
"""Seconds that the sound is still moved, at most, when its recipe has been computed for the last time."""
APART: Final = 0.016
"""Seconds between the two sounds between which a video is placed: half a frame at 30 a second."""
FEWEST_SHARP: Final = 3
"""Fewest passages with sudden changes that tell an offset; where there are fewer, steady ones are asked, and a drift is
not told: loops run at the tempo, which is estimated anew."""
ROUGH: Final = 0.008
"""Uncertainty in seconds of an offset by steady changes."""
BEATS_APART: Final = 0.003
"""Uncertainty in seconds of where the beats of a sound that was coded again or moved are heard."""
WORSE: Final = 1.5
"""Growth of the spread of the passages' lags from which on a pass is not believed."""
MOST_PASSES: Final = 2
"""Most times that a recipe is computed."""
_PIECE: Final = 1 << 20


def by_recipe(
    watched: Watched,
    sound: Audio,
    start: float,
    recipe: RecipeForetold,
    progress: Progress,
    notes: list[str],
) -> Found | None:
    """The lag by the video's recipe; None where it cannot be computed.

    The recipe is computed again for the sound moved by what was found, until nothing is left to move: then both
    pictures show the same moments, and their changes agree to a fraction of a frame.
    """
    fps = watched.info.fps.limit_denominator(10_000)
    if not watched.times.is_even(watched.info.fps) or not 1 <= fps <= 240:
        return None
    with progress.track("foretelling", 1 + 2 * MOST_PASSES, "pass") as advance:
        try:
            evidence = _foretold(watched, sound, start, recipe, fps)
            advance(1)
            basis: Basis = "recipe" if recipe.shows_pictures else "motion"
            rough = Found(estimate(evidence), evidence, basis, READING * watched.clock.last)
            if not recipe.shows_pictures or len(rough.estimate.segments) > 1:
                return rough if rough.estimate.rival <= CLOSEST else None
            if rough.estimate.rival > CLOSEST:
                tried = _tried(rough, watched, sound, start, recipe, fps)
                if tried is None:
                    notes.append("the video's preset hears another rhythm in this sound: its pictures foretell nothing")
                    return None
                rough = tried
            if not rough.is_clear:
                return rough
            return _refined(rough, watched, sound, start, recipe, fps, advance)
        except AudioReactiveError as error:
            notes.append(f"the video's preset cannot be used: {error}")
            return None


def _foretold(watched: Watched, sound: Audio, start: float, recipe: RecipeForetold, fps: Fraction) -> Evidence:
    """Evidence for the lags of a sound behind the picture, by what the recipe makes of the sound."""
    passages = passages_of(len(watched.cells), fps, most=MOST_FRAMES // 2)
    lags = round(REACH * fps)
    wider = [range(passage.start - lags, passage.stop + lags) for passage in passages]
    foretold = recipe(_features(_moved(sound, start, 0.0, 0.0, 0.0), fps * recipe.step, recipe), wider)
    return foretold_evidence(_passages(watched, passages), foretold, passages, fps)


def _tried(
    rough: Found, watched: Watched, sound: Audio, start: float, recipe: RecipeForetold, fps: Fraction
) -> Found | None:
    """The one of several lags at which the recipe makes the pictures that are there, with what the others reach.

    None: it makes them at none. Beats of a sound that was coded again may be heard elsewhere, and with them its loops.
    """
    evidence = rough.evidence
    passages = passages_of(len(watched.cells), fps, most=MOST_FRAMES // 2)
    seen = _passages(watched, passages)
    wider = [range(passage.start - NEAR, passage.stop + NEAR) for passage in passages]
    lags = _peaks(evidence)
    reached = np.array([
        likeness(seen, recipe(_features(_moved(sound, start, lag, 0.0, 0.0), fps * recipe.step, recipe), wider))
        for lag in lags
    ])  # fmt: skip
    best = int(reached.argmax())
    if reached[best] < ALIKE:
        return None
    near = np.abs(evidence.lags - lags[best]) < PEAKS_APART / 2
    told = estimate(replace(evidence, curves=np.where(near, evidence.curves, 0).astype(np.float32)))
    second = float(np.delete(reached, best).max(initial=0.0))
    rival = second / float(reached[best]) if reached[best] > 0 else np.inf
    return replace(rough, estimate=replace(told, rival=rival))


def _peaks(evidence: Evidence) -> list[float]:
    """The lags of the highest peaks."""
    whole, lags, found = evidence.whole.copy(), evidence.lags, list[float]()
    least = CLOSEST * whole.max()
    while len(found) < CANDIDATES and whole.max() >= least:
        found.append(float(lags[whole.argmax()]))
        whole[np.abs(lags - found[-1]) < PEAKS_APART] = -np.inf
    return found


def _passages(watched: Watched, passages: Sequence[range]) -> list[FloatArray]:
    """The cells of the video in each passage."""
    return [watched.cells[passage.start : passage.stop].astype(np.float32) / np.float32(255) for passage in passages]


def _refined(
    rough: Found,
    watched: Watched,
    sound: Audio,
    start: float,
    recipe: RecipeForetold,
    fps: Fraction,
    advance: Advance,
) -> Found:
    """A lag that is known to a frame, to a part of a millisecond; and the drift.

    The recipe is computed for the sound moved a little less and a little more than what is known, until the video lies
    in the middle.
    """
    told = rough.estimate
    passages = passages_of(len(watched.cells), fps)
    seen = _passages(watched, passages)
    times = np.array([(passage.start + passage.stop) / 2 / fps for passage in passages], np.float64)
    middle = float(times.mean())
    lag = float(np.interp(middle, told.times, told.path))
    bends = abs(told.slope) > CLEAR_SLOPE * told.slope_deviation and abs(told.slope) * times[-1] > APART
    slope = told.slope if bends else 0.0
    found, sharp = None, True
    for _ in range(MOST_PASSES):
        tables = []
        for side in (-1, 1):
            moved = _moved(sound, start, lag + side * APART / 2, slope, middle)
            tables.append(recipe(_features(moved, fps * recipe.step, recipe), passages))
            advance(1)
        places = _places(seen, tables, sharp=sharp)
        if sharp and np.isfinite(places).sum() < max(FEWEST_SHARP, len(places) / 3):
            sharp = False
            places = _places(seen, tables, sharp=False)
        blocks = lag + slope * (times - middle) + places
        line = fitted_line(times, blocks)
        if line is None:
            known = places[np.isfinite(places)]
            if not len(known):
                break
            spread = float(known.std() / len(known) ** 0.5) if len(known) > 1 else CLOSE_ENOUGH
            line = Line(lag + float(np.median(known)), spread, slope, np.inf, float(known.std()))
        if found is not None and line.spread > WORSE * found[0].spread:
            break  # the stretched sound has its beats elsewhere: what was found before counts
        found = line, blocks
        change = abs(line.level - lag), abs(line.slope - slope)
        lag = line.level
        if change[1] > CLEAR_SLOPE * line.slope_deviation:
            slope = line.slope
        elif change[0] < CLOSE_ENOUGH:
            break
    if found is None:
        return rough
    line, blocks = found
    deviation = max(line.level_deviation, LEAST_SPREAD)
    beats = BEATS_APART * 12**0.5 / max(float(times[-1] - times[0]), 1e-3)
    slope_deviation = float(np.hypot(line.slope_deviation, beats)) if sharp else np.inf
    drifts = abs(line.slope) > CLEAR_SLOPE * slope_deviation
    path = line.level + (line.slope if drifts else 0.0) * (times - middle)
    refined = replace(
        told,
        lag=line.level,
        deviation=deviation,
        slope=line.slope if sharp else 0.0,
        slope_deviation=slope_deviation,
        jitter=line.spread,
        segments=(Segment(0.0, float(watched.clock.frames[-1]), line.level, deviation),),
        times=times,
        path=path,
        blocks=blocks,
    )
    return replace(rough, estimate=refined, reading=BEATS_APART if sharp else ROUGH)


def _places(seen: list[FloatArray], tables: list[list[FloatArray]], *, sharp: bool) -> NDArray[np.float64]:
    """Where each passage of the video lies between two tables of the recipe, in seconds."""
    return np.array(
        [between(mine, first, second, APART, sharp=sharp) for mine, first, second in zip(seen, *tables, strict=True)]
    )


def _features(sound: Audio, rate: Fraction, recipe: RecipeForetold) -> Features:
    from audioreactive.features import analyze
    from audioreactive.features.names import SEGMENTABLE, USUAL_FEATURES

    names = tuple(dict.fromkeys((*USUAL_FEATURES, *recipe.preset.feature_names())))
    stems = [name for name in names if _is_of_stem(name)]
    if stems:
        raise AudioError(f"it follows the stem {stems[0].partition('.')[0]!r}, which the video does not carry")
    by_form = any(section.follows_form for section in recipe.preset.sections)
    segmentations = SEGMENTABLE if by_form else recipe.preset.segmentation_names()
    return analyze(sound, fps=rate, names=names, segmentations=segmentations)


def _is_of_stem(name: str) -> bool:
    from audioreactive.features.names import SOURCES, split_name

    source = split_name(name)[0]
    return bool(source) and source not in SOURCES


def _moved(sound: Audio, start: float, lag: float, slope: float, middle: float) -> Audio:
    """The sound as it would be if it were in step: what is played at t + lag + slope · (t - middle) comes at t.

    `start` is the second at which the sound's first sample is played.
    """
    samples = sound.samples
    if slope:
        samples = _stretched(samples, 1 / (1 + slope))
    first = round((lag - start - slope * middle) / (1 + slope) * ANALYSIS_RATE)
    if first < 0:
        samples = np.concatenate([np.zeros(-first, np.float32), samples])
    elif first > 0:
        samples = samples[first:]
    return replace(sound, samples=samples)


def _stretched(samples: FloatArray, factor: float) -> FloatArray:
    """The sound `factor` times as long, nearly 1, at the same rate."""
    import soxr

    stream = soxr.ResampleStream(ANALYSIS_RATE, ANALYSIS_RATE * factor, 1, dtype="float32")
    pieces = [stream.resample_chunk(samples[i : i + _PIECE]) for i in range(0, len(samples), _PIECE)]
    return np.concatenate([*pieces, stream.resample_chunk(np.zeros(0, np.float32), last=True)])
