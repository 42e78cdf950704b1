"""What reading one file may cost, counted: every part of a reader takes from the same budget.

A small file can ask for the same work again and again: a checksum over all its bytes for each of ten thousand tensors,
or a nested pickle for each of a thousand storages. Work is therefore counted where it is done, over the whole file, and
a file that asks for more than an honest one of its size is refused. Counts, unlike seconds, are the same on every
machine.
"""

from stylegan_ops.errors import CheckpointError

MAX_INSTRUCTIONS = 500_000
"""Instructions of all pickles in a file; a complete snapshot of a network of 1024² has about 50 000. Each may leave an
empty dict of 64 bytes, and takes about a microsecond."""

SPARE = 1 << 24
"""Bytes beyond the file's own size that may be copied, or read again."""


class Damaged(Exception):
    """The bytes are not what their format asks for, or not whole; caught at the package's boundary."""


class TooMuchWork(CheckpointError):
    """A file asks for more work than an honest one of its size."""


class Budget:
    """Work that is left for one file."""

    __slots__ = ("copied", "instructions", "made", "read")

    def __init__(self, size: int) -> None:
        """Set the limits for a file of `size` bytes."""
        self.instructions = MAX_INSTRUCTIONS
        self.copied = size + SPARE
        """Bytes that a pickle's texts and constructors may take beyond those of the file."""
        self.read = size + SPARE
        """Bytes whose checksum may be taken: an honest file has a place of its own for each storage."""
        self.made = 2 * size
        """Bytes of finished float32 tensors: an honest file holds a number in two bytes or more."""

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
        """Take room for a tensor of so many numbers.

        Raises:
            TooMuchWork: none is left.
        """
        self.made -= 4 * numbers
        if self.made < 0:
            raise TooMuchWork("its tensors share their numbers: it was made to fill the memory, or it is damaged")
