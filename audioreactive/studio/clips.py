"""Clips: some frames of a document, with the motion that they have in the finished video.

A clip's key is a digest of all that decides about its frames, so that an edit of one section leaves the frames of
others as they are.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import numpy as np

from audioreactive.patches.motion import passage
from audioreactive.patches.sections import Span, spans

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from audioreactive.features import Features
    from audioreactive.patches.motion import Motion, PartKey, PartMotion, Synthesize
    from audioreactive.patches.preset import Preset
    from audioreactive.patches.schema import Patch

Key = TypeVar("Key")
Value = TypeVar("Value")
MOST_PARTS: Final = 24
"""Most motions of spans that are remembered."""


class Recent(OrderedDict[Key, Value], Generic[Key, Value]):
    """The entries that were used last, up to a weight.

    Args:
        most: largest sum of all weights.
        weigh: weight of an entry; None: 1.
    """

    def __init__(self, most: int, weigh: Callable[[Value], int] | None = None) -> None:
        super().__init__()
        self._most, self._weigh, self._weight = most, weigh or (lambda value: 1), 0

    def get(self, key: Key, default: Any = None) -> Any:
        """Return an entry, which counts as used."""
        if key not in self:
            return default
        self.move_to_end(key)
        return self[key]

    def __setitem__(self, key: Key, value: Value) -> None:
        if key in self:
            del self[key]
        super().__setitem__(key, value)
        self._weight += self._weigh(value)
        while self._weight > self._most and len(self) > 1:
            del self[next(iter(self))]

    def __delitem__(self, key: Key) -> None:
        self._weight -= self._weigh(self[key])
        super().__delitem__(key)


@dataclass(frozen=True, eq=False)
class Clip:
    """Frames of a video, ready to be painted."""

    key: str
    frames: range
    """Frames of the song."""
    motion: Motion
    """Motion of these frames; its frame 0 is `frames.start`."""

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.frames)


class ClipMaker:
    """Makes clips of a song.

    Args:
        features: features of the song.
        synthesize: makes the envelopes of synthesizers.
        version: tells, in a word, apart the envelopes that a patch has had from it.
    """

    def __init__(
        self, features: Features, synthesize: Synthesize, version: Callable[[Patch], str] = lambda patch: ""
    ) -> None:
        self.features = features
        self._synthesize, self._version = synthesize, version
        self._memory: Recent[PartKey, PartMotion] = Recent(MOST_PARTS)

    def of_preset(self, preset: Preset, frames: range) -> Clip:
        """Make a clip of a preset with its sections."""
        return self._clip(spans(preset.patch, preset.sections, self.features), frames)

    def of_patch(self, patch: Patch, frames: range) -> Clip:
        """Make a clip in which these frames alone have a patch."""
        whole = np.ones(len(frames), np.float32)
        return self._clip([Span(patch, frames.start, frames.stop, whole)], frames)

    def _clip(self, seen: Sequence[Span], frames: range) -> Clip:
        frames = range(max(frames.start, 0), min(frames.stop, self.features.frames))
        seen = [span for span in seen if span.start < frames.stop and span.stop > frames.start]
        key = hashlib.sha256(f"{self.features.digest} {self.features.fps} {frames}".encode())
        for part in _described(seen):
            key.update(part)
        for span in seen:
            key.update(self._version(span.patch).encode())
        return Clip(
            key.hexdigest()[:24],
            frames,
            passage(seen, self.features, frames, self._synthesize, memory=self._memory),
        )


def _described(seen: list[Span]) -> Iterator[bytes]:
    for span in seen:
        yield f"{span.patch.model_dump_json()} {span.start} {span.stop}".encode()
        yield span.share.tobytes()
