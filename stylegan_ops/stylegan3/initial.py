"""StyleGAN3 networks with random weights, for tests and benchmarks."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stylegan_ops.stylegan3.architecture import AliasFreeArchitecture, Layer
from stylegan_ops.stylegan3.design import Plan, centred_padding, lowpass, stages


def planned(
    plan: Plan, *, z_dim: int = 512, w_dim: int = 512, c_dim: int = 0, mapping_layers: int = 2
) -> AliasFreeArchitecture:
    """The architecture of a plan."""
    found = stages(plan)
    layers = []
    for index, (before, after) in enumerate(zip([found[0], *found[:-1]], found, strict=True)):
        to_rgb = index == plan.num_layers
        fine = (1 if to_rgb else 2) * max(before.rate, after.rate)
        up, down = fine // before.rate, fine // after.rate
        kernel = 1 if to_rgb else plan.conv_kernel
        up_taps = plan.filter_size * up if up > 1 and not to_rgb else 1
        down_taps = plan.filter_size * down if down > 1 and not to_rgb else 1
        in_size, out_size = (before.size, before.size), (after.size, after.size)
        padding = centred_padding(
            in_size, out_size, kernel=kernel, up=up, down=down, up_taps=up_taps, down_taps=down_taps
        )
        critical = index >= plan.num_layers - plan.num_critical
        layers.append(
            Layer(
                name=f"L{index}_{after.size}_{after.channels}",
                in_channels=before.channels,
                out_channels=after.channels,
                kernel=kernel,
                in_size=in_size,
                out_size=out_size,
                in_rate=before.rate,
                out_rate=after.rate,
                up=up,
                down=down,
                up_taps=up_taps,
                down_taps=down_taps,
                down_radial=plan.use_radial_filters and not critical and down_taps > 1,
                padding=padding,
                clamp=256.0,
                to_rgb=to_rgb,
            )
        )
    return AliasFreeArchitecture(
        z_dim=z_dim,
        w_dim=w_dim,
        c_dim=c_dim,
        embed_features=w_dim if c_dim else 0,
        mapping_features=(w_dim,) * mapping_layers,
        input_size=(found[0].size, found[0].size),
        input_rate=found[0].rate,
        input_bandwidth=found[0].cutoff,
        layers=tuple(layers),
        img_resolution=plan.img_resolution,
    )


def random_state(architecture: AliasFreeArchitecture, plan: Plan, *, seed: int) -> dict[str, Tensor]:
    """Weights as before training, the same on every machine; drawn in the order of `architecture.shapes()`."""
    draw = np.random.RandomState(seed)
    found = stages(plan)
    state: dict[str, Tensor] = {}
    for name, shape in architecture.shapes().items():
        if name.endswith("magnitude_ema"):
            values = np.ones(shape, np.float32)
        elif name == "synthesis.input.transform":
            values = np.eye(3, dtype=np.float32)
        elif name == "synthesis.input.affine.weight":
            values = np.zeros(shape, np.float32)
        elif name == "synthesis.input.affine.bias":
            values = np.asarray([1, 0, 0, 0], np.float32)
        elif name.endswith(".affine.bias"):
            values = np.ones(shape, np.float32)
        elif name.endswith((".bias", ".w_avg")):
            values = np.zeros(shape, np.float32)
        elif name.endswith("_filter"):
            continue
        else:
            values = np.asarray(draw.standard_normal(shape), np.float32)
            if name.startswith("mapping.fc"):
                values /= architecture.mapping_lr
            elif name == "synthesis.input.freqs":
                values = _frequencies(values, architecture.input_bandwidth)
            elif name == "synthesis.input.phases":
                values = np.asarray(draw.random_sample(shape), np.float32) - np.float32(0.5)
        state[name] = torch.from_numpy(values)
    for layer, before, after in zip(architecture.layers, [found[0], *found[:-1]], found, strict=True):
        fine = layer.in_rate * layer.up
        up = lowpass(layer.up_taps, before.cutoff, before.half_width, fine)
        down = lowpass(layer.down_taps, after.cutoff, after.half_width, fine, radial=layer.down_radial)
        for kind, values_or_none in (("up", up), ("down", down)):
            if values_or_none is not None:
                state[f"{layer.prefix}.{kind}_filter"] = torch.from_numpy(values_or_none)
    return state


def _frequencies(values: NDArray[np.float32], bandwidth: float) -> NDArray[np.float32]:
    """Frequencies that fill a disc evenly, from normal ones."""
    radius = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(values / radius * bandwidth * np.sqrt(1 - np.exp(-np.square(radius) / 2)), np.float32)
