"""What the shipped presets make of strokes and drops, before any model paints it."""

from __future__ import annotations

import sys
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from audioreactive.features import Features, analyze
from audioreactive.media.audio import ANALYSIS_RATE, from_samples
from audioreactive.patches.motion import motion
from audioreactive.patches.presets import load_preset

if TYPE_CHECKING:
    from audioreactive.patches.schema import Patch

sys.path.insert(0, str(Path(__file__).parents[1] / "features"))
from test_moments import Sound, pad, pattern, place, snare, with_drop

FPS = Fraction(24)
STRUCK = ("pulse", "carousel", "chapters", "timbre", "drop")
"""Presets that react to strokes."""


@cache
def patch(name: str) -> Patch:
    return load_preset(name).patch


def hear(sound: Sound, presets: tuple[str, ...] = STRUCK) -> Features:
    """What these presets listen to, and no more."""
    patches = [patch(name) for name in presets]
    names = sorted({name for patch in patches for name in patch.feature_names()})
    segmentations = sorted({name for patch in patches for name in patch.segmentation_names()})
    return analyze(from_samples(sound, ANALYSIS_RATE), fps=FPS, names=names, segmentations=segmentations)


@cache
def heard(kind: str) -> Features:
    return hear(pattern(kind)[0])


@cache
def rolled() -> Features:
    """A stroke a second, and from second 6 to 8 sixteen."""
    sound = pad(12)
    place(sound, snare(0.3), [*np.arange(0.5, 6, 1), *np.arange(8.5, 11.5, 1)])
    place(sound, snare(0.3), list(np.arange(6, 8, 0.0625)))
    return hear(sound)


def steps(features: Features, name: str) -> np.ndarray:
    """(T - 1,) how far the latents go from each frame to the next."""
    moved: np.ndarray = np.abs(np.diff(motion(patch(name), features).tables()["latents"], axis=0)).sum(axis=1)
    return moved


@pytest.mark.parametrize("kind", ["house", "trap"])
@pytest.mark.parametrize("name", STRUCK)
def test_a_kick_moves_the_picture_as_much_as_a_snare(name: str, kind: str) -> None:
    _, kicks, snares = pattern(kind)
    moved = steps(heard(kind), name)

    def at(times: list[float]) -> float:
        return float(np.mean([moved[int(t * FPS) - 2 : int(t * FPS) + 2].sum() for t in times if 1 < t < 12.5]))

    assert 0.7 < at(kicks) / at(snares) < 1.4


@pytest.mark.parametrize("name", STRUCK)
def test_a_stroke_is_a_motion_and_no_cut(name: str) -> None:
    """Around the largest steps, no single frame takes half of the way of five frames, as a cut would."""
    for kind in ("house", "trap"):
        moved = steps(heard(kind), name)
        largest = [frame for frame in np.argsort(-moved)[:30] if 2 < frame < len(moved) - 3]
        assert np.mean([moved[frame] / moved[frame - 2 : frame + 3].sum() for frame in largest]) < 0.44


@pytest.mark.parametrize("name", ["pulse", "carousel", "chapters"])
def test_a_roll_moves_the_picture(name: str) -> None:
    gain = motion(patch(name), rolled()).tables()["gain"][:, 0]
    assert gain[int(6.2 * FPS) : int(7.9 * FPS)].mean() > 1.3 * gain[int(2.2 * FPS) : int(5.9 * FPS)].mean()


@pytest.mark.parametrize("bpm, drop, gap", [(125, 12.25, 0), (140, 14.02, 0.43)])
def test_the_preset_drop_moves_at_the_drop(bpm: float, drop: float, gap: float) -> None:
    moved = steps(hear(with_drop(bpm, drop, gap), ("drop",)), "drop")
    assert abs(int(moved.argmax()) + 1 - int(drop * FPS)) <= 2
    assert moved.max() > 1.5 * np.delete(moved, range(int(moved.argmax()) - 2, int(moved.argmax()) + 3)).max()
