"""Training clips from folders of music (sections 4.2.2 and 5.2).

Every song is analysed once, by `features.analyze_file` and its cache. Clips of 8 seconds begin every second. Whole
songs are held out: none of their clips is used for training.
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
from audioreactive.patches.fields import SCORED
from audioreactive.progress import Progress, Silent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from audioreactive.features import Features

    FloatArray = NDArray[np.float32]

CLIP, OFFSET = round(8 * RATE), round(1 * RATE)
"""Frames of a clip, and frames from the start of one clip to the next."""
SUFFIXES = frozenset([".aac", ".aif", ".aiff", ".flac", ".m4a", ".mp3", ".oga", ".ogg", ".opus", ".wav", ".wma"])
HELD_OUT = 5
"""One of this many songs is held out."""
STILL = 1e-4
"""Standard deviation of a feature in a clip below which it counts as constant."""


def feature_columns() -> dict[str, slice]:
    """Name of each feature -> its columns in the inputs."""
    columns, at = {}, 0
    for name in DEFAULT_FEATURES:
        width = split_name(name)[1].channels
        columns[name] = slice(at, at + width)
        at += width
    return columns


@dataclass(frozen=True)
class Song:
    """A song of the training data."""

    name: str
    digest: str
    features: Features
    inputs: FloatArray
    """Inputs of a synthesizer, (T, 58) in [0, 1]."""
    sections: NDArray[np.uint8]
    """Label of the section of each frame, shape (T,)."""

    @classmethod
    def heard(cls, name: str, features: Features) -> Song:
        """Make a song from features at RATE."""
        return cls(
            name, features.digest, features, input_table(features), features.segmentation(SECTIONS, SECTION_COUNT)
        )

    @property
    def frames(self) -> int:
        """T, the number of frames."""
        return min(len(self.inputs), len(self.sections))


@dataclass(frozen=True)
class Clips:
    """The clips of some songs."""

    songs: tuple[Song, ...]
    places: NDArray[np.int64]
    """(index of the song, first frame) of each clip, shape (n, 2)."""

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.places)

    def inputs(self, indices: NDArray[np.int64]) -> Tensor:
        """Inputs (B, CLIP, 58) of these clips."""
        rows = [self.songs[song].inputs[start : start + CLIP] for song, start in self.places[indices]]
        return torch.from_numpy(np.stack(rows))

    def sections(self, indices: NDArray[np.int64]) -> Tensor:
        """Sections (B, CLIP, 4) of these clips, with 1 in the column of the section."""
        rows = np.stack([self.songs[song].sections[start : start + CLIP] for song, start in self.places[indices]])
        return torch.from_numpy(np.eye(SECTION_COUNT, dtype=np.float32)[rows])

    def targets(self, indices: NDArray[np.int64]) -> dict[str, Tensor]:
        """Features that the motion of these clips is compared with: name -> (B, CLIP, C)."""
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
    """All different songs in a folder that are long enough for a clip, in the order of the files.

    Raises:
        SynthesizerError: the folder has no such song.
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
    """All clips in which a feature changes.

    Raises:
        SynthesizerError: there is no such clip.
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
    """Split songs into (training, held out). One in five is held out, by the order of their digests, so that the split
    does not depend on file names; with fewer than five songs none is held out.
    """
    held = {song.digest for song in sorted(songs, key=lambda song: song.digest)[HELD_OUT - 1 :: HELD_OUT]}
    learned = tuple(song for song in songs if song.digest not in held)
    return learned, tuple(song for song in songs if song.digest in held)


def why_none_is_held_out(songs: Sequence[Song]) -> str | None:
    """Sentence about songs that are too few for one to be held out; None if one is."""
    if split_songs(songs)[1]:
        return None
    count = "one song" if len(songs) == 1 else f"{len(songs)} songs"
    return (
        f"{count} to learn from, and none is held out: nothing will tell whether what is learned holds for other "
        f"songs; of {HELD_OUT} and more, one in {HELD_OUT} is held out"
    )


def weigh(tables: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Weight of each table, 1 if not given: (tables,)."""
    return torch.tensor([weights.get(name, 1.0) for name in tables])
