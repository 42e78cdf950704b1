"""The painter: a generator that paints families of pictures by formula, at any size, as fast as the processor can."""

from audioreactive.generators.painter.families import FAMILIES
from audioreactive.generators.painter.painter import Painter

__all__ = ["FAMILIES", "Painter"]
