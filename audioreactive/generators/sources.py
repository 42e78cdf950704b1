"""Sources of generators: the painter, a model file, or the network that ships. They can be sent to other processes."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from audioreactive.errors import RenderError, did_you_mean, shown
from audioreactive.generators.builtin import BUILTIN_NAME, builtin_digest, builtin_generator

if TYPE_CHECKING:
    import torch

    from audioreactive.generators.devices import Precision
    from audioreactive.generators.protocol import Generator
    from stylegan_ops import AnyGenerator


PAINTER_NAME: Final = "painter"
"""Name of the generator that needs no network; `painter:FAMILY` paints one family of pictures."""
NETWORK_NAME: Final = "stylegan2"
"""Name of the network that is included in the package."""


class GeneratorSource(Protocol):
    """Source from which a generator is loaded; it can be pickled and sent to other processes and machines."""

    @property
    def name(self) -> str:
        """Name for people to read."""
        ...

    @property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of everything that the generator is loaded from."""
        ...

    def carried(self) -> GeneratorSource:
        """Return a copy that contains its files, for machines that cannot read this one's disk."""
        ...

    def load(self, device: torch.device, dtype: torch.dtype) -> Generator:
        """Load the generator.

        Raises:
            RenderError: the source has changed.
            StyleGANError: the file contains no StyleGAN model.
        """
        ...


@dataclass(frozen=True)
class LoadedGenerator:
    """A generator in memory with its source, so that it can be used for several songs."""

    source: GeneratorSource
    generator: Generator


@dataclass(frozen=True)
class BuiltinModel:
    """The model that is included in the package."""

    @property
    def name(self) -> str:
        """Name that is written to presets."""
        return BUILTIN_NAME

    @property
    def sha256(self) -> str:
        """Digest of the included file."""
        return builtin_digest()

    def carried(self) -> BuiltinModel:
        """Return itself, because every machine has the model."""
        return self

    def load(self, device: torch.device, dtype: torch.dtype) -> Generator:
        """Load the network."""
        return builtin_generator(device, dtype)


@dataclass(frozen=True)
class PainterSource:
    """The painter, with one family of pictures or all."""

    family: str | None = None

    @property
    def name(self) -> str:
        """Name that is written to presets."""
        return PAINTER_NAME if self.family is None else f"{PAINTER_NAME}:{self.family}"

    @property
    def sha256(self) -> str:
        """Digest of the painter's sources and the family's name."""
        from audioreactive.generators.painter.painter import sources_digest

        return hashlib.sha256(f"{self.name} {sources_digest()}".encode()).hexdigest()

    def carried(self) -> PainterSource:
        """Return itself, because every machine has the painter."""
        return self

    def load(self, device: torch.device, dtype: torch.dtype) -> Generator:
        """Make the painter; it always computes in float32."""
        from audioreactive.generators.painter import FAMILIES, Painter

        return Painter(tuple(FAMILIES) if self.family is None else (self.family,), device=device)


@dataclass(frozen=True)
class ModelFile:
    """A StyleGAN model file in the state that it had when the render began."""

    path: Path
    sha256: str
    content: bytes | None = None
    """Content of the file, if it is sent to a machine that cannot read it; else None."""

    @classmethod
    def at(cls, path: Path) -> ModelFile:
        """Make a source from the file's current content."""
        return cls(path.absolute(), file_digest(path))

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.path.name

    def carried(self) -> ModelFile:
        """Return a copy that contains the file's content."""
        return replace(self, content=self.path.read_bytes())

    def load(self, device: torch.device, dtype: torch.dtype) -> Generator:
        """Load the network.

        Raises:
            RenderError: the file has changed.
            StyleGANError: the file contains no StyleGAN model.
        """
        if self.content is not None:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model"
                path.write_bytes(self.content)
                return _stylegan(path, device, dtype)
        if file_digest(self.path) != self.sha256:
            raise RenderError(f"the model {self.path} was changed while it was being rendered with; begin again")
        return _stylegan(self.path, device, dtype)


def named_source(name: str) -> GeneratorSource | None:
    """Find the generator that a name stands for: painter, painter:FAMILY, stylegan2; None for any other text.

    Raises:
        RenderError: the painter has no such family.
    """
    from audioreactive.generators.painter.families import FAMILIES

    if name in (BUILTIN_NAME, NETWORK_NAME):
        return BuiltinModel()
    kind, separator, family = name.partition(":")
    if kind != PAINTER_NAME or (separator and os.sep in family):
        return None
    if separator and family not in FAMILIES:
        close = did_you_mean(family, FAMILIES)
        raise RenderError(f"the painter has no family {shown(family)}{close or ';'} there are {', '.join(FAMILIES)}")
    return PainterSource(family or None)


def close_name(name: str) -> str:
    """Return `: did you mean 'painter'?` if a text is nearly the name of a generator, else ""."""
    from audioreactive.generators.painter.families import FAMILIES

    if os.sep in name or Path(name).suffix:
        return ""
    return did_you_mean(name, (PAINTER_NAME, NETWORK_NAME, *(f"{PAINTER_NAME}:{family}" for family in FAMILIES)))


def open_generator(
    model: Path | str | None = None, *, device: str = "auto", precision: Precision = "auto"
) -> LoadedGenerator:
    """Load a generator on a device and in a precision.

    model: a name that `named_source` knows, a model file, or None for the painter.

    Raises:
        RenderError: the device cannot be used.
        StyleGANError: the file contains no StyleGAN model.
    """
    from audioreactive.generators.devices import choose_device, choose_dtype

    where = choose_device(device)
    dtype = choose_dtype(precision, where)
    source = PainterSource() if model is None else named_source(model) if isinstance(model, str) else None
    if source is not None:
        return LoadedGenerator(source, source.load(where, dtype))
    path = Path(str(model))
    generator = _stylegan(path, where, dtype)  # first, because its errors explain a bad file
    return LoadedGenerator(ModelFile.at(path), generator)


def file_digest(path: Path) -> str:
    """Compute the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stylegan(path: Path, device: torch.device, dtype: torch.dtype) -> Generator:
    from stylegan_ops import load_generator

    return wrapped(load_generator(path, device=device, dtype=dtype))


def wrapped(network: AnyGenerator) -> Generator:
    """Return a network of `stylegan_ops` as a generator of the program."""
    from audioreactive.generators.stylegan2 import StyleGAN2
    from audioreactive.generators.stylegan3 import StyleGAN3
    from stylegan_ops import AliasFreeGenerator

    return StyleGAN3(network) if isinstance(network, AliasFreeGenerator) else StyleGAN2(network)
