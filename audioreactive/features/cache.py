"""Analyses on disk, by content of the sound file and by settings.

Conventions: an entry is one file: a magic word, the SHA-256 of all that follows, and an uncompressed .npz without
pickles. Whatever is wrong with an entry (torn, foreign, of another version), it is as if it were not there; a folder
that cannot be written is no error.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import zipfile
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive.features.analysis import Analysis
from audioreactive.features.names import FEATURES, SEGMENT_COUNTS
from audioreactive.files import write_aside

if TYPE_CHECKING:
    from pathlib import Path

ANALYSIS_VERSION: Final = 5
"""Raised whenever the analysis hears something else in the same file."""
_MAGIC: Final = b"audioreactive analysis\n"


def default_cache_dir() -> Path:
    """The user's cache folder on this system."""
    from platformdirs import user_cache_path

    return user_cache_path("audioreactive") / "analysis"


def entry_path(folder: Path, sound: Path, beat_tracker: str) -> Path:
    """The entry of a sound file, which is known by its bytes, not by its name."""
    with sound.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(beat_tracker.encode())
    return folder / f"{digest.hexdigest()[:40]}.analysis"


def read(path: Path) -> Analysis | None:
    """A whole and current entry, or None."""
    try:
        content = path.read_bytes()
        head, body = content[: len(_MAGIC) + 32], content[len(_MAGIC) + 32 :]
        if head != _MAGIC + hashlib.sha256(body).digest():
            return None
        with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
            return _unpacked({name: arrays[name] for name in arrays.files})
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError, EOFError, zipfile.BadZipFile):
        return None


def write(path: Path, analysis: Analysis) -> None:
    """Keep an analysis, if the folder can be written."""
    body = io.BytesIO()
    # Typed as the file and nothing more: NumPy's stub takes the arrays for its other options.
    np.savez(body, **_packed(analysis))  # type: ignore[arg-type]
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_aside(path) as partial, partial.open("wb") as file:
            file.write(_MAGIC + hashlib.sha256(body.getbuffer()).digest())
            file.write(body.getbuffer())


def _packed(analysis: Analysis) -> dict[str, np.ndarray]:
    about = {
        "version": ANALYSIS_VERSION,
        "duration": str(analysis.duration),
        "digest": analysis.digest,
        "notes": analysis.notes,
        "tempo": analysis.tempo,
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
    """None if the entry is of another version, or does not hang together."""
    about = json.loads(arrays["about"].tobytes())
    if about["version"] != ANALYSIS_VERSION:
        return None
    envelopes = {name.removeprefix("envelope/"): a for name, a in arrays.items() if name.startswith("envelope/")}
    labels = {name.removeprefix("labels/"): a for name, a in arrays.items() if name.startswith("labels/")}
    steps = arrays["steps"]
    if not (
        all(_is_table(a, np.float32, FEATURES[key.partition(".")[2]].channels) for key, a in envelopes.items())
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
    )


def _is_table(array: np.ndarray, dtype: type[np.generic], columns: int) -> bool:
    return array.dtype == dtype and array.ndim == 2 and array.shape[1] == columns and len(array) > 0
