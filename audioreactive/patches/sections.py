"""Sections of a preset: the start of each, its cross-fade, and its changes to the preset's patch.

Conventions: a section starts at a time in seconds, at a bar (bar 1 begins at the song's first downbeat), or wherever
the song's form (`features.form`) has its label. Its patch is partial: other values are inherited from the preset's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
from pydantic import Field, model_validator

from audioreactive.features.beats import BEATS_PER_BAR
from audioreactive.features.form import song_form
from audioreactive.patches.fields import Part, Seconds
from audioreactive.patches.schema import Patch
from audioreactive.patches.tables import bar_position

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from audioreactive.features import Features
    from audioreactive.patches.tables import FloatArray

MOST_SECTIONS: Final = 64
MOST_VALUES: Final = 250_000
"""Most values of all sections' complete patches together; a random patch has about 600."""
SHORTEST_FADE: Final = 1e-3
"""Frames of the shortest fade: a section with a shorter one begins at once."""
LONGEST_BAR: Final = 100_000
"""Highest bar at which a section may start; six hours of music have fewer bars."""


class Section(Part):
    """Part of a video with its own changes to the patch."""

    name: Annotated[str, Field(max_length=100)] = ""
    start: Annotated[float, Field(ge=0, le=86_400)] | None = None
    """Start of the section in seconds into the song."""
    start_bar: Annotated[float, Field(ge=1, le=LONGEST_BAR)] | None = None
    """Start of the section in bars; 1 is the first downbeat."""
    label: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")] | None = None
    """Kind of the section; sections with the same label share a patch. Without a start, the section is wherever the
    song's form has this letter."""
    crossfade: Seconds | None = None
    """Length in seconds of the fade into the section, half before its start and half after."""
    crossfade_bars: Annotated[float, Field(ge=0, le=64)] | None = None
    """Length in bars of the fade into the section, half before its start and half after."""
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
        """Whether the song's form determines where the section is."""
        return self.start is None and self.start_bar is None


def check_sections(sections: Sequence[Section]) -> None:
    """Raise ValueError if two sections contradict each other."""
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
    """Compute the complete patch of each section.

    Raises:
        pydantic.ValidationError: a section's changes do not give a valid patch.
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
    """Apply changes to `base`: tables are merged key by key, everything else is replaced."""
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        result[key] = merged(old, value) if both else value  # type: ignore[arg-type]
    return result


def changes_between(base: Mapping[str, Any], whole: Mapping[str, Any]) -> dict[str, Any]:
    """Find the smallest changes such that `merged(base, changes)` is `whole`; keys are never removed."""
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
    """Range of frames in which a patch is visible."""

    patch: Patch
    start: int
    """First frame in which it is visible, including its fade."""
    stop: int
    """One past the last frame in which it is visible."""
    share: FloatArray
    """(stop - start,) share of the picture, below 1 only in fades; the shares of all spans of a frame sum to one."""


@dataclass(frozen=True)
class _Start:
    """Time at which a patch starts to apply."""

    frame: float
    patch: Patch
    fade: float
    """Length of the fade in frames."""


def spans(patch: Patch, sections: Sequence[Section], features: Features) -> tuple[Span, ...]:
    """Compute which patch is visible when; neighbours with equal patches become one span without a fade."""
    begins = [_Start(0.0, patch, 0.0), *_starts(patch, sections, features)]
    begins.sort(key=lambda begin: begin.frame)  # stable: of two at the same time, the later in the file counts
    kept: list[_Start] = []
    for begin in begins:
        while kept and kept[-1].frame >= begin.frame:
            kept.pop()
        if kept and kept[-1].patch == begin.patch:
            continue
        kept.append(begin)
    edges = [begin.frame for begin in kept] + [float(features.frames)]
    lengths = np.diff(edges)
    # A fade takes at most half of the part on either side of it, so that fades do not overlap.
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
    """Compute a raised-cosine ramp (T,) from 0 to 1, `fade` frames long and centred on `edge`."""
    position = np.arange(frames, dtype=np.float64) - edge
    if fade < SHORTEST_FADE:
        return (position >= 0).astype(np.float32)
    ramp = np.clip(position / fade + 0.5, 0, 1)
    risen: FloatArray = (0.5 - 0.5 * np.cos(np.pi * ramp)).astype(np.float32)
    return risen


def _starts(patch: Patch, sections: Sequence[Section], features: Features) -> list[_Start]:
    """Find where each section's patch starts, and where the preset's own patch returns after labelled sections."""
    if not sections:
        return []
    fps = float(features.fps)
    patches = section_patches(patch, sections)
    begins: list[_Start] = []
    by_label: dict[str, tuple[Section, Patch]] = {}
    for section, own in zip(sections, patches, strict=True):
        if section.follows_form:
            by_label[str(section.label)] = (section, own)
            continue
        frame = section.start * fps if section.start is not None else bar_frame(features, section.start_bar or 1)
        if frame < features.frames:
            begins.append(_Start(frame, own, _fade_frames(section, features)))
    if by_label:
        for part in song_form(features):
            section_and_patch = by_label.get(part.label)
            if section_and_patch is None:
                begins.append(_Start(float(part.start), patch, 0.0))
            else:
                section, own = section_and_patch
                begins.append(_Start(float(part.start), own, _fade_frames(section, features)))
    return begins


def bar_frame(features: Features, bar: float) -> float:
    """Compute the frame at which a bar begins; 0 if it begins before the song."""
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
