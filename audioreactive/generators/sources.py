"""Sources of generators: the painter, a model file, or the network that ships. They can be sent to other processes."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol

from audioreactive.errors import RenderError, did_you_mean, shown
from audioreactive.generators.builtin import BUILTIN_NAME, builtin_digest, builtin_generator

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch

    from audioreactive.generators.devices import Precision
    from audioreactive.generators.protocol import Generator
    from audioreactive.generators.weights import Weights
    from stylegan_ops import AnyGenerator
    from stylegan_ops.assembly import Checkpoint
    from stylegan_ops.blending import Edits


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

    @contextlib.contextmanager
    def opened(self) -> Iterator[Path]:
        """Yield the path of its file."""
        from importlib.resources import as_file, files

        with as_file(files("audioreactive") / "assets" / "builtin.safetensors") as path:
            yield path

    def load(self, device: torch.device, dtype: torch.dtype) -> Generator:
        """Load the network."""
        return with_digest(builtin_generator(device, dtype), builtin_digest())


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
        with self.opened() as path:
            return with_digest(_stylegan(path, device, dtype), self.sha256)

    @contextlib.contextmanager
    def opened(self) -> Iterator[Path]:
        """Yield the path of a file with the source's content.

        Raises:
            RenderError: the file has changed.
        """
        if self.content is not None:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model"
                path.write_bytes(self.content)
                yield path
            return
        if file_digest(self.path) != self.sha256:
            raise RenderError(f"the model {self.path} was changed while it was being rendered with; begin again")
        yield self.path


@dataclass(frozen=True)
class WeightFile:
    """File of a second model or of edits, which the `[[weights]]` of presets name."""

    kind: Literal["toward", "edits"]
    name: str
    """Name in presets."""
    file: ModelFile


@dataclass(frozen=True)
class WeightedSource:
    """A network whose weights can move, with the files by which they do."""

    base: ModelFile | BuiltinModel
    files: tuple[WeightFile, ...]

    @property
    def name(self) -> str:
        """Name of the network's file."""
        return self.base.name

    @property
    def sha256(self) -> str:
        """Digest of all files."""
        parts = [self.base.sha256, *(f"{one.kind} {one.name} {one.file.sha256}" for one in self.files)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def carried(self) -> WeightedSource:
        """Return a copy that contains all files."""
        files = tuple(replace(one, file=one.file.carried()) for one in self.files)
        return WeightedSource(self.base.carried(), files)

    def load(self, device: torch.device, dtype: torch.dtype) -> Generator:
        """Load the network, and what its weights can become.

        Raises:
            RenderError: a file has changed.
            StyleGANError: a file contains no StyleGAN model, or one that does not fit.
        """
        from audioreactive.generators.weights import Weights
        from stylegan_ops import CheckpointError
        from stylegan_ops.blending import read_edits
        from stylegan_ops.checkpoint import made_generator, read_checkpoint
        from stylegan_ops.variants import Variants

        with self.base.opened() as path:
            base = read_checkpoint(path)
        others: list[Checkpoint | Edits] = []
        for one in self.files:
            with one.file.opened() as path:
                others.append(read_checkpoint(path) if one.kind == "toward" else read_edits(path))
        make = functools.partial(made_generator, device=device, dtype=dtype)
        try:
            variants = Variants(base, others, make)
        except CheckpointError as error:
            names = ", ".join(str(one.file.path) for one in self.files)
            raise RenderError(f"the weights of {self.name} cannot move by {names}: {error}") from error
        generator = with_digest(wrapped(make(base)), self.base.sha256)
        return with_weights(generator, Weights(tuple(one.name for one in self.files), variants))


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
    model: Path | str | None = None,
    *,
    device: str = "auto",
    precision: Precision = "auto",
    weights: Sequence[WeightFile] = (),
) -> LoadedGenerator:
    """Load a generator on a device and in a precision.

    Args:
        model: a name that `named_source` knows, a model file, or None for the painter.
        device: auto, cpu, cuda, ...
        precision: auto, fp32, bf16 or fp16.
        weights: files by which its weights can move, if it is a network; the painter passes them over.

    Raises:
        RenderError: the device cannot be used, or a file of weights does not fit.
        StyleGANError: the file contains no StyleGAN model.
    """
    from audioreactive.generators.devices import choose_device, choose_dtype

    where = choose_device(device)
    dtype = choose_dtype(precision, where)
    source = PainterSource() if model is None else named_source(model) if isinstance(model, str) else None
    if weights and isinstance(source, BuiltinModel):
        source = WeightedSource(source, tuple(weights))
    if source is not None:
        return LoadedGenerator(source, source.load(where, dtype))
    path = Path(str(model))
    if weights:
        check_model(path)
        source = WeightedSource(ModelFile.at(path), tuple(weights))
        return LoadedGenerator(source, source.load(where, dtype))
    generator = _stylegan(path, where, dtype)  # first, because its errors explain a bad file
    file = ModelFile.at(path)
    return LoadedGenerator(file, with_digest(generator, file.sha256))


def plain_network(model: Path | str, *, device: str = "auto") -> AnyGenerator:
    """Load a network on plain PyTorch in 32 bits, through which gradients flow.

    Raises:
        RenderError: the model is no StyleGAN, or the device cannot be used.
        StyleGANError: the file contains no StyleGAN model.
    """
    from audioreactive.generators.devices import choose_device
    from stylegan_ops.checkpoint import made_generator, read_checkpoint

    where = choose_device(device)
    source = named_source(model) if isinstance(model, str) else None
    if source is not None and not isinstance(source, BuiltinModel):
        raise RenderError("only the latents of a StyleGAN can be fitted to a picture: give a model file, or stylegan2")
    with contextlib.nullcontext(Path(str(model))) if source is None else source.opened() as path:
        return made_generator(read_checkpoint(path), device=where, implementation="reference")


def check_model(path: Path) -> None:
    """Raise CheckpointError if a model file cannot be opened."""
    from stylegan_ops.containers import map_file

    map_file(path)


def file_digest(path: Path) -> str:
    """Compute the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stylegan(path: Path, device: torch.device, dtype: torch.dtype) -> Generator:
    from stylegan_ops import load_generator

    return wrapped(load_generator(path, device=device, dtype=dtype))


def with_digest(generator: Generator, digest: str) -> Generator:
    """Return a network that knows the digest of its file."""
    from audioreactive.generators.stylegan2 import StyleGAN2
    from audioreactive.generators.stylegan3 import StyleGAN3

    assert isinstance(generator, StyleGAN2 | StyleGAN3)
    return replace(generator, digest=digest)


def digests_of(source: GeneratorSource) -> tuple[str, ...]:
    """Digests by which a source is known: its own, and without the files by which its weights move."""
    return (source.sha256, source.base.sha256) if isinstance(source, WeightedSource) else (source.sha256,)


def with_weights(generator: Generator, weights: Weights) -> Generator:
    """Return a network whose weights can move."""
    from audioreactive.generators.stylegan2 import StyleGAN2
    from audioreactive.generators.stylegan3 import StyleGAN3

    assert isinstance(generator, StyleGAN2 | StyleGAN3)
    return replace(generator, weights=weights)


def wrapped(network: AnyGenerator) -> Generator:
    """Return a network of `stylegan_ops` as a generator of the program."""
    from audioreactive.generators.stylegan2 import StyleGAN2
    from audioreactive.generators.stylegan3 import StyleGAN3
    from stylegan_ops import AliasFreeGenerator

    return StyleGAN3(network) if isinstance(network, AliasFreeGenerator) else StyleGAN2(network)
