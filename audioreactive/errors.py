"""Everything that can go wrong for a person who uses the program, as sentences.

A message says what was wrong, with the value, and what to do. Asserts are for our own mistakes only. A value from a
stranger's file may be long, nested without end, or made to move a terminal's cursor: it enters a message by `shown`.
"""

import reprlib
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

LONGEST_MESSAGE: Final = 2000
"""Characters that the command line prints of one message."""


class _Shown(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxdict, self.maxlist, self.maxtuple = 2, 3, 6, 6
        self.maxstring = self.maxother = self.maxlong = 60

    def repr_int(self, x: int, level: int) -> str:
        """Python refuses to write numbers of thousands of digits."""
        return f"a whole number of {x.bit_length()} bits" if x.bit_length() > 256 else super().repr_int(x, level)


def shown(value: object) -> str:
    """A value as a message shows it: short, on one line, with everything escaped that is not printable."""
    return _Shown().repr(value)


def printable(text: str, longest: int = LONGEST_MESSAGE) -> str:
    """Text made fit for a terminal: one line, cut where it is too long, with everything escaped that is not printable.

    Names of files and words of other programs may hold anything, a terminal's control sequences too.
    """
    cut = text if len(text) <= longest else text[: longest - 3] + "..."
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in cut)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`: did you mean 'pulse'?` where a known word is close to the one that was written, whatever its case; else ""."""
    lowered = {name.lower(): name for name in known}
    close = get_close_matches(word[:100].lower(), lowered, 1)
    return f": did you mean {lowered[close[0]]!r}?" if close else ""


class AudioReactiveError(Exception):
    """Base of every error that a person can cause and mend. The command line prints it and exits with 2."""


class Cancelled(AudioReactiveError):
    """Long work was cancelled by the progress callback; what can be resumed later is kept."""


class AudioError(AudioReactiveError):
    """A sound file cannot be used: missing, empty, undecodable, not finite."""


class FeatureError(AudioReactiveError):
    """A feature is asked for that does not exist, or whose source is not at hand."""


class PresetError(AudioReactiveError):
    """A preset cannot be found, read or changed as asked."""


class RenderError(AudioReactiveError):
    """A render cannot be made with these settings: size, device, label, range."""


class VideoError(AudioReactiveError):
    """A video cannot be written or read: the encoder failed, the disk is full, the name is taken."""


class OutputError(AudioReactiveError):
    """A file cannot be written under this name: the folder is missing, the name is taken or ends in something else."""


class ScoreError(AudioReactiveError):
    """A video cannot be scored: it is too short, or nothing changes in its picture or its sound."""


class SynthesizerError(AudioReactiveError):
    """A synthesizer cannot be trained or used: no music to learn from, a file that is none, a song without change."""
