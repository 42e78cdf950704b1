"""Frames and a song become one file, through ffmpeg; and such files are read again.

formats   what each extension means, and the arguments that make it
encoder   a running ffmpeg that takes frames
writer    the stream of frames, beside the song, into a file that has its name only when it is whole
chunks    the same in parts that are joined without coding anything again
groups    a part taken apart between its closed groups of pictures
nvenc     whether this machine's GPU can encode
reader    a finished file: its shape, its frames, the preset that it carries
tags      the preset as metadata, exact to the character
"""

from audioreactive.media.ffmpeg import encoders, ffmpeg_path, ffmpeg_version
from audioreactive.video.formats import FORMATS, OutputFormat, VideoSettings, output_format, output_formats
from audioreactive.video.nvenc import VIDEO_ENCODERS, VideoEncoder, choose_encoder
from audioreactive.video.reader import VideoInfo, VideoTimes, frame_times, probe, read_frames, read_preset
from audioreactive.video.writer import VideoWriter, check_output

__all__ = [
    "FORMATS",
    "VIDEO_ENCODERS",
    "OutputFormat",
    "VideoEncoder",
    "VideoInfo",
    "VideoSettings",
    "VideoTimes",
    "VideoWriter",
    "check_output",
    "choose_encoder",
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
