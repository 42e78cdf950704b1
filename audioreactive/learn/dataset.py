"""Folders of music -> clips to learn from (sections 4.2.2 and 5.2).

Every song is heard once, by `features.analyze_file` and its cache; clips of 8 seconds begin every second. Songs that
are held out are so as a whole: no clip of theirs is learned from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from audioreactive.correlation.files import SECTION_COUNT, SECTIONS
from audioreactive.errors import AudioReactiveError, SynthesizerError
from audioreactive.features import DEFAULT_FEATURES, FEATURES, analyze_file, split_name
from audioreactive.learn.tables import RATE, input_table
from audioreactive.patches.schema import SCORED
from audioreactive.progress import Progress, Silent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from audioreactive.features import Features

    FloatArray = NDArray[np.float32]

CLIP, OFFSET = round(8 * RATE), round(1 * RATE)
"""Frames of a clip, and from one to the next."""
SUFFIXES = frozenset([".aac", ".aif", ".aiff", ".flac", ".m4a", ".mp3", ".oga", ".ogg", ".opus", ".wav", ".wma"])
HELD_OUT = 5
"""One of so many songs is held out."""
STILL = 1e-4
"""Standard deviation below which a feature does not change in a clip."""


def feature_columns() -> dict[str, slice]:
    """Name -> its columns in the inputs."""
    columns, at = {}, 0
    for name in DEFAULT_FEATURES:
        width = split_name(name)[1].channels
        columns[name] = slice(at, at + width)
        at += width
    return columns


@dataclass(frozen=True)
class Song:
    """What is kept of a song that is learned from."""

    name: str
    digest: str
    features: Features
    inputs: FloatArray
    """(T, 58) in [0, 1]."""
    sections: NDArray[np.uint8]
    """(T,) labels."""

    @classmethod
    def heard(cls, name: str, features: Features) -> Song:
        """From features at RATE."""
        return cls(
            name, features.digest, features, input_table(features), features.segmentation(SECTIONS, SECTION_COUNT)
        )

    @property
    def frames(self) -> int:
        """T."""
        return min(len(self.inputs), len(self.sections))


@dataclass(frozen=True)
class Clips:
    """All clips of some songs."""

    songs: tuple[Song, ...]
    places: NDArray[np.int64]
    """(n, 2): index of the song, first frame."""

    def __len__(self) -> int:
        """How many there are."""
        return len(self.places)

    def inputs(self, indices: NDArray[np.int64]) -> Tensor:
        """(B, CLIP, 58)."""
        rows = [self.songs[song].inputs[start : start + CLIP] for song, start in self.places[indices]]
        return torch.from_numpy(np.stack(rows))

    def sections(self, indices: NDArray[np.int64]) -> Tensor:
        """(B, CLIP, 4): 1 in the column of the section."""
        rows = np.stack([self.songs[song].sections[start : start + CLIP] for song, start in self.places[indices]])
        return torch.from_numpy(np.eye(SECTION_COUNT, dtype=np.float32)[rows])

    def targets(self, indices: NDArray[np.int64]) -> dict[str, Tensor]:
        """Name -> (B, CLIP, C): what the motion is held against."""
        inputs, columns = self.inputs(indices), feature_columns()
        tables = {name: inputs[..., columns[name]] for name in FEATURES}
        return tables | {SCORED[-1]: self.sections(indices)}


def find_music(folder: Path) -> list[Path]:
    """Sound files in a folder and all below it, sorted.

    Raises:
        SynthesizerError: there is no such folder, or no sound file in it.
    """
    if not folder.is_dir():
        raise SynthesizerError(f"there is no folder {str(folder)!r} to learn from; give one with music in it")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not found:
        known = ", ".join(sorted(SUFFIXES))
        raise SynthesizerError(f"there is no music in {str(folder)!r}; files that count end in {known}")
    return found


def hear_music(folder: Path, progress: Progress | None = None) -> tuple[Song, ...]:
    """Every different song in a folder that is long enough for a clip, in the order of the files.

    Raises:
        SynthesizerError: nothing in the folder can be learned from.
    """
    progress = progress or Silent()
    songs: dict[str, Song] = {}
    longest = 0.0
    paths = find_music(folder)
    with progress.track("listening", len(paths), "song") as advance:
        for path in paths:
            try:
                features = analyze_file(path, fps=RATE)
            except AudioReactiveError as error:
                progress.say(f"{path.name} is left out: {error}")
            else:
                longest = max(longest, float(features.duration))
                if features.frames >= CLIP:
                    songs.setdefault(features.digest, Song.heard(path.name, features))
            advance(1)
    if not songs:
        seconds = float(CLIP / RATE)
        reason = f"the longest lasts {longest:.1f} s, and {seconds:g} s are needed" if longest else "none can be read"
        raise SynthesizerError(f"none of the {len(paths)} files in {str(folder)!r} can be learned from: {reason}")
    return tuple(songs.values())


def all_clips(songs: Sequence[Song]) -> Clips:
    """Every clip in which something changes.

    Raises:
        SynthesizerError: nothing changes in any of them.
    """
    places = [(index, start) for index, song in enumerate(songs) for start in _lively(song)]
    if not places:
        names = ", ".join(song.name for song in songs[:3]) + (", ..." if len(songs) > 3 else "")
        raise SynthesizerError(f"nothing changes in any song ({names}): they are silent, or one tone; give other music")
    return Clips(tuple(songs), np.array(places))


def _lively(song: Song) -> Iterator[int]:
    for start in range(0, song.frames - CLIP + 1, OFFSET):
        if song.inputs[start : start + CLIP].std(axis=0).max() > STILL:
            yield start


def split_songs(songs: Sequence[Song]) -> tuple[tuple[Song, ...], tuple[Song, ...]]:
    """(to learn from, held out): one in five by the order of their digests, so that a song stays on its side whatever
    its file is called; with fewer than five songs none is held out.
    """
    held = {song.digest for song in sorted(songs, key=lambda song: song.digest)[HELD_OUT - 1 :: HELD_OUT]}
    learned = tuple(song for song in songs if song.digest not in held)
    return learned, tuple(song for song in songs if song.digest in held)


def weigh(tables: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """One weight for each table, 1 where nothing is said: (tables,)."""
    return torch.tensor([weights.get(name, 1.0) for name in tables])
