"""The generator on a GPU: on one that the CPU plays, and on a real one where there is one."""

from __future__ import annotations

import dataclasses
import functools
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from stylegan_ops import Architecture, Generator, GraphSynthesis, StyleGANError, load_generator, ops
from stylegan_ops import generator as generator_module
from stylegan_ops.initial import random_state
from stylegan_ops.styles import Styles

if TYPE_CHECKING:
    from emulated_gpu import Machine

    from stylegan_ops.layers import Upsampling

GOLDEN = Path(__file__).parent.parent / "golden"

SMALL = Architecture(z_dim=16, w_dim=24, mapping_features=(20, 24), channels=(20, 17, 8, 4), conv_clamp=2.0)

# As for the golden files: layers that each round to 2^-9 or 2^-12 of their values.
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 0.03, torch.float16: 0.004}


def on(machine: Machine, architecture: Architecture, dtype: torch.dtype, upsampling: Upsampling = "auto") -> Generator:
    """A generator that runs the form for GPUs."""
    real = machine.device.type == "cuda"
    implementation = "compiled" if real else "reference"
    state = random_state(architecture, seed=3)
    generator = Generator(
        architecture, state, device=machine.device, dtype=dtype, implementation=implementation, upsampling=upsampling
    )
    if not real:
        generator.compiled = True
        generator._styles = Styles.of(generator._blocks)
    return generator


def sample_ws(generator: Generator, batch: int, seed: int = 5) -> torch.Tensor:
    stream = torch.Generator().manual_seed(seed)
    return torch.randn(batch, generator.num_ws, generator.w_dim, generator=stream)


def noise_for(generator: Generator, batch: int, seed: int = 6) -> list[torch.Tensor]:
    stream = torch.Generator().manual_seed(seed)
    return [torch.randn(batch, 1, *size, generator=stream) for size in generator.noise_sizes]


@pytest.mark.parametrize(
    ("kind", "size", "dtype", "upsampling"),
    [
        ("skip", (4, 4), torch.float32, "transposed"),
        ("skip", (3, 5), torch.float16, "phases"),
        ("skip", (4, 2), torch.bfloat16, "auto"),
        ("orig", (4, 4), torch.float32, "phases"),
        ("resnet", (3, 4), torch.float32, "transposed"),
        ("resnet", (4, 4), torch.float16, "phases"),
    ],
)
def test_agrees_with_the_reference(
    machine: Machine, kind: str, size: tuple[int, int], dtype: torch.dtype, upsampling: Upsampling
) -> None:
    architecture = dataclasses.replace(SMALL, kind=kind, const_size=size)
    reference = Generator(architecture, random_state(architecture, seed=3), implementation="reference")
    ws, noise = sample_ws(reference, 2), noise_for(reference, 2)
    exact = reference.synthesis(ws, noise)
    found = on(machine, architecture, dtype, upsampling).synthesis(ws, noise).cpu()
    assert (found - exact).abs().max() < TOLERANCE[dtype] * exact.abs().max()


def test_large_batches_go_in_parts(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = on(machine, SMALL, torch.float32)
    ws = sample_ws(generator, 3)
    whole = generator.synthesis(ws)
    limit = "GPU_ELEMENTS" if machine.device.type == "cuda" else "CPU_WORKING_SET"
    monkeypatch.setattr(generator_module, limit, 8 * 16 * 16 * 4)
    assert (generator.synthesis(ws) - whole).abs().max() < 1e-5 * whole.abs().max()


@pytest.mark.parametrize("kind", ["skip", "resnet"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_styles_at_once_are_the_layers_own(kind: str, dtype: torch.dtype) -> None:
    architecture = dataclasses.replace(SMALL, kind=kind)
    generator = Generator(architecture, random_state(architecture, seed=3), dtype=dtype, implementation="reference")
    ws = sample_ws(generator, 3)
    modulations, rgb_weights = Styles.of(generator._blocks)(ws)
    wanted_modulations, wanted_weights = generator._modulations(ws)
    for found, wanted in zip(modulations, wanted_modulations, strict=True):
        assert torch.allclose(found.style, wanted.style, rtol=1e-5, atol=1e-6)
        assert torch.allclose(found.scale, wanted.scale, rtol=1e-5, atol=1e-6)
    assert [weight is None for weight in rgb_weights] == [weight is None for weight in wanted_weights]
    for weight, wanted_weight in zip(rgb_weights, wanted_weights, strict=True):
        assert weight is None or wanted_weight is None or torch.allclose(weight, wanted_weight, rtol=1e-5, atol=1e-6)


def test_without_a_gpu_nothing_is_recorded(caplog: pytest.LogCaptureFixture) -> None:
    generator = Generator(SMALL, random_state(SMALL, seed=3))
    synthesise = GraphSynthesis(generator, ops.rgb_to_yuv420)
    ws = sample_ws(generator, 2)
    with caplog.at_level(logging.DEBUG, logger="stylegan_ops"):
        found = [synthesise(ws, "none") for _ in range(2)]
    assert torch.equal(found[0], ops.rgb_to_yuv420(generator.synthesis(ws, "none")))
    assert torch.equal(found[0], found[1])
    assert [record.message for record in caplog.records] == [
        "synthesis is not recorded as a CUDA graph: the generator is not on a GPU"
    ]


def golden(name: str) -> dict[str, torch.Tensor]:
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        return {key: torch.from_numpy(values) for key, values in arrays.items()}


@pytest.mark.cuda
@pytest.mark.parametrize("name", ["nvidia_skip64", "nvidia_cond32", "nvidia_resnet32", "tf_legacy32"])
@pytest.mark.parametrize("implementation", ["compiled", "reference"])
def test_golden_pictures(gpu: Machine, name: str, implementation: str) -> None:
    vectors = golden(name)
    generator = load_generator(GOLDEN / f"{name}.pkl", device=gpu.device, implementation=implementation)
    for noise in ("const", "none"):
        found, wanted = generator.synthesis(vectors["mixed"], noise).cpu(), vectors[f"img_{noise}"]
        assert (found - wanted).abs().max() <= 1e-4 * wanted.abs().max()


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_on_the_model_that_ships(gpu: Machine, dtype: torch.dtype) -> None:
    from audioreactive.generators.builtin import builtin_generator

    exact = builtin_generator(device=gpu.device, dtype=torch.float32)
    half = builtin_generator(device=gpu.device, dtype=dtype)
    z = torch.from_numpy(np.stack([np.random.RandomState(seed).randn(exact.z_dim) for seed in range(8)])).float()
    ws, noise = exact.mapping(z), noise_for(exact, 8)
    error = half.synthesis(ws, noise).clamp(-1, 1) - exact.synthesis(ws, noise).clamp(-1, 1)
    assert error.abs().mean() < 0.01
    assert 10 * torch.log10(4 / error.square().mean()) > 40  # decibels; the range is 2


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_runs_are_bit_identical(gpu: Machine, dtype: torch.dtype) -> None:
    options = {"img_resolution": 256, "channel_base": 8192, "seed": 1, "device": gpu.device, "dtype": dtype}
    generator = Generator.random(**options)  # type: ignore[arg-type]
    ws, noise = sample_ws(generator, 4), noise_for(generator, 4)
    first = generator.synthesis(ws, noise)
    again = Generator.random(**options).synthesis(ws, noise)  # type: ignore[arg-type]
    assert torch.equal(generator.synthesis(ws, noise), first) and torch.equal(again, first)
    alone = torch.cat([generator.synthesis(ws[i : i + 1], [maps[i : i + 1] for maps in noise]) for i in range(4)])
    level = 2 / 255 * first.abs().max()
    assert (alone - first).abs().max() < level


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_graph_paints_the_same(gpu: Machine, dtype: torch.dtype, caplog: pytest.LogCaptureFixture) -> None:
    generator = Generator.random(img_resolution=128, channel_base=4096, seed=1, device=gpu.device, dtype=dtype)
    convert = functools.partial(ops.rgb_to_yuv420, compiled=True)
    synthesise, frames = GraphSynthesis(generator), GraphSynthesis(generator, convert)
    inputs = [
        (sample_ws(generator, batch, seed), noise_for(generator, batch, seed)) for seed in range(3) for batch in (1, 3)
    ]
    with caplog.at_level(logging.DEBUG, logger="stylegan_ops"):
        found = [synthesise(ws, noise) for ws, noise in inputs]
        yuv = [frames(ws.to(gpu.device), [maps.to(gpu.device) for maps in noise]) for ws, noise in inputs]
    assert not caplog.records
    for (ws, noise), pictures, planes in zip(inputs, found, yuv, strict=True):
        wanted = generator.synthesis(ws, noise)
        assert torch.equal(pictures, wanted) and torch.equal(planes, convert(wanted))
    with pytest.raises(StyleGANError, match="ws has the shape"):
        synthesise(inputs[0][0][:, 1:])
    assert torch.equal(synthesise(inputs[0][0]), generator.synthesis(inputs[0][0]))


@pytest.mark.cuda
@pytest.mark.spoiling
def test_what_cannot_be_recorded_is_computed(gpu: Machine, caplog: pytest.LogCaptureFixture) -> None:
    generator = Generator.random(img_resolution=32, channel_base=1024, seed=1, device=gpu.device)
    synthesise = GraphSynthesis(
        generator, lambda pictures: pictures * float(pictures.max().item())
    )  # waits for the GPU
    ws = sample_ws(generator, 2)
    with caplog.at_level(logging.DEBUG, logger="stylegan_ops"):
        found = [synthesise(ws) for _ in range(3)]
    assert sum("not recorded as a CUDA graph" in record.message for record in caplog.records) == 1
    assert all(torch.equal(pictures, found[0]) for pictures in found)


@pytest.mark.cuda
def test_kernels_keep_to_the_current_stream(gpu: Machine) -> None:
    generator = Generator.random(img_resolution=256, channel_base=8192, seed=1, device=gpu.device, dtype=torch.float16)
    batches = [sample_ws(generator, 2, seed).to(gpu.device) for seed in range(6)]
    alone = [generator.synthesis(ws) for ws in batches]
    torch.cuda.synchronize()
    streams = [torch.cuda.Stream(gpu.device) for _ in range(3)]
    together = []
    for index, ws in enumerate(batches):
        with torch.cuda.stream(streams[index % 3]):
            together.append(generator.synthesis(ws))
    torch.cuda.synchronize()
    assert all(torch.equal(*pair) for pair in zip(alone, together, strict=True))
