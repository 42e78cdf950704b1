"""A recipe that was made for one take, moved along the path to another.

What is heard (loudness, onsets, notes) comes from the take that is rendered. Where the music is (beats, bars, parts of
the
form, sections of the preset) comes from the take that the recipe was made for, and is moved to the moments that belong
to it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive.patches.tables import bar_position

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from audioreactive.features import Features
    from audioreactive.patches.preset import Preset
    from audioreactive.patches.sections import Section
    from audioreactive.sync.takes import Way

SHORTEST_BEAT: Final = 0.15
"""Seconds between two beats, at least: 400 bpm. Beats that a leap brings closer are left out."""


def follow_features(take: Features, reference: Features, way: Way) -> Features:
    """Features of a take, with the beats, bars and parts of the reference.

    Args:
        take: features of the take that is rendered.
        reference: features of the take that the recipe was made for.
        way: moments of the reference (first) and of the take (second) that belong together.
    """
    length = float(take.duration)
    beats = _moved(reference.beats, way, length)
    downbeats = _moved(reference.downbeats, way, length)
    if len(beats):
        # The take's own beats lead in and out, where the reference has no music.
        beats = _joined(beats, take.beats)
    rows = np.rint(way.to_first(take.times) * float(reference.fps)).astype(np.int64)
    rows = np.clip(rows, 0, reference.frames - 1)
    labels = {name: table[rows] for name, table in reference.segmentations.items() if name in take.segmentations}
    for table in labels.values():
        table.flags.writeable = False
    tempo = take.tempo
    if reference.tempo > 0 and len(beats) > 1:
        tempo = 60 / float(np.median(np.diff(beats)))
    return replace(
        take,
        beats=beats,
        downbeats=downbeats,
        tempo=tempo,
        segmentations={**take.segmentations, **labels},
        tempo_confidence=reference.tempo_confidence,
    )


def follow_preset(preset: Preset, reference: Features, way: Way) -> Preset:
    """The preset with the starts of its sections moved to the take's moments, in seconds; labels stay as they are."""
    if not preset.sections:
        return preset
    sections = tuple(_section(section, reference, way) for section in preset.sections)
    return preset.model_copy(update={"sections": sections})


def _section(section: Section, reference: Features, way: Way) -> Section:
    if section.start is not None:
        second = section.start
    elif section.start_bar is not None:
        second = _second_of_bar(reference, section.start_bar)
    else:
        return section
    moved = float(way.to_second(np.array([second]))[0]) if second > 0 else 0.0
    return section.model_copy(update={"start": max(moved, 0.0), "start_bar": None})


def _second_of_bar(features: Features, bar: float) -> float:
    """Second at which a bar begins; 1 is the first downbeat."""
    position = bar_position(features)
    if bar - 1 <= position[0]:
        return 0.0
    if bar - 1 > position[-1]:
        return float(features.duration)
    return float(np.interp(bar - 1, position, features.times))


def _moved(seconds: NDArray[np.float64], way: Way, length: float) -> NDArray[np.float64]:
    """Moments of the reference as moments of the take, inside of it and not closer than beats can be."""
    if not len(seconds):
        return seconds
    moved = way.to_second(seconds)
    inside = np.zeros(len(seconds), bool)
    for path in way.paths:  # what a leap leaves out has no moment in the take
        inside |= (seconds >= path[0, 0] - SHORTEST_BEAT) & (seconds <= path[-1, 0] + SHORTEST_BEAT)
    moved = np.sort(moved[inside])
    moved = moved[(moved >= 0) & (moved < length)]
    if not len(moved):
        return moved
    kept = np.concatenate([[True], np.diff(moved) >= SHORTEST_BEAT])
    found: NDArray[np.float64] = moved[kept]
    return found


def _joined(beats: NDArray[np.float64], own: NDArray[np.float64]) -> NDArray[np.float64]:
    usual = float(np.median(np.diff(beats))) if len(beats) > 1 else 0.5
    before, after = own[own < beats[0] - 0.75 * usual], own[own > beats[-1] + 0.75 * usual]
    joined: NDArray[np.float64] = np.concatenate([before, beats, after])
    return joined
