"""The painter's form for NVIDIA GPUs against the plain one: on a GPU that the CPU plays, and on a real one."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from compilers import needs_compiler
from emulated_gpu import allow, emulated, loaded, use_default_stream

from audioreactive.errors import RenderError
from audioreactive.generators.painter import FAMILIES, Painter, cuda_kernels, plain, proven
from audioreactive.generators.painter import painter as painter_module
from audioreactive.generators.painter.choice import kernels
from audioreactive.generators.painter.cuda_kernels import SHARED, CudaKernels, programs
from audioreactive.generators.painter.functions import Raster
from audioreactive.generators.painter.parameters import Native, Parameters, natives
from audioreactive.generators.painter.proven import Proven
from audioreactive.generators.painter.schemes import SCHEMES
from stylegan_ops import build, cuda_build, selfcheck

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from audioreactive.generators.painter.kernels import Kernels
    from stylegan_ops.cuda_loading import Loaded


CPU = torch.device("cpu")
RASTER = Raster((17, 41), (20, 44))
"""No sides that blocks of threads fit into."""


@dataclass(frozen=True)
class EmulatedKernels(CudaKernels):
    """The kernels on a GPU that the CPU plays, which may use the given tensors and nothing else."""

    device: torch.device = CPU
    found: Callable[[str], tuple[ctypes.CDLL, Loaded]] = field(default=lambda name: (ctypes.CDLL(None), None))  # type: ignore[assignment,return-value]

    def paint(
        self, family: str, parameters: Native, table: torch.Tensor, colour: torch.Tensor, glow: torch.Tensor,
        size: tuple[int, int],
    ) -> None:  # fmt: skip
        self._allow(family, [table], [colour, glow])
        super().paint(family, parameters, table, colour, glow, size)

    def reveal(
        self, parameters: Native, share: float, colour: torch.Tensor, other: torch.Tensor, glow: torch.Tensor,
        size: tuple[int, int],
    ) -> None:  # fmt: skip
        self._allow("reveal", [other], [colour, glow])
        super().reveal(parameters, share, colour, other, glow, size)

    def finish(self, parameters: Native, colour: torch.Tensor, bloom: torch.Tensor, picture: torch.Tensor) -> None:
        self._allow("finish", [colour, bloom], [picture])
        super().finish(parameters, colour, bloom, picture)

    def _allow(self, name: str, read: list[torch.Tensor], written: list[torch.Tensor]) -> None:
        library, _ = self.found(name)
        library.emulation_forget()
        for tensor in (*read, *written):
            allow(library, tensor, write=any(tensor is other for other in written))

    def _loaded(self, name: str) -> Loaded | str:
        return self.found(name)[1]


@pytest.fixture(scope="session")
def emulation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedKernels]:
    """Programs are compiled when they are first asked for."""
    folder = tmp_path_factory.mktemp("painter")
    made: dict[tuple[str, ...], tuple[ctypes.CDLL, Loaded]] = {}

    def found(name: str) -> tuple[ctypes.CDLL, Loaded]:
        names = SHARED if name in SHARED else (name,)
        if names not in made:
            library = emulated(programs(names), folder / f"{name}.so")
            made[names] = library, loaded(library, programs(names))
        return made[names]

    with pytest.MonkeyPatch.context() as patch:
        use_default_stream(patch)
        yield EmulatedKernels(found=found)


def seeds(*numbers: int) -> torch.Tensor:
    draws = (torch.randn(1, Painter().z_dim, generator=torch.Generator().manual_seed(k)) for k in numbers)
    return torch.cat(list(draws))


def with_kernels(made: Painter, given: CudaKernels | None) -> Painter:
    twin = replace(made)
    twin.__dict__["_kernels"] = given
    return twin


def levels(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return ((one - other).abs() * 127.5).cpu()


def assert_alike(one: torch.Tensor, other: torch.Tensor) -> None:
    """But for points at which a cell ends."""
    difference = levels(one, other)
    assert difference.mean() < 0.1
    assert (difference > 2).float().mean() < 0.002


def assert_agrees(form: CudaKernels, family: str, raster: Raster) -> None:
    """A family and the finishing pass against plain PyTorch on the same device."""
    made = Painter((family,), raster.size)
    ws = made.mapping(seeds(3))
    parameters = made._parameters(ws, made._structure(ws)[1][0, 0])
    table = made._noise_tables(None, 1)[0].to(form.device)
    expected = plain.paint(family, parameters, table[None].cpu(), raster)
    colour = torch.full((3, *raster.sides), torch.nan, device=form.device)
    glow = torch.full((3, *(side // 4 for side in raster.sides)), torch.nan, device=form.device)
    form.paint(family, parameters.native(0), table, colour, glow, raster.size)
    torch.testing.assert_close(glow.cpu()[None], plain.glowing(colour.cpu()[None]), atol=1e-3, rtol=1e-3)
    bloom = 0.3 * glow
    picture = torch.full((3, *raster.size), torch.nan, device=form.device)
    form.finish(parameters.native(0), colour, bloom, picture)
    assert_alike(picture.cpu(), plain.finish(parameters, expected, bloom.cpu()[None], raster.size)[0])


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_on_an_emulated_gpu(emulation: EmulatedKernels, family: str) -> None:
    assert_agrees(emulation, family, RASTER)


@pytest.mark.parametrize("rows", [21, 42])
def test_a_batch_on_an_emulated_gpu(emulation: EmulatedKernels, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole chain, two families in one picture and small pictures that are painted larger among it."""
    monkeypatch.setattr(painter_module, "FINEST_ROWS", rows)
    made = with_kernels(Painter(("ink", "opart"), (21, 34)), emulation)
    first, last = made.mapping(seeds(1, 2), torch.eye(2))
    ws = torch.stack([first, 0.6 * first + 0.4 * last, last])
    found = made.synthesis(ws)
    assert_alike(found, with_kernels(made, None).synthesis(ws))
    assert levels(found[1], found[0]).mean() > 3 < levels(found[1], found[2]).mean()
    assert torch.equal(made.synthesis(ws), found)
    assert torch.equal(torch.cat([made.synthesis(one[None]) for one in ws.flip(0)]).flip(0), found)


def test_faults_are_told(emulation: EmulatedKernels) -> None:
    made = Painter(("ink",), RASTER.size)
    ws = made.mapping(seeds(3))
    parameters = made._parameters(ws, made._structure(ws)[1][0, 0]).native(0)
    colour, glow, table = torch.zeros(3, 20, 44), torch.zeros(3, 5, 11), torch.zeros(2, 2)
    with pytest.raises(ValueError, match="do not fit"):
        emulation.paint("ink", parameters, table, colour, glow[:, 1:], RASTER.size)
    with pytest.raises(ValueError, match="float32"):
        emulation.paint("ink", parameters, table.double(), colour, glow, RASTER.size)
    with pytest.raises(RenderError, match=r"the painter's ink failed on cpu: .*a read of 4 bytes outside"):
        CudaKernels.paint(emulation, "ink", parameters, torch.zeros(9, 9), colour, glow, RASTER.size)


def test_kernels_are_queued_on_the_current_stream(emulation: EmulatedKernels, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(
        torch.cuda, "current_stream", lambda device: asked.append(device) or SimpleNamespace(cuda_stream=0)
    )
    monkeypatch.setattr(cuda_kernels, "numbered", lambda device: device)
    monkeypatch.setattr(cuda_kernels, "_loaded", lambda names, device: emulation._loaded(names[0]))
    colour, bloom, picture = torch.zeros(3, 4, 8), torch.zeros(3, 2, 2), torch.zeros(3, 3, 7)
    emulation._allow("finish", [colour, bloom], [picture])
    CudaKernels(CPU).finish(Native(), colour, bloom, picture)
    assert asked == [CPU] and (picture + 1).abs().max() < 0.02
    monkeypatch.setattr(cuda_kernels, "_loaded", lambda names, device: "nvcc failed")
    with pytest.raises(RenderError, match="the painter's finish cannot be compiled: nvcc failed"):
        CudaKernels(CPU).finish(Native(), colour, bloom, picture)


def test_parameters_do_not_depend_on_how_many_are_derived() -> None:
    draw = torch.Generator().manual_seed(0)
    latents = [torch.randn(19, count, generator=draw) for count in (8, 8, 8, len(SCHEMES))]
    together = natives(*latents)
    for k in range(19):
        alone = natives(*(values[k : k + 1] for values in latents))[0]
        assert bytes(alone) == bytes(together[k])
        expected = Parameters.of(*(values[k : k + 1] for values in latents)).flat()[0].tolist()
        assert list(memoryview(bytes(alone)).cast("f")) == pytest.approx(expected, abs=1e-5)


# --- what is wrong is not used


@dataclass(frozen=True)
class Lying:
    """A compiled form that does one thing wrong."""

    form: Kernels
    lie: str
    device: torch.device = CPU
    side_by_side: bool = False

    def identity(self, name: str) -> str:
        return f"lying about {self.lie}"

    def __getattr__(self, name: str) -> Any:
        def run(*arguments: Any) -> None:
            getattr(self.form, name)(*arguments)
            if self.lie in (name, arguments[0]):
                arguments[{"paint": 3, "reveal": 2, "finish": 3, "finish_yuv": 3}[name]].mul_(0.9)

        return run


@pytest.mark.parametrize("lie", ["ink", "reveal", "finish", "finish_yuv"])
def test_what_is_compiled_wrong_is_not_used(lie: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(selfcheck, "_verdicts", {})
    sound = kernels()
    needs_compiler()
    assert sound is not None
    lying = Proven(Lying(sound.form, lie))
    outcomes = {outcome.op: outcome.reason for outcome in some_checks(lying.form, "ink", *SHARED_NAMES)}
    assert {op for op, reason in outcomes.items() if reason is not None} == {f"painter {lie}"}
    monkeypatch.setattr(painter_module, "FINEST_ROWS", 0)
    made = Painter(("ink", "opart"), (24, 36))
    first, last = made.mapping(seeds(1, 2), torch.eye(2))
    ws = torch.stack([first, 0.6 * first + 0.4 * last])
    noise = [torch.zeros(2, 1, *size) for size in made.noise_sizes]
    with pytest.warns(RuntimeWarning, match=f"the compiled {lie} of the painter is wrong on CPU .*is not used") as told:
        for layout in ("rgb24", "yuv420p"):
            for _ in range(2):
                found = with_kernels(made, lying).frame_function(layout)(ws, noise)
                expected = with_kernels(made, None).frame_function(layout)(ws, noise)
                difference = (found.int() - expected.int()).abs().float()
                assert difference.mean() < 0.3 and (difference > 2).float().mean() < 0.01
    assert len(told) == 1


SHARED_NAMES = ("reveal", "finish", "finish_yuv")


def some_checks(form: Kernels, *names: str) -> list[selfcheck.Outcome]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proven, "FAMILIES", names[:1])
        return list(proven.check_all(form))


def test_a_wrong_function_on_an_emulated_gpu_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, emulation: EmulatedKernels
) -> None:
    (right,) = programs(["opart"])
    headers = dict(right.headers)
    assert "2.0f / (raster.height" in headers["pixel.cuh"]
    headers["pixel.cuh"] = headers["pixel.cuh"].replace("2.0f / (raster.height", "2.1f / (raster.height")
    wrong = replace(right, headers=tuple(headers.items()))
    library = emulated([wrong], tmp_path / "wrong.so")
    library.emulation_allow_all()
    gpu = loaded(library, [wrong])
    form = EmulatedKernels(found=lambda name: (library, gpu) if name == "opart" else emulation.found(name))
    for name in ("ink", "finish", "reveal"):
        emulation.found(name)[0].emulation_allow_all()
    monkeypatch.setattr(EmulatedKernels, "_allow", lambda self, *arguments: None)
    outcomes = list(some_checks(form, "opart"))
    assert outcomes[0].reason is not None and "levels of 255 off in the mean" in outcomes[0].reason
    assert [outcome.reason for outcome in outcomes[1:]] == [None, None]
    assert some_checks(emulation, "ink")[0].reason is None


# --- without a GPU, or without its compiler


def test_plain_pytorch_keeps_to_one_device() -> None:
    """PyTorch's device without memory refuses, as a GPU does, what mixes tensors of two devices."""
    device = torch.device("meta")
    parameters = Parameters.of(*(torch.zeros(1, count, device=device) for count in (8, 8, 8, len(SCHEMES))))
    noise, raster = torch.zeros(1, 4, 6, device=device), Raster((8, 12), (8, 12))
    for family in ("agate", "neon", "planet"):
        colour = plain.paint(family, parameters, noise, raster)
        assert colour.device == device and colour.shape == (1, 3, 8, 12)
    colour = plain.reveal(parameters, torch.zeros(1, device=device), colour, colour, raster)
    assert plain.finish(parameters, colour, plain.glowing(colour), raster.size).device == device


def test_every_function_of_a_text_is_for_the_gpu() -> None:
    planet, finish = programs(("planet", "finish"))
    texts = dict(planet.headers)
    assert {"common.glsl", "finish.glsl", "family.glsl", "pixel.cuh", "device.h"} <= set(texts)
    assert "\nINLINE Vec3 planet(Place p, Latents z) {" in texts["family.glsl"]
    assert "family.glsl" not in dict(finish.headers)
    for name, text in (*planet.headers, *finish.headers):
        assert name[-5:] != ".glsl" or ("const INLINE" not in text and " INLINE" not in text)


def missing(major: int | None) -> None:
    raise build.BuildError("NVRTC was not found")


def test_without_a_cuda_compiler_there_is_one_warning_and_plain_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (9, 0))
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setenv("NVCC", "/nowhere/nvcc")
    monkeypatch.delenv("STYLEGAN_OPS", raising=False)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(cuda_build, "nvrtc", missing)
    caches = (cuda_kernels._loaded, cuda_kernels._why_none)
    for cache in caches:
        cache.cache_clear()
    try:
        with pytest.warns(RuntimeWarning, match="no CUDA compiler was found") as told:
            assert kernels(torch.device("cuda")) is None and kernels(torch.device("cuda:0")) is None
        assert len(told) == 1
        assert "plain" in Painter(device=torch.device("cuda")).fingerprint
        monkeypatch.setenv("STYLEGAN_OPS", "compiled")
        with pytest.raises(RenderError, match="no CUDA compiler was found"):
            kernels(torch.device("cuda"))
    finally:
        for cache in caches:
            cache.cache_clear()


# --- on a real GPU


@pytest.fixture(scope="module")
def gpu() -> CudaKernels:
    if not torch.cuda.is_available():
        pytest.skip("no NVIDIA GPU")
    found = kernels(torch.device("cuda"))
    assert found is not None and isinstance(found.form, CudaKernels), cuda_kernels.why_none(torch.device("cuda"))
    return found.form


@pytest.mark.cuda
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_on_a_real_gpu(gpu: CudaKernels, family: str) -> None:
    assert_agrees(gpu, family, Raster((203, 357), (204, 360)))


@pytest.mark.cuda
def test_batches_on_a_real_gpu(gpu: CudaKernels) -> None:
    """The same bits in every batch, in every run and on every stream."""
    made = Painter(tuple(FAMILIES), (180, 320), gpu.device)
    ws = made.mapping(seeds(*range(7)).cuda())
    ws = torch.cat([ws, (0.6 * ws[:1] + 0.4 * ws[1:2])])
    found = made.synthesis(ws)
    assert_alike(found, with_kernels(made, None).synthesis(ws))
    assert torch.equal(made.synthesis(ws), found)
    assert torch.equal(torch.cat([made.synthesis(ws[k : k + 2]) for k in range(0, 8, 2)]), found)
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        again = made.synthesis(ws)
    torch.cuda.current_stream().wait_stream(side)
    assert torch.equal(again, found)
    pixels = made.frame_function("yuv420p")(ws, [torch.zeros(8, 1, *size, device="cuda") for size in made.noise_sizes])
    assert pixels.shape == (8, 180 * 320 * 3 // 2) and pixels.is_cuda
