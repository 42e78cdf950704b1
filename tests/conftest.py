"""What every room's tests share."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import signal
import sys
import tempfile
from multiprocessing import forkserver
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from depth import PROFILE
from hypothesis import HealthCheck, settings
from once import FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from audioreactive.features import Features


# The training and the fuzzer are not installed; they are found beside the tests, after everything that is.
sys.path.append(str(Path(__file__).parents[1]))

# Read when PyTorch is imported, here and in the programs that tests start. Tests of threads set their number; where
# there are more threads than cores, they should not wait for each other at full speed.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Tests are compiled when they are first read, and so is the program by each of some hundred processes that tests start:
# once is enough, also where the machine keeps no bytecode by itself.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Programs in the background are started deaf to interrupts; some tests send them.
signal.signal(signal.SIGINT, signal.default_int_handler)


# A busy machine takes its time for an example.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", settings.get_profile("patient"), max_examples=1000)
settings.load_profile(PROFILE)


QUICK = (
    "chunks/test_plan.py",
    "commands/test_help.py",
    "commands/test_inputs.py",
    "commands/test_numbers.py",
    "correlation/test_matrices.py",
    "features/test_grid.py",
    "features/test_metre.py",
    "features/test_scaling.py",
    "features/test_separation.py",
    "features/test_structure.py",
    "flashes/test_definition.py",
    "flashes/test_programme.py",
    "generators/test_canvas.py",
    "generators/test_devices.py",
    "generators/test_pixels.py",
    "generators/test_sources.py",
    "generators/test_stylegan2.py",
    "hostile/test_presets.py",
    "learn/test_generators.py",
    "learn/test_legendre.py",
    "learn/test_losses.py",
    "learn/test_model_file.py",
    "patches/test_knobs.py",
    "patches/test_latents.py",
    "patches/test_motion.py",
    "patches/test_noise.py",
    "patches/test_randomizer.py",
    "patches/test_schema.py",
    "patches/test_sections.py",
    "patches/test_shipped_motion.py",
    "patches/test_tables.py",
    "stylegan_ops/test_generator.py",
    "stylegan_ops/test_golden.py",
    "stylegan_ops/test_ops.py",
    "stylegan_ops/test_pickles.py",
    "training/test_network.py",
    "training/test_pictures.py",
    "test_architecture.py",
    "test_docs.py",
    "test_encoding.py",
    "test_exact.py",
    "test_files.py",
    "test_groups.py",
    "test_mixing.py",
    "test_pipeline.py",
    "test_presets.py",
    "test_renderer.py",
)
"""Modules of the quick selection: of every room some, and none that takes more than seconds."""


def pytest_configure(config: pytest.Config) -> None:
    """Make the folder that all processes of this run have in common, in the first of them."""
    if FOLDER not in os.environ:
        folder = tempfile.TemporaryDirectory(prefix="audioreactive-tests-")
        os.environ[FOLDER] = folder.name
        config.add_cleanup(folder.cleanup)
        config.add_cleanup(lambda: os.environ.pop(FOLDER))


MOST_PROCESSES = 4


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One process for each core; none beside this one where files or single tests are asked for."""
    if all(Path(argument.partition("::")[0]).is_file() for argument in config.args):
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_PROCESSES)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the modules unread that `-m quick` would deselect."""
    if config.option.markexpr != "quick" or collection_path.is_dir():
        return None
    return None if is_quick(collection_path) else True


def is_quick(path: Path) -> bool:
    here = Path(__file__).parent
    return path.is_relative_to(here) and path.relative_to(here).as_posix() in QUICK


def pytest_collection_finish() -> None:
    """Leave what is there until the end (modules, thousands of tests) out of each search for garbage."""
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the quick selection."""
    for item in items:
        if is_quick(item.path):
            item.add_marker("quick")


@pytest.fixture
def features() -> Features:
    """Eight seconds at 24 frames a second and 120 bpm."""
    from support import make_features  # which imports PyTorch: the process that hands out the tests needs none

    return make_features()


@pytest.fixture
def little_learning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fits of motion that are short: enough to react, and the whole way through rendering, learning and fitting."""
    from audioreactive.learn import named, response, sight

    monkeypatch.setattr(response, "STEPS", 200)
    monkeypatch.setattr(response, "STEPS_MORE", 80)
    monkeypatch.setattr(sight, "MOST_PAIRS", 120)
    monkeypatch.setattr(named, "SEEN_STEPS", 40)
    monkeypatch.setattr(named, "SEEN_COEFFICIENTS", 64)


ALWAYS = os.environ.get("XDG_CACHE_HOME")
"""Cache folder of whoever runs the tests, which has the compiled kernels."""


@pytest.fixture
def quick_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers come from a process that has imported PyTorch already, which takes longer than what they do here.

    `test_workers.py` and `test_interruptions.py` have some that start as they always do.
    """
    quick = multiprocessing.get_context("forkserver")
    quick.set_forkserver_preload(
        ["torch", "audioreactive.chunks.workers", "audioreactive.chunks.scene", "audioreactive.generators.stylegan2",
         "audioreactive.generators.painter.painter"]
    )  # fmt: skip
    with monkeypatch.context() as patch:  # the process outlives this test, whose cache may not
        patch.setenv("XDG_CACHE_HOME", ALWAYS) if ALWAYS else patch.delenv("XDG_CACHE_HOME", raising=False)
        forkserver.ensure_running()
    monkeypatch.setattr(multiprocessing, "get_context", lambda method: quick)


@pytest.fixture
def tiny_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A disk of 200 KiB or as many as asked for, where this user may make one."""
    size = getattr(request, "param", 200)
    disk = tmp_path / "disk"
    disk.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", os.fsencode(disk), b"tmpfs", 0, f"size={size}k".encode()):
        pytest.skip("no right to mount a small disk")
    yield disk
    assert libc.umount(os.fsencode(disk)) == 0
