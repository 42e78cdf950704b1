"""What a project holds: the preset that is rendered, named takes of sections, and favourite seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, ValidationError

from audioreactive.errors import PresetError
from audioreactive.patches.fields import Part, Seed
from audioreactive.patches.presets import validated
from audioreactive.patches.schema import Patch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from audioreactive.patches.preset import Preset

MOST_TAKES = 256
MOST_FAVOURITES = 1024


class Take(Part):
    """A patch that is kept under a name, to come back to."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    section: Annotated[str, Field(max_length=100)] = ""
    """Name or label of the section for which it was made."""
    patch: Patch


class _Extras(Part):
    """Part of a document beside the preset."""

    takes: Annotated[tuple[Take, ...], Field(max_length=MOST_TAKES)] = ()
    favourites: Annotated[tuple[Seed, ...], Field(max_length=MOST_FAVOURITES)] = ()


@dataclass(frozen=True)
class Document:
    """State of a project after an edit."""

    preset: Preset
    takes: tuple[Take, ...] = ()
    favourites: tuple[int, ...] = ()

    def data(self) -> dict[str, Any]:
        """Return the document as plain data."""
        return {
            "preset": self.preset.data(),
            "takes": [take.model_dump(mode="json", exclude_none=True) for take in self.takes],
            "favourites": list(self.favourites),
        }


def document_of(data: Mapping[str, Any]) -> Document:
    """Read a document from plain data.

    Raises:
        PresetError: the data is not a valid document.
    """
    if not isinstance(data.get("preset"), dict):
        raise PresetError("the project holds no preset")
    preset = validated(data["preset"], "the project's preset")
    try:
        extras = _Extras.model_validate({key: value for key, value in data.items() if key != "preset"})
    except (ValidationError, RecursionError) as error:
        raise PresetError(f"the project's takes cannot be read: {str(error).splitlines()[0]}") from None
    return Document(preset, extras.takes, extras.favourites)
