"""Sections of a preset: where each begins, how it is faded into, and what of the preset's patch it changes.

Conventions: a section's time is given in seconds, in bars (bar 1 begins at the song's first downbeat), or by a label of
the song's own form (`features.form`). Its patch is partial: what it does not name is inherited from the preset's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
from pydantic import Field, model_validator

from audioreactive.features.beats import BEATS_PER_BAR
from audioreactive.features.form import song_form
from audioreactive.patches.schema import Part, Patch, Seconds
from audioreactive.patches.tables import bar_position

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from audioreactive.features import Features
    from audioreactive.patches.tables import FloatArray

MOST_SECTIONS: Final = 64
MOST_VALUES: Final = 250_000
"""Values of all sections' whole patches together: a drawn patch has some 600."""
SHORTEST_FADE: Final = 1e-3
"""Frames of the shortest fade: below, a section begins at once."""
LONGEST_BAR: Final = 100_000
"""Number of the last bar that a section may begin at: six hours have fewer."""


class Section(Part):
    """One part of a video, with a patch of its own."""

    name: Annotated[str, Field(max_length=100)] = ""
    start: Annotated[float, Field(ge=0, le=86_400)] | None = None
    """Seconds into the song."""
    start_bar: Annotated[float, Field(ge=1, le=LONGEST_BAR)] | None = None
    """Bar at which it begins; 1 is the first downbeat."""
    label: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")] | None = None
    """Kind of section: those of one label share a patch. Without a start: wherever the song's form has this letter."""
    crossfade: Seconds | None = None
    """Seconds of the fade into it, half before its start and half after."""
    crossfade_bars: Annotated[float, Field(ge=0, le=64)] | None = None
    """The same in bars."""
    patch: dict[str, Any] = Field(default_factory=dict)
    """Changes to the preset's patch: tables are merged key by key, everything else is replaced."""

    @model_validator(mode="after")
    def _one_place_and_one_fade(self) -> Section:
        if self.start is not None and self.start_bar is not None:
            raise ValueError("a section begins at start (seconds) or at start_bar: give one of the two")
        if self.start is None and self.start_bar is None and self.label is None:
            raise ValueError(
                "a section needs start (seconds), start_bar, or the label of a part of the song, such as B"
            )
        if self.crossfade is not None and self.crossfade_bars is not None:
            raise ValueError("a cross-fade is crossfade (seconds) or crossfade_bars: give one of the two")
        return self

    @property
    def follows_form(self) -> bool:
        """Whether the song says where it is."""
        return self.start is None and self.start_bar is None


def check_sections(sections: Sequence[Section]) -> None:
    """Raise ValueError where two sections contradict one another."""
    shared: dict[str, Mapping[str, Any]] = {}
    for section in sections:
        if section.label is None or not section.patch:
            continue
        if shared.setdefault(section.label, section.patch) != section.patch:
            raise ValueError(f"two sections of the label {section.label!r} have different patches: they share one")
    forms = [section.label for section in sections if section.follows_form]
    if len(set(forms)) < len(forms):
        raise ValueError("two sections without a start have the same label")
    names = [section.name for section in sections if section.name]
    if len(set(names)) < len(names):
        raise ValueError("two sections have the same name")


def section_patches(patch: Patch, sections: Sequence[Section]) -> list[Patch]:
    """The whole patch of each section.

    Raises:
        pydantic.ValidationError: a section's changes give no patch.
    """
    shared = {section.label: section.patch for section in sections if section.label is not None and section.patch}
    if not sections:
        return []
    base = patch.model_dump(mode="python", exclude_none=True)
    if (values := len(sections) * _count_values(base)) > MOST_VALUES:
        raise ValueError(
            f"{len(sections)} sections of a patch this large come to {values} values; up to {MOST_VALUES} can be used: "
            "give fewer sections, or a smaller patch"
        )
    resolved = []
    for section in sections:
        changes = section.patch or shared.get(section.label, {}) if section.label is not None else section.patch
        resolved.append(Patch.model_validate(merged(base, changes)) if changes else patch)
    return resolved


def _count_values(node: object) -> int:
    if isinstance(node, dict):
        return sum(_count_values(value) for value in node.values())
    return sum(_count_values(value) for value in node) if isinstance(node, list | tuple) else 1


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the changes: tables key by key, everything else replaced."""
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        result[key] = merged(old, value) if both else value  # type: ignore[arg-type]
    return result


def changes_between(base: Mapping[str, Any], whole: Mapping[str, Any]) -> dict[str, Any]:
    """The smallest changes with which `merged(base, changes)` is `whole`; keys are never taken away."""
    changes: dict[str, Any] = {}
    for key, value in whole.items():
        if key not in base:
            changes[key] = value
        elif isinstance(base[key], dict) and isinstance(value, dict):
            if inner := changes_between(base[key], value):
                changes[key] = inner
        elif base[key] != value:
            changes[key] = value
    return changes


@dataclass(frozen=True)
class Span:
    """One section on the frames of a song."""

    patch: Patch
    start: int
    """First frame in which it is seen, its fade included."""
    stop: int
    """One past the last."""
    share: FloatArray
    """(stop - start,): its part of the picture, 1 but in fades; the shares of all spans of a frame sum to one."""


@dataclass(frozen=True)
class _Begin:
    """A moment at which a patch takes over."""

    frame: float
    patch: Patch
    fade: float
    """Frames."""


def spans(patch: Patch, sections: Sequence[Section], features: Features) -> tuple[Span, ...]:
    """Which patch is seen when. Neighbours of equal patches are one span, so that nothing happens between them."""
    begins = [_Begin(0.0, patch, 0.0), *_begins(patch, sections, features)]
    begins.sort(key=lambda begin: begin.frame)  # stable: of two at one moment, the later in the file counts
    kept: list[_Begin] = []
    for begin in begins:
        while kept and kept[-1].frame >= begin.frame:
            kept.pop()
        if kept and kept[-1].patch == begin.patch:
            continue
        kept.append(begin)
    edges = [begin.frame for begin in kept] + [float(features.frames)]
    lengths = np.diff(edges)
    # A fade takes at most half of what lies on either side of it, so that no two meet.
    fades = [0.0] + [min(kept[i].fade, lengths[i - 1], lengths[i]) for i in range(1, len(kept))] + [0.0]
    rises = [_rise(features.frames, edge, fade) for edge, fade in zip(edges, fades, strict=True)]
    found = []
    for index, begin in enumerate(kept):
        share = rises[index] * (1 - rises[index + 1]) if index + 1 < len(kept) else rises[index]
        seen = np.flatnonzero(share > 0)
        if len(seen):
            start, stop = int(seen[0]), int(seen[-1]) + 1
            found.append(Span(begin.patch, start, stop, share[start:stop]))
    return tuple(found)


def _rise(frames: int, edge: float, fade: float) -> FloatArray:
    """(T,) from 0 to 1 about `edge` within `fade` frames, without corners: half a cosine."""
    position = np.arange(frames, dtype=np.float64) - edge
    if fade < SHORTEST_FADE:
        return (position >= 0).astype(np.float32)
    ramp = np.clip(position / fade + 0.5, 0, 1)
    risen: FloatArray = (0.5 - 0.5 * np.cos(np.pi * ramp)).astype(np.float32)
    return risen


def _begins(patch: Patch, sections: Sequence[Section], features: Features) -> list[_Begin]:
    """Where each section takes over, and where the preset's own patch does between labelled ones."""
    if not sections:
        return []
    fps = float(features.fps)
    patches = section_patches(patch, sections)
    begins: list[_Begin] = []
    by_label: dict[str, tuple[Section, Patch]] = {}
    for section, own in zip(sections, patches, strict=True):
        if section.follows_form:
            by_label[str(section.label)] = (section, own)
            continue
        frame = section.start * fps if section.start is not None else _bar_frame(features, section.start_bar or 1)
        if frame < features.frames:
            begins.append(_Begin(frame, own, _fade_frames(section, features)))
    if by_label:
        for part in song_form(features):
            section_and_patch = by_label.get(part.label)
            if section_and_patch is None:
                begins.append(_Begin(float(part.start), patch, 0.0))
            else:
                section, own = section_and_patch
                begins.append(_Begin(float(part.start), own, _fade_frames(section, features)))
    return begins


def _bar_frame(features: Features, bar: float) -> float:
    """Frame at which a bar begins; bars before the first downbeat begin at 0."""
    position = bar_position(features)  # rises with time
    frames = np.arange(features.frames, dtype=np.float64)
    wanted = bar - 1
    if wanted <= position[0]:
        return 0.0
    if wanted > position[-1]:
        return float(features.frames)
    return float(np.interp(wanted, position, frames))


def _fade_frames(section: Section, features: Features) -> float:
    if section.crossfade_bars is not None:
        tempo = features.tempo if features.tempo > 0 else 120.0
        return section.crossfade_bars * BEATS_PER_BAR * 60 / tempo * float(features.fps)
    return (section.crossfade or 0.0) * float(features.fps)
