"""The files that the `[[weights]]` of a preset name: found among those that were given, or beside the preset.

A preset names a file without any folder, so a stranger's preset opens nothing but what lies beside it or was given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from audioreactive._support.files import as_path
from audioreactive.errors import RenderError, shown
from audioreactive.generators.sources import ModelFile, WeightFile, check_model, file_digest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from audioreactive.patches.move_schema import WeightChange
    from audioreactive.patches.preset import Preset
    from audioreactive.patches.schema import Patch
    from audioreactive.patches.wild import Wild


def given_files(given: Sequence[Path]) -> tuple[WeightFile, ...]:
    """Return files of second models and of edits that the user gave, each by its own name.

    Raises:
        CheckpointError: a file cannot be opened.
    """
    from stylegan_ops.blending import is_edits

    for path in given:
        check_model(path)
    return tuple(WeightFile("edits" if is_edits(path) else "toward", path.name, ModelFile.at(path)) for path in given)


def wild_of(given: Sequence[Path]) -> Wild:
    """Return what a wild preset may have, with the second models among the files that were given.

    Raises:
        CheckpointError: a file cannot be opened.
    """
    from audioreactive.patches.wild import Wild

    return Wild(seconds=tuple(one.name for one in given_files(given) if one.kind == "toward"))


def weight_files(
    preset: Preset,
    given: Sequence[Path] = (),
    folder: Path | None = None,
    found: Sequence[WeightFile] = (),
) -> tuple[WeightFile, ...]:
    """Find the files that a preset's weights name, each once.

    Args:
        preset: the preset.
        given: files that the user gave.
        folder: folder of the preset's own file.
        found: files that were found before, to which these are added.

    Raises:
        RenderError: a file is not there, or has another digest than the preset says.
        CheckpointError: a file that was given cannot be opened.
    """
    for path in given:
        check_model(path)
    files = {one.name: one for one in found}
    for patch in (preset.patch, *preset.section_patches()):
        for change in patch.weights:
            if change.muted:
                continue
            kind = "toward" if change.toward is not None else "edits"
            known = files.get(change.file)
            if known is not None and known.kind != kind:
                raise RenderError(f"{shown(change.file)} is a second model and a file of edits: it can be one of them")
            one = known or WeightFile(kind, change.file, ModelFile.at(_place(change, given, folder)))  # type: ignore[arg-type]
            if change.sha256 not in (None, one.file.sha256):
                raise RenderError(
                    f"{str(one.file.path)!r} is another file than the one that the preset was made with (its SHA-256 "
                    f"begins with {one.file.sha256[:12]} instead of {str(change.sha256)[:12]}): give that one with "
                    "--with, or take sha256 out of the preset"
                )
            files[change.file] = one
    return tuple(files.values())


def _place(change: WeightChange, given: Sequence[Path], folder: Path | None) -> Path:
    """Path of the file that a change names."""
    for path in given:
        if path.name == change.file:
            return path
    if change.sha256 is not None:
        for path in given:
            if file_digest(path) == change.sha256:
                return path
    if folder is not None:
        beside = folder / change.file
        if beside.is_file() and not beside.is_symlink():
            return beside
    raise RenderError(
        f"the preset's [[weights]] need the file {shown(change.file)}: put it beside the preset, or give it with --with"
    )


def folder_of(preset: str | Path | None) -> Path | None:
    """Folder of the file that a preset is read from."""
    from audioreactive.patches.presets import preset_path

    path = None if preset is None else preset_path(str(preset))
    return None if path is None else as_path(path).absolute().parent


def with_digests(preset: Preset, files: Sequence[WeightFile]) -> Preset:
    """Return the preset with the digests of the files that its weights name."""
    digests = {one.name: one.file.sha256 for one in files}

    def named(patch: Patch) -> Patch:
        weights = tuple(
            change.model_copy(update={"sha256": digests[change.file]}) if change.file in digests else change
            for change in patch.weights
        )
        return patch if weights == patch.weights else patch.model_copy(update={"weights": weights})

    return preset.mapped(named)
