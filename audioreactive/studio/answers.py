"""Slower questions about a project, answered in a thread of their own: scores, flashes, proposals in order."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Final

from audioreactive.correlation import score_total, sound_tables
from audioreactive.correlation.chance import FEWEST_FRAMES
from audioreactive.errors import ScoreError
from audioreactive.flashes.files import flashes_of
from audioreactive.flashes.measure import measure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from audioreactive.features import Features
    from audioreactive.studio.clips import Clip
    from audioreactive.studio.painting import Easel

WATCHED: Final = (144, 256)
"""Size (h, w) of the pictures in which flashes are looked for before a video is rendered."""
WATCHED_SECONDS: Final = 60
"""Most seconds of a section that are watched."""


def score_of(clip: Clip, features: Features) -> float | None:
    """Compute how far above chance the motion of a clip follows the sound, in deviations; None if it is too short."""
    if len(clip) < FEWEST_FRAMES:
        return None
    heard, _ = sound_tables(features)
    passage = {name: table[clip.frames.start : clip.frames.stop] for name, table in heard.items()}
    try:
        return round(float(score_total(passage, clip.motion.tables(), fps=features.fps).z), 2)
    except ScoreError:
        return None


def flashes_in(clip: Clip, easel: Easel, fps: float, going: Callable[[], bool]) -> list[dict[str, Any]] | None:
    """Find passages of a clip with more than three flashes a second; None if it was stopped."""
    count = min(len(clip), round(WATCHED_SECONDS * fps))
    start = clip.frames.start

    def thumbnails() -> Iterator[NDArray[np.uint8]]:
        for frame in range(start, start + count):
            if not going():
                raise InterruptedError
            yield measure(easel.paint(clip, frame, (WATCHED[1], WATCHED[0]))[None])

    times = [(start + i) / fps for i in range(count)]
    try:
        stretches = flashes_of(thumbnails(), times, WATCHED[::-1])
    except InterruptedError:
        return None
    return [
        {"kind": s.kind, "start": round(s.start, 2), "stop": round(s.stop, 2), "most": s.most}
        for s in itertools.islice(stretches, 64)
    ]
