"""NVRTC, NVIDIA's compiler as a library: compiles CUDA sources on machines that have no toolkit.

PyTorch's builds for GPUs bring it. It has no headers, not even those of the C++ library, so the sources include only
what is handed over with them.
"""

import ctypes
import functools
import importlib.util
import os
import re
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stylegan_ops.build import BuildError

LARGEST_IMAGE = 1 << 28
"""Most bytes of a compiled kernel or of a compiler's log; ours have less than a hundredth of that."""

_FILES = re.compile(r"(libnvrtc(-[0-9a-f]+)?\.so(\.\d+)*|nvrtc64_\d+_\d+\.dll|libnvrtc\.dylib)")


class Nvrtc:
    """A loaded library of NVRTC."""

    def __init__(self, path: str) -> None:
        """Load the library.

        Raises:
            BuildError: it cannot be loaded, or is too old.
        """
        self.path = path
        self._lock = threading.Lock()
        try:
            self._library = ctypes.CDLL(path)
            major, minor, count = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
            self._call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
            self._call("nvrtcGetNumSupportedArchs", ctypes.byref(count))
            known = (ctypes.c_int * count.value)()
            self._call("nvrtcGetSupportedArchs", known)
        except (OSError, AttributeError) as error:
            raise BuildError(f"{path} cannot be used ({error})") from error
        self.version = (major.value, minor.value)
        self.capabilities = sorted(known)
        """Compute capabilities times 10 that it knows, in ascending order."""

    @property
    def name(self) -> str:
        """Name and version, for messages and for the names of cached files."""
        return f"NVRTC {self.version[0]}.{self.version[1]}"

    def compile(self, text: str, headers: Mapping[str, str], options: Sequence[str], *, ptx: bool) -> bytes:
        """Compile a source to machine code, or to PTX.

        Args:
            text: the source.
            headers: names and texts of all files that it includes.
            options: options of the compiler, the architecture among them.
            ptx: whether PTX is wanted.

        Raises:
            BuildError: the source is wrong, or an option is.
        """
        program = ctypes.c_void_p()
        names = (ctypes.c_char_p * len(headers))(*(name.encode() for name in headers))
        texts = (ctypes.c_char_p * len(headers))(*(content.encode() for content in headers.values()))
        words = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        source, address = ctypes.c_char_p(text.encode()), ctypes.byref(program)
        self._call("nvrtcCreateProgram", address, source, b"source.cu", len(headers), texts, names)
        try:
            code = self._library.nvrtcCompileProgram(program, len(options), words)
            if code:
                raise BuildError(f"{self.name} failed: {_telling(self._read(program, 'ProgramLog'), self._said(code))}")
            return self._read(program, "PTX" if ptx else "CUBIN")
        finally:
            self._library.nvrtcDestroyProgram(address)

    def _read(self, program: ctypes.c_void_p, what: str) -> bytes:
        size = ctypes.c_size_t()
        self._call(f"nvrtcGet{what}Size", program, ctypes.byref(size))
        if size.value > LARGEST_IMAGE:
            raise BuildError(f"{self.name} made {size.value} bytes")
        content = ctypes.create_string_buffer(size.value)
        self._call(f"nvrtcGet{what}", program, content)
        return content.raw

    def _call(self, name: str, *arguments: Any) -> None:
        code = getattr(self._library, name)(*arguments)
        if code:
            raise BuildError(f"{name} of {self.path} says {self._said(code)}")

    def _said(self, code: int) -> str:
        self._library.nvrtcGetErrorString.restype = ctypes.c_char_p
        return str((self._library.nvrtcGetErrorString(code) or b"").decode(errors="replace"))


def nvrtc(major: int | None = None) -> Nvrtc:
    """The NVRTC of this machine.

    Args:
        major: major version of CUDA that PyTorch, and so the driver, is known to work with; a library of this version
            is taken if there is one. None: the newest.

    Raises:
        BuildError: there is none, or none that can be loaded.
    """
    return _nvrtc(major, tuple(dict.fromkeys(candidates(major))))


@functools.lru_cache(4)
def _nvrtc(major: int | None, paths: tuple[str, ...]) -> Nvrtc:
    reasons = []
    for path in paths:
        try:
            return Nvrtc(path)
        except BuildError as error:
            reasons.append(str(error))
    told = f" ({reasons[0]})" if any("/" in path or "\\" in path for path in paths) else ""
    raise BuildError(f"NVRTC was not found{told}; PyTorch's build for GPUs brings it")


def candidates(major: int | None) -> Iterator[str]:
    """Paths, and at last bare names, under which NVRTC may be found, the best first."""
    found = [
        path for folder in _folders() if folder.is_dir() for path in folder.iterdir() if _FILES.fullmatch(path.name)
    ]
    found.sort(key=lambda path: (_major(path) != major, -_major(path)))
    yield from map(str, found)
    for number in [13, 12] if major is None else [major]:
        yield f"nvrtc64_{number}0_0.dll" if sys.platform == "win32" else f"libnvrtc.so.{number}"


def _folders() -> Iterator[Path]:
    """Folders in which wheels, conda and toolkits keep libraries."""
    for package in ("nvidia", "torch"):
        spec = importlib.util.find_spec(package)
        for place in (spec.submodule_search_locations or []) if spec else []:
            yield from Path(place).glob("*/lib" if package == "nvidia" else "lib")
            yield from Path(place).glob("*/bin/x86_64") if package == "nvidia" else ()
            yield from Path(place).glob("*/bin") if package == "nvidia" else ()
    homes = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"]
    for home in [sys.prefix, *(home for home in homes if home)]:
        yield from (Path(home, name) for name in ("lib64", "lib", "bin"))


def _major(path: Path) -> int:
    """Major version in a library's name; 0 if there is none."""
    if found := re.search(r"\.so\.(\d+)", path.name):
        return int(found[1])
    found = re.search(r"nvrtc64_(\d+)\d_", path.name)
    return int(found[1]) if found else 0


def _telling(log: bytes, otherwise: str) -> str:
    """The most informative line of a compiler's log."""
    lines = [line.strip() for line in log.rstrip(b"\0").decode(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line]
    return (errors or lines or [otherwise])[0]
