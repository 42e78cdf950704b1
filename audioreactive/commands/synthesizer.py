"""Converts the options of a synthesizer to a part of the preset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pathlib import Path

    from audioreactive.patches.schema import Synthesizer


def choose_synthesizer(
    name: str | None, preset: str | None, motion_seed: int | None, weights: tuple[tuple[str, float], ...]
) -> Synthesizer | None:
    """The synthesizer of a drawn preset; None for the Randomizer, or if a preset is given.

    Raises:
        click.UsageError: options that do not go together.
        SynthesizerError: the file is none that was trained here.
    """
    if name is None:
        if preset is None and (motion_seed is not None or weights):
            given = "--motion-seed" if motion_seed is not None else "--weight"
            raise click.UsageError(f"{given} is for a synthesizer: give --synthesizer hippo, or a trained FILE")
        return None
    if preset is not None:
        raise click.UsageError(
            "--preset and --synthesizer both make the motion: give one of them. A preset calls a synthesizer by a "
            "sequence of its own (docs/learn.md)"
        )
    from audioreactive.learn.named import named_synthesizer

    return named_synthesizer(name, motion_seed=motion_seed or 0, weights=dict(weights))


def synthesizer_path(name: str | None) -> Path | None:
    """Path of a trained synthesizer; None if there is none."""
    from audioreactive._support.files import as_path
    from audioreactive.learn.named import HIPPO, THESIS

    return None if name is None or name in (HIPPO, THESIS) else as_path(name)


def motion_overrides(
    preset: str | None, motion_seed: int | None, weights: tuple[tuple[str, float], ...]
) -> tuple[str, ...]:
    """Changes that the options make in the synthesizers of a given preset."""
    if preset is None:
        return ()
    changes = [f"synthesizers.*.motion_seed = {motion_seed}"] if motion_seed is not None else []
    if weights:
        table = ", ".join(f"{name} = {weight}" for name, weight in dict(weights).items())
        changes.append(f"synthesizers.*.weights = {{ {table} }}")
    return tuple(changes)
