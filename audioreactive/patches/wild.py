"""What the Randomizer draws besides latents and noise, when asked: bends, directions, a camera, and weights.

All amounts lie within ranges in which pictures change and do not break, and rest where their envelope is 0. Every part
has a random stream of its own, so that other draws of a seed stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from audioreactive.patches.fields import DEPTHS, PLAIN_FILE
from audioreactive.patches.randomizer import UNIVARIATE, Draws, draw_envelope
from audioreactive.patches.schema import Patch

if TYPE_CHECKING:
    from collections.abc import Collection

    from audioreactive.generators.moves import Ability

BENDS: Final[dict[str, tuple[float, float]]] = {
    "translate": (0.02, 0.06),
    "rotate": (6.0, 20.0),
    "scale": (0.08, 0.25),
    "dilate": (0.004, 0.012),
    "erode": (0.004, 0.012),
    "multiply": (1.15, 1.5),
    "threshold": (0.2, 0.6),
    "invert": (0.1, 0.3),
    "ablate": (0.2, 0.5),
}
"""Transform -> smallest and largest amount at the peak of its envelope."""
SIGNED: Final = ("translate", "rotate", "scale")
"""Transforms whose amount may be negative."""
BENT_LAYERS: Final = (0.15, 0.75)
"""Depths at which layers are bent: coarser ones move the whole picture out of what a model knows, finer ones are noise.
"""
BENT_SHARE: Final = (0.2, 0.5)
"""Shares of a layer's channels that are bent; the others hold the picture together."""
DIRECTIONS: Final = 8
"""First directions of a model among which some are drawn."""
DIRECTION_REACH: Final = (0.8, 1.8)
"""Ways along a direction, in standard deviations of latents."""
SWINGS: Final[dict[str, tuple[float, float]]] = {"x": (0.01, 0.04), "y": (0.01, 0.04), "rotation": (2.0, 6.0)}
"""Target of a camera -> smallest and largest swing."""
ZOOM: Final = (0.05, 0.15)
"""Doublings by which a camera follows an envelope."""
STRUCK: Final = ("percussive.onsets", "onsets", "hits", "bass.rms")
"""Features that move bends: they come and go."""
HELD: Final = ("rms", "bass.rms", "harmonic.rms")
"""Features that move weights: they change slowly."""
EVERY_NETWORK: Final[frozenset[Ability]] = frozenset({"bends", "directions"})
"""What every StyleGAN can do."""


@dataclass(frozen=True)
class Wild:
    """What may be drawn."""

    abilities: frozenset[Ability] = EVERY_NETWORK
    """What the generator can do."""
    seconds: tuple[str, ...] = ()
    """Names of the files of second models that were given."""

    def __call__(self, patch: Patch, seed: int) -> Patch:
        """Add bends, directions, a camera and weights to a drawn patch."""
        data: dict[str, Any] = patch.model_dump(mode="json", exclude_none=True)
        if "bends" in self.abilities:
            data["bends"] = _bends(Draws.named(seed, "wild bends"))
        if "directions" in self.abilities:
            data["latents"]["sequences"] += _directions(Draws.named(seed, "wild directions"))
        if "camera" in self.abilities:
            data["camera"] = {"moves": _camera(Draws.named(seed, "wild camera"))}
        seconds = [name for name in self.seconds if PLAIN_FILE.fullmatch(name)]
        if "weights" in self.abilities and seconds:
            data["weights"] = [_weights(Draws.named(seed, "wild weights"), seconds)]
        return Patch.model_validate(data)

    def on(self, abilities: Collection[Ability]) -> Wild:
        """Return what may be drawn for a generator that can do this."""
        return Wild(frozenset(abilities), self.seconds)


def _bends(draws: Draws) -> list[dict[str, Any]]:
    return [_bend(draws) for _ in range(draws.integer(1, 3))]


def _bend(draws: Draws) -> dict[str, Any]:
    transform = draws.one_of(tuple(BENDS))
    high = draws.between(*BENDS[transform]) * (draws.one_of((1, -1)) if transform in SIGNED else 1)
    bend = {
        "transform": transform,
        "layer": draws.between(*BENT_LAYERS),
        "share": draws.between(*BENT_SHARE),
        "seed": draws.integer(0, 99_999),
        "envelope": {"feature": draws.one_of(STRUCK), "release": draws.log_between(0.2, 0.6), "attack": 0.05},
        "high": high,
    }
    return bend | ({"angle": float(draws.integer(0, 359))} if transform == "translate" else {})


def _directions(draws: Draws) -> list[dict[str, Any]]:
    return [
        {
            "strategy": "direction",
            "method": draws.one_of(("sefa", "ganspace")),
            "index": draws.integer(0, DIRECTIONS - 1),
            "depth": [DEPTHS[draws.integer(0, 1)]],
            "reach": draws.between(*DIRECTION_REACH) * draws.one_of((1, -1)),
            "envelope": draw_envelope(draws, draws.one_of(UNIVARIATE)),
        }
        for _ in range(draws.integer(1, 2))
    ]


def _camera(draws: Draws) -> list[dict[str, Any]]:
    moves: list[dict[str, Any]] = [
        {
            "strategy": "swing",
            "target": target,
            "amount": draws.between(*SWINGS[target]),
            "bars": draws.one_of((2, 4, 8)),
            "phase": draws.between(0, 1),
        }
        for target in (tuple(SWINGS)[at] for at in draws.some(len(SWINGS), draws.integer(1, 2)))
    ]
    zoom = {"feature": draws.one_of(STRUCK), "release": draws.log_between(0.2, 0.5), "attack": 0.05}
    return [*moves, {"strategy": "envelope", "target": "zoom", "envelope": zoom, "high": draws.between(*ZOOM)}]


def _weights(draws: Draws, seconds: list[str]) -> dict[str, Any]:
    first, last = draws.one_of(((0.0, 1.0), (0.0, 0.4), (0.4, 1.0)))
    envelope = {"feature": draws.one_of(HELD), "smooth": draws.log_between(0.3, 1.0)}
    high = draws.between(0.4, 1.0)
    return {"toward": draws.one_of(seconds), "layers": [first, last], "envelope": envelope, "high": high}
