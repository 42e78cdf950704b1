"""Where, how precisely, and how much at once."""

from __future__ import annotations

import pytest
import torch

from audioreactive.errors import RenderError
from audioreactive.generators import Cost, devices
from audioreactive.generators.devices import (
    MEMORY_SHARE,
    choose_device,
    choose_dtype,
    default_batch,
    total_memory,
    useful_threads,
)
from audioreactive.generators.stylegan2 import StyleGAN2
from stylegan_ops import Generator


def test_devices_and_precisions() -> None:
    assert choose_device("cpu").type == "cpu"
    assert choose_dtype("auto", torch.device("cuda")) == torch.float16
    assert choose_dtype("fp32", torch.device("cuda")) == torch.float32
    with pytest.raises(RenderError, match="the device 'toaster' cannot be used"):
        choose_device("toaster")


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"amx_bf16": True}, "bfloat16"),
        ({"avx512_bf16": True}, "bfloat16"),
        ({"avx512_f": True}, "float32"),
        (None, "float32"),
    ],
)
def test_bfloat16_is_taken_where_the_cpu_computes_in_it(monkeypatch, told: dict | None, expected: str) -> None:
    if told is None:  # an older PyTorch
        monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    else:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told, raising=False)
    assert choose_dtype("auto", torch.device("cpu")) == getattr(torch, expected)


def test_the_batch_fits_the_memory_that_there_is(monkeypatch) -> None:
    cost = Cost(bytes=1_000_000, multiplications=0)
    for pictures, batch in ((100, 4), (4, 4), (3.9, 2), (1.5, 1), (0.1, 1)):
        memory = int(pictures * cost.bytes / MEMORY_SHARE) + 1
        monkeypatch.setattr(devices, "total_memory", lambda device, memory=memory: memory)
        assert default_batch(torch.device("cpu"), cost) == batch
    assert total_memory(torch.device("cpu")) > 1 << 28


def test_a_small_network_computes_on_one_thread(monkeypatch) -> None:
    small = StyleGAN2(Generator.random(img_resolution=8, channel_base=32, seed=0, z_dim=8, w_dim=8, mapping_layers=1))
    # 8 -> 8 channels at 4², 8 -> 4 and 4 -> 4 at 8², by 3 × 3.
    work = 9 * (8 * 8 * 16 + 8 * 4 * 64 + 4 * 4 * 64)
    found = []
    for at_least, threads in ((work + 1, 1), (work, 1), (work // 2, 2), (work // 5, 5)):
        monkeypatch.setattr(devices, "WORK_OF_A_THREAD", at_least)
        found.append(useful_threads(small.cost) == threads)
    assert all(found)
