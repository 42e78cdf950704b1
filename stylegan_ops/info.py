"""Description of a model file for the user."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ModelInfo:
    """Result of `inspect_checkpoint`; `str()` gives a table for the user."""

    path: str
    format: str
    network: str
    """Kind of network: StyleGAN2, StyleGAN3, ..."""
    kind: str
    """The architecture: skip, resnet or orig of a StyleGAN2; StyleGAN3-T, StyleGAN3-R, StyleGAN-XL-T, ..."""
    resolution: int
    """Nominal resolution: the side of a square model's pictures."""
    img_size: tuple[int, int]
    """(H, W) of the pictures."""
    channels: Mapping[int, int] | Mapping[str, int]
    """Channels of each block, by its nominal resolution; of a StyleGAN3 those of each layer, by its name."""
    z_dim: int
    w_dim: int
    c_dim: int
    """Number of classes; 0 for a model without classes."""
    mapping_layers: int
    num_ws: int
    conv_clamp: float | None
    parameters: int
    note: str | None
    """Text in the file about its licence or origin."""
    layers: tuple[str, ...]
    """Names of the layers that can be bent, coarse to fine."""
    movable: bool
    """Whether a matrix can move the picture's plane."""
    digest: str
    """SHA-256 of the file, hexadecimal."""
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        height, width = self.img_size
        rows = [
            ("file", self.path),
            ("format", self.format),
            ("pictures", f"{width} × {height}"),
            ("architecture", f"{self.network}, {self.kind}" if self.network != self.kind else self.kind),
            ("channels", "  ".join(f"{name}: {count}" for name, count in self.channels.items())),
            ("latents", f"z {self.z_dim}, w {self.w_dim}, {self.mapping_layers} mapping layers, {self.num_ws} inputs"),
            ("classes", str(self.c_dim) if self.c_dim else "none"),
            ("clamp", "none" if self.conv_clamp is None else f"± {self.conv_clamp:g}"),
            ("parameters", f"{self.parameters / 1e6:.2f} million"),
            ("layers", " ".join(self.layers)),
            ("can move", self._moves()),
            ("note", self.note or "none in the file"),
            ("sha256", self.digest),
            *(("warning", warning) for warning in self.warnings),
        ]
        return "\n".join(f"{name:<13}{value}" for name, value in rows)

    def _moves(self) -> str:
        """What moves in a video, as presets name it."""
        noise = [] if self.movable else ["noise"]
        camera = ["[camera]"] if self.movable else []
        return ", ".join(
            [
                "latents",
                *noise,
                *camera,
                f"[[bends]] of {len(self.layers)} layers, by share or cluster of channels",
                f"{self.w_dim} directions",
                "[[weights]]",
            ]
        )
