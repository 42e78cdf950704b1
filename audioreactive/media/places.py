"""Places of channels, and how channels in any places are mixed for two ears.

Surround is mixed down to stereo with the weights of ITU-R BS.775, scaled so that it cannot clip. Channels without told
places are shared between left and right so that the mean of both is the mean of all; so are those of a file of which
only the channel of low tones sounds, since a stereo mix leaves that one out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Block = NDArray[np.float32]

STEREO: Final = (
    "aformat=sample_fmts=flt,pan=stereo"
    "|FL<FL+DL+FLC+0.707FC+0.707BL+0.707SL+0.5BC+0.707WL+0.707SDL+0.707TFL+0.707TSL+0.707TBL+0.707BFL"
    "+0.5TC+0.5TFC+0.5TBC+0.5BFC"
    "|FR<FR+DR+FRC+0.707FC+0.707BR+0.707SR+0.5BC+0.707WR+0.707SDR+0.707TFR+0.707TSR+0.707TBR+0.707BFR"
    "+0.5TC+0.5TFC+0.5TBC+0.5BFC"
)
"""ffmpeg's filter to stereo. `<` scales the weights of the channels that are there to a sum of 1, so that mono stays as
loud as it is. Low tones (LFE) are left out, as in BS.775; wide channels and those above and below weigh as much as
those behind."""
_STAND_INS: Final = {
    "FL": (("FL", "DL"), ("FC",)),
    "FR": (("FR", "DR"), ("FC",)),
    "FC": (("FC",), ("FL",)),
    "LFE": (("LFE",), ("FR",), ("FC",)),
    "BL": (("BL",), ("SL",), ("BC",), ("FL",), ("FC",)),
    "BR": (("BR",), ("SR",), ("BC",), ("FR",), ("FC",)),
    "SL": (("SL", "FLC"), ("BL",), ("BC",), ("FL",), ("FC",)),
    "SR": (("SR", "FRC"), ("BR",), ("BC",), ("FR",), ("FC",)),
}
"""Channel of 7.1 -> what sounds in it: the first of these that is there, so that mono sounds in all and stays as loud
as it is, and left and right of stereo in as many."""
SURROUND: Final = "aformat=sample_fmts=flt,pan=7.1" + "".join(
    f"|{channel}<"
    + "+".join(f"{10 ** (7 * place)}*{name}" for place, names in enumerate(there[::-1]) for name in names)
    for channel, there in _STAND_INS.items()
)
"""ffmpeg's filter to 7.1. Its weights are so different that, after `<` has scaled them, only that of the first one
remains."""
_SIDES: Final = {3: "LRC", 5: "LRCLR", 6: "LRCCLR", 7: "LRCCCLR", 8: "LRCCLRLR"}
"""Number of channels without told places -> side of each, in the order of WAV files; other numbers alternate."""


def folded(block: Block) -> Block:
    """Mix (n, more than 2 channels) down to left and right (n, 2), whose mean is the mean of all channels."""
    count = block.shape[1]
    sides = np.array(list(_SIDES.get(count, "LR" * (count // 2) + "C" * (count % 2))))
    weights = np.stack([(sides == "C") / count + 2 * (sides == side) / count for side in "LR"], axis=1)
    return np.asarray(block.astype(np.float64) @ weights, np.float32)


def from_both_sides(block: Block) -> Block:
    """(n, W Y Z X and on) -> (n, 2): Ambisonics as two cardioid microphones hear it that look left and right."""
    middle, left = block[:, 0] / 2, block[:, 1] / 2
    return np.stack([middle + left, middle - left], axis=1)


def nothing_but_bass(layout: str, sounding: NDArray[np.bool_]) -> bool:
    """Whether of the channels (C,) of a layout, as ffmpeg names it, only those of low tones (LFE) sound."""
    if named := re.fullmatch(r"\d+ channels \((.+)\)", layout):
        bass = np.array([name.startswith("LFE") for name in named[1].split("+")])
    elif re.match(r"\d\.1", layout):  # in ffmpeg's order, third or fourth
        place = 2 if layout.startswith("2.1") or layout == "6.1(front)" else 3
        bass = np.arange(len(sounding)) == place
    else:
        return False
    return len(bass) == len(sounding) and bool(sounding.any()) and not bool((sounding & ~bass).any())
