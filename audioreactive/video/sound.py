"""The song as the video's sound: from the sample at `start` on, or the song's own stream where that is exact."""

import re
from fractions import Fraction
from pathlib import Path
from typing import Final

from audioreactive.ffmpeg import SOUND_DEMUXERS, run, stranger
from audioreactive.video.formats import OutputFormat

_COUNTED: Final = "asetpts=round(N/SR/TB)"
"""The number of samples before; not rounded, but cut off, it would be one off now and then."""


def sound_arguments(kind: OutputFormat, sound: Path, start: Fraction, duration: Fraction | None) -> list[str]:
    """Encoder arguments of the sound.

    Raises:
        VideoError: the file holds no sound.
    """
    if kind.extension == ".mp4" and start == 0 and _can_be_copied(sound, duration):
        return ["-c:a", "copy"]
    return ["-af", _filters(start, duration), "-c:a", kind.sound_encoder, *kind.sound_options]


def _filters(start: Fraction, duration: Fraction | None) -> str:
    """Cut on decoded samples: a seek in an mp3 lands on a packet, and its time stamps are estimates.

    Time stamps count samples, as the analysis does, whatever those of the file claim.
    """
    cut = [f"atrim=start={_microseconds(start)}", _COUNTED] if start else []
    if duration is not None:
        cut += [f"apad=whole_dur={_microseconds(duration)}", f"atrim=end={_microseconds(duration)}"]
    # More than two channels are mixed down; mono and stereo stay what they are.
    return ",".join([_COUNTED, *cut, "aformat=channel_layouts=mono|stereo"])


def _microseconds(seconds: Fraction) -> str:
    return f"{round(seconds * 1_000_000)}us"


def _can_be_copied(sound: Path, duration: Fraction | None) -> bool:
    """Whether the stream is AAC that every player takes, whole, and keeps its time.

    The encoder's delay must be told: ffmpeg then gives the first packet a time before 0, and writes that down as an
    edit list, which every player honours. What players make of AAC that tells no delay differs.
    """
    first_packet = ["-map", "0:a:0", "-c", "copy", "-frames:a", "1", "-f", "framecrc", "-"]
    header = run(["-hide_banner", *stranger(sound, SOUND_DEMUXERS), *first_packet], both=True)
    first = re.search(r"^0, +-?\d+, +(-?\d+),", header, re.MULTILINE)
    length = re.search(r"^  Duration: (\d+):(\d\d):(\d\d\.\d\d),", header, re.MULTILINE)
    stream = re.search(r"Audio: aac \(LC\) .*, \d+ Hz, (mono|stereo),", header)
    if not (first and length and stream) or int(first[1]) >= 0:
        return False
    seconds = int(length[1]) * 3600 + int(length[2]) * 60 + Fraction(length[3])
    # The container's length is rounded to 10 ms.
    return duration is None or duration >= seconds - Fraction(1, 50)
