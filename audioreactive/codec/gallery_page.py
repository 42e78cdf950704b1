"""A page of presets side by side, which all move to one song; each has the command that makes its video."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from audioreactive.codec.clip import read_sound
from audioreactive.codec.embedding import deflated, page
from audioreactive.codec.painter_page import constants, scene_of, shaders
from audioreactive.codec.sound import opus
from audioreactive.patches.presets import load_preset
from audioreactive.pipeline.planning import plan_render
from audioreactive.pipeline.preparing import prepare
from audioreactive.pipeline.production import RenderSettings
from audioreactive.pipeline.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

FPS: Final = Fraction(24)
SIZE: Final = (1280, 720)
"""Size for which noise is drawn; the page paints at its tiles' own sizes."""
KILOBITS: Final = 80
"""Rate of the song as Opus."""


def gallery_page(song: Path, presets: Sequence[str], *, title: str, still: float = 0.0) -> bytes:
    """Make the page.

    Args:
        song: the song that all presets move to.
        presets: names of presets, in order.
        title: the page's title.
        still: moment of the song, in seconds, at which the pictures stand before it is played.

    Raises:
        CodecError: a preset asks for another generator than the painter.
    """
    tiles: list[dict[str, Any]] = []
    blobs: dict[str, bytes] = {}
    families: dict[str, None] = {}
    frames = 0
    for index, name in enumerate(presets):
        settings = RenderSettings(fps=FPS, size=SIZE)
        preset = load_preset(name)
        plan = plan_render(song, Path("video.mp4"), recipe=Recipe(preset=preset), settings=settings)
        scene = scene_of(prepare(plan))
        families |= dict.fromkeys(scene.families)
        blobs[f"tables {index}"] = deflated(scene.tables)
        told = {"name": name, "about": " ".join(preset.about.split()), "command": f"render song.mp3 --preset {name}"}
        tiles.append({**told, **scene.about})
        frames = scene.about["frames"]
    blobs["shaders"] = deflated(json.dumps(shaders(list(families))).encode())
    blobs["song"] = opus(read_sound(song), KILOBITS)
    about = {
        "fps": [FPS.numerator, FPS.denominator], "frames": frames, "still": still, "painter": constants(),
        "presets": tiles,
    }  # fmt: skip
    scripts = ("player.js", "painter.js", "gallery.js")
    return page(title=title, about=about, blobs=blobs, scripts=scripts, loop=True, form="gallery")
