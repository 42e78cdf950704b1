"""Builds the kernels in `csrc` on first use, into a per-user cache.

There are two libraries, one for the CPU and one for NVIDIA GPUs; a machine builds what it can use. A library's name
contains a digest of its inputs (sources, flags, compiler, chip) and the checksum of the library. It is built in a
private folder and renamed. So an interrupted build leaves nothing that could be loaded, two builds at once both
succeed, and no lock is needed. A file that does not match its checksum is built again.

A library is code, so it is loaded only from a folder that belongs to this user and that nobody else can write to. If
the cache is no such folder, libraries are built for this process only.
"""

import contextlib
import errno
import functools
import hashlib
import os
import platform
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).parent / "csrc"

FLAGS = ("-std=c++20", "-O3", "-march=native", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra")

CUDA_FLAGS = (
    "-std=c++17",
    "-O3",
    "-Xcompiler=-fPIC,-fvisibility=hidden,-Wall,-Wextra",
    "-allow-unsupported-compiler",  # one that is newer than the toolkit; what it compiles here is a few plain functions
)

CUDA_TARGETS = range(70, 121)
"""Compute capabilities times 10 that the kernels are written for: from Volta to Blackwell."""

VERSION_SECONDS = 20
"""Seconds that a compiler has to print its version."""

BUILD_SECONDS = 120
"""Most seconds for a build of the CPU kernels; two are usual."""

CUDA_BUILD_SECONDS = 60
"""Most seconds for a build of the CUDA kernels; six are usual, on one core and for one kind of GPU."""

LARGEST_LIBRARY = 1 << 28
"""Most bytes of a library that is read; ours have less than a thousandth of that."""

ABANDONED_SECONDS = 3600
"""Age in seconds after which a private folder belongs to a build that was killed."""


class BuildError(Exception):
    """The reason why there is no library, as a clause after "the compiled kernels cannot be used:"."""


@dataclass(frozen=True)
class Unit:
    """A source file that is compiled to an object file; one source may be compiled several times."""

    source: Path
    name: str
    """Name of the object file, without its suffix."""
    macros: tuple[str, ...] = ()
    """Macros, as NAME=VALUE."""


@dataclass(frozen=True)
class Recipe:
    """Everything that a library depends on."""

    name: str
    units: tuple[Unit, ...]
    headers: tuple[Path, ...]
    """Files that the units include."""
    compiler: str
    flags: tuple[str, ...]
    chip: str
    seconds: float
    """Time limit of the build."""
    texts: tuple[tuple[str, str], ...] = ()
    """Names and contents of further files that the units include, made anew for each build."""


def cpu_library() -> tuple[Path, str]:
    """The library of CPU kernels, built if necessary, and its origin.

    Raises:
        BuildError: it cannot be built here.
    """
    return native_library("cpu", _units("*.cpp"), _headers())


def native_library(
    name: str, units: Sequence[Unit], headers: Sequence[Path], flags: Sequence[str] = ()
) -> tuple[Path, str]:
    """A library for this processor, built if necessary, and its origin.

    Args:
        name: first word of the library's file name.
        units: what is compiled.
        headers: files that the units include; the library is built again when one of them changes.
        flags: further flags of the compiler.

    Raises:
        BuildError: it cannot be built here.
    """
    recipe = Recipe(name, tuple(units), tuple(headers), _compiler(), (*_cpu_flags(), *flags), chip(), BUILD_SECONDS)
    return _library(recipe)


def _units(pattern: str) -> tuple[Unit, ...]:
    return tuple(Unit(path, path.stem) for path in sorted(SOURCES.glob(pattern)))


def _headers() -> tuple[Path, ...]:
    return tuple(sorted(SOURCES.glob("*.h")))


def cuda_library(capabilities: Sequence[int]) -> tuple[Path, str]:
    """The library of CUDA kernels, built if necessary, and its origin.

    Args:
        capabilities: the GPUs' compute capabilities times 10: 90 for an H200.

    Raises:
        BuildError: it cannot be built here.
    """
    return gpu_library("cuda", _units("*.cu"), _headers(), capabilities)


def gpu_library(
    name: str,
    units: Sequence[Unit],
    headers: Sequence[Path],
    capabilities: Sequence[int],
    flags: Sequence[str] = (),
    texts: Sequence[tuple[str, str]] = (),
) -> tuple[Path, str]:
    """A library for NVIDIA GPUs, built if necessary, and its origin. Its units may include the headers in `csrc`.

    Args:
        name: first word of the library's file name.
        units: what is compiled.
        headers: files that the units include; the library is built again when one of them changes.
        capabilities: the GPUs' compute capabilities times 10: 90 for an H200.
        flags: further flags of the compiler.
        texts: names and contents of further files that the units include.

    Raises:
        BuildError: it cannot be built here.
    """
    compiler = _cuda_compiler()
    known = _known_capabilities(compiler)
    targets = [_cuda_target(capability, known) for capability in sorted(set(capabilities))]
    every = (*CUDA_FLAGS, *flags, *targets)
    return _library(
        Recipe(
            name, tuple(units), tuple(headers), compiler, every, platform.machine(), CUDA_BUILD_SECONDS, tuple(texts)
        )
    )


def cuda_capabilities() -> list[int]:
    """Compute capabilities in `CUDA_TARGETS` that the installed CUDA compiler knows, in ascending order.

    Raises:
        BuildError: there is no CUDA compiler.
    """
    return [capability for capability in _known_capabilities(_cuda_compiler()) if capability in CUDA_TARGETS]


def _library(recipe: Recipe) -> tuple[Path, str]:
    key = _key(recipe)
    cache = cache_folder()
    try:
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_private(cache)
        found = _cached(cache, f"{recipe.name}-{key}")
        if found is not None:
            return found, f"from {cache}"
        _sweep(cache)
        folder = Path(tempfile.mkdtemp(prefix="build-", dir=cache))
    except OSError as error:
        return _build_for_this_process(recipe, f"{cache} cannot be written ({error.strerror})")
    try:
        built = _build(folder, recipe)
        checksum = hashlib.sha256(built.read_bytes()).hexdigest()[:32]
        final = cache / f"{recipe.name}-{key}-{checksum}.so"
        built.replace(final)  # a library in use keeps its old file
    except OSError as error:
        return _build_for_this_process(recipe, f"{cache} cannot be written ({error.strerror})")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return final, f"built now, kept in {cache}"


def cache_folder() -> Path:
    """Folder in the user's cache in which libraries are kept."""
    from platformdirs import user_cache_path

    return user_cache_path("stylegan_ops")


def chip() -> str:
    """Name and features of the processor, on which `-march=native` depends."""
    facts = [platform.machine(), platform.processor()]
    with contextlib.suppress(OSError):
        wanted = ("model name", "flags", "Features", "CPU implementer", "CPU part")
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").split("\n\n")[0].splitlines()
        facts += [line for line in lines if line.startswith(wanted)]
    return "\n".join(facts)


def _key(recipe: Recipe) -> str:
    digest = hashlib.sha256()
    for part in [_version(recipe.compiler), *recipe.flags, recipe.chip]:
        digest.update(os.fsencode(part) + b"\0")
    for unit in recipe.units:
        digest.update("\0".join((unit.name, unit.source.name, *unit.macros, "")).encode())
    for path in [*recipe.headers, *dict.fromkeys(unit.source for unit in recipe.units)]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    for name, text in recipe.texts:
        digest.update(f"{name}\0{text}\0".encode())
    return digest.hexdigest()[:32]


def _cached(cache: Path, prefix: str) -> Path | None:
    """A cached library whose checksum matches its name; None if there is none."""
    for path in sorted(cache.glob(f"{prefix}-*.so")):
        if (content := _content(path)) is not None:
            if hashlib.sha256(content).hexdigest().startswith(path.stem.rpartition("-")[2]):
                return path
            path.unlink(missing_ok=True)
    return None


def _content(path: Path) -> bytes | None:
    """Content of a library; None unless it is a regular file of this user with a single name."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        with os.fdopen(os.open(path, flags), "rb") as file:
            status = os.fstat(file.fileno())
            plain = stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and status.st_size <= LARGEST_LIBRARY
            return file.read() if plain and _is_ours(status) else None
    except OSError:
        return None


def _make_private(cache: Path) -> None:
    """Make sure that nobody else can write to the cache; raise PermissionError if somebody can."""
    status = cache.stat()
    if not _is_ours(status):
        raise PermissionError(errno.EPERM, "it belongs to another user")
    if os.name == "posix" and status.st_mode & 0o022:
        cache.chmod(0o700)
        if cache.stat().st_mode & 0o022:
            raise PermissionError(errno.EPERM, "others can write to it")


def _is_ours(status: os.stat_result) -> bool:
    return not hasattr(os, "geteuid") or status.st_uid == os.geteuid()


def _sweep(cache: Path) -> None:
    """Remove the private folders of builds that were killed."""
    for folder in cache.glob("build-*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > ABANDONED_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def _build_for_this_process(recipe: Recipe, reason: str) -> tuple[Path, str]:
    """Build in a temporary folder that is removed when the process ends."""
    try:
        folder = Path(tempfile.mkdtemp(dir=_temporary().name))
        return _build(folder, recipe), f"built for this process alone: {reason}"
    except OSError as error:
        raise BuildError(f"{reason}, and neither can {tempfile.gettempdir()} ({error.strerror})") from error


@functools.cache
def _temporary() -> tempfile.TemporaryDirectory[str]:
    # Held until the interpreter ends, then removed.
    return tempfile.TemporaryDirectory(prefix="stylegan_ops-", ignore_cleanup_errors=True)


def _compiler() -> str:
    wanted = [os.environ["CXX"]] if os.environ.get("CXX") else ["c++", "g++", "clang++"]
    for name in wanted:
        found = shutil.which(name)
        if found is not None:
            return found
    raise BuildError(f"no C++ compiler was found ({', '.join(wanted)}); install g++ or clang++, or set CXX")


def _cuda_compiler() -> str:
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


def _known_capabilities(compiler: str) -> list[int]:
    """Compute capabilities times 10 that a CUDA compiler knows, and the kernels too, in ascending order."""
    words = _run([compiler, "--list-gpu-arch"], VERSION_SECONDS).split()
    names = [word.removeprefix("compute_") for word in words]
    known = sorted(int(name) for name in names if name.isdigit() and int(name) >= CUDA_TARGETS.start)
    if not known:
        raise BuildError(f"{compiler} knows no compute capability from {CUDA_TARGETS.start / 10} on")
    return known


def _cuda_target(capability: int, known: Sequence[int]) -> str:
    """Compiler flag for a GPU: its machine code, or, with an older compiler, code that the driver translates."""
    if capability in known:
        return f"-gencode=arch=compute_{capability},code=sm_{capability}"
    if capability < known[0]:
        raise BuildError(
            f"the GPU has compute capability {capability / 10}, and kernels can be compiled from {known[0] / 10} on; "
            f"an older CUDA toolkit may know more, from {CUDA_TARGETS.start / 10} on"
        )
    older = max(other for other in known if other < capability)
    return f"-gencode=arch=compute_{older},code=compute_{older}"


def _cpu_flags() -> tuple[str, ...]:
    # PyTorch on macOS brings no OpenMP that the system's compiler could share.
    return (*FLAGS, *(() if platform.system() == "Darwin" else ("-fopenmp",)))


def _version(compiler: str) -> str:
    return _run([compiler, "--version"], VERSION_SECONDS)


def _ninja() -> str:
    with contextlib.suppress(ImportError):
        import ninja

        return str(Path(ninja.BIN_DIR) / "ninja")
    found = shutil.which("ninja")
    if found is None:
        raise BuildError("ninja was not found; pip install ninja")
    return found


def _build(folder: Path, recipe: Recipe) -> Path:
    """Compile the sources in a private folder and return the library."""
    objects = [f"{unit.name}.o" for unit in recipe.units]
    lines = [
        f"flags = {' '.join(recipe.flags)}",
        f"folders = -I. {_quoted(f'-I{SOURCES}')}",
        "rule compile",
        f"  command = {_quoted(recipe.compiler)} $flags $folders $macros -c $in -o $out",
        "rule link",
        f"  command = {_quoted(recipe.compiler)} $flags -shared $in -o $out",
        *(line for name, unit in zip(objects, recipe.units, strict=True) for line in _compiled(name, unit)),
        f"build kernels.so: link {' '.join(objects)}",
    ]
    for name, text in recipe.texts:
        (folder / name).write_text(text, "utf-8")
    (folder / "build.ninja").write_bytes(os.fsencode("\n".join(lines) + "\n"))
    _run([_ninja(), "-C", str(folder)], recipe.seconds)
    return folder / "kernels.so"


def _compiled(name: str, unit: Unit) -> list[str]:
    macros = " ".join(_quoted(f"-D{macro}") for macro in unit.macros)
    return [f"build {name}: compile {_escaped(unit.source)}", f"  macros = {macros}"]


def _escaped(path: Path) -> str:
    return str(path).replace("$", "$$").replace(" ", "$ ").replace(":", "$:")


def _quoted(command: str) -> str:
    return "'" + command.replace("$", "$$").replace("'", "'\\''") + "'"


def _run(command: Sequence[str], seconds: float) -> str:
    """Run a command with a time limit and return its output."""
    name = Path(command[0]).name
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise BuildError(f"{command[0]} cannot be run ({error.strerror})") from error
    with process:
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # its children too
            raise BuildError(f"{name} did not end within {seconds:g} s") from None
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode:
        raise BuildError(f"{name} failed with status {process.returncode}: {_telling(output)}")
    return output


def _telling(output: str) -> str:
    """The most informative line of a compiler's output."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or ["no output"])[0]
