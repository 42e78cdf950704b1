"""A file to a page that plays it in a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from audioreactive._support.files import write_aside
from audioreactive.codec.packing import KIND, read_player, read_suffix
from audioreactive.codec.recipe import LARGEST_SONG, OPUS_KILOBITS, opened
from audioreactive.codec.sound import decoded, opus
from audioreactive.errors import CodecError, shown

if TYPE_CHECKING:
    from fractions import Fraction
    from pathlib import Path

    from audioreactive.codec.container import Archive
    from audioreactive.progress import Progress

PLAYED: Final = (".mp3", ".ogg", ".opus", ".flac", ".wav", ".m4a", ".aac", ".mp4")
"""Endings of sounds that browsers play; others are coded as Opus."""


def write_page(
    archive: Archive,
    output: Path,
    *,
    size: tuple[int, int] | None = None,
    fps: Fraction | None = None,
    progress: Progress | None = None,
) -> int:
    """Write the page of a file; returns its size in bytes.

    Raises:
        CodecError: the file is damaged, or a page cannot draw it.
    """
    made = _network(archive) if archive.header.get("kind") == KIND else _recipe(archive, size, fps, progress)
    with write_aside(output) as file:
        file.write(made)
    return len(made)


def _network(archive: Archive) -> bytes:
    from audioreactive.codec.network_page import network_page

    player = read_player(archive)
    song = None if player.sound is None else _played(player.sound, player.suffix)
    return network_page(player, song, title=archive.path.stem)


def _recipe(archive: Archive, size: tuple[int, int] | None, fps: Fraction | None, progress: Progress | None) -> bytes:
    from audioreactive.codec.painter_page import recipe_page

    kind = archive.header.get("kind")
    if kind != "recipe":
        raise CodecError(f"a page draws grids and recipes of the painter, and this file holds {shown(kind)}")
    with opened(archive, size=size, fps=fps, progress=progress) as production:
        song = _played(archive.read("song", LARGEST_SONG), read_suffix(archive.header))
        start = float(production.start / production.encoding.settings.fps)
        return recipe_page(production, song, title=archive.path.stem, start=start)


def _played(data: bytes, suffix: str) -> bytes:
    """A sound file's content in a format that browsers play."""
    return data if suffix in PLAYED else opus(decoded(data, suffix), OPUS_KILOBITS)
