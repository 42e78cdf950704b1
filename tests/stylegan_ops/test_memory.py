"""Memory is kept between pictures: measured, since nothing else would notice."""

from __future__ import annotations

import json
import platform
import subprocess
import sys

import pytest
import torch

from stylegan_ops import kernels
from stylegan_ops.memory import Workspace, large_block

SCRIPT = """
import json, os, resource, sys, torch
from stylegan_ops import Generator, generator, keep_freed_memory
torch.set_num_threads(1)

def faults(implementation, whole, keep):
    kept = keep and keep_freed_memory()
    if whole:
        generator.CPU_WORKING_SET = 1 << 40
    g = Generator.random(img_resolution=256, channel_base=4096, z_dim=8, w_dim=8, mapping_layers=1, seed=0,
        implementation=implementation)
    ws = torch.zeros(9, g.num_ws, 8)
    counts = [resource.getrusage(resource.RUSAGE_SELF).ru_minflt]
    for _ in range(6):
        g.synthesis(ws)
        counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
    return kept, min(after - before for before, after in zip(counts[2:], counts[3:]))

for line in sys.stdin:  # each in a process whose memory nobody has used yet, all of one start of PyTorch
    if not os.fork():
        print(json.dumps(faults(*json.loads(line))), flush=True)
        os._exit(0)
    os.wait()
"""


def page_faults(*cases: tuple[str, bool, bool]) -> list[tuple[bool, int]]:
    """(kept, faults of a batch) for each (implementation, whole batches at once, freed memory kept).

    The fewest of four: a system that is short of memory takes some away, which comes back by faults as well.
    """
    given = "".join(json.dumps(case) + "\n" for case in cases)
    done = subprocess.run([sys.executable, "-c", SCRIPT], check=True, capture_output=True, text=True, input=given)
    return [(kept, faults) for kept, faults in map(json.loads, done.stdout.splitlines())]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="about glibc's allocator")
def test_batches_do_not_fault_their_memory_in_again() -> None:
    # The first two batches teach glibc which sizes to keep.
    compiled = kernels.cpu_kernels().library is not None
    cases = [("reference", True, False), ("reference", False, False), ("reference", True, True)]
    (_, whole), (_, parts), (kept, whole_kept), *more = page_faults(*cases, *[("compiled", True, False)] * compiled)
    assert kept
    assert whole > 5_000  # activations of 38 MB, beyond what glibc keeps by itself, and 4 KiB a page
    assert parts < whole / 5
    assert whole_kept < whole / 5
    assert len(more) == compiled and all(workspace < whole / 5 for _, workspace in more)


def test_a_workspace_keeps_its_blocks() -> None:
    workspace = Workspace()
    first = workspace.activations("a", (2, 3, 40, 50), torch.float32)
    assert first.shape == (2, 3, 40, 50) and first.is_contiguous(memory_format=torch.channels_last)
    again = workspace.take("a", (5, 7), torch.bfloat16)
    other = workspace.take("b", (5, 7), torch.bfloat16)
    assert again.data_ptr() == first.data_ptr() != other.data_ptr() and again.is_contiguous()
    assert workspace.take("a", (2, 3, 400, 500), torch.float32).numel() == 1_200_000  # more than it had


@pytest.mark.parametrize("size", [0, 1, 4 << 20, (9 << 20) + 5])
def test_a_large_block_holds_what_it_says(size: int) -> None:
    block = large_block(size)
    assert block.shape == (size,) and block.is_contiguous()
    block.fill_(7)
    assert size < 4 << 20 or block.data_ptr() % 64 == 0
