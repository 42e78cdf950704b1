"""What networks of all kinds have in common as a `Generator`: their numbers, and which kernels make their frames."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from audioreactive.generators.weights import Weights


class Network(Protocol):
    """Numbers of a network of `stylegan_ops`."""

    device: torch.device
    dtype: torch.dtype

    @property
    def z_dim(self) -> int: ...
    @property
    def w_dim(self) -> int: ...
    @property
    def c_dim(self) -> int: ...
    @property
    def num_ws(self) -> int: ...
    @property
    def img_size(self) -> tuple[int, int]: ...
    @property
    def compiled(self) -> bool: ...


N = TypeVar("N", bound=Network)


class NetworkGenerator(Generic[N]):
    """Base of the generators that hold a network."""

    network: N
    weights: Weights | None
    """Files by which its weights can be moved."""

    @property
    def device(self) -> torch.device:
        """Device on which it computes."""
        return self.network.device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the convolutions."""
        return self.network.dtype

    @property
    def z_dim(self) -> int:
        """Width of the noise vector."""
        return self.network.z_dim

    @property
    def c_dim(self) -> int:
        """Number of classes; 0 for a model without classes."""
        return self.network.c_dim

    @property
    def families(self) -> Sequence[str]:
        """None: the classes of a network have no names here, and a palette may mix them."""
        return ()

    @property
    def w_dim(self) -> int:
        """W, the width of a latent."""
        return self.network.w_dim

    @property
    def num_ws(self) -> int:
        """L, the number of latent inputs."""
        return self.network.num_ws

    @property
    def img_size(self) -> tuple[int, int]:
        """Size (h, w) of the pictures."""
        return self.network.img_size

    @property
    def weight_files(self) -> Sequence[str]:
        """Names of the files by which its weights can be moved."""
        return () if self.weights is None else self.weights.files

    @property
    def fingerprint(self) -> str:
        """Kind of kernels (compiled or plain, which differ in a frame's last bits) and digest of `stylegan_ops`."""
        return f"{self._kernels} kernels {sources_digest()}"

    @property
    def _kernels(self) -> str:
        """Kind of kernels; of compiled ones also those that were found wrong here, so that plain PyTorch runs."""
        from stylegan_ops import selfcheck

        if not self.network.compiled:
            return "plain"
        kinds = " but not ".join(["compiled", *selfcheck.wrong(self.device, self.dtype)])
        return f"{kinds} ({self._otherwise})" if self._otherwise else kinds

    @property
    def _otherwise(self) -> str:
        """Where this device does a layer in another way, because it was measured to be faster; "" if nowhere."""
        return ""


@functools.cache
def sources_digest() -> str:
    """Compute the first 16 digits of the SHA-256 of all sources of `stylegan_ops`."""
    import hashlib

    import stylegan_ops

    folder = Path(stylegan_ops.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".py", ".cpp", ".h", ".cu"):
            digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]
