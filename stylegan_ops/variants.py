"""Networks that are made from one network, other ones and edits, as often as they are asked for.

What is asked for is a sequence of steps, each towards another network or by edits, at some of the layers. Networks
that were made lately are kept, within a bound of memory.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from stylegan_ops.assembly import Checkpoint
from stylegan_ops.blending import Edits, between, check_edits, check_same, layer_prefixes, with_edits
from stylegan_ops.checkpoint import AnyGenerator

KEPT_BYTES: Final = 1 << 30
"""Most memory of the networks that are kept; one is kept in any case."""
MOST_KEPT: Final = 65
"""Most networks that are kept: those of one step at all of its amounts."""


@dataclass(frozen=True)
class Step:
    """Step from a network to the next one."""

    other: int
    """Number of the network towards which it goes, or of the edits."""
    first: float
    """Depth of the first layer that changes, from 0 for the coarsest to 1 for the finest."""
    last: float
    """Depth of the last layer that changes."""
    amount: float
    """Share of the other network, 0 to 1; factor of edits."""


class Variants:
    """Networks between one network and others. Several threads may ask for them at once.

    Raises:
        CheckpointError: another network has another architecture, or edits do not fit.
    """

    def __init__(
        self, base: Checkpoint, others: Sequence[Checkpoint | Edits], make: Callable[[Checkpoint], AnyGenerator]
    ) -> None:
        """Prepare; `make` makes the generator of a checkpoint."""
        for other in others:
            if isinstance(other, Edits):
                check_edits(base, other)
            else:
                check_same(base, other)
        self._base, self._others, self._make = base, tuple(others), make
        self._prefixes = layer_prefixes(base.architecture)
        size = sum(tensor.numel() * tensor.element_size() for tensor in base.state.values())
        self._most = max(1, min(MOST_KEPT, KEPT_BYTES // max(size, 1)))
        self._kept: OrderedDict[tuple[tuple[Step, ...], tuple[int, int]], AnyGenerator] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def base(self) -> AnyGenerator:
        """The network itself."""
        return self.network((), None)

    def other(self, number: int) -> AnyGenerator | None:
        """One of the other networks; None for edits."""
        other = self._others[number]
        return None if isinstance(other, Edits) else self._make(other)

    def network(self, steps: tuple[Step, ...], like: AnyGenerator | None) -> AnyGenerator:
        """The network after these steps, with pictures of the size that another one of its kind has.

        Its mapping network is the first one's. At an amount of 0 a step changes nothing, at 1 its layers are the other
        network's exactly.
        """
        steps = tuple(step for step in steps if step.amount != 0)
        size = self._base.architecture.img_size if like is None else like.img_size
        key = (steps, size)
        with self._lock:
            if (known := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
                return known
            while len(self._kept) >= self._most:
                self._kept.popitem(last=False)
            made = self._kept[key] = _sized(self._make(self._changed(steps)), like)
            return made

    def _changed(self, steps: tuple[Step, ...]) -> Checkpoint:
        """The tensors after these steps."""
        state = dict(self._base.state)
        for step in steps:
            other = self._others[step.other]
            owned = self.layers(step)
            if isinstance(other, Edits):
                own = {
                    name: vectors for name, vectors in other.layers.items() if f"synthesis.{name}.".startswith(owned)
                }
                state = with_edits(state, Edits(other.path, own), step.amount)
                continue
            for name in state:
                if name.startswith(owned):
                    state[name] = between(state[name], other.state[name], step.amount)
        return replace(self._base, state=state)

    def layers(self, step: Step) -> tuple[str, ...]:
        """Beginnings of the names of the tensors that a step changes."""
        last = max(len(self._prefixes) - 1, 1)
        rows = [row for at, row in enumerate(self._prefixes) if step.first <= at / last <= step.last]
        return tuple(prefix for row in rows for prefix in row)


def _sized(network: AnyGenerator, like: AnyGenerator | None) -> AnyGenerator:
    """A network with pictures of the size that another one has."""
    from stylegan_ops.stylegan3.generator import AliasFreeGenerator

    if like is None or network.img_size == like.img_size:
        return network
    if isinstance(network, AliasFreeGenerator):
        return network.resized(like.img_size)
    assert not isinstance(like, AliasFreeGenerator)
    return network.enlarged(const_size=like.architecture.const_size)
