"""The sync of a video file: what its container says, and what its sound and its picture say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive._support.files import as_path
from audioreactive._support.memory import give_back
from audioreactive.errors import AudioError, AudioReactiveError, SyncError
from audioreactive.media.audio import ANALYSIS_RATE, check_file, load
from audioreactive.progress import Progress, Silent
from audioreactive.sync.container import PictureClock, picture_clock
from audioreactive.sync.estimate import CLEAR_SLOPE, LEAST_SPREAD, Estimate, Line, Segment, estimate, fitted_line
from audioreactive.sync.evidence import REACH, Evidence, find_evidence
from audioreactive.sync.foretell import MOST_FRAMES, between, cells, foretold_evidence, passages_of
from audioreactive.sync.heard import heard_changes
from audioreactive.sync.recordings import same_sound
from audioreactive.sync.report import R37, Basis, Passage, SyncReport, Tolerance, in_words, judge
from audioreactive.sync.seen import SIDE, STILL, ChangeMeter, seen_changes
from audioreactive.video import frame_times, probe, read_frames
from audioreactive.video.reader import SOUND_FILE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction
    from pathlib import Path

    from numpy.typing import NDArray

    from audioreactive.features import Features
    from audioreactive.media.audio import Audio
    from audioreactive.progress import Advance
    from audioreactive.sync.foretell import RecipeForetold
    from audioreactive.video import VideoInfo, VideoTimes

    FloatArray = NDArray[np.float32]

FEWEST_FRAMES: Final = 24
"""Fewest frames that can be compared."""
LEAST_CERTAIN: Final = 3e-3
"""Largest probability of chance with which an offset is told."""
CLOSEST_RIVAL: Final = 0.9
"""Highest second peak, relative to the first, with which an offset is told: a beat fits as well a beat later."""
READING: Final = 0.29
"""Uncertainty, in frames, of where a picture without a recipe shows an event: a frame's width over the root of 12."""
CLOSE_ENOUGH: Final = 0.001
"""Seconds that the sound is still moved, at most, when its recipe has been computed for the last time."""
_PIECE: Final = 1 << 20
APART: Final = 0.016
"""Seconds between the two sounds between which a video is placed: half a frame at 30 a second."""
FEWEST_SHARP: Final = 3
"""Fewest passages with sudden changes that tell an offset; where there are fewer, steady ones are asked, and a drift is
not told: loops run at the tempo, which is estimated anew."""
ROUGH: Final = 0.008
"""Uncertainty in seconds of an offset by steady changes."""
BEATS_APART: Final = 0.003
"""Uncertainty in seconds of the beats of a sound that was coded again or moved, which a drift is measured against."""
WORSE: Final = 1.5
"""Growth of the spread of the passages' lags from which on a pass is not believed."""
MOST_PASSES: Final = 2
"""Most times that a recipe is computed."""


@dataclass(frozen=True, eq=False)
class Watched:
    """A video's picture as far as its sync needs it."""

    path: Path
    info: VideoInfo
    times: VideoTimes
    clock: PictureClock
    changes: FloatArray
    """(T, 7) measurements; see `seen.ChangeMeter`."""
    cells: NDArray[np.uint8]
    """(T, C) mean colour of each cell, for recipes."""

    @property
    def is_still(self) -> bool:
        """Whether nothing moves in the picture."""
        return bool(np.sort(self.changes[1:, 3])[-3:].mean() < STILL) if len(self.changes) > 3 else True


@dataclass(frozen=True, eq=False)
class Found:
    """An estimate with where it comes from."""

    estimate: Estimate
    evidence: Evidence
    basis: Basis
    reading: float
    """Systematic uncertainty in seconds."""

    @property
    def is_clear(self) -> bool:
        """Whether chance is ruled out, and every other lag as well."""
        return self.estimate.chance <= LEAST_CERTAIN and self.estimate.rival <= CLOSEST_RIVAL


def watch(video: Path, progress: Progress | None = None) -> Watched:
    """Read a video's picture, small.

    Raises:
        VideoError: the video does not exist, cannot be read, or has too few frames.
    """
    progress = progress or Silent()
    info, times = probe(video), frame_times(video)
    if info.frames < FEWEST_FRAMES:
        raise SyncError(f"{video.name} has {info.frames} frames; the sync of at least {FEWEST_FRAMES} can be measured")
    meter = ChangeMeter()
    table = bytearray()
    with progress.track("watching", info.frames, "frame") as advance:
        for frame in read_frames(video, largest_side=SIDE):
            meter.add(frame)
            table += np.rint(cells(frame) * 255).astype(np.uint8).tobytes()
            advance(1)
    changes = meter.finish()
    if len(changes) < FEWEST_FRAMES:
        raise SyncError(f"only {len(changes)} frames of {video.name} can be decoded; {FEWEST_FRAMES} are needed")
    clock = picture_clock(times, info.fps, len(changes))
    return Watched(video, info, times, clock, changes, np.frombuffer(table, np.uint8).reshape(len(changes), -1))


def own_sound(watched: Watched) -> Path | None:
    """File with the video's own sound; None if it has none."""
    if watched.info.audio_codec is None:
        return None
    return watched.path / SOUND_FILE if watched.path.is_dir() else watched.path


def measure(
    video: Path | str,
    audio: Path | str | None = None,
    *,
    tolerance: Tolerance = R37,
    recipe: RecipeForetold | None = None,
    progress: Progress | None = None,
) -> SyncReport:
    """Measure the sync of a video.

    Args:
        video: a file, or a folder of frames that this program wrote.
        audio: the sound that it should have, which begins with the first picture; None: its own.
        tolerance: offsets that count as in sync.
        recipe: what the video's recipe foretells, if it carries one.
        progress: receives the progress, and remarks.

    Raises:
        VideoError: the video does not exist or cannot be read.
        AudioError: the sound cannot be used.
        SyncError: the video has no sound, or too few frames.
    """
    progress, video = progress or Silent(), as_path(video)
    if audio is not None:
        check_file(as_path(audio))
    watched = watch(video, progress)
    own = own_sound(watched)
    if audio is None and own is None:
        raise SyncError(f"{video.name} has no sound of its own; give the sound that it should have with --audio FILE")
    sound = load(as_path(audio)) if audio is not None else load(own) if own is not None else None
    assert sound is not None
    start = watched.times.sound_start if audio is None else 0.0
    return _reported(watched, sound, start, tolerance, recipe, progress, with_master=audio is not None)


def _reported(
    watched: Watched,
    sound: Audio,
    start: float,
    tolerance: Tolerance,
    recipe: RecipeForetold | None,
    progress: Progress,
    *,
    with_master: bool,
) -> SyncReport:
    """The report on a picture and a sound."""
    container = -watched.times.sound_start if watched.info.audio_codec is not None else 0.0
    notes: list[str] = list(sound.notes)

    def nothing(reason: str, chance: float = 1.0, curve: NDArray[np.float64] | None = None) -> SyncReport:
        return SyncReport(
            "cannot tell", tolerance, reason, None, None, None, None, None, None, chance, container,
            curve=np.zeros((0, 2)) if curve is None else curve, notes=tuple(notes),
        )  # fmt: skip

    if not sound.samples.any():
        return nothing("the sound is silent: silence has no offset")
    if watched.is_still:
        return nothing("the picture stands still: nothing in it could be early or late")
    found = _by_recipe(watched, sound, start, recipe, progress, notes) if recipe is not None else None
    if found is None or not found.is_clear:
        found = by_picture(watched, sound, start)
    if with_master and (own := own_sound(watched)) is not None:
        found = _with_own_sound(found, watched, load(own), sound, notes)
    give_back()
    curve = np.stack([-found.evidence.lags[::-1], found.evidence.whole[::-1]], axis=1)
    if not found.is_clear:
        return nothing(_why_not(found), found.estimate.chance, curve)
    return _told(found, tolerance, container, curve, notes)


def _told(
    found: Found,
    tolerance: Tolerance,
    container: float,
    curve: NDArray[np.float64],
    notes: Sequence[str],
) -> SyncReport:
    told = found.estimate
    deviation = float(np.hypot(told.deviation, found.reading))
    offsets = -told.path
    verdict = judge(offsets, deviation, tolerance)
    passages = tuple(
        Passage(part.start, part.stop, -part.lag, float(np.hypot(part.deviation, found.reading)))
        for part in told.segments
    )
    how = {
        "recipe": "by the pictures that its preset foretells",
        "motion": "by the motion that its preset foretells",
        "picture": "by the changes of the picture",
        "own sound": "by its own sound",
    }[found.basis]
    return SyncReport(
        verdict=verdict,
        tolerance=tolerance,
        reason=f"{in_words(-told.lag)}, {how}",
        basis=found.basis,
        offset=-told.lag,
        deviation=deviation,
        drift=-told.slope,
        drift_deviation=told.slope_deviation if np.isfinite(told.slope_deviation) else None,
        jitter=told.jitter,
        chance=told.chance,
        container=container,
        passages=passages,
        times=told.times,
        offsets=offsets,
        measured=-told.blocks,
        curve=curve,
        notes=tuple(notes),
    )


def _why_not(found: Found) -> str:
    if found.estimate.chance > LEAST_CERTAIN:
        return (
            f"nothing in the picture follows the sound within {REACH:g} seconds: the best fit is one that chance "
            f"gives as well (p = {found.estimate.chance:.2g})"
        )
    return (
        f"two offsets fit nearly as well (the second with {found.estimate.rival:.0%} of the evidence), as in music "
        "whose beats are all alike"
    )


def by_picture(watched: Watched, sound: Audio, start: float) -> Found:
    """The lag of a sound behind a picture, by the changes of both."""
    seen, heard = seen_changes(watched.changes), heard_changes(sound.samples)
    evidence = find_evidence(seen, watched.clock.middles, heard, heard_start=start)
    return Found(estimate(evidence), evidence, "picture", READING * watched.clock.last)


def _by_recipe(
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
            told = estimate(evidence)
            rough = Found(told, evidence, "recipe" if recipe.shows_pictures else "motion", READING * watched.clock.last)
            if not rough.is_clear or len(told.segments) > 1 or not recipe.shows_pictures:
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
    return replace(rough, estimate=refined, reading=0.0 if sharp else ROUGH)


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


def _with_own_sound(found: Found, watched: Watched, own: Audio, master: Audio, notes: list[str]) -> Found:
    """What the video's own sound adds, if it is the same sound as the master: its place is exact to a sample.

    It counts if the picture agrees with it, or cannot tell. If the picture contradicts it, the video's own sound is
    the one that is out of step, and the picture counts.
    """
    same = same_sound(master.samples, own.samples)
    if same is None:
        if own.samples.any():
            notes.append("the video's own sound is not the one that it should have, or too different to be compared")
        return found
    # Second t of the master belongs to t + lag in the own sound, which is played `sound_start` later.
    times = watched.clock.frames[[0, -1]]
    middle = float(times.mean())
    # The lag of the master behind the picture, if the own sound is in step with it.
    lag = -(same.lag + same.slope * middle + watched.times.sound_start)
    if found.is_clear:
        apart = abs(found.estimate.lag - lag)
        if apart > 3 * np.hypot(found.estimate.deviation, found.reading) + 0.005:
            notes.append(
                f"the video's own sound lies {1e3 * (lag - found.estimate.lag):+.0f} ms from where the picture has it: "
                "the picture counts"
            )
            return found
        if found.basis == "recipe":
            return found
    told = Estimate(
        lag=lag,
        deviation=same.lag_deviation,
        slope=-same.slope,
        slope_deviation=same.slope_deviation,
        jitter=same.jitter,
        height=found.estimate.height,
        chance=0.0,
        rival=0.0,
        segments=(Segment(float(times[0]), float(times[1]), lag, same.lag_deviation),),
        times=same.times,
        path=-(same.lag + same.slope * same.times + watched.times.sound_start),
        blocks=np.where(same.agree, -(same.lags + watched.times.sound_start), np.nan),
    )
    return Found(told, found.evidence, "own sound", 0.0)
