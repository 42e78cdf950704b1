"""Comparison of every compiled operation with its reference, on the device where it runs, before it is used.

A compiled operation is registered in one place, together with its check:

    @selfcheck.compiled("scaled", on=("cpu", "cuda"))
    def _check_scaled(trial: Trial) -> None:
        x = trial.normal(1, 3, 5, 7)
        trial.compare(compiled_form(x), reference(x))

and is dispatched by `trusted("scaled", form, x.device, x.dtype)`, which runs the check on first use. What has passed is
remembered in the cache for this build, this device and these sources; what has not is checked again in each process. An
operation that differs is not used: one warning says which, and the reference takes its place.
"""

import functools
import hashlib
import math
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from stylegan_ops import build, cuda_kernels, kernels
from stylegan_ops.errors import StyleGANError

TOLERANCES = {torch.float32: 1e-4, torch.float16: 2**-9, torch.bfloat16: 2**-6}
"""Largest difference from the reference as a share of the largest value. The values themselves are rounded to 2^-24,
2^-12 and 2^-9 of their size, once in a convolution and once after it; cuDNN's algorithms for float32 add to that."""

NAMES = {torch.float32: "float32", torch.float16: "float16", torch.bfloat16: "bfloat16"}


class Difference(Exception):
    """What is compiled differs from its reference; the message says by how much."""


class Trial:
    """Random values for a check, always the same, and the comparison of results."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.device, self.dtype = device, dtype
        self._stream = torch.Generator().manual_seed(1)

    def normal(self, *shape: int) -> Tensor:
        """Values with the standard normal distribution, float32, on the device."""
        return torch.randn(*shape, generator=self._stream).to(self.device)

    def compare(self, found: Tensor, wanted: Tensor, *, largest: Tensor | None = None, rounded: bool = True) -> None:
        """Compare results.

        Args:
            found: result of what is compiled.
            wanted: result of the reference.
            largest: values whose largest sets the scale, if not the result's own: those before a clamp, which cuts
                values but not their errors.
            rounded: whether results are rounded to the precision of the trial; else they have to agree as float32 does.

        Raises:
            Difference: a shape differs, or a value by more than rounding explains.
        """
        if found.shape != wanted.shape:
            raise Difference(f"the shape is {tuple(found.shape)}, not {tuple(wanted.shape)}")
        scale = max(float((wanted if largest is None else largest).abs().max()), 1.0)
        difference = float((found.float() - wanted.float()).abs().max())
        tolerance = TOLERANCES[self.dtype if rounded else torch.float32] * scale
        if not difference <= tolerance:  # also where it is not a number
            raise Difference(f"{difference:.3g} instead of at most {tolerance:.2g}")


Check = Callable[[Trial], None]


@dataclass(frozen=True)
class Compiled:
    """An operation with a compiled form."""

    op: str
    on: tuple[str, ...]
    """Kinds of devices that have the form."""
    check: Check
    precise: bool
    """Whether it takes float32 alone."""


OPS: dict[str, Compiled] = {}
"""All operations with a compiled form, by name."""


def compiled(op: str, *, on: Sequence[str], precise: bool = False) -> Callable[[Check], Check]:
    """Register an operation with a compiled form by its check, which compares that with the reference.

    Args:
        op: name of the operation.
        on: kinds of devices that have the form: "cpu", "cuda".
        precise: whether it takes float32 alone.
    """

    def register(check: Check) -> Check:
        OPS[op] = Compiled(op, tuple(on), check, precise)
        return check

    return register


@dataclass(frozen=True)
class Outcome:
    """Result of a check."""

    op: str
    place: str
    """Name of the device."""
    precision: str
    reason: str | None
    """How it differs; None: it does not."""
    seconds: float


def trusted(op: str, form: str, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether the compiled form of an operation may be used; it is checked on first use.

    Args:
        op: name of the operation.
        form: kind of device that the form is for.
        device: the device.
        dtype: precision of its input.
    """
    found = OPS[op]
    precision = torch.float32 if found.precise else dtype
    return verdict(op, Build.on(form, device), precision, lambda: found.check(Trial(device, precision))) is None


@dataclass(frozen=True)
class Build:
    """What was compiled, and where it runs."""

    identity: str
    """Digest of the machine code."""
    place: str
    """Name of the device, and of what decides there."""

    @classmethod
    def on(cls, form: str, device: torch.device) -> "Build":
        """The kernels of this package for a device."""
        found = cuda_kernels.cuda_kernels(device) if form == "cuda" else kernels.cpu_kernels()
        return cls("" if found.library is None else found.library.identity, place_of(device))


def place_of(device: torch.device) -> str:
    """Name of a device, for people and as a key: two devices with the same name compute the same."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return "CPU"


_lock = threading.RLock()
_verdicts: dict[tuple[str, Build, torch.dtype], str | None] = {}


def verdict(subject: str, made: Build, dtype: torch.dtype, check: Callable[[], None]) -> str | None:
    """How something compiled differs from its reference, after one warning; None: it does not.

    Args:
        subject: its name.
        made: the build and the device.
        dtype: the precision.
        check: function that raises `Difference`, or an error of the driver, where it is wrong.
    """
    key = (subject, made, dtype)
    if key in _verdicts:
        return _verdicts[key]
    with _lock:
        if key not in _verdicts:
            marker = _marker(subject, made, dtype)
            if marker is not None and marker.is_file():
                _verdicts[key] = None
            else:
                _verdicts[key] = _checked(subject, made, dtype, check)
                if _verdicts[key] is None and marker is not None:
                    with suppress(OSError):
                        marker.touch()
        return _verdicts[key]


def _checked(subject: str, made: Build, dtype: torch.dtype, check: Callable[[], None]) -> str | None:
    reason = difference(check)
    if reason is not None:
        warnings.warn(
            f"the compiled {subject} is wrong on {made.place} in {NAMES[dtype]} ({reason}) and is not used: plain "
            "PyTorch does its work, more slowly",
            RuntimeWarning,
            stacklevel=4,
        )
    return reason


def difference(check: Callable[[], None]) -> str | None:
    """Run a check; returns how what is compiled differs from its reference, or None.

    Raises:
        OutOfMemoryError: there is too little memory, which says nothing about the operation.
    """
    try:
        with torch.inference_mode(False), torch.no_grad():
            check()
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except (Difference, StyleGANError, RuntimeError, ValueError) as error:
        return str(error).partition("\n")[0]
    return None


def _marker(subject: str, made: Build, dtype: torch.dtype) -> Path | None:
    """The empty file that says that it has passed; None: there is no build, or no cache."""
    if not made.identity:
        return None
    chip = build.chip() if made.place == "CPU" else str(torch.version.cuda)
    parts = (subject, made.identity, made.place, chip, NAMES[dtype], torch.__version__, _sources())
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    with suppress(OSError):
        return build.cache_folder() / f"checked-{digest}"
    return None


@functools.cache
def _sources() -> str:
    """Digest of the code that calls the kernels, and of the checks."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def wrong(device: torch.device, dtype: torch.dtype) -> list[str]:
    """Names of the operations that are not used on a device because they differ from their references."""
    form = device.type
    return [op for op, found in OPS.items() if form in found.on and not trusted(op, form, device, dtype)]


def check_all(device: torch.device) -> Iterator[Outcome]:
    """Check all operations on a device in all precisions, whatever is remembered; nothing if it has no kernels."""
    form = device.type
    found = cuda_kernels.cuda_kernels(device) if form == "cuda" else kernels.cpu_kernels()
    if found.library is None:
        return
    names = cuda_kernels.NAMES if form == "cuda" else kernels.NAMES
    for op in [op for op in OPS.values() if form in op.on]:
        for dtype in [torch.float32] if op.precise else names:
            start = time.perf_counter()
            reason = difference(functools.partial(op.check, Trial(device, dtype)))
            yield Outcome(op.op, place_of(device), NAMES[dtype], reason, time.perf_counter() - start)


def mean_and_largest(found: Tensor, wanted: Tensor) -> tuple[float, float]:
    """Mean and largest difference; infinite where one of the values is not a number."""
    apart = (found.float() - wanted.float()).abs()
    mean, largest = float(apart.mean()), float(apart.max())
    return (math.inf if math.isnan(mean) else mean), (math.inf if math.isnan(largest) else largest)
