"""Edits of a preset's sections: borders, names, links between sections that return, and their patches.

An `Arrangement` holds what a preset's sections mean for one song: every section has a start in seconds and a complete
patch. Each edit returns a new one, and `preset` writes it as a preset again. Sections with the same label share a
patch.
"""

from __future__ import annotations

import string
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from audioreactive.errors import PresetError, shown
from audioreactive.features.form import song_form
from audioreactive.patches.sections import MOST_SECTIONS, Section, bar_frame, changes_between

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from fractions import Fraction

    from audioreactive.features import Features
    from audioreactive.features.form import FormSection
    from audioreactive.patches.preset import Preset
    from audioreactive.patches.schema import Patch

SHORTEST_PART: Final = 0.5
"""Fewest seconds between two borders."""
LONGEST_NAME: Final = 100
FADE_BARS: Final = 0.5
"""Bars of the cross-fade into a section that is split off or found in the song."""
LABELS: Final[tuple[str, ...]] = (
    *string.ascii_uppercase,
    *(f"{a}{b}" for a in string.ascii_uppercase for b in string.ascii_uppercase),
)
_OPTIONAL: Final = (("palette", ("label", "family", "coarse", "middle", "fine")), ("noise", ("amplitude", "levels")))
"""Keys that a patch may lack. Changes of a section cannot remove them, so the preset's own patch must not have them."""


@dataclass(frozen=True)
class ArrangedPart:
    """One section of a song with its complete patch."""

    start: float
    """Start in seconds, in milliseconds exactly."""
    label: str
    patch: Patch
    name: str = ""
    crossfade: float | None = None
    """Length in seconds of the fade into the section."""
    crossfade_bars: float | None = None
    """Length in bars of the fade into the section."""


@dataclass(frozen=True)
class Arrangement:
    """Sections of a song, in order and without gaps; the first one starts at 0."""

    parts: tuple[ArrangedPart, ...]
    duration: float
    """Length of the song in seconds."""

    def __len__(self) -> int:
        """Number of sections."""
        return len(self.parts)

    def span(self, index: int) -> tuple[float, float]:
        """Return start and end of a section in seconds."""
        self._check(index)
        end = self.parts[index + 1].start if index + 1 < len(self) else self.duration
        return self.parts[index].start, end

    def at(self, seconds: float) -> int:
        """Return the index of the section at a time."""
        return max((i for i, part in enumerate(self.parts) if part.start <= seconds), default=0)

    def moved(self, index: int, start: float) -> Arrangement:
        """Move the border at the start of a section; it stays between its neighbours.

        Raises:
            PresetError: it is the first section, which starts with the song.
        """
        self._check(index)
        if index == 0:
            raise PresetError("the first section starts with the song: move the border of another one")
        low, high = self.parts[index - 1].start + SHORTEST_PART, self.span(index)[1] - SHORTEST_PART
        return self._with(index, start=round(min(max(start, low), max(low, high)), 3))

    def split(self, index: int, at: float) -> Arrangement:
        """Divide a section at a time; both parts share its patch.

        Raises:
            PresetError: one of the parts would be too short, or there are too many sections.
        """
        start, end = self.span(index)
        if len(self) >= MOST_SECTIONS:
            raise PresetError(f"there are {MOST_SECTIONS} sections, which is the most: merge some first")
        if not start + SHORTEST_PART <= at <= end - SHORTEST_PART:
            raise PresetError(
                f"{at:.2f} s is too close to a border of the section, which goes from {start:.2f} to {end:.2f} s: "
                f"leave at least {SHORTEST_PART:g} s on both sides"
            )
        part = self.parts[index]
        second = replace(part, start=round(at, 3), name="", crossfade=None, crossfade_bars=FADE_BARS)
        return replace(self, parts=(*self.parts[: index + 1], second, *self.parts[index + 1 :]))

    def merged(self, index: int) -> Arrangement:
        """Give the time of the section that follows to this one.

        Raises:
            PresetError: it is the last section.
        """
        self._check(index)
        if index + 1 >= len(self):
            raise PresetError("no section follows the last one, so it cannot be merged with the next")
        return replace(self, parts=(*self.parts[: index + 1], *self.parts[index + 2 :]))

    def renamed(self, index: int, name: str) -> Arrangement:
        """Give a section a name of its own.

        Raises:
            PresetError: another section has that name, or it is too long.
        """
        self._check(index)
        name = " ".join(name.split())
        if len(name) > LONGEST_NAME:
            raise PresetError(f"a section's name has at most {LONGEST_NAME} characters, and this one {len(name)}")
        if name and any(part.name == name for i, part in enumerate(self.parts) if i != index):
            raise PresetError(f"another section is called {shown(name)}: choose another name")
        return self._with(index, name=name)

    def faded(self, index: int, bars: float) -> Arrangement:
        """Set the length of the fade into a section, in bars."""
        self._check(index)
        return self._with(index, crossfade=None, crossfade_bars=bars)

    def unlinked(self, index: int) -> Arrangement:
        """Give a section a label that no other has, so that its patch can be changed alone."""
        self._check(index)
        return self._with(index, label=self._free_label())

    def linked(self, index: int, label: str) -> Arrangement:
        """Give a section the label, and with it the patch, of other sections.

        Raises:
            PresetError: no section has that label.
        """
        self._check(index)
        patch = next((part.patch for part in self.parts if part.label == label), None)
        if patch is None:
            known = ", ".join(dict.fromkeys(part.label for part in self.parts))
            raise PresetError(f"no section has the label {shown(label)}; there are {known}")
        return self._with(index, label=label, patch=patch)

    def patched(self, index: int, patch: Patch) -> Arrangement:
        """Replace the patch of a section and of all that share its label."""
        self._check(index)
        label = self.parts[index].label
        return replace(self, parts=tuple(replace(p, patch=patch) if p.label == label else p for p in self.parts))

    def reformed(self, form: Sequence[FormSection], fps: Fraction, draw: Callable[[str], Patch]) -> Arrangement:
        """Replace the sections by those of a song's form.

        Each kind of section keeps the patch that was there for most of its time, if no other kind has taken it.

        Args:
            form: the song's parts, from `features.form.song_form`.
            fps: frame rate of the form.
            draw: makes the patch of a kind of section for which there is none.
        """
        patches: dict[str, Patch] = {}
        taken: set[str] = set()
        for label in dict.fromkeys(part.label for part in form):
            spans = [(float(p.start / fps), float(p.stop / fps)) for p in form if p.label == label]
            shares = {old: self._shared_time(old, spans) for old in dict.fromkeys(p.label for p in self.parts)}
            best = max((old for old in shares if old not in taken), key=lambda old: shares[old], default=None)
            if best is None or not shares[best]:
                patches[label] = draw(label)
            else:
                taken.add(best)
                patches[label] = next(part.patch for part in self.parts if part.label == best)
        parts = [
            ArrangedPart(
                start=round(float(part.start / fps), 3),
                label=part.label,
                patch=patches[part.label],
                crossfade_bars=FADE_BARS if i else None,
            )
            for i, part in enumerate(form[:MOST_SECTIONS])
        ]
        return replace(self, parts=tuple(parts))

    def preset(self, like: Preset) -> Preset:
        """Write the arrangement as a preset, with the name, remarks and render settings of another one.

        Raises:
            PresetError: the sections do not fit into a preset.
        """
        from audioreactive.patches.presets import validated

        wholes = [part.patch.model_dump(mode="json", exclude_none=True) for part in self.parts]
        base = _base(wholes)
        sections: list[Section] = []
        told: set[str] = set()
        for part, whole in zip(self.parts, wholes, strict=True):
            changes = {} if part.label in told else changes_between(base, whole)
            told.add(part.label)
            sections.append(
                Section(
                    name=part.name,
                    label=part.label,
                    start=part.start,
                    crossfade=part.crossfade,
                    crossfade_bars=part.crossfade_bars,
                    patch=changes,
                )
            )
        data = {key: value for key, value in like.data().items() if key not in type(self.parts[0].patch).model_fields}
        data |= {**base, "schema": 2, "sections": [s.model_dump(mode="json", exclude_none=True) for s in sections]}
        return validated(data, "the sections")

    def _shared_time(self, label: str, spans: Iterable[tuple[float, float]]) -> float:
        """Compute the seconds of these spans in which sections of a label are."""
        mine = [self.span(i) for i, part in enumerate(self.parts) if part.label == label]
        return sum(max(min(b, d) - max(a, c), 0.0) for a, b in spans for c, d in mine)

    def _free_label(self) -> str:
        used = {part.label for part in self.parts}
        return next(label for label in LABELS if label not in used)

    def _with(self, index: int, **changes: Any) -> Arrangement:
        parts = list(self.parts)
        parts[index] = replace(parts[index], **changes)
        return replace(self, parts=tuple(parts))

    def _check(self, index: int) -> None:
        if not 0 <= index < len(self):
            raise PresetError(f"there is no section {index}; there are 0 to {len(self) - 1}")


def arranged(preset: Preset, features: Features) -> Arrangement:
    """Find out what a preset's sections mean for a song; without sections, the whole song is one."""
    duration = float(features.duration)
    found = sorted(_starts(preset, features, duration), key=lambda part: part.start)
    if not found or found[0].start > 0:
        found.insert(0, ArrangedPart(0.0, "", preset.patch))
    # Starts are whole milliseconds; their differences as floats are a little off.
    parts = [part for part, after in pairwise(found) if round(after.start - part.start, 3) >= SHORTEST_PART] + found[
        -1:
    ]
    parts[0] = replace(parts[0], start=0.0)
    return Arrangement(tuple(_labelled(parts[:MOST_SECTIONS])), duration)


def _starts(preset: Preset, features: Features, duration: float) -> list[ArrangedPart]:
    fps = float(features.fps)
    found: list[ArrangedPart] = []
    by_label: dict[str, ArrangedPart] = {}
    for section, patch in zip(preset.sections, preset.section_patches(), strict=True):
        part = ArrangedPart(
            0.0, section.label or "", patch, section.name, section.crossfade, section.crossfade_bars
        )  # fmt: skip
        if section.follows_form:
            by_label[str(section.label)] = part
            continue
        start = section.start if section.start is not None else bar_frame(features, section.start_bar or 1) / fps
        if round(duration - start, 3) >= SHORTEST_PART or start == 0:
            found.append(replace(part, start=round(start, 3)))
    for place in song_form(features) if by_label else ():
        known = by_label.get(place.label, ArrangedPart(0.0, "", preset.patch))
        found.append(replace(known, start=round(place.start / fps, 3), name=""))
    return found


def _labelled(parts: Sequence[ArrangedPart]) -> list[ArrangedPart]:
    """Give each part without a label one; parts with equal patches get the same."""
    used = {part.label for part in parts}
    free = (label for label in LABELS if label not in used)
    labels: dict[str, str] = {}
    result = []
    for part in parts:
        if not part.label:
            text = part.patch.model_dump_json()
            part = replace(part, label=labels.setdefault(text, labels.get(text) or next(free)))
        result.append(part)
    return result


def _base(wholes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Choose the preset's own patch: the first section's, without optional keys that another section lacks."""
    base = {key: dict(value) if isinstance(value, dict) else value for key, value in wholes[0].items()}
    for half, keys in _OPTIONAL:
        for key in keys:
            if any(key not in whole[half] for whole in wholes):
                base[half].pop(key, None)
    return base
