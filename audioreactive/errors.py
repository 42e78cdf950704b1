"""The errors that a user can cause, and helpers that format their messages.

A message says what was wrong, with the value, and what to do. Asserts are for our own mistakes only. A value from an
untrusted file may be very long, deeply nested, or hold terminal control sequences: format it with `shown`.
"""

import reprlib
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

LONGEST_MESSAGE: Final = 2000
"""Most characters of one message that the command line prints."""


class _Shown(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxdict, self.maxlist, self.maxtuple = 2, 3, 6, 6
        self.maxstring = self.maxother = self.maxlong = 60

    def repr_int(self, x: int, level: int) -> str:
        """Give the number of bits of a huge integer, because Python refuses to print thousands of digits."""
        return f"a whole number of {x.bit_length()} bits" if x.bit_length() > 256 else super().repr_int(x, level)


def shown(value: object) -> str:
    """Format a value for a message: short, on one line, with unprintable characters escaped."""
    return _Shown().repr(value)


def printable(text: str, longest: int = LONGEST_MESSAGE) -> str:
    """Format text for a terminal: one line, cut to `longest` characters, with unprintable characters escaped.

    File names and the output of other programs may contain anything, including terminal control sequences.
    """
    cut = text if len(text) <= longest else text[: longest - 3] + "..."
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in cut)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `: did you mean 'pulse'?` if a known word is close to the given one (ignoring case), else ""."""
    lowered = {name.lower(): name for name in known}
    close = get_close_matches(word[:100].lower(), lowered, 1)
    return f": did you mean {lowered[close[0]]!r}?" if close else ""


class AudioReactiveError(Exception):
    """Base of every error that a user can cause and fix. The command line prints it and exits with code 2."""


class Cancelled(AudioReactiveError):
    """Work was cancelled by the progress callback; finished parts that can be resumed later are kept."""


class AudioError(AudioReactiveError):
    """A sound file cannot be used: missing, empty, undecodable, not finite."""


class FeatureError(AudioReactiveError):
    """A requested feature does not exist, or its source (such as a stem) was not given."""


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
    """A synthesizer cannot be trained or used: no music to learn from, not a synthesizer file, a constant song."""


class SyncError(AudioReactiveError):
    """The sync of a video or of two sounds cannot be measured or repaired: no sound, too short, nothing in common."""


class LiveError(AudioReactiveError):
    """A live performance cannot begin or go on: no input, no display, a missing package, a wrong address."""


class CodecError(AudioReactiveError):
    """A clip cannot be packed or unpacked: too long, no picture, a damaged file, a recipe that lacks its model."""
