"""Second models and edits of a network: a batch is divided by the amounts of its samples, each part on its own network.

Samples whose weights are all of one model are computed in a batch of the usual shape, so that they are that model's
pictures bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from audioreactive.generators.moves import Moves
    from audioreactive.generators.protocol import Mapper
    from audioreactive.generators.stylegan2 import StyleGAN2
    from audioreactive.generators.stylegan3 import StyleGAN3
    from stylegan_ops import AnyGenerator
    from stylegan_ops.variants import Step, Variants

G = TypeVar("G", "StyleGAN2", "StyleGAN3")


@dataclass(frozen=True)
class Weights:
    """Networks that can be made from a generator's, and the names of the files that they are made with."""

    files: tuple[str, ...]
    """Names of the files, in the order of the variants' others."""
    variants: Variants

    def steps(self, moves: Moves, sample: int) -> tuple[Step, ...]:
        """Return the changes of one sample of a batch that change anything."""
        from stylegan_ops.variants import Step

        steps = (
            Step(self.files.index(change.file), change.first, change.last, amounts[sample])
            for change, amounts in moves.weights
        )
        return tuple(step for step in steps if step.amount != 0)


def other_mapper(generator: object, file: str) -> Mapper:
    """Return the mapping network of a second model of a generator."""
    from audioreactive.generators.sources import wrapped

    weights: Weights = generator.weights  # type: ignore[attr-defined]
    other = weights.variants.other(weights.files.index(file))
    assert other is not None
    return wrapped(other)


def with_network(generator: G, network: AnyGenerator) -> G:
    """Return a generator with another network of the same shape."""
    return replace(generator, network=network)  # type: ignore[arg-type]


def pictures_by_weights(
    generator: G, ws: torch.Tensor, noise: Sequence[torch.Tensor] | None, moves: Moves
) -> torch.Tensor:
    """Make the pictures (B, 3, h, w) of a batch whose samples may have different weights."""
    import torch

    weights = generator.weights
    assert weights is not None
    if moves.bends:
        generator.bends(moves)  # clusters of channels are those of the first model, whatever comes first
    groups: dict[tuple[Step, ...], list[int]] = {}
    for sample in range(len(ws)):
        groups.setdefault(weights.steps(moves, sample), []).append(sample)
    pictures: list[torch.Tensor | None] = [None] * len(ws)
    for steps, samples in groups.items():
        network = generator.network if not steps else weights.variants.network(steps, generator.network)
        alone = with_network(generator, network)
        whole = all(step.amount == 1 for step in steps)
        computed = list(range(len(ws))) if whole else samples
        own = None if noise is None else [values if len(values) == 1 else values[computed] for values in noise]
        made = alone.synthesis(ws[computed], own, moves.part(computed))
        for sample in samples:
            pictures[sample] = made[computed.index(sample)]
    return torch.stack([picture for picture in pictures if picture is not None])
