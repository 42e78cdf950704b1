"""What a renderer is made of, so that it can travel to other processes and machines."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from audioreactive.errors import RenderError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from audioreactive.patches.noise import NoiseMotion
    from audioreactive.renderer import Renderer
    from audioreactive.video.formats import Layout
    from stylegan_ops import Generator


@dataclass(frozen=True)
class ModelFile:
    """A model where it is, or what is in its file; None and None: the one that ships."""

    path: Path | None
    sha256: str
    content: bytes | None = None

    def carried(self) -> ModelFile:
        """The same with the file's content, for machines that do not see the file."""
        return self if self.path is None else replace(self, content=self.path.read_bytes(), path=None)

    def load(self, device: torch.device | str, dtype: torch.dtype) -> Generator:
        """The network.

        Raises:
            RenderError: the file is not the same as before.
            StyleGANError: it holds no model.
        """
        from audioreactive.builtin import builtin_generator
        from stylegan_ops import load_generator

        if self.content is not None:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model"
                path.write_bytes(self.content)
                return load_generator(path, device=device, dtype=dtype)
        if self.path is None:
            return builtin_generator(device, dtype)
        if file_digest(self.path) != self.sha256:
            raise RenderError(f"the model {self.path} was changed while it was being rendered with; begin again")
        return load_generator(self.path, device=device, dtype=dtype)


@dataclass(frozen=True)
class Scene:
    """All that decides about a frame's pixels."""

    model: ModelFile
    const_size: tuple[int, int]
    """(h, w) of the generator's constant."""
    device: str
    dtype: torch.dtype
    compiled: bool
    """Whether the network runs on compiled kernels: they differ from the plain ones in a frame's last bits."""
    weights: NDArray[np.float32]
    """(T, G, P): the motion of the latents."""
    palette: NDArray[np.float32]
    """(P, L, W): their content."""
    noise_motion: NoiseMotion
    batch: int
    layout: Layout

    def every(self, step: int) -> Scene:
        """The same motion at a lower frame rate: frames 0, step, 2 · step, ..."""
        return replace(self, weights=self.weights[::step].copy(), noise_motion=self.noise_motion.every(step))

    @property
    def torch_device(self) -> torch.device:
        """The device, as PyTorch names it."""
        import torch

        return torch.device(self.device)

    def renderer(self, *, device: str | None = None, say: Callable[[str], None] | None = None) -> Renderer:
        """A renderer of its own, with the model loaded anew.

        Args:
            device: another of the same kind.
            say: told when memory runs out.

        Raises:
            RenderError: the model has changed, or the kernels are not what they were.
        """
        return self.renderer_with(self.load(device=device), say=say)

    def network_key(self) -> tuple[object, ...]:
        """Two scenes of equal keys take the same network."""
        return self.model.sha256, self.const_size, self.device, self.dtype, self.compiled

    def load(self, *, device: str | None = None) -> Generator:
        """The network, as large as the scene needs it; raises what `renderer` does."""
        import torch

        where = torch.device(device or self.device)
        generator = self.model.load(where, self.dtype)
        if generator.compiled != self.compiled:
            here, there = ("compiled", "plain") if generator.compiled else ("plain", "compiled")
            raise RenderError(
                f"this worker runs on {here} kernels and the render on {there} ones, which differ in the last bits; "
                "set STYLEGAN_OPS=reference for all, or see `audioreactive doctor` there"
            )
        if generator.architecture.const_size != self.const_size:
            generator = generator.enlarged(const_size=self.const_size)
        return generator

    def renderer_with(self, generator: Generator, *, say: Callable[[str], None] | None = None) -> Renderer:
        """A renderer with a network that is loaded already, and enlarged."""
        import torch

        from audioreactive.patches.latents import Latents
        from audioreactive.patches.noise import NoiseSequence
        from audioreactive.renderer import Renderer

        palette = torch.from_numpy(self.palette).to(generator.device)
        noise = NoiseSequence(self.noise_motion, tuple(generator.noise_sizes), generator.device)
        return Renderer(generator, Latents(self.weights, palette), noise, batch=self.batch, layout=self.layout, say=say)


def file_digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
