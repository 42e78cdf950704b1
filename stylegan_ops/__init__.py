"""Fast inference of StyleGAN1, 2 and 3. Reads all common checkpoint formats without executing anything in them."""

from stylegan_ops.architecture import Architecture
from stylegan_ops.checkpoint import AnyGenerator, convert_checkpoint, inspect_checkpoint, load_generator
from stylegan_ops.errors import CheckpointError, StyleGANError
from stylegan_ops.generator import Generator
from stylegan_ops.graphs import GraphSynthesis
from stylegan_ops.info import ModelInfo
from stylegan_ops.memory import keep_freed_memory
from stylegan_ops.ops import op_status
from stylegan_ops.stylegan1.generator import StyleGAN1Generator
from stylegan_ops.stylegan3.generator import AliasFreeGenerator

__all__ = [
    "AliasFreeGenerator",
    "AnyGenerator",
    "Architecture",
    "CheckpointError",
    "Generator",
    "GraphSynthesis",
    "ModelInfo",
    "StyleGAN1Generator",
    "StyleGANError",
    "convert_checkpoint",
    "inspect_checkpoint",
    "keep_freed_memory",
    "load_generator",
    "op_status",
]
