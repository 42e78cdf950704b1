"""Convert YUV 4:2:0 back to RGB, for frames that were packed for an encoder and are needed as pictures.

Conventions: layouts as in `generators.Layout`. Chroma samples are on the even columns, midway between two rows, as in
`stylegan_ops`' `rgb_to_yuv420` and in ffmpeg's filters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_KR: Final = 0.2126
_KB: Final = 0.0722
"""Weights of red and blue in luma (ITU-R BT.709)."""
FROM_CHROMA: Final = np.array(
    [
        [0, 2 * (1 - _KR)],
        [-2 * _KB * (1 - _KB) / (1 - _KR - _KB), -2 * _KR * (1 - _KR) / (1 - _KR - _KB)],
        [2 * (1 - _KB), 0],
    ],
    np.float32,
)
"""Matrix (3, 2): amounts that U and V, in [-0.5, 0.5], add to luma in [0, 1] to give R, G and B."""


def yuv420_to_rgb(frames: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Convert limited-range frames (n, H · W · 3 / 2) of size (width, height) to sRGB (n, H, W, 3)."""
    width, height = size
    small = (2, height // 2, width // 2)
    pictures = np.empty((len(frames), height, width, 3), np.uint8)
    for packed, picture in zip(frames, pictures, strict=True):
        luma = (packed[: height * width].reshape(height, width).astype(np.float32) - 16) / 219
        chroma = (packed[height * width :].reshape(small).astype(np.float32) - 128) / 224
        u, v = (_doubled(plane) for plane in chroma)
        for channel, (of_u, of_v) in enumerate(FROM_CHROMA):
            picture[..., channel] = np.clip(np.rint(255 * (luma + of_u * u + of_v * v)), 0, 255)
    return pictures


def _doubled(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Double a chroma plane (h, w) to (2h, 2w), linearly interpolated between sample positions; edges are repeated."""
    h, w = plane.shape
    right = np.concatenate([plane[:, 1:], plane[:, -1:]], axis=1)
    wide = np.stack([plane, (plane + right) / 2], axis=-1).reshape(h, 2 * w)
    above, below = np.concatenate([wide[:1], wide[:-1]]), np.concatenate([wide[1:], wide[-1:]])
    tall = np.stack([0.75 * wide + 0.25 * above, 0.75 * wide + 0.25 * below], axis=1)
    return np.asarray(tall.reshape(2 * h, 2 * w), np.float32)
