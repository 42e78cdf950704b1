"""The parts of a renderer, as a value that can be sent to other processes and machines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from audioreactive.errors import RenderError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from audioreactive.generators import Generator, GeneratorSource, Layout
    from audioreactive.patches.motion import Motion
    from audioreactive.rendering.renderer import Renderer


@dataclass(frozen=True)
class Scene:
    """Everything that decides the pixels of a frame."""

    source: GeneratorSource
    img_size: tuple[int, int]
    """Size (h, w) of the generator's pictures."""
    device: str
    dtype: torch.dtype
    fingerprint: str
    """Fingerprint of the generator: its code, and the kernels that run."""
    motion: Motion
    palette: NDArray[np.float32]
    """Latent vectors between which the motion moves, shape (P, L, W)."""
    batch: int
    layout: Layout
    sketched: bool = False
    """Whether the generator makes rougher pictures that take less time (`Generator.sketching`)."""

    @property
    def torch_device(self) -> torch.device:
        """The device as a PyTorch object."""
        import torch

        return torch.device(self.device)

    def renderer(self, *, device: str | None = None, say: Callable[[str], None] | None = None) -> Renderer:
        """A new renderer, with a newly loaded generator.

        Args:
            device: a device of the same kind to use instead.
            say: function that is called with a message if memory runs out.

        Raises:
            RenderError: the model has changed, or other kernels run here.
        """
        return self.renderer_with(self.load(device=device), say=say)

    def generator_key(self) -> tuple[object, ...]:
        """Key of the generator; two scenes with equal keys can share one."""
        return self.source.sha256, self.img_size, self.device, self.dtype, self.fingerprint, self.sketched

    def load(self, *, device: str | None = None) -> Generator:
        """Load the generator, resized for the scene; raises the same errors as `renderer`."""
        import torch

        generator = self.source.load(torch.device(device or self.device), self.dtype)
        if generator.fingerprint != self.fingerprint:
            raise RenderError(
                f"this worker would render with {generator.fingerprint} and the render was begun with "
                f"{self.fingerprint}, which differ in a frame's last bits; set STYLEGAN_OPS=reference for all, or see "
                "`audioreactive doctor` there"
            )
        return (generator.sketching() if self.sketched else generator).resized(self.img_size)

    def renderer_with(self, generator: Generator, *, say: Callable[[str], None] | None = None) -> Renderer:
        """A renderer with a generator that is already loaded and resized."""
        import torch

        from audioreactive.rendering.renderer import Renderer

        inputs = self.motion.on(generator, torch.from_numpy(self.palette))
        return Renderer(generator, inputs, batch=self.batch, layout=self.layout, say=say)
