"""A choice by measurement is made once for each kind of device, and stays."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import torch

from stylegan_ops import AliasFreeGenerator, Architecture, build, cuda_kernels, layers, tuning
from stylegan_ops.layers import Preparation
from stylegan_ops.stylegan3 import tuning as stylegan3_tuning
from stylegan_ops.stylegan3.design import Plan

if TYPE_CHECKING:
    from pathlib import Path

    from stylegan_ops.stylegan3.layers import PreparedLayer

ARCHITECTURE = Architecture(z_dim=8, w_dim=8, mapping_features=(8,), channels=(512, 256, 128, 64, 32))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU {device.index or 0}")
    tuning.phases_pay.cache_clear()
    return build.cache_folder()


def choices(index: int = 0, *, measure: bool = True) -> list[tuple[int, bool]]:
    """(output channels, by phases) of the layers that double the resolution."""
    tuning.phases_pay.cache_clear()  # as in a new process
    prepare = Preparation(ARCHITECTURE, {}, torch.device("cuda", index), torch.float16, measure=measure)
    sources = [source for source in ARCHITECTURE.convolutions() if source.up]
    return [(source.out_channels, prepare._by_phases(source)) for source in sources]


def test_each_kind_of_device_chooses_once(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = []

    def times(device: torch.device, dtype: torch.dtype, channels: tuple[int, int], size: object) -> tuple[float, float]:
        measured.append((device.index, channels[1]))
        if channels[1] == 32 and device.index == 1:
            return 2.0, 1.0
        faster = channels[1] == 128 if device.index == 0 else channels[1] == 64
        return (1.0, 2.0) if faster else (1.95, 2.0)  # small differences leave all as the rule has it

    monkeypatch.setattr(tuning, "_by_phases_and_transposed", times)
    for _ in range(2):
        assert choices(0) == [(256, False), (128, True), (64, False), (32, True)]
        assert choices(1) == [(256, False), (128, False), (64, True), (32, False)]
    assert measured == [(0, 128), (0, 64), (0, 32), (1, 128), (1, 64), (1, 32)]
    monkeypatch.setattr(torch, "__version__", "99.0")
    choices(0)
    assert len(measured) == 9


def test_without_a_measurement_the_rule_holds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rule = [(256, False), (128, False), (64, False), (32, True)]
    monkeypatch.setattr(tuning, "_by_phases_and_transposed", None)
    assert choices(measure=False) == rule
    (tmp_path / "cache").write_text("in the way")
    assert choices() == rule  # nothing could be kept, so that the next process might choose otherwise
    assert layers.PHASES_UP_TO == 32


def test_a_broken_choice_is_made_anew(cache: Path) -> None:
    assert tuning.kept_choice(("a",), lambda: (1.0, 2.0)) is True
    (path,) = cache.iterdir()
    for broken in (b"", b"{", b"[]", b'{"first": 3}'):
        path.write_bytes(broken)
        assert tuning.kept_choice(("a",), lambda: (2.0, 1.0)) is False
    assert tuning.kept_choice(("a",), lambda: (1.0, 2.0)) is False, "it is kept"
    assert list(cache.iterdir()) == [path]


def test_the_activation_of_stylegan3_is_left_to_plain_pytorch_where_that_is_well_faster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = Plan(16, 128, 8, num_layers=4, margin_size=4)
    generator = AliasFreeGenerator.random(plan, z_dim=8, w_dim=8, seed=1, implementation="reference")
    measured, layers = [], generator._layers
    same = [layer.source.name for layer in layers if layer.source.out_size == layers[0].source.out_size]
    assert 1 <= len(same) < len(layers) - 1

    def times(device: torch.device, dtype: torch.dtype, layer: PreparedLayer) -> tuple[float, float]:
        measured.append(layer.source.out_size)
        return (1.0, 2.0) if layer.source.out_size == layers[0].source.out_size else (0.95, 1.0)  # plain, compiled

    library = SimpleNamespace(identity="one")
    monkeypatch.setattr(cuda_kernels, "cuda_kernels", lambda device: cuda_kernels.Availability(library, ""))
    monkeypatch.setattr(stylegan3_tuning, "_plain_and_compiled", times)
    generator.device = torch.device("cuda", 0)
    for _ in range(2):
        generator._layers = [generator._measured(layer) for layer in layers]
        assert generator.plain_layers == same
        assert generator.resized((24, 16)).plain_layers == generator.plain_layers
    known = len(measured)
    assert known == len(set(measured)), "equal layers once, and toRGB never"
    library.identity = "another"
    generator._measured(layers[0])
    assert len(measured) == known + 1


TWO = """
import os
from stylegan_ops import tuning
def begin(*times):
    begun, go = os.pipe(), os.pipe()
    if not (process := os.fork()):
        def measure():
            os.write(begun[1], b"x")
            os.read(go[0], 1)
            return times
        print(tuning.kept_choice(("a",), measure), flush=True)
        os._exit(0)
    assert os.read(begun[0], 1) == b"x"
    return process, go[1]
for process, go in [begin(1.0, 2.0), begin(2.0, 1.0)]:  # the second measures before the first may end
    os.write(go, b"x")
    assert os.waitpid(process, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="one start of PyTorch is shared by two processes")
def test_processes_that_measure_at_once_agree() -> None:
    said = subprocess.run([sys.executable, "-c", TWO], check=True, capture_output=True, text=True).stdout
    assert said == "True\nTrue\n"
