"""Compiling for GPUs without a GPU: NVRTC and nvcc, the cache, and the driver, for which an emulated one stands."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.metadata import distributions
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import torch
from emulated_gpu import emulated, guarded
from once import FOLDER

from audioreactive.generators.painter import cuda_kernels as painter_kernels
from stylegan_ops import (
    StyleGANError,
    build,
    choice,
    cuda_build,
    cuda_kernels,
    cuda_loading,
    kernels,
    nvrtc,
    op_status,
    ops,
    selfcheck,
)
from stylegan_ops import driver as driver_module
from stylegan_ops.cuda_build import NvrtcCompiler, Program, Target, compile_all
from stylegan_ops.driver import Driver, DriverError
from stylegan_ops.stylegan3 import cuda_kernels as stylegan3

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NVRTC_INSTALLED = any(one.metadata["Name"] == "nvidia-cuda-nvrtc" for one in distributions())
ANSWER = 'extern "C" __global__ void answer(int *y) { *y = 42; }\n'


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return build.cache_folder()


@pytest.fixture(scope="session")
def real() -> NvrtcCompiler:
    """NVRTC, where it is installed: the extra `test` brings it on Linux with an x86-64 processor.

    One that is installed and cannot be loaded fails the tests.
    """
    if not NVRTC_INSTALLED:
        try:
            nvrtc.nvrtc()  # of the system
        except build.BuildError as error:
            pytest.skip(str(error))
    return NvrtcCompiler()


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache that tests share, also those of other processes: what several compile is compiled once."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(Path(os.environ[FOLDER], "nvrtc")))


@dataclass(frozen=True)
class Counting:
    """A compiler that does nothing, and remembers what it was asked for."""

    name: str = "a compiler"
    key: str = "a compiler 1"
    capabilities: Sequence[int] = (60, 75, 90)
    asked: list[Target] = field(default_factory=list)
    content: bytes = b"\x7fELF made"

    def compile(self, program: Program, target: Target, folder: Path) -> bytes:
        self.asked.append(target)
        return self.content + program.text.encode()


def program(text: str = ANSWER, **others: object) -> Program:
    return Program(**{"name": "answer", "text": text, "headers": ()} | others)  # type: ignore[arg-type]


# --- NVRTC


def test_nvrtc_compiles_every_source_for_the_first_or_the_last_gpu(compiled: None, real: NvrtcCompiler) -> None:
    """Each for one of both, in turn; `.ci/run` compiles each for both."""
    known = [one for one in real.capabilities if one in cuda_build.CAPABILITIES]
    everything = [*cuda_kernels.programs(), *painter_kernels.programs(["finish", "reveal", "ink"])]
    for part, capability in ((everything[::2], known[0]), (everything[1::2], known[-1])):
        for made, image in zip(part, compile_all(part, real, capability), strict=True):
            kernels = re.findall(r"^KERNEL\((\w+)", made.text, re.MULTILINE)
            assert image.content.startswith(b"\x7fELF") and image.origin.startswith("NVRTC ")
            assert kernels or made.name in ("cuda-finish", "cuda-smooth", "cuda-filtered")
            assert all(name.encode() in image.content for name in kernels)


def test_no_source_is_left_out() -> None:
    """Every .cu file is among the programs that `.ci/run` compiles, however many there will be."""
    root = Path(__file__).parents[2]
    sources = [path for folder in ("audioreactive", "stylegan_ops") for path in (root / folder).rglob("*.cu")]
    everything = [*cuda_kernels.programs(), *painter_kernels.programs()]
    for path in sources:
        assert any(made.text.endswith(path.read_text("utf-8")) for made in everything), path
    shaders = {path.name for path in painter_kernels.SHADERS.glob("*.glsl")}
    used = {name for made in everything for name, _ in made.headers}
    own = {
        f"{made.name.removeprefix('painter-')}.glsl" for made in everything if made.text.startswith("#define FAMILY")
    }
    assert shaders - used == own, "a shader is a family's, or a part of one"
    assert len(everything) == len({made.name for made in everything}) == len(sources) - 1 + len(own)
    assert "[*cuda_kernels.programs(), *painter.programs()]" in (root / ".ci" / "run").read_text("utf-8")


def test_kernels_on_an_emulated_gpu_are_those_of_the_machine_code(compiled: None, real: NvrtcCompiler) -> None:
    for dtype, width, mode in itertools.product(cuda_kernels.NAMES.values(), ["vector", "single"], ["plain", "to_rgb"]):
        assert_has(real, "cuda-finish", f"finish_{dtype}_{width}_{mode}")
        assert_has(real, "cuda-smooth", f"smooth_{dtype}_{width}")
    for kind, shape in itertools.product(["any", *stylegan3.KINDS.values()], ["row", "square"]):
        assert_has(real, "cuda-filtered", f"filtered_{kind}_{shape}")


def assert_has(compiler: NvrtcCompiler, program_name: str, kernel: str) -> None:
    found = next(one for one in cuda_kernels.programs() if one.name == program_name)
    assert kernel.encode() + b"\0" in compile_all([found], compiler, 90)[0].content


def test_a_gpu_that_is_newer_than_the_compiler_gets_ptx(compiled: None, real: NvrtcCompiler) -> None:
    newer = max(real.capabilities) + 10
    image = compile_all(cuda_kernels.programs()[:1], real, newer)[0]
    assert image.content.startswith(b"//") and f".target sm_{max(real.capabilities)}".encode() in image.content


def test_pixels_are_counted_without_divisions_of_64_bits(compiled: None, real: NvrtcCompiler) -> None:
    for image in compile_all(cuda_kernels.programs(), real, max(real.capabilities) + 1):
        assert not re.findall(rb"\b(?:div|rem)\.[su]64", image.content)


def test_what_is_wrong_in_a_source_is_told(cache: Path, real: NvrtcCompiler) -> None:
    with pytest.raises(build.BuildError, match=r"NVRTC \d+\.\d+ failed: source\.cu\(1\): error: "):
        compile_all([program("nonsense")], real, 90)
    with pytest.raises(build.BuildError, match="could not open source file"):
        compile_all([program("#include <cuda_fp16.h>\n")], real, 90)
    assert list(cache.iterdir()) == []


def test_nvrtc_is_looked_for_where_pytorch_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("nvidia/cu13/lib/libnvrtc.so.13", "nvidia/cuda_nvrtc/lib/libnvrtc.so.12", "nvidia/cu13/lib/other.so",
             "nvidia/cu13/lib/libnvrtc-builtins.so.13.0", "nvidia/cu13/lib/libnvrtc.alt.so.13",
             "nvidia/cu13/bin/x86_64/nvrtc64_130_0.dll", "torch/lib/libnvrtc-672ee683.so.11.2")  # fmt: skip
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"no library")
    places = {name: SimpleNamespace(submodule_search_locations=[str(tmp_path / name)]) for name in ("nvidia", "torch")}
    monkeypatch.setattr(nvrtc.importlib.util, "find_spec", places.get)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "nothing"))
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "nothing"))

    def found(major: int | None) -> list[str]:
        return [Path(path).name for path in nvrtc.candidates(major) if str(tmp_path) in path]

    assert set(found(13)[:2]) == {"libnvrtc.so.13", "nvrtc64_130_0.dll"}
    assert found(12)[0] == "libnvrtc.so.12" and len(found(12)) == 4
    with pytest.raises(build.BuildError, match=r"NVRTC was not found \(.*libnvrtc.so.12 cannot be used \(.*PyTorch's"):
        nvrtc._nvrtc(12, (str(tmp_path / names[1]),))


# --- the cache


def test_an_image_is_compiled_once_for_each_kind_of_gpu(cache: Path) -> None:
    compiler = Counting()
    first = compile_all([program()], compiler, 90)[0]
    assert first.content == b"\x7fELF made" + ANSWER.encode()
    assert first.origin == f"a compiler, built now, kept in {cache}"
    assert compile_all([program()], compiler, 90)[0].origin == f"a compiler, from {cache}"
    assert compiler.asked == [Target(90, ptx=False)]
    compile_all([program()], compiler, 75)
    compile_all([program()], compiler, 86)  # with nothing but 7.5 before it
    compile_all([program()], compiler, 120)
    assert compiler.asked[1:] == [Target(75, ptx=False), Target(75, ptx=True), Target(90, ptx=True)]
    assert [target.option for target in compiler.asked[1:3]] == [
        f"--gpu-architecture={k}_75" for k in ("sm", "compute")
    ]
    for old in (60, 70):
        with pytest.raises(build.BuildError, match=rf"the GPU has compute capability {old / 10}, .*from 7\.5 on"):
            compile_all([program()], compiler, old)


def test_what_goes_in_names_what_comes_out(cache: Path) -> None:
    for given in (
        program(), program(ANSWER + " "), program(options=("-G",)), program(headers=(("a.h", ""),)),
        program(headers=(("a.h", " "),)), program(headers=(("b.h", ""),)),
    ):  # fmt: skip
        compile_all([given], Counting(), 90)
    compile_all([program()], Counting(key="a compiler 2"), 90)
    assert len(list(cache.iterdir())) == 7


@pytest.mark.parametrize("damage", ["cut", "turned", "emptied"])
def test_a_damaged_image_is_made_anew(cache: Path, damage: str) -> None:
    compiler = Counting()
    whole = compile_all([program()], compiler, 90)[0].content
    (path,) = cache.iterdir()
    path.write_bytes({"cut": whole[:9], "turned": whole[:5] + b"?" + whole[6:], "emptied": b""}[damage])
    assert compile_all([program()], compiler, 90)[0].content == whole
    assert len(compiler.asked) == 2 and [file.read_bytes() for file in cache.iterdir()] == [whole]


OTHER = """
import importlib.util, sys, types
package = types.ModuleType("stylegan_ops")  # which imports PyTorch; a compiler's cache needs none
package.__path__ = importlib.util.find_spec("stylegan_ops").submodule_search_locations
sys.modules["stylegan_ops"] = package
from stylegan_ops import cuda_build
assert "torch" not in sys.modules
class Slow:
    name = key = "a compiler"
    capabilities = [90]
    def compile(self, program, target, folder):
        print("compiling", flush=True)
        sys.stdin.readline()
        return b"made"
program = cuda_build.Program("answer", "text", ())
print(cuda_build.compile_all([program], Slow(), 90)[0].content.decode())
"""


def test_two_processes_at_once_and_one_that_is_killed(cache: Path) -> None:
    command = [sys.executable, "-c", OTHER]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, env=dict(os.environ), **pipes) for _ in range(3)]  # type: ignore[call-overload]
    for process in processes:
        assert process.stdout.readline() == "compiling\n"
    processes[0].kill()
    processes[0].communicate()
    for process in processes[1:]:
        assert process.communicate("\n", timeout=600)[0] == "made\n"
    kept = [path for path in cache.iterdir() if not path.name.startswith("build-")]
    assert [path.read_bytes() for path in kept] == [b"made"]
    third = subprocess.run(command, env=dict(os.environ), input="", capture_output=True, text=True, check=True)
    assert third.stdout == "made\n"


# --- nvcc

NVCC = """#!{python}
import pathlib, sys
words = sys.argv[1:]
if words == ["--version"]:
    print("nvcc: NVIDIA (R) Cuda compiler driver\\nCuda compilation tools, release 99.1, V99.1.7")
elif words == ["--list-gpu-arch"]:
    print("compute_60\\ncompute_75\\ncompute_90")
elif {failing!r}:
    print("error: out of luck")
    sys.exit(3)
else:
    pathlib.Path(words[-1]).write_bytes(b"\\x7fELF " + " ".join(words).encode() + pathlib.Path("a.h").read_bytes())
"""


def nvcc(folder: Path, monkeypatch: pytest.MonkeyPatch, *, failing: bool = False) -> None:
    path = folder / "nvcc"
    path.write_text(NVCC.format(python=sys.executable, failing=failing))
    path.chmod(0o755)
    monkeypatch.setenv("NVCC", str(path))


def no_nvrtc(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(major: int | None) -> nvrtc.Nvrtc:
        raise build.BuildError("NVRTC was not found")

    monkeypatch.setattr(cuda_build, "nvrtc", missing)


def test_nvcc_is_the_second_way(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvcc(tmp_path, monkeypatch)
    first, second = cuda_build.compilers()
    compiler = second()
    image = compile_all([program(headers=(("a.h", "own header"),), options=("-G",))], compiler, 90)[0]
    assert image.origin == f"nvcc 99.1, built now, kept in {cache}"
    words = image.content.decode()
    assert "--cubin --gpu-architecture=sm_90 --std=c++17 -G" in words and words.endswith("own header")
    assert b"--ptx --gpu-architecture=compute_90" in compile_all(
        [program(headers=(("a.h", ""),))], compiler, 120
    )[0].content  # fmt: skip
    no_nvrtc(monkeypatch)
    with pytest.raises(build.BuildError, match="NVRTC was not found"):
        first()
    monkeypatch.setenv("NVCC", "/nowhere/nvcc")
    with pytest.raises(build.BuildError, match=r"no CUDA compiler was found \(/nowhere/nvcc\); install NVIDIA's CUDA"):
        second()


# --- the kernels of a machine


@dataclass
class Machine:
    """GPUs that PyTorch finds, and a driver."""

    capabilities: list[tuple[int, int]]
    driver: object = None


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """Two GPUs, on which nothing runs until a test gives them a driver."""
    kernels.cpu_kernels()  # of the usual cache: the one of these tests is empty
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = Machine([(9, 0), (9, 0)])

    def driver() -> object:
        if found.driver is None:
            raise DriverError("NVIDIA's driver was not found (libcuda.so.1)")
        return found.driver

    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(found.capabilities))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: found.capabilities[index])
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: f"GPU {device}")
    monkeypatch.setattr(cuda_loading, "driver", driver)
    monkeypatch.delenv("STYLEGAN_OPS", raising=False)
    caches = (cuda_kernels._cuda_kernels, cuda_kernels._warn_once)
    for one in caches:
        one.cache_clear()
    yield found
    for one in caches:
        one.cache_clear()


def uses(index: int) -> bool:
    return choice.use_compiled("auto", torch.device("cuda", index), torch.float16)


def test_a_failing_compiler_costs_one_warning(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvcc(tmp_path, monkeypatch, failing=True)
    no_nvrtc(monkeypatch)
    with pytest.warns(RuntimeWarning) as caught:
        assert not any(uses(index) for index in (0, 1, 0))
        status = [entry for entry in op_status() if "GPU" in entry.reason]
    assert len(caught) == 1
    told = str(caught[0].message)
    assert all(part in told for part in ("NVRTC was not found", "nvcc failed", "error: out of luck", "plain PyTorch"))
    assert {entry.implementation for entry in status} == {"reference"}
    assert {entry.op for entry in status} == {op.op for op in selfcheck.OPS.values() if "cuda" in op.on}
    assert all("out of luck" in entry.reason for entry in status)
    with pytest.raises(StyleGANError, match=r"asked for and cannot be used: NVRTC was not found; nvcc failed"):
        choice.use_compiled("compiled", torch.device("cuda"), torch.float16)


@pytest.mark.parametrize("error", [ImportError("no platformdirs"), OSError("no disk"), RuntimeError("of PyTorch")])
def test_nothing_that_goes_wrong_escapes(machine: Machine, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fails(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(build, "cache_folder", fails)
    monkeypatch.setattr(cuda_build, "nvrtc", lambda major: SimpleNamespace(name="NVRTC", capabilities=[90]))
    with pytest.warns(RuntimeWarning, match=f"cannot be used: {error}"):
        assert cuda_kernels.cuda_kernels().library is None


class SomeDriver:
    """A driver that refuses what does not begin as machine code."""

    def __init__(self) -> None:
        self.loaded: list[tuple[int, bytes]] = []

    def load(self, device: int, image: bytes) -> object:
        if not image.startswith(b"\x7fELF"):
            raise DriverError("cuModuleLoadData: the provided PTX was compiled with an unsupported toolchain")
        self.loaded.append((device, image))
        return object()


def test_each_gpu_is_judged_alone(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.capabilities, machine.driver = [(6, 1), (9, 0)], SomeDriver()
    monkeypatch.setattr(selfcheck, "wrong", lambda device, dtype: [])
    monkeypatch.setattr(cuda_build, "compilers", lambda major: [Counting])
    with pytest.warns(RuntimeWarning, match=r"the GPU has compute capability 6\.1, .*plain PyTorch") as caught:
        assert not uses(0) and uses(1) and not uses(0) and uses(1)
    assert len(caught) == 1 and {index for index, _ in machine.driver.loaded} == {1}
    ways = {entry.reason: entry.implementation for entry in op_status() if "GPU" in entry.reason}
    assert sorted(ways.values()) == ["compiled", "reference"]
    assert any(way == "compiled" and reason.startswith("GPU 1, a compiler, ") for reason, way in ways.items())


def test_what_the_driver_refuses_is_compiled_the_second_way(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.driver = SomeDriver()
    ways = [lambda: Counting("first", "1", content=b"newer"), lambda: Counting("second", "2")]
    monkeypatch.setattr(cuda_build, "compilers", lambda major: ways)
    assert cuda_kernels.cuda_kernels().reason.startswith("second, built now")
    monkeypatch.setattr(cuda_build, "compilers", lambda major: ways[:1])
    with pytest.warns(RuntimeWarning, match="unsupported toolchain"):
        assert cuda_kernels.cuda_kernels(torch.device("cuda:1")).library is None


def test_without_a_gpu_no_compiler_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(cuda_build, "compilers", None)
    assert not choice.use_compiled("auto", torch.device("cuda"), torch.float16)
    assert cuda_kernels.cuda_kernels().reason == "PyTorch finds no GPU"


def test_from_nvrtc_through_the_driver_to_pixels(
    machine: Machine, compiled: None, real: NvrtcCompiler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way to a launch: compiled by NVRTC, loaded and started by the driver's functions."""
    library = emulated(cuda_kernels.programs(), tmp_path / "driver.so")
    machine.driver = Driver(library)
    streams = []
    monkeypatch.setattr(
        torch.cuda, "current_stream", lambda device: streams.append(device) or SimpleNamespace(cuda_stream=7)
    )
    found = cuda_kernels.cuda_kernels(torch.device("cuda", 1))
    assert found.reason.startswith("NVRTC ") and uses(1)
    image = torch.randn(2, 3, 6, 10, generator=torch.Generator().manual_seed(1))
    pixels = torch.zeros(2, 90, dtype=torch.uint8)
    monkeypatch.setattr(cuda_kernels, "cuda_kernels", lambda device: found)
    guarded(library, cuda_kernels._convert, 1)(image, pixels)
    assert (pixels.int() - ops.rgb_to_yuv420(image).int()).abs().max() <= 1
    assert streams == [torch.device("cuda", 1)] and library.emulation_contexts() == 0
    with pytest.raises(ValueError, match="multiples of 8"):
        cuda_kernels._convert(torch.zeros(2 * 90 + 1)[1:].view(1, 3, 6, 10), pixels[:1])


def test_a_picture_with_an_odd_address_is_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    monkeypatch.setattr(cuda_kernels, "_convert", lambda image, y: given.append(image))
    odd = torch.zeros(2 * 90 + 1)[1:].view(1, 3, 6, 10)
    assert odd.data_ptr() % 8 == 4
    cuda_kernels._rgb_to_yuv420(odd)
    assert given[0].data_ptr() % 8 == 0 and torch.equal(given[0], odd)


def test_a_machine_without_a_driver() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with contextlib.suppress(DriverError):
        driver_module.driver()
        pytest.skip("there is one")
    with pytest.raises(DriverError, match="NVIDIA's driver was not found"):
        driver_module.driver()
