"""The numbers that every network has: they follow from its architecture."""

from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    """Numbers of an architecture."""

    @property
    def z_dim(self) -> int: ...
    @property
    def w_dim(self) -> int: ...
    @property
    def c_dim(self) -> int: ...
    @property
    def num_ws(self) -> int: ...
    @property
    def img_resolution(self) -> int: ...
    @property
    def img_size(self) -> tuple[int, int]: ...


A = TypeVar("A", bound=Sized)


class Network(Generic[A]):
    """Base of the generators in memory."""

    architecture: A

    @property
    def z_dim(self) -> int:
        """Width of the noise vector that `mapping` takes."""
        return self.architecture.z_dim

    @property
    def w_dim(self) -> int:
        """W, the latent width."""
        return self.architecture.w_dim

    @property
    def c_dim(self) -> int:
        """Number of classes; 0 for a model without classes."""
        return self.architecture.c_dim

    @property
    def num_ws(self) -> int:
        """L, the number of latent inputs."""
        return self.architecture.num_ws

    @property
    def img_resolution(self) -> int:
        """The nominal resolution: the side of a square model's pictures as it was trained."""
        return self.architecture.img_resolution

    @property
    def img_size(self) -> tuple[int, int]:
        """(H, W) of the pictures."""
        return self.architecture.img_size
