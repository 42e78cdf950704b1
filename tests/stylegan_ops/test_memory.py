"""Memory is kept between pictures: measured, since nothing else would notice."""

from __future__ import annotations

import json
import platform
import subprocess
import sys

import pytest

SCRIPT = """
import json, resource, sys, torch
from stylegan_ops import Generator, generator, keep_freed_memory
kept = "keep" in sys.argv and keep_freed_memory()
if "whole" in sys.argv:
    generator.CPU_WORKING_SET = 1 << 40
torch.set_num_threads(1)
g = Generator.random(img_resolution=256, channel_base=4096, z_dim=8, w_dim=8, mapping_layers=1, seed=0)
ws = torch.zeros(12, g.num_ws, 8)
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    g.synthesis(ws)
print(json.dumps([kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before]))
"""


def page_faults(*options: str) -> tuple[bool, int]:
    """Of the third batch of a fresh process."""
    output = subprocess.run([sys.executable, "-c", SCRIPT, *options], check=True, capture_output=True, text=True)
    kept, faults = json.loads(output.stdout)
    return kept, faults


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="about glibc's allocator")
def test_batches_do_not_fault_their_memory_in_again() -> None:
    # The first batches teach glibc which sizes to keep.
    _, whole = page_faults("whole")
    _, parts = page_faults()
    kept, whole_kept = page_faults("whole", "keep")
    assert kept
    assert whole > 10_000  # 50 MB activations, 4 KiB a page
    assert parts < whole / 5
    assert whole_kept < whole / 5
