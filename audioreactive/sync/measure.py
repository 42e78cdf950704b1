"""The sync of a video file: what its container says, and what its sound and its picture say."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive._support.files import as_path
from audioreactive._support.memory import give_back
from audioreactive.errors import SyncError
from audioreactive.media.audio import check_file, load
from audioreactive.progress import Progress, Silent
from audioreactive.sync.by_recipe import by_recipe
from audioreactive.sync.estimate import Estimate, Segment, estimate
from audioreactive.sync.evidence import REACH, find_evidence
from audioreactive.sync.found import LEAST_CERTAIN, READING, Found
from audioreactive.sync.heard import band_levels, level_changes
from audioreactive.sync.recordings import same_sound
from audioreactive.sync.report import R37, Passage, SyncReport, Tolerance, in_words, judge
from audioreactive.sync.seen import seen_changes
from audioreactive.sync.towers import learned_evidence
from audioreactive.sync.track import tracked
from audioreactive.sync.watching import Watched, own_sound, watch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from audioreactive.media.audio import Audio
    from audioreactive.sync.foretell import RecipeForetold

LEANING: Final = 0.2
"""Largest probability of chance with which the towers lean to a lag that they do not tell."""
FURTHEST_APART: Final = 0.06
"""Seconds between two ways' lags from which on they contradict each other."""


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
    found = by_recipe(watched, sound, start, recipe, progress, notes) if recipe is not None else None
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
    return by_changes(watched.changes, watched.clock.middles, band_levels(sound.samples), start)


def by_changes(
    measured: NDArray[np.float32], times: NDArray[np.float64], levels: NDArray[np.float32], start: float = 0.0
) -> Found:
    """The same from measurements (T, 17) of a picture at these times, and levels (N, 6) of a sound from `start` on.

    The towers are asked first, and the templates where they cannot tell. Where the towers lean to one lag, the
    templates must not contradict it: they take the end of a flash for its beginning.
    """
    reading = READING * float(np.median(np.diff(times)))
    learned = learned_evidence(measured, times, levels, heard_start=start)
    told = tracked(learned.evidence, learned.border)
    # Each second shows its events as exactly as a frame can be read: a line through so many points is no surer.
    length = max(float(times[-1] - times[0]), 1.0)
    unsure = float(np.hypot(told.slope_deviation, reading * (12 / length) ** 0.5 / length))
    found = Found(replace(told, slope_deviation=unsure), learned.evidence, "picture", reading)
    if found.is_clear:
        return found
    evidence = find_evidence(seen_changes(measured), times, level_changes(levels), heard_start=start)
    plain = Found(estimate(evidence), evidence, "picture", reading)
    apart = abs(plain.estimate.lag - found.estimate.lag)
    leaning = len(found.estimate.segments) == 1 and found.estimate.chance <= LEANING
    contradicted = leaning and apart > FURTHEST_APART
    return plain if plain.is_clear and not contradicted else found


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
