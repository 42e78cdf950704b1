"""Builds the CPU kernels in `csrc` on first use, into a per-user cache; `cuda_build` keeps what it makes there too.

A file's name contains a digest of its inputs (sources, flags, compiler, chip) and the checksum of the file. It is made
in a private folder and renamed. So an interrupted build leaves nothing that could be loaded, two builds at once both
succeed, and no lock is needed. A file that does not match its checksum is made again.

What is kept is code, so it is loaded only from a folder that belongs to this user and that nobody else can write to. If
the cache is no such folder, files are made for this process only.
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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).parent / "csrc"

FLAGS = ("-std=c++20", "-O3", "-march=native", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra")

VERSION_SECONDS = 20
"""Seconds that a compiler has to print its version."""

BUILD_SECONDS = 120
"""Most seconds for a build of the CPU kernels; two are usual."""

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


def _library(recipe: Recipe) -> tuple[Path, str]:
    return kept(f"{recipe.name}-{_key(recipe)}", ".so", lambda folder: _build(folder, recipe))


def kept(name: str, suffix: str, make: Callable[[Path], Path]) -> tuple[Path, str]:
    """A file of the cache, made if it is not there or damaged, and where it came from.

    Args:
        name: first part of the file's name, which contains a digest of everything that decides about its content.
        suffix: suffix of the file's name.
        make: function that makes the file in a private folder and returns its path.

    Raises:
        BuildError: it can neither be kept nor made in a temporary folder; or `make` raises it.
    """
    cache = cache_folder()
    try:
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_private(cache)
        found = _cached(cache, name, suffix)
        if found is not None:
            return found, f"from {cache}"
        _sweep(cache)
        folder = Path(tempfile.mkdtemp(prefix="build-", dir=cache))
    except OSError as error:
        return _make_for_this_process(make, f"{cache} cannot be written ({error.strerror})")
    try:
        made = make(folder)
        checksum = hashlib.sha256(made.read_bytes()).hexdigest()[:32]
        final = cache / f"{name}-{checksum}{suffix}"
        made.replace(final)  # one in use keeps its old file
    except OSError as error:
        return _make_for_this_process(make, f"{cache} cannot be written ({error.strerror})")
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
    for part in [version_of(recipe.compiler), *recipe.flags, recipe.chip]:
        digest.update(os.fsencode(part) + b"\0")
    for unit in recipe.units:
        digest.update("\0".join((unit.name, unit.source.name, *unit.macros, "")).encode())
    for path in [*recipe.headers, *dict.fromkeys(unit.source for unit in recipe.units)]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:32]


def _cached(cache: Path, name: str, suffix: str) -> Path | None:
    """A cached file whose checksum matches its name; None if there is none."""
    for path in sorted(cache.glob(f"{name}-*{suffix}")):
        if (content := _content(path)) is not None:
            if hashlib.sha256(content).hexdigest().startswith(path.stem.rpartition("-")[2]):
                return path
            path.unlink(missing_ok=True)
    return None


def _content(path: Path) -> bytes | None:
    """Content of a kept file; None unless it is a regular file of this user with a single name."""
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


def _make_for_this_process(make: Callable[[Path], Path], reason: str) -> tuple[Path, str]:
    """Make a file in a temporary folder that is removed when the process ends."""
    try:
        folder = Path(tempfile.mkdtemp(dir=_temporary().name))
        return make(folder), f"built for this process alone: {reason}"
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


def _cpu_flags() -> tuple[str, ...]:
    # PyTorch on macOS brings no OpenMP that the system's compiler could share.
    return (*FLAGS, *(() if platform.system() == "Darwin" else ("-fopenmp",)))


def version_of(compiler: str) -> str:
    """What a compiler says of its version."""
    return run([compiler, "--version"], VERSION_SECONDS)


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
    (folder / "build.ninja").write_bytes(os.fsencode("\n".join(lines) + "\n"))
    run([_ninja(), "-C", str(folder)], recipe.seconds)
    return folder / "kernels.so"


def _compiled(name: str, unit: Unit) -> list[str]:
    macros = " ".join(_quoted(f"-D{macro}") for macro in unit.macros)
    return [f"build {name}: compile {_escaped(unit.source)}", f"  macros = {macros}"]


def _escaped(path: Path) -> str:
    return str(path).replace("$", "$$").replace(" ", "$ ").replace(":", "$:")


def _quoted(command: str) -> str:
    return "'" + command.replace("$", "$$").replace("'", "'\\''") + "'"


def run(command: Sequence[str], seconds: float, folder: Path | None = None) -> str:
    """Run a command with a time limit, in a folder, and return its output.

    Raises:
        BuildError: it cannot be run, fails or takes too long.
    """
    name = Path(command[0]).name
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
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
            _kill(process)
            raise BuildError(f"{name} did not end within {seconds:g} s") from None
        except BaseException:
            _kill(process)
            raise
    if process.returncode:
        raise BuildError(f"{name} failed with status {process.returncode}: {_telling(output)}")
    return output


def _kill(process: subprocess.Popen[str]) -> None:
    """Kill a process, and its children where the system has groups of processes."""
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def _telling(output: str) -> str:
    """The most informative line of a compiler's output."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or ["no output"])[0]
