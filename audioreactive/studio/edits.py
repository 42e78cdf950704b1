"""What the page may ask for -> the next document. Everything that comes from the page is checked here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from audioreactive.errors import PresetError
from audioreactive.features.form import song_form
from audioreactive.generators import parse_size
from audioreactive.patches.arrangement import Arrangement, arranged
from audioreactive.patches.fields import DEPTHS, Depth, Part, Seed
from audioreactive.patches.knobs import Knobs, tempo_of_loops, with_reaction
from audioreactive.patches.overrides import with_value
from audioreactive.patches.presets import load_preset, shipped_presets
from audioreactive.patches.randomizer import random_patch, with_lead, without_idle_synthesizers
from audioreactive.patches.redraw import redrawn, with_new_palette
from audioreactive.studio.document import MOST_TAKES, Document, Take

if TYPE_CHECKING:
    from collections.abc import Callable

    from audioreactive.features import Features
    from audioreactive.patches.schema import Patch

Index = Annotated[int, Field(ge=0, le=63)]
Seconds = Annotated[float, Field(ge=0, le=86_400)]
Name = Annotated[str, Field(max_length=100)]
Words = Annotated[str, Field(max_length=80)]
FREE_SEEDS: Final = 100_000


class _InSection(Part):
    section: Index


class SetValue(_InSection):
    """Sets one value of a section's patch."""

    kind: Literal["set"]
    path: Annotated[str, Field(max_length=120)]
    """Keys and positions with dots between them, as in `--set`."""
    value: Any
    label: Words = ""


class Turn(_InSection):
    """Turns a knob to a value that sums up many."""

    kind: Literal["turn"]
    knob: Literal["reaction", "speed", "motion"]
    value: Annotated[float, Field(ge=0, le=10)]


class NewPalette(_InSection):
    """Draws the palette's seeds anew, all or of one depth."""

    kind: Literal["palette"]
    seed: Seed
    depth: Depth | None = None


class Redraw(_InSection):
    """Draws the section's patch anew, but for what is kept."""

    kind: Literal["redraw"]
    seed: Seed
    keep: Annotated[tuple[Name, ...], Field(max_length=140)] = ()


class Sequences(_InSection):
    """Adds or removes a sub-sequence."""

    kind: Literal["sequence"]
    half: Literal["latents", "noise"]
    add: dict[str, Any] | None = None
    remove: Index | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Sequences:
        if (self.add is None) == (self.remove is None):
            raise ValueError("a sub-sequence is either added or removed")
        return self


class KeepTake(_InSection):
    """Keeps the section's patch under a name."""

    kind: Literal["keep"]
    name: Annotated[str, Field(min_length=1, max_length=100)]


class UseTake(_InSection):
    """Uses a take as the section's patch."""

    kind: Literal["take"]
    name: Name


class DropTake(Part):
    """Forgets a take."""

    kind: Literal["drop"]
    name: Name


class UsePreset(_InSection):
    """Uses the patch of a preset that ships with the program."""

    kind: Literal["preset"]
    name: Name


class CopyPatch(_InSection):
    """Uses another section's patch."""

    kind: Literal["copy"]
    source: Index


class MoveBorder(_InSection):
    """Moves the border at the start of a section."""

    kind: Literal["move"]
    start: Seconds


class Split(_InSection):
    """Divides a section."""

    kind: Literal["split"]
    at: Seconds


class Merge(_InSection):
    """Merges a section with the next."""

    kind: Literal["merge"]


class Rename(_InSection):
    """Names a section."""

    kind: Literal["rename"]
    name: Name


class Link(_InSection):
    """Links a section with those of a label, or unlinks it."""

    kind: Literal["link"]
    label: Annotated[str, Field(max_length=32)] | None = None


class Fade(_InSection):
    """Sets the length of the fade into a section."""

    kind: Literal["fade"]
    bars: Annotated[float, Field(ge=0, le=16)]


class Count(Part):
    """Finds so many sections in the song."""

    kind: Literal["count"]
    count: Annotated[int, Field(ge=1, le=32)]
    seed: Seed = 0


class Favourite(Part):
    """Keeps or forgets a seed."""

    kind: Literal["favourite"]
    seed: Seed
    on: bool


class Settings(Part):
    """Sets size and fit of the video."""

    kind: Literal["settings"]
    size: Annotated[str, Field(max_length=20)]
    fit: Literal["widen", "crop", "pad", "stretch"] | None = None


AnyEdit = Annotated[
    SetValue | Turn | NewPalette | Redraw | Sequences | KeepTake | UseTake | UsePreset | DropTake | CopyPatch
    | MoveBorder | Split | Merge | Rename | Link | Fade | Count | Favourite | Settings,
    Field(discriminator="kind"),
]  # fmt: skip
_EDIT: Final[TypeAdapter[AnyEdit]] = TypeAdapter(AnyEdit)


def edit_of(data: Any) -> AnyEdit:
    """Read an edit.

    Raises:
        PresetError: it is not valid.
    """
    try:
        return _EDIT.validate_python(data)
    except (ValidationError, RecursionError) as error:
        problems = error.errors(include_url=False) if isinstance(error, ValidationError) else []
        told = "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in problems[:2]) or "it is too deep"
        raise PresetError(f"this edit cannot be made: {told[:300]}") from None


@dataclass(frozen=True)
class State:
    """A document, and what its sections mean for the song."""

    document: Document
    arrangement: Arrangement

    @classmethod
    def of(cls, document: Document, features: Features) -> State:
        """Find out what a document means for a song."""
        return cls(document, arranged(document.preset, features))


@dataclass(frozen=True)
class Edited:
    """Result of an edit."""

    label: str
    """Words for the person, as "undo LABEL"."""
    state: State


def edited(state: State, edit: AnyEdit, features: Features) -> Edited:
    """Make an edit.

    Raises:
        PresetError: the edit does not fit the document.
    """
    document, arrangement = state.document, state.arrangement
    match edit:
        case KeepTake() | DropTake() | Favourite():
            label, document = _beside(document, arrangement, edit)
            return Edited(label, State(document, arrangement))
        case Settings():
            size = "{}x{}".format(*parse_size(edit.size))
            render = document.preset.render.model_copy(update={"size": size, "fit": edit.fit})
            preset = document.preset.model_copy(update={"render": render})
            return Edited(f"size {size}", State(replace(document, preset=preset), arrangement))
        case MoveBorder() | Split() | Merge() | Rename() | Link() | Fade() | Count():
            label, arrangement = _sections(arrangement, edit, features)
        case _:
            label, patch = patched(state, edit)
            arrangement = arrangement.patched(edit.section, patch)
    return Edited(label, State(replace(document, preset=arrangement.preset(document.preset)), arrangement))


def patched(state: State, edit: AnyEdit) -> tuple[str, Patch]:
    """Compute the patch of a section after an edit of it: (label of the edit, patch).

    Raises:
        PresetError: the edit does not fit, or is not of a patch.
    """
    label, patch = _patched(state, edit)
    return label, without_idle_synthesizers(patch)


def _patched(state: State, edit: AnyEdit) -> tuple[str, Patch]:
    section = getattr(edit, "section", None)
    if section is None:
        raise PresetError("this edit is not of a section")
    state.arrangement.span(section)  # raises if there is none
    patch = state.arrangement.parts[section].patch
    match edit:
        case SetValue():
            return edit.label or _said(edit.path), with_value(patch, edit.path, edit.value)
        case Turn():
            return edit.knob, _turned(patch, edit.knob, edit.value)
        case NewPalette():
            return f"{edit.depth or 'all'} palette anew", with_new_palette(patch, edit.seed, edit.depth)
        case Redraw():
            return f"proposal {edit.seed}", redrawn(patch, edit.seed, edit.keep)
        case Sequences():
            return _with_sequences(patch, edit)
        case UseTake():
            return f"take {edit.name}", _take(state.document, edit.name).patch
        case UsePreset():
            return f"preset {edit.name}", _shipped(edit.name)
        case CopyPatch():
            state.arrangement.span(edit.source)
            return "copy of a section", state.arrangement.parts[edit.source].patch
    raise PresetError("this edit is not of a patch")


def first_arrangement(arrangement: Arrangement, features: Features, seed: int) -> Arrangement:
    """Divide a song without sections by its form; the first kind keeps the patch, others are variations of it.

    Variations have the palette's family, so that the video looks like one.
    """
    first = arrangement.parts[0].patch

    def draw(label: str) -> Patch:
        return _variation(first, seed, label)

    return arrangement.reformed(song_form(features), features.fps, draw)


def _variation(first: Patch, seed: int, label: str) -> Patch:
    number = (seed + sum(map(ord, label))) % FREE_SEEDS
    drawn = with_lead(random_patch(number), number)
    palette = drawn.palette.model_copy(update={"family": first.palette.family})
    return drawn.model_copy(update={"palette": palette})


def _sections(
    arrangement: Arrangement, edit: MoveBorder | Split | Merge | Rename | Link | Fade | Count, features: Features
) -> tuple[str, Arrangement]:
    match edit:
        case MoveBorder():
            return "border", arrangement.moved(edit.section, edit.start)
        case Split():
            return "split", arrangement.split(edit.section, edit.at)
        case Merge():
            return "merge", arrangement.merged(edit.section)
        case Rename():
            return "name", arrangement.renamed(edit.section, edit.name)
        case Fade():
            return "fade", arrangement.faded(edit.section, edit.bars)
        case Link():
            if edit.label is None:
                return "unlink", arrangement.unlinked(edit.section)
            return f"link to {edit.label}", arrangement.linked(edit.section, edit.label)
        case Count():
            first, seed = arrangement.parts[0].patch, edit.seed
            draw: Callable[[str], Patch] = lambda label: _variation(first, seed, label)  # noqa: E731
            made = arrangement.reformed(song_form(features, edit.count), features.fps, draw)
            return f"{len(made)} sections", made


def _beside(
    document: Document, arrangement: Arrangement, edit: KeepTake | DropTake | Favourite
) -> tuple[str, Document]:
    match edit:
        case KeepTake():
            arrangement.span(edit.section)
            part = arrangement.parts[edit.section]
            others = [take for take in document.takes if take.name != edit.name]
            if len(others) >= MOST_TAKES:
                raise PresetError(f"there are {MOST_TAKES} takes, which is the most: drop some first")
            take = Take(name=edit.name, section=part.name or part.label, patch=part.patch)
            return f"keep {edit.name}", replace(document, takes=(*others, take))
        case DropTake():
            _take(document, edit.name)
            left = tuple(take for take in document.takes if take.name != edit.name)
            return f"drop {edit.name}", replace(document, takes=left)
        case Favourite():
            others_ = tuple(seed for seed in document.favourites if seed != edit.seed)
            kept = (*others_, edit.seed)[-1024:] if edit.on else others_
            return f"favourite {edit.seed}", replace(document, favourites=kept)


def _shipped(name: str) -> Patch:
    known = shipped_presets()
    if name not in known:
        raise PresetError(f"no preset {name[:60]!r} ships with the program; there are {', '.join(known)}")
    return load_preset(str(known[name])).patch


def _take(document: Document, name: str) -> Take:
    found = next((take for take in document.takes if take.name == name), None)
    if found is None:
        raise PresetError(f"there is no take {name[:60]!r}")
    return found


def _turned(patch: Patch, knob: str, value: float) -> Patch:
    if knob == "reaction":
        return with_reaction(patch, value)
    if knob == "motion":
        mean = (sum(patch.latents.reach) + patch.noise.reach) / 4
        if mean > 0:
            return Knobs(motion=min(value / mean, 4.0))(patch)
        reach = (value, value, value)
        latents = patch.latents.model_copy(update={"reach": reach})
        return patch.model_copy(update={"latents": latents, "noise": patch.noise.model_copy(update={"reach": value})})
    speed = tempo_of_loops(patch)
    if speed is None or value <= 0:
        return patch
    return Knobs(speed=min(max(value / speed, 0.1), 10.0))(patch)


def _with_sequences(patch: Patch, edit: Sequences) -> tuple[str, Patch]:
    data = patch.model_dump(mode="json", exclude_none=True)
    sequences = data[edit.half]["sequences"]
    if edit.remove is not None:
        if edit.remove >= len(sequences):
            raise PresetError(f"there is no sub-sequence {edit.remove}; there are 0 to {len(sequences) - 1}")
        del sequences[edit.remove]
        return "remove a sub-sequence", with_value(patch, f"{edit.half}.sequences", sequences)
    return "add a sub-sequence", with_value(patch, f"{edit.half}.sequences", [*sequences, edit.add])


def _said(path: str) -> str:
    words = [word for word in path.split(".") if not word.isdecimal() and word not in ("sequences", *DEPTHS)]
    return " ".join(words[-2:])
