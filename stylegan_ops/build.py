"""Builds the kernels in `csrc` on first use, into a per-user cache, so that nothing can go wrong for long.

A library's name holds what went into it (sources, flags, compiler, chip) and the checksum of what came out. It is made
in a private folder and renamed into place: an interrupted build leaves nothing that anyone would load, two processes
at once both succeed, and there is no lock to be left behind. A file that does not match its checksum is made anew.
"""

import contextlib
import functools
import hashlib
import os
import platform
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

SOURCES = Path(__file__).parent / "csrc"

FLAGS = ("-std=c++20", "-O3", "-march=native", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra")

VERSION_SECONDS = 20
"""A compiler that does not tell its version in this time will not compile either."""

BUILD_SECONDS = 120
"""Two seconds are usual."""

ABANDONED_SECONDS = 3600
"""Private folders older than this belong to builds that were killed."""


class BuildError(Exception):
    """Why there is no library: a clause that continues "the compiled kernels cannot be used:"."""


def cpu_library() -> tuple[Path, str]:
    """The library of CPU kernels, built if need be, and where it came from.

    Raises:
        BuildError: it cannot be built here.
    """
    return _library("cpu", sorted(SOURCES.glob("*.cpp")), _compiler(), _cpu_flags(), chip())


def _library(name: str, sources: Sequence[Path], compiler: str, flags: Sequence[str], target: str) -> tuple[Path, str]:
    key = _key(sources, (_version(compiler), *flags, target))
    cache = cache_folder()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        found = _cached(cache, f"{name}-{key}")
        if found is not None:
            return found, f"from {cache}"
        _sweep(cache)
        folder = Path(tempfile.mkdtemp(prefix="build-", dir=cache))
    except OSError as error:
        return _build_for_this_process(sources, compiler, flags, f"{cache} cannot be written ({error.strerror})")
    try:
        built = _build(folder, sources, compiler, flags)
        checksum = hashlib.sha256(built.read_bytes()).hexdigest()[:32]
        final = cache / f"{name}-{key}-{checksum}.so"
        built.replace(final)  # a library in use keeps its old file
    except OSError as error:
        return _build_for_this_process(sources, compiler, flags, f"{cache} cannot be written ({error.strerror})")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return final, f"built now, kept in {cache}"


def cache_folder() -> Path:
    """Where libraries are kept: the user's cache."""
    from platformdirs import user_cache_path

    return user_cache_path("stylegan_ops")


def chip() -> str:
    """What `-march=native` depends on: the processor's name and abilities."""
    facts = [platform.machine(), platform.processor()]
    with contextlib.suppress(OSError):
        wanted = ("model name", "flags", "Features", "CPU implementer", "CPU part")
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
        facts += [line for line in lines if line.startswith(wanted)]
    return "\n".join(facts)


def _key(sources: Sequence[Path], facts: Sequence[str]) -> str:
    digest = hashlib.sha256()
    headers = sorted(SOURCES.glob("*.h"))
    for part in [*facts, *(text for path in [*headers, *sources] for text in (path.name, path.read_text()))]:
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()[:32]


def _cached(cache: Path, prefix: str) -> Path | None:
    """A library whose content is what its name says."""
    for path in sorted(cache.glob(f"{prefix}-*.so")):
        if hashlib.sha256(path.read_bytes()).hexdigest().startswith(path.stem.rpartition("-")[2]):
            return path
        path.unlink(missing_ok=True)
    return None


def _sweep(cache: Path) -> None:
    """Remove the private folders of builds that were killed."""
    for folder in cache.glob("build-*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > ABANDONED_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def _build_for_this_process(
    sources: Sequence[Path], compiler: str, flags: Sequence[str], reason: str
) -> tuple[Path, str]:
    """Build in a temporary folder that goes when the process ends."""
    try:
        # Held until the interpreter ends, then removed.
        folder = _temporary_folder()
        return _build(folder, sources, compiler, flags), f"built for this process alone: {reason}"
    except OSError as error:
        raise BuildError(f"{reason}, and neither can {tempfile.gettempdir()} ({error.strerror})") from error


@functools.cache
def _temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="stylegan_ops-", ignore_cleanup_errors=True)


def _temporary_folder() -> Path:
    return Path(_temporary().name)


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


def _build(folder: Path, sources: Sequence[Path], compiler: str, flags: Sequence[str]) -> Path:
    """Compile the sources in a folder of our own; returns the library."""
    objects = [f"{source.stem}.o" for source in sources]
    lines = [
        f"flags = {' '.join(flags)}",
        "rule compile",
        f"  command = {_quoted(compiler)} $flags -c $in -o $out",
        "rule link",
        f"  command = {_quoted(compiler)} $flags -shared $in -o $out",
        *(f"build {name}: compile {_escaped(source)}" for name, source in zip(objects, sources, strict=True)),
        f"build kernels.so: link {' '.join(objects)}",
    ]
    (folder / "build.ninja").write_text("\n".join(lines) + "\n")
    _run([_ninja(), "-C", str(folder)], BUILD_SECONDS)
    return folder / "kernels.so"


def _escaped(path: Path) -> str:
    return str(path).replace("$", "$$").replace(" ", "$ ").replace(":", "$:")


def _quoted(command: str) -> str:
    return "'" + command.replace("$", "$$").replace("'", "'\\''") + "'"


def _run(command: Sequence[str], seconds: float) -> str:
    """Run a command to its end or to the limit; returns what it printed."""
    name = Path(command[0]).name
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
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
    """The line of a compiler's output that says most."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or ["no output"])[0]
