"""Coded pictures taken apart between their closed groups, as they are, without coding anything again.

Conventions: a group is closed when its pictures need none outside it: it begins with a key frame, and every picture
that is decoded after that key frame is shown after it, too. The packets of a group are then its pictures, as many and
in the same place among all, though in another order.
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
    """The closed groups of pictures of a chunk."""

    starts: tuple[int, ...]
    """The first picture of each."""
    stop: int
    """One past the last picture."""
    clock: tuple[int, ...]
    """When each first picture is shown, in ticks of the file's clock."""

    def parts(self, changed: Sequence[bool]) -> list[tuple[range, bool]]:
        """The pictures in as few successive parts as can be, each of whole groups that change, or of others.

        Args:
            changed: of each picture, whether it is to be another one. A group changes with any of its pictures.
        """
        parts: list[tuple[range, bool]] = []
        for first, stop in zip(self.starts, (*self.starts[1:], self.stop), strict=True):
            changes = any(changed[first:stop])
            if parts and parts[-1][1] == changes:
                first = parts.pop()[0].start
            parts.append((range(first, stop), changes))
        return parts


def closed_groups(folder: Path, name: str) -> Groups:
    """Where a chunk can be taken apart.

    Raises:
        VideoError: it cannot be read.
    """
    listing = _run([*QUIET, *in_folder(name), "-map", "0:v:0", "-c", "copy", "-f", "framecrc", "-"], folder, name)
    packets = re.findall(r"^0, *-?\d+, *(-?\d+), *-?\d+, *\d+, *0x[0-9a-f]+(?:, *F=0x([0-9a-fA-F]+))?", listing, re.M)
    if not packets:
        raise VideoError(f"{name} holds no picture; the disk may be damaged")
    shown = np.array([int(time) for time, _ in packets])
    # A packet without flags has the one of a key frame.
    keys = np.array([not flags or bool(int(flags, 16) & 1) for _, flags in packets])
    latest_before = np.maximum.accumulate(np.concatenate([[shown[0] - 1], shown[:-1]]))
    earliest_from = np.minimum.accumulate(shown[::-1])[::-1]
    starts = np.flatnonzero(keys & (latest_before < shown) & (earliest_from == shown))
    if not len(starts) or starts[0]:
        raise VideoError(f"{name} does not begin with a key frame; the disk may be damaged")
    return Groups(tuple(starts.tolist()), len(shown), tuple(shown[starts].tolist()))


def cut(encoding: Encoding, folder: Path, name: str, groups: Groups, parts: Sequence[tuple[range, str]]) -> None:
    """Copy parts of a chunk into files of their own, packet by packet.

    Args:
        encoding: how the chunk was coded.
        folder: where it is, and where the parts go.
        name: the chunk.
        groups: of it.
        parts: pictures, of whole groups, and the name of their file.

    Raises:
        VideoError: the chunk cannot be read, or the disk is full.
    """
    arguments = [*QUIET, "-y", *in_folder(name)]
    ticks = dict(zip(groups.starts, groups.clock, strict=True))
    for frames, part in parts:
        # Each packet that is not of the part is dropped; the clock of the others begins anew.
        chosen = rf"noise=drop=lt(n\,{frames.start})+gte(n\,{frames.stop})"
        anew = f"setts=pts=PTS-{ticks[frames.start]}:dts=DTS-{ticks[frames.start]}"
        picture = ["-map", "0:v:0", "-c", "copy", "-bsf:v", f"{chosen},{anew}", "-fflags", "+bitexact"]
        arguments += [*picture, "-flags", "+bitexact", "-f", encoding.kind.chunk_container, part]
    _run(arguments, folder, name)


def _run(arguments: list[str], folder: Path, name: str) -> str:
    """What ffmpeg says on standard output, of a file in a folder of ours."""
    listing = bytearray()
    with reading(arguments, folder=folder) as output:
        while piece := output.read(1 << 16):
            listing += piece
        if problem := output.failure():
            raise VideoError(explained(problem, f"{name} cannot be taken apart", folder.parent))
    return listing.decode(errors="replace")
