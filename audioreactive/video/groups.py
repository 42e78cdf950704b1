"""Cut encoded video between closed groups of pictures, without encoding again.

Conventions: a group of pictures is closed if it can be decoded alone: it begins with a key frame, and every picture
decoded after that key frame is also shown after it. Then the packets of a group are exactly its pictures, though in
decoding order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from audioreactive.errors import VideoError
from audioreactive.media.ffmpeg import QUIET, in_folder, reading
from audioreactive.video.encoder import explained

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from audioreactive.video.chunks import Encoding


@dataclass(frozen=True)
class Groups:
    """Closed groups of pictures in a chunk."""

    starts: tuple[int, ...]
    """First picture of each group."""
    stop: int
    """One past the last picture."""
    clock: tuple[int, ...]
    """Presentation time of each group's first picture, in ticks of the file's time base."""

    def parts(self, changed: Sequence[bool]) -> list[tuple[range, bool]]:
        """Divide the pictures into the fewest successive parts, each of groups that all change or all stay.

        Args:
            changed: for each picture, whether it will be replaced. A group changes if any of its pictures does.
        """
        parts: list[tuple[range, bool]] = []
        for first, stop in zip(self.starts, (*self.starts[1:], self.stop), strict=True):
            changes = any(changed[first:stop])
            if parts and parts[-1][1] == changes:
                first = parts.pop()[0].start
            parts.append((range(first, stop), changes))
        return parts


def closed_groups(folder: Path, name: str) -> Groups:
    """Find the closed groups of pictures of a chunk.

    Raises:
        VideoError: the chunk cannot be read.
    """
    listing = _run([*QUIET, *in_folder(name), "-map", "0:v:0", "-c", "copy", "-f", "framecrc", "-"], folder, name)
    packets = re.findall(r"^0, *-?\d+, *(-?\d+), *-?\d+, *\d+, *0x[0-9a-f]+(?:, *F=0x([0-9a-fA-F]+))?", listing, re.M)
    if not packets:
        raise VideoError(f"{name} holds no picture; the disk may be damaged")
    shown = np.array([int(time) for time, _ in packets])
    # ffmpeg omits the flags of key frames.
    keys = np.array([not flags or bool(int(flags, 16) & 1) for _, flags in packets])
    latest_before = np.maximum.accumulate(np.concatenate([[shown[0] - 1], shown[:-1]]))
    earliest_from = np.minimum.accumulate(shown[::-1])[::-1]
    starts = np.flatnonzero(keys & (latest_before < shown) & (earliest_from == shown))
    if not len(starts) or starts[0]:
        raise VideoError(f"{name} does not begin with a key frame; the disk may be damaged")
    return Groups(tuple(starts.tolist()), len(shown), tuple(shown[starts].tolist()))


def cut(encoding: Encoding, folder: Path, name: str, groups: Groups, parts: Sequence[tuple[range, str]]) -> None:
    """Copy parts of a chunk to separate files, packet by packet.

    Args:
        encoding: settings with which the chunk was encoded.
        folder: folder of the chunk and of the parts.
        name: file name of the chunk.
        groups: its closed groups.
        parts: for each part, its pictures (whole groups) and its file name.

    Raises:
        VideoError: the chunk cannot be read, or the disk is full.
    """
    arguments = [*QUIET, "-y", *in_folder(name)]
    ticks = dict(zip(groups.starts, groups.clock, strict=True))
    for frames, part in parts:
        # Drop the packets outside the part, and let its time stamps start at 0.
        chosen = rf"noise=drop=lt(n\,{frames.start})+gte(n\,{frames.stop})"
        anew = f"setts=pts=PTS-{ticks[frames.start]}:dts=DTS-{ticks[frames.start]}"
        picture = ["-map", "0:v:0", "-c", "copy", "-bsf:v", f"{chosen},{anew}", "-fflags", "+bitexact"]
        arguments += [*picture, "-flags", "+bitexact", "-f", encoding.kind.chunk_container, part]
    _run(arguments, folder, name)


def _run(arguments: list[str], folder: Path, name: str) -> str:
    """Run ffmpeg on a chunk, and return its standard output."""
    listing = bytearray()
    with reading(arguments, folder=folder) as output:
        while piece := output.read(1 << 16):
            listing += piece
        if problem := output.failure():
            raise VideoError(explained(problem, f"{name} cannot be taken apart", folder.parent))
    return listing.decode(errors="replace")
