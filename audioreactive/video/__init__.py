"""Frames and a song become one file, through ffmpeg; and such files are read again.

formats   what each extension means, and the arguments that make it
writer    the stream of frames, beside the song, into a file that has its name only when it is whole
reader    a finished file: its shape, its frames, the preset that it carries
tags      the preset as metadata, exact to the character
"""

from audioreactive.ffmpeg import encoders, ffmpeg_path, ffmpeg_version
from audioreactive.video.formats import FORMATS, OutputFormat, VideoSettings, output_format, output_formats
from audioreactive.video.reader import VideoInfo, VideoTimes, frame_times, probe, read_frames, read_preset
from audioreactive.video.writer import VideoWriter, check_output

__all__ = [
    "FORMATS",
    "OutputFormat",
    "VideoInfo",
    "VideoSettings",
    "VideoTimes",
    "VideoWriter",
    "check_output",
    "encoders",
    "ffmpeg_path",
    "ffmpeg_version",
    "frame_times",
    "output_format",
    "output_formats",
    "probe",
    "read_frames",
    "read_preset",
]
