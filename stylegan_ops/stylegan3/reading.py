"""From a draft to a StyleGAN3: the architecture, checked before any number is read.

NVIDIA's pickles and their forks keep every layer's numbers as plain attributes, which are used as they stand. Bare
state dicts have names, shapes and filters only; the rest is then what published networks have.
"""

import math
import re
from collections.abc import Mapping

import torch
from torch import Tensor

from stylegan_ops.drafts import Draft, Source, clean, shown
from stylegan_ops.errors import CheckpointError
from stylegan_ops.records import ArrayRecord
from stylegan_ops.stylegan3.architecture import MAX_LAYERS, MAX_TAPS, AliasFreeArchitecture, Layer, Size
from stylegan_ops.stylegan3.design import centred_padding

MARGIN, FILTER_SIZE, BANDWIDTH, CLAMP, OUTPUT_SCALE = 10, 6, 2.0, 256.0, 0.25
"""Numbers of the published networks, for files that hold tensors alone."""

GIVE_PICKLE = "give the .pkl file that it was taken from, which says so"


def infer(draft: Draft) -> AliasFreeArchitecture:
    """The architecture of a draft.

    Raises:
        CheckpointError: it is incomplete, or its numbers contradict each other.
    """
    attributes = draft.attributes
    if attributes:
        layers, first = _described_layers(draft), attributes.get("synthesis.input", {})
        input_size = _size(first.get("size"), "its input")
        rate, bandwidth = _whole(first.get("sampling_rate")), _real(first.get("bandwidth"))
        scale = _real(attributes.get("synthesis", {}).get("output_scale", OUTPUT_SCALE))
        resolution = _whole(attributes.get("synthesis", {}).get("img_resolution"))
    else:
        layers = _bare_layers(draft.sources)
        input_size, rate, bandwidth = layers[0].in_size, layers[0].in_rate, BANDWIDTH
        scale, resolution = OUTPUT_SCALE, layers[-1].out_size[0]
    return AliasFreeArchitecture(
        **_mapping(draft),  # type: ignore[arg-type]
        input_size=input_size,
        input_rate=rate,
        input_bandwidth=bandwidth,
        layers=layers,
        img_resolution=resolution,
        output_scale=scale,
    )


def described_layers(architecture: AliasFreeArchitecture) -> dict[str, object]:
    """What tensors do not say, under the names of NVIDIA's attributes, which `infer` reads."""
    modules: dict[str, dict[str, object]] = {
        "synthesis": {
            "layer_names": [layer.name for layer in architecture.layers],
            "output_scale": architecture.output_scale,
            "img_resolution": architecture.img_resolution,
        },
        "synthesis.input": {
            "size": list(architecture.input_size),
            "sampling_rate": architecture.input_rate,
            "bandwidth": architecture.input_bandwidth,
        },
    }
    for layer in architecture.layers:
        modules[layer.prefix] = {
            "in_size": list(layer.in_size),
            "out_size": list(layer.out_size),
            "in_sampling_rate": layer.in_rate,
            "out_sampling_rate": layer.out_rate,
            "up_factor": layer.up,
            "down_factor": layer.down,
            "padding": list(layer.padding),
            "conv_clamp": layer.clamp,
            "is_torgb": layer.to_rgb,
        }
    return {"modules": modules, "mapping_lr": architecture.mapping_lr}


def optional(architecture: AliasFreeArchitecture) -> frozenset[str]:
    """Names of tensors that may be missing."""
    return frozenset({"synthesis.input.transform", *(() if architecture.class_averages else ("mapping.w_avg",))})


def unneeded(name: str, architecture: AliasFreeArchitecture) -> bool:
    """Whether a tensor stands in files without being used: classes of a StyleGAN-XL that is not conditional."""
    return not architecture.c_dim and name.startswith("mapping.embed.")


def filled(state: dict[str, Tensor]) -> None:
    """Add what a file may leave out."""
    state.setdefault("synthesis.input.transform", torch.eye(3))


def _mapping(draft: Draft) -> dict[str, object]:
    """The mapping network's share of the architecture."""
    sources = draft.sources
    features: list[int] = []
    while (bias := sources.get(f"mapping.fc{len(features)}.bias")) is not None:
        features.append(_length(bias, 0))
    first = sources.get("mapping.fc0.weight")
    if not features or first is None:
        raise CheckpointError("it has no mapping network: give the whole generator, not its synthesis part alone")
    average, embed = sources.get("mapping.w_avg"), sources.get("mapping.embed.weight")
    projection = sources.get("mapping.embed_proj.weight")
    found: dict[str, object] = {
        "w_dim": features[-1],
        "mapping_features": tuple(features),
        "mapping_lr": draft.mapping_lr,
        "class_averages": average is not None and len(average.shape) == 2,
    }
    joined = 0
    if embed is not None and projection is not None:
        joined = _length(projection, 0)
        found |= {"c_dim": _length(embed, 0), "class_width": _length(embed, 1)}
    elif embed is not None and "mapping.embed.bias" in sources:
        joined = _length(embed, 0)
        found |= {"c_dim": _length(embed, 1)}
    return found | {"embed_features": joined, "z_dim": _length(first, 1) - joined}


# Layers whose attributes the file holds.


def _described_layers(draft: Draft) -> tuple[Layer, ...]:
    names = draft.attributes.get("synthesis", {}).get("layer_names")
    if not isinstance(names, list | tuple) or not 2 <= len(names) <= MAX_LAYERS:
        raise CheckpointError("it does not list its layers; the file is damaged, or of another network")
    return tuple(_described_layer(draft, name) for name in names)


def _described_layer(draft: Draft, name: object) -> Layer:
    attributes = draft.attributes.get(f"synthesis.{name}") if isinstance(name, str) else None
    weight = draft.sources.get(f"synthesis.{name}.weight")
    if not isinstance(name, str) or attributes is None or weight is None or len(weight.shape) != 4:
        raise CheckpointError(f"it lacks the layer {shown(name)}; the file is damaged, or of another network")
    where = f"its layer {clean(name[:80])}"
    prefix = f"synthesis.{name}"
    up_taps, _ = _taps(draft.sources, f"{prefix}.up_filter")
    down_taps, radial = _taps(draft.sources, f"{prefix}.down_filter")
    padding = attributes.get("padding")
    if not isinstance(padding, list | tuple) or len(padding) != 4 or not all(type(pad) is int for pad in padding):
        raise CheckpointError(f"{where} has no padding of four numbers; the file is damaged, or of another network")
    left, right, top, bottom = padding
    clamp = attributes.get("conv_clamp")
    return Layer(
        name=name,
        in_channels=weight.shape[1],
        out_channels=weight.shape[0],
        kernel=weight.shape[2],
        in_size=_size(attributes.get("in_size"), where),
        out_size=_size(attributes.get("out_size"), where),
        in_rate=_whole(attributes.get("in_sampling_rate")),
        out_rate=_whole(attributes.get("out_sampling_rate")),
        up=_whole(attributes.get("up_factor")),
        down=_whole(attributes.get("down_factor")),
        up_taps=up_taps,
        down_taps=down_taps,
        down_radial=radial,
        padding=(left, right, top, bottom),
        clamp=None if clamp is None else _real(clamp),
        to_rgb=attributes.get("is_torgb") is True,
    )


def _size(value: object, where: str) -> Size:
    """A size (width, height) from a number for both, or from two."""
    if isinstance(value, ArrayRecord):
        value = value.few()
    numbers = value if isinstance(value, list | tuple) else [value]
    if len(numbers) == 1:
        numbers = [*numbers, *numbers]
    if len(numbers) != 2:
        raise CheckpointError(f"{where} has no size of two numbers; the file is damaged, or of another network")
    return _whole(numbers[0]), _whole(numbers[1])


def _whole(value: object) -> int:
    """A whole number in the bounds of sizes and rates; -1 for anything else, which `fault` refuses."""
    number = _real(value)
    return int(number) if number == round(number) and abs(number) < 1 << 31 else -1


def _real(value: object) -> float:
    if isinstance(value, ArrayRecord):
        numbers = value.few()
        value = numbers[0] if len(numbers) == 1 else None
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return -1.0


# Layers of a bare state dict.


def _bare_layers(sources: Mapping[str, Source]) -> tuple[Layer, ...]:
    """Layers from their names (L0_36_512), shapes and filters."""
    found: dict[int, tuple[str, int]] = {}
    for key in sources:
        if (match := re.fullmatch(r"synthesis\.(L(\d{1,2})_(\d{1,5})_\d{1,5})\.weight", key)) is not None:
            found[int(match[2])] = (match[1], int(match[3]))
    if not 2 <= len(found) <= MAX_LAYERS:
        raise CheckpointError("its layers are not those of a StyleGAN3; the file is damaged, or of another network")
    if sorted(found) != list(range(len(found))):
        raise CheckpointError(
            "this is a StyleGAN-XL without a description of its layers, or some of its layers are missing; "
            + GIVE_PICKLE
        )
    layers: list[Layer] = []
    size = found[0][1]
    rate = size - 2 * MARGIN
    for index in range(len(found)):
        name, after = found[index]
        layer = _bare_layer(sources, name, size, after, rate, last=index == len(found) - 1)
        margin = 0 if index >= len(found) - 2 else 2 * MARGIN
        if layer.out_rate + margin != after:
            raise CheckpointError(f"its layer {name} was trained with a margin or rates of its own; {GIVE_PICKLE}")
        layers.append(layer)
        size, rate = after, layer.out_rate
    return tuple(layers)


def _bare_layer(sources: Mapping[str, Source], name: str, before: int, after: int, rate: int, *, last: bool) -> Layer:
    weight = sources[f"synthesis.{name}.weight"].shape
    if len(weight) != 4:
        raise CheckpointError(f"its layer {name} is no convolution; the file is damaged, or of another network")
    up_taps, _ = _taps(sources, f"synthesis.{name}.up_filter")
    down_taps, radial = _taps(sources, f"synthesis.{name}.down_filter")
    if any(taps != 1 and taps % FILTER_SIZE for taps in (up_taps, down_taps)):
        raise CheckpointError(f"its layer {name} was trained with filters of its own; {GIVE_PICKLE}")
    up, down = max(up_taps // FILTER_SIZE, 1), max(down_taps // FILTER_SIZE, 1)
    in_size, out_size = (before, before), (after, after)
    return Layer(
        name=name,
        in_channels=weight[1],
        out_channels=weight[0],
        kernel=weight[2],
        in_size=in_size,
        out_size=out_size,
        in_rate=rate,
        out_rate=rate * up // down,
        up=up,
        down=down,
        up_taps=up_taps,
        down_taps=down_taps,
        down_radial=radial,
        padding=centred_padding(
            in_size, out_size, kernel=weight[2], up=up, down=down, up_taps=up_taps, down_taps=down_taps
        ),
        clamp=CLAMP,
        to_rgb=last,
    )


def _taps(sources: Mapping[str, Source], name: str) -> tuple[int, bool]:
    """The number of a filter's taps along one axis, and whether it is a square; 1 where there is no filter."""
    source = sources.get(name)
    if source is None:
        return 1, False
    shape = source.shape
    if len(shape) not in (1, 2) or len(set(shape)) != 1 or not 1 <= shape[0] <= MAX_TAPS:
        raise CheckpointError(f"{clean(name[:80])} has the shape {shape}, which no filter of a StyleGAN3 has")
    return shape[0], len(shape) == 2


def _length(source: Source, axis: int) -> int:
    """The length of one axis; 0 if there is no such axis."""
    return source.shape[axis] if axis < len(source.shape) else 0


def check_magnitudes(architecture: AliasFreeArchitecture, state: Mapping[str, Tensor]) -> None:
    """Raise CheckpointError unless the numbers by which layers divide their input are positive."""
    for layer in architecture.layers:
        if not float(state[f"{layer.prefix}.magnitude_ema"]) > 0:
            raise CheckpointError(f"{layer.prefix}.magnitude_ema is no positive number: the file is damaged")
