"""Random number streams, one per name; every random choice in the package comes from one of them.

NumPy guarantees that the stream of `RandomState` never changes, so a name gives the same numbers in every release.
"""

import hashlib

import numpy as np


def named_stream(name: str) -> np.random.RandomState:
    """Return a new random stream, seeded with the SHA-256 of a name."""
    return np.random.RandomState(np.frombuffer(hashlib.sha256(name.encode()).digest(), "<u4"))
