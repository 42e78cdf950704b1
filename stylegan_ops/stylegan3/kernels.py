"""Placeholder of the compiled kernel until the plain form meets the golden files."""

import math

from torch import Tensor


def takes(x: Tensor, up: int, down: int) -> bool:
    return False


def filtered_lrelu(*args: object) -> None:
    raise NotImplementedError


def unlimited(clamp: float | None) -> float:
    return math.inf if clamp is None else clamp
