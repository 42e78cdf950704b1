"""A short clip in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

RATE = 16_000


def moving(frames: int = 8, size: tuple[int, int] = (48, 32)) -> NDArray[np.uint8]:
    """A coloured slope on which a disc moves."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    made = np.empty((frames, height, width, 3), np.uint8)
    for i in range(frames):
        at = width * (0.2 + 0.6 * i / max(frames - 1, 1))
        disc = np.clip(8 - np.hypot(x - at, y - height / 2), 0, 1)[..., None]
        ground = np.stack([x * 200 / width, y * 200 / height, np.full(x.shape, 90.0)], -1)
        made[i] = (ground * (1 - disc) + np.array([240, 230, 40]) * disc + 0.5).astype(np.uint8)
    return made


def tone(seconds: float = 1.0) -> NDArray[np.float32]:
    t = np.arange(round(seconds * RATE)) / RATE
    return (0.4 * np.sin(2 * np.pi * 330 * t) * np.exp(-2 * (t % 0.5))).astype(np.float32)[:, None]


def still_features(folder: Path) -> int:
    """Size of the page of a recipe for three minutes at 30 frames a second, without its song."""
    from dataclasses import replace
    from fractions import Fraction

    from support import make_features

    from audioreactive.codec.painter_page import recipe_page
    from audioreactive.generators import open_generator, plan_canvas
    from audioreactive.patches.presets import load_preset
    from audioreactive.pipeline.preparing import make_motion
    from audioreactive.pipeline.production import Production, RenderSettings, make_encoding, make_scene
    from audioreactive.video import output_format

    features = make_features(180, Fraction(30))
    smoothed = {
        name: np.clip(np.apply_along_axis(lambda v: np.convolve(v, np.hanning(15) / 7, "same"), 0, table), 0, 1)
        for name, table in features.items()
    }
    features = replace(features, envelopes={name: table.astype(np.float32) for name, table in smoothed.items()})
    preset, loaded = load_preset("pulse"), open_generator(None, device="cpu")
    canvas = plan_canvas(loaded.generator, size=(1920, 1080))
    settings = RenderSettings()
    encoding = make_encoding(output_format(folder / "a.mp4"), canvas, Fraction(30), settings)
    moving = make_motion(preset, features, loaded.generator)
    scene = make_scene(moving, loaded.source, loaded.generator, encoding, settings)
    production = Production(
        song=folder / "a.wav", features=features, preset=preset, generator=loaded.generator, scene=scene,
        encoding=encoding, start=0, stop=features.frames, settings=settings,
    )  # fmt: skip
    return len(recipe_page(production, None, title="a"))
