"""From a draft to a network: the architecture that names and shapes tell, checked before any number is read."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from stylegan_ops.architecture import Architecture, Kind
from stylegan_ops.budget import Budget
from stylegan_ops.drafts import Draft, Source, clean, some
from stylegan_ops.errors import CheckpointError
from stylegan_ops.layers import Preparation
from stylegan_ops.relatives import UNSUPPORTED
from stylegan_ops.stylegan1 import reading as stylegan1
from stylegan_ops.stylegan1.architecture import StyleGAN1Architecture
from stylegan_ops.stylegan1.generator import StyleGAN1Preparation
from stylegan_ops.stylegan3 import reading as stylegan3
from stylegan_ops.stylegan3.architecture import AliasFreeArchitecture
from stylegan_ops.stylegan3.layers import AliasFreePreparation

MEAN_SAMPLES = 10_000
"""Latents that are averaged if a file has no mean latent; the error is a hundredth of the spread of w."""
MEAN_WORK = 5 * 10**10
"""Multiplications for it; only mapping networks more than twice as large as StyleGAN2's get fewer samples."""
MEAN_BLOCK = 1 << 22
"""Numbers of latents and labels that are mapped at once for it, at most a thousand samples."""
MOST_WARNINGS = 20
MAX_BLOCKS = 16
"""Most blocks that are counted; legal networks have fewer."""
MAX_FILTERS = 100
"""Most copies of the resampling filter; a network has one or two for each layer."""


AnyArchitecture = Architecture | AliasFreeArchitecture | StyleGAN1Architecture


@dataclass(frozen=True)
class Checkpoint:
    """A model file's content: a whole, consistent network."""

    format: str
    architecture: AnyArchitecture
    state: Mapping[str, Tensor]
    """Tensors in float32, by the names of `Architecture.shapes()`."""
    note: str | None
    warnings: tuple[str, ...]


def family(architecture: AnyArchitecture) -> str:
    """Name of the kind of network."""
    if isinstance(architecture, StyleGAN1Architecture):
        return "StyleGAN1"
    return "StyleGAN3" if isinstance(architecture, AliasFreeArchitecture) else "StyleGAN2"


def assembled(drafts: Iterable[Draft], budget: Budget) -> Checkpoint:
    """The first draft that is a whole network.

    Raises:
        CheckpointError: none is; the message is about the first, or names the relative that the file holds.
    """
    failure: CheckpointError | None = None
    for draft in drafts:
        try:
            architecture = _planned(draft, budget)
        except CheckpointError as error:
            failure = failure or error
        else:
            return _loaded(draft, architecture, budget)
    assert failure is not None
    raise failure


def _planned(draft: Draft, budget: Budget) -> AnyArchitecture:
    """The architecture of a draft whose tensors are complete and consistent; only filters are read."""
    architecture: AnyArchitecture
    if draft.network == "stylegan3":
        try:
            architecture = stylegan3.infer(draft)
        except CheckpointError as error:
            average = draft.sources.get("mapping.w_avg")
            kind = "StyleGAN-XL" if average is not None and len(average.shape) == 2 else "StyleGAN3"
            raise CheckpointError(f"this is a {kind} model, but {error}") from error
    elif draft.network == "stylegan1":
        architecture = stylegan1.infer(draft)
    else:
        architecture = _infer(draft, budget)
    if (fault := architecture.fault()) is not None:
        raise CheckpointError(f"{fault}: the file is damaged, or its network is beyond any model that is known")
    _check_declared(draft, architecture)
    _check_names(draft, architecture)
    return architecture


def _infer(draft: Draft, budget: Budget) -> Architecture:
    """The architecture that the names and shapes of the tensors tell."""
    sources = draft.sources
    channels: list[int] = []
    while (weight := sources.get(f"synthesis.b{4 << len(channels)}.conv1.weight")) and len(channels) < MAX_BLOCKS:
        channels.append(_length(weight, 0))
    const = sources.get("synthesis.b4.const")
    if len(channels) < 2 or const is None or len(const.shape) != 3:
        raise CheckpointError(f"its tensors are not those of a StyleGAN2 generator; {UNSUPPORTED}")
    features: list[int] = []
    while (bias := sources.get(f"mapping.fc{len(features)}.bias")) is not None:
        features.append(_length(bias, 0))
    first, embed = sources.get("mapping.fc0.weight"), sources.get("mapping.embed.weight")
    if not features or first is None:
        raise CheckpointError("it has no mapping network: give the whole generator, not its synthesis part alone")
    embed_features, c_dim = (0, 0) if embed is None else (_length(embed, 0), _length(embed, 1))
    return Architecture(
        z_dim=_length(first, 1) - embed_features,
        w_dim=features[-1],
        mapping_features=tuple(features),
        channels=tuple(channels),
        c_dim=c_dim,
        embed_features=embed_features,
        kind=_infer_kind(sources, 4 << (len(channels) - 1)),
        const_size=(const.shape[1], const.shape[2]),
        conv_clamp=draft.conv_clamp,
        mapping_lr=draft.mapping_lr,
        resample_filter=_common_filter(draft.filters, budget),
    )


def _length(source: Source, axis: int) -> int:
    """The length of one axis; 0 if there is no such axis."""
    return source.shape[axis] if axis < len(source.shape) else 0


def _infer_kind(sources: Mapping[str, Source], resolution: int) -> Kind:
    if "synthesis.b4.torgb.weight" in sources:
        return "skip"
    return "resnet" if f"synthesis.b{resolution}.skip.weight" in sources else "orig"


def _common_filter(sources: list[Source], budget: Budget) -> tuple[float, ...]:
    """The four taps of the separable filter that all of a network's layers share."""
    if not sources:
        return Architecture.resample_filter
    wrong = CheckpointError("its resampling filter is not one of 4 × 4 taps, the same in all layers: not supported")
    if len(sources) > MAX_FILTERS or any(source.shape != (4, 4) for source in sources):
        raise wrong
    filters = [source.load(budget) for source in sources]
    filters = [taps / taps.sum() for taps in filters]  # rosinality's have the gain of up-sampling
    first = filters[0]
    if not all(torch.allclose(first, other, atol=1e-6) for other in filters[1:]):
        raise wrong
    taps = first.sum(1)
    if not torch.allclose(torch.outer(taps, taps), first, atol=1e-5):
        raise CheckpointError("its resampling filter is not separable, or does not sum to 1: not supported")
    return tuple(round(tap, 6) for tap in taps.tolist())


def _check_declared(draft: Draft, architecture: AnyArchitecture) -> None:
    """Compare the description in the file with the shapes of its tensors."""
    declared = draft.declared
    told = {"z_dim": architecture.z_dim, "w_dim": architecture.w_dim, "c_dim": architecture.c_dim}
    for key, value in told.items():
        said = declared.get(key, value)
        if isinstance(said, int) and said != value:
            raise CheckpointError(f"it says {key} = {said}, but its tensors have {value}: the file is damaged")
    if (said := declared.get("resolution")) is not None and said != architecture.img_resolution:
        size = " × ".join(map(str, architecture.img_size))
        shown = said if isinstance(said, int) else "another resolution"
        draft.warnings.append(f"it says {shown}, but its tensors make pictures of {size}")
    if isinstance(kind := declared.get("kind"), str) and kind != architecture.kind:
        raise CheckpointError(f"it says its architecture is {clean(kind[:20])!r}, but it has the tensors of "
                              f"{architecture.kind!r}: not supported")  # fmt: skip


def _check_names(draft: Draft, architecture: AnyArchitecture) -> None:
    """Check that every tensor exists and has the right shape, and that there are no others."""
    expected, sources = architecture.shapes(), draft.sources
    if isinstance(architecture, AliasFreeArchitecture):
        given = stylegan3.optional(architecture)
    elif isinstance(architecture, StyleGAN1Architecture):
        given = stylegan1.optional(sources, architecture)
    else:
        given = _may_be_missing(sources, architecture)
    if missing := [name for name in expected if name not in sources and name not in given]:
        raise CheckpointError(f"it lacks {some(missing)}: the file is damaged, or of another network")
    for name, shape in expected.items():
        if name in sources and sources[name].shape != shape:
            found = sources[name].shape
            if name.endswith("torgb.weight") and found[1:] == shape[1:]:
                count = "1 channel (grey)" if found[0] == 1 else f"{found[0]} channels"
                raise CheckpointError(f"its pictures have {count}; only models of 3 (red, green, blue) are supported")
            raise CheckpointError(f"{name} has the shape {found} instead of {shape}: another network, or damaged")
    extra = [name for name in sources if name not in expected]
    if isinstance(architecture, AliasFreeArchitecture):
        extra = [name for name in extra if not stylegan3.unneeded(name, architecture)]
    elif isinstance(architecture, StyleGAN1Architecture):
        extra = [name for name in extra if not stylegan1.unneeded(name)]
    if large := [name for name in extra if any(length > 1 for length in sources[name].shape)]:
        raise CheckpointError(f"it holds {some(large)}, which {family(architecture)} does not have: another network")
    for name in extra:
        draft.warnings.append(f"the value {clean(name)!r} is unknown and was passed over")


def _may_be_missing(sources: Mapping[str, Source], architecture: Architecture) -> frozenset[str]:
    """What can be filled in: the mean latent, and noise that a fork trains without or that early rosinality files lack,
    all of it or none.
    """
    names = {"mapping.w_avg"}
    for ending in (".noise_const", ".noise_strength"):
        of_layers = {f"{layer.name}{ending}" for layer in architecture.convolutions()}
        if not of_layers & set(sources):
            names |= of_layers
        elif ending == ".noise_const":
            break
    return frozenset(names)


# The numbers.


def _loaded(draft: Draft, architecture: AnyArchitecture, budget: Budget) -> Checkpoint:
    """Read the tensors of a network and check that they are finite."""
    names = [name for name in architecture.shapes() if name in draft.sources]
    state = {name: _finite(name, draft.sources[name].load(budget)) for name in names}
    if (average := _given_average(draft, architecture, budget)) is not None:
        state["mapping.w_avg"] = average
    if isinstance(architecture, AliasFreeArchitecture):
        stylegan3.filled(state)
        stylegan3.check_magnitudes(architecture, state)
    elif isinstance(architecture, StyleGAN1Architecture):
        stylegan1.filled(draft, state, architecture)
    else:
        _fill_noise(draft, state, architecture)
    if "mapping.w_avg" not in state:
        samples = min(MEAN_SAMPLES, MEAN_WORK // _mapping_work(architecture))
        state["mapping.w_avg"] = torch.zeros(architecture.w_dim)
        state["mapping.w_avg"] = _finite("the mean latent", _mean_latent(state, architecture, samples))
        draft.warnings.append(f"the file has no mean latent; it was estimated from {samples} samples")
    warnings = tuple(dict.fromkeys(draft.warnings))
    if len(warnings) > MOST_WARNINGS:
        warnings = (*warnings[:MOST_WARNINGS], f"there are {len(warnings) - MOST_WARNINGS} more warnings of this kind")
    return Checkpoint(draft.format, architecture, state, draft.note, warnings)


def _finite(name: str, tensor: Tensor) -> Tensor:
    if not torch.isfinite(tensor).all():
        raise CheckpointError(f"{name} holds values that are not finite: the training failed, or it is damaged")
    return tensor


def _given_average(draft: Draft, architecture: AnyArchitecture, budget: Budget) -> Tensor | None:
    """The mean latent stored beside the network, once or repeated for each latent input."""
    if draft.average is None:
        return None
    width, shape = architecture.w_dim, draft.average.shape
    numbers = int(np.prod(shape, dtype=object)) if shape else 1
    if numbers == 0 or numbers % width or numbers // width > 4 * architecture.num_ws:
        raise CheckpointError(
            f"its mean latent has the shape {shape}, where {(width,)} or a row of {width} for each of "
            f"{architecture.num_ws} latent inputs is possible: another network, or damaged"
        )
    rows = _finite("the mean latent", draft.average.tensor(budget)).reshape(-1, width)
    if not torch.allclose(rows, rows[:1].expand_as(rows), rtol=1e-4, atol=1e-5):
        draft.warnings.append("its mean latent is another one for each latent input; their mean is used")
        return rows.mean(0)
    return rows[0].clone()


def _fill_noise(draft: Draft, state: dict[str, Tensor], architecture: Architecture) -> None:
    """Some forks train without noise, and early rosinality files have no constant maps: both are whole networks."""
    layers = tuple(architecture.convolutions())
    if all(f"{layer.name}.noise_const" in state for layer in layers):
        return
    if not any(f"{layer.name}.noise_strength" in state for layer in layers):
        draft.warnings.append("the model was trained without noise and does not react to it")
        state |= {f"{layer.name}.noise_strength": torch.zeros(()) for layer in layers}
    else:
        draft.warnings.append("the file has no constant noise maps; they were drawn from a fixed seed")
    draw = np.random.RandomState(0)
    for layer in layers:
        state[f"{layer.name}.noise_const"] = torch.from_numpy(draw.standard_normal(layer.size).astype(np.float32))


def _mapping_network(architecture: AnyArchitecture, state: Mapping[str, Tensor]) -> Callable[..., Tensor]:
    """The network from noise vectors and labels to latents."""
    device = torch.device("cpu")
    if isinstance(architecture, AliasFreeArchitecture):
        return AliasFreePreparation(architecture, state, device, torch.float32).mapping()
    if isinstance(architecture, StyleGAN1Architecture):
        return StyleGAN1Preparation(architecture, state, device, torch.float32).mapping()
    return Preparation(architecture, state, device, torch.float32).mapping()


def _mapping_work(architecture: AnyArchitecture) -> int:
    """Multiplications of the mapping network for one latent."""
    widths = (architecture.z_dim + architecture.embed_features, *architecture.mapping_features)
    layers = sum(before * after for before, after in pairwise(widths))
    return max(layers + architecture.c_dim * architecture.embed_features, 1)


def _mean_latent(state: Mapping[str, Tensor], architecture: AnyArchitecture, samples: int) -> Tensor:
    mapping = _mapping_network(architecture, state)
    draw = np.random.RandomState(0)
    total = torch.zeros(architecture.w_dim)
    widest = max(architecture.z_dim, architecture.c_dim, *architecture.mapping_features)
    block = max(1, min(1000, MEAN_BLOCK // widest))
    for first in range(0, samples, block):
        count = min(block, samples - first)
        z = torch.from_numpy(draw.standard_normal((count, architecture.z_dim)).astype(np.float32))
        if architecture.c_dim:
            classes = torch.arange(first, first + count) % architecture.c_dim
            total += mapping(z, torch.nn.functional.one_hot(classes, architecture.c_dim).float()).sum(0)
        else:
            total += mapping(z).sum(0)
    return total / samples
