"""Latents of users' own pictures, as vectors of a palette: `seeds = ["w:0123456789abcdef/0", 7]`.

Latents come from files of projectors and encoders (`projected_w.npz`, `latents.pt`, ...). They are copied into a
sidecar, a safetensors file whose name is the first digits of its digest, in the user's library. A preset names the
digest, never a path: so it opens nothing but sidecars, in the library or beside the preset.

Conventions: N = pictures of a sidecar, L = latent inputs (1: the same for all), W = width of a latent.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from audioreactive._support.files import read_regular, write_aside
from audioreactive.errors import RenderError, printable, shown
from audioreactive.patches.fields import OWN_PICTURE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from audioreactive.patches.schema import Patch

DIGITS: Final = 16
"""Hexadecimal digits of a sidecar's digest that are its name."""
LARGEST_FILE: Final = 1 << 26
"""Most bytes of a sidecar, and of a file that is imported."""
MOST_PICTURES: Final = 1024
"""Most pictures of a file."""
MOST_INPUTS: Final = 64
"""Most latent inputs of a picture."""
WIDEST: Final = 4096
"""Most numbers of a latent."""
LARGEST_VALUE: Final = 1e4
"""Largest number of a latent; honest ones are below 100."""
NAMES: Final = ("w", "ws", "w_plus", "wplus", "wp", "projected_w", "latent", "latents", "latent_code", "latent_codes")
"""Names of latents in files of projectors and encoders."""
PACKED: Final = (b"\x93NUMPY", b"PK\x03\x04", b"\x80")
"""First bytes of files of NumPy, torch and pickle; others are safetensors or nothing."""


@dataclass(frozen=True)
class OwnPicture:
    """Place of a picture's latents."""

    digest: str
    index: int

    @classmethod
    def parse(cls, entry: str) -> OwnPicture:
        """Read an entry of a palette, such as w:0123456789abcdef/2."""
        match = OWN_PICTURE.fullmatch(entry)
        if match is None:
            raise RenderError(f"{shown(entry)} is no picture of a palette, such as w:0123456789abcdef/0")
        return cls(match[1], int(match[2] or 0))


def library() -> Path:
    """Return the folder of the user's sidecars."""
    from platformdirs import user_data_path

    return user_data_path("audioreactive") / "palettes"


def sidecar_name(digest: str) -> str:
    """Return the name of a sidecar's file."""
    return f"w-{digest}.safetensors"


def vector_of(entry: str, shape: Sequence[int]) -> NDArray[np.float32]:
    """Read the latents (L, W) of a palette's entry, for a model with latents of this shape.

    Raises:
        RenderError: there is no such sidecar or picture, or it is of another model.
    """
    own = OwnPicture.parse(entry)
    vectors = _library_entry(str(library()), own.digest)
    if own.index >= len(vectors):
        raise RenderError(f"{entry} was asked for; this file has the pictures 0 to {len(vectors) - 1}")
    found = vectors[own.index]
    if found.shape[1] != shape[1] or found.shape[0] not in (1, shape[0]):
        raise RenderError(
            f"{entry} has latents of {found.shape[0]}x{found.shape[1]}, where this model takes "
            f"{shape[0]}x{shape[1]}: it was made with another model"
        )
    return np.broadcast_to(found, (shape[0], shape[1]))


@functools.lru_cache(maxsize=16)
def _library_entry(folder: str, digest: str) -> NDArray[np.float32]:
    from pathlib import Path

    path = Path(folder) / sidecar_name(digest)
    if not path.exists():
        raise RenderError(
            f"the palette has w:{digest}, whose file {path.name} is neither in the library nor beside the preset: "
            "put it beside the preset, or import it with 'audioreactive palette import'"
        )
    return read_sidecar(path, digest)


def read_sidecar(path: Path, digest: str | None = None) -> NDArray[np.float32]:
    """Read the latents (N, L, W) of a sidecar.

    Raises:
        RenderError: it cannot be read, is damaged, or has another digest.
    """
    content = _content(path)
    if digest is not None and hashlib.sha256(content).hexdigest()[:DIGITS] != digest:
        raise RenderError(f"{str(path)!r} is not the file that its name says: it was changed; import it again")
    return _from_safetensors(content, path)


def import_latents(path: Path, folder: Path | None = None) -> list[str]:
    """Copy latents from a projector's file into a sidecar; return an entry for each of its pictures.

    Args:
        path: .npz, .npy, .pt, .pth, .pkl or .safetensors.
        folder: folder of the sidecar; None: the library.

    Raises:
        RenderError: the file cannot be read, or holds no latents.
        OutputError: the sidecar cannot be written.
    """
    vectors = read_latents(path)
    digest = write_sidecar(vectors, library())
    if folder is not None:
        write_sidecar(vectors, folder)
    return [f"w:{digest}/{index}" for index in range(len(vectors))]


def write_sidecar(vectors: NDArray[np.float32], folder: Path) -> str:
    """Write latents (N, L, W) as a sidecar, and return its digest."""
    from safetensors.numpy import save

    content = save({"w": np.ascontiguousarray(vectors, np.float32)})
    digest = hashlib.sha256(content).hexdigest()[:DIGITS]
    _place(content, folder, digest)
    return digest


def _place(content: bytes, folder: Path, digest: str) -> None:
    path = folder / sidecar_name(digest)
    if path.is_file() and not path.is_symlink():
        return
    folder.mkdir(parents=True, exist_ok=True)
    with write_aside(path) as file:
        file.write(content)
    _library_entry.cache_clear()


def save_latents(ws: NDArray[np.float32], path: Path) -> None:
    """Write latents (1, L, W) as other projectors do: an .npz with `w`."""
    with write_aside(path) as file:
        np.savez(file, w=ws.astype(np.float32))


# Sidecars of presets.


def digests_of(patches: Iterable[Patch]) -> list[str]:
    """List the digests of the sidecars that the palettes of patches name."""
    entries = (
        entry
        for patch in patches
        for seeds in (patch.palette.seeds, patch.palette.coarse, patch.palette.middle, patch.palette.fine)
        for entry in seeds or ()
    )
    return list(dict.fromkeys(OwnPicture.parse(entry).digest for entry in entries if isinstance(entry, str)))


def adopt(patches: Iterable[Patch], folder: Path) -> None:
    """Copy the sidecars that patches name from the folder of their preset into the library, where they are whole.

    Raises:
        RenderError: a sidecar in the folder is damaged.
    """
    for digest in digests_of(patches):
        path = folder / sidecar_name(digest)
        if path.is_file() and not path.is_symlink() and not (library() / path.name).exists():
            write_sidecar(read_sidecar(path, digest), library())


def accompany(patches: Iterable[Patch], folder: Path) -> None:
    """Copy the sidecars that patches name from the library into the folder of their preset."""
    for digest in digests_of(patches):
        source = library() / sidecar_name(digest)
        if source.is_file() and source.parent != folder:
            _place(read_regular(source, LARGEST_FILE), folder, digest)


# Files of projectors and encoders.


def read_latents(path: Path) -> NDArray[np.float32]:
    """Read latents (N, L, W) from a file of a projector or an encoder, without running anything in it.

    Raises:
        RenderError: the file cannot be read, or holds no latents.
    """
    content = _content(path)
    if content.startswith(PACKED):
        return _chosen(_arrays(path), path)
    return _from_safetensors(content, path)


def _content(path: Path) -> bytes:
    try:
        return read_regular(path, LARGEST_FILE)
    except OSError as error:
        raise RenderError(f"{str(path)!r} cannot be read: {error.strerror or error}") from error


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    from stylegan_ops import StyleGANError
    from stylegan_ops.tensors import read_tensors

    try:
        return {name: tensor.numpy() for name, tensor in read_tensors(path, MOST_PICTURES).items()}
    except StyleGANError as error:
        raise RenderError(str(error)) from error


def _from_safetensors(content: bytes, path: Path) -> NDArray[np.float32]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(content)
    except (SafetensorError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise RenderError(
            f"{str(path)!r} holds no latents: give a projector's .npz, .npy, .pt or .safetensors"
        ) from error
    return _chosen(arrays, path)


def _chosen(arrays: dict[str, NDArray[Any]], path: Path) -> NDArray[np.float32]:
    """Choose the latents among the arrays of a file: those with a known name, or the only ones."""
    numbers = {name: array for name, array in arrays.items() if array.dtype.kind == "f" and 1 <= array.ndim <= 4}
    known = [array for name, array in numbers.items() if name.rpartition(".")[2].lower() in NAMES]
    chosen = known or list(numbers.values())
    if not chosen or (not known and len(chosen) > 1):
        names = printable(", ".join(list(arrays)[:5])) or "nothing"
        raise RenderError(f"{str(path)!r} holds {names}, and no array by the name of latents ({', '.join(NAMES)})")
    parts = [_as_latents(array, path) for array in chosen]
    if any(part.shape[1:] != parts[0].shape[1:] for part in parts):
        raise RenderError(f"{str(path)!r} holds latents of several shapes, which are of several models")
    whole = np.concatenate(parts)
    if len(whole) > MOST_PICTURES:
        raise RenderError(f"{str(path)!r} holds {len(whole)} pictures; at most {MOST_PICTURES} can be imported")
    return whole


def _as_latents(array: NDArray[Any], path: Path) -> NDArray[np.float32]:
    """Return an array as latents (N, L, W)."""
    shape = array.shape
    if array.dtype.kind != "f" or not 1 <= len(shape) <= 4 or not array.size:
        raise RenderError(f"{str(path)!r} holds an array of {shape[:6]} {array.dtype}, which is no latents")
    rows = array.reshape(-1, shape[-2] if len(shape) > 1 else 1, shape[-1])
    if len(rows) > MOST_PICTURES or rows.shape[1] > MOST_INPUTS or rows.shape[2] > WIDEST:
        raise RenderError(
            f"{str(path)!r} holds an array of {shape}; latents are (pictures, layers, width) with at most "
            f"{MOST_PICTURES}, {MOST_INPUTS} and {WIDEST}"
        )
    found = rows.astype(np.float32)
    if not np.isfinite(found).all() or np.abs(found).max() > LARGEST_VALUE:
        raise RenderError(f"{str(path)!r} holds numbers that no latents have: infinite ones, or beyond 10000")
    return found
