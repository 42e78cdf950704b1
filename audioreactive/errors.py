"""Everything that can go wrong for a person who uses the program, as sentences.

A message says what was wrong, with the value, and what to do. Asserts are for our own mistakes only.
"""


class AudioReactiveError(Exception):
    """Base of every error that a person can cause and mend. The command line prints it and exits with 2."""


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
