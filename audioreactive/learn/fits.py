"""Cache of fitted motions on disk: a song that is rendered again, larger or in another format, is not fitted again.

An entry is keyed by everything that a fit depends on: the patch and its synthesizer, what was heard, and some pictures
of the palette, which tell one model from another.
"""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive._support.entries import read_entry, write_entry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from audioreactive.features import Features
    from audioreactive.generators import Generator
    from audioreactive.patches.schema import Hippo, Patch

    FloatArray = NDArray[np.float32]

FIT_VERSION: Final = 2
"""Version of the results; increase it whenever a change makes a fit give another motion for the same song."""
MOST_KEPT: Final = 64
"""Number of fits that are kept; the oldest go."""
PICTURES: Final = 4
"""Number of the palette's pictures that tell one model from another."""
_MAGIC: Final = b"audioreactive fit\n"
_LARGEST: Final = 1 << 28
"""Most bytes of an entry; an hour takes a fiftieth of it."""
_unwritten: Final[list[tuple[str, FloatArray]]] = []
"""Key and motion of the last fit of this process that the folder does not take."""


def default_fits_dir() -> Path:
    """Return the user's folder of fits on this system."""
    from platformdirs import user_cache_path

    return user_cache_path("audioreactive") / "fits"


def kept_or_made(
    patch: Patch, hippo: Hippo, features: Features, generator: Generator, fit: Callable[[], FloatArray]
) -> FloatArray:
    """Return the motion (F, 17) that was fitted before, or fit it and keep it.

    Args:
        patch: the recipe around the synthesizer.
        hippo: the synthesizer.
        features: features of the song.
        generator: the generator.
        fit: fits the motion.
    """
    folder = default_fits_dir()
    key = _key(patch, hippo, features, generator)
    if _unwritten and _unwritten[0][0] == key:
        return _unwritten[0][1]
    path = folder / f"{key}.fit"
    arrays = read_entry(path, _MAGIC, _LARGEST)
    if arrays is not None and "motion" in arrays and arrays["motion"].dtype == np.float32:
        with contextlib.suppress(OSError):
            path.touch()
        return arrays["motion"]
    motion = np.asarray(fit(), np.float32)
    write_entry(path, _MAGIC, {"motion": motion})
    if not path.is_file():
        _unwritten[:] = [(key, motion)]
    _tidy(folder)
    return motion


def _key(patch: Patch, hippo: Hippo, features: Features, generator: Generator) -> str:
    """Digest of all that a fit depends on."""
    import torch

    from audioreactive.patches.latents import make_palette

    sketch = generator.sketching()
    with torch.inference_mode():
        palette = make_palette(patch.palette, sketch)
        pictures = sketch.synthesis(palette[:PICTURES])
    about = (FIT_VERSION, torch.__version__, sketch.fingerprint, sketch.img_size, patch.model_dump_json(), hippo.name)
    heard = (features.fps, features.frames, features.duration, features.tempo, features.digest)
    digest = hashlib.sha256(f"{about} {heard}".encode())
    tables: dict[str, NDArray[np.generic]] = {
        **features.envelopes, **features.segmentations, "beats": features.beats, "downbeats": features.downbeats,
        "a palette": palette.float().cpu().numpy(), "a palette's pictures": pictures.float().cpu().numpy(),
    }  # fmt: skip
    for name, table in sorted(tables.items()):
        digest.update(f"{name} {table.dtype} {table.shape} ".encode() + np.ascontiguousarray(table).tobytes())
    return digest.hexdigest()[:40]


def _tidy(folder: Path) -> None:
    """Remove the fits that were used longest ago."""
    with contextlib.suppress(OSError):
        kept = sorted(folder.glob("*.fit"), key=lambda path: -path.stat().st_mtime)
        for path in kept[MOST_KEPT:]:
            path.unlink()
