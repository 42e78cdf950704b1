"""A GPU for the CUDA kernels: the real one where there is one, and always one that the CPU plays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from emulated_gpu import Machine, emulated, guarded, loaded, use_default_stream

from stylegan_ops import cuda_kernels, kernels, ops
from stylegan_ops.stylegan3 import cuda_kernels as stylegan3
from stylegan_ops.stylegan3 import filtered

if TYPE_CHECKING:
    import ctypes
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def emulated_kernels(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """All CUDA kernels."""
    return emulated(cuda_kernels.programs(), tmp_path_factory.mktemp("emulation") / "kernels.so")


@pytest.fixture(scope="module")
def emulation(emulated_kernels: ctypes.CDLL) -> Iterator[Machine]:
    """The operations' form for GPUs, on tensors in the CPU's memory."""
    library = emulated_kernels
    found = cuda_kernels.Availability(loaded(library, cuda_kernels.programs()), "emulated")
    with pytest.MonkeyPatch.context() as patch:
        use_default_stream(patch)
        patch.setattr(cuda_kernels, "cuda_kernels", lambda device=None: found)
        patch.setattr(kernels, "finish", guarded(library, cuda_kernels._finish, 1, 15))
        patch.setattr(kernels, "rgb_to_yuv420", cuda_kernels._rgb_to_yuv420)
        patch.setattr(cuda_kernels, "_convert", guarded(library, cuda_kernels._convert, 1))
        patch.setattr(cuda_kernels, "finish_phases", guarded(library, cuda_kernels._finish_phases, 1))
        patch.setattr(cuda_kernels, "smooth", guarded(library, cuda_kernels._smooth, 1))
        patch.setattr(stylegan3, "filtered_lrelu", guarded(library, stylegan3._filtered_lrelu, 1))
        patch.setattr(ops, "_on_gpu", lambda x: True)
        patch.setattr(filtered, "_on_gpu", lambda x: True)
        yield Machine(torch.device("cpu"), 1e-5)


@pytest.fixture(scope="module", params=["emulation", pytest.param("cuda", marks=pytest.mark.cuda)])
def machine(request: pytest.FixtureRequest) -> Machine:
    """Both, one after the other."""
    if request.param == "emulation":
        found: Machine = request.getfixturevalue("emulation")
        return found
    return real_gpu()


@pytest.fixture(scope="module")
def gpu() -> Machine:
    """The real one."""
    return real_gpu()


def real_gpu() -> Machine:
    if not torch.cuda.is_available():
        pytest.skip("no NVIDIA GPU")
    assert cuda_kernels.cuda_kernels().library is not None, cuda_kernels.cuda_kernels().reason
    return Machine(torch.device("cuda"), 1e-4)
