"""`Preset`: a patch with its sections, a description and render settings; exactly the content of a preset file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, model_validator

from audioreactive.patches.fields import Part, check_keys
from audioreactive.patches.schema import Palette, Patch
from audioreactive.patches.sections import MOST_SECTIONS, Section, changes_between, check_sections, section_patches

if TYPE_CHECKING:
    from collections.abc import Callable


def _writable(text: object) -> object:
    """Replace characters that TOML cannot write: file names may contain bytes that are not valid text."""
    return text.encode(errors="replace").decode() if isinstance(text, str) else text


Text = Annotated[str, Field(max_length=2000), BeforeValidator(_writable)]


class RenderDefaults(Part):
    """Default settings for rendering with this preset; options on the command line override them."""

    fps: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,5}(/[1-9][0-9]{0,5})?$")] | None = None
    size: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,4}x[1-9][0-9]{0,4}$")] | None = None
    fit: Literal["widen", "crop", "pad", "stretch"] | None = None


class MadeWith(Part):
    """Information for people about the render that wrote the preset; the program does not use it."""

    program: Text | None = None
    model: Text | None = None
    model_sha256: Text | None = None
    song_sha256: Text | None = None
    seed: Annotated[int, Field(ge=0, le=2**64)] | None = None


PATCH_KEYS: Final = tuple(Patch.model_fields)
"""Keys of the patch, which are at the top level of a preset file."""


class Preset(Part):
    """Patch with its sections, a description and render settings; in a file, the patch's keys are at the top level."""

    patch: Patch
    sections: Annotated[tuple[Section, ...], Field(max_length=MOST_SECTIONS)] = ()
    schema_version: Annotated[Literal[1, 2], Field(alias="schema")] = 1
    """Version of the file format: 2 if there are sections, else 1."""
    name: Text = ""
    about: Annotated[str, Field(max_length=20_000)] = ""
    render: RenderDefaults = RenderDefaults()
    made_with: MadeWith | None = None

    @model_validator(mode="before")
    @classmethod
    def _patch_at_the_top(cls, data: object) -> object:
        """Move the patch's keys, which a file has at the top level, into `patch`."""
        if not isinstance(data, dict) or isinstance(data.get("patch"), Patch):
            return data
        known = [*PATCH_KEYS, *(field.alias or name for name, field in cls.model_fields.items() if name != "patch")]
        check_keys(data, known)
        patch = {key: data[key] for key in PATCH_KEYS if key in data}
        return {"patch": patch, **{key: value for key, value in data.items() if key not in PATCH_KEYS}}

    @model_validator(mode="after")
    def _sections_fit(self) -> Preset:
        if self.sections and self.schema_version == 1:
            raise ValueError("sections need schema = 2 at the head of the preset")
        check_sections(self.sections)
        self.section_patches()
        return self

    def section_patches(self) -> list[Patch]:
        """Return the complete patch of each section."""
        return section_patches(self.patch, self.sections)

    def feature_names(self) -> tuple[str, ...]:
        """Return the sorted names of all features that the patch and its sections use."""
        return tuple(sorted({name for patch in self._patches() for name in patch.feature_names()}))

    def segmentation_names(self) -> tuple[str, ...]:
        """Return the sorted names of all features whose segmentation the patch and its sections use."""
        return tuple(sorted({name for patch in self._patches() for name in patch.segmentation_names()}))

    def palettes(self) -> tuple[Palette, ...]:
        """Return the distinct palettes of the patch and its sections."""
        return tuple(dict.fromkeys(patch.palette for patch in self._patches()))

    def mapped(self, change: Callable[[Patch], Patch]) -> Preset:
        """Apply a change to the patch and to the patch of each section."""
        patch = change(self.patch)
        base = patch.model_dump(mode="json", by_alias=True, exclude_none=True)
        sections = tuple(
            section.model_copy(
                update={"patch": changes_between(base, change(own).model_dump(mode="json", exclude_none=True))}
            )
            for section, own in zip(self.sections, self.section_patches(), strict=True)
        )
        return self.model_copy(update={"patch": patch, "sections": sections})

    def data(self) -> dict[str, Any]:
        """Return the preset as the data of a file, with the patch's keys at the top level."""
        data = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        flat = {**data.pop("patch"), **data}
        flat["schema"] = 2 if self.sections else self.schema_version
        if not self.sections:
            flat.pop("sections")
        return flat

    def _patches(self) -> list[Patch]:
        return [self.patch, *self.section_patches()]


def preset_of(patch: Patch, *, render: RenderDefaults | None = None, made_with: MadeWith | None = None) -> Preset:
    """Make a preset without sections from a patch."""
    return Preset(patch=patch, render=render or RenderDefaults(), made_with=made_with)
