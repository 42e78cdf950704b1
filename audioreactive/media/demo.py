"""The demo song that ships with the package, and everything that is true of it.

It was composed by tools/demo_song.py: about 26 seconds, in the form A B A B, each hit on a known sample.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

_ASSETS: Final = Path(__file__).resolve().parent.parent / "assets"

DEMO_SONG: Final = _ASSETS / "demo.ogg"
"""Stereo Ogg Vorbis at 44.1 kHz."""


@dataclass(frozen=True)
class Span:
    """Something with a name that lasts: a section (`A`), or a chord in Harte's notation (`A:min9`)."""

    label: str
    start: float
    end: float


@dataclass(frozen=True)
class GroundTruth:
    """What a perfect listener would hear in the demo song; all times in seconds."""

    title: str
    duration: float
    sample_rate: int
    """Hertz."""
    tempo: float
    """Beats per minute."""
    beats: tuple[float, ...]
    downbeats: tuple[float, ...]
    """The first beat of each bar of four."""
    drums: Mapping[str, tuple[float, ...]]
    """Strokes of each drum: kick, snare, hat, open hat, crash."""
    sections: tuple[Span, ...]
    chords: tuple[Span, ...]

    @property
    def onsets(self) -> tuple[float, ...]:
        """Times at which any drum is struck; bass, chords and lead begin with a drum or softly."""
        return tuple(sorted({time for strokes in self.drums.values() for time in strokes}))


@cache
def ground_truth() -> GroundTruth:
    """The truth about `DEMO_SONG`."""
    stated = json.loads((_ASSETS / "demo.json").read_text(encoding="utf-8"))
    return GroundTruth(
        title=stated["title"],
        duration=stated["duration"],
        sample_rate=stated["sample_rate"],
        tempo=stated["tempo"],
        beats=tuple(stated["beats"]),
        downbeats=tuple(stated["downbeats"]),
        drums=MappingProxyType({drum: tuple(times) for drum, times in stated["drums"].items()}),
        sections=tuple(Span(**section) for section in stated["sections"]),
        chords=tuple(Span(**chord) for chord in stated["chords"]),
    )
