"""What moves in frames besides latents and noise: the plane of the picture, activations, and weights.

Not every generator can be moved in every way; `abilities` says in which. A generator gets only what it can do.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol

import numpy as np

from audioreactive._support.entries import read_entry, write_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, MutableMapping, Sequence
    from pathlib import Path

    import torch

    from stylegan_ops.bending import Bends, Transform

Ability = Literal["camera", "bends", "directions", "weights"]

NEEDS: Final[dict[Ability, str]] = {
    "camera": "only StyleGAN3 and StyleGAN-XL models can be moved, turned and enlarged as a plane",
    "directions": "only the latents of a StyleGAN have directions",
    "bends": "only the layers of a StyleGAN can be bent",
    "weights": "only the weights of a StyleGAN can be moved",
}
"""What a generator must be to be moved in each way, as the end of a sentence."""

CLUSTERS_VERSION: Final = 1
"""Version of the clusters; increase it whenever a change gives other ones for the same network."""
LARGEST_CLUSTERS: Final = 1 << 20
"""Most bytes of a layer's clusters on disk."""
_MAGIC: Final = b"audioreactive clusters\n"
CLUSTER_SAMPLES: Final = 8
"""Pictures whose activations decide about the clusters of channels."""


@dataclass(frozen=True)
class Bending:
    """A transform of a layer's activations, without its amount, which moves."""

    layer: float
    """Depth of the layer, from 0 for the coarsest to 1 for the finest."""
    transform: Transform
    angle: float = 0.0
    """Direction of a translation in degrees."""
    share: float = 1.0
    """Share of the channels that are transformed, chosen at random."""
    seed: int = 0
    """Seed of that choice."""
    cluster: int | None = None
    """Number of the cluster whose channels are transformed, instead of a random share."""
    clusters: int = 5
    """Number of clusters."""


AMOUNT_STEPS: Final = 64
"""Steps of the amounts of changes of weights in a unit: frames whose rounded amounts are equal share one network."""


@dataclass(frozen=True)
class Weighting:
    """A change of weights, without its amount, which moves."""

    kind: Literal["toward", "edits"]
    file: str
    """Name of the file of the second model, or of the edits."""
    first: float = 0.0
    """Depth of the first layer that changes, from 0 for the coarsest to 1 for the finest."""
    last: float = 1.0
    """Depth of the last layer that changes."""

    @property
    def everywhere(self) -> bool:
        """Whether every layer moves towards a second model, so that the latents do too."""
        return self.kind == "toward" and (self.first, self.last) == (0, 1)


@dataclass(frozen=True)
class Moves:
    """What moves in the frames of a batch besides latents and noise."""

    transform: torch.Tensor | None = None
    """(B, 3, 3) inverse of what happens to the picture's plane, in units of its width; None: nothing."""
    bends: tuple[tuple[Bending, tuple[float, ...]], ...] = ()
    """Transforms of activations, each with an amount for each sample."""
    weights: tuple[tuple[Weighting, tuple[float, ...]], ...] = ()
    """Changes of weights, each with an amount for each sample."""

    def part(self, samples: Sequence[int]) -> Moves:
        """Return what moves in some samples, with the same weights."""
        transform = None if self.transform is None else self.transform[list(samples)]
        bends = tuple((bending, tuple(amounts[at] for at in samples)) for bending, amounts in self.bends)
        return Moves(transform, bends)


NO_MOVES: Final = Moves()


class Bendable(Protocol):
    """Network whose layers can be bent."""

    @property
    def layer_names(self) -> list[str]:
        """Names of the layers, coarse to fine."""
        ...

    @property
    def layer_channels(self) -> list[int]:
        """Channels of the layers."""
        ...

    @property
    def z_dim(self) -> int:
        """Width of the noise vector."""
        ...

    @property
    def c_dim(self) -> int:
        """Number of classes."""
        ...


def abilities(generator: object) -> frozenset[Ability]:
    """Return the ways in which a generator can be moved."""
    found: frozenset[Ability] = getattr(generator, "abilities", frozenset())
    return found


def bends_on(
    network: Bendable,
    moves: Moves,
    synthesise: Callable[[torch.Tensor, Bends], object],
    mapping: Callable[..., torch.Tensor],
    known: MutableMapping[Hashable, torch.Tensor],
    network_key: str = "",
) -> Bends:
    """Turn the bends of a batch into those of one network.

    Args:
        network: the network.
        moves: what moves in the batch.
        synthesise: makes pictures from latents, with bends.
        mapping: maps noise vectors (and classes) to latents.
        known: choices of channels made before, to which new ones are added.
        network_key: text that identifies the network, by which clusters are kept on disk; empty: they are not.
    """
    from stylegan_ops.bending import Bend

    found: dict[int, list[Bend]] = {}
    for bending, amounts in moves.bends:
        layer = round(bending.layer * (len(network.layer_names) - 1))
        channels = _channels(network, bending, layer, synthesise, mapping, known, network_key)
        found.setdefault(layer, []).append(Bend(bending.transform, amounts, channels, bending.angle))
    return found


def _channels(
    network: Bendable,
    bending: Bending,
    layer: int,
    synthesise: Callable[[torch.Tensor, Bends], object],
    mapping: Callable[..., torch.Tensor],
    known: MutableMapping[Hashable, torch.Tensor],
    network_key: str,
) -> torch.Tensor | None:
    """Choose the channels that a bend transforms; None for all."""
    from stylegan_ops.bending import random_channels

    if bending.cluster is None:
        if bending.share >= 1:
            return None
        key: Hashable = (layer, bending.share, bending.seed)
        if key not in known:
            name = network.layer_names[layer]
            known[key] = random_channels(network.layer_channels[layer], bending.share, bending.seed, name)
        return known[key]
    key = (layer, bending.clusters)
    if key not in known:
        path = _clusters_path(network_key, network.layer_names[layer], bending.clusters) if network_key else None
        kept = None if path is None else _kept_clusters(path, network.layer_channels[layer])
        known[key] = layer_clusters(network, layer, bending.clusters, synthesise, mapping) if kept is None else kept
        if path is not None and kept is None:
            write_entry(path, _MAGIC, {"clusters": known[key].numpy()})
    chosen = known[key]
    return (chosen == bending.cluster % (int(chosen.max()) + 1)).nonzero()[:, 0]


def _clusters_path(network_key: str, layer: str, clusters: int) -> Path:
    """Return the path of the clusters of a layer in the user's cache."""
    from platformdirs import user_cache_path

    digest = hashlib.sha256(f"{CLUSTERS_VERSION} {network_key} {layer} {clusters}".encode()).hexdigest()
    return user_cache_path("audioreactive") / "clusters" / f"{digest[:40]}.clusters"


def _kept_clusters(path: Path, channels: int) -> torch.Tensor | None:
    """Read the clusters of a layer; None if they are not there or do not fit."""
    import torch

    arrays = read_entry(path, _MAGIC, LARGEST_CLUSTERS)
    found = None if arrays is None else arrays.get("clusters")
    if found is None or found.shape != (channels,) or found.dtype != np.int64 or found.min() < 0:
        return None
    return torch.from_numpy(found)


def layer_clusters(
    network: Bendable,
    layer: int,
    clusters: int,
    synthesise: Callable[[torch.Tensor, Bends], object],
    mapping: Callable[..., torch.Tensor],
) -> torch.Tensor:
    """Compute the cluster of each channel of a layer (C,), from the activations of a few fixed latents."""
    import torch

    from stylegan_ops.bending import Tap, clustered_channels

    draw = np.random.RandomState(zlib.crc32(b"clusters of channels"))
    z = torch.from_numpy(draw.standard_normal((CLUSTER_SAMPLES, network.z_dim)).astype(np.float32))
    c = None
    if network.c_dim:
        c = torch.nn.functional.one_hot(torch.arange(CLUSTER_SAMPLES) % network.c_dim, network.c_dim).float()
    tap = Tap(CLUSTER_SAMPLES)
    synthesise(mapping(z, c), {layer: [tap]})
    return clustered_channels(torch.cat(tap.seen), clusters)
