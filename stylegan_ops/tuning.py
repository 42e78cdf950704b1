"""Choice between two ways of computing the same, by a measurement on the device, which is made once and kept.

The ways differ in a picture's last bits, so that a device must always choose the same one: the first choice that is
written to the cache is valid for all processes, until the device, PyTorch or cuDNN is another. Where nothing can be
kept, nothing is measured.
"""

import functools
import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

from stylegan_ops import build
from stylegan_ops.fused import Finish
from stylegan_ops.memory import Workspace

PIXELS = 1 << 21
"""Pixels of output in a measurement: two pictures of 1024², or more small ones. Enough to fill a GPU."""

ROUNDS = 5
"""Measurements of each way, by turns; the least of each counts."""

MARGIN = 0.9
"""Share of the usual way's time below which the other one is chosen, so that two GPUs of a kind choose alike."""


@functools.cache
def phases_pay(
    device: torch.device, dtype: torch.dtype, channels: tuple[int, int], size: tuple[int, int], *, usual: bool
) -> bool:
    """Whether a convolution that doubles the resolution is to be computed by phases rather than transposed.

    Args:
        device: a GPU.
        dtype: precision of the convolution.
        channels: of its input and of its output.
        size: (h, w) of its output.
        usual: the choice if nothing is measured, or the difference is small.
    """
    facts = (
        "phases", torch.cuda.get_device_name(device), str(dtype), *channels, *size, usual, torch.__version__,
        torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
    )  # fmt: skip

    def measure() -> tuple[float, float]:
        phases, transposed = _by_phases_and_transposed(device, dtype, channels, size)
        return (transposed, phases) if usual else (phases, transposed)

    return usual != bool(kept_choice(facts, measure))


def kept_choice(facts: tuple[object, ...], measure: Callable[[], tuple[float, float]]) -> bool | None:
    """Whether the first of two ways is well faster, as the cache says, or else as a measurement says, which is kept.

    Args:
        facts: all that the choice depends on.
        measure: function that returns the seconds of both ways.

    Returns:
        The choice; None if it cannot be kept.
    """
    digest = hashlib.sha256(json.dumps([str(fact) for fact in facts]).encode()).hexdigest()[:32]
    path = build.cache_folder() / f"choice-{digest}.json"
    choice = _read(path)
    if choice is not None or not _can_write(path.parent):
        return choice
    first, second = measure()
    _write(path, {"first": first < MARGIN * second, "seconds": [first, second], "of": [str(fact) for fact in facts]})
    return _read(path)


def _read(path: Path) -> bool | None:
    try:
        choice = json.loads(path.read_bytes()[:10_000])["first"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return choice if isinstance(choice, bool) else None


def _can_write(folder: Path) -> bool:
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.access(folder, os.W_OK)
    return False


def _write(path: Path, content: object) -> None:
    """Write a choice unless another process has done so meanwhile; a broken one is replaced."""
    with suppress(OSError):
        if path.exists() and _read(path) is None:
            path.unlink()
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix="build-", encoding="utf-8") as partial:
            partial.write(json.dumps(content))
            partial.flush()
            os.link(partial.name, path)  # fails if it is there


def _by_phases_and_transposed(
    device: torch.device, dtype: torch.dtype, channels: tuple[int, int], size: tuple[int, int]
) -> tuple[float, float]:
    """Seconds of a batch in both ways, with all that follows the convolution."""
    from stylegan_ops import cuda_ops  # needs the kernels, which this choice does not

    (inputs, outputs), (height, width) = channels, size
    batch = max(PIXELS // (height * width), 1)
    workspace = Workspace(device)
    x = torch.randn(batch, inputs, height // 2, width // 2, device=device).to(dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    ones, taps = torch.ones(batch, outputs, device=device), torch.ones(4, device=device)
    finish = Finish(ones, ones[0].contiguous(), None, 0.0, None, ones)
    phases = torch.randn(4 * outputs, inputs, 3, 3, device=device).to(dtype)
    phases = phases.contiguous(memory_format=torch.channels_last)
    transposed = phases[:outputs].transpose(0, 1).contiguous(memory_format=torch.channels_last)
    return seconds(
        device,
        lambda: cuda_ops.styled_conv2d_phases(x, phases, finish, workspace, "y"),
        lambda: cuda_ops.styled_conv2d_up(x, transposed, taps, finish, workspace, "y"),
    )


def seconds(device: torch.device, *ways: Callable[[], object]) -> tuple[float, float]:
    """The least seconds of two ways, by the GPU's own clock."""
    least = [float("inf")] * len(ways)
    with torch.cuda.device(device), torch.no_grad():
        for turn in range(ROUNDS + 1):
            for at, way in enumerate(ways):
                start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
                start.record()
                way()
                end.record()
                end.synchronize()
                if turn:  # the first one allocates memory and chooses algorithms
                    least[at] = min(least[at], start.elapsed_time(end) / 1000)
    return least[0], least[1]
