"""Limits on the cost of reading one file. All parts of a reader share one budget.

A small file can ask for the same work again and again: a checksum over all its bytes for each of ten thousand tensors,
or a nested pickle for each of a thousand storages. Work is therefore counted where it is done, over the whole file, and
a file that asks for more than an honest one of its size is refused. Counts, unlike seconds, are the same on every
machine.
"""

from stylegan_ops.errors import CheckpointError

MAX_INSTRUCTIONS = 500_000
"""Most instructions of all pickles in a file; a complete snapshot of a network of 1024² has about 50 000. Each may
leave an empty dict of 64 bytes, and takes about a microsecond."""

SPARE = 1 << 24
"""Bytes that may be copied or read again, in addition to the size of the file."""


class Damaged(Exception):
    """The bytes do not follow their format, or are incomplete; caught at the package's boundary."""


class TooMuchWork(CheckpointError):
    """A file needs more work than an honest file of its size."""


class Budget:
    """Remaining work for one file."""

    __slots__ = ("copied", "instructions", "made", "read")

    def __init__(self, size: int) -> None:
        """Set the limits for a file of `size` bytes."""
        self.instructions = MAX_INSTRUCTIONS
        self.copied = size + SPARE
        """Bytes that texts and constructors of pickles may take in addition to those of the file."""
        self.read = size + SPARE
        """Bytes that may be checksummed; in an honest file storages do not overlap."""
        self.made = 2 * size
        """Bytes of float32 tensors that may be made; an honest file stores a number in two bytes or more."""

    def run(self, count: int) -> None:
        """Take instructions of a pickle, or as much other work.

        Raises:
            TooMuchWork: none are left.
        """
        self.instructions -= count
        if self.instructions < 0:
            raise TooMuchWork(
                f"its pickles have more than {MAX_INSTRUCTIONS} instructions, nested ones included; no model needs "
                "so many: it was made to keep the computer busy, or it is damaged"
            )

    def copy(self, size: int) -> None:
        """Take bytes of memory.

        Raises:
            TooMuchWork: none are left.
        """
        self.copied -= size
        if self.copied < 0:
            raise TooMuchWork("it uses the same data again and again: it was made to fill the memory, or it is damaged")

    def check(self, size: int) -> None:
        """Take bytes to be checksummed.

        Raises:
            TooMuchWork: none are left.
        """
        self.read -= size
        if self.read < 0:
            raise TooMuchWork("its entries lie over one another: it was made to keep the computer busy, or is damaged")

    def make(self, numbers: int) -> None:
        """Take memory for a tensor of `numbers` elements.

        Raises:
            TooMuchWork: none is left.
        """
        self.made -= 4 * numbers
        if self.made < 0:
            raise TooMuchWork("its tensors share their numbers: it was made to fill the memory, or it is damaged")
