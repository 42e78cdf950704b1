"""Generators, which make pictures from latents and noise: the protocol, its implementations, and their sources."""

from audioreactive.generators.canvas import FITS, Canvas, Fit, draft_canvas, parse_size, plan_canvas
from audioreactive.generators.pixels import Layout, to_pixels, to_uint8
from audioreactive.generators.protocol import Cost, FrameFunction, Generator
from audioreactive.generators.sources import (
    BuiltinModel,
    GeneratorSource,
    LoadedGenerator,
    ModelFile,
    WeightedSource,
    WeightFile,
    named_source,
    open_generator,
)

__all__ = [
    "FITS",
    "BuiltinModel",
    "Canvas",
    "Cost",
    "Fit",
    "FrameFunction",
    "Generator",
    "GeneratorSource",
    "Layout",
    "LoadedGenerator",
    "ModelFile",
    "WeightFile",
    "WeightedSource",
    "draft_canvas",
    "named_source",
    "open_generator",
    "parse_size",
    "plan_canvas",
    "to_pixels",
    "to_uint8",
]
