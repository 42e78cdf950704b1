"""What a renderer is made of, so that it can travel to other processes and machines."""

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
    """All that decides about a frame's pixels."""

    source: GeneratorSource
    img_size: tuple[int, int]
    """(h, w) of the generator's pictures."""
    device: str
    dtype: torch.dtype
    fingerprint: str
    """The generator's: its code, and which kernels run."""
    motion: Motion
    palette: NDArray[np.float32]
    """(P, L, W): the vectors that the motion moves between."""
    batch: int
    layout: Layout

    @property
    def torch_device(self) -> torch.device:
        """The device, as PyTorch names it."""
        import torch

        return torch.device(self.device)

    def renderer(self, *, device: str | None = None, say: Callable[[str], None] | None = None) -> Renderer:
        """A renderer of its own, with the generator loaded anew.

        Args:
            device: another of the same kind.
            say: told when memory runs out.

        Raises:
            RenderError: the model has changed, or the kernels are not what they were.
        """
        return self.renderer_with(self.load(device=device), say=say)

    def generator_key(self) -> tuple[object, ...]:
        """Two scenes of equal keys take the same generator."""
        return self.source.sha256, self.img_size, self.device, self.dtype, self.fingerprint

    def load(self, *, device: str | None = None) -> Generator:
        """The generator, with pictures as large as the scene's; raises what `renderer` does."""
        import torch

        generator = self.source.load(torch.device(device or self.device), self.dtype)
        if generator.fingerprint != self.fingerprint:
            raise RenderError(
                f"this worker would render with {generator.fingerprint} and the render was begun with "
                f"{self.fingerprint}, which differ in a frame's last bits; set STYLEGAN_OPS=reference for all, or see "
                "`audioreactive doctor` there"
            )
        return generator.resized(self.img_size)

    def renderer_with(self, generator: Generator, *, say: Callable[[str], None] | None = None) -> Renderer:
        """A renderer with a generator that is loaded already, and has the right size."""
        import torch

        from audioreactive.rendering.renderer import Renderer

        inputs = self.motion.on(generator, torch.from_numpy(self.palette))
        return Renderer(generator, inputs, batch=self.batch, layout=self.layout, say=say)
