"""Write frames and a song to a video file through ffmpeg, and read such files.

formats    table of output formats, and ffmpeg's arguments for each
encoder    a running ffmpeg that takes frames
writer     writes frames and sound to a file, which gets its name only when it is complete
chunks     writes a video in parts, which are joined without encoding again
groups     cuts a part between its closed groups of pictures
sound      the video's sound track
animation  GIF and WebP
nvenc      checks whether this machine's GPU can encode
even       pictures at a constant rate, whatever their time stamps
reader     reads a finished file: properties, frames, embedded preset
tags       stores the preset as metadata
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
