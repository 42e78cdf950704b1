"""Where a generator comes from: a model file, or what ships; small, and able to travel to other processes."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from audioreactive.errors import RenderError
from audioreactive.generators.builtin import BUILTIN_NAME, builtin_digest, builtin_generator

if TYPE_CHECKING:
    import torch

    from audioreactive.generators.devices import Precision
    from audioreactive.generators.protocol import Generator


class GeneratorSource(Protocol):
    """Where a generator comes from. It is pickled on its way to other processes and machines."""

    @property
    def name(self) -> str:
        """Name for a person."""
        ...

    @property
    def sha256(self) -> str:
        """Digest, in hexadecimal, of all that the generator is made from."""
        ...

    def carried(self) -> GeneratorSource:
        """The same with everything inside, for machines that do not see this one's files."""
        ...

    def load(self, device: torch.device, dtype: torch.dtype) -> Generator:
        """The generator, ready to run.

        Raises:
            RenderError: what it comes from is not the same as before.
            StyleGANError: the file holds no model.
        """
        ...


@dataclass(frozen=True)
class LoadedGenerator:
    """A generator in memory, for as many songs as there are."""

    source: GeneratorSource
    generator: Generator


@dataclass(frozen=True)
class BuiltinModel:
    """The model that ships with the program."""

    @property
    def name(self) -> str:
        """The name that stands in presets."""
        return BUILTIN_NAME

    @property
    def sha256(self) -> str:
        """Digest of the file that ships."""
        return builtin_digest()

    def carried(self) -> BuiltinModel:
        """Itself: every machine has it."""
        return self

    def load(self, device: torch.device, dtype: torch.dtype) -> Generator:
        """The network."""
        return builtin_generator(device, dtype)


@dataclass(frozen=True)
class ModelFile:
    """A StyleGAN model in a file, as it was when the render began."""

    path: Path
    sha256: str
    content: bytes | None = None
    """The file itself, on its way to a machine that does not see it."""

    @classmethod
    def at(cls, path: Path) -> ModelFile:
        """The file as it is now."""
        return cls(path.absolute(), file_digest(path))

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    def carried(self) -> ModelFile:
        """The same with the file's content."""
        return replace(self, content=self.path.read_bytes())

    def load(self, device: torch.device, dtype: torch.dtype) -> Generator:
        """The network.

        Raises:
            RenderError: the file is not the same as before.
            StyleGANError: it holds no model.
        """
        if self.content is not None:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model"
                path.write_bytes(self.content)
                return _stylegan(path, device, dtype)
        if file_digest(self.path) != self.sha256:
            raise RenderError(f"the model {self.path} was changed while it was being rendered with; begin again")
        return _stylegan(self.path, device, dtype)


def open_generator(
    model: Path | None = None, *, device: str = "auto", precision: Precision = "auto"
) -> LoadedGenerator:
    """A model file, or without one what ships, on the device and in the precision that are asked for.

    Raises:
        RenderError: the device cannot be used.
        StyleGANError: the file holds no model.
    """
    from audioreactive.generators.devices import choose_device, choose_dtype

    where = choose_device(device)
    dtype = choose_dtype(precision, where)
    if model is None:
        source = BuiltinModel()
        return LoadedGenerator(source, source.load(where, dtype))
    generator = _stylegan(model, where, dtype)  # says what is wrong with the file, if anything is
    return LoadedGenerator(ModelFile.at(model), generator)


def file_digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stylegan(path: Path, device: torch.device, dtype: torch.dtype) -> Generator:
    from audioreactive.generators.stylegan2 import StyleGAN2
    from stylegan_ops import load_generator

    return StyleGAN2(load_generator(path, device=device, dtype=dtype))
