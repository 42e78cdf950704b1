"""The queue of videos in the project's folder, so that it is there after a restart."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field, TypeAdapter, ValidationError

from audioreactive._support.files import read_regular, write_aside
from audioreactive.errors import AudioReactiveError
from audioreactive.patches.fields import Part
from audioreactive.patches.presets import LARGEST_PRESET, parse_preset, preset_text
from audioreactive.studio.renders import MOST_JOBS, Delivery, Job

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MOST_BYTES: Final = MOST_JOBS * 2 * LARGEST_PRESET
"""Most bytes of the file that are read."""


class KeptJob(Part):
    """A video of the queue, as the file holds it."""

    delivery: Delivery
    preset: Annotated[str, Field(max_length=LARGEST_PRESET)]
    """Text of a preset file."""
    state: Literal["waiting", "rendering", "done", "cancelled", "failed"]
    message: Annotated[str, Field(max_length=500)] = ""


_JOBS: Final = TypeAdapter(list[KeptJob])


def keep_jobs(path: Path, jobs: Sequence[Job]) -> None:
    """Write the queue aside and rename it."""
    kept = [KeptJob(delivery=job.delivery, preset=preset_text(job.preset), state=job.state,
                    message=job.message[:500]) for job in jobs]  # fmt: skip
    with write_aside(path) as file:
        file.write(json.dumps([one.model_dump(mode="json") for one in kept]).encode() + b"\n")


def kept_jobs(path: Path, folders: Sequence[Path]) -> list[Job]:
    """Return the queue as it was left: what was not finished is cancelled, and can go on from its chunks.

    A file that cannot be read is an empty queue; what is no job of a video in the folders is left out.
    """
    try:
        told = _JOBS.validate_json(read_regular(path, MOST_BYTES, follow=False))
    except (OSError, ValidationError, ValueError, RecursionError):
        return []
    found: list[Job] = []
    for one in told[-MOST_JOBS:]:
        try:
            preset, output = parse_preset(one.preset, path.name), one.delivery.output(folders)
        except AudioReactiveError:
            continue
        state, message = one.state, one.message
        if state in ("waiting", "rendering"):
            state, message = "cancelled", "the studio was closed: it goes on where it stopped"
        if (state != "done" or output.is_file()) and all(job.output != output for job in found):
            found.append(Job(len(found) + 1, one.delivery, output, preset, state=state, message=message))
    return found
