"""Builds meet faults: whatever happens, the next process finds a sound library or a sentence that says why not."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from stylegan_ops import Generator, StyleGANError, build, kernels, op_status

needs_compiler = pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")

# Without the package, whose import of PyTorch would take most of the time.
SCRIPT = """
import importlib.util, pathlib, sys
spec = importlib.util.spec_from_file_location("build", sys.argv[1])
build = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build)
build.SOURCES = pathlib.Path(sys.argv[2])
print(build.cpu_library()[0])
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and one small source to compile."""
    sources = tmp_path / "sources: $1 'of' two"  # what a shell and ninja would trip over
    sources.mkdir()
    (sources / "answer.cpp").write_text('#include "answer.h"\nextern "C" __attribute__((visibility("default"))) '
                                        "int answer() { return ANSWER; }\n")  # fmt: skip
    (sources / "answer.h").write_text("#define ANSWER 42\n")
    monkeypatch.setattr(build, "SOURCES", sources)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CXX", raising=False)
    return build.cache_folder()


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """The kernels are looked for again, in this test and after it."""
    kernels._cpu_kernels.cache_clear()
    yield
    monkeypatch.undo()
    kernels._cpu_kernels.cache_clear()


def answer(path: Path) -> int:
    return int(ctypes.CDLL(str(path)).answer())


def other_process(**environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, str(build.__file__), str(build.SOURCES)]
    return subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.PIPE, text=True)


def script(path: Path, *lines: str) -> str:
    path.write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
    path.chmod(0o755)
    return str(path)


@needs_compiler
def test_a_library_is_built_once(cache: Path) -> None:
    path, source = build.cpu_library()
    assert answer(path) == 42 and path.parent == cache and source == f"built now, kept in {cache}"
    before = path.stat().st_mtime_ns
    assert build.cpu_library() == (path, f"from {cache}")
    assert path.stat().st_mtime_ns == before
    assert list(cache.iterdir()) == [path]


@needs_compiler
def test_what_goes_in_names_what_comes_out(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = {build.cpu_library()[0]}
    (build.SOURCES / "answer.h").write_text("#define ANSWER 43\n")
    paths.add(build.cpu_library()[0])
    assert answer(build.cpu_library()[0]) == 43
    monkeypatch.setattr(build, "chip", lambda: "another")
    paths.add(build.cpu_library()[0])
    monkeypatch.setattr(build, "FLAGS", ("-O1", "-fPIC"))
    paths.add(build.cpu_library()[0])
    compiler = shutil.which("c++")
    other = script(cache.parent / "other", 'case "$1" in --version) echo 99;; *) exec ' + f'{compiler} "$@";; esac')
    monkeypatch.setenv("CXX", other)
    paths.add(build.cpu_library()[0])
    assert len(paths) == 5


@needs_compiler
def test_two_processes_at_once(cache: Path) -> None:
    processes = [other_process() for _ in range(3)]
    paths = {process.communicate(timeout=600)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert {str(path) for path in cache.iterdir()} == paths
    assert answer(Path(paths.pop())) == 42


@needs_compiler
def test_killed_in_the_middle(cache: Path, tmp_path: Path) -> None:
    started = tmp_path / "started"
    slow = script(tmp_path / "slow", f'case "$1" in --version) echo 1;; *) echo $$ >"{started}"; exec sleep 500;; esac')
    process = other_process(CXX=slow)
    while not (started.exists() and started.read_text().endswith("\n")):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate()
    os.killpg(os.getpgid(int(started.read_text())), signal.SIGKILL)  # the compiler and ninja too
    assert [path.name[:6] for path in cache.iterdir()] == ["build-"]  # nothing that anyone would load
    assert answer(build.cpu_library()[0]) == 42
    left = next(cache.glob("build-*"))
    os.utime(left, (0, 0))
    (build.SOURCES / "answer.h").write_text("#define ANSWER 44\n")
    assert answer(build.cpu_library()[0]) == 44
    assert not left.exists()


@needs_compiler
@pytest.mark.parametrize("damage", ["cut", "turned", "emptied"])
def test_a_damaged_library_is_made_anew(cache: Path, damage: str) -> None:
    path, _ = build.cpu_library()
    whole = path.read_bytes()
    middle = len(whole) // 2
    turned = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    path.write_bytes({"cut": whole[:middle], "turned": turned, "emptied": b""}[damage])
    found, source = build.cpu_library()
    assert source.startswith("built now") and found.read_bytes() == whole


@needs_compiler
def test_a_cache_that_cannot_be_written(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("in the way")
    path, source = build.cpu_library()
    assert answer(path) == 42
    assert source.startswith(f"built for this process alone: {cache} cannot be written (")


def test_no_compiler(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(build.BuildError, match=r"no C\+\+ compiler was found \(c\+\+, g\+\+, clang\+\+\); install"):
        build.cpu_library()
    monkeypatch.setenv("CXX", "/nowhere/c++")
    with pytest.raises(build.BuildError, match=r"no C\+\+ compiler was found \(/nowhere/c\+\+\)"):
        build.cpu_library()


def test_a_compiler_that_hangs(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "VERSION_SECONDS", 0.2)
    monkeypatch.setenv("CXX", script(tmp_path / "hangs", "sleep 60"))
    with pytest.raises(build.BuildError, match=r"hangs did not end within 0\.2 s"):
        build.cpu_library()
    monkeypatch.setattr(build, "VERSION_SECONDS", 60)
    monkeypatch.setattr(build, "BUILD_SECONDS", 0.5)
    monkeypatch.setenv("CXX", script(tmp_path / "later", 'case "$1" in --version) echo 1;; *) sleep 60;; esac'))
    with pytest.raises(build.BuildError, match=r"ninja did not end within 0\.5 s"):
        build.cpu_library()
    assert list(cache.iterdir()) == []


def test_a_failing_build_costs_one_warning(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: None
) -> None:
    failing = script(tmp_path / "fails", 'case "$1" in --version) echo 1;; *) echo error: no such luck; exit 3;; esac')
    monkeypatch.setenv("CXX", failing)
    options = {"img_resolution": 8, "channel_base": 64, "z_dim": 8, "w_dim": 8, "mapping_layers": 1, "seed": 0}
    with pytest.warns(RuntimeWarning) as caught:
        generators = [Generator.random(**options) for _ in range(2)]
    assert len(caught) == 1
    message = str(caught[0].message)
    assert all(part in message for part in ("ninja failed with status", "error: no such luck", "half the speed"))
    assert not any(generator.compiled for generator in generators)
    assert generators[0].synthesis(torch.zeros(1, 4, 8)).shape == (1, 3, 8, 8)
    assert {status.implementation for status in op_status()} == {"reference"}
    assert any("no such luck" in status.reason for status in op_status())
    with pytest.raises(StyleGANError, match=r"asked for and cannot be used: ninja failed.*no such luck"):
        Generator.random(**options, implementation="compiled")


def test_the_path_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"img_resolution": 8, "channel_base": 64, "z_dim": 8, "w_dim": 8, "mapping_layers": 1, "seed": 0}
    if kernels.cpu_kernels().library is not None:
        assert Generator.random(**options).compiled
        assert {status.implementation for status in op_status()} == {"compiled", "reference"}
    monkeypatch.setenv("STYLEGAN_OPS", "reference")
    assert not Generator.random(**options).compiled
    assert {status.implementation for status in op_status()} == {"reference"}
    if kernels.cpu_kernels().library is not None:
        assert Generator.random(**options, implementation="compiled").compiled
    with pytest.raises(StyleGANError, match="there are none for float16 on cpu"):
        Generator.random(**options, dtype=torch.float16, implementation="compiled")
    monkeypatch.setenv("STYLEGAN_OPS", "fast")
    with pytest.raises(StyleGANError, match="variable STYLEGAN_OPS is 'fast'; give auto, reference or compiled"):
        Generator.random(**options)
    assert any("'fast'" in status.reason for status in op_status())


# --- a library is code: whose is it? ---------------------------------------------------------------------------------


def planted(cache: Path, content: bytes) -> Path:
    """A file under a name that would be loaded: its checksum is right."""
    built = build.cpu_library()[0]
    built.unlink()
    stem = built.stem.rpartition("-")[0]
    return cache / f"{stem}-{hashlib.sha256(content).hexdigest()[:32]}.so"


@needs_compiler
@pytest.mark.parametrize("kind", ["pipe", "folder", "link", "another name", "endless", "another user's"])
def test_libraries_that_are_no_files_of_ours_are_not_loaded(cache: Path, tmp_path: Path, kind: str) -> None:
    path, outside = planted(cache, b"theirs"), tmp_path / "theirs"
    outside.write_bytes(b"theirs")
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "link":
            path.symlink_to(outside)
        case "another name":
            os.link(outside, path)
        case "endless":
            path.symlink_to("/dev/zero")
        case _:
            if os.geteuid():
                pytest.skip("makes files of other users")
            path.write_bytes(b"theirs")
            os.chown(path, 65534, 65534)
    assert answer(build.cpu_library()[0]) == 42


@needs_compiler
def test_a_cache_that_others_can_write_to_is_closed(cache: Path) -> None:
    build.cpu_library()
    cache.chmod(0o777)
    assert answer(build.cpu_library()[0]) == 42
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700


@needs_compiler
@pytest.mark.skipif(os.geteuid() != 0, reason="makes files of other users")
def test_a_cache_of_another_user_is_left_alone(cache: Path) -> None:
    build.cpu_library()
    os.chown(cache, 65534, 65534)
    path, where = build.cpu_library()
    assert path.parent != cache and "belongs to another user" in where
