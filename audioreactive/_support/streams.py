"""Where all chance comes from: streams of random numbers that belong to names.

`RandomState` is the generator whose stream NumPy has frozen: the same name gives the same numbers in every release.
"""

import hashlib

import numpy as np


def named_stream(name: str) -> np.random.RandomState:
    """The stream that belongs to a name, seeded by the name's SHA-256."""
    return np.random.RandomState(np.frombuffer(hashlib.sha256(name.encode()).digest(), "<u4"))
