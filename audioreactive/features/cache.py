"""Cache of analyses on disk, keyed by the content of the sound file and the settings; see `_support.entries`."""

from __future__ import annotations

import hashlib
import json
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive._support.entries import BAD_ENTRY, read_entry, write_entry
from audioreactive._support.files import open_regular
from audioreactive.features.analysis import Analysis
from audioreactive.features.names import EVERY_FEATURE, SEGMENT_COUNTS
from audioreactive.features.tempo import ANY_TEMPO, TempoLimits

if TYPE_CHECKING:
    from pathlib import Path

ANALYSIS_VERSION: Final = 8
"""Version of the results; increase it whenever a change makes the analysis give other values for the same file."""
_MAGIC: Final = b"audioreactive analysis\n"
_LARGEST: Final = 1 << 31
"""Most bytes of an entry; six hours with stems take a quarter of it."""


def default_cache_dir() -> Path:
    """Return the user's cache folder on this system."""
    from platformdirs import user_cache_path

    return user_cache_path("audioreactive") / "analysis"


def entry_path(
    folder: Path, sound: Path, beat_tracker: str, limits: TempoLimits = ANY_TEMPO, track: int | None = None
) -> Path:
    """Return the path of the entry for a sound file's content (not its name) and its beat and track settings."""
    with open_regular(sound) as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(f"{beat_tracker}{limits.key}".encode())
    if track is not None:
        digest.update(f" track {track}".encode())
    return folder / f"{digest.hexdigest()[:40]}.analysis"


def read(path: Path) -> Analysis | None:
    """Read an entry; None if it is missing, damaged or of another version."""
    arrays = read_entry(path, _MAGIC, _LARGEST)
    try:
        return None if arrays is None else _unpacked(arrays)
    except BAD_ENTRY:
        return None


def write(path: Path, analysis: Analysis) -> None:
    """Write an entry, if the folder can be written."""
    write_entry(path, _MAGIC, _packed(analysis))


def _packed(analysis: Analysis) -> dict[str, np.ndarray]:
    about = {
        "version": ANALYSIS_VERSION,
        "duration": str(analysis.duration),
        "digest": analysis.digest,
        "notes": analysis.notes,
        "tempo": analysis.tempo,
        "tempo_confidence": analysis.tempo_confidence,
    }
    return {
        "about": np.frombuffer(json.dumps(about).encode(), np.uint8),
        "beats": analysis.beats,
        "downbeats": analysis.downbeats,
        "steps": analysis.steps,
        **{f"envelope/{key}": values for key, values in analysis.envelopes.items()},
        **{f"labels/{name}": values for name, values in analysis.labels.items()},
    }


def _unpacked(arrays: dict[str, np.ndarray]) -> Analysis | None:
    """Make an analysis from the arrays of an entry; None if it is of another version, or inconsistent."""
    about = json.loads(arrays["about"].tobytes())
    if about["version"] != ANALYSIS_VERSION:
        return None
    envelopes = {name.removeprefix("envelope/"): a for name, a in arrays.items() if name.startswith("envelope/")}
    labels = {name.removeprefix("labels/"): a for name, a in arrays.items() if name.startswith("labels/")}
    steps = arrays["steps"]
    if not (
        all(_is_table(a, np.float32, EVERY_FEATURE[key.partition(".")[2]].channels) for key, a in envelopes.items())
        and all(_is_table(a, np.uint8, len(SEGMENT_COUNTS)) and len(a) == len(steps) for a in labels.values())
        and all(arrays[name].dtype == np.float64 and arrays[name].ndim == 1 for name in ("beats", "downbeats"))
        and steps.dtype == np.int64
    ):
        return None
    return Analysis(
        duration=Fraction(about["duration"]),
        digest=about["digest"],
        notes=tuple(about["notes"]),
        tempo=about["tempo"],
        beats=arrays["beats"],
        downbeats=arrays["downbeats"],
        envelopes=envelopes,
        steps=steps,
        labels=labels,
        tempo_confidence=about["tempo_confidence"],
    )


def _is_table(array: np.ndarray, dtype: type[np.generic], columns: int) -> bool:
    return array.dtype == dtype and array.ndim == 2 and array.shape[1] == columns and len(array) > 0
