"""Form of a song: its sections in order, with the same letter for sections that repeat.

There are many segmentations (four features, fifteen numbers of section kinds), with spurious short sections. The form
is the best of them, cleaned up: borders lie on bar lines, and no section is shorter than a few bars.
"""

from __future__ import annotations

import string
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive.features.names import SEGMENT_COUNTS, SEGMENTABLE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from audioreactive.features.types import Features, FloatArray

KINDS: Final = (3, 4, 5, 6)
"""Numbers of section kinds that are tried: verse, chorus, bridge, intro and so on."""
SHORTEST_BARS: Final = 4
"""Fewest bars of a section: shorter ones are fills and breaks."""
SHORTEST_SECONDS: Final = 4.0
"""Fewest seconds of a section, if bars are short or none were found."""
SHORTEST_WANTED: Final = (1, 1.0)
"""Fewest bars and seconds of a section where a number of sections is asked for."""
COST_OF_A_BORDER: Final = 0.02
"""Share of the song's variance that each border must explain to be kept."""
_DESCRIBED_BY: Final = ("rms", "mfcc", "chroma", "spectral_contrast")


@dataclass(frozen=True)
class FormSection:
    """One section of a song."""

    label: str
    """Letter of the section's kind, in order of first appearance: A, B, ..."""
    start: int
    """First frame."""
    stop: int
    """One past the last frame."""


def song_form(features: Features, count: int | None = None) -> tuple[FormSection, ...]:
    """Divide a song into sections, in order and without gaps; one section, A, if nothing repeats or changes.

    Among all cleaned-up segmentations, the one is chosen that explains most of the variance between bars, less a cost
    for each border.

    Args:
        features: features of the song.
        count: wanted number of sections; where no segmentation has so many, the one with most. None: as found.
    """
    if features.frames == 0:
        return ()
    borders = _possible_borders(features)
    table = _mean_features(features, borders)
    best, best_worth = np.zeros(len(borders) - 1, np.int64), (0, 0.0)
    for name in SEGMENTABLE:
        if name not in features.segmentations:
            continue
        for k in KINDS if count is None else SEGMENT_COUNTS:
            labels = _without_short_sections(
                _label_per_bar(features.segmentation(name, k), borders), borders, features, most=count
            )
            found = int(np.count_nonzero(np.diff(labels)))
            worth = (0 if count is None else found, _explained(table, labels) - COST_OF_A_BORDER * found)
            if worth > best_worth:
                best, best_worth = labels, worth
    return _sections(best, borders)


def _possible_borders(features: Features) -> NDArray[np.int64]:
    """List the frames of all bar lines and of the song's two ends; one per second if no bars were found."""
    bars = np.asarray(features.downbeats, np.float64)
    if len(bars) < 2:
        bars = np.arange(1.0, float(features.duration), 1.0)
    frames = np.round(bars * float(features.fps)).astype(np.int64)
    inner = frames[(frames > 0) & (frames < features.frames)]
    return np.unique(np.concatenate([[0], inner, [features.frames]]))


def _mean_features(features: Features, borders: NDArray[np.int64]) -> FloatArray:
    """Average the features over each bar, (bars, C), scaled so that all features have equal weight."""
    columns = []
    for name in _DESCRIBED_BY:
        if name in features:
            table = np.add.reduceat(features[name], borders[:-1], axis=0) / np.diff(borders)[:, None]
            table = table - table.mean(axis=0)
            columns.append(table / max(float(np.sqrt(np.square(table).sum(axis=1).mean())), 1e-6))
    return (
        np.concatenate(columns, axis=1).astype(np.float32) if columns else np.zeros((len(borders) - 1, 1), np.float32)
    )


def _label_per_bar(labels: NDArray[np.uint8], borders: NDArray[np.int64]) -> NDArray[np.int64]:
    """Find the most frequent label within each bar, (bars,)."""
    return np.array([np.bincount(labels[a:b]).argmax() for a, b in pairwise(borders)])


def _without_short_sections(
    labels: NDArray[np.int64], borders: NDArray[np.int64], features: Features, most: int | None = None
) -> NDArray[np.int64]:
    """Merge the shortest section into its longer neighbour, until all are long enough, and there are at most `most`."""
    labels = labels.copy()
    while True:
        edges = np.concatenate([[0], np.flatnonzero(np.diff(labels)) + 1, [len(labels)]])
        lengths = np.diff(edges)
        seconds = np.diff(borders[edges]) / float(features.fps)
        shortest = (SHORTEST_BARS, SHORTEST_SECONDS) if most is None else SHORTEST_WANTED
        short = (lengths < shortest[0]) | (seconds < shortest[1])
        many = most is not None and len(lengths) > most
        if len(lengths) == 1 or not (short.any() or many):
            return labels
        at = int(np.argmin(np.where(short | many, seconds, np.inf)))
        neighbours = [i for i in (at - 1, at + 1) if 0 <= i < len(lengths)]
        to = max(neighbours, key=lambda i: seconds[i])
        labels[edges[at] : edges[at + 1]] = labels[edges[to]]


def _explained(table: FloatArray, labels: NDArray[np.int64]) -> float:
    """Compute the share of the variance of the bars (n, C) that their labels explain."""
    total = float(np.square(table - table.mean(axis=0)).sum())
    if total <= 0:
        return 0.0
    within = sum(
        float(np.square(table[labels == label] - table[labels == label].mean(axis=0)).sum())
        for label in np.unique(labels)
    )
    return 1 - within / total


def _sections(labels: NDArray[np.int64], borders: NDArray[np.int64]) -> tuple[FormSection, ...]:
    edges = np.concatenate([[0], np.flatnonzero(np.diff(labels)) + 1, [len(labels)]])
    letters: dict[int, str] = {}
    for label in labels:
        letters.setdefault(int(label), string.ascii_uppercase[len(letters)])
    return tuple(FormSection(letters[int(labels[a])], int(borders[a]), int(borders[b])) for a, b in pairwise(edges))
