"""Compiles CUDA sources on first use, for one kind of GPU at a time, and keeps the machine code in the user's cache.

There are two ways: NVRTC, which PyTorch's builds for GPUs bring, and after it `nvcc` of a CUDA toolkit. Both compile
the same sources to machine code, or, for a GPU that is newer than they are, to PTX, which the driver translates.
"""

import functools
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from stylegan_ops import build
from stylegan_ops.build import BuildError
from stylegan_ops.nvrtc import nvrtc

OPTIONS = ("--std=c++17",)

CAPABILITIES = range(70, 122)
"""Compute capabilities times 10 that the kernels are written for: from Volta to Blackwell."""

NVCC_SECONDS = 60
"""Most seconds for one source and `nvcc`; six are usual, on one core."""

_INCLUDE = re.compile(r'^#include "([^"]+)"', re.MULTILINE)


@dataclass(frozen=True)
class Program:
    """A CUDA source, and all that it includes."""

    name: str
    """First part of the name of the cached file."""
    text: str
    headers: tuple[tuple[str, str], ...]
    """Names and texts of the files that may be included."""
    options: tuple[str, ...] = ()
    """Further options, as NVRTC and `nvcc` both take them."""


@dataclass(frozen=True)
class Target:
    """What is compiled for."""

    capability: int
    """Compute capability times 10."""
    ptx: bool
    """Whether the driver has to translate for the GPU, which is newer."""

    @property
    def option(self) -> str:
        """The option that names it."""
        return f"--gpu-architecture={'compute' if self.ptx else 'sm'}_{self.capability}"


@dataclass(frozen=True)
class Image:
    """A compiled program."""

    content: bytes
    origin: str
    """The compiler, and the place in the cache."""


class Compiler(Protocol):
    """A way from a source to machine code."""

    @property
    def name(self) -> str:
        """Name and version, for people."""
        ...

    @property
    def key(self) -> str:
        """All that distinguishes it from other versions."""
        ...

    @property
    def capabilities(self) -> Sequence[int]:
        """Compute capabilities times 10 that it knows, in ascending order."""
        ...

    def compile(self, program: Program, target: Target, folder: Path) -> bytes:
        """Compile a program; the folder is empty, and removed afterwards."""
        ...


@dataclass(frozen=True)
class NvrtcCompiler:
    """NVRTC as a way."""

    major: int | None = None
    """Major version of CUDA that the driver is known to work with."""

    @property
    def name(self) -> str:
        return nvrtc(self.major).name

    @property
    def key(self) -> str:
        return nvrtc(self.major).name

    @property
    def capabilities(self) -> Sequence[int]:
        return nvrtc(self.major).capabilities

    def compile(self, program: Program, target: Target, folder: Path) -> bytes:
        options = [target.option, *OPTIONS, *program.options]
        return nvrtc(self.major).compile(program.text, dict(program.headers), options, ptx=target.ptx)


@dataclass(frozen=True)
class NvccCompiler:
    """The compiler of a CUDA toolkit as a way."""

    path: str

    @functools.cached_property
    def key(self) -> str:
        return build.version_of(self.path)

    @property
    def name(self) -> str:
        found = re.search(r"release (\d+\.\d+)", self.key)
        return f"nvcc {found[1]}" if found else "nvcc"

    @functools.cached_property
    def capabilities(self) -> Sequence[int]:
        words = build.run([self.path, "--list-gpu-arch"], build.VERSION_SECONDS).split()
        names = [word.removeprefix("compute_") for word in words]
        return sorted(int(name) for name in names if name.isdigit())

    def compile(self, program: Program, target: Target, folder: Path) -> bytes:
        for name, text in program.headers:
            (folder / name).write_text(text, "utf-8")
        (folder / "source.cu").write_text(program.text, "utf-8")
        kind = "--ptx" if target.ptx else "--cubin"
        # A host compiler that is newer than the toolkit has nothing to compile here.
        options = [target.option, *OPTIONS, *program.options, "-allow-unsupported-compiler"]
        build.run([self.path, kind, *options, "source.cu", "-o", "image"], NVCC_SECONDS, folder)
        return (folder / "image").read_bytes()


def compilers(major: int | None = None) -> list[Callable[[], Compiler]]:
    """The ways, in the order in which they are tried; each is found when it is called, or raises BuildError."""

    def with_nvrtc() -> Compiler:
        nvrtc(major)
        return NvrtcCompiler(major)

    return [with_nvrtc, lambda: NvccCompiler(_nvcc())]


def compile_all(programs: Sequence[Program], compiler: Compiler, capability: int) -> list[Image]:
    """Compile programs, or find them in the cache, at the same time as far as there are processors.

    Raises:
        BuildError: the compiler cannot, or does not know the GPU.
    """
    chosen = target(capability, compiler.capabilities, compiler.name)
    if len(programs) == 1:
        return [_image(programs[0], compiler, chosen)]
    with ThreadPoolExecutor(min(len(programs), os.cpu_count() or 1)) as pool:
        return list(pool.map(lambda program: _image(program, compiler, chosen), programs))


def target(capability: int, known: Sequence[int], name: str) -> Target:
    """Choose what to compile for: the GPU itself, or the newest that the compiler knows and that is older.

    Raises:
        BuildError: the GPU is too old.
    """
    usable = [one for one in known if one >= CAPABILITIES.start]
    if capability in usable:
        return Target(capability, ptx=False)
    older = [one for one in usable if one < capability]
    if not older:
        least = (min(usable) if usable else CAPABILITIES.start) / 10
        raise BuildError(
            f"the GPU has compute capability {capability / 10}, and {name} compiles kernels from {least} on; "
            f"an older version of CUDA may know more, from {CAPABILITIES.start / 10} on"
        )
    return Target(max(older), ptx=True)


def _image(program: Program, compiler: Compiler, chosen: Target) -> Image:
    def make(folder: Path) -> Path:
        content = compiler.compile(program, chosen, folder)
        made = folder / "finished"
        made.write_bytes(content)
        return made

    suffix = ".ptx" if chosen.ptx else ".cubin"
    path, origin = build.kept(f"{program.name}-{_key(program, compiler, chosen)}", suffix, make)
    return Image(path.read_bytes(), f"{compiler.name}, {origin}")


def _key(program: Program, compiler: Compiler, chosen: Target) -> str:
    digest = hashlib.sha256()
    parts = [compiler.key, chosen.option, *OPTIONS, *program.options, program.text]
    for part in [*parts, *(part for header in program.headers for part in header)]:
        digest.update(f"{len(part)}:{part}".encode())
    return digest.hexdigest()[:32]


def program(source: Path, folders: Sequence[Path] = (), *, name: str | None = None) -> Program:
    """A program from a source file and the files that it includes, which lie beside it or in `folders`."""
    return program_of(source.read_text("utf-8"), [source.parent, *folders], name=name or f"cuda-{source.stem}")


def program_of(
    text: str,
    folders: Sequence[Path],
    *,
    name: str,
    options: Sequence[str] = (),
    given: Mapping[str, str] = MappingProxyType({}),
    changed: Callable[[Path, str], str] = lambda path, text: text,
) -> Program:
    """A program from a text and the files that it includes.

    Args:
        text: the source.
        folders: folders of the files that it includes, directly or not.
        name: first part of the name of the cached file.
        options: further options of the compiler.
        given: names and texts of files that it includes and that are not in the folders.
        changed: change to the text of a file, before it is compiled.
    """
    headers = dict(given)
    waiting = [included for content in (text, *given.values()) for included in _INCLUDE.findall(content)]
    while waiting:
        wanted = waiting.pop()
        path = next((folder / wanted for folder in folders if (folder / wanted).is_file()), None)
        if path is not None and wanted not in headers:  # that of the emulation is not there
            headers[wanted] = changed(path, path.read_text("utf-8"))
            waiting += _INCLUDE.findall(headers[wanted])
    return Program(name, text, tuple(sorted(headers.items())), tuple(options))


def _nvcc() -> str:
    homes = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"]
    at_home = [str(Path(home, "bin", "nvcc")) for home in homes if home]
    wanted = [os.environ["NVCC"]] if os.environ.get("NVCC") else [*at_home[:-1], "nvcc", at_home[-1]]
    for name in wanted:
        found = shutil.which(name)
        if found is not None:
            return found
    raise BuildError(
        f"no CUDA compiler was found ({', '.join(wanted)}); install NVIDIA's CUDA toolkit, or set CUDA_HOME or NVCC"
    )
