"""Numbers that networks of all kinds hand on as a `Generator`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch


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


N = TypeVar("N", bound=Network)


class NetworkGenerator(Generic[N]):
    """Base of the generators that hold a network."""

    network: N

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
